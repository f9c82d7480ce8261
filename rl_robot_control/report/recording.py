"""What was recorded of one robot's loop, as plain arrays.

``rl_robot_control.ros.recorder`` reads such a recording from a file; everything in ``report/`` works on it.

Two times belong to each message, both in seconds since the recording's origin and both from the same machine's clock:
``sent`` (publication) and ``received`` (arrival at the recorder). A ``stamp`` is what the message itself says: the time
of the measurement, in the robot's clock. J joints stand in the order of ``RobotModel.joint_names``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rl_robot_control.types import FloatArray


def _empty(*shape: int) -> Any:
    # one column where J is meant: it broadcasts with arrays (J,)
    return field(default_factory=lambda: np.zeros(shape))


@dataclass(frozen=True, kw_only=True)
class Stream:
    """M messages of one topic."""

    sent: FloatArray = _empty(0)  # (M,) [s]
    received: FloatArray = _empty(0)  # (M,) [s]

    def __len__(self) -> int:
        return len(self.sent)


@dataclass(frozen=True, kw_only=True)
class JointStates(Stream):
    """``joint_states``; NaN where a joint or quantity is not in the message."""

    stamp: FloatArray = _empty(0)  # (M,) [s]
    position: FloatArray = _empty(0, 1)  # (M, J) [rad]
    velocity: FloatArray = _empty(0, 1)  # (M, J) [rad/s]
    effort: FloatArray = _empty(0, 1)  # (M, J) [N·m]


@dataclass(frozen=True, kw_only=True)
class BaseStates(Stream):
    """``odom``."""

    stamp: FloatArray = _empty(0)  # (M,) [s]
    position: FloatArray = _empty(0, 3)  # (M, 3) in the world [m]
    quaternion: FloatArray = _empty(0, 4)  # (M, 4) x y z w
    linear_velocity: FloatArray = _empty(0, 3)  # (M, 3) in the base frame [m/s]
    angular_velocity: FloatArray = _empty(0, 3)  # (M, 3) in the base frame [rad/s]


@dataclass(frozen=True, kw_only=True)
class ImuStates(Stream):
    """``imu``."""

    stamp: FloatArray = _empty(0)  # (M,) [s]
    quaternion: FloatArray = _empty(0, 4)  # (M, 4) x y z w
    angular_velocity: FloatArray = _empty(0, 3)  # (M, 3) in the base frame [rad/s]


@dataclass(frozen=True, kw_only=True)
class JointTargets(Stream):
    """``policy/command`` (stamp: what it answers) or ``<controller>/commands`` (what it was checked with, or NaN)."""

    stamp: FloatArray = _empty(0)  # (M,) of the observation that is answered [s]
    position: FloatArray = _empty(0, 1)  # (M, J) [rad]


@dataclass(frozen=True, kw_only=True)
class JointEfforts(Stream):
    """``<controller>/commands`` of a controller that takes efforts and no positions."""

    effort: FloatArray = _empty(0, 1)  # (M, J) [N·m]


@dataclass(frozen=True, kw_only=True)
class VelocityCommands(Stream):
    """``cmd_vel``."""

    velocity: FloatArray = _empty(0, 3)  # (M, 3) vx, vy [m/s], wz [rad/s]


@dataclass(frozen=True, kw_only=True)
class ShieldStatus(Stream):
    """``shield/status``."""

    mode: tuple[str, ...] = ()  # (M,)
    values: tuple[dict[str, str], ...] = ()  # (M,) everything else that the shield reported


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One robot's loop.

    ``origin`` is the wall-clock time [s since 1970] of time zero. ``complete`` is False where the recorder was killed:
    the file then ends early, and everything up to its last full block is here.
    """

    robot: str
    joint_names: tuple[str, ...]
    origin: float = 0.0
    complete: bool = True
    metadata: dict[str, str] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)  # messages that the recorder missed, by topic
    states: JointStates = field(default_factory=JointStates)
    base: BaseStates = field(default_factory=BaseStates)
    imu: ImuStates = field(default_factory=ImuStates)
    requests: JointTargets = field(default_factory=JointTargets)
    commands: JointTargets = field(default_factory=JointTargets)
    efforts: JointEfforts = field(default_factory=JointEfforts)  # where the controller takes them in place of commands
    velocity_commands: VelocityCommands = field(default_factory=VelocityCommands)
    status: ShieldStatus = field(default_factory=ShieldStatus)

    @property
    def duration(self) -> float:
        """Time from the first to the last message of the loop [s]."""
        ends = [(s.received[0], s.received[-1]) for s in (self.states, self.base, self.commands) if len(s)]
        return max(e[1] for e in ends) - min(e[0] for e in ends) if ends else 0.0

    @property
    def driven(self) -> tuple[float, float]:
        """From the first to the last velocity command [s]; without any, the whole recording."""
        asked = self.velocity_commands.received
        return (float(asked[0]), float(asked[-1])) if len(asked) else (-np.inf, np.inf)

    def transitions(self) -> list[tuple[float, str]]:
        """When the shield entered which mode: (time received [s], name)."""
        modes = self.status.mode
        return [(float(self.status.received[i]), modes[i]) for i in range(len(modes))
                if i == 0 or modes[i] != modes[i - 1]]


def latest(times: FloatArray, at: FloatArray) -> np.ndarray:
    """Index of the latest of the sorted ``times`` that is not after each of ``at``; -1 where there is none."""
    return np.searchsorted(times, at, side='right') - 1

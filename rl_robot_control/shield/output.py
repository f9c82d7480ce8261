"""What the shield hands back for each cycle."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rl_robot_control.types import BoolArray, FloatArray, JointCommand

GEOMETRY_CHECKS = ('self_collision', 'workspace')
CHECKS = ('position', 'velocity', 'acceleration', 'torque', 'conflict', 'rate', 'measured', *GEOMETRY_CHECKS)


class Reason(enum.IntEnum):
    """Why a robot is not simply following its command."""

    NONE = 0
    NO_COMMAND = 1
    COMMAND_STALE = 2
    COMMAND_LOST = 3
    COMMAND_SHAPE = 4
    COMMAND_NOT_FINITE = 5
    STAMP_UNSET = 6
    STAMP_REPLAYED = 7
    STAMP_FUTURE = 8
    STAMP_OLD = 9
    STATE_MISSING = 10
    STATE_STALE = 11
    STATE_INVALID = 12
    TILT = 13
    REJECTED_TOO_OFTEN = 14
    OVERRUN = 15
    EMERGENCY_STOP = 16
    TURNING = 17
    HEIGHT = 18
    CONTACT_FORCE = 19
    UNLOADED = 20
    JOINT_POSITION = 21
    JOINT_VELOCITY = 22

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self]


_TEXTS = {
    Reason.NONE: '',
    Reason.NO_COMMAND: 'no command yet',
    Reason.COMMAND_STALE: 'the latest command is too old: braking',
    Reason.COMMAND_LOST: 'no command for too long: damping',
    Reason.COMMAND_SHAPE: 'command rejected: wrong number of robots or joints',
    Reason.COMMAND_NOT_FINITE: 'command rejected: it holds NaN or infinity',
    Reason.STAMP_UNSET: 'command rejected: its stamp is zero, negative or not a number',
    Reason.STAMP_REPLAYED: 'command rejected: its stamp is not newer than the one before',
    Reason.STAMP_FUTURE: 'command rejected: it answers an observation that lies in the future',
    Reason.STAMP_OLD: 'command rejected: it answers an observation that is too old',
    Reason.STATE_MISSING: 'no state has been received',
    Reason.STATE_STALE: 'the latest state is too old',
    Reason.STATE_INVALID: 'the state holds NaN or infinity, lacks what a check needs, or has the wrong size',
    Reason.TILT: 'the base is tilted too far',
    Reason.REJECTED_TOO_OFTEN: 'too many commands in a row were rejected',
    Reason.OVERRUN: 'the shield was not called in time',
    Reason.EMERGENCY_STOP: 'emergency stop',
    Reason.TURNING: 'the base turns too fast',
    Reason.HEIGHT: 'the base is too low or too high',
    Reason.CONTACT_FORCE: 'a contact force is larger than the robot can cause',
    Reason.UNLOADED: 'nothing touches the ground although the robot follows commands',
    Reason.JOINT_POSITION: 'a measured joint is far beyond its limit',
    Reason.JOINT_VELOCITY: 'a measured joint is far too fast',
}


@dataclass(frozen=True, kw_only=True)
class ShieldOutput:
    """The checked command of one cycle for N robots with J joints."""

    command: JointCommand  # position is finite where valid, NaN elsewhere
    valid: BoolArray  # (N,) False: no safe target is known, publish nothing
    mode: np.ndarray  # (N,) of ShieldMode, after this cycle
    correction: FloatArray  # (N, J) applied minus requested [rad]; 0 where nothing was requested
    active: dict[str, BoolArray]  # name in CHECKS → (N, J) joints that this check changed
    corrected: BoolArray  # (N,) whether any joint differs from the request
    reason: np.ndarray  # (N,) of Reason
    constraints: Mapping[int, tuple[str, ...]] = field(default_factory=dict)  # robot → names of the distances that
    # shaped its targets, 'left_elbow_link – torso_link' or 'right_hand – table'; robots without any are left out

    @property
    def reasons(self) -> list[str]:
        """The reason for each robot, for people; empty where it follows its command."""
        return [Reason(code).text for code in self.reason]

"""The robot's joint controller: what the shield tells it, in the message that its type takes, and back.

| type | topic | message | takes it |
|---|---|---|---|
| ``position`` | ``<controller>/commands`` | Float64MultiArray: positions | ros2_control's forward_command_controller |
| ``effort`` | ``<controller>/commands`` | Float64MultiArray: efforts | the same, and effort_controllers |
| ``trajectory`` | ``<controller>/joint_trajectory`` | JointTrajectory: one point | joint_trajectory_controller |
| ``joint_state`` | ``<controller>`` | JointState: positions by name | Isaac Sim and the like |
| ``drive`` | ``<controller>/commands`` | Float64MultiArray: five values per joint | drives of humanoids |

Arrays without names are in the controller's joint order, as a rule the robot's (``RobotModel.controller_joints``). With
``drive`` a joint's five values stand together: position [rad], velocity [rad/s], effort [N·m], stiffness [N·m/rad],
damping [N·m·s/rad], and its drive makes of them ``effort + stiffness·(position − q) + damping·(velocity − q̇)``.

Where the robot is to be damped, the first, third and fourth type are told the measured position, so that only the
drive's own damping acts, and nothing where that is not known. ``drive`` says so as it is: no stiffness. ``effort``
brakes by ``−damping·q̇``, and is told 0 where that is not known, as the controller would go on with the last effort for
ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from builtin_interfaces.msg import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros.conversions import (
    CHECKED_LABEL,
    STAMP_LABEL,
    JointOrder,
    MessageError,
    doubles,
    ordered,
    to_time,
)
from rl_robot_control.ros.drive_codec import DAMPING, FIELDS, POSITION, STIFFNESS, DriveCodec, controller_order
from rl_robot_control.types import FloatArray, RobotState


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What one robot's drives are to do."""

    position: FloatArray | None  # (J,) targets [rad]; None: no safe one is known
    damped: bool = False  # the drives are to brake and no more
    state: RobotState | None = None  # the robot's (N = 1), None if not known
    answers: int | None = None  # stamp [ns] of the state that the targets answer; None in real time
    checked: int | None = None  # stamp [ns] of the state against which they were checked


@dataclass(frozen=True, kw_only=True)
class DriveTargets:
    """What a controller was told; what its type does not say is None, and is the drive's own."""

    position: FloatArray | None = None  # (J,) [rad]; None: only an effort is given
    velocity: FloatArray | None = None  # (J,) [rad/s]
    effort: FloatArray | None = None  # (J,) [N·m], added to what the gains make
    stiffness: FloatArray | None = None  # (J,) [N·m/rad]
    damping: FloatArray | None = None  # (J,) [N·m·s/rad]
    duration: float = 0.0  # in which the position is to be reached [s]
    answers: int | None = None  # stamp [ns] of the state that it answers, where the sender says so

    def feed_forward(self, damping: FloatArray) -> FloatArray | float:
        """Effort (J,) [N·m] that velocity and effort add to a drive with this damping (J,) [N·m·s/rad]."""
        ahead = 0.0 if self.velocity is None else damping * self.velocity
        return ahead if self.effort is None else ahead + self.effort


class Controller:
    """What all types share.

    Args:
        robot: The robot; its gains are those of the drives.
        period: Time between two commands [s].
    """

    follows_state: ClassVar[bool] = False  # whether each new state changes what the drives are told

    def __init__(self, robot: RobotModel, period: float) -> None:
        self._names, self._period = list(robot.joint_names), period
        self._order = JointOrder(robot.joint_names, others_allowed=False)
        self._there, self._here = controller_order(robot)
        self._effort_limit, self._pose = robot.effort_limit, robot.default_position
        self._message, self._dimension = Float64MultiArray(), MultiArrayDimension()
        self.set_gains(robot.stiffness, robot.damping)

    def set_gains(self, stiffness: Sequence[float], damping: Sequence[float]) -> None:
        """Gains (J,) [N·m/rad], [N·m·s/rad] of the drives."""
        self._stiffness, self._damping = np.array(stiffness, dtype=float), np.array(damping, dtype=float)

    def encode(self, aim: Aim) -> Any | None:
        """The message (reused, so publish it before the next one); None where nothing can be said safely."""
        raise NotImplementedError

    def decode(self, message: Any) -> DriveTargets:
        """What the message says.

        Raises:
            MessageError: Its size or names are wrong, a value is not finite, or a gain negative.
        """
        raise NotImplementedError

    def _array(self, values: FloatArray, aim: Aim) -> Float64MultiArray:
        """Values without names."""
        self._message.data = doubles(values[self._there])
        return self._labelled(self._message, aim)

    def _labelled(self, message: Float64MultiArray, aim: Aim) -> Float64MultiArray:
        """The label of the message's dimension says which state it answers or was checked against."""
        stamp = aim.checked if aim.answers is None else aim.answers
        if stamp is not None:
            self._dimension.label = f'{CHECKED_LABEL if aim.answers is None else STAMP_LABEL}{stamp}'
            self._dimension.size = self._dimension.stride = len(message.data)
            message.layout.dim = [self._dimension]
        return message

    def _values(self, message: Float64MultiArray) -> FloatArray:
        count = len(self._names)
        if len(message.data) != count:
            raise MessageError(f'the command holds {len(message.data)} values; the robot has {count} joints.')
        return _finite(np.array(message.data, dtype=np.float64)[self._here])

    def _named(self, names: Sequence[str], positions: Sequence[float]) -> FloatArray:
        index = self._order.index(names)
        return _finite(ordered(positions, index, len(names), 'position'))


class PositionController(Controller):
    """Positions, in the robot's joint order."""

    def encode(self, aim: Aim) -> Float64MultiArray | None:
        return None if aim.position is None else self._array(aim.position, aim)

    def decode(self, message: Float64MultiArray) -> DriveTargets:
        return DriveTargets(position=self._values(message), answers=answered(message, STAMP_LABEL))


class EffortController(Controller):
    """Efforts of a position drive with the shield's gains, within the URDF's limits; anew for each state."""

    follows_state = True

    def encode(self, aim: Aim) -> Float64MultiArray:
        return self._array(self._effort(aim), aim)

    def decode(self, message: Float64MultiArray) -> DriveTargets:
        zeros = np.zeros(len(self._names))
        return DriveTargets(effort=self._values(message), stiffness=zeros, damping=zeros,
                            answers=answered(message, STAMP_LABEL))

    def _effort(self, aim: Aim) -> FloatArray:
        state = aim.state
        if state is None or not (aim.damped or aim.position is not None):
            return np.zeros(len(self._names))
        effort = -self._damping * state.joint_velocity[0]
        if not aim.damped:
            effort = effort + self._stiffness * (aim.position - state.joint_position[0])
        if not np.isfinite(effort).all():
            return np.zeros(len(self._names))
        return np.clip(effort, -self._effort_limit, self._effort_limit)


class TrajectoryController(Controller):
    """A trajectory of one point, to be reached by the next command; its zero stamp means at once."""

    def encode(self, aim: Aim) -> JointTrajectory | None:
        if aim.position is None:
            return None
        point = JointTrajectoryPoint(positions=doubles(aim.position), time_from_start=_duration(self._period))
        return JointTrajectory(joint_names=self._names, points=[point])

    def decode(self, message: JointTrajectory) -> DriveTargets:
        if len(message.points) != 1:
            raise MessageError(f'the trajectory holds {len(message.points)} points; exactly one is expected.')
        point = message.points[0]
        duration = point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
        if duration < 0.0:
            raise MessageError(f'the point of the trajectory lies {-duration:g} s before its start.')
        return DriveTargets(position=self._named(message.joint_names, point.positions), duration=duration)


class JointStateController(Controller):
    """Positions by name; the stamp is that of the state against which they were checked."""

    def encode(self, aim: Aim) -> JointState | None:
        if aim.position is None:
            return None
        message = JointState(name=self._names, position=doubles(aim.position))
        message.header.stamp = to_time(aim.checked or 0)
        return message

    def decode(self, message: JointState) -> DriveTargets:
        return DriveTargets(position=self._named(message.name, message.position))


class DriveController(Controller):
    """Position, velocity, effort and gains for each joint (``drive_codec.py``)."""

    def __init__(self, robot: RobotModel, period: float) -> None:
        super().__init__(robot, period)
        self._codec = DriveCodec(robot)

    def encode(self, aim: Aim) -> Float64MultiArray:
        rows = np.zeros((len(self._names), len(FIELDS)))
        rows[:, POSITION] = self._pose if aim.position is None else aim.position
        rows[:, STIFFNESS] = 0.0 if aim.damped or aim.position is None else self._stiffness
        rows[:, DAMPING] = self._damping
        return self._labelled(self._codec.encode(rows), aim)

    def decode(self, message: Float64MultiArray) -> DriveTargets:
        values = self._codec.decode(message)
        return DriveTargets(**dict(zip(FIELDS, values.T)), answers=answered(message, STAMP_LABEL))


_TYPES = {'position': PositionController, 'effort': EffortController, 'trajectory': TrajectoryController,
          'joint_state': JointStateController, 'drive': DriveController}


def make_controller(robot: RobotModel, period: float, lockstep: bool = False) -> Controller:
    """The robot's, of the type that its topics name.

    Args:
        robot: The robot.
        period: Time between two commands [s].
        lockstep: Whether the world waits for each command.

    Raises:
        ConfigurationError: The type does not say which state a command answers, or needs more than one per period.
    """
    kind = robot.settings.topics.controller_type
    if lockstep and kind != 'position':
        raise ConfigurationError(f"in lock-step the controller's type must be 'position'; it is '{kind}'.")
    return _TYPES[kind](robot, period)


def answered(message: Float64MultiArray, *labels: str) -> int | None:
    """The state [ns] that a command without a header answers (STAMP_LABEL) or was checked against (CHECKED_LABEL)."""
    text = message.layout.dim[0].label if message.layout.dim else ''
    for label in labels:
        digits = text.removeprefix(label)
        if text.startswith(label) and digits.isdecimal():
            return int(digits)
    return None


def _finite(values: FloatArray) -> FloatArray:
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise MessageError(f'the command holds {values[bad]} at index {bad}; finite values are needed.')
    return values


def _duration(seconds: float) -> Duration:
    whole = math.floor(seconds)
    return Duration(sec=whole, nanosec=round((seconds - whole) * 1e9))

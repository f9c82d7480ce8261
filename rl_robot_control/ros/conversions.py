"""Messages ↔ arrays, in pairs.

Joints are matched by name in any order; nothing that is missing is filled in. What a message does not measure is NaN:
an empty ``velocity``, an ``Imu`` whose covariance starts with -1, a quaternion whose length is not 1.
"""

from __future__ import annotations

import array
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped, WrenchStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Imu, JointState

from rl_robot_control.errors import RobotControlError
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros.wire import ImuSample, JointSample, JointWriter, to_nanoseconds
from rl_robot_control.types import FloatArray, JointCommand, RobotState

STAMP_LABEL = 'answers '  # of a Float64MultiArray's dimension: which state [ns] the command answers
CHECKED_LABEL = 'checked against '  # likewise: which state [ns] the shield held when it let the command pass


class MessageError(RobotControlError):
    """A message cannot be understood; it names the topic's content and what is wrong with it."""


def to_time(nanoseconds: int) -> Time:
    """A stamp."""
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


def seconds_to_time(seconds: float) -> Time:
    """A stamp from seconds, rounded to the nearest nanosecond."""
    return to_time(round(seconds * 1e9))


def to_seconds(stamp: Time) -> float:
    """A stamp in seconds."""
    return to_nanoseconds(stamp) * 1e-9


def doubles(values: FloatArray) -> array.array:
    """The fastest form in which a message takes float64 values."""
    return array.array('d', np.ascontiguousarray(values, dtype=np.float64).tobytes())


def to_pose(position: FloatArray, frame: str) -> PoseStamped:
    """A point (3,) in a frame [m], without a stamp."""
    message = PoseStamped()
    message.header.frame_id = frame
    point = message.pose.position
    point.x, point.y, point.z = map(float, position)
    return message


class JointOrder:
    """Brings a message's joints into the robot's order.

    Args:
        names: The robot's joints, J of them.
        others_allowed: Whether a message may hold further joints (a robot's hands); they are left out.
    """

    def __init__(self, names: Sequence[str], others_allowed: bool) -> None:
        self.names = list(names)
        self._others_allowed = others_allowed
        self._seen: list[str] | None = None  # names for which the index holds
        self._index: np.ndarray | None = None

    def index(self, names: Sequence[str]) -> np.ndarray | None:
        """Where each of the robot's joints stands in a message (J,), or None where the order is the same.

        Raises:
            MessageError: A joint is missing, there twice, or unknown.
        """
        if names == self._seen:
            return self._index
        index = self._match(list(names))
        self._seen, self._index = list(names), None if list(names) == self.names else index
        return self._index

    def _match(self, names: list[str]) -> np.ndarray:
        double = sorted({name for name in names if names.count(name) > 1})
        missing = [name for name in self.names if name not in names]
        unknown = [] if self._others_allowed else [name for name in names if name not in self.names]
        for what, found in (('is there twice', double), ('is missing', missing), ('is unknown', unknown)):
            if found:
                more = f' (and {len(found) - 1} more)' if len(found) > 1 else ''
                raise MessageError(f"joint '{found[0]}'{more} {what}; expected each of {len(self.names)} joints once.")
        return np.array([names.index(name) for name in self.names], dtype=np.intp)


def ordered(values: Sequence[float], index: np.ndarray | None, count: int, what: str) -> FloatArray:
    """A message's values (J,) in the robot's order.

    Args:
        values: As in the message.
        index: From ``JointOrder.index``.
        count: How many values the message must hold.
        what: The field's name, for the error.

    Raises:
        MessageError: The number of values is not the number of names.
    """
    if len(values) != count:
        raise MessageError(f"'{what}' holds {len(values)} values for {count} joint names.")
    result = np.array(values, dtype=np.float64)
    return result if index is None else result[index]


class StateEncoder:
    """Fills the messages of one robot's state; they are reused, so publish them before the next ``encode``."""

    def __init__(self, robot: RobotModel) -> None:
        base = robot.settings.base.link
        self.joints = JointState(name=list(robot.joint_names))
        self.imu = Imu()
        self.odom = Odometry(child_frame_id=base)
        self.odom.header.frame_id = 'odom'
        self.imu.header.frame_id = base
        self.contacts: dict[str, WrenchStamped] = {}
        self._frames = [(name, k) for k, name in enumerate(robot.frame_names) if robot.settings.frames[name].contact]
        for name, _ in self._frames:
            self.contacts[name] = WrenchStamped()
            self.contacts[name].header.frame_id = name

    def encode(self, state: RobotState, stamp: Time, i: int = 0) -> None:
        """Write robot ``i`` of a state into the messages."""
        self._encode_joints(state, stamp, i)
        self._encode_imu(state, stamp, i)
        self._encode_odom(state, stamp, i)
        for name, k in self._frames:  # only the magnitude is known: it goes along the frame's z axis
            message = self.contacts[name]
            message.header.stamp = stamp
            message.wrench.force.z = float(state.contact_force[i, k])

    def _encode_joints(self, state: RobotState, stamp: Time, i: int) -> None:
        self.joints.header.stamp = stamp
        self.joints.position = doubles(state.joint_position[i])
        self.joints.velocity = doubles(state.joint_velocity[i])
        self.joints.effort = doubles(state.joint_effort[i])

    def _encode_imu(self, state: RobotState, stamp: Time, i: int) -> None:
        self.imu.header.stamp = stamp
        _set(self.imu.orientation, state.base_quaternion[i])
        _set(self.imu.angular_velocity, state.base_angular_velocity[i])
        _set(self.imu.linear_acceleration, state.base_linear_acceleration[i])

    def _encode_odom(self, state: RobotState, stamp: Time, i: int) -> None:
        self.odom.header.stamp = stamp
        _set(self.odom.pose.pose.position, state.base_position[i])
        _set(self.odom.pose.pose.orientation, state.base_quaternion[i])
        _set(self.odom.twist.twist.linear, state.base_linear_velocity[i])
        _set(self.odom.twist.twist.angular, state.base_angular_velocity[i])


class StateDecoder:
    """Turns the messages of one robot into a state of a batch of one.

    Frames are not on topics: ``frame_*`` stay NaN until forward kinematics fill them.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._order = JointOrder(robot.joint_names, others_allowed=True)
        self._unknown = nan = _unmeasured(robot)
        self._no_imu = ImuSample(0, nan.base_quaternion, nan.base_angular_velocity, nan.base_linear_acceleration)
        self._frames = {name: k for k, name in enumerate(robot.frame_names)}

    def decode(self, joints: JointState | JointSample, imu: Imu | ImuSample | None = None, odom: Odometry | None = None,
               contacts: Mapping[str, WrenchStamped] | None = None) -> RobotState:
        """The state at the time of ``joints``; what is not given is NaN.

        Raises:
            MessageError: A joint is missing or there twice, or a field has the wrong length.
        """
        nan, joints, has_odom = self._unknown, JointSample.of(joints), odom is not None
        index = self._order.index(joints.name)
        count = len(joints.name)
        base = self._no_imu if imu is None else ImuSample.of(imu)
        return RobotState(
            time=np.array([joints.stamp * 1e-9]),
            joint_position=ordered(joints.position, index, count, 'position')[None],
            joint_velocity=self._optional(joints.velocity, index, count, 'velocity', nan.joint_velocity),
            joint_effort=self._optional(joints.effort, index, count, 'effort', nan.joint_effort),
            base_quaternion=base.quaternion, base_angular_velocity=base.angular_velocity,
            base_linear_acceleration=base.linear_acceleration,
            base_position=_vector(odom.pose.pose.position) if has_odom else nan.base_position,
            base_linear_velocity=_vector(odom.twist.twist.linear) if has_odom else nan.base_linear_velocity,
            frame_position=nan.frame_position, frame_velocity=nan.frame_velocity, frame_axis_z=nan.frame_axis_z,
            contact_force=self._forces(contacts) if contacts else nan.contact_force)

    def _optional(self, values: Sequence[float], index: np.ndarray | None, count: int, what: str,
                  unknown: FloatArray) -> FloatArray:
        return ordered(values, index, count, what)[None] if len(values) else unknown

    def _forces(self, contacts: Mapping[str, WrenchStamped]) -> FloatArray:
        forces = self._unknown.contact_force.copy()
        for name, message in contacts.items():
            if name not in self._frames:
                raise MessageError(f"contact of frame '{name}': the robot has no such frame. Valid: "
                                   f"{', '.join(self._frames)}.")
            force = message.wrench.force
            forces[0, self._frames[name]] = math.sqrt(force.x * force.x + force.y * force.y + force.z * force.z)
        return forces


class CommandCodec:
    """``policy/command``: position targets by joint name, stamped with the observation that they answer."""

    def __init__(self, robot: RobotModel) -> None:
        self._message = JointState(name=list(robot.joint_names))
        self._writer = JointWriter(robot.joint_names)
        self._order = JointOrder(robot.joint_names, others_allowed=False)

    def encode(self, position: FloatArray, stamp: Time) -> JointState:
        """The message (reused) for targets (J,) [rad]."""
        self._message.header.stamp = stamp
        self._message.position = doubles(position)
        return self._message

    def serialize(self, position: FloatArray, stamp: int) -> bytes:
        """The same, serialized, with a stamp [ns]; a publisher takes it as it is, and faster."""
        return self._writer.write(position, stamp)

    def decode(self, message: JointState | JointSample) -> JointCommand:
        """The command, a batch of one; values may be NaN, which is the shield's to judge.

        Raises:
            MessageError: Names or sizes are wrong.
        """
        sample = JointSample.of(message)
        position = ordered(sample.position, self._order.index(sample.name), len(sample.name), 'position')
        return JointCommand(stamp=np.array([sample.stamp * 1e-9]), position=position[None])


def _unmeasured(robot: RobotModel) -> RobotState:
    """What is known of a robot without any message: nothing, but that a fixed base rests at the world's origin."""
    state = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
    if robot.floating:
        return state
    rest = np.zeros((1, 3))
    return dataclasses.replace(state, base_quaternion=np.array([[0.0, 0.0, 0.0, 1.0]]), base_angular_velocity=rest,
                               base_position=rest, base_linear_velocity=rest)


def _set(message: object, values: FloatArray) -> None:
    for name, value in zip('xyzw', values.tolist()):
        setattr(message, name, value)


def _vector(message: object) -> FloatArray:
    return np.array([[message.x, message.y, message.z]])

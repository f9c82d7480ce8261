"""Reads what ``ros/recorder.py`` (or ``ros2 bag record -s mcap``) wrote, into plain arrays for ``report/``."""

from __future__ import annotations

import contextlib
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.exceptions import McapError
from mcap.records import Channel, Footer, Message, Metadata
from mcap.stream_reader import CRCValidationError, StreamReader
from rclpy.serialization import deserialize_message
from std_msgs.msg import Float64MultiArray

from rl_robot_control.errors import ConfigurationError, RobotControlError, RobotDescriptionError
from rl_robot_control.report.recording import (
    BaseStates,
    ImuStates,
    JointEfforts,
    JointStates,
    JointTargets,
    Recording,
    ShieldStatus,
    VelocityCommands,
)
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.controllers import answered, make_controller
from rl_robot_control.ros.conversions import CHECKED_LABEL, STAMP_LABEL, MessageError, to_nanoseconds
from rl_robot_control.ros.interface import Topic
from rl_robot_control.types import FloatArray


class RecordingError(RobotControlError):
    """A file is no recording, or not one of this robot."""


class _Sample(NamedTuple):
    sent: int  # [ns]
    received: int  # [ns]
    sequence: int
    data: bytes


class _File(NamedTuple):
    samples: dict[str, list[_Sample]]  # by full topic name
    metadata: dict[str, str]
    complete: bool


def read_recording(path: Path, robot: RobotModel) -> Recording:
    """Read a recording; of one whose end is missing, everything before.

    Args:
        path: MCAP file.
        robot: The robot whose joints are looked up by name.

    Raises:
        RecordingError: The file is missing, no MCAP, or of another robot.
    """
    file = _read_file(path)
    recorded = file.metadata.get('robot', robot.name)
    if recorded != robot.name:
        raise RecordingError(f"recording '{path}' is of robot '{recorded}', not of '{robot.name}'.")
    try:
        said = file.metadata
        robot = robot.with_controller(said.get('controller', ''), said.get('controller_type', ''),
                                      said.get('controller_joints', '').split() or None)
    except (ConfigurationError, RobotDescriptionError) as error:
        raise RecordingError(f"recording '{path}': {error}") from error
    firsts = [samples[0].received for samples in file.samples.values() if samples]
    reader = _Reader(file, robot, min(firsts, default=0))
    return Recording(
        robot=robot.name, joint_names=robot.joint_names, origin=reader.origin * 1e-9, complete=file.complete,
        metadata=file.metadata, lost={topic: _lost(samples) for topic, samples in file.samples.items()},
        states=reader.joint_states(), base=reader.base(), imu=reader.imu(), requests=reader.requests(),
        commands=reader.commands(), efforts=reader.efforts(), velocity_commands=reader.velocity_commands(),
        status=reader.status())


def _read_file(path: Path) -> _File:
    samples: dict[str, list[_Sample]] = defaultdict(list)
    metadata: dict[str, str] = {}
    topics: dict[int, str] = {}
    complete = False
    try:
        with path.open('rb') as stream:
            for record in StreamReader(stream, validate_crcs=True).records:
                if isinstance(record, Channel):
                    topics[record.id] = record.topic
                elif isinstance(record, Message):
                    samples[topics[record.channel_id]].append(
                        _Sample(record.publish_time, record.log_time, record.sequence, record.data))
                elif isinstance(record, Metadata) and record.name == 'rl_robot_control':
                    metadata = dict(record.metadata)
                complete |= isinstance(record, Footer)
    except OSError as error:
        raise RecordingError(f"recording '{path}' cannot be read: {error.strerror}.") from error
    except (McapError, CRCValidationError, struct.error, ValueError, KeyError) as error:
        # The recorder was killed inside a block. A file in which not even the start makes sense is something else.
        if not topics and not metadata:
            raise RecordingError(f"'{path}' is no MCAP recording: {type(error).__name__}.") from error
        complete = False
    for messages in samples.values():
        messages.sort(key=lambda sample: sample.received)
    return _File(dict(samples), metadata, complete)


def _lost(samples: list[_Sample]) -> int:
    """Messages missing between the first and the last, where one publisher counted them."""
    counts = sorted({sample.sequence for sample in samples})
    if not counts or counts[0] == 0 or len(counts) < len(samples):
        return 0
    return counts[-1] - counts[0] + 1 - len(counts)


class _Reader:
    """Turns the messages of one file into arrays; times count from ``origin`` [ns]."""

    def __init__(self, file: _File, robot: RobotModel, origin: int) -> None:
        self._file, self._robot, self.origin = file, robot, origin
        self._place = {name: i for i, name in enumerate(robot.joint_names)}

    def _messages(self, topic: Topic) -> tuple[list[Any], dict[str, FloatArray]]:
        found = [samples for name, samples in self._file.samples.items() if f'/{name}'.endswith(f'/{topic.name}')]
        samples = found[0] if found else []
        times = {'sent': _seconds([s.sent for s in samples], self.origin),
                 'received': _seconds([s.received for s in samples], self.origin)}
        return [deserialize_message(s.data, topic.type) for s in samples], times

    def _joints(self, messages: list[Any], field: str) -> FloatArray:
        """One field of JointState messages (M, J), matched by name; NaN where it is missing."""
        values = np.full((len(messages), self._robot.num_joints), np.nan)
        for row, message in zip(values, messages):
            data = getattr(message, field)
            if len(data) == len(message.name):
                known = [i for i, name in enumerate(message.name) if name in self._place]
                row[[self._place[message.name[i]] for i in known]] = np.asarray(data)[known]
        return values

    def joint_states(self) -> JointStates:
        messages, times = self._messages(interface.JOINT_STATES)
        return JointStates(**times, stamp=_stamps(messages), **{
            field: self._joints(messages, field) for field in ('position', 'velocity', 'effort')})

    def requests(self) -> JointTargets:
        messages, times = self._messages(interface.POLICY_COMMAND)
        return JointTargets(**times, stamp=_stamps(messages), position=self._joints(messages, 'position'))

    def commands(self) -> JointTargets:
        if self._takes_efforts:
            return JointTargets()
        messages, times, position = self._told('position')
        return JointTargets(**times, stamp=np.array([_answered(message) for message in messages]), position=position)

    def efforts(self) -> JointEfforts:
        if not self._takes_efforts:
            return JointEfforts()
        _, times, effort = self._told('effort')
        return JointEfforts(**times, effort=effort)

    @property
    def _takes_efforts(self) -> bool:
        return self._robot.settings.topics.controller_type == 'effort'

    def _told(self, what: str) -> tuple[list[Any], dict[str, FloatArray], FloatArray]:
        """The controller's commands, their times, a field of ``DriveTargets`` (M, J), NaN where one is not valid."""
        messages, times = self._messages(interface.controller_commands(self._robot.settings.topics))
        controller = make_controller(self._robot, 0.0)
        values = np.full((len(messages), self._robot.num_joints), np.nan)
        for row, message in zip(values, messages):
            with contextlib.suppress(MessageError):
                row[:] = getattr(controller.decode(message), what)
        return messages, times, values

    def base(self) -> BaseStates:
        messages, times = self._messages(interface.ODOM)
        return BaseStates(
            **times, stamp=_stamps(messages), position=_rows([m.pose.pose.position for m in messages], 'xyz'),
            quaternion=_rows([m.pose.pose.orientation for m in messages], 'xyzw'),
            linear_velocity=_rows([m.twist.twist.linear for m in messages], 'xyz'),
            angular_velocity=_rows([m.twist.twist.angular for m in messages], 'xyz'))

    def imu(self) -> ImuStates:
        messages, times = self._messages(interface.IMU)
        return ImuStates(**times, stamp=_stamps(messages), quaternion=_rows([m.orientation for m in messages], 'xyzw'),
                         angular_velocity=_rows([m.angular_velocity for m in messages], 'xyz'))

    def velocity_commands(self) -> VelocityCommands:
        messages, times = self._messages(interface.CMD_VEL)
        velocity = [[m.linear.x, m.linear.y, m.angular.z] for m in messages]
        return VelocityCommands(**times, velocity=np.array(velocity, dtype=np.float64).reshape(-1, 3))

    def status(self) -> ShieldStatus:
        messages, times = self._messages(interface.SHIELD_STATUS)
        values = [{pair.key: pair.value for status in m.status for pair in status.values} for m in messages]
        texts = [m.status[0].message if m.status else '' for m in messages]
        return ShieldStatus(**times, values=tuple(values),
                            mode=tuple(v.get('mode') or text.partition(':')[0] for v, text in zip(values, texts)))


def _seconds(nanoseconds: list[int], origin: int) -> FloatArray:
    return np.array([t - origin for t in nanoseconds], dtype=np.float64) * 1e-9


def _stamps(messages: list[Any]) -> FloatArray:
    return np.array([to_nanoseconds(message.header.stamp) * 1e-9 for message in messages], dtype=np.float64)


def _answered(message: Any) -> float:
    """The state that a controller command answers or was checked against [s], where the shield says so; else NaN."""
    if isinstance(message, Float64MultiArray):
        stamp = answered(message, STAMP_LABEL, CHECKED_LABEL)
    else:
        stamp = to_nanoseconds(message.header.stamp) or None
    return float('nan') if stamp is None else stamp * 1e-9


def _rows(messages: list[Any], names: str) -> FloatArray:
    return np.array([[getattr(m, name) for name in names] for m in messages], dtype=np.float64).reshape(-1, len(names))

"""The loop's messages straight from their serialized bytes, and back.

A humanoid's joint states carry the names of all joints each time, and an ``Imu`` three matrices that nobody changes; to
turn them into Python's objects costs more than what is then done with the numbers. So a reader learns from the first
message, which rclpy deserializes, where the numbers stand. Of later messages that are the same everywhere else it takes
the numbers from their places; any other message is deserialized again. Padding is left out of the comparison: it holds
whatever was there before.

The bytes are CDR (OMG DDS-RTPS 2.5, chapter 10), in which rmw hands them over: four bytes that say so, then each value
aligned to its size, counted from there; texts and sequences begin with their length.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu, JointState

from rl_robot_control.types import FloatArray

QUATERNION_TOLERANCE = 0.01  # of its length
_ORIGIN = 4  # of the alignment: behind the four bytes
_STAMP = struct.Struct('<iI')  # seconds, nanoseconds; the first of every header
_LITTLE_ENDIAN = b'\x00\x01'
_FIELDS = ('position', 'velocity', 'effort')
_UNMEASURED = -1.0  # of a covariance, by the definition of Imu


def to_nanoseconds(stamp: Time) -> int:
    """A stamp [ns]."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


@dataclass(frozen=True, slots=True)
class JointSample:
    """A ``JointState``; a quantity that it does not hold is empty."""

    stamp: int  # [ns]
    name: list[str]
    position: FloatArray  # [rad]
    velocity: FloatArray  # [rad/s]
    effort: FloatArray  # [N·m]

    @classmethod
    def of(cls, message: JointState | JointSample) -> JointSample:
        """The sample of a message; a sample is returned as it is."""
        if isinstance(message, cls):
            return message
        return cls(to_nanoseconds(message.header.stamp), list(message.name),
                   *(np.array(getattr(message, field), dtype=np.float64) for field in _FIELDS))


@dataclass(frozen=True, slots=True)
class ImuSample:
    """An ``Imu``; what its covariance says is not measured is NaN, and so is a quaternion whose length is not 1."""

    stamp: int  # [ns]
    quaternion: FloatArray  # (1, 4) x y z w
    angular_velocity: FloatArray  # (1, 3) in the frame of the sensor [rad/s]
    linear_acceleration: FloatArray  # (1, 3) specific force there [m/s²]

    @classmethod
    def of(cls, message: Imu | ImuSample) -> ImuSample:
        """The sample of a message; a sample is returned as it is."""
        if isinstance(message, cls):
            return message
        return cls.from_numbers(to_nanoseconds(message.header.stamp), _imu_numbers(message))

    @classmethod
    def from_numbers(cls, stamp: int, values: FloatArray) -> ImuSample:
        """From the 37 numbers of a message in their order, quantities and covariances."""
        values = values.copy()
        for first, count in ((0, 4), (13, 3), (25, 3)):
            if values[first + count] == _UNMEASURED:
                values[first:first + count] = np.nan
        quaternion = values[None, :4]
        if not abs(math.sqrt(np.dot(values[:4], values[:4])) - 1.0) < QUATERNION_TOLERANCE:
            quaternion[:] = np.nan  # the all-zero quaternion of a driver that has no orientation, for one
        return cls(stamp, quaternion, values[None, 13:16], values[None, 25:28])


def stamp_of(message: Any) -> int:
    """When a message or sample says that it was measured [ns]."""
    return message.stamp if isinstance(message, (JointSample, ImuSample)) else to_nanoseconds(message.header.stamp)


def reader(message_type: type) -> Callable[[bytes], Any]:
    """Turns the bytes of one topic into samples, or into messages where there is no sample of the type."""
    if message_type is JointState:
        return _JointReader().read
    if message_type is Imu:
        return _ImuReader().read
    return lambda data: deserialize_message(data, message_type)


class JointWriter:
    """Serialized ``JointState``s of always the same joints, with positions only.

    Args:
        names: J joints.
    """

    def __init__(self, names: Sequence[str]) -> None:
        message = JointState(name=list(names), position=[0.0] * len(names))
        self._data, self._size = bytearray(serialize_message(message)), 8 * len(names)
        self._start = _joint_layout(message).numbers[0][0]

    def write(self, position: FloatArray, stamp: int) -> bytes:
        """The bytes of positions (J,) [rad] with a stamp [ns]."""
        _STAMP.pack_into(self._data, _ORIGIN, *divmod(stamp, 1_000_000_000))
        self._data[self._start:self._start + self._size] = np.ascontiguousarray(position, dtype='<f8').tobytes()
        return bytes(self._data)


class _Layout:
    """Where in a message's bytes the numbers stand, and what else has a meaning; between them is padding."""

    def __init__(self) -> None:
        self.at = _ORIGIN + _STAMP.size
        self.numbers: list[tuple[int, int]] = []  # offset and count of each run of numbers
        self.others: list[slice] = []

    def text(self, value: str) -> None:
        """A text: length, bytes, zero."""
        self.length()
        self._other(len(value.encode()) + 1)

    def length(self) -> None:
        """The number of elements of a sequence, or of a text."""
        self._align(4)
        self._other(4)

    def doubles(self, count: int) -> None:
        """Numbers; none of them take no place, and no alignment."""
        if count:
            self._align(8)
        self.numbers.append((self.at, count))
        self.at += 8 * count

    def _align(self, size: int) -> None:
        self.at += (_ORIGIN - self.at) % size

    def _other(self, size: int) -> None:
        self.others.append(slice(self.at, self.at + size))
        self.at += size


def _joint_layout(message: JointState) -> _Layout:
    layout = _Layout()
    layout.text(message.header.frame_id)
    layout.length()
    for name in message.name:
        layout.text(name)
    for field in _FIELDS:
        layout.length()
        layout.doubles(len(getattr(message, field)))
    return layout


def _imu_layout(message: Imu) -> _Layout:
    layout = _Layout()
    layout.text(message.header.frame_id)
    layout.doubles(37)
    return layout


class _Form:
    """The form of a message that was understood; it recognizes others that differ in stamp and numbers only."""

    def __init__(self, data: bytes, layout: _Layout) -> None:
        self._numbers, self._size = layout.numbers, layout.at
        self._mask = np.zeros(len(data), dtype=np.uint8)
        self._mask[:2] = 0xff  # the encoding
        for place in layout.others:
            self._mask[place] = 0xff
        self._same = self._masked(data)

    def numbers(self, data: bytes) -> list[FloatArray] | None:
        """The runs of numbers of a message; None where it has another form."""
        if len(data) != len(self._mask) or self._size > len(data) or self._masked(data) != self._same:
            return None
        return [np.frombuffer(data, '<f8', count, start) for start, count in self._numbers]

    def _masked(self, data: bytes) -> bytes:
        return (np.frombuffer(data, np.uint8) & self._mask).tobytes()


class _JointReader:
    def __init__(self) -> None:
        self._form: _Form | None = None
        self._names: list[str] = []

    def read(self, data: bytes) -> JointSample:
        numbers = None if self._form is None else self._form.numbers(data)
        if numbers is None:
            return self._learn(data)
        return JointSample(_stamp(data), self._names, *numbers)

    def _learn(self, data: bytes) -> JointSample:
        message = deserialize_message(data, JointState)
        sample = JointSample.of(message)
        self._form, self._names = _learned(data, _joint_layout(message), [
            sample.position, sample.velocity, sample.effort]), sample.name
        return sample


class _ImuReader:
    def __init__(self) -> None:
        self._form: _Form | None = None

    def read(self, data: bytes) -> ImuSample:
        numbers = None if self._form is None else self._form.numbers(data)
        return self._learn(data) if numbers is None else ImuSample.from_numbers(_stamp(data), numbers[0])

    def _learn(self, data: bytes) -> ImuSample:
        message = deserialize_message(data, Imu)
        self._form = _learned(data, _imu_layout(message), [_imu_numbers(message)])
        return ImuSample.of(message)


def _learned(data: bytes, layout: _Layout, expected: list[FloatArray]) -> _Form | None:
    """The form of a message; None where its numbers are not found where they should be: then each is deserialized."""
    if data[:2] != _LITTLE_ENDIAN or layout.at > len(data):
        return None
    form = _Form(data, layout)
    agree = all(np.array_equal(*pair, equal_nan=True) for pair in zip(form.numbers(data), expected))
    return form if agree else None


def _imu_numbers(message: Imu) -> FloatArray:
    """Its 37 numbers in their order: 4 + 9, 3 + 9, 3 + 9."""
    q, w, a = message.orientation, message.angular_velocity, message.linear_acceleration
    return np.concatenate([(q.x, q.y, q.z, q.w), message.orientation_covariance,
                           (w.x, w.y, w.z), message.angular_velocity_covariance,
                           (a.x, a.y, a.z), message.linear_acceleration_covariance])


def _stamp(data: bytes) -> int:
    seconds, nanoseconds = _STAMP.unpack_from(data, _ORIGIN)
    return seconds * 1_000_000_000 + nanoseconds

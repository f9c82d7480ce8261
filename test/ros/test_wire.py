"""Samples from serialized messages are what rclpy makes of the same bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Imu, JointState

from rl_robot_control.ros import wire
from rl_robot_control.ros.wire import ImuSample, JointSample, JointWriter, reader

TEXTS = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=9)
NUMBERS = st.floats(width=64)
STAMPS = st.tuples(st.integers(-2**31, 2**31 - 1), st.integers(0, 2**32 - 1))


@st.composite
def joint_states(draw):
    message = JointState(name=draw(st.lists(TEXTS, max_size=5)))
    message.header.frame_id = draw(TEXTS)
    message.header.stamp.sec, message.header.stamp.nanosec = draw(STAMPS)
    for field in ('position', 'velocity', 'effort'):
        setattr(message, field, draw(st.lists(NUMBERS, max_size=5)))
    return message


@st.composite
def imus(draw):
    message = Imu()
    message.header.frame_id = draw(TEXTS)
    message.header.stamp.sec, message.header.stamp.nanosec = draw(STAMPS)
    for part in (message.orientation, message.angular_velocity, message.linear_acceleration):
        for axis in 'xyzw'[:4 if part is message.orientation else 3]:
            setattr(part, axis, draw(NUMBERS))
    for name in ('orientation', 'angular_velocity', 'linear_acceleration'):
        setattr(message, f'{name}_covariance', draw(st.lists(st.sampled_from([0.0, -1.0]), min_size=9, max_size=9)))
    return message


def same(sample, expected):
    return all(getattr(sample, name) == value if isinstance(value, (int, list)) else
               np.array_equal(getattr(sample, name), value, equal_nan=True)
               for name, value in ((name, getattr(expected, name)) for name in expected.__slots__))


@given(st.lists(joint_states(), min_size=1, max_size=4))
def test_joint_states_of_any_form_are_read_one_after_the_other(messages):
    read = reader(JointState)
    for message in [*messages, *messages]:
        data = serialize_message(message)
        assert same(read(data), JointSample.of(deserialize_message(data, JointState)))


@given(st.lists(imus(), min_size=1, max_size=4))
def test_imus_of_any_form_are_read_one_after_the_other(messages):
    read = reader(Imu)
    for message in [*messages, *messages]:
        data = serialize_message(message)
        assert same(read(data), ImuSample.of(deserialize_message(data, Imu)))


@given(STAMPS, st.lists(NUMBERS, min_size=3, max_size=3))
def test_what_is_written_is_what_rclpy_reads(stamp, position):
    names = ['hip', 'knee_joint', 'ankle']
    nanoseconds = stamp[0] * 1_000_000_000 + stamp[1] % 1_000_000_000
    message = deserialize_message(JointWriter(names).write(np.array(position), nanoseconds), JointState)
    np.testing.assert_array_equal(message.position, position)
    assert (message.name, len(message.velocity), wire.to_nanoseconds(message.header.stamp)) == (names, 0, nanoseconds)


def test_a_message_of_the_learned_form_is_read_in_place(monkeypatch):
    read, message = reader(JointState), JointState(name=['a', 'bc'], position=[1.0, 2.0], effort=[3.0, 4.0])
    read(serialize_message(message))
    monkeypatch.setattr(wire, 'deserialize_message', None)  # from here on it must not be called
    message.header.stamp.sec, message.effort = 2, [5.0, math.nan]
    sample = read(serialize_message(message))
    assert sample.stamp == 2_000_000_000
    np.testing.assert_array_equal(sample.effort, [5.0, math.nan])
    assert sample.velocity.size == 0


def test_other_names_are_another_form():
    read = reader(JointState)
    read(serialize_message(JointState(name=['a', 'b'], position=[1.0, 2.0])))
    assert read(serialize_message(JointState(name=['b', 'a'], position=[1.0, 2.0]))).name == ['b', 'a']


def test_padding_does_not_matter():
    read, message = reader(JointState), JointState(name=['abcd'], position=[1.0])
    data = bytearray(serialize_message(message))
    read(bytes(data))
    # header 4, stamp 8, frame_id 4 + 1, then three bytes of padding before the number of names
    data[17:20] = b'\xff\xff\xff'
    assert read(bytes(data)).position.tolist() == [1.0]


@pytest.mark.parametrize('place', [0, 1])
def test_another_encoding_is_left_to_rclpy(monkeypatch, place):
    read, data = reader(JointState), bytearray(serialize_message(JointState(name=['a'], position=[1.0])))
    read(bytes(data))
    data[place] ^= 1
    asked = []
    monkeypatch.setattr(wire, 'deserialize_message', lambda data, kind: asked.append(kind) or JointState())
    read(bytes(data))
    assert asked == [JointState]


def test_types_without_samples_stay_messages():
    assert isinstance(reader(Odometry)(serialize_message(Odometry())), Odometry)

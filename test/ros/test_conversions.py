"""Messages ↔ arrays."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from geometry_msgs.msg import WrenchStamped
from sensor_msgs.msg import Imu, JointState

from rl_robot_control.ros.conversions import (
    CommandCodec,
    JointOrder,
    MessageError,
    StateDecoder,
    StateEncoder,
    seconds_to_time,
    to_nanoseconds,
    to_seconds,
    to_time,
)
from rl_robot_control.types import RobotState


def random_state(robot, seed=0):
    """A state with every entry known but the contact of the frame that has no sensor."""
    rng = np.random.default_rng(seed)
    blank = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
    state = RobotState(**{f.name: rng.normal(size=getattr(blank, f.name).shape) for f in dataclasses.fields(blank)})
    sensed = [frame.contact is not None for frame in robot.settings.frames.values()]
    return dataclasses.replace(
        state, time=np.array([1.25]), contact_force=np.where(sensed, np.abs(state.contact_force), np.nan),
        base_quaternion=state.base_quaternion / np.linalg.norm(state.base_quaternion))


def decode_all(robot, encoder):
    return StateDecoder(robot).decode(encoder.joints, encoder.imu, encoder.odom, encoder.contacts)


def test_a_state_survives_bit_for_bit(g1):
    state, encoder = random_state(g1), StateEncoder(g1)
    encoder.encode(state, seconds_to_time(1.25))
    back = decode_all(g1, encoder)
    for field in dataclasses.fields(state):
        expected = getattr(state, field.name)
        if field.name.startswith('frame_'):
            expected = np.full_like(expected, np.nan)  # frames are on no topic
        np.testing.assert_array_equal(getattr(back, field.name), expected, err_msg=field.name)


def test_joints_are_matched_by_name_in_any_order(g1):
    order = np.random.default_rng(1).permutation(g1.num_joints)
    message = JointState(name=[g1.joint_names[i] for i in order], position=[float(i) for i in order],
                         velocity=[10.0 * i for i in order])
    state = StateDecoder(g1).decode(message)
    np.testing.assert_array_equal(state.joint_position[0], np.arange(g1.num_joints))  # joint i was sent the value i
    np.testing.assert_array_equal(state.joint_velocity[0], 10.0 * np.arange(g1.num_joints))


def test_the_order_may_change_from_message_to_message():
    order = JointOrder(['a', 'b'], others_allowed=False)
    assert order.index(['a', 'b']) is None
    assert order.index(['b', 'a']).tolist() == [1, 0]
    assert order.index(['a', 'b']) is None


@pytest.mark.parametrize(('names', 'text'), [
    (['a', 'b'], "joint 'c' is missing; expected each of 3 joints once."),
    (['a', 'b', 'c', 'a'], "joint 'a' is there twice; expected each of 3 joints once."),
    (['a', 'b', 'c', 'd'], "joint 'd' is unknown; expected each of 3 joints once."),
    ([], "joint 'a' (and 2 more) is missing; expected each of 3 joints once."),
])
def test_wrong_names_are_refused(names, text):
    with pytest.raises(MessageError) as error:
        JointOrder(['a', 'b', 'c'], others_allowed=False).index(names)
    assert str(error.value) == text


def test_a_state_may_hold_further_joints_and_a_command_may_not(g1):
    names = ['left_thumb', *g1.joint_names]
    message = JointState(name=names, position=[float(i) for i in range(len(names))])
    state = StateDecoder(g1).decode(message)
    assert state.joint_position[0, 0] == 1.0  # the thumb holds 0
    with pytest.raises(MessageError, match="joint 'left_thumb' is unknown"):
        CommandCodec(g1).decode(message)


def test_what_is_not_measured_is_nan(g1):
    message = JointState(name=list(g1.joint_names), position=[0.0] * g1.num_joints)
    state = StateDecoder(g1).decode(message, Imu(orientation_covariance=[-1.0, *[0.0] * 8]))
    for name in ('joint_velocity', 'joint_effort', 'base_quaternion', 'base_position', 'contact_force'):
        assert np.isnan(getattr(state, name)).all(), name
    assert not np.isnan(state.base_angular_velocity).any()


def test_nan_stays_nan(g1):
    position = np.zeros(g1.num_joints)
    position[3] = np.nan
    command = CommandCodec(g1).decode(CommandCodec(g1).encode(position, to_time(5)))
    assert np.flatnonzero(np.isnan(command.position[0])).tolist() == [3]


@pytest.mark.parametrize('quaternion', [(0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 2.0), (math.nan, 0.0, 0.0, 1.0)])
def test_what_is_no_rotation_is_no_orientation(g1, quaternion):
    imu = Imu()
    imu.orientation.x, imu.orientation.y, imu.orientation.z, imu.orientation.w = quaternion
    message = JointState(name=list(g1.joint_names), position=[0.0] * g1.num_joints)
    assert np.isnan(StateDecoder(g1).decode(message, imu).base_quaternion).all()


def test_lengths_must_agree(g1):
    message = JointState(name=list(g1.joint_names), position=[0.0] * 3)
    with pytest.raises(MessageError, match="'position' holds 3 values for 29 joint names"):
        StateDecoder(g1).decode(message)


def test_a_contact_is_the_length_of_the_force(g1):
    wrench = WrenchStamped()
    wrench.wrench.force.x, wrench.wrench.force.y, wrench.wrench.force.z = 2.0, 3.0, 6.0  # 4 + 9 + 36 = 49
    message = JointState(name=list(g1.joint_names), position=[0.0] * g1.num_joints)
    state = StateDecoder(g1).decode(message, contacts={'right_foot': wrench})
    assert state.contact_force[0, g1.frame_names.index('right_foot')] == 7.0
    with pytest.raises(MessageError, match="contact of frame 'tail'"):
        StateDecoder(g1).decode(message, contacts={'tail': wrench})


def test_stamps():
    stamp = to_time(3_000_000_007)
    assert (stamp.sec, stamp.nanosec) == (3, 7)
    assert to_nanoseconds(stamp) == 3_000_000_007
    assert to_seconds(seconds_to_time(0.02)) == 0.02
    assert to_nanoseconds(seconds_to_time(0.1 + 0.2)) == 300_000_000  # 0.30000000000000004 s

"""What each type of joint controller is told, and a simulated arm behind each of them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from ear import Ear
from hypothesis import given
from hypothesis import strategies as st
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, MultiArrayDimension, MultiArrayLayout
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import CONTROLLER_TYPES, load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.controllers import Aim, make_controller
from rl_robot_control.ros.conversions import CommandCodec, MessageError
from rl_robot_control.types import RobotState

pytestmark = pytest.mark.realtime

NS = 20_000_000  # a stamp [ns]


@pytest.fixture(scope='module')
def panda():
    return load_robot('panda')


def controller(robot, kind):
    return make_controller(robot.with_controller(controller_type=kind), 0.02)


def at(robot, position=0.0, velocity=0.0):
    """The robot away from its default pose."""
    state = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
    return dataclasses.replace(state, joint_position=robot.default_position[None] + position,
                               joint_velocity=np.full((1, robot.num_joints), velocity))


def test_positions_say_which_state_they_answer(g1):
    position = controller(g1, 'position')
    told = position.decode(position.encode(Aim(position=g1.default_position, answers=NS)))
    np.testing.assert_array_equal(told.position, g1.default_position)
    assert told.answers == NS
    assert position.encode(Aim(position=g1.default_position, checked=NS)).layout.dim[0].label == f'checked against {NS}'
    assert position.decode(Float64MultiArray(data=[0.0] * 29)).answers is None


@given(st.permutations(range(7)))
def test_the_controller_s_own_order(order):
    """A value goes to the joint that it is for, whatever the order, and comes back to it."""
    panda = load_robot('panda').with_controller(joints=[f'panda_joint{1 + k}' for k in order])
    target = np.arange(1.0, 8.0)  # joint n is to be at n rad
    for kind, width in (('position', 1), ('effort', 1), ('drive', 5)):
        one = make_controller(panda.with_controller(controller_type=kind), 0.02)
        one.set_gains(np.ones(7), np.zeros(7))
        rest = dataclasses.replace(RobotState.unknown(1, 7, 1), joint_position=np.zeros((1, 7)),
                                   joint_velocity=np.zeros((1, 7)))
        message = one.encode(Aim(position=target, state=rest, answers=NS))
        assert list(message.data[::width]) == [1.0 + k for k in order]  # an effort of stiffness 1 is the position, too
        told = one.decode(message)
        np.testing.assert_array_equal(told.effort if kind == 'effort' else told.position, target)


def test_a_drive_gets_five_values_for_each_joint(panda):
    drive = controller(panda, 'drive')
    message = drive.encode(Aim(position=panda.default_position))
    # joint 2 of the Panda: -0.785 rad, 600 N·m/rad, 50 N·m·s/rad
    assert list(message.data[5:10]) == [-0.785, 0.0, 0.0, 600.0, 50.0]
    told = drive.decode(message)
    assert told.stiffness[1] == 600.0
    assert told.damping[1] == 50.0
    assert list(drive.encode(Aim(position=panda.default_position, damped=True)).data[5:10]) == [-0.785, 0, 0, 0, 50]


def test_a_drive_is_damped_where_the_state_is_not_known(panda):
    data = list(controller(panda, 'drive').encode(Aim(position=None)).data)
    assert data[5:10] == [-0.785, 0.0, 0.0, 0.0, 50.0]  # without stiffness the pose does not matter


def test_a_drive_adds_velocity_and_effort(panda):
    data = np.zeros((7, 5))
    data[1] = 0.1, 0.2, 3.0, 600.0, 50.0
    told = controller(panda, 'drive').decode(Float64MultiArray(data=data.ravel().tolist()))
    assert told.feed_forward(told.damping)[1] == pytest.approx(50.0 * 0.2 + 3.0)


def test_an_effort_is_what_the_gains_make_within_the_limit(panda):
    effort = controller(panda, 'effort')
    target = panda.default_position.copy()
    target[0] += 0.1
    target[1] += 1.0
    data = effort.encode(Aim(position=target, state=at(panda, velocity=0.02))).data
    assert data[0] == pytest.approx(600 * 0.1 - 50 * 0.02)
    assert data[1] == 87.0  # 600 · 1.0 − 50 · 0.02 is more than the URDF's effort limit
    damped = effort.encode(Aim(position=target, state=at(panda, velocity=0.02), damped=True)).data
    assert damped[1] == pytest.approx(-50 * 0.02)


@pytest.mark.parametrize('aim', [
    Aim(position=None), Aim(position=np.zeros(7)), Aim(position=None, damped=True),
    Aim(position=np.zeros(7), state=RobotState.unknown(1, 7, 1)),
])
def test_an_effort_is_zero_where_the_state_is_not_known(panda, aim):
    assert list(controller(panda, 'effort').encode(aim).data) == [0.0] * 7


@pytest.mark.parametrize('kind', ['position', 'trajectory', 'joint_state'])
def test_positions_are_left_out_where_none_is_safe(panda, kind):
    assert controller(panda, kind).encode(Aim(position=None, damped=True)) is None


def test_a_trajectory_has_one_point_that_is_reached_by_the_next_command(panda):
    trajectory = controller(panda, 'trajectory')
    message = trajectory.encode(Aim(position=panda.default_position))
    assert message.points[0].time_from_start == Duration(nanosec=20_000_000)
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)  # at once
    message.joint_names = message.joint_names[::-1]
    message.points[0].positions = list(message.points[0].positions)[::-1]
    told = trajectory.decode(message)
    np.testing.assert_array_equal(told.position, panda.default_position)
    assert told.duration == 0.02


def test_a_joint_state_is_matched_by_name(panda):
    joint_state = controller(panda, 'joint_state')
    message = joint_state.encode(Aim(position=panda.default_position, checked=1_500_000_000))
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 500_000_000)
    shuffled = JointState(name=list(message.name)[::-1], position=list(message.position)[::-1])
    np.testing.assert_array_equal(joint_state.decode(shuffled).position, panda.default_position)


NAMES = [f'panda_joint{i}' for i in range(1, 8)]


@pytest.mark.parametrize(('kind', 'message', 'text'), [
    ('position', Float64MultiArray(data=[0.0] * 6), 'the command holds 6 values; the robot has 7 joints.'),
    ('position', Float64MultiArray(), 'the command holds 0 values'),
    ('position', Float64MultiArray(data=[0.0] * 5 + [math.nan, 0.0]), 'the command holds nan at index 5'),
    ('effort', Float64MultiArray(data=[math.inf] + [0.0] * 6), 'the command holds inf at index 0'),
    ('drive', Float64MultiArray(data=[0.0] * 7),
     'the command holds 7 values; 35 are needed, 5 for each of 7 joints.'),
    ('drive', Float64MultiArray(data=[0.0] * 13 + [-1.0] + [0.0] * 21),
     "stiffness of joint 'panda_joint3' is -1 in the command; a gain must not be negative."),
    ('trajectory', JointTrajectory(joint_names=NAMES), 'the trajectory holds 0 points; exactly one is expected.'),
    ('trajectory', JointTrajectory(joint_names=NAMES, points=[JointTrajectoryPoint(positions=[0.0])]),
     "'position' holds 1 values for 7 joint names."),
    ('trajectory', JointTrajectory(joint_names=NAMES, points=[JointTrajectoryPoint(
        positions=[0.0] * 7, time_from_start=Duration(sec=-1))]), 'lies 1 s before its start'),
    ('joint_state', JointState(name=NAMES[:-1], position=[0.0] * 6), "joint 'panda_joint7' is missing"),
    ('joint_state', JointState(name=NAMES, position=[0.0] * 6 + [math.nan]), 'the command holds nan at index 6'),
])
def test_bad_commands_are_refused(panda, kind, message, text):
    with pytest.raises(MessageError, match=text):
        controller(panda, kind).decode(message)


@given(label=st.text(max_size=40))
def test_any_label_is_read_or_left_alone(label):
    layout = MultiArrayLayout(dim=[MultiArrayDimension(label=label)])
    told = controller(load_robot('panda'), 'position').decode(Float64MultiArray(data=[0.0] * 7, layout=layout))
    assert told.answers is None or label == f'answers {label[8:]}'


def test_lockstep_needs_positions(panda):
    with pytest.raises(ConfigurationError, match="controller's type must be 'position'; it is 'drive'"):
        make_controller(panda.with_controller(controller_type='drive'), 0.02, lockstep=True)


@pytest.mark.parametrize('kind', CONTROLLER_TYPES)
def test_an_arm_follows_and_is_damped_behind_each_controller(group, operator, panda, kind):
    chosen = {'robot': 'panda', 'controller': 'arm', 'controller_type': kind}
    group.start('simulation', {**chosen, 'timestep': 0.002, 'publish_period': 0.002, 'hold_until_command': True})
    group.start('shield', chosen)
    robot = panda.with_controller('arm', kind)
    joints, told = Ear(operator, interface.JOINT_STATES), Ear(
        operator, interface.controller_commands(robot.settings.topics))
    policy, codec = interface.POLICY_COMMAND.publisher(operator.node), CommandCodec(robot)
    operator.wait_until(lambda: operator.status('shield') is not None and policy.get_subscription_count() > 0
                        and joints.messages, 'shield and robot are there', 30.0)
    goal = panda.default_position.copy()
    goal[:2] += 0.2

    def arrived():
        policy.publish(codec.encode(goal, joints.latest.header.stamp))
        heard = len(joints.messages)
        operator.wait_until(lambda: len(joints.messages) > heard + 5, 'the world goes on', 5.0)
        return np.abs(np.array(joints.latest.position) - goal).max() < 0.05  # gravity makes the joints sag by that

    operator.wait_until(arrived, f'the arm is where it is to be; it says {operator.values("simulation")}', 20.0)
    make_controller(robot, 0.02).decode(told.latest)
    assert operator.value('simulation', 'commands refused') == '0'
    operator.wait_until(lambda: operator.value('shield', 'mode') == 'DAMPING', 'the shield damps', 10.0)
    told.messages.clear()
    operator.wait_until(lambda: len(told.messages) > 3, 'damping is told', 5.0)
    if kind in ('drive', 'effort'):  # these sag, as nothing carries the arm
        operator.wait_until(lambda: np.abs(np.array(joints.latest.position) - goal).max() > 0.1, 'the arm sags', 10.0)

"""Observations, actions and what is remembered between them."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.config import parse_settings
from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.interface import InterfaceSettings, PolicyInterface, probe
from rl_robot_control.types import RobotState


@pytest.fixture(scope='module')
def g1():
    return load_robot('unitree_g1')


def settings(**changes):
    data = {'control_period': 0.02, 'command': {},
            'action': {'joints': ['left_knee_joint', 'right_knee_joint'], 'scale': 0.5, 'clip': 2.0},
            'observations': [{'term': 'joint_position'}, {'term': 'command'}, {'term': 'last_action'}]}
    return parse_settings(data | changes, InterfaceSettings, 'test.yaml')


def state(robot, count=1, **changes):
    unknown = RobotState.unknown(count, robot.num_joints, len(robot.frame_names))
    known = {'time': np.zeros(count), 'joint_position': np.tile(robot.default_position, (count, 1)),
             'joint_velocity': np.zeros((count, robot.num_joints)),
             'base_quaternion': np.tile([0.0, 0, 0, 1], (count, 1)), 'base_angular_velocity': np.zeros((count, 3))}
    return dataclasses.replace(unknown, **(known | changes))


def test_an_observation_is_what_its_terms_say_in_their_order(g1):
    interface = PolicyInterface(settings(), g1, 1)
    measured = g1.default_position.copy()
    knees = g1.joint_indices(['left_knee_joint', 'right_knee_joint'])
    measured[knees] += [0.1, -0.2]
    here = state(g1, joint_position=measured[None])
    interface.reset(here)
    observation = interface.observe(here, np.array([[0.5, 0.0, 0.1]]))
    np.testing.assert_allclose(observation, [[0.1, -0.2, 0.5, 0.0, 0.1, 0.0, 0.0]])
    assert interface.observation_sizes == {'joint_position': 2, 'command': 3, 'last_action': 2}


def test_a_probe_tracks_an_upright_motion(g1):
    tracking = settings(motion={'anchor_link': 'torso_link', 'length': 1}, observations=[{'term': 'motion_joints'}])
    np.testing.assert_array_equal(probe(tracking, g1).reference.anchor_quaternion, [[0.0, 0.0, 0.0, 1.0]])
    assert probe(settings(), g1).reference is None


def test_an_action_moves_its_joints_and_leaves_the_others(g1):
    interface = PolicyInterface(settings(), g1, 1)
    target = interface.act(state(g1), np.array([[1.0, -5.0]]))[0]
    knees = g1.joint_indices(['left_knee_joint', 'right_knee_joint'])
    # 0.669 + 0.5·1 and 0.669 + 0.5·(−2): the action is clipped at 2
    np.testing.assert_allclose(target[knees], [1.169, -0.331])
    others = np.delete(np.arange(29), knees)
    np.testing.assert_array_equal(target[others], g1.default_position[others])
    np.testing.assert_array_equal(interface.action, [[1.0, -2.0]])


def test_clip_comes_before_scale(g1):
    entry = {'term': 'base_angular_velocity', 'clip': [-1.0, 1.0], 'scale': 0.25}
    interface = PolicyInterface(settings(observations=[entry]), g1, 1)
    here = state(g1, base_angular_velocity=np.array([[8.0, 0.4, -8.0]]))
    np.testing.assert_allclose(interface.observe(here, np.zeros((1, 3))), [[0.25, 0.1, -0.25]])


def test_a_command_changes_no_faster_than_its_slew(g1):
    interface = PolicyInterface(settings(command={'slew': [2.0, 2.0, 4.0]}), g1, 1)
    here = state(g1)
    for expected in (0.04, 0.08, 0.1, 0.1):  # 2 m/s² · 0.02 s per period
        observation = interface.observe(here, np.array([[0.1, 0.0, 0.0]]))
        assert observation[0, 2] == pytest.approx(expected)


def test_a_heading_is_held(g1):
    interface = PolicyInterface(settings(command={'heading_gain': 1.0, 'heading_limit': 0.5}), g1, 1)
    interface.reset(state(g1))
    turned = state(g1, base_quaternion=np.array([[0.0, 0.0, np.sin(0.1), np.cos(0.1)]]))  # 0.2 rad to the left
    assert interface.observe(turned, np.zeros((1, 3)))[0, 4] == pytest.approx(-0.2)
    far = state(g1, base_quaternion=np.array([[0.0, 0.0, np.sin(1.0), np.cos(1.0)]]))  # 2 rad: bounded at 0.5
    assert interface.observe(far, np.zeros((1, 3)))[0, 4] == pytest.approx(-0.5)


def test_the_clock_advances_with_each_action(g1):
    interface = PolicyInterface(settings(), g1, 2)
    interface.reset(state(g1, 2), phase=np.array([0.0, 0.99]))
    interface.act(state(g1, 2), np.zeros((2, 2)))
    np.testing.assert_allclose(interface.phase, [0.025, 0.015])  # 0.02 s of 0.8 s, wrapped


def test_resetting_one_robot_leaves_the_others(g1):
    interface = PolicyInterface(settings(), g1, 2)
    interface.act(state(g1, 2), np.ones((2, 2)))
    interface.reset(state(g1, 2), np.array([1]))
    np.testing.assert_array_equal(interface.action, [[1, 1], [0, 0]])


def test_what_is_not_measured_stays_unknown(g1):
    interface = PolicyInterface(settings(observations=[{'term': 'base_height'}]), g1, 1)
    assert np.isnan(interface.observe(state(g1), np.zeros((1, 3)))).all()


@pytest.mark.parametrize(('changes', 'message'), [
    ({'observations': [{'term': 'joint_positon'}]}, "did you mean 'joint_position'"),
    ({'observations': [{'term': 'contact', 'params': {'frames': ['left_fot']}}]}, "did you mean 'left_foot'"),
    ({'observations': [{'term': 'contact', 'params': {'frame': ['left_foot']}}]}, "did you mean 'frames'"),
    ({'observations': [{'term': 'contact'}]}, "term 'contact' needs the parameter 'frames'"),
    ({'observations': [{'term': 'command'}, {'term': 'command'}]}, "'command' stands twice"),
    ({'action': {'joints': ['left_kne_joint']}}, "did you mean 'left_knee_joint'"),
    ({'action': {'joints': ['left_knee_joint'], 'feed_forward': 'waking'}}, "did you mean 'walking'")])
def test_a_wrong_name_is_refused_with_the_nearest_valid_one(g1, changes, message):
    with pytest.raises((UnknownNameError, ConfigurationError), match=message):
        PolicyInterface(settings(**changes), g1, 1)

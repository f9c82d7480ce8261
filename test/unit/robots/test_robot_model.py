"""Robots: what a good description gives, and what a bad one is told."""

import numpy as np
import pytest

from rl_robot_control.errors import ConfigurationError, RobotDescriptionError, UnknownNameError
from rl_robot_control.robots import list_robots, load_robot


def test_arm(arm):
    robot = load_robot(str(arm.yaml))
    assert robot.joint_names == ('shoulder', 'elbow')
    np.testing.assert_array_equal(robot.position_lower, [-1, 0])
    np.testing.assert_array_equal(robot.position_upper, [2, 2.5])
    np.testing.assert_array_equal(robot.velocity_limit, [3, 5])
    np.testing.assert_array_equal(robot.effort_limit, [40, 20])
    np.testing.assert_array_equal(robot.default_position, [0, 0.5])
    assert not robot.floating
    assert robot.frame_names == ('hand',)


def test_a_standing_state_is_known_in_full(arm):
    state = load_robot(str(arm.yaml)).standing_state(2)
    np.testing.assert_array_equal(state.joint_position, [[0, 0.5], [0, 0.5]])
    np.testing.assert_array_equal(state.base_quaternion, [[0, 0, 0, 1], [0, 0, 0, 1]])
    assert state.frame_position.shape == (2, 1, 3)
    others = [value for name, value in vars(state).items() if name not in ('joint_position', 'base_quaternion')]
    assert not any(value.any() for value in others)


def test_unitree_g1():
    robot = load_robot('unitree_g1')
    assert robot.num_joints == 29
    assert robot.floating
    knee = robot.joint_names.index('left_knee_joint')
    # the URDF's <limit effort="139" velocity="20" lower="-0.087267" upper="2.8798"> of left_knee_joint
    assert (robot.effort_limit[knee], robot.velocity_limit[knee]) == (139.0, 20.0)
    assert (robot.position_lower[knee], robot.position_upper[knee]) == (-0.087267, 2.8798)
    assert robot.default_position[knee] == 0.669
    assert robot.standing_state(1).base_position[0, 2] == robot.settings.base.height > 0.5


@pytest.mark.parametrize('name', list_robots())
def test_every_robot_loads(name):
    robot = load_robot(name)
    assert robot.name == name
    assert np.all(robot.default_position >= robot.position_lower)
    assert np.all(robot.default_position <= robot.position_upper)


def test_unknown_robot_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown robot 'unitre_g1'; did you mean 'unitree_g1'\? Valid: "):
        load_robot('unitre_g1')


def test_missing_file(tmp_path):
    with pytest.raises(ConfigurationError, match=r"robot file '.*nothing\.yaml' does not exist"):
        load_robot(str(tmp_path / 'nothing.yaml'))


def test_controlled_joints_choose_and_order(arm):
    arm.change(arm.yaml, 'joints:', 'controlled_joints: [elbow]\njoints:')
    assert load_robot(str(arm.yaml)).joint_names == ('elbow',)


def test_unknown_controlled_joint(arm):
    arm.change(arm.yaml, 'joints:', 'controlled_joints: [elbo]\njoints:')
    with pytest.raises(UnknownNameError, match=r"unknown joint 'elbo' in .*controlled_joints; did you mean 'elbow'\?"):
        load_robot(str(arm.yaml))


def test_sdk_joints_give_each_joint_its_motor(arm):
    assert load_robot(str(arm.yaml)).motors is None
    arm.change(arm.yaml, 'joints:', 'sdk_joints: [elbow, null, shoulder]\njoints:')
    np.testing.assert_array_equal(load_robot(str(arm.yaml)).motors, [2, 0])  # shoulder, elbow; motor 1 is not there
    np.testing.assert_array_equal(load_robot('unitree_g1').motors, np.arange(29))


@pytest.mark.parametrize(('order', 'error', 'reason'), [
    ('[elbo, shoulder]', UnknownNameError, r"unknown joint 'elbo' in .*arm.yaml, sdk_joints; did you mean 'elbow'\?"),
    ('[elbow, elbow]', RobotDescriptionError, "sdk_joints: joint 'elbow' stands there twice"),
    ('[elbow]', RobotDescriptionError, "sdk_joints: joint 'shoulder' is missing; each of the robot's 2 joints"),
    ('[]', RobotDescriptionError, r"joint 'shoulder' \(and 1 more\) is missing"),
])
def test_wrong_sdk_joints(arm, order, error, reason):
    arm.change(arm.yaml, 'joints:', f'sdk_joints: {order}\njoints:')
    with pytest.raises(error, match=reason):
        load_robot(str(arm.yaml))


def test_unmatched_joint(arm):
    arm.change(arm.yaml, '.*:', 'shoulder:')
    with pytest.raises(RobotDescriptionError, match=r"joint 'elbow' matches no pattern under 'joints'"):
        load_robot(str(arm.yaml))


def test_joint_matched_twice(arm):
    arm.change(arm.yaml, 'default_pose:', '  elb.*: {stiffness: 1, damping: 1, acceleration_limit: 1}\ndefault_pose:')
    with pytest.raises(RobotDescriptionError, match=r"joint 'elbow' matches several patterns \(\.\*, elb\.\*\)"):
        load_robot(str(arm.yaml))


def test_default_pose_of_unknown_joint(arm):
    arm.change(arm.yaml, '{elbow: 0.5}', '{elbw: 0.5}')
    with pytest.raises(UnknownNameError, match=r"unknown joint in .*default_pose 'elbw'; did you mean 'elbow'\?"):
        load_robot(str(arm.yaml))


def test_default_pose_outside_limits(arm):
    arm.change(arm.yaml, '{elbow: 0.5}', '{elbow: -0.5}')
    with pytest.raises(RobotDescriptionError, match=r"joint 'elbow' lies outside its limits \[0\.0, 2\.5\]"):
        load_robot(str(arm.yaml))


@pytest.mark.parametrize(('old', 'new', 'where'), [('link: lower', 'link: lowr', 'frame hand'),
                                                   ('link: base', 'link: bas', 'base')])
def test_unknown_link(arm, old, new, where):
    arm.change(arm.yaml, old, new)
    with pytest.raises(UnknownNameError, match=rf'unknown link of arm\.urdf .* in .*, {where}; did you mean'):
        load_robot(str(arm.yaml))


def test_unknown_key_names_the_nearest(arm):
    arm.change(arm.yaml, 'stiffness', 'stifness')
    with pytest.raises(ConfigurationError, match=r"unknown key 'joints\.\.\*\.stifness'; did you mean 'stiffness'\?"):
        load_robot(str(arm.yaml))


@pytest.mark.parametrize('value', ['-1', '0', '.nan', '.inf', 'much'])
def test_gain_out_of_range(arm, value):
    arm.change(arm.yaml, 'stiffness: 10', f'stiffness: {value}')
    with pytest.raises(ConfigurationError, match='stiffness'):
        load_robot(str(arm.yaml))


def test_bad_pattern(arm):
    arm.change(arm.yaml, '.*:', '"*(":')
    with pytest.raises(ConfigurationError, match=r'\*\('):
        load_robot(str(arm.yaml))

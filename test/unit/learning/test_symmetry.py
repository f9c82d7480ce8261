"""Mirroring is exact: a mirrored robot under mirrored actions does the mirror image of what the robot does."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.envs import make_backend
from rl_robot_control.envs.episodes import Episodes
from rl_robot_control.learning.symmetry import Mirror, PhaseMirror, mirror_joints
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_task


@pytest.fixture(scope='module')
def walk():
    robot = load_robot('unitree_g1')
    task = load_task('walk', robot)
    return Episodes(make_backend(robot, task, 2, task.settings.training_physics), task, randomise=False)


@pytest.fixture(scope='module')
def mirror(walk):
    return PhaseMirror.of(walk.interface, walk.task.settings.critic)


def mirrored_pair(walk):
    """Robot 1 is robot 0's mirror image: tilted, moving, half a stride later."""
    joints = mirror_joints(walk.robot, np.arange(29))
    initial, random = walk.robot.default_state(2), np.random.default_rng(2)
    offset, speed = random.uniform(-0.05, 0.05, (1, 29)), random.uniform(-0.3, 0.3, (1, 29))
    initial = dataclasses.replace(
        initial, joint_position=walk.robot.default_position + np.concatenate([offset, joints(offset)]),
        joint_velocity=np.concatenate([speed, joints(speed)]),
        base_quaternion=np.array([[0.03, 0.02, 0.0, 1.0], [-0.03, 0.02, 0.0, 1.0]]) / np.sqrt(1 + 0.03**2 + 0.02**2),
        base_linear_velocity=np.array([[0.4, 0.1, 0.0], [0.4, -0.1, 0.0]]),
        base_angular_velocity=np.array([[0.1, 0.2, 0.3], [-0.1, 0.2, -0.3]]))
    walk.reset(np.arange(2))
    walk.state = walk.backend.reset(initial, np.arange(2))
    walk.interface.reset(walk.state, phase=np.array([0.1, 0.6]))
    walk.command = np.array([[0.6, 0.0, 0.3], [0.6, 0.0, -0.3]])


def test_a_mirrored_robot_does_the_mirror_image(walk, mirror):
    mirrored_pair(walk)
    random = np.random.default_rng(4)
    for step in range(5):
        observation, privileged = walk.observe()
        # the URDF's inertias are not quite symmetric, so the two drift apart slowly
        tolerance = 1e-9 if step == 0 else 0.08
        np.testing.assert_allclose(observation[1], mirror.observation(observation[0]), atol=tolerance)
        if step == 0:
            np.testing.assert_allclose(privileged[1], mirror.privileged(privileged[0]), atol=1e-6)
        action = random.uniform(-1, 1, 12)
        walk.step(np.stack([action, mirror.action(action)]))


def test_mirroring_twice_changes_nothing(mirror):
    value = np.arange(1.0, 48.0)
    np.testing.assert_array_equal(mirror.observation(mirror.observation(value)), value)


def test_the_second_half_of_the_stride_is_the_mirrored_one(mirror, walk):
    observation = np.zeros((2, 47))
    observation[:, mirror.phase] = [0.5, -0.5]
    np.testing.assert_array_equal(mirror.mirrored(observation), [False, True])


def test_left_and_right_are_swapped_and_rolls_and_yaws_change_sign():
    robot = load_robot('unitree_g1')
    hips = robot.joint_indices(['left_hip_pitch_joint', 'left_hip_roll_joint', 'right_hip_pitch_joint',
                                'right_hip_roll_joint'])
    assert isinstance(mirror_joints(robot, hips), Mirror)
    np.testing.assert_array_equal(mirror_joints(robot, hips)(np.array([1.0, 2.0, 3.0, 4.0])), [3, -4, 1, -2])


def test_joints_without_their_twins_have_no_mirror():
    robot = load_robot('unitree_g1')
    assert mirror_joints(robot, robot.joint_indices(['left_knee_joint'])) is None


def test_a_task_without_a_gait_has_none():
    robot = load_robot('unitree_g1')
    task = load_task('reach', robot)
    reach = Episodes(make_backend(robot, task, 1), task)
    assert PhaseMirror.of(reach.interface, task.settings.critic) is None

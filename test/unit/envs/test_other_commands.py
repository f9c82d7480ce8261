"""Steps told again under other commands are what a robot that was told so would have met."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.envs import make_training_env, make_vector_env
from rl_robot_control.envs.other_commands import can_be_retold
from rl_robot_control.errors import LearningError
from rl_robot_control.learning.replay import RetoldBuffer, load_buffer, saved_buffer
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_task, load_tasks


def told(env, command):
    """The observations of a fresh environment whose robots have been told something from the start."""
    env.reset(seed=3)
    env.episodes.command[:] = command
    env.episodes.interface.reset(env.episodes.state)
    return env.episodes.observe()


@pytest.mark.parametrize(('robot', 'task'), [('unitree_g1', 'reach'), ('servo', 'joint_servo'), ('pusher', 'push')])
def test_they_are_what_would_have_been(robot, task):
    """Three robots with four other commands each; another environment is really given the first, the second, ..."""
    env, other = (make_vector_env(robot, task, 3) for _ in range(2))
    try:
        assert env.retell(4)
        env.reset(seed=3)
        random = np.random.default_rng(0)
        actions = random.uniform(-1, 1, (3, 3, env.single_action_space.shape[0]))
        for action in actions:
            rows = env.step(action)[4]['retold']
        given = rows.command.reshape(3, 4, 3)
        for k in range(4):
            told(other, given[:, k])
            for action in actions[:-1]:
                other.episodes.step(action)
                other.episodes.command[:] = given[:, k]
                seen, privileged = other.episodes.observe()
            transition = other.episodes.step(actions[-1])
            following, following_privileged = other.episodes.peek()
            mine = slice(k, None, 4)
            for found, expected in ((rows.observation, seen), (rows.privileged, privileged),
                                    (rows.reward, transition.reward), (rows.terminated, transition.terminated),
                                    (rows.following, following), (rows.following_privileged, following_privileged)):
                np.testing.assert_allclose(found[mine], expected, atol=1e-9)
    finally:
        env.close()
        other.close()


def test_telling_does_not_change_what_is_told():
    """A robot's own step is what it is without anybody's asking: here with the same commands all along."""
    env, silent = (make_vector_env('servo', 'joint_servo', 2) for _ in range(2))
    try:
        env.retell(3)
        for each in (env, silent):
            each.reset(seed=1)
        for _ in range(5):
            found, expected = (each.step(np.full((2, 1), 0.3))[:4] for each in (env, silent))
            for one, another in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, another)
    finally:
        env.close()
        silent.close()


@pytest.mark.parametrize(('robot', 'task', 'possible'), [
    ('unitree_g1', 'reach', True), ('unitree_g1', 'walk', False), ('cart_pole', 'balance', False)])
def test_only_a_target_can_be_another_one(robot, task, possible):
    assert can_be_retold(load_task(task, load_robot(robot)).settings) is possible


def test_what_looks_back_or_is_slewed_cannot_be_retold():
    plain = load_task('reach', load_robot('unitree_g1')).settings
    interface = plain.interface
    slewed = dataclasses.replace(interface.command, slew=(1.0, 1.0, 1.0))
    back = [dataclasses.replace(interface.observations[0], ages=[1, 0]), *interface.observations[1:]]
    for changed in (dataclasses.replace(interface, command=slewed), dataclasses.replace(interface, observations=back)):
        assert not can_be_retold(dataclasses.replace(plain, interface=changed))


def test_tasks_of_a_set_are_not_retold():
    env = make_training_env(load_tasks('table_skills', load_robot('pusher')), 3, 0)
    try:
        assert not env.retell(4)
        env.reset(seed=0)
        assert 'retold' not in env.step(np.zeros((3, 2)))[4]
    finally:
        env.close()


class Told:
    """An environment of two robots, of one observation each, under two other commands."""

    retold = {'obs': np.array([[10.0], [11.0], [20.0], [21.0]]), 'next_obs': np.array([[12.0], [13.0], [22.0], [23.0]]),
              'reward': np.array([0.1, 0.2, 0.3, 0.4]), 'done': np.array([False, True, False, False])}


def test_the_buffer_holds_each_step_under_each_command():
    from gymnasium.spaces import Box
    space = Box(-np.inf, np.inf, (1,), np.float32)
    buffer = RetoldBuffer(6, space, space, device='cpu', n_envs=2, env=Told(), others=2)
    assert buffer.n_envs == 6 and buffer.buffer_size == 3  # three steps of two robots, each three times
    buffer.add(np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]]), np.array([[0.5], [-0.5]]), np.array([1.0, 2.0]),
               np.array([False, True]), [{}, {'TimeLimit.truncated': True}])
    assert buffer.observations[0, :, 0].tolist() == [1, 2, 10, 11, 20, 21]
    assert buffer.next_observations[0, :, 0].tolist() == [3, 4, 12, 13, 22, 23]
    assert buffer.actions[0, :, 0].tolist() == [0.5, -0.5, 0.5, 0.5, -0.5, -0.5]
    np.testing.assert_allclose(buffer.rewards[0], [1, 2, 0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    assert buffer.dones[0].tolist() == [0, 1, 0, 1, 1, 1]  # the second robot ran out of time, whatever it was told
    assert buffer.timeouts[0].tolist() == [0, 1, 0, 0, 1, 1]


def test_a_buffer_of_other_commands_is_not_loaded_into_one_of_none():
    """NumPy would spread the one over the others without a word."""
    from gymnasium.spaces import Box
    space = Box(-np.inf, np.inf, (1,), np.float32)
    plain, retold = (RetoldBuffer(6, space, space, device='cpu', n_envs=1, env=Told(), others=k) for k in (0, 2))
    one = np.array([[1.0]])
    plain.add(one, one, one, np.ones(1), np.zeros(1, dtype=bool), [{}])
    with pytest.raises(LearningError, match=r'the shape \(1, 1\), this run \(3, 1\).*resume with what the run'):
        load_buffer(retold, saved_buffer(plain))

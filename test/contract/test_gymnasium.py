"""The environments keep Gymnasium's contract."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from rl_robot_control.envs import RobotEnv, RobotVectorEnv, make_backend, make_env, make_vector_env
from rl_robot_control.envs.episodes import Episodes
from rl_robot_control.registration import ENVIRONMENTS, register
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_task

with gymnasium.envs.registration.namespace('rl_robot_control'):
    if not any(spec.startswith('rl_robot_control/') for spec in gymnasium.registry):  # not installed, only checked out
        register()


@pytest.mark.parametrize('name', ENVIRONMENTS)
def test_gymnasium_makes_and_checks_it(name):
    env = gymnasium.make(f'rl_robot_control/{name}')
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_info_tells_what_was_applied_and_what_the_shield_changed():
    env = make_env('unitree_g1', 'walk', randomise=False)
    env.reset(seed=0)
    *_, info = env.step(np.zeros(12, np.float32))
    assert set(info) >= {'applied_position', 'shield_correction', 'shield_acted', 'reward_terms'}
    assert info['applied_position'].shape == info['shield_correction'].shape == (29,)
    *_, info = env.step(np.tile(np.float32([4, -4]), 6))  # a jump that no drive can follow
    assert info['shield_acted'] and np.abs(info['shield_correction']).max() > 0.01
    env.close()


def test_one_of_many_robots_goes_where_a_single_one_goes():
    """Bit for bit, under the same commands and actions."""
    def episodes(count):
        robot = load_robot('unitree_g1')
        task = load_task('walk', robot)
        run = Episodes(make_backend(robot, task, count), task, randomise=False, command=np.array([0.5, 0.0, 0.2]))
        run.reset(np.arange(count))
        return run

    many, one, random = episodes(3), episodes(1), np.random.default_rng(3)
    for _ in range(25):
        np.testing.assert_array_equal(many.observe()[0][1], one.observe()[0][0])
        actions = random.uniform(-1, 1, (3, 12))
        ahead, alone = many.step(actions), one.step(actions[1:2])
        assert ahead.reward[1] == alone.reward[0]
    many.backend.close(), one.backend.close()


def test_the_same_seed_gives_the_same_episodes():
    def run():
        env = make_vector_env('unitree_g1', 'walk', 4, training=True)
        observation, _ = env.reset(seed=11)
        random = np.random.default_rng(0)
        for _ in range(60):
            observation, *_ = env.step(random.uniform(-2, 2, (4, 12)).astype(np.float32))
        env.close()
        return observation
    np.testing.assert_array_equal(run(), run())


def test_an_ended_episode_starts_anew_within_the_step_and_leaves_its_last_observation():
    env = make_vector_env('unitree_g1', 'walk', 2, seed=0, training=True)
    env.reset(seed=0)
    env.episodes.steps[:] = [env.episodes.task.max_steps - 1, 0]
    observation, _, terminated, truncated, info = env.step(np.zeros((2, 12), np.float32))
    assert truncated.tolist() == [True, False] and not terminated.any()
    assert info['_final_obs'].tolist() == [True, False] and info['final_obs'][1] is None
    assert info['final_obs'][0].shape == (47,) and not np.array_equal(info['final_obs'][0], observation[0])
    assert env.episodes.steps.tolist() == [0, 1]
    env.close()


def test_actions_beyond_the_action_space_are_clipped_not_obeyed():
    env = make_env('unitree_g1', 'walk', randomise=False)
    env.reset(seed=0)
    env.step(np.full(12, 1e6, np.float32))
    np.testing.assert_array_equal(env.episodes.interface.action, np.full((1, 12), 4.0))
    env.close()


def test_single_and_vector_classes_are_what_gymnasium_gets():
    assert isinstance(gymnasium.make('rl_robot_control/UnitreeG1Reach-v0').unwrapped, RobotEnv)
    vector = gymnasium.make_vec('rl_robot_control/UnitreeG1Reach-v0', num_envs=2)
    assert isinstance(vector.unwrapped, RobotVectorEnv) and vector.num_envs == 2
    vector.close()

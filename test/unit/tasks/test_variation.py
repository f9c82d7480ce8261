"""Tasks that extend others, goals, randomised worlds and curricula."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.config import parse_settings
from rl_robot_control.envs import GoalEnv, make_env, make_training_env, make_vector_env
from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.curriculum import Curriculum, CurriculumSettings, interpolated
from rl_robot_control.tasks.randomisation import Imperfections, draw
from rl_robot_control.tasks.task import load_task, load_tasks
from rl_robot_control.tasks.task_files import lineage, read_task
from rl_robot_control.types import RobotState, Variation


@pytest.fixture(scope='module')
def g1():
    return load_robot('unitree_g1')


def test_a_task_is_laid_over_the_one_that_it_extends(g1, tmp_path):
    (tmp_path / 'mine.yaml').write_text('extends: reach\nname: mine\ninterface: {action: {scale: 0.2}}\n'
                                        'success: {term: joints_within, params: {joints: [.*], distance: 1.0}}\n')
    mine, reach = load_task(str(tmp_path / 'mine.yaml'), g1), load_task('reach', g1)
    assert mine.settings.interface.action.scale == 0.2
    assert mine.settings.interface.action.joints == reach.settings.interface.action.joints
    assert mine.settings.rewards == reach.settings.rewards
    assert mine.settings.success.params == {'joints': ['.*'], 'distance': 1.0}  # not mixed with another term's
    assert lineage('walk_curriculum') == ['walk_curriculum', 'walk_wide', 'walk']


def test_a_task_that_extends_itself_is_refused(tmp_path):
    path = tmp_path / 'loop.yaml'
    path.write_text(f'extends: {path}\nname: loop\n')
    with pytest.raises(ConfigurationError, match="'extends' leads back to itself"):
        read_task(path)


def test_a_goal_is_rewarded_sparsely_and_stands_alone(g1):
    task = load_task('reach_sparse', g1)
    assert task.goal_reward(np.array([[0, 0, 0], [0, 0, 0.06]]), np.zeros((2, 3))).tolist() == [0.0, -1.0]
    with pytest.raises(ConfigurationError, match="'goal' stands in place of 'rewards'"):
        parse_settings(read_goal() | {'rewards': [{'term': 'alive', 'weight': 1.0}]}, type(task.settings), 'test')
    with pytest.raises(ConfigurationError, match='a goal must last for the whole episode'):
        data = read_goal()
        parse_settings(data | {'command': data['command'] | {'duration': [1.0, 1.0]}}, type(task.settings), 'test')


def read_goal():
    from rl_robot_control.config import find_config
    return read_task(find_config('tasks', 'reach_sparse'))


def test_the_goal_environment_is_what_gymnasium_robotics_expects():
    env = GoalEnv(make_env('pusher', 'push'))
    seen, info = env.reset(seed=1)
    assert env.observation_space.contains(seen)
    seen, reward, *_ = env.step(env.action_space.sample())
    assert env.compute_reward(seen['achieved_goal'], seen['desired_goal'], info) == reward
    env.close()
    with pytest.raises(ConfigurationError, match="task 'reach' has no goal"):
        GoalEnv(make_env('unitree_g1', 'reach'))


def test_factors_multiply_and_loads_add_up(g1):
    def double(random, count, robot):
        return {'friction': np.full(count, 2.0), 'payload': np.full(count, 2.0), 'delay': np.full(count, 0.02)}

    drawn = draw([double, double], np.random.default_rng(0), 3, g1)
    assert drawn.physics.friction.tolist() == [4.0] * 3 and drawn.physics.payload.tolist() == [4.0] * 3
    assert drawn.delay.tolist() == [0.04] * 3 and (drawn.physics.mass == 1.0).all()


def test_commands_come_late_and_measurements_are_off(g1):
    """A delay of 0.04 s at 0.02 s a period: the third target takes effect in the third period after it."""
    late = Imperfections(2, 1, 0.02, 0.04)
    drawn = draw([], np.random.default_rng(0), 2, g1)
    drawn = dataclasses.replace(drawn, delay=np.array([0.0, 0.04]), offset=np.array([[0.0], [0.1]]))
    late.reset(drawn, np.array([[9.0], [9.0]]), np.arange(2))
    seen = [late.late(np.array([[value], [value]]))[:, 0].tolist() for value in (1.0, 2.0, 3.0, 4.0)]
    assert seen == [[1.0, 9.0], [2.0, 9.0], [3.0, 1.0], [4.0, 2.0]]
    unknown = RobotState.unknown(2, 1, 0)
    state = dataclasses.replace(unknown, joint_position=np.zeros((2, 1)))
    assert late.measured(state, np.random.default_rng(0)).joint_position[:, 0].tolist() == [0.0, 0.1]


def test_worlds_differ_as_drawn():
    """A servo whose motor has no strength hangs still; one with the model's turns."""
    env = make_vector_env('servo', 'joint_servo', 2, seed=1, randomise=False)
    variation = Variation.none(2, 1)
    weak = dataclasses.replace(variation, strength=np.array([[1e-9], [1.0]]))
    env.episodes.backend.vary(weak, np.arange(2), np.random.default_rng(0))
    env.reset(seed=1)
    for _ in range(10):
        env.step(np.ones((2, 1), dtype=np.float32))
    moved = env.episodes.state.joint_position[:, 0]
    assert abs(moved[0]) < 1e-6 and moved[1] > 0.5
    env.close()


def test_randomised_worlds_are_the_same_for_the_same_seed():
    def rollout(seed):
        env = make_training_env(load_tasks('walk_robust', load_robot('unitree_g1')), 3, seed)
        env.reset(seed=seed)
        for _ in range(5):
            seen, *_ = env.step(np.zeros((3, 12), dtype=np.float32))
        env.close()
        return seen

    assert np.array_equal(rollout(1), rollout(1))
    assert not np.array_equal(rollout(1), rollout(2))


def test_interpolation_by_hand():
    assert interpolated([0.0, 1.0], [1.0, 3.0], 0.5) == [0.5, 2.0]
    assert interpolated(0.0, 0.3, 1.0) == pytest.approx(0.3)


def test_a_curriculum_rises_falls_and_is_resumed():
    rules = CurriculumSettings(start={}, above=0.7, below=0.3, step=0.5, episodes=2)
    curriculum = Curriculum(rules)
    assert curriculum.note(np.array([0.8, 0.8])) and curriculum.level == 0.5
    assert not curriculum.note(np.array([0.5, 0.5]))  # in between: it stays
    again = Curriculum(rules)
    again.load(curriculum.state())
    assert again.level == 0.5 and again.state() == curriculum.state()
    assert curriculum.note(np.array([0.0, 0.0])) and curriculum.level == 0.0


def test_a_task_at_a_level(g1):
    task = load_task('walk_curriculum', g1)
    assert task.at_level(0.0).settings.command.params['vx'] == [0.4, 0.9]
    assert task.at_level(1.0).settings.command.params['vx'] == task.settings.command.params['vx']
    assert task.at_level(0.5).settings.disturbances[0].params['speed'] == pytest.approx(0.15)


def test_a_curriculum_of_an_unknown_parameter_is_refused(g1, tmp_path):
    (tmp_path / 'c.yaml').write_text('extends: walk\nname: c\ncurriculum: {start: {command.velocity.vv: 1.0}}\n')
    with pytest.raises(UnknownNameError, match="'command.velocity.vv'.*did you mean 'command.velocity.v"):
        load_task(str(tmp_path / 'c.yaml'), g1)


def test_what_scores_a_policy_has_the_task_in_full(g1):
    env = make_training_env(load_tasks('walk_curriculum', g1), 1, 1, stagger=False)
    env.reset(seed=1)
    assert env.levels() == {} and env.episodes.task.settings.command.params['vx'] == [-0.3, 1.2]
    env.close()
    env = make_vector_env('unitree_g1', 'walk_curriculum', 1)
    assert env.levels() == {} and env.episodes.task.settings.disturbances[0].params['speed'] == 0.3
    env.close()


def test_a_training_environment_grows_and_remembers(g1):
    env = make_training_env(load_tasks('walk_curriculum', g1), 2, 1)
    env.reset(seed=1)
    assert env.levels() == {'curriculum_level': 0.0}
    saved = env.state()
    saved['curriculum']['level'] = 0.6
    env.load(saved)
    assert env.levels() == {'curriculum_level': 0.6}
    assert env.episodes.task.settings.disturbances[0].params['speed'] == pytest.approx(0.18)
    env.close()

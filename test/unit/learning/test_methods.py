"""Every algorithm: it trains, leaves a checkpoint, goes on from it, and exports what the runner takes."""

import dataclasses
import threading
import types

import numpy as np
import pytest
import torch
import yaml

from rl_robot_control.envs import make_training_env
from rl_robot_control.errors import ConfigurationError, LearningError, UnknownNameError
from rl_robot_control.learning.actions import action_grid
from rl_robot_control.learning.export_run import export_run
from rl_robot_control.learning.methods.hindsight import GoalVecEnv
from rl_robot_control.learning.methods.reinforce import discounted
from rl_robot_control.learning.methods.tabular import TablePolicy, TabularQ
from rl_robot_control.learning.networks import Actor
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.registry import METHODS, find_method
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.learning.scoring import RandomActor, score
from rl_robot_control.learning.settings import TrainingSettings, list_algorithms, load_algorithm
from rl_robot_control.learning.trainer import train
from rl_robot_control.learning.world import World
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.session import PolicySession
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_tasks

OTHERWISE = {'her': ('pusher', 'push')}  # what does not learn the servo
FROM_TEACHERS = {'bc', 'dagger', 'td3_bc', 'ppo_privileged'}  # test_demonstrations.py
WITH_MODELS = {'pets', 'mbpo'}  # test_model_based.py
TWINS = {'ppo_single'}  # the method of another file
ALONE = sorted(set(list_algorithms()) - FROM_TEACHERS - WITH_MODELS - TWINS)


def settings(algorithm, **changes):
    changes = {'workers': 2 if algorithm == 'a3c' else 1} | changes  # two that do not wait for each other
    robot, task = OTHERWISE.get(algorithm, ('servo', 'joint_servo'))
    remembers = load_algorithm(algorithm, task)[0] in ('hindsight', 'continuous_off_policy', 'discrete_off_policy')
    steps = 1250 if remembers and algorithm != 'sac_robot' else 600
    return TrainingSettings(**{'robot': robot, 'task': task, 'algorithm': algorithm, 'steps': steps} | changes)


@pytest.fixture(scope='module')
def world():
    made = World(make_training_env(load_tasks('joint_servo', load_robot('servo')), 4, 1), 1)
    yield made
    made.env.close()


@pytest.mark.parametrize('algorithm', ALONE)
def test_it_trains_resumes_and_exports(algorithm, tmp_path):
    asked = settings(algorithm)
    first = train(asked, tmp_path)
    folder = RunFolder(tmp_path)
    assert first.finished and first.steps >= asked.steps
    assert {'mean_return', 'success_rate', 'steps_per_second', 'shield_correction_rate'} <= set(folder.metrics()[-1])
    before = folder.load()
    second = train(dataclasses.replace(asked, steps=first.steps + 1), tmp_path, resume=True)
    assert second.steps > first.steps
    after = folder.load()
    assert _sizes(before['memory'])[:1] <= _sizes(after['memory'])[:1]  # the replay buffer was not lost
    policy = read_policy(export_run(tmp_path))
    assert policy.manifest.algorithm == algorithm
    actions = PolicySession(policy, 4)(np.zeros((4, policy.manifest.num_observations)))
    assert np.isfinite(actions).all()


@pytest.mark.parametrize('algorithm', ['sac', 'dqn'])
def test_the_same_seed_gives_the_same_policy(algorithm, tmp_path):
    """Random actions before learning begins and while exploring included; another seed gives another one."""
    runs = [train(settings(algorithm, seed=seed, steps=1100), tmp_path / str(i)) for i, seed in enumerate((1, 1, 2))]
    one, other, third = (RunFolder(run.run_folder).load() for run in runs)
    rows = [checkpoint['memory']['buffer']['filled']['actions'] for checkpoint in (one, other, third)]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    networks = [checkpoint['learner']['networks']['policy'] for checkpoint in (one, other)]
    assert all(torch.equal(networks[0][key], networks[1][key]) for key in networks[0])


def test_every_worker_keeps_what_it_gathered(tmp_path):
    """Two workers of two robots each: 125 steps of each robot, then as many again."""
    asked = settings('sac', workers=2, num_envs=4, steps=500)
    train(asked, tmp_path)
    folder = RunFolder(tmp_path)
    memories = [folder.load()['memory'], folder.load_memory(1)]
    before = [memory['buffer']['filled']['observations'] for memory in memories]
    assert [len(rows) for rows in before] == [125, 125]  # one iteration of SAC
    assert not torch.equal(*before)  # each has met other episodes
    train(dataclasses.replace(asked, steps=501), tmp_path, resume=True)
    after = [memory['buffer']['filled']['observations'] for memory in (folder.load()['memory'], folder.load_memory(1))]
    for one, other in zip(before, after, strict=True):
        assert len(other) == 250 and torch.equal(other[:125], one)
    (tmp_path / 'memory_1.pt').write_bytes(b'garbage')
    with pytest.raises(LearningError, match='memory_1.pt: is not a checkpoint of this program'):
        folder.load_memory(1)


def _sizes(memory):
    buffer = memory.get('buffer', {})
    return [buffer['rows']] if 'rows' in buffer else []


def test_the_files_name_methods_that_exist_and_describe_themselves():
    for name in list_algorithms():
        method, _ = load_algorithm(name, 'reach')
        assert method in METHODS
    assert {load_algorithm(name, 'reach')[0] for name in list_algorithms()} == set(METHODS)


def test_an_unknown_method_is_named():
    with pytest.raises(UnknownNameError, match="unknown method 'sacc' in here.*Valid: .*ppo"):
        find_method('sacc', 'here')


def test_a_task_takes_the_settings_of_the_one_that_it_extends():
    assert load_algorithm('ppo', 'reach_robust')[1] == load_algorithm('ppo', 'reach')[1]
    assert load_algorithm('ppo', 'reach')[1] != load_algorithm('ppo', 'walk')[1]


def test_frozen_parameters_stay(tmp_path):
    start = train(settings('ppo', num_envs=8), tmp_path / 'start')
    train(settings('ppo', num_envs=8, freeze=[r'actor\.mlp\.0\..*']), tmp_path / 'run',
          warm_start=start.run_folder)
    one, other = (RunFolder(tmp_path / name).load()['learner']['actor_state_dict'] for name in ('start', 'run'))
    assert torch.equal(one['mlp.0.weight'], other['mlp.0.weight'])
    assert not torch.equal(one['mlp.2.weight'], other['mlp.2.weight'])
    with pytest.raises(UnknownNameError, match="unknown parameter of ppo 'actor.mlp.9'"):
        train(settings('ppo', num_envs=8, freeze=['actor.mlp.9']), tmp_path / 'other')


def test_one_policy_for_several_tasks(tmp_path):
    """Robots are divided evenly, each task is reported, and each gets a file whose code says which task it does."""
    asked = TrainingSettings(robot='pusher', task='table_skills', algorithm='reinforce', steps=600, num_envs=6)
    train(asked, tmp_path)
    row = RunFolder(tmp_path).metrics()[-1]
    for member in ('table_reach', 'table_push', 'table_hold'):
        assert f'mean_return_{member}' in row and f'success_rate_{member}' in row
    manifest = read_policy(export_run(tmp_path, member='table_push')).manifest
    assert manifest.interface.observations[-1].params == {'code': [0.0, 1.0, 0.0]}
    assert manifest.task == 'table_push'
    with pytest.raises(ConfigurationError, match='7 robots cannot be divided evenly among 3 tasks'):
        train(dataclasses.replace(asked, num_envs=7), tmp_path / 'odd')


def test_a_set_whose_tasks_observe_differently_is_refused(tmp_path):
    (tmp_path / 'mixed.yaml').write_text('name: mixed\nmembers: [reach, walk]\n')
    with pytest.raises(ConfigurationError, match="'walk' observes or acts otherwise than 'reach'"):
        load_tasks(str(tmp_path / 'mixed.yaml'), load_robot('unitree_g1'))


def test_a_precious_robot_moves_to_its_starts(tmp_path):
    """One robot, and its time is counted: 0.04 s per step at least, and more for the ways to the starts."""
    train(settings('sac_robot', budget='hardware', steps=200), tmp_path)
    row = RunFolder(tmp_path).metrics()[-1]
    assert row['robot_minutes'] > 200 * 0.04 / 60
    train(settings('sac_robot', budget='hardware', steps=400), tmp_path, resume=True)
    assert RunFolder(tmp_path).metrics()[-1]['robot_minutes'] > 400 * 0.04 / 60  # it goes on counting
    with pytest.raises(ConfigurationError, match="the base of 'unitree_g1' is free in this task"):
        train(TrainingSettings(robot='unitree_g1', task='walk', algorithm='sac_robot', budget='hardware', steps=10),
              tmp_path / 'walk')


def test_a_robot_that_does_not_wait_is_learnt_on_between_episodes(tmp_path):
    robot = types.SimpleNamespace(paced=True)
    with pytest.raises(ConfigurationError, match='learn with --budget hardware'):
        train(settings('sac_robot'), tmp_path, backend=robot)
    with pytest.raises(LearningError, match="the algorithm 'ppo' learns in the middle of an episode"):
        train(settings('ppo', budget='hardware'), tmp_path, backend=robot)
    assert not list(tmp_path.iterdir())


def test_a_world_that_goes_on_waits_only_between_episodes():
    world = World(make_training_env(load_tasks('joint_servo', load_robot('servo')), 1, 1, stagger=False), 1)
    action = np.zeros((1, world.num_actions))
    world.step(action)
    assert world.waits  # a simulation
    world.env.episodes.backend.paced = True
    waited = [(world.step(action), world.waits)[1] for _ in range(world.task.max_steps)]
    assert waited == [False] * (world.task.max_steps - 2) + [True, False]  # one step had been taken
    world.env.close()


def test_a_pause_lets_nothing_move_until_it_ends(world):
    heard, ending = [], threading.Timer(0.3, world.paused.clear)
    world.on_pause = heard.append
    world.paused.set()
    ending.start()
    world.step(np.zeros((4, 1), dtype=np.float32))
    assert heard == [True, False] and not world.paused.is_set()
    world.on_pause = lambda paused: None


def test_hindsight_needs_a_goal(tmp_path):
    with pytest.raises(ConfigurationError, match="task 'joint_servo' has no goal"):
        train(settings('her', robot='servo', task='joint_servo'), tmp_path)


def test_hindsight_takes_no_other_commands(tmp_path):
    """It has goals of its own."""
    path = tmp_path / 'other.yaml'
    text = ('name: other\nmethod: hindsight\nsettings: {algorithm: sac, num_envs: 4, steps: 1000, horizon: 125, '
            'learning_rate: 1.0e-3, discount: 0.95, buffer: 1000, warm_up: 500, hidden: [8], other_commands: ')
    path.write_text(f'{text}0}}\n')
    assert load_algorithm(str(path), 'reach')[1].other_commands == 0
    path.write_text(f'{text}8}}\n')
    with pytest.raises(ConfigurationError, match="key 'other_commands' is 8: Input should be 0"):
        load_algorithm(str(path), 'reach')


def test_hindsight_learns_from_what_was_achieved():
    """The reward of a relabelled step is 0 where the achieved goal is the new one, and -1 a metre away."""
    made = World(make_training_env(load_tasks('push', load_robot('pusher')), 2, 1), 1)
    env = GoalVecEnv(made, Normalizer(made.num_observations))
    seen = env.reset()
    command = made.env.episodes.command
    assert np.allclose(seen['desired_goal'], command, atol=1e-6)
    away = seen['achieved_goal'] + [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert env.compute_reward(seen['achieved_goal'], away, None).tolist() == [0.0, -1.0]
    made.env.close()


def test_a_recurrent_policy_remembers_and_forgets(tmp_path):
    """The same observation twice gives different actions, and after forgetting the first one again."""
    train(settings('recurrent_ppo', steps=2048), tmp_path)
    policy = read_policy(export_run(tmp_path))
    assert policy.manifest.network.states == {'state_0': 'next_state_0', 'state_1': 'next_state_1'}
    session, seen = PolicySession(policy, 1), np.ones((1, 3))
    first = session(seen).copy()
    session.remember()
    assert not np.array_equal(session(seen), first)
    session.forget()
    assert np.array_equal(session(seen), first)


def test_action_grid_holds_all_combinations():
    assert action_grid(2, 3, 1.0).tolist() == [[a, b] for a in (-1, 0, 1) for b in (-1, 0, 1)]
    with pytest.raises(ConfigurationError, match='3 levels of 7 joints make 2187 discrete actions; 2 to 1024'):
        action_grid(7, 3, 1.0)


def test_discounted_returns_by_hand():
    """Discount 0.5: 4 + 0.5 · (bootstrap 10) = 9 at the end, 2 + 4.5 = 6.5 before; the end of an episode cuts."""
    rewards, beyond = np.array([[1.0], [2.0], [4.0]]), np.array([[6.0], [0.0], [10.0]])
    ends = np.array([[True], [False], [False]])
    assert discounted(rewards, ends, beyond, 0.5)[:, 0].tolist() == [1.0 + 3.0, 6.5, 9.0]


def test_the_table_learns_a_chain_by_hand(world):
    """One update with step size 0.3: value 0 + 0.3 · (reward 1 + 0.97 · best next 2 − 0) = 0.882."""
    _, rules = load_algorithm('q_learning', 'joint_servo')
    learner = TabularQ(dataclasses.replace(rules, step_decay=0.0, gradient=10.0), world)
    learner._values[7] = [0.0, 2.0, 1.0]
    error = 1.0 + 0.97 * learner._values[7].max() - learner._values[3, 1]
    learner._learn(0, (3, 1), error, cut=False, greedy=True)
    assert learner._values[3, 1] == pytest.approx(0.882)


def test_the_table_as_a_network_looks_up_the_same_cells(world):
    _, rules = load_algorithm('q_learning', 'joint_servo')
    learner = TabularQ(rules, world)
    learner._values[:] = np.random.default_rng(0).normal(size=learner._values.shape)
    seen = np.random.default_rng(1).uniform(-4, 4, (500, 3)).astype(np.float32)
    expected = learner._actions[learner._values[learner._cells(seen)].argmax(axis=1)]
    policy = learner.policy()
    assert isinstance(policy, TablePolicy)
    assert np.array_equal(policy(torch.as_tensor(seen)).numpy(), expected)


def test_bins_that_do_not_fit_are_refused(world):
    _, rules = load_algorithm('q_learning', 'joint_servo')
    with pytest.raises(ConfigurationError, match='bins has 2 values, the observation of joint_servo has 3'):
        TabularQ(dataclasses.replace(rules, bins=[3, 3]), world)


def test_a_diverged_network_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    """After a good checkpoint an infinite learning rate makes the parameters infinite."""
    asked = settings('a2c')
    train(asked, tmp_path / 'run')
    good = (tmp_path / 'run' / 'checkpoint.pt').read_bytes()
    text = (tmp_path / 'bad.yaml')
    rules = dataclasses.asdict(load_algorithm('a2c', 'joint_servo')[1])
    rules |= {'learning_rate': 1e30, 'gradient_clip': 1e30}
    text.write_text(yaml.safe_dump({'name': 'bad', 'method': 'a2c', 'settings': rules}))
    stored = RunFolder(tmp_path / 'run').path / 'settings.yaml'
    stored.write_text(stored.read_text().replace('algorithm: a2c', f'algorithm: {text}'))
    with pytest.raises((LearningError, ValueError)):
        train(dataclasses.replace(asked, algorithm=str(text), steps=10**6), tmp_path / 'run', resume=True)
    assert (tmp_path / 'run' / 'checkpoint.pt').read_bytes() == good


def test_scores_count_one_episode_of_each_robot():
    env = make_training_env(load_tasks('balance', load_robot('cart_pole')), 8, 0, stagger=False)
    found = score(RandomActor(env), env, seed=3)
    assert 0.1 < found.length < 6.0 and found.success_rate == 0.0
    assert found.mean_return == pytest.approx(found.length, abs=0.2)  # one per second alive, less for the cart's place
    env.close()


def test_actors_keep_states_apart():
    class Counting(torch.nn.Module):
        state_sizes = (1,)

        def forward(self, observation, count):
            return count, count + 1

    actor, seen = Actor(Counting(), 2), np.zeros((2, 1), dtype=np.float32)
    assert actor(seen)[:, 0].tolist() == [0, 0]
    actor.forget(np.array([True, False]))
    assert actor(seen)[:, 0].tolist() == [0, 1]

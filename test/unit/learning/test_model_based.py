"""Learning with a model: what the ensemble and the planner compute, and that short runs learn, resume and export."""

import dataclasses

import numpy as np
import pytest
import torch

from rl_robot_control.envs import make_vector_env
from rl_robot_control.learning import settings as algorithm_settings
from rl_robot_control.learning.export_run import export_run
from rl_robot_control.learning.methods.dynamics import Columns, Dynamics, DynamicsSettings
from rl_robot_control.learning.methods.mbpo import _guess
from rl_robot_control.learning.methods.pets import Planner, PlannerSettings
from rl_robot_control.learning.replay import Rows
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.learning.settings import TrainingSettings
from rl_robot_control.learning.trainer import train
from rl_robot_control.learning.world import World
from rl_robot_control.policies.gate import read_policy

ALL = Columns(learnt=[0, 1], action=[], action_scale=[])
# Two values that the ensemble learns, a command that stays, and the latest action, observed at a tenth.
SOME = Columns(learnt=[0, 1], action=[3], action_scale=[0.1])
RULES = DynamicsSettings(members=3, hidden=[32, 32], updates=600, batch=64)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def linear_system(count, columns, noise=0.0, size=2):
    """x' = x + 0.1 v, v' = v + 0.5 a + noise; the reward is x - v; it fails where x' > 1."""
    observation, action = 2 * torch.rand(count, size) - 1, 2 * torch.rand(count, 1) - 1
    following = observation.clone()
    following[:, 0] += 0.1 * observation[:, 1]
    following[:, 1] += 0.5 * action[:, 0] + noise * torch.randn(count)
    if columns.action:
        following[:, 3] = 0.1 * action[:, 0]
    rows = Rows({'observation': size, 'action': 1, 'following': size, 'reward': 1, 'terminated': 1}, count)
    rows.add(observation=observation, action=action, following=following,
             reward=observation[:, 0] - observation[:, 1], terminated=following[:, 0] > 1.0)
    return rows


def each(value, members=3):
    return value.expand(members, *value.shape)


@pytest.fixture(scope='module')
def fitted():
    torch.manual_seed(0)
    dynamics = Dynamics(RULES, ALL, 2, 1, 1.0)
    dynamics.fit(linear_system(1000, ALL, noise=0.1))
    return dynamics


@torch.no_grad()
def test_the_ensemble_learns_a_linear_system(fitted):
    observation, action = torch.tensor([[0.2, 0.5], [-0.6, -0.3]]), torch.tensor([[0.4], [-0.8]])
    following, reward, _ = fitted.imagine(each(observation), each(action))
    # x' = 0.2 + 0.05, v' = 0.5 + 0.2; x' = -0.6 - 0.03, v' = -0.3 - 0.4
    expected = torch.tensor([[0.25, 0.7], [-0.63, -0.7]])
    assert (following.mean(dim=0) - expected).abs().max() < 0.04
    assert (reward.mean(dim=0) - torch.tensor([-0.3, -0.3])).abs().max() < 0.1


@torch.no_grad()
def test_its_deviation_is_the_noise(fitted):
    observation, action = torch.zeros(1, 2), torch.zeros(1, 1)
    low, high = (fitted.imagine(each(observation), each(action), noise)[0].mean(dim=0)[0] for noise in (-1.0, 1.0))
    x, v = 0.5 * (high - low)
    assert v == pytest.approx(0.1, abs=0.04)
    assert x < 0.02


@torch.no_grad()
def test_its_members_disagree_where_nothing_was_seen(fitted):
    spread = [fitted.imagine(each(torch.full((1, 2), at)), each(torch.zeros(1, 1)))[0].std(dim=0).sum()
              for at in (0.3, 5.0)]
    assert spread[1] > 3 * spread[0]


@torch.no_grad()
def test_failures_are_foreseen_once_there_were_any(fitted):
    observation, action = torch.tensor([[0.98, 0.9], [0.2, 0.0]]), torch.zeros(2, 1)  # x' = 1.07, 0.2
    _, _, ended = fitted.imagine(each(observation), each(action))
    assert ended.mean(dim=0)[0] > 0.6 and ended.mean(dim=0)[1] < 0.05
    with torch.enable_grad():
        rows = linear_system(50, ALL)
        rows['terminated'].zero_()
        safe = Dynamics(RULES, ALL, 2, 1, 1.0)
        safe.fit(rows, 5)
    assert not safe.imagine(each(observation), each(action))[2].any()


@torch.no_grad()
def test_exact_columns_stay_exact():
    dynamics = Dynamics(RULES, SOME, 4, 1, 0.5)
    with torch.enable_grad():
        dynamics.fit(linear_system(100, SOME, size=4), 5)
    observation, action = torch.randn(6, 4), torch.tensor([[2.0], [-0.2], [0.3], [0.5], [-9.0], [0.0]])
    following, _, _ = dynamics.imagine(each(observation), each(action), torch.randn(3, 6, 3))
    assert torch.equal(following[..., 2], each(observation)[..., 2])  # the command
    limited = torch.tensor([0.5, -0.2, 0.3, 0.5, -0.5, 0.0])  # within ±0.5
    torch.testing.assert_close(following[..., 3], each(0.1 * limited))


def test_columns_of_a_task():
    world = World(make_vector_env('unitree_g1', 'reach', 1, threads=1), 0)
    # 4 positions, 4 velocities, 3 of the command, 4 latest actions; then 3 that only a critic may see
    columns = Columns.of(world)
    assert columns == Columns(learnt=[*range(8), 15, 16, 17], action=[11, 12, 13, 14], action_scale=[1.0] * 4)
    world.env.close()


@torch.no_grad()
def test_what_was_saved_gives_the_same(fitted):
    other = Dynamics(RULES, ALL, 2, 1, 1.0)
    other.load(fitted.state())
    observation, action = torch.randn(3, 8, 2), torch.randn(3, 8, 1)
    for one, two in zip(fitted.imagine(observation, action), other.imagine(observation, action), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(RuntimeError):
        Dynamics(dataclasses.replace(RULES, hidden=[16]), ALL, 2, 1, 1.0).load(fitted.state())


def test_rows_forget_the_oldest():
    rows = Rows({'value': 1}, 4)
    rows.add(value=torch.arange(3.0))
    assert rows['value'].squeeze(1).tolist() == [0, 1, 2]
    rows.add(value=torch.arange(3.0, 6.0))
    assert sorted(rows['value'].squeeze(1).tolist()) == [2, 3, 4, 5]
    other = Rows({'value': 1}, 4)
    other.load(rows.saved())
    other.add(value=torch.tensor([6.0]))
    assert sorted(other['value'].squeeze(1).tolist()) == [3, 4, 5, 6]


class Exact:
    """x' = x + a, with the reward -(x' - 1)²; it fails where x' > 2."""

    members, outputs = 1, 1

    def imagine(self, observation, action, noise=0.0):
        following = observation + action
        return following, -(following[..., 0] - 1.0) ** 2, (following[..., 0] > 2.0).float()


def test_the_planner_finds_the_optimum_of_a_known_model():
    rules = PlannerSettings(horizon=4, candidates=200, elites=20, iterations=12, correlation=0.0)
    planner = Planner(rules, Exact(), num_robots=2, num_actions=1, limit=0.5)
    action = planner(torch.tensor([[0.7], [-1.0]]))
    # 0.3 leads to the goal, where the robot stays; from -1 the largest action leads nearest
    torch.testing.assert_close(action, torch.tensor([[0.3], [0.5]]), atol=0.03, rtol=0)
    assert planner.plan[0].abs().max() < 0.1
    planner.forget(torch.tensor([False, True]))
    assert not planner.plan[1].any() and planner.plan[0].any()


def test_returns_are_discounted_and_end_with_a_failure():
    rules = PlannerSettings(horizon=3, candidates=1, elites=1, iterations=1, discount=0.5)
    planner = Planner(rules, Exact(), num_robots=1, num_actions=1, limit=3.0)
    actions = torch.tensor([[[1.0], [1.0], [1.0]], [[3.0], [-2.0], [1.0]]])[None]
    # from 0 over 1, 2, 3: -0 - 0.5·1 - 0.25·4; over 3, where it fails: -4
    torch.testing.assert_close(planner.returns(torch.zeros(1, 1), actions), torch.tensor([[-1.5, -4.0]]))


@torch.no_grad()
def test_each_guess_is_one_members(fitted):
    state, action = torch.randn(7, 2), torch.zeros(7, 1)
    quiet = Dynamics(RULES, ALL, 2, 1, 1.0)
    quiet.load(fitted.state())
    quiet.ensemble.least.fill_(-60.0)
    quiet.ensemble.greatest.fill_(-50.0)
    following, _, _ = _guess(quiet, state, action)
    each_ones, _, _ = quiet.imagine(each(state), each(action))
    assert ((each_ones - following).abs().amax(dim=-1) < 1e-4).any(dim=0).all()


SHORT = {
    'pets': {'num_envs': 2, 'horizon': 25, 'warm_up': 50, 'updates': 5, 'value_updates': 5, 'lessons': 100,
             'student_from': 0.0, 'dynamics': {'members': 2, 'hidden': [16], 'updates': 5},
             'planner': {'horizon': 3, 'candidates': 6, 'elites': 2, 'iterations': 1}},
    'mbpo': {'num_envs': 2, 'horizon': 25, 'warm_up': 50, 'batch': 16, 'updates': 0.2, 'hidden': [16],
             'dynamics': {'members': 2, 'hidden': [16], 'updates': 5}, 'rollouts': 11, 'imagined': 50},
}


@pytest.mark.parametrize('name', SHORT)
def test_a_short_run_learns_resumes_and_exports(name, tmp_path, monkeypatch):
    load = algorithm_settings.load_settings

    def shorter(path, kind):
        file = load(path, kind)
        return dataclasses.replace(file, settings=file.settings | SHORT[name], tasks={})
    monkeypatch.setattr(algorithm_settings, 'load_settings', shorter)
    settings = TrainingSettings(robot='unitree_g1', task='reach', algorithm=name, steps=200)
    result = train(settings, tmp_path / 'run')
    folder = RunFolder(tmp_path / 'run')
    before = folder.load()
    assert result.steps == before['steps'] == 200
    assert np.isfinite(folder.metrics()[-1]['dynamics'])
    resumed = train(dataclasses.replace(settings, steps=250), tmp_path / 'run', resume=True)
    after = folder.load()
    assert resumed.steps == 250
    assert _count(after['memory'], name) == _count(before['memory'], name) + 50
    assert read_policy(export_run(tmp_path / 'run')).manifest.algorithm == name


def _count(memory, name):
    """Real steps that are remembered."""
    if name == 'pets':
        return len(memory['seen']['values']['reward'])
    return 2 * memory['buffer']['rows']

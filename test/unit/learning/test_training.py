"""Training on short budgets: what it writes, how it resumes, what it refuses, and that it learns."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from rl_robot_control.config import parse_settings
from rl_robot_control.errors import ConfigurationError, LearningError, UnknownNameError
from rl_robot_control.learning.evaluation import evaluate, stride_error
from rl_robot_control.learning.export_run import export_run
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.learning.settings import TrainingSettings
from rl_robot_control.learning.trainer import train
from rl_robot_control.policies.gate import read_policy


def settings(**changes):
    data = {'robot': 'unitree_g1', 'task': 'reach', 'num_envs': 8, 'steps': 1000, 'seed': 3}
    return parse_settings(data | changes, TrainingSettings, 'test')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A run of 1,000 steps: six iterations of 8 robots · 24 steps."""
    out = tmp_path_factory.mktemp('run') / 'reach'
    return train(settings(), out)


def test_a_run_leaves_settings_checkpoint_and_metrics(run):
    folder = RunFolder(run.run_folder)
    assert folder.settings() == settings()
    assert folder.load()['steps'] == run.steps == 6 * 8 * 24
    rows = folder.metrics()
    assert [row['steps'] for row in rows] == [192 * i for i in range(1, 7)]
    assert {'mean_return', 'mean_reward', 'shield_correction_rate', 'learning_rate', 'value'} <= set(rows[0])
    assert list((run.run_folder / 'tensorboard').iterdir())


def test_the_same_seed_learns_the_same(run, tmp_path):
    again = train(settings(), tmp_path / 'again')
    one, other = (RunFolder(r.run_folder).load()['learner']['actor_state_dict'] for r in (run, again))
    assert all(torch.equal(one[key], other[key]) for key in one)
    another = train(settings(seed=4), tmp_path / 'another')
    third = RunFolder(another.run_folder).load()['learner']['actor_state_dict']
    assert not all(torch.equal(one[key], third[key]) for key in one)


def test_workers_learn_one_policy(tmp_path):
    """Two processes of four robots each: every iteration counts both, and a second run gives the same parameters."""
    runs = [train(settings(workers=2, steps=500), tmp_path / name) for name in ('one', 'other')]
    assert [run.steps for run in runs] == [576, 576]  # three iterations of 2 · 4 robots · 24 steps
    one, other = (RunFolder(run.run_folder).load()['learner']['actor_state_dict'] for run in runs)
    assert all(torch.equal(one[key], other[key]) for key in one)
    resumed = train(settings(workers=2, steps=600), tmp_path / 'one', resume=True)
    assert resumed.steps == 768


def test_robots_that_workers_cannot_share_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match='9 robots cannot be divided evenly among 2 workers; give a multiple'):
        train(settings(workers=2, num_envs=9), tmp_path / 'run')


@pytest.fixture
def two_workers(tmp_path):
    """A training of two workers in processes of its own, which has begun to learn."""
    code = ('from pathlib import Path; from rl_robot_control.learning import trainer\n'
            'from rl_robot_control.learning.settings import TrainingSettings\n'
            'if __name__ == "__main__":\n'
            f'    trainer.train(TrainingSettings(**{settings(workers=2, steps=10**8).__dict__!r}), '
            f'Path({str(tmp_path / "run")!r}))')
    (tmp_path / 'main.py').write_text(code)
    with (tmp_path / 'errors').open('w') as errors:
        process = subprocess.Popen([sys.executable, str(tmp_path / 'main.py')], start_new_session=True, stderr=errors)
    try:
        _wait(lambda: RunFolder(tmp_path / 'run').metrics(), 90)
        yield process
    finally:
        process.kill()
        process.wait(10)


def test_killing_the_first_worker_ends_the_others(two_workers):
    children = _children(two_workers.pid)
    assert children
    two_workers.send_signal(signal.SIGKILL)
    two_workers.wait(10)
    _wait(lambda: not any(_alive(pid) for pid in children), 30)


def test_killing_another_worker_ends_the_first_with_the_reason(two_workers, tmp_path):
    other = next(pid for pid in _children(two_workers.pid)
                 if b'spawn_main' in Path(f'/proc/{pid}/cmdline').read_bytes())
    os.kill(other, signal.SIGKILL)
    assert two_workers.wait(60) == 1
    assert 'LearningError: another worker ended: it was killed' in (tmp_path / 'errors').read_text()
    assert RunFolder(tmp_path / 'run').load()['steps'] > 0


def _wait(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, 'the condition did not come true in time'
        time.sleep(0.05)


def _children(pid):
    return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def _alive(pid):
    try:
        return ') Z ' not in Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False


def test_an_occupied_folder_is_refused(run):
    with pytest.raises(LearningError, match='already holds a run; continue it with --resume'):
        train(settings(), run.run_folder)


def test_an_empty_folder_cannot_be_resumed(tmp_path):
    with pytest.raises(LearningError, match='holds no run to resume'):
        train(settings(), tmp_path, resume=True)


def test_resuming_goes_on_from_the_checkpoint(tmp_path):
    first = train(settings(steps=400), tmp_path / 'run')
    second = train(settings(steps=800), tmp_path / 'run', resume=True)
    assert (first.steps, second.steps) == (576, 960)  # whole iterations of 192 steps
    steps = [row['steps'] for row in RunFolder(tmp_path / 'run').metrics()]
    assert steps == [192, 384, 576, 768, 960]


def test_resuming_with_other_settings_is_refused(run):
    with pytest.raises(LearningError, match='was started with seed=3, not 5'):
        train(settings(seed=5), run.run_folder, resume=True)


def test_a_damaged_checkpoint_is_named(tmp_path):
    train(settings(steps=100), tmp_path / 'run')
    (tmp_path / 'run' / 'checkpoint.pt').write_bytes(b'no checkpoint')
    with pytest.raises(LearningError, match='checkpoint.pt: is not a checkpoint'):
        train(settings(), tmp_path / 'run', resume=True)


def test_warm_starting_takes_over_parameters(run, tmp_path):
    warm = train(settings(steps=1), tmp_path / 'warm', warm_start=run.run_folder)
    assert warm.steps == 192
    with pytest.raises(LearningError, match='has no checkpoint to start from'):
        train(settings(), tmp_path / 'other', warm_start=tmp_path)
    with pytest.raises(LearningError, match='does not fit this task and robot'):
        train(settings(task='walk'), tmp_path / 'walk', warm_start=run.run_folder)


@pytest.mark.parametrize(('changes', 'error', 'message'), [
    ({'robot': 'unitree_g2'}, UnknownNameError, "unknown robot 'unitree_g2'; did you mean 'unitree_g1'"),
    ({'task': 'reahc'}, UnknownNameError, "unknown task 'reahc'; did you mean 'reach'"),
    ({'algorithm': 'pppo'}, UnknownNameError, "unknown algorithm 'pppo'; did you mean 'ppo'")])
def test_unknown_names_are_refused_before_a_folder_is_made(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        train(settings(**changes), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('changes', [{'seed': -1}, {'num_envs': 0}, {'minutes': float('nan')}, {'steps': 0},
                                     {'stesp': 1}])
def test_nonsense_settings_are_refused(changes):
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        settings(**changes)


def test_a_killed_run_resumes(tmp_path):
    """SIGKILL at any moment leaves a folder from which --resume goes on."""
    code = ('from rl_robot_control.learning import trainer; trainer.SECONDS_BETWEEN_CHECKPOINTS = 0.0\n'
            'from pathlib import Path; from rl_robot_control.learning.settings import TrainingSettings\n'
            f'trainer.train(TrainingSettings(**{settings(steps=10**8).__dict__!r}), Path({str(tmp_path / "run")!r}))')
    process = subprocess.Popen([sys.executable, '-c', code])
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / 'run' / 'checkpoint.pt').exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    saved = RunFolder(tmp_path / 'run').load()['steps']
    resumed = train(settings(steps=saved + 100), tmp_path / 'run', resume=True)
    assert resumed.steps == saved + 192
    steps = [row['steps'] for row in RunFolder(tmp_path / 'run').metrics()]
    assert steps == sorted(set(steps)) and steps[-1] == resumed.steps


def test_reach_is_learned(tmp_path):
    """A short budget brings the hand nearer: the reward rises by much more than its spread."""
    result = train(settings(num_envs=32, steps=60000), tmp_path / 'run')
    rewards = [row['mean_reward'] for row in RunFolder(result.run_folder).metrics()]
    assert np.mean(rewards[-5:]) > np.mean(rewards[:5]) + 0.3
    policy = read_policy(export_run(result.run_folder))
    report = evaluate(policy, episodes=4, duration=3.0)
    assert report['episodes'] == 4 and report['mean_speed_error'] is None
    assert json.dumps(report)


def test_stride_errors_are_of_means_over_a_stride():
    # a sway of ±1 around 0.5 has the mean 0.5 over two steps: the error against 0.4 is 0.1
    values = np.array([[1.5], [-0.5], [1.5], [-0.5]])
    np.testing.assert_allclose(stride_error(values, np.array([0.4]), np.ones((4, 1), dtype=bool), 2, 0), [0.1])
    fallen = np.array([[True], [True], [False], [False]])  # only the first window is whole
    np.testing.assert_allclose(stride_error(values, np.array([0.4]), fallen, 2, 0), [0.1])
    assert np.isnan(stride_error(values, np.array([0.4]), np.zeros((4, 1), dtype=bool), 2, 0)).all()
    assert np.isnan(stride_error(values, np.array([0.4]), np.ones((4, 1), dtype=bool), 8, 0)).all()

"""The search for hyper-parameters: what it refuses, how it resumes and prunes, and that what it writes can be used."""

import csv
import dataclasses
import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import optuna
import pytest
import yaml

from rl_robot_control.config import find_config, parse_settings, to_plain
from rl_robot_control.errors import ConfigurationError, LearningError, UnknownNameError
from rl_robot_control.learning import tuning, tuning_space
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.learning.settings import TrainingSettings
from rl_robot_control.learning.trainer import Progress, train
from rl_robot_control.learning.tuning import stored_plan, tune
from rl_robot_control.learning.tuning_journal import MARKS, held, open_study
from rl_robot_control.learning.tuning_results import importances, scored
from rl_robot_control.learning.tuning_space import Plan, make_plan

SPACE = {'learning_rate': {'kind': 'float', 'low': 1e-4, 'high': 1e-2, 'log': True},
         'horizon': {'kind': 'int', 'low': 8, 'high': 24, 'step': 8},
         'hidden': {'kind': 'choice', 'values': [[16], [32, 32]]}}


def write_space(folder, space=SPACE, **rest):
    path = folder / 'space.yaml'
    path.write_text(yaml.safe_dump({'episodes': 2, 'pruning': None, 'space': space} | rest))
    return str(path)


def small_plan(folder, space=SPACE, seeds=1, robot='cart_pole', task='balance', **rest):
    """PPO with 8 robots and 400 steps."""
    base = yaml.safe_load(find_config('algorithms', 'ppo').read_text())
    base |= {'tasks': {task: {'num_envs': 8, 'workers': 1, 'hidden': [16]}}}
    (folder / 'small.yaml').write_text(yaml.safe_dump(base))
    return make_plan(robot, task, str(folder / 'small.yaml'), steps=400, seeds=seeds,
                     space=write_space(folder, space, **rest))


def rows(folder):
    return list(csv.DictReader((folder / 'trials.csv').read_text().splitlines()))


@pytest.fixture
def fake(monkeypatch):
    """Training and scoring in no time: the score is best at a learning rate of 1e-3; gives what was trained."""
    runs = []

    def fake_train(settings, out, on_progress):
        given = yaml.safe_load(Path(settings.algorithm).read_text())['settings']
        runs.append(given)
        loss = abs(math.log10(given['learning_rate']) + 3)
        on_progress(progress(400, -loss))
        return SimpleNamespace(finished=True)

    def fake_score(search, settings, run):
        loss = abs(math.log10(runs[-1]['learning_rate']) + 3)
        return tuning.Score(mean_return=-loss, success_rate=0.5, length=1.0, shield_correction_rate=0.0)

    monkeypatch.setattr(tuning, 'train', fake_train)
    monkeypatch.setattr(tuning._Search, '_score', fake_score)
    return runs


def progress(steps, mean_return):
    return Progress(steps=steps, total_steps=400, minutes=0.0, mean_return=mean_return, success_rate=0.0,
                    mean_reward=0.0, episode_length=1.0, falls_per_minute=0.0, shield_correction_rate=0.0,
                    steps_per_second=1.0)


@pytest.mark.parametrize('parameter, message', [
    ({'kind': 'float', 'low': 0.1}, "space.learning_rate: kind 'float' needs 'high'."),
    ({'kind': 'choice', 'low': 0.1}, "space.learning_rate: kind 'choice' takes no 'low'; it takes values."),
    ({'kind': 'choice'}, "space.learning_rate: kind 'choice' needs 'values'."),
    ({'kind': 'choice', 'values': []}, 'space.learning_rate: values is empty; give at least one.'),
    ({'kind': 'choice', 'values': [0.1, 0.1]}, 'space.learning_rate: values has 0.1 twice.'),
    ({'kind': 'float', 'low': 0.2, 'high': 0.1},
     'space.learning_rate: low is 0.2 and high 0.1; low must be below high.'),
    ({'kind': 'float', 'low': 0.0, 'high': 0.1, 'log': True},
     'space.learning_rate: low is 0; with log it must be above 0.'),
    ({'kind': 'float', 'low': 0.1, 'high': float('inf')},
     'space.learning_rate: low is 0.1 and high inf; both must be finite.'),
    ({'kind': 'float', 'low': 0.1, 'high': 0.2, 'step': 1},
     "space.learning_rate: kind 'float' takes no 'step'; it takes low, high, log."),
    ({'kind': 'int', 'low': 1, 'high': 2.5}, "low is 1 and high 2.5; kind 'int' takes whole numbers."),
    ({'kind': 'int', 'low': 1, 'high': 9, 'step': 2, 'log': True}, 'step is 2; with log it must be 1.'),
    ({'kind': 'float', 'low': -1.0, 'high': 0.1},
     "space.learning_rate: key 'learning_rate' is -1.0: Input should be greater than 0."),
    ({'kind': 'flaot', 'low': 0.1, 'high': 0.2}, "'flaot': Input should be 'float', 'int' or 'choice'."),
    ({'kind': 'float', 'low': 0.1, 'hihg': 0.2}, "unknown key 'space.learning_rate.hihg'; did you mean 'high'?"),
])
def test_nonsense_values_are_refused(tmp_path, parameter, message):
    with pytest.raises(ConfigurationError) as caught:
        small_plan(tmp_path, {'learning_rate': parameter})
    assert str(caught.value).startswith(f'{tmp_path / "space.yaml"}') and message in str(caught.value)


def test_a_hyper_parameter_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"space.epochs: key 'epochs' is 2.85\d+: Input should be a valid int"):
        small_plan(tmp_path, {'epochs': {'kind': 'float', 'low': 1.0, 'high': 4.0}})  # 1 + 3 · 0.618 = 2.854


@pytest.mark.parametrize('name', ['learning_rat', 'steps'])
def test_an_unknown_hyper_parameter_is_refused(tmp_path, name):
    with pytest.raises(UnknownNameError) as caught:
        small_plan(tmp_path, {name: {'kind': 'int', 'low': 1, 'high': 4}})
    message = f"unknown hyper-parameter of method 'ppo' '{name}' in {tmp_path / 'space.yaml'}, space"
    assert str(caught.value).startswith(message) and ' clip, discount, entropy, ' in str(caught.value)
    assert ' steps,' not in str(caught.value)  # the budget is the same for all


def test_an_algorithm_without_a_search_space():
    with pytest.raises(ConfigurationError, match="no search space for algorithm 'td3', only for dqn, ppo, sac; write"):
        make_plan('unitree_g1', 'reach', 'td3')


def test_an_algorithm_with_a_teacher_is_refused(tmp_path, monkeypatch):
    found = dataclasses.replace(tuning_space.find_method('ppo'), learns_from='recording')
    monkeypatch.setattr(tuning_space, 'find_method', lambda *rest: found)
    with pytest.raises(ConfigurationError, match='learns from a recording, with which there is no search; tune one'):
        small_plan(tmp_path)


@pytest.mark.parametrize('algorithm, robot, task', [
    ('ppo', 'unitree_g1', 'walk'), ('sac', 'unitree_g1', 'reach'), ('dqn', 'cart_pole', 'balance')])
def test_the_spaces_that_come_along_hold_what_the_algorithm_has(algorithm, robot, task):
    plan = make_plan(robot, task, algorithm)
    before = plan.base_values()
    assert all(parameter.holds(before[name]) for name, parameter in plan.tuning.space.items())
    assert parse_settings(to_plain(plan), Plan, 'test') == plan


def test_a_study_writes_an_algorithm_that_trains(tmp_path):
    out, seen = tmp_path / 'study', []
    result = tune(small_plan(tmp_path, robot='unitree_g1', task='reach'), out, 2, on_progress=seen.append)
    assert (result.complete, result.pruned, result.failed, result.finished) == (2, 0, 0, True)
    assert [row['outcome'] for row in rows(out)] == ['complete'] * 2
    assert max(float(row['mean_return']) for row in rows(out)) == result.mean_return
    assert rows(out)[0]['hidden'] == '[16]' and rows(out)[0]['horizon'] == '24'  # the algorithm's own come first
    assert {at.trial for at in seen} == {1, 2} and seen[-1].best is not None
    best = yaml.safe_load((out / 'best.yaml').read_text())
    of_trial = yaml.safe_load((out / 'trials' / f'{result.best_trial:04d}' / 'algorithm.yaml').read_text())
    assert best['settings'] == of_trial['settings'] and best['settings']['steps'] == 400
    trained = train(TrainingSettings(robot='unitree_g1', task='reach', algorithm=str(out / 'best.yaml')),
                    tmp_path / 'run')
    assert RunFolder(tmp_path / 'run').metrics()[-1]['mean_return'] == RunFolder(
        out / 'trials' / f'{result.best_trial:04d}' / 'seed_1').metrics()[-1]['mean_return'] and trained.finished


def test_a_killed_study_resumes(tmp_path, fake):
    """The trial that was running is run again with the values that it had, and the search goes on as if undisturbed."""
    space = {'learning_rate': SPACE['learning_rate']}
    plan, out = small_plan(tmp_path, space), tmp_path / 'study'
    tune(plan, tmp_path / 'whole', 12)
    code = ('import os, signal, sys\nfrom pathlib import Path\nfrom rl_robot_control.learning import tuning\n'
            'from rl_robot_control.learning.tuning_space import make_plan\n'
            f'plan = make_plan("cart_pole", "balance", {plan.algorithm!r}, steps=400, '
            f'space={str(tmp_path / "space.yaml")!r})\n'
            f'tuning.tune(plan, Path({str(out)!r}), 12, on_progress=lambda at: print(at, flush=True))\n')
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    try:
        assert 'trial=1' in process.stdout.readline()  # in the midst of it
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with (out / 'study.log').open('ab') as log:
        log.write(b'{"op_code": 5, "tri')  # cut off as well
    if not (out / 'study.log.lock').is_symlink():
        (out / 'study.log.lock').symlink_to('study.log')
    began = time.monotonic()
    result = tune(stored_plan(out), out, 12, resume=True)
    assert time.monotonic() - began < 20  # it does not wait for a lock that nobody holds
    assert result.complete == 12 and [row['outcome'] for row in rows(out)] == ['interrupted'] + ['complete'] * 12
    assert [row['learning_rate'] for row in rows(out)][1:] == [row['learning_rate'] for row in rows(tmp_path / 'whole')]


def test_more_trials_of_a_finished_study(tmp_path, fake):
    plan, out = small_plan(tmp_path, seeds=2), tmp_path / 'study'
    tune(plan, out, 2)
    assert len(fake) == 4  # two runs each
    assert tune(plan, out, 2, resume=True).complete == 2 and len(fake) == 4
    assert tune(plan, out, 3, resume=True).complete == 3 and len(fake) == 6


def test_an_interrupt_keeps_everything(tmp_path, fake, monkeypatch):
    plan, out, whole = small_plan(tmp_path), tmp_path / 'study', tuning.train
    handler = signal.getsignal(signal.SIGINT)

    def interrupted(settings, *rest, **named):
        if len(fake) == 2:
            raise KeyboardInterrupt
        return whole(settings, *rest, **named)

    monkeypatch.setattr(tuning, 'train', interrupted)
    try:
        result = tune(plan, out, 4)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert (result.complete, result.finished) == (2, False)
    assert (out / 'best.yaml').is_file() and (out / 'importance.png').is_file()
    monkeypatch.setattr(tuning, 'train', whole)
    result = tune(plan, out, 4, resume=True)
    again = rows(out)
    assert (result.complete, result.finished) == (4, True)
    assert [row['outcome'] for row in again] == ['complete', 'complete', 'interrupted', 'complete', 'complete']
    assert [again[2][name] for name in SPACE] == [again[3][name] for name in SPACE]


def test_folders_are_refused(tmp_path, fake):
    plan, out = small_plan(tmp_path), tmp_path / 'study'
    with pytest.raises(LearningError, match='holds no study to resume .no study.yaml.; start one without --resume'):
        stored_plan(out)
    tune(plan, out, 1)
    with pytest.raises(LearningError, match='is not empty; go on with the study in it with --resume, or give another'):
        tune(plan, out, 1)
    with pytest.raises(LearningError, match='was started with steps=400, not 500; resume it with the same settings'):
        stored_plan(out, steps=500)
    with pytest.raises(LearningError, match='was started with another search space than'):
        stored_plan(out, space=write_space(tmp_path, {'horizon': SPACE['horizon']}))
    with held(out), pytest.raises(LearningError, match='another process is tuning in'):
        tune(plan, out, 2, resume=True)


def test_pruning_stops_a_run_early(tmp_path):
    """The second trial explores wildly and falls sooner from the first episodes on: it ends before its budget does."""
    space = {'initial_std': {'kind': 'choice', 'values': [0.05, 8.0]}}
    plan = small_plan(tmp_path, space, pruning={'after_trials': 1, 'after_share': 0.0})
    plan = parse_settings(to_plain(plan) | {'steps': 1600, 'base': to_plain(plan.algorithm_file(
        {'initial_std': 0.05, 'steps': 1600}, 'small'))}, Plan, 'test')
    seed = next(seed for seed in range(99) if _second(tmp_path / f'{seed}.log', seed, plan) == '8.0')
    plan, out = parse_settings(to_plain(plan) | {'seed': seed}, Plan, 'test'), tmp_path / 'study'
    result = tune(plan, out, 2)
    assert (result.complete, result.pruned, result.values) == (1, 1, {'initial_std': 0.05})
    pruned = rows(out)[1]
    assert pruned['outcome'] == 'pruned' and pruned['mean_return'] == '' and int(pruned['steps']) < 1600
    folder = RunFolder(out / 'trials' / '0001' / f'seed_{seed}')
    assert folder.metrics()[-1]['steps'] < 1600 and folder.load() is not None  # it was left as any run that stopped


def _second(log, seed, plan):
    """What the second trial of a study will have."""
    study = open_study(plan, log)
    study.add_trial(optuna.trial.create_trial(value=0.0))
    study.sampler = tuning.sampler(seed, 1)
    return study.ask().suggest_categorical('initial_std', ['0.05', '8.0'])


def test_marks_make_trials_of_other_horizons_comparable(tmp_path):
    """Reports stand at whole tenths of the budget, those that an iteration skips included."""
    plan = small_plan(tmp_path, seeds=2)
    study = open_study(plan, tmp_path / 'study.log')
    trial = study.ask()
    watch = tuning._Watch(trial, plan, lambda *at: None)
    watch(progress(50, float('nan')))  # of 400: mark 1, before any episode ended
    watch(progress(130, 1.0))  # marks 2 and 3
    watch(progress(159, 2.0))  # none
    watch(progress(500, 3.0))  # beyond the end
    watch.next_run()
    watch(progress(40, 4.0))
    reported = study.get_trials()[0].intermediate_values
    assert reported == {2: 1.0, 3: 1.0} | {mark: 3.0 for mark in range(4, 11)} | {MARKS + 1: 4.0}


def test_what_diverges_does_not_stop_the_study(tmp_path, fake, monkeypatch):
    whole = tuning.train

    def diverging(settings, *rest, **named):
        if len(fake) == 1:
            fake.append(None)
            raise LearningError('the parameters stopped being finite after 96 steps')
        return whole(settings, *rest, **named)

    monkeypatch.setattr(tuning, 'train', diverging)
    result = tune(small_plan(tmp_path), tmp_path / 'study', 3)
    assert (result.complete, result.pruned, result.failed) == (2, 0, 1)
    assert result.failure == 'LearningError: the parameters stopped being finite after 96 steps'
    assert rows(tmp_path / 'study')[1] | {'outcome': 'failed', 'failure': result.failure} == rows(tmp_path / 'study')[1]


def test_importances_find_what_mattered(tmp_path, fake):
    """Of three hyper-parameters only the learning rate is scored; the picture is drawn, of as many or of few trials."""
    plan, out = small_plan(tmp_path), tmp_path / 'study'
    tune(plan, out, 3)
    few = matplotlib.image.imread(out / 'importance.png')
    tune(plan, out, 20, resume=True)
    assert matplotlib.image.imread(out / 'importance.png').shape == few.shape
    study = open_study(plan, out / 'study.log')
    shares = importances(study)
    assert len(scored(study)) == 20 and next(iter(shares)) == 'learning_rate' and shares['learning_rate'] > 0.5
    assert sum(shares.values()) == pytest.approx(1.0)
    assert abs(math.log10(study.best_trial.user_attrs['values']['learning_rate']) + 3) < 0.1

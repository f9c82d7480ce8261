"""The table of algorithms: its short form learns, and what was measured is gone on with and written into a page."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from rl_robot_control.config import find_config, load_settings
from rl_robot_control.learning.settings import AlgorithmFile, load_algorithm

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / 'benchmarks' / 'algorithms.py'


@pytest.fixture(scope='module')
def modules():
    """Imports a module of the benchmarks' folder by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        yield importlib.import_module


@pytest.fixture
def benchmark(modules):
    return modules('algorithms')


@pytest.fixture
def rows(modules):
    return modules('algorithm_rows')


def test_the_short_form_beats_random(benchmark, tmp_path, capsys):
    """DQN turns the joint to the target; the row's own demand is met, and a second run measures nothing anew."""
    page = tmp_path / 'page.md'
    page.write_text('# Page\n<!-- algorithms -->\nmeasured before\n\n| family | what |\n|---|---|\n'
                    '| value-based | `dqn` on `joint_servo` | old |\n| value-based | `dqn` on `balance` | stays |\n'
                    '<!-- end -->\nrest\n')
    for _ in range(2):
        benchmark.main(['--short', '--out', str(tmp_path / 'out'), '--into', str(page)])
        said = capsys.readouterr()
        assert said.out.splitlines()[-1].endswith('| 1 | met |'), said.err
    assert 'done' not in said.err
    text = page.read_text()
    assert 'old' not in text and '`dqn` on `joint_servo`' in text and text.endswith('<!-- end -->\nrest\n')
    assert '| value-based | `dqn` on `balance` | stays |' in text and text.count('measured before') == 1
    assert text.count('--short --seeds 1') == 1
    assert '`ppo` on `walk` | – | ' in text and text.count('not measured') == len(benchmark.ROWS) - 2


def test_the_algorithms_files_are_told_what_was_measured(benchmark, tmp_path):
    """Means of two trials; what is known of another task stays, and the file can still be read."""
    path = tmp_path / 'dqn.yaml'
    path.write_text(find_config('algorithms', 'dqn').read_text().partition('measured:')[0]
                    + 'measured:\n  balance: {return: 5.0}\n  joint_servo: {return: 0.0}\n')
    trial = {'return': 3.0, 'random': -4.7, 'success': 0.9, 'share': 0.9, 'steps': 15000, 'seconds': 30.0}
    benchmark.write_measured({'dqn_joint_servo': [trial, trial | {'return': 3.2}], 'qrdqn_balance': []}, tmp_path)
    assert load_settings(path, AlgorithmFile).measured == {
        'balance': {'return': 5.0},
        'joint_servo': {'return': 3.1, 'success': 0.9, 'steps': 15000, 'seconds': 30, 'seeds': 2}}
    assert load_algorithm(str(path), 'joint_servo') == load_algorithm('dqn', 'joint_servo')
    assert [entry.name for entry in tmp_path.iterdir()] == ['dqn.yaml']


def test_a_gap_is_shown(benchmark, tmp_path):
    numbers = {'return': -4.0, 'random': -4.7, 'script': 3.1, 'success': 0.1, 'share': 0.09, 'steps': 15000.0,
               'seconds': 20.0}
    (tmp_path / 'dqn_joint_servo_1.json').write_text(json.dumps(numbers))
    lines = benchmark.table(benchmark.collected(['dqn_joint_servo', 'sac_reach'], tmp_path))
    assert lines[2].endswith('| 1 | **missed** |') and 'return -4' in lines[2]
    assert lines[3].endswith('| 0 | not measured |')


def test_who_never_got_there_had_its_whole_budget(benchmark, tmp_path):
    """20,000 steps are the budget of SAC: (20,000 + 10,000) / 2 / 5 = 3,000 are asked of the other method."""
    for seed, steps, other in ((1, 3000, np.inf), (2, 2900, 10000)):
        numbers = {'steps': steps, 'return': 5.0, 'steps of sac': other, 'return of sac': 5.0,
                   'at least': min(other, 20000)}
        (tmp_path / f'mbpo_before_sac_balance_{seed}.json').write_text(json.dumps(numbers))
    line = benchmark.table(benchmark.collected(['mbpo_before_sac_balance'], tmp_path))[2]
    assert 'steps 2,950, steps of sac 10,000 (1 of 2 never)' in line and line.endswith('| met |')


def test_scripts_do_what_they_are_measured_for(rows):
    """By hand: hanging still and asked for 1 rad, the servo is given 2 / 1.5 and so its bound."""
    assert rows.Script(rows.servo_script)(np.array([[1.0, 0.0, 0.0]])).tolist() == [[1.0]]
    assert rows.balance_script(np.array([[0.0, 0.1, 0.0, 0.0]])).tolist() == [[0.6]]


def test_an_unknown_row_is_refused(benchmark, tmp_path, capsys):
    with pytest.raises(SystemExit, match='2'):
        benchmark.main(['--rows', 'nonsense', '--out', str(tmp_path)])
    assert "there is no row 'nonsense'; --list prints their names" in capsys.readouterr().err

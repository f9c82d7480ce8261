"""The table of algorithms: its short form learns, and what was measured is gone on with and written into a page."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / 'benchmarks' / 'algorithms.py'


@pytest.fixture(scope='module')
def benchmark():
    spec = importlib.util.spec_from_file_location('algorithms', SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules['algorithms'] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_the_short_form_beats_random(tmp_path):
    """DQN turns the joint to the target; the row's own demand is met, and a second run measures nothing anew."""
    page = tmp_path / 'page.md'
    page.write_text('# Page\n<!-- algorithms -->\nold\n<!-- end -->\nrest\n')
    command = [sys.executable, str(SCRIPT), '--short', '--out', str(tmp_path / 'out'), '--into', str(page)]
    for _ in range(2):
        result = subprocess.run(command, capture_output=True, text=True, timeout=110)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[-1].endswith('| 1 | met |')
    assert 'done' not in result.stderr
    text = page.read_text()
    assert 'old' not in text and '`dqn` on `joint_servo`' in text and text.endswith('<!-- end -->\nrest\n')


def test_a_gap_is_shown(benchmark, tmp_path):
    numbers = {'return': -4.0, 'random': -4.7, 'script': 3.1, 'success': 0.1, 'share': 0.09, 'steps': 15000.0,
               'seconds': 20.0}
    (tmp_path / 'dqn_joint_servo_1.json').write_text(json.dumps(numbers))
    lines = benchmark.table(benchmark.collected(['dqn_joint_servo', 'sac_reach'], tmp_path))
    assert lines[2].endswith('| 1 | **missed** |') and 'return -4' in lines[2]
    assert lines[3].endswith('| 0 | not measured |')


def test_scripts_do_what_they_are_measured_for(benchmark):
    """By hand: hanging still and asked for 1 rad, the servo is given 2 / 1.5 and so its bound."""
    assert benchmark.Script(benchmark.servo_script)(np.array([[1.0, 0.0, 0.0]])).tolist() == [[1.0]]
    assert benchmark.balance_script(np.array([[0.0, 0.1, 0.0, 0.0]])).tolist() == [[0.6]]


def test_an_unknown_row_is_refused(tmp_path):
    result = subprocess.run([sys.executable, str(SCRIPT), '--rows', 'nonsense', '--out', str(tmp_path)],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 2 and "there is no row 'nonsense'; --list prints their names" in result.stderr

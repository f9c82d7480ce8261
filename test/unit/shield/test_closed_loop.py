"""The short form of ``benchmarks/shield_closed_loop.py``: adversaries against the measured robot, side by side."""

import importlib.util

import pytest

from rl_robot_control.config import config_directory

SECONDS = 6.0  # simulated; the ten minutes stand in docs/safety.md


@pytest.fixture(scope='module')
def closed_loop():
    path = config_directory().parent / 'benchmarks' / 'shield_closed_loop.py'
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('robot', ['unitree_g1', 'panda'])
def test_measured_joints_stay_inside_their_limits(closed_loop, robot):
    found = closed_loop.compare([robot], ['stops'], SECONDS)
    print('\n'.join(closed_loop.table(found)))
    bare, kept = (found['stops'][robot][side]['adversaries'] for side in ('without', 'with'))
    assert max(result['beyond'] for result in kept.values()) <= 0.0
    assert sum(result['beyond'] > 0.0 for result in bare.values()) >= 4  # the same commands break it


@pytest.mark.parametrize('robot', ['unitree_g1', 'panda'])
def test_links_stay_apart(closed_loop, robot):
    found = closed_loop.compare([robot], ['links'], SECONDS)
    print('\n'.join(closed_loop.table(found)))
    bare, kept = (found['links'][robot][side]['adversaries'] for side in ('without', 'with'))
    assert max(result['overlapping'] for name, result in kept.items() if name != 'closing') == 0.0
    assert max(result['overlapping'] for result in bare.values()) > 0.1
    # The one who knows the robot's geometry gets links to touch now and then, by millimetres (docs/safety.md).
    assert kept['closing']['overlapping'] < 0.01 < bare['closing']['overlapping']
    assert kept['closing']['least'] > -0.01

"""The short form of ``benchmarks/shield_closed_loop.py``: adversaries against the measured robot, side by side."""

import dataclasses
import importlib.util

import numpy as np
import pytest

from rl_robot_control.config import config_directory
from rl_robot_control.robots import load_robot
from rl_robot_control.shield import ShieldLimits, ShieldMode, make_shield
from rl_robot_control.types import JointCommand

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


def test_a_robot_whose_arms_have_sagged_comes_back_without_turning_its_waist(closed_loop):
    """Damped, the arms sink onto the hips; when a policy begins anew, they are raised again, and the waist stays."""
    robot = load_robot('unitree_g1')
    backend, state = closed_loop._hanging(robot, 1, closed_loop.PHYSICS['links'])
    limits = dataclasses.replace(ShieldLimits.from_robot(robot), height=None, unloaded=None)
    shield, waist = make_shield(robot, 0.02, limits=limits), robot.joint_names.index('waist_yaw_joint')
    shield.reset(state)

    def advance(target):
        nonlocal state
        command = None if target is None else JointCommand(stamp=state.time, position=target)
        output = shield.step(state, command, now=float(state.time[0]))
        state = backend.step(JointCommand(stamp=state.time, position=output.command.position))
        return output

    advance(robot.default_position[None].copy())
    for _ in range(200):  # 4 s
        advance(None)
    assert shield.mode[0] == ShieldMode.DAMPING
    start, turned = state.joint_position.copy(), []
    assert np.abs(start - robot.default_position).max() > 0.3  # they have sunk
    for step in range(150):  # 3 s, of which the way takes 2
        share = min(step / 100.0, 1.0)
        output = advance(start + share * (robot.default_position - start))
        turned.append(abs(output.command.position[0, waist]))
    assert max(turned) < 0.1
    assert np.abs(state.joint_position - robot.default_position).max() < 0.15
    backend.close()

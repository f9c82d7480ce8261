"""The whole lock-step loop: this process → shield node → simulation node → this process."""

from __future__ import annotations

import dataclasses
import signal
from contextlib import contextmanager

import numpy as np
import pytest

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.envs.shielded import ShieldedBackend
from rl_robot_control.errors import BackendError, BackendTimeoutError
from rl_robot_control.ros.backend import RosBackend
from rl_robot_control.shield import ShieldMode, make_shield
from rl_robot_control.types import JointCommand

FIRST = np.array([0])


@contextmanager
def loop(group, robot, **options):
    """A backend over topics, with its two processes."""
    for name in ('simulation', 'shield'):
        if name not in group.nodes:
            group.start(name, {'robot': robot.name, 'mode': 'lockstep'})
    backend = RosBackend(robot, domain_id=group.domain.id, watch=group.check, **options)
    try:
        yield backend
    finally:
        backend.close()


def commands(robot, steps, seed=0):
    """Targets around the default pose, wild enough for the shield to act on some."""
    return robot.default_position + 0.2 * np.random.default_rng(seed).normal(size=(steps, 1, robot.num_joints))


def drive(backend, robot, steps, seed=0):
    """States after a reset and each command, one row per instant, frames included."""
    state = backend.reset(robot.default_state(1), FIRST)
    rows = [flat(state)]
    for position in commands(robot, steps, seed):
        state = backend.step(JointCommand(stamp=state.time, position=position))
        rows.append(flat(state))
    return np.array(rows)


def flat(state):
    return np.concatenate([getattr(state, f.name).ravel() for f in dataclasses.fields(state)])


def in_memory(robot):
    return ShieldedBackend(MujocoBackend(robot, threads=1), make_shield(robot, 0.02))


def test_the_same_commands_give_the_same_500_states_bit_for_bit(group, g1):
    with loop(group, g1) as backend:
        first, again = drive(backend, g1, 500), drive(backend, g1, 500)
    np.testing.assert_array_equal(first, again)  # one pair of processes, two episodes
    group.stop('simulation'), group.stop('shield')
    with loop(group, g1) as backend:
        np.testing.assert_array_equal(first, drive(backend, g1, 500))  # other processes


def test_topics_and_memory_give_the_same_states(group, g1):
    """Each state answers its command: one command late or early, and the trajectories would part."""
    memory = in_memory(g1)
    with loop(group, g1) as backend:
        there, here = (b.reset(g1.default_state(1), FIRST) for b in (backend, memory))
        for position in commands(g1, 100):
            there, here = (b.step(JointCommand(stamp=s.time, position=position))
                           for b, s in ((backend, there), (memory, here)))
            np.testing.assert_array_equal(backend.applied, memory.last.command.position)
            for name in ('joint_position', 'joint_velocity', 'joint_effort', 'base_quaternion', 'base_angular_velocity',
                         'base_linear_acceleration', 'base_position', 'base_linear_velocity', 'contact_force'):
                np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)
            np.testing.assert_allclose(there.time, here.time, atol=1e-9)
    memory.close()


def test_a_push_and_another_start_arrive(group, g1):
    start = g1.default_state(1)
    start = dataclasses.replace(start, base_position=start.base_position + [1.0, 2.0, 0.5])
    with loop(group, g1) as backend:
        state = backend.reset(start, FIRST)
        np.testing.assert_array_equal(state.base_position, start.base_position)
        backend.push(np.array([[0.5, 0.0, 0.0, 0.0, 0.0, 0.0]]), FIRST)
        state = backend.step(JointCommand(stamp=state.time, position=g1.default_position[None]))
        # in free fall nothing slows the push: after 20 ms the base is 0.5 · 0.02 m = 1 cm further
        assert state.base_position[0, 0] == pytest.approx(1.01, abs=2e-3)


def test_bad_commands_brake_the_robot_and_the_world_goes_on(group, operator, g1):
    good = g1.default_position[None]
    nan = np.where(np.arange(g1.num_joints) == 4, np.nan, good)
    with loop(group, g1) as backend:
        start = backend.reset(g1.default_state(1), FIRST)
        state = backend.step(JointCommand(stamp=start.time, position=good))
        for bad, stamp in ((nan, None), (good + 0.1, start.time), (good, np.array([np.nan])), (good, state.time + 7.0)):
            stamp = state.time if stamp is None else stamp
            after = backend.step(JointCommand(stamp=stamp, position=bad))
            assert np.isfinite(backend.applied).all()
            assert after.time[0] == pytest.approx(state.time[0] + 0.02)
            state = after
        operator.wait_until(lambda: operator.value('shield', 'rejected') == '4', '4 commands are rejected', 5.0)
        assert operator.value('shield', 'mode') == ShieldMode.BRAKING.name


def test_a_simulation_that_stops_answering_is_named(group, g1):
    with loop(group, g1, timeout=1.0) as backend:
        state = backend.reset(g1.default_state(1), FIRST)
        group.nodes['simulation'].signal(signal.SIGSTOP)
        with pytest.raises(BackendTimeoutError, match=r'no answer on .*joint_states.* within 1 s'):
            backend.step(JointCommand(stamp=state.time, position=g1.default_position[None]))


def test_a_simulation_that_is_not_there_is_named(group, g1):
    backend = RosBackend(g1, domain_id=group.domain.id, connect_timeout=0.5)
    with pytest.raises(BackendTimeoutError, match="service 'simulation/reset' is not offered"):
        backend.reset(g1.default_state(1), FIRST)
    backend.close()
    backend.close()


def test_a_simulation_that_dies_is_reported_with_its_log(group, g1):
    with loop(group, g1, timeout=30.0) as backend:
        state = backend.reset(g1.default_state(1), FIRST)
        group.nodes['simulation'].signal(signal.SIGKILL)
        with pytest.raises(BackendError, match="the process 'simulation' has ended with code -9"):
            backend.step(JointCommand(stamp=state.time, position=g1.default_position[None]))


def test_a_wrong_control_period_is_noticed(group, g1):
    group.start('simulation', {'robot': g1.name, 'mode': 'lockstep', 'control_period': 0.04})
    with loop(group, g1, timeout=2.0) as backend:
        state = backend.reset(g1.default_state(1), FIRST)
        with pytest.raises(BackendError, match='its control period is not 0.02 s'):
            backend.step(JointCommand(stamp=state.time, position=g1.default_position[None]))

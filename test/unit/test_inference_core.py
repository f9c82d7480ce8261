"""The inference node's control flow, with the time passed in."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.errors import PolicyError
from rl_robot_control.robots import load_robot
from rl_robot_control.ros.inference_core import CoreSettings, InferenceCore, Phase, Ramp, needed_quantities
from rl_robot_control.tasks.interface import (
    ActionSettings,
    CommandSettings,
    InterfaceSettings,
    ObservationSettings,
    PolicyInterface,
)
from rl_robot_control.types import JointCommand, RobotState

ZERO = np.zeros((1, 3))


class ConstantPolicy:
    """Answers every state with one pose and notes what it was asked."""

    def __init__(self, pose):
        self.pose, self.resets, self.commands = np.array([pose]), 0, []

    def reset(self, state):
        self.resets += 1

    def step(self, state, command):
        if not np.isfinite(state.base_position).all() and self.pose[0, 0] > 5:
            raise PolicyError('observation is not finite')
        self.commands.append(command.copy())
        return JointCommand(stamp=state.time, position=self.pose)


def state_at(time, position):
    zero = RobotState.unknown(1, len(position), 0)
    return dataclasses.replace(zero, time=np.array([time]), joint_position=np.array([position], dtype=float),
                               joint_velocity=np.zeros((1, len(position))))


def make_core(pose=(0.5, -0.5), **settings):
    policy = ConstantPolicy(pose)
    return InferenceCore(policy, np.array([1.0, 0.0]), CoreSettings(**settings)), policy


def test_ramp_takes_the_time_that_bounds_the_largest_joint_motion():
    # Largest distance 2 rad at 1 rad/s peak: duration π/2 · 2 / 1 = π seconds; half way after half of it.
    ramp = Ramp(np.array([[0.0, 0.0]]), np.array([[2.0, -1.0]]), now=10.0, speed=1.0, min_duration=0.2)
    assert ramp.duration == pytest.approx(np.pi)
    np.testing.assert_allclose(ramp.at(10.0 + np.pi / 2), [[1.0, -0.5]])
    times = 10.0 + np.linspace(0.0, np.pi, 2001)
    speed = np.abs(np.diff([ramp.at(t)[0, 0] for t in times])) / np.diff(times)
    assert 0.999 < speed.max() <= 1.0
    np.testing.assert_array_equal(ramp.at(99.0), [[2.0, -1.0]])


def test_a_short_ramp_lasts_the_minimum():
    assert Ramp(np.zeros((1, 1)), np.full((1, 1), 0.01), 0.0, speed=1.0, min_duration=0.2).duration == 0.2


def test_ramps_from_the_measured_pose_then_runs_the_policy():
    core, policy = make_core()
    assert core.step(None, 0.0, ZERO, 0.0) is None and core.phase is Phase.IDLE
    assert core.start(state_at(7.0, (0.0, 0.0)), 0.01, now=0.0) is None
    first = core.step(state_at(7.0, (0.0, 0.0)), 0.01, ZERO, 0.0)
    np.testing.assert_array_equal(first.position, [[0.0, 0.0]])
    np.testing.assert_array_equal(first.stamp, [7.0])
    assert core.phase is Phase.RAMPING and policy.resets == 0
    command = np.array([[0.6, 0.0, 0.0]])
    # The ramp of 1 rad at 1 rad/s lasts π/2 = 1.571 s.
    np.testing.assert_array_equal(core.step(state_at(8.58, (1.0, 0.0)), 0.0, command, 1.58).position, [[0.5, -0.5]])
    assert core.phase is Phase.RUNNING and policy.resets == 1
    np.testing.assert_array_equal(policy.commands, [command])


def test_does_not_start_without_a_fresh_finite_state():
    core, _ = make_core()
    assert core.start(None, 0.0, 0.0) == 'no state of the robot has arrived yet.'
    assert core.start(state_at(0.0, (0.0, 0.0)), 0.2, 0.0) == 'the latest state is 0.200 s old, more than 0.1 s.'
    assert core.start(state_at(0.0, (np.nan, 0.0)), 0.0, 0.0) == 'joint position in the latest state is not finite.'
    assert core.phase is Phase.IDLE


def running(core):
    core.start(state_at(0.0, (1.0, 0.0)), 0.0, now=0.0)
    core.step(state_at(0.3, (1.0, 0.0)), 0.0, ZERO, 0.3)
    assert core.phase is Phase.RUNNING


def test_answers_each_state_once():
    core, policy = make_core()
    running(core)
    assert core.step(state_at(0.3, (1.0, 0.0)), 0.02, ZERO, 0.32) is None
    assert core.phase is Phase.RUNNING and core.repeated == 1 and len(policy.commands) == 1
    assert core.step(state_at(0.34, (1.0, 0.0)), 0.0, ZERO, 0.34) is not None


def test_a_short_gap_silences_it_and_it_resumes():
    core, policy = make_core()
    running(core)
    assert core.step(state_at(0.3, (1.0, 0.0)), 0.12, ZERO, 0.42) is None
    assert core.phase is Phase.SILENT and 'old' in core.problem
    assert core.step(state_at(0.44, (1.0, 0.0)), 0.0, ZERO, 0.44) is not None
    assert core.phase is Phase.RUNNING and core.problem == '' and policy.resets == 1


def test_a_long_gap_stops_it_until_it_is_started_again():
    core, _ = make_core()
    running(core)
    for now in (0.42, 0.9, 0.93):  # silent from 0.42 on: 0.5 s are over at 0.92
        assert core.step(state_at(0.3, (1.0, 0.0)), now - 0.3, ZERO, now) is None
    assert core.phase is Phase.STOPPED
    assert core.step(state_at(0.94, (1.0, 0.0)), 0.0, ZERO, 0.94) is None
    assert core.start(state_at(0.96, (1.0, 0.0)), 0.0, 0.96) is None


def test_a_gap_in_a_ramp_begins_it_again_where_the_robot_is():
    core, _ = make_core()
    core.start(state_at(0.0, (0.0, 0.0)), 0.0, now=0.0)
    core.step(state_at(0.0, (0.0, 0.0)), 0.2, ZERO, 0.2)
    resumed = core.step(state_at(0.4, (0.05, 0.0)), 0.0, ZERO, 0.4)
    np.testing.assert_array_equal(resumed.position, [[0.05, 0.0]])


def test_nan_state_and_a_failing_policy_are_answered_with_silence():
    core, _ = make_core()
    running(core)
    assert core.step(state_at(0.32, (np.nan, 0.0)), 0.0, ZERO, 0.32) is None
    assert core.problem == 'joint position in the latest state is not finite.'
    core, _ = make_core(pose=(6.0, 0.0))  # this one refuses unknown base positions
    core.start(state_at(0.0, (1.0, 0.0)), 0.0, now=0.0)
    assert core.step(state_at(0.3, (1.0, 0.0)), 0.0, ZERO, 0.3) is None
    assert core.phase is Phase.SILENT and core.problem == 'observation is not finite'
    assert core.step(state_at(0.5, (1.0, 0.0)), 0.0, ZERO, 0.5) is None and core.phase is Phase.SILENT
    assert core.step(state_at(0.8, (1.0, 0.0)), 0.0, ZERO, 0.8) is None and core.phase is Phase.STOPPED


def test_hold_ramps_from_the_last_command_to_the_default_pose():
    core, _ = make_core()
    running(core)
    core.hold(now=1.0)
    np.testing.assert_array_equal(core.step(state_at(1.0, (0.9, 0.9)), 0.0, ZERO, 1.0).position, [[0.5, -0.5]])
    np.testing.assert_allclose(core.step(state_at(3.0, (0.9, 0.9)), 0.0, ZERO, 3.0).position, [[1.0, 0.0]])
    assert core.phase is Phase.HOLDING


def test_hold_before_any_command_stays_silent():
    core, _ = make_core()
    core.hold(now=0.0)
    assert core.phase is Phase.STOPPED


@pytest.mark.parametrize(('term', 'params', 'needed'), [
    ('joint_position', {}, {'joint_position'}),
    ('projected_gravity', {}, {'base_quaternion'}),
    ('base_velocity', {}, {'base_quaternion', 'base_linear_velocity'}),
    ('contact', {'frames': ['left_foot']}, {'contact_force'}),
    ('frame_height', {'frames': ['left_foot']}, {'frame_position'}),
])
def test_finds_out_which_measurements_a_policy_needs(term, params, needed):
    interface = InterfaceSettings(
        control_period=0.02, action=ActionSettings(joints=['.*_knee_joint']), command=CommandSettings(),
        observations=[ObservationSettings(term=term, params=params)])
    assert needed_quantities(interface, load_robot('unitree_g1')) == needed
    assert PolicyInterface(interface, load_robot('unitree_g1'), 1).num_actions == 2

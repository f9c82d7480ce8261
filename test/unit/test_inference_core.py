"""The inference node's control flow, with the time passed in."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.errors import PolicyError
from rl_robot_control.robots import load_robot
from rl_robot_control.ros.candidate import Candidate, StartRegion
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
        self.pose, self.resets, self.commands, self.rehearsals = np.array([pose]), 0, [], 0

    phase, command = 0.25, np.array([[0.6, 0.0, 0.1]])

    def reset(self, state, phase=0.0, target=None, command=None):
        self.resets, self.begun = self.resets + 1, (phase, target, command)

    def rehearse(self, state, command):
        self.rehearsals += 1

    finished = np.array([False])

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
    return InferenceCore({'first': candidate(policy)}, 'first', CoreSettings(**settings)), policy


def candidate(policy, pose=(1.0, 0.0), required=('joint_position', 'joint_velocity')):
    return Candidate(policy=policy, start_pose=np.array(pose), required=required, joint_names=('hip', 'knee'),
                     floating=False)


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


class FailingPolicy(ConstantPolicy):
    """Fails from its third answer on."""

    def step(self, state, command):
        if len(self.commands) >= 2:
            raise PolicyError('the action is nan')
        return super().step(state, command)


def make_pair(first=None, blend_time=0.2, **changes):
    """Two policies, the first of which runs since 0.3 s; the targets are (0.5, -0.5) and (0.9, 0.1)."""
    policies = {'walk': first or ConstantPolicy((0.5, -0.5)), 'stand': ConstantPolicy((0.9, 0.1))}
    core = InferenceCore({name: candidate(policy) for name, policy in policies.items()}, 'walk',
                         CoreSettings(blend_time=blend_time), **changes)
    running(core)
    return core, policies


def test_without_a_blend_time_the_other_policy_acts_at_once():
    core, _ = make_pair(blend_time=0.0)
    state = state_at(0.32, (1.0, 0.0))
    assert core.switch('stand', state, 0.0, 0.32) == ''
    np.testing.assert_allclose(core.step(state, 0.0, np.zeros((1, 3)), 0.32).position, [[0.9, 0.1]])


def test_rehearses_what_runs_and_nothing_else():
    core, policies = make_pair()
    state = state_at(0.32, (1.0, 0.0))
    core.rehearse(state, np.zeros((1, 3)))
    assert [policy.rehearsals for policy in policies.values()] == [1, 0]
    core.rehearse(None, np.zeros((1, 3)))
    core.hold(0.32)  # a ramp is not rehearsed
    core.rehearse(state, np.zeros((1, 3)))
    assert policies['walk'].rehearsals == 1


def test_blends_from_one_policy_into_another():
    core, policies = make_pair()
    state = state_at(0.32, (1.0, 0.0))
    assert core.switch('stand', state, 0.0, 0.32) == '' and core.active == 'stand' and policies['stand'].resets == 1
    phase, target, command = policies['stand'].begun  # it goes on in mid-stride
    np.testing.assert_array_equal(command, [[0.6, 0.0, 0.1]])
    assert phase == 0.25
    np.testing.assert_array_equal(target, [[0.5, -0.5]])
    # Half a cosine over 0.2 s: a share of 0.5 after 0.1 s, all of it after 0.2 s.
    np.testing.assert_allclose(core.step(state_at(0.42, (1.0, 0.0)), 0.0, ZERO, 0.42).position, [[0.7, -0.2]])
    np.testing.assert_allclose(core.step(state_at(0.52, (1.0, 0.0)), 0.0, ZERO, 0.52).position, [[0.9, 0.1]])
    asked = len(policies['walk'].commands)
    core.step(state_at(0.54, (1.0, 0.0)), 0.0, ZERO, 0.54)
    assert len(policies['walk'].commands) == asked  # the old one is no longer evaluated


@pytest.mark.parametrize(('change', 'reason'), [
    (dict(joint_position=np.array([[1.0, 1.2]])), "joint 'knee' is 1.2 rad from its start, at most 1 is allowed"),
    (dict(joint_velocity=np.array([[-9.0, 0.0]])), "joint 'hip' is 9 rad/s fast, at most 8 is allowed"),
    (dict(joint_position=np.array([[np.nan, 0.0]])), 'joint position in the latest state is not finite'),
])
def test_does_not_take_over_outside_its_start_region(change, reason):
    core, _ = make_pair()
    state = dataclasses.replace(state_at(0.32, (1.0, 0.0)), **change)
    assert core.switch('stand', state, 0.0, 0.32) == f"policy 'stand' cannot take over: {reason}."
    assert core.active == 'walk' and core.phase is Phase.RUNNING


def test_a_base_that_is_tilted_turning_or_unknown_lies_outside():
    state = state_at(0.0, (1.0, 0.0))
    region, names, pose = StartRegion(), ('hip', 'knee'), np.array([1.0, 0.0])
    assert region.outside(state, pose, names, floating=False) == ''
    assert region.outside(state, pose, names, floating=True) == (
        'the base is tilted by nan rad, at most 0.35 is allowed')
    # 0.4 rad about x: (sin 0.2, 0, 0, cos 0.2)
    tilted = dataclasses.replace(state, base_quaternion=np.array([[np.sin(0.2), 0.0, 0.0, np.cos(0.2)]]),
                                 base_angular_velocity=np.array([[0.0, 0.0, 2.5]]))
    found = region.outside(tilted, pose, names, floating=True)
    assert found == 'the base is tilted by 0.4 rad, at most 0.35 is allowed'
    upright = dataclasses.replace(tilted, base_quaternion=np.array([[0.0, 0.0, 0.0, 1.0]]))
    assert region.outside(upright, pose, names, floating=True) == 'the base turns at 2.5 rad/s, at most 2 is allowed'


def test_a_policy_that_fails_gives_way_to_the_fallback_with_a_command_of_zero():
    core, policies = make_pair(FailingPolicy((0.5, -0.5)), fallback='stand')
    command = np.array([[0.6, 0.0, 0.0]])
    core.step(state_at(0.32, (1.0, 0.0)), 0.0, command, 0.32)
    answer = core.step(state_at(0.34, (1.0, 0.0)), 0.0, command, 0.34)  # the third one
    np.testing.assert_allclose(answer.position, [[0.5, -0.5]])  # the blend begins at the last target
    assert core.active == 'stand' and core.phase is Phase.RUNNING
    assert core.note == "policy 'walk' failed, 'stand' took over: the action is nan"
    np.testing.assert_array_equal(policies['stand'].commands, [ZERO])
    np.testing.assert_allclose(core.step(state_at(0.56, (1.0, 0.0)), 0.0, command, 0.56).position, [[0.9, 0.1]])
    np.testing.assert_array_equal(policies['stand'].commands[-1], ZERO)


def test_where_the_fallback_fails_too_nothing_is_published():
    failing = FailingPolicy((0.5, -0.5))
    core, policies = make_pair(failing, fallback='stand')
    policies['stand'].commands = [None] * 2
    policies['stand'].step = FailingPolicy.step.__get__(policies['stand'])
    core.step(state_at(0.32, (1.0, 0.0)), 0.0, ZERO, 0.32)
    assert core.step(state_at(0.34, (1.0, 0.0)), 0.0, ZERO, 0.34) is None
    assert core.phase is Phase.SILENT and core.problem == 'the action is nan'


def test_without_a_fallback_nothing_is_published():
    core, _ = make_pair(FailingPolicy((0.5, -0.5)))
    core.step(state_at(0.32, (1.0, 0.0)), 0.0, ZERO, 0.32)
    assert core.step(state_at(0.34, (1.0, 0.0)), 0.0, ZERO, 0.34) is None
    assert core.phase is Phase.SILENT and core.active == 'walk'


def test_the_end_of_a_motion_hands_over_once_that_is_possible():
    core, policies = make_pair(after_motion='stand')
    policies['walk'].finished = np.array([True])
    core.step(state_at(0.32, (1.0, 1.5)), 0.0, ZERO, 0.32)  # 1.5 rad from the start pose of 'stand'
    assert core.active == 'walk' and 'cannot take over yet' in core.note
    core.step(state_at(0.34, (1.0, 0.5)), 0.0, ZERO, 0.34)
    assert core.active == 'stand' and core.note == "the motion of 'walk' has ended, 'stand' took over"


def test_a_choice_before_the_policy_runs_changes_where_the_ramp_goes():
    policies = {'walk': ConstantPolicy((0.5, -0.5)), 'stand': ConstantPolicy((0.9, 0.1))}
    core = InferenceCore({'walk': candidate(policies['walk']), 'stand': candidate(policies['stand'], pose=(0.0, 0.0))},
                         'walk', CoreSettings())
    core.start(state_at(0.0, (0.0, 0.0)), 0.0, now=0.0)
    assert core.switch('stand', state_at(0.0, (0.0, 0.0)), 0.0, 0.0) == ''
    core.step(state_at(0.3, (0.0, 0.0)), 0.0, ZERO, 0.3)  # it is there already: the shortest ramp, 0.2 s
    assert core.phase is Phase.RUNNING and policies['stand'].resets == 1 and policies['walk'].resets == 0


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

"""What each fault leads to, and when."""

import numpy as np
import pytest

from rl_robot_control.shield import Reason, ShieldMode
from rl_robot_control.types import JointCommand

from .rig import Rig, make_limits


def moving(**options) -> Rig:
    """A rig whose reference runs at the full 2 rad/s, 0.04 rad per cycle."""
    rig = Rig(make_limits(1, position_lower=[-9.0], position_upper=[9.0]), **options)
    for _ in range(10):
        rig.step([8.0])
    return rig


def tilted(angle: float) -> list[float]:
    return [np.sin(angle / 2), 0.0, 0.0, np.cos(angle / 2)]


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_command_that_is_not_finite_is_rejected_whole_and_the_reference_brakes(bad):
    rig = Rig(make_limits(2, position_lower=[-9.0, -9.0], position_upper=[9.0, 9.0]))
    for _ in range(10):
        rig.step([8.0, 8.0])
    before = rig.position.copy()
    output = rig.step([bad, 8.0])
    assert rig.shield.mode[0] == ShieldMode.BRAKING and output.reason[0] == Reason.COMMAND_NOT_FINITE
    # 0.04 rad per cycle less 50 · 0.02² = 0.02 rad, on the healthy joint too
    np.testing.assert_allclose(output.command.position - before, 0.02, atol=1e-12)
    assert output.valid[0] and not output.correction.any()
    np.testing.assert_allclose(rig.step([bad, 8.0]).command.position - before, 0.02, atol=1e-12)  # stopped
    assert rig.step([8.0, 8.0]).mode[0] == ShieldMode.ACTIVE
    assert rig.shield.counters['rejected'][0] == 2


def test_rejected_commands_in_a_row_latch_but_not_if_a_good_one_comes_between():
    rig = Rig(make_limits(1, max_rejected=3))
    rig.step([0.0])
    for bad in (np.nan, np.nan, 0.0, np.nan, np.nan):
        assert rig.step([bad]).mode[0] != ShieldMode.LATCHED
    output = rig.step([np.nan])
    assert output.mode[0] == ShieldMode.LATCHED and output.reason[0] == Reason.REJECTED_TOO_OFTEN
    assert rig.shield.counters['latched'][0] == 1


@pytest.mark.parametrize('shape', [(1, 3), (2, 2), (2,), (0, 2)])
def test_a_command_of_the_wrong_size_is_rejected(shape):
    rig = Rig()
    rig.step([0.0, 0.0])
    rig.now += 0.02
    command = JointCommand(stamp=np.full(1, rig.now), position=np.zeros(shape))
    output = rig.shield.step(rig.state(), command, now=rig.now)
    assert output.reason[0] == Reason.COMMAND_SHAPE and output.mode[0] == ShieldMode.BRAKING


@pytest.mark.parametrize(('offset', 'reason'), [
    (0.0, Reason.NONE), (-0.099, Reason.NONE), (0.049, Reason.NONE), (-0.11, Reason.STAMP_OLD),
    (0.06, Reason.STAMP_FUTURE), (1e18, Reason.STAMP_FUTURE), (np.nan, Reason.STAMP_UNSET),
    (-np.inf, Reason.STAMP_UNSET), (np.inf, Reason.STAMP_UNSET)])
def test_stamps_are_compared_with_the_states_own_time(offset, reason):
    rig = Rig()
    rig.step([0.0, 0.0], stamp=9.9201)
    output = rig.step([0.0, 0.0], stamp=rig.now + 0.02 + offset)
    assert output.reason[0] == reason
    assert output.mode[0] == (ShieldMode.ACTIVE if reason == Reason.NONE else ShieldMode.BRAKING)


def test_a_zero_stamp_is_rejected_except_at_the_beginning_of_time():
    rig = Rig()
    assert rig.step([0.0, 0.0], stamp=0.0).reason[0] == Reason.STAMP_UNSET
    rig = Rig()
    rig.now = -rig.period
    assert rig.step([0.0, 0.0], stamp=0.0).reason[0] == Reason.NONE


def test_replayed_and_reordered_stamps_are_rejected():
    rig = Rig()
    rig.step([0.0, 0.0])
    first = rig.now
    rig.step([0.01, 0.0])
    assert rig.step([0.02, 0.0], stamp=rig.now).reason[0] == Reason.STAMP_REPLAYED
    assert rig.step([0.02, 0.0], stamp=first).reason[0] == Reason.STAMP_REPLAYED
    assert rig.shield.counters['rejected'][0] == 2


def test_the_same_message_passed_again_is_no_offence_but_ages():
    rig = Rig(make_limits(1))
    rig.step([0.01])
    stamp = rig.now
    modes = [int(rig.step([0.01], stamp=stamp).mode[0]) for _ in range(7)]
    # 0.02 … 0.10 s old: active; 0.12 s and more: braking
    assert modes == [ShieldMode.ACTIVE] * 5 + [ShieldMode.BRAKING] * 2
    assert rig.shield.counters['rejected'][0] == 0 and rig.shield.counters['commands'][0] == 1


def test_a_stale_command_brakes_after_a_tenth_and_damps_after_half_a_second():
    rig = moving()
    last, speeds, modes = rig.now, [], []
    for _ in range(26):
        before = rig.position.copy()
        modes.append((round(rig.now + rig.period - last, 6), int(rig.step().mode[0])))
        speeds.append(float((rig.position - before)[0, 0]))
    for age, mode in modes:
        assert mode == (ShieldMode.ACTIVE if age <= 0.1 else ShieldMode.BRAKING if age <= 0.5 else ShieldMode.DAMPING)
    # five cycles at 0.04 rad go on, then 0.02 rad less in each, then rest
    np.testing.assert_allclose(speeds, [0.04] * 5 + [0.02] + [0.0] * 20, atol=1e-12)
    assert rig.shield.counters['stale'][0] == 21


def test_the_caller_may_report_the_age_too():
    rig = moving()
    assert rig.step(command_age=0.11).mode[0] == ShieldMode.BRAKING
    assert rig.step(command_age=0.51).mode[0] == ShieldMode.DAMPING
    output = rig.step([8.0], command_age=0.11)  # arrived too late to be followed
    assert output.mode[0] == ShieldMode.DAMPING


def test_after_damping_the_reference_begins_at_the_measured_pose():
    rig = moving()
    rig.step(command_age=0.6)
    rig.position[:] = 0.3
    output = rig.step([8.0])
    assert output.mode[0] == ShieldMode.ACTIVE
    assert abs(output.command.position[0, 0] - 0.32) < 1e-12  # 0.3 + 50 · 0.02²


@pytest.mark.parametrize('fault', ['missing', 'stale', 'age unknown', 'nan position', 'nan velocity', 'nan time',
                                   'zero quaternion', 'size'])
def test_without_a_valid_state_nothing_is_valid(fault):
    rig = moving()
    rig.now += 0.02
    state, age = rig.state(), {'stale': 0.051, 'age unknown': np.nan}.get(fault, 0.0)
    if fault == 'missing':
        state = None
    elif fault == 'size':
        state = rig.state(joint_position=np.zeros((1, 2)))
    elif fault == 'zero quaternion':
        state = rig.state(base_quaternion=np.zeros((1, 4)))
    elif fault.startswith('nan'):
        field = {'position': 'joint_position', 'velocity': 'joint_velocity', 'time': 'time'}[fault[4:]]
        state = rig.state(**{field: getattr(rig.state(), field) * np.nan})
    output = rig.shield.step(state, rig.command([8.0]), now=rig.now, state_age=age)
    assert not output.valid[0] and np.isnan(output.command.position).all()
    assert output.mode[0] == ShieldMode.DAMPING and output.reason[0] in (
        Reason.STATE_MISSING, Reason.STATE_STALE, Reason.STATE_INVALID)
    assert rig.shield.counters['state_lost'][0] == 1
    output = rig.step([8.0])
    assert output.valid[0] and output.mode[0] == ShieldMode.ACTIVE


def test_the_first_cycle_does_not_pass_unchecked():
    rig = Rig(make_limits(1), reset=False, start=0.3)
    assert not rig.step([0.9], state=None).valid[0]
    assert rig.shield.mode[0] == ShieldMode.STARTING
    output = rig.step([0.9])
    assert output.mode[0] == ShieldMode.READY and output.command.position[0, 0] == 0.3
    output = rig.step([0.9])
    assert output.mode[0] == ShieldMode.ACTIVE and abs(output.command.position[0, 0] - 0.32) < 1e-12


def test_a_tilt_latches_after_its_duration_and_not_before():
    rig = Rig()
    rig.step([0.0, 0.0])
    rig.quaternion[:] = tilted(1.01)
    modes = [int(rig.step([0.0, 0.0]).mode[0]) for _ in range(3)]  # seen for 0, 20 and 40 ms
    assert modes == [ShieldMode.ACTIVE, ShieldMode.ACTIVE, ShieldMode.LATCHED]
    rig.quaternion[:] = tilted(0.0)
    output = rig.step([0.5, 0.5])
    assert output.mode[0] == ShieldMode.LATCHED and output.reason[0] == Reason.TILT
    np.testing.assert_array_equal(output.command.position, rig.position)


def test_a_short_tilt_and_one_below_the_limit_do_not_latch():
    rig = Rig()
    for angle in (0.0, 1.01, 1.01, 0.5, 1.01, 1.01, 0.0, 0.99, 0.99, 0.99, 0.99):
        rig.quaternion[:] = tilted(angle)
        assert rig.step([0.0, 0.0]).mode[0] == ShieldMode.ACTIVE


def test_a_lost_state_does_not_hide_a_fall():
    rig = Rig()
    rig.step([0.0, 0.0])
    rig.quaternion[:] = tilted(1.5)
    rig.step([0.0, 0.0])
    rig.step([0.0, 0.0], state=None)
    assert rig.step([0.0, 0.0]).mode[0] == ShieldMode.LATCHED  # 40 ms after it was first seen


def test_upside_down_is_tilted_and_a_fixed_base_is_never():
    rig = Rig()
    rig.quaternion[:] = [1.0, 0.0, 0.0, 0.0]
    for _ in range(4):
        rig.step([0.0, 0.0])
    assert rig.shield.mode[0] == ShieldMode.LATCHED
    rig = Rig(make_limits(tilt=None))
    rig.quaternion[:] = np.nan
    assert rig.step([0.0, 0.0]).mode[0] == ShieldMode.ACTIVE


def test_emergency_stop_latches_until_an_explicit_rearm_at_rest_and_upright():
    rig = moving()
    rig.shield.emergency_stop()
    rig.position[:] = 0.123
    output = rig.step([8.0])
    assert output.mode[0] == ShieldMode.LATCHED and output.reason[0] == Reason.EMERGENCY_STOP
    assert output.command.position[0, 0] == 0.123  # the measured pose, not zero
    rig.velocity[:] = 0.2
    assert 'still moves at 0.2 rad/s' in rig.shield.rearm(rig.state())
    rig.velocity[:] = 0.0
    rig.quaternion[:] = tilted(1.2)
    assert 'tilted' in rig.shield.rearm(rig.state())
    rig.quaternion[:] = tilted(0.0)
    assert 'NaN' in rig.shield.rearm(rig.state(joint_position=np.full((1, 1), np.nan)))
    assert 'no state' in rig.shield.rearm(None)
    assert rig.step([8.0]).mode[0] == ShieldMode.LATCHED
    assert rig.shield.rearm(rig.state()) is None
    output = rig.step()
    assert output.mode[0] == ShieldMode.READY  # the old command is not remembered
    assert rig.step([8.0]).mode[0] == ShieldMode.ACTIVE
    assert rig.shield.rearm(rig.state()) == 'nothing is latched.'


def test_an_emergency_stop_works_before_anything_was_received():
    rig = Rig(reset=False)
    rig.shield.emergency_stop()
    assert rig.step([0.0, 0.0]).mode[0] == ShieldMode.LATCHED


def test_a_cycle_that_comes_too_late_latches_in_real_time_only():
    rig = Rig(max_period=0.06)
    rig.step([0.0, 0.0])
    rig.now += 0.05
    output = rig.step([0.0, 0.0])
    assert output.mode[0] == ShieldMode.LATCHED and output.reason[0] == Reason.OVERRUN
    assert rig.shield.counters['overruns'][0] == 1
    rig = Rig(max_period=0.06)
    rig.step(None)
    rig.now += 0.5  # nothing has been published yet that could have gone on unchecked
    assert rig.step(None).mode[0] == ShieldMode.READY and rig.shield.counters['overruns'][0] == 1
    rig = Rig()
    rig.step([0.0, 0.0])
    rig.now += 3600.0
    assert rig.step([0.0, 0.0]).mode[0] == ShieldMode.ACTIVE


def test_a_clock_that_jumps_back_does_not_disturb():
    rig = Rig()
    rig.step([0.0, 0.0])
    rig.now = 1.0
    assert rig.step(None).mode[0] == ShieldMode.ACTIVE  # no duration reaches across the jump


@pytest.mark.parametrize('now', [np.nan, np.inf])
def test_a_clock_that_is_no_number_leads_to_damping(now):
    rig = Rig()
    rig.step([0.0, 0.0])
    output = rig.shield.step(rig.state(), rig.command([0.0, 0.0], stamp=rig.now + 0.02), now=now)
    assert not output.valid[0] and output.mode[0] == ShieldMode.DAMPING
    assert rig.step([0.0, 0.0]).mode[0] == ShieldMode.ACTIVE

"""Inside the limits a command passes unchanged; outside, the violation is gone and named."""

import numpy as np
import pytest

from rl_robot_control.shield import ShieldMode

from .rig import Rig, make_limits


def test_commands_inside_all_limits_pass_bit_for_bit():
    rig, rng = Rig(num_robots=8), np.random.default_rng(3)
    for k in range(200):
        # at most 0.005 rad of noise on a slow sine: |Δ| < 2·0.005 + 0.002 < 0.02 rad = A·T², and well below v·T
        target = 0.1 * np.sin(0.02 * k) * (k > 0) + rng.uniform(-0.002, 0.002, (8, 2))
        output = rig.step(target)
        np.testing.assert_array_equal(output.command.position, target)
        assert not output.corrected.any() and not output.correction.any()
        assert not any(mask.any() for mask in output.active.values())


# from rest at 0, one cycle of 0.02 s
TRIPLETS = {
    # name: (changed limits, inside, outside, expected)
    'position': (dict(position_upper=[0.01, 0.01], acceleration=[2500.0, 2500.0]),
                 # A·T² = 1 rad: d = T·V = -1 + sqrt(1 + 2·0.01) = 0.00995049...
                 0.0099, 0.03, -1 + np.sqrt(1.02)),
    'velocity': (dict(acceleration=[2500.0, 2500.0], position_upper=[9.0, 9.0]), 0.039, 0.05, 2.0 * 0.02),
    'acceleration': (dict(), 0.019, 0.03, 50 * 0.02**2),
    # kp·(target - 0) <= 1.5 N·m → target <= 0.015 rad
    'torque': (dict(effort=[1.5, 1.5]), 0.0149, 0.019, 0.015),
}


@pytest.mark.parametrize('sign', [1.0, -1.0])
@pytest.mark.parametrize('check', TRIPLETS)
def test_triplet(check, sign):
    changes, inside, outside, expected = TRIPLETS[check]
    if sign < 0 and 'position_upper' in changes:
        changes = {k: v for k, v in changes.items() if k != 'position_upper'} | {
            'position_lower': [-v for v in changes['position_upper']]}
    rig = Rig(make_limits(**changes))
    output = rig.step([sign * inside, 0.0])
    assert output.command.position[0, 0] == sign * inside and not output.corrected[0]

    rig = Rig(make_limits(**changes))
    output = rig.step([sign * outside, 0.0])
    assert abs(output.command.position[0, 0] - sign * expected) < 1e-12
    assert output.corrected[0] and rig.shield.counters['corrected'][0] == 1
    assert abs(output.correction[0, 0] - sign * (expected - outside)) < 1e-12
    assert output.active[check].tolist() == [[True, False]]
    others = [name for name in output.active if name != check and output.active[name].any()]
    assert others == []


def test_torque_box_follows_the_measured_motion():
    # kp = 100, kd = 2, effort 1.5, v = 1 rad/s: target - q in (2·1 ± 1.5) / 100 = [0.005, 0.035]
    rig = Rig(make_limits(1, effort=[1.5], acceleration=[500.0]))
    rig.velocity[:] = 1.0
    output = rig.step([0.0])
    assert abs(output.command.position[0, 0] - 0.005) < 1e-12 and output.active['torque'].all()
    torque = 100 * output.command.position[0, 0] - 2 * 1.0
    assert abs(torque + 1.5) < 1e-9


def settled(rig: Rig, target: float) -> float:
    """The output for a target that is asked for over and over, the robot held where it is."""
    for _ in range(50):
        output = rig.step([target], track=False)
    return output.command.position[0, 0]


def test_where_targets_may_overshoot_they_may_not_push_a_joint_that_is_at_its_limit():
    rig = Rig(make_limits(1, overshoot=[0.5], velocity=[100.0], acceleration=[9000.0]))
    for measured, highest in [(0.0, 1.5), (0.9, 1.2), (1.0, 1.0), (1.1, 1.0)]:  # 1 + min(0.5, 2 · distance left)
        rig.position[:] = measured
        assert abs(settled(rig, 9.0) - highest) < 1e-12
    rig.position[:] = -0.95  # and so on the other side: -1 - 2 · 0.05
    assert abs(settled(rig, -9.0) + 1.1) < 1e-12


def test_position_comes_before_torque_and_the_conflict_is_counted():
    rig = Rig(make_limits(1, effort=[1.5]))
    rig.step([0.0])
    rig.position[:] = -0.5  # something pushed the arm: the torque box is now -0.5 ± 0.015
    output = rig.step([0.0], track=False)
    assert abs(output.command.position[0, 0] + 0.02) < 1e-12  # as near as 50 rad/s² allow
    assert output.active['conflict'].all() and rig.shield.counters['conflicts'][0] == 1


@pytest.mark.parametrize('hostile', [1e308, -1e308, 5e-324, -0.0])
def test_hostile_but_finite_numbers_give_finite_targets(hostile):
    rig = Rig(make_limits(2, position_lower=[-np.inf, -1.0], position_upper=[np.inf, 1.0]))
    for _ in range(100):
        output = rig.step([hostile, hostile])
        assert output.valid.all() and np.isfinite(output.command.position).all()
    assert abs(rig.position[0, 1]) <= 1.0
    assert rig.shield.mode[0] == ShieldMode.ACTIVE


def test_the_output_is_not_overwritten_by_the_next_cycle():
    rig = Rig()
    first = rig.step([0.5, 0.5])
    copies = first.command.position.copy(), first.correction.copy(), first.active['acceleration'].copy()
    rig.step([-0.5, -0.5])
    np.testing.assert_array_equal(first.command.position, copies[0])
    np.testing.assert_array_equal(first.correction, copies[1])
    np.testing.assert_array_equal(first.active['acceleration'], copies[2])


def test_the_caller_may_reuse_its_arrays():
    rig = Rig()
    command = rig.command([0.01, 0.01])
    rig.now += 0.02
    command.stamp[:] = rig.now
    rig.shield.step(rig.state(), command, now=rig.now)
    command.position[:] = np.nan
    output = rig.step()  # no new command: the accepted one stays in force
    np.testing.assert_array_equal(output.command.position, [[0.01, 0.01]])

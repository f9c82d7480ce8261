"""N robots behave as N shields of one, and what befalls one does not touch another."""

import numpy as np

from rl_robot_control.shield import Shield, ShieldMode

from .rig import PERIOD, Rig, make_limits


def test_a_batch_equals_single_robots_bit_for_bit():
    rng, robots = np.random.default_rng(11), 6
    limits = make_limits(3, effort=[20.0, 20.0, 5.0])
    batch = Rig(limits, robots)
    singles = [Rig(limits) for _ in range(robots)]
    seen = set()
    for k in range(150):
        target = rng.normal(0, 0.3, (robots, 3))
        target[rng.random(robots) < 0.05, 1] = np.nan
        batch.velocity = rng.normal(0, 0.3, (robots, 3))
        batch.quaternion[:] = np.where(rng.random((robots, 1)) < 0.05, [1.0, 0, 0, 0], [0, 0, 0, 1.0])
        batch.position += rng.normal(0, 0.01, (robots, 3))
        if k % 50 == 20:
            batch.position[k % robots, 0] = np.nan
        if k == 100:
            batch.position[:] = 0.0
        for i, single in enumerate(singles):
            single.position, single.velocity = batch.position[i:i + 1].copy(), batch.velocity[i:i + 1]
            single.quaternion = batch.quaternion[i:i + 1]
        command = None if k % 30 > 22 else target
        whole = batch.step(command)
        for i, single in enumerate(singles):
            part = single.step(None if command is None else command[i:i + 1])
            np.testing.assert_array_equal(whole.command.position[i], part.command.position[0])
            np.testing.assert_array_equal(whole.correction[i], part.correction[0])
            assert (whole.mode[i], whole.reason[i], whole.valid[i]) == (part.mode[0], part.reason[0], part.valid[0])
            for name in whole.active:
                np.testing.assert_array_equal(whole.active[name][i], part.active[name][0])
            for name, counts in batch.shield.counters.items():
                assert counts[i] == single.shield.counters[name][0], name
        seen.update(whole.mode.tolist())
    assert {ShieldMode.ACTIVE, ShieldMode.BRAKING, ShieldMode.DAMPING} <= seen


def test_the_quick_path_and_the_general_one_agree():
    """A third robot that never gets a command keeps the whole batch off the quick path."""
    rng, limits = np.random.default_rng(5), make_limits(4, effort=[9.0] * 4)
    quick, general = Rig(limits, 2), Rig(limits, 3)
    for _ in range(60):
        target = rng.normal(0, 0.2, (2, 4))
        a = quick.step(target)
        b = general.step(np.vstack([target, np.full((1, 4), np.nan)]))
        np.testing.assert_array_equal(a.command.position, b.command.position[:2])
        np.testing.assert_array_equal(a.correction, b.correction[:2])
        for name in a.active:
            np.testing.assert_array_equal(a.active[name], b.active[name][:2])
        general.shield.reset(general.state(), np.array([2]))
    for name in ('commands', 'corrected', 'conflicts'):
        np.testing.assert_array_equal(quick.shield.counters[name], general.shield.counters[name][:2])


def test_the_fault_of_one_robot_leaves_the_others_alone():
    rig = Rig(make_limits(1), 4)
    for _ in range(3):
        rig.step([0.05])
    target = np.full((4, 1), 0.06)
    target[1] = np.nan
    rig.position[2] = np.nan
    output = rig.step(target)
    assert output.mode.tolist() == [ShieldMode.ACTIVE, ShieldMode.BRAKING, ShieldMode.DAMPING, ShieldMode.ACTIVE]
    assert output.valid.tolist() == [True, True, False, True]
    assert output.command.position[0, 0] == output.command.position[3, 0] == 0.06


def test_reset_of_some_robots():
    rig = Rig(make_limits(1), 3)
    for _ in range(4):
        rig.step([0.5])
    rig.shield.emergency_stop()
    rig.step([0.5])
    rig.position[1] = -0.7
    rig.shield.reset(rig.state(), np.array([1]))
    output = rig.step([0.5])
    assert output.mode.tolist() == [ShieldMode.LATCHED, ShieldMode.ACTIVE, ShieldMode.LATCHED]
    assert abs(output.command.position[1, 0] + 0.68) < 1e-12  # from the new pose, at rest: 50 · 0.02²


def test_a_reset_world_may_begin_its_time_anew():
    rig = Rig(make_limits(1), 2)
    rig.step([0.0])
    time = np.array([rig.now, 0.0])
    rig.shield.reset(rig.state(time=time), np.array([1]))
    rig.now += PERIOD
    output = rig.shield.step(rig.state(time=time + [PERIOD, 0.0]), rig.command([0.0], stamp=time + [PERIOD, 0.0]),
                             now=rig.now)
    assert output.mode.tolist() == [ShieldMode.ACTIVE] * 2


def test_thousands_of_robots():
    shield = Rig(make_limits(3), 4096).shield
    assert isinstance(shield, Shield) and shield.mode.shape == (4096,)

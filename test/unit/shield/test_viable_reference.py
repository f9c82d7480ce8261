"""The braking-distance invariant, tried on random joints, periods, jitter and hostile targets."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_robot_control.shield import Shield, ShieldMode
from rl_robot_control.shield.freshness import Timing
from rl_robot_control.shield.joints import JointBounds
from rl_robot_control.shield.output import CHECKS
from rl_robot_control.types import JointCommand, RobotState

from .rig import Rig, make_limits

HOSTILE = [1e308, -1e308, 1e9, -1e9, 0.0]


def random_limits(rng: np.random.Generator, joints: int):
    """Asymmetric, far from zero, some without limits."""
    lower = rng.uniform(-4, 3, joints)
    upper = lower + 10 ** rng.uniform(-2, 1, joints)
    unlimited = rng.random(joints) < 0.25
    lower[unlimited], upper[unlimited] = -np.inf, np.inf
    return make_limits(joints, position_lower=lower, position_upper=upper, velocity=10 ** rng.uniform(-1, 1.5, joints),
                       acceleration=10 ** rng.uniform(0, 3.5, joints), tilt=None)


def random_start(rng: np.random.Generator, limits, robots: int):
    width = np.minimum(limits.position_upper - limits.position_lower, 2.0)
    lower = np.where(np.isfinite(limits.position_lower), limits.position_lower, -1.0)
    return lower + rng.uniform(0, 1, (robots, limits.num_joints)) * width


def random_target(rng: np.random.Generator, limits, at):
    span = np.where(np.isfinite(limits.position_upper), limits.position_upper - limits.position_lower, 4.0)
    target = at + rng.normal(0, 1, at.shape) * span * 10 ** rng.uniform(-4, 1, at.shape)
    return np.where(rng.random(at.shape) < 0.1, rng.choice(HOSTILE, at.shape), target)


def hunting_target(limits, at, speed):
    """Toward the nearer limit, as far as it goes."""
    finite = np.isfinite(limits.position_upper)
    middle = (np.where(finite, limits.position_upper, 0.0) + np.where(finite, limits.position_lower, 0.0)) / 2
    return at + np.where(speed == 0, np.sign(at - middle), np.sign(speed)) * 1e6


def assert_kept(limits, at, new, speed, elapsed):
    """Position, velocity and acceleration of the reference, over the time that the cycle counts as."""
    slack = 1e-12 / elapsed  # rounding of a position of about 1 rad
    assert (new >= limits.position_lower).all() and (new <= limits.position_upper).all()
    new_speed = (new - at) / elapsed
    assert (np.abs(new_speed) <= limits.velocity * (1 + 1e-9) + slack).all()
    assert (np.abs(new_speed - speed) <= limits.acceleration * elapsed * (1 + 1e-9) + 4 * slack).all()
    return new_speed


@settings(max_examples=45, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), period=st.sampled_from([0.001, 0.004, 0.02, 0.1]),
       jitter=st.booleans(), hunting=st.booleans())
def test_no_target_breaks_a_bound_and_braking_is_always_possible(seed, period, jitter, hunting):
    """45 · 64 · 1024 · 4 = 11.8 million joint steps."""
    rng, robots = np.random.default_rng(seed), 1024
    limits = random_limits(rng, 4)
    joints = JointBounds(limits, period, robots)
    at, speed = random_start(rng, limits, robots), np.zeros((robots, 4))
    everyone, nothing = np.ones(robots, dtype=bool), np.zeros((len(CHECKS), robots, 4), dtype=bool)
    joints.restart(at, slice(None))
    for step in range(64):
        elapsed = period * rng.uniform(0.01, 1.0) if jitter else period
        active = everyone if step % 10 < 8 else ~everyone  # else: brake
        target = hunting_target(limits, at, speed) if hunting else random_target(rng, limits, at)
        # the robot tracks exactly, and the effort of the test's limits is never in the way
        new, conflicts = joints.limit(target, at, np.zeros_like(at), active, everyone, everyone, elapsed,
                                      nothing.copy())
        speed, at = assert_kept(limits, at, new, speed, elapsed), new.copy()
        assert not conflicts.any()
    for _ in range(3):  # full braking is always admissible: what is asked for is what comes out
        braked = np.sign(speed) * np.maximum(np.abs(speed) - limits.acceleration * period, 0.0)
        new, _ = joints.limit(at, at, np.zeros_like(at), ~everyone, everyone, everyone, period, nothing.copy())
        np.testing.assert_allclose(new, at + period * braked, atol=1e-9 * period * np.abs(speed).max() + 1e-12)
        speed, at = (new - at) / period, new.copy()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_whole_shield_keeps_the_bounds_while_cycles_jitter_up_to_three_periods(seed):
    rng, robots, period = np.random.default_rng(seed), 64, 0.02
    limits = random_limits(rng, 4)
    shield, timing = Shield(limits, period, robots, max_period=3.1 * period), Timing(period, 3.1 * period)
    state = RobotState.unknown(robots, 4, 0)
    at, speed, now = random_start(rng, limits, robots), np.zeros((robots, 4)), 10.0

    def measured():
        return state.__class__(**{**vars(state), 'time': np.full(robots, now), 'joint_position': at,
                                  'joint_velocity': np.zeros_like(at)})

    shield.reset(measured())
    for _ in range(60):
        now += period * rng.choice([0.05, 0.5, 1.0, 1.0, 2.0, 3.0])
        elapsed, _, _ = timing.advance(now)
        target = hunting_target(limits, at, speed) if rng.random() < 0.5 else random_target(rng, limits, at)
        output = shield.step(measured(), JointCommand(stamp=np.full(robots, now), position=target), now=now)
        assert (output.mode == ShieldMode.ACTIVE).all() and output.valid.all()
        new = output.command.position
        if elapsed == 0.0:
            np.testing.assert_array_equal(new, at)
            continue
        speed, at = assert_kept(limits, at, new, speed, elapsed), new.copy()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_late_and_early_cycles_never_outrun_the_clock(seed):
    """Intervals of 0.1 to 3 periods: each cycle moves at most one period's worth, and n cycles in a time W at most
    v·(W + 2·period), because one period may be saved up and the first cycle owes nothing."""
    rng = np.random.default_rng(seed)
    limits = random_limits(rng, 3)
    rig = Rig(limits, 16, start=random_start(rng, limits, 16), max_period=3 * 0.02)
    start, begin, before = rig.position.copy(), rig.now, rig.position.copy()
    for _ in range(50):
        rig.period = 0.02 * rng.choice([0.1, 1.0, 2.99])
        rig.step(random_target(rng, limits, rig.position))
        assert (rig.shield.mode == 2).all()
        assert (np.abs(rig.position - before) <= limits.velocity * 0.02 + 1e-12).all()
        assert (np.abs(rig.position - start) <= limits.velocity * (rig.now - begin + 0.04) + 1e-9).all()
        assert (rig.position >= limits.position_lower).all() and (rig.position <= limits.position_upper).all()
        before = rig.position.copy()


def test_approaches_the_limit_at_the_speed_of_the_formula():
    # T = 0.1 s, A = 2 rad/s², 0.1 rad left: V = -0.2 + sqrt(0.04 + 2·2·0.1) = 0.46332 rad/s, 0.046332 rad per cycle
    limits = make_limits(1, acceleration=[2.0], velocity=[10.0], position_upper=[1.0])
    joints, everyone = JointBounds(limits, 0.1, 1), np.ones(1, dtype=bool)
    joints.restart(np.array([[0.85]]), slice(None))

    def step(target):
        flags = np.zeros((len(CHECKS), 1, 1), dtype=bool)
        at = joints.reference.copy()
        return joints.limit(np.array([[target]]), at, np.zeros((1, 1)), everyone, everyone, everyone, 0.1,
                            flags)[0][0, 0]

    for target in (0.87, 0.9):  # 0.02 and 0.03 rad per cycle: already 0.3 rad/s fast, 0.1 rad before the limit
        assert abs(step(target) - target) < 1e-12
    assert abs(step(5.0) - 0.9463324958) < 1e-9


def test_a_joint_found_outside_its_limits_may_only_move_inward():
    rig = Rig(make_limits(1), start=1.2)
    assert rig.step([5.0]).command.position[0, 0] == 1.2
    # one cycle from rest at 50 rad/s²: 50 · 0.02² = 0.02 rad
    assert abs(rig.step([0.0]).command.position[0, 0] - 1.18) < 1e-12
    for _ in range(50):
        rig.step([0.0])
    assert rig.position[0, 0] == 0.0


def test_extra_calls_move_nothing():
    rig = Rig(make_limits(1), max_period=1.0)
    rig.step([1.0])
    rig.step([1.0])  # uses up what was saved
    rig.period = 0.0
    rig.step([1.0], stamp=rig.now + 1e-3)
    before = rig.position.copy()
    for k in range(5):
        rig.step([1.0], stamp=rig.now + 0.002 + 1e-3 * k)
    np.testing.assert_array_equal(rig.position, before)

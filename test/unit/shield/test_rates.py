"""Jerk of the reference and rate of the torque, where they are bounded."""

import numpy as np
import pytest

from rl_robot_control.errors import ConfigurationError

from .rig import Rig, make_limits

TRIPLETS = {
    # from rest in one cycle of 0.02 s: 1000 rad/s³ · 0.02³ = 0.008 rad
    'jerk': (dict(jerk=[1000.0, np.inf]), 0.0079, 0.012, 0.008),
    # no torque before, kp = 100 N·m/rad: 40 N·m/s · 0.02 s = 0.8 N·m, 0.008 rad
    'torque_rate': (dict(torque_rate=[40.0, np.inf]), 0.0079, 0.012, 0.008),
}


@pytest.mark.parametrize('sign', [1.0, -1.0])
@pytest.mark.parametrize('check', TRIPLETS)
def test_triplet(check, sign):
    changes, inside, outside, expected = TRIPLETS[check]
    output = Rig(make_limits(**changes)).step([sign * inside, 0.0])
    assert output.command.position[0, 0] == sign * inside and not output.corrected[0]
    output = Rig(make_limits(**changes)).step([sign * outside, sign * outside])
    assert abs(output.command.position[0, 0] - sign * expected) < 1e-12
    assert output.command.position[0, 1] == sign * outside  # it has no such bound
    assert output.active['rate'].tolist() == [[True, False]] and not output.active['conflict'].any()


def test_jerk_goes_on_from_the_motion_before():
    rig = Rig(make_limits(1, jerk=[1000.0]))
    rig.step([0.008])
    # motion 0.008, acceleration 0.008/0.02² = 20 rad/s²; the next may be 0.008 + 20·0.02² + 0.008 = 0.024 rad, but the
    # acceleration bound of 50 rad/s² allows 0.008 + 0.02 only
    assert abs(rig.step([1.0]).command.position[0, 0] - (0.008 + 0.024)) < 1e-12


def test_a_stop_before_the_limit_comes_before_the_jerk():
    rig = Rig(make_limits(1, jerk=[100.0], position_upper=[0.05]))
    highest, conflicts = -1.0, 0
    for _ in range(200):
        output = rig.step([5.0])
        highest = max(highest, output.command.position[0, 0])
        conflicts += int(output.active['conflict'].any())
    assert highest <= 0.05 and conflicts > 0
    assert rig.shield.counters['conflicts'][0] == conflicts


def test_the_torque_before_is_that_of_the_drive():
    rig = Rig(make_limits(1, torque_rate=[40.0], acceleration=[5000.0], velocity=[100.0]))
    # each cycle may add 0.8 N·m; the robot is held at 0, so 0.008 rad more every time
    for k in range(1, 5):
        assert abs(rig.step([1.0], track=False).command.position[0, 0] - 0.008 * k) < 1e-12


@pytest.mark.parametrize('changes', [dict(jerk=[0.0, 1.0]), dict(torque_rate=[-1.0, 1.0]), dict(jerk=[np.nan, 1.0])])
def test_bounds_that_make_no_sense_are_refused(changes):
    with pytest.raises(ConfigurationError, match='of joint 0 is .*; it must be finite and above 0'):
        make_limits(**changes)

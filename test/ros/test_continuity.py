"""What contradicts a robot's past, and what an emergency stop's heartbeat says."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from rl_robot_control.ros.continuity import Continuity
from rl_robot_control.ros.emergency_stop import EmergencyStopLink
from rl_robot_control.types import RobotState


def state(robot, time, position=0.0, velocity=0.0):
    j = robot.num_joints
    return dataclasses.replace(RobotState.unknown(1, j, 0), time=np.array([time]),
                               joint_position=np.full((1, j), position), joint_velocity=np.full((1, j), velocity))


@pytest.mark.parametrize(('position', 'velocity'), [
    (0.1, 0.0),  # below 0.15 rad anything may be
    (0.3, 10.0),  # 1.5 · 10 rad/s · 0.02 s = 0.3 rad
    (0.3, np.nan),  # unmeasured: the URDF's velocity, at least 20 rad/s · 0.02 s, explains it
])
def test_a_motion_is_no_jump(g1, position, velocity):
    continuity = Continuity(g1)
    assert continuity.check(state(g1, 1.0), 50.0) == ''
    assert continuity.check(state(g1, 1.02, position, velocity), 50.02) == ''


@pytest.mark.parametrize(('later', 'now', 'text'), [
    ((1.02, 0.5), 50.02, r'left_hip_pitch_joint.* jumped by 0.500 rad within 0.020 s'),
    ((0.0, 0.0), 50.02, 'clock .* jumped by -1.020 s'),
    ((100.0, 0.0), 50.02, 'clock .* jumped by 98.980 s'),
])
def test_what_contradicts_the_past(g1, later, now, text):
    continuity = Continuity(g1)
    continuity.check(state(g1, 1.0), 50.0)
    assert re.search(text, continuity.check(state(g1, *later), now))
    assert continuity.check(state(g1, later[0] + 0.02, later[1]), now + 0.02) == ''  # said once


def test_a_robot_that_was_away_for_long_is_not_compared(g1):
    continuity = Continuity(g1)
    continuity.check(state(g1, 1.0), 50.0)
    assert continuity.check(state(g1, 3.0, 1.0), 52.0) == ''
    assert continuity.check(state(g1, np.nan), 52.02) == ''


def test_stop_means_stop_and_silence_only_where_it_is_required():
    free, strict = EmergencyStopLink(False, 0.5, now=0.0), EmergencyStopLink(True, 0.5, now=0.0)
    assert free.fault(100.0) == ''
    assert strict.fault(0.4) == '' and strict.fault(0.6) == 'emergency stop: no heartbeat for 0.5 s'
    for link in (free, strict):
        link.receive(True, 101.0)
        assert link.fault(101.4) == ''
        link.receive(False, 101.4)
        link.receive(True, 101.5)  # another one's "go on" does not take a "stop" back
        assert link.fault(101.6) == 'emergency stop: the heartbeat says stop'
        assert link.fault(101.95) == ''

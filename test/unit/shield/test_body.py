"""Turning, height and contacts of the base: what latches, when, and what a missing measurement means."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.shield import Reason, Shield, ShieldMode
from rl_robot_control.types import JointCommand, RobotState

from .rig import PERIOD, make_limits

WEIGHT = 300.0  # [N]


class Body:
    """A robot that stands on two feet and follows; its measurements are changed by the test."""

    def __init__(self, **limits):
        defaults = dict(turn=8.0, height=(0.4, 1.2), contact_force=6 * WEIGHT, unloaded=0.1, contact_frames=(0, 1))
        self.limits = make_limits(2, **(defaults | limits))
        self.shield, self.now = Shield(self.limits, PERIOD), 10.0
        self.turn, self.height, self.force = [0.0, 0.0, 0.0], 0.8, [WEIGHT / 2, WEIGHT / 2]
        self.shield.reset(self.state())
        for _ in range(3):
            assert self.step().mode[0] == ShieldMode.ACTIVE

    def state(self):
        unknown = RobotState.unknown(1, 2, 2)
        return dataclasses.replace(
            unknown, time=np.array([self.now]), joint_position=np.zeros((1, 2)), joint_velocity=np.zeros((1, 2)),
            base_quaternion=np.array([[0.0, 0.0, 0.0, 1.0]]), base_angular_velocity=np.array([self.turn]),
            base_position=np.array([[0.0, 0.0, self.height]]), contact_force=np.array([self.force]))

    def step(self):
        self.now += PERIOD
        command = JointCommand(stamp=np.array([self.now]), position=np.zeros((1, 2)))
        return self.shield.step(self.state(), command, now=self.now)

    def modes(self, count):
        return [ShieldMode(self.step().mode[0]) for _ in range(count)]


FAULTS = {Reason.TURNING: dict(turn=[0.0, 9.0, 0.0]), Reason.HEIGHT: dict(height=0.3), Reason.CONTACT_FORCE: dict(
    force=[WEIGHT, 7 * WEIGHT])}


@pytest.mark.parametrize('reason', FAULTS)
def test_what_is_wrong_for_40_milliseconds_latches(reason):
    body = Body()
    vars(body).update(FAULTS[reason])
    assert body.modes(3) == [ShieldMode.ACTIVE, ShieldMode.ACTIVE, ShieldMode.LATCHED]  # seen for 0, 20 and 40 ms
    assert body.step().reason[0] == reason


@pytest.mark.parametrize('reason', FAULTS)
def test_what_is_wrong_only_briefly_does_not(reason):
    body = Body()
    good = {name: getattr(body, name) for name in FAULTS[reason]}
    for _ in range(4):
        vars(body).update(FAULTS[reason])
        assert body.modes(2) == [ShieldMode.ACTIVE] * 2
        vars(body).update(good)
        assert body.modes(1) == [ShieldMode.ACTIVE]


def test_too_high_is_wrong_as_too_low_is():
    body = Body()
    body.height = 1.3
    assert body.modes(3)[-1] == ShieldMode.LATCHED


def test_no_foot_on_the_ground_for_too_long():
    body = Body()
    body.force = [0.0, 0.5]  # below 1 N: not loaded
    assert body.modes(5) == [ShieldMode.ACTIVE] * 5  # 0 … 80 ms
    output = body.step()
    assert output.mode[0] == ShieldMode.LATCHED and output.reason[0] == Reason.UNLOADED


def test_one_foot_is_enough():
    body = Body()
    body.force = [WEIGHT, 0.0]
    assert body.modes(20) == [ShieldMode.ACTIVE] * 20


@pytest.mark.parametrize('lost', [dict(height=np.nan), dict(force=[np.nan, np.nan]), dict(force=[WEIGHT, np.nan]),
                                  dict(turn=[np.nan, 0.0, 0.0])])
def test_a_measurement_that_was_there_and_is_lost_makes_the_state_unusable(lost):
    body = Body()
    vars(body).update(lost)
    output = body.step()
    assert output.mode[0] == ShieldMode.DAMPING and output.reason[0] == Reason.STATE_INVALID and not output.valid[0]


@pytest.mark.parametrize('missing', [dict(height=np.nan), dict(force=[np.nan, np.nan])])
def test_a_measurement_that_was_never_there_is_left_out_and_counted(missing):
    body = Body.__new__(Body)
    original = Body.state

    def state(self):
        vars(self).update(missing)
        return original(self)

    body.state = state.__get__(body)
    Body.__init__(body)
    assert body.shield.counters['unmeasured'][0] == 3


def test_unless_it_is_required():
    with pytest.raises(AssertionError):  # of ``Body``: it never becomes active
        body = Body.__new__(Body)
        original = Body.state

        def state(self):
            self.height = np.nan
            return original(self)

        body.state = state.__get__(body)
        Body.__init__(body, require_measurements=True)


def test_rearming_needs_the_right_height():
    body = Body()
    body.height = 0.3
    body.modes(4)
    assert 'the base is 0.30 m high; set it up between 0.4 and 1.2 m' in body.shield.rearm(body.state())
    body.height = 0.8
    assert body.shield.rearm(body.state()) is None


def test_a_joint_that_cannot_be_where_it_is_said_to_be_latches():
    stops = (np.array([-1.0, -1.0]), np.array([1.0, 1.0]))
    body = Body(stops=stops, measured_velocity=[5.0, 5.0], measured_velocity_fault=[15.0, 15.0])
    good = body.state

    def broken(**changes):
        return lambda: dataclasses.replace(good(), **{k: np.array([v]) for k, v in changes.items()})

    body.state = broken(joint_position=[1.15, 0.0])
    assert body.modes(2) == [ShieldMode.ACTIVE] * 2
    body.state = broken(joint_position=[1.25, 0.0])  # 0.2 rad beyond the stop
    assert body.modes(1) == [ShieldMode.LATCHED]
    assert body.step().reason[0] == Reason.JOINT_POSITION
    body = Body(stops=stops, measured_velocity=[5.0, 5.0], measured_velocity_fault=[15.0, 15.0])
    good = body.state
    body.state = broken(joint_velocity=[0.0, -15.5])  # faster than any drive
    assert body.modes(1) == [ShieldMode.LATCHED] and body.step().reason[0] == Reason.JOINT_VELOCITY


def test_limits_that_make_no_sense_are_refused():
    with pytest.raises(ConfigurationError, match=r'height is \(1.2, 0.4\); the lower limit must be below'):
        make_limits(height=(1.2, 0.4))
    with pytest.raises(ConfigurationError, match='measured_velocity, measured_velocity_fault is not given'):
        make_limits(stops=(np.full(2, -1.0), np.full(2, 1.0)))
    with pytest.raises(ConfigurationError, match='stop_margin of joint 0 is 1.0'):
        make_limits(stops=(np.full(2, -1.0), np.full(2, 1.0)), measured_velocity=[1.0, 1.0],
                    measured_velocity_fault=[3.0, 3.0], stop_margin=1.0)

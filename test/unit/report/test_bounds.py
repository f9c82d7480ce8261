"""Bounds of a recorded run against numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rl_robot_control.report import bounds

from .hand_made import LEAD, PERIOD, make_recording, spoil


def violations(recording, robot, limits) -> dict[str, int]:
    return {check.name: check.violations for check in bounds.check_bounds(recording, robot, limits, PERIOD)}


def test_a_robot_in_its_default_pose_violates_nothing(robot, limits):
    found = bounds.check_bounds(make_recording(robot), robot, limits, PERIOD)
    assert [check.name for check in found] == ['commanded position', 'commanded overshoot', 'reference velocity',
                                               'implied torque', 'measured position', 'measured velocity']
    assert all(check.violations == 0 for check in found)
    assert [check.samples for check in found] == [500, 500, 499, 500, 500, 500]


def test_damping_leads_nowhere_and_so_not_outside(robot, limits):
    # A joint that was pushed beyond its limits and is damped there: the command is the measured pose.
    recording = spoil(make_recording(robot), 'states', 'position', 100, 3, robot.position_upper[3] + 0.1)
    position = recording.commands.position.copy()
    position[100] = recording.states.position[100]
    recording = dataclasses.replace(recording, commands=dataclasses.replace(recording.commands, position=position))
    assert bounds.damped(recording).nonzero()[0].tolist() == [100]
    found = {check.name: check for check in bounds.check_bounds(recording, robot, limits, PERIOD)}
    assert (found['commanded position'].samples, found['commanded position'].violations) == (499, 0)
    assert found['measured position'].violations == 1


def test_a_command_beyond_the_shields_limit_is_found(robot, limits):
    elbow = robot.joint_names.index('left_elbow_joint')  # an arm's joint: no overshoot
    beyond = limits.position_upper[elbow] + 0.01
    recording = spoil(make_recording(robot), 'commands', 'position', 100, elbow, beyond)
    found = {check.name: check for check in bounds.check_bounds(recording, robot, limits, PERIOD)}
    position = found['commanded position']
    assert position.violations == 1
    assert position.worst_joint == 'left_elbow_joint'
    assert position.worst_excess == pytest.approx(0.01)
    assert position.worst_time == pytest.approx(100 * PERIOD + 0.0022)  # shield's 2 ms, 0.2 ms on the way


def test_a_step_faster_than_the_reference_may_move_is_found(robot, limits):
    elbow = robot.joint_names.index('left_elbow_joint')
    still = robot.default_position[elbow] + LEAD
    step = limits.velocity[elbow] * PERIOD
    slow = spoil(make_recording(robot), 'commands', 'position', 100, elbow, still + 0.999 * step)
    fast = spoil(make_recording(robot), 'commands', 'position', 100, elbow, still + 1.001 * step)
    assert violations(slow, robot, limits)['reference velocity'] == 0
    assert violations(fast, robot, limits)['reference velocity'] == 2  # there, and back in the next command


def test_torque_is_computed_with_the_state_of_the_time(robot, limits):
    # tau = kp (q_cmd - q) - kd v reaches the bound at q_cmd = q + (effort + kd v) / kp
    knee = robot.joint_names.index('left_knee_joint')
    recording = make_recording(robot)
    for row in (99, 100):  # either of the two latest states may be the one that the shield held
        recording = spoil(recording, 'states', 'velocity', row, knee, 2.0)
    edge = robot.default_position[knee] + (limits.effort[knee] + 2.0 * limits.damping[knee]) / limits.stiffness[knee]
    inside = spoil(recording, 'commands', 'position', 100, knee, edge - 1e-3)
    beyond = spoil(recording, 'commands', 'position', 100, knee, edge + 1e-3)
    assert violations(inside, robot, limits)['implied torque'] == 0
    assert violations(beyond, robot, limits)['implied torque'] == 1
    excess = bounds.torque_excess(beyond, limits)[100, knee]
    assert excess == pytest.approx(1e-3 * limits.stiffness[knee])
    # Without the velocity the same command would be far beyond: the state matters.
    still = spoil(make_recording(robot), 'commands', 'position', 100, knee, edge - 1e-3)
    assert violations(still, robot, limits)['implied torque'] == 1


def test_a_command_that_says_what_it_answers_is_held_against_that_state(robot, limits):
    knee = robot.joint_names.index('left_knee_joint')
    recording = spoil(make_recording(robot), 'states', 'velocity', 99, knee, 2.0)
    edge = robot.default_position[knee] + (limits.effort[knee] + 2.0 * limits.damping[knee]) / limits.stiffness[knee]
    recording = spoil(recording, 'commands', 'position', 100, knee, edge - 1e-3)
    assert violations(recording, robot, limits)['implied torque'] == 0  # fits the state before
    commands = dataclasses.replace(recording.commands, stamp=recording.states.stamp)
    told = dataclasses.replace(recording, commands=commands)
    assert violations(told, robot, limits)['implied torque'] == 1  # but it answers the state at rest


def test_a_leg_at_its_limit_must_not_be_sent_beyond(robot, limits):
    ankle = robot.joint_names.index('left_ankle_pitch_joint')
    upper = limits.position_upper[ankle]
    recording = make_recording(robot)
    for row in (99, 100):
        recording = spoil(recording, 'states', 'position', row, ankle, upper - 0.1)
    for target, expected in ((upper + 0.19, 0), (upper + 0.21, 1)):  # 0.1 rad left: 0.2 rad beyond at most
        spoilt = spoil(recording, 'commands', 'position', 100, ankle, target)
        assert violations(spoilt, robot, limits)['commanded overshoot'] == expected


@pytest.mark.parametrize('name', ['left_ankle_pitch_joint', 'left_elbow_joint'])  # with overshoot and without
def test_a_joint_beyond_its_limit_may_be_drawn_back_part_of_the_way_but_not_pushed_on(robot, limits, name):
    j = robot.joint_names.index(name)
    beyond = limits.position_upper[j] + limits.overshoot[j] + 0.1
    recording = make_recording(robot)
    for row in (99, 100):
        recording = spoil(recording, 'states', 'position', row, j, beyond)
    for target, expected in ((beyond - 0.05, 0), (beyond + 0.01, 1)):
        found = violations(spoil(recording, 'commands', 'position', 100, j, target), robot, limits)
        assert found['commanded position'] == expected
        assert found['commanded overshoot'] == (expected if limits.overshoot[j] > 0 else 0)


def test_before_any_state_the_plain_limits_hold(robot, limits):
    elbow = robot.joint_names.index('left_elbow_joint')
    recording = make_recording(robot)
    states = recording.states
    later = dataclasses.replace(states, sent=states.sent[1:], received=states.received[1:], stamp=states.stamp[1:],
                                position=states.position[1:], velocity=states.velocity[1:], effort=states.effort[1:])
    recording = dataclasses.replace(recording, states=later)
    beyond = limits.position_upper[elbow] + 0.01
    recording = spoil(recording, 'states', 'position', 0, elbow, beyond + 1.0)  # not there yet when it is commanded
    assert violations(spoil(recording, 'commands', 'position', 0, elbow, beyond), robot,
                      limits)['commanded position'] == 1


def test_not_a_number_is_a_violation(robot, limits):
    recording = spoil(make_recording(robot), 'commands', 'position', 100, 3, np.nan)
    found = violations(recording, robot, limits)
    assert found['commanded position'] == 1
    assert found['reference velocity'] == 2
    assert found['implied torque'] == 1


def test_a_measured_joint_beyond_its_limit_is_found(robot, limits):
    recording = spoil(make_recording(robot), 'states', 'position', 7, 3, robot.position_lower[3] - 0.02)
    assert violations(recording, robot, limits)['measured position'] == 1

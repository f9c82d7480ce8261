"""Checks of a recorded run against numbers worked out by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rl_robot_control.report import checks
from rl_robot_control.report.bounds import check_bounds

from .hand_made import LEAD, PERIOD, make_recording, spoil


def test_an_empty_recording_is_judged_as_nothing_measured(robot, limits):
    recording = make_recording(robot)
    empty = dataclasses.replace(recording, commands=type(recording.commands)(), states=type(recording.states)())
    assert all(check.samples == 0 for check in check_bounds(empty, robot, limits, PERIOD))
    checks.summarise(empty, robot, limits, PERIOD)


def test_errors_of_a_glide(robot):
    # Asked: 0.6 m/s from 2 s on; measured: 0.5 m/s all the time, turning at 0.1 rad/s. All constant: means are exact.
    segments = checks.judge_segments(make_recording(robot, speed=0.5, yaw_rate=0.1))
    assert [s.command for s in segments] == [(0.0, 0.0, 0.0), (0.6, 0.0, 0.0)]
    stand, walk = segments
    assert stand.speed_error == pytest.approx(0.5)
    assert walk.speed_error == pytest.approx(0.1)
    assert walk.cycle_speed_error == pytest.approx(0.1)
    assert walk.yaw_error == pytest.approx(0.1)
    assert walk.forward and not stand.forward
    assert (walk.start, walk.end) == (pytest.approx(2.0002), pytest.approx(9.9802))


def test_less_than_a_stride_of_states_is_not_judged(robot):
    # Told to walk from 2.0 s to the end at 3.82 s, judged from 3.0 s on: the 0.8 s of a stride, if all states came.
    recording = make_recording(robot, seconds=3.84)
    late = recording.base.stamp > 3.1  # of the rest, 0.7 s are left
    base = dataclasses.replace(recording.base, **{field.name: getattr(recording.base, field.name)[
        (recording.base.stamp < 3.0) | late] for field in dataclasses.fields(recording.base)})
    assert [s.forward for s in checks.judge_segments(recording)] == [False, True]
    assert [s.forward for s in checks.judge_segments(dataclasses.replace(recording, base=base))] == [False]


def test_the_first_second_is_not_judged_and_sway_cancels_over_a_stride(robot):
    recording = make_recording(robot, speed=0.6)
    base, times = recording.base, recording.base.stamp
    # A sway of 0.3 m/s at the stride's frequency has no mean over 0.8 s; before 3 s the robot stands still.
    speed = np.where(times < 2.9, 0.0, 0.6 + 0.3 * np.sin(2 * np.pi * times / 0.8))
    velocity = np.stack([speed, 0 * speed, 0 * speed], axis=-1)
    swaying = dataclasses.replace(recording, base=dataclasses.replace(base, linear_velocity=velocity))
    walk = checks.judge_segments(swaying, gait_period=0.8)[1]
    assert walk.cycle_speed_error < 0.003
    assert walk.speed_error < 0.03  # 6.98 s are not whole strides: at most 0.3 · 0.8 / π / 6.98 = 0.011 remains


def test_velocity_is_taken_along_the_heading_whatever_the_pitch(robot):
    recording = make_recording(robot, yaw_rate=0.0)
    # Pitched forward by 0.3 rad, 0.5 m/s along the level heading is (0.5 cos 0.3, 0, 0.5 sin 0.3) in the base.
    count = len(recording.base)
    base = dataclasses.replace(
        recording.base, quaternion=np.tile([0.0, np.sin(0.15), 0.0, np.cos(0.15)], (count, 1)),
        linear_velocity=np.tile([0.5 * np.cos(0.3), 0.0, 0.5 * np.sin(0.3)], (count, 1)))
    np.testing.assert_allclose(checks.heading_velocity(base), np.tile([0.5, 0.0, 0.0], (count, 1)), atol=1e-12)


def test_moving_average_needs_the_whole_window():
    times = np.arange(0.0, 2.01, 0.1)
    average = checks.moving_average(times, times, 0.4)  # the average of a line is its middle
    known = (times > 0.19) & (times < 1.81)
    np.testing.assert_allclose(average[known], times[known])
    assert np.isnan(average[~known]).all()


@pytest.mark.parametrize(('tilt', 'fell'), [(0.70, False), (0.75, True)])
def test_a_fall_is_seen_by_tilt(robot, tilt, fell):
    recording = make_recording(robot)
    quaternion = recording.base.quaternion.copy()
    quaternion[300:] = [np.sin(tilt / 2), 0.0, 0.0, np.cos(tilt / 2)]
    tilted = dataclasses.replace(recording, base=dataclasses.replace(recording.base, quaternion=quaternion))
    assert checks.find_fall(tilted, robot) == (pytest.approx(6.0002) if fell else None)


def test_a_fall_is_seen_by_height(robot):
    low = spoil(make_recording(robot), 'base', 'position', 250, 2, 0.5 * robot.settings.base.height)
    assert checks.find_fall(low, robot) == pytest.approx(5.0002)


def test_corrections_are_command_minus_newest_request(robot):
    recording = spoil(make_recording(robot), 'commands', 'position', 5, 2, robot.default_position[2] + LEAD + 0.03)
    times, change = checks.corrections(recording)
    assert len(times) == 500
    assert change[5, 2] == pytest.approx(0.03)
    assert np.count_nonzero(change) == 1


def test_timing(robot):
    recording = make_recording(robot)
    np.testing.assert_allclose(checks.command_intervals(recording), PERIOD)
    to_policy, to_command = checks.observation_ages(recording)
    np.testing.assert_allclose(to_policy, 0.001)
    np.testing.assert_allclose(to_command, 0.002)


def test_transitions(robot):
    assert [mode for _, mode in make_recording(robot).transitions()] == ['READY', 'ACTIVE']

"""Velocity command: refusal, clamping, time-out."""

import numpy as np
import pytest

from rl_robot_control.ros.velocity_command import TargetCommand, VelocityCommand


@pytest.fixture
def command() -> VelocityCommand:
    return VelocityCommand(lower=(-0.5, -0.4, -1.0), upper=(1.0, 0.4, 1.0), timeout=0.5)


def test_is_zero_before_the_first_message(command):
    assert command.timed_out(0.0)
    np.testing.assert_array_equal(command.at(0.0), [[0.0, 0.0, 0.0]])


def test_follows_the_latest_message_until_it_times_out(command):
    assert command.receive((0.6, 0.1, -0.2), now=10.0) is None
    np.testing.assert_array_equal(command.at(10.5), [[0.6, 0.1, -0.2]])
    np.testing.assert_array_equal(command.at(10.501), [[0.0, 0.0, 0.0]])
    assert command.timed_out(10.501)


@pytest.mark.parametrize('bad', [(float('nan'), 0.0, 0.0), (0.0, float('inf'), 0.0), (0.0, 0.0, -float('inf'))])
def test_refuses_what_is_not_finite_and_does_not_extend_the_old_one(command, bad):
    command.receive((0.6, 0.0, 0.0), now=0.0)
    assert 'refused the velocity command' in command.receive(bad, now=0.4)
    np.testing.assert_array_equal(command.at(0.4), [[0.6, 0.0, 0.0]])
    np.testing.assert_array_equal(command.at(0.6), [[0.0, 0.0, 0.0]])
    assert command.receive(bad, now=0.7) is None
    assert command.refused == 2


def test_clamps_to_the_range_counts_and_says_so_once(command):
    message = command.receive((2.0, 0.0, -3.0), now=0.0)
    assert message == ("velocity command clamped to the policy's range: vx [m/s] 2 is outside [-0.5, 1], "
                       'wz [rad/s] -3 is outside [-1, 1] (said once; see the diagnostics).')
    np.testing.assert_array_equal(command.at(0.0), [[1.0, 0.0, -1.0]])
    assert command.receive((2.0, 0.0, 0.0), now=0.1) is None
    assert command.clamped == 2


def test_a_target_stays_and_begins_in_the_middle():
    target = TargetCommand(lower=(0.0, -0.2, 0.4), upper=(0.2, 0.2, 0.4))
    np.testing.assert_allclose(target.at(0.0), [[0.1, 0.0, 0.4]])
    assert 'y [m] 5 is outside [-0.2, 0.2]' in target.receive((0.1, 5.0, 0.4), now=1.0)
    np.testing.assert_allclose(target.at(1e6), [[0.1, 0.2, 0.4]])

"""The shield node's time-outs leave room for its reaction."""

from __future__ import annotations

import dataclasses

import pytest

from rl_robot_control.robots import load_robot
from rl_robot_control.shield import ShieldLimits

pytest.importorskip('rclpy')


def test_time_outs_end_early_and_the_rest_stays():
    from rl_robot_control.nodes.shield import REACTION, WATCH_PERIOD, real_time_limits
    limits = dataclasses.replace(ShieldLimits.from_robot(load_robot('unitree_g1')), state_timeout=0.015)
    early = real_time_limits(limits)
    assert early.command_timeout == pytest.approx(limits.command_timeout - REACTION)
    assert early.command_damping_timeout == pytest.approx(limits.command_damping_timeout - REACTION)
    assert early.state_timeout == pytest.approx(0.0075)  # at least half of what was asked for
    assert early.tilt_duration == pytest.approx(limits.tilt_duration - REACTION - WATCH_PERIOD)
    assert early.rest_velocity == limits.rest_velocity
    assert (early.position_lower == limits.position_lower).all()

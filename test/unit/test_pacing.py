"""When control periods begin, with the time passed in."""

from __future__ import annotations

import numpy as np
import pytest

from rl_robot_control.ros.pacing import Pace


def run(arrivals, end, period=0.02, look=0.0025):
    """Begin of each period, with states that arrive at some times and a timer that looks in between [s]."""
    pace, begun = Pace(period), []
    events = sorted([(t, True) for t in arrivals] + [(t, False) for t in np.arange(0.0, end, look)])
    for now, complete in events:
        if complete:
            pace.hear(now)
        if pace.due(now, complete):
            pace.begin(now, complete)
            begun.append(now)
    return np.array(begun)


@pytest.mark.parametrize('rate', [200.0, 1000.0, 100.0, 50.0, 60.0, 170.0])
def test_keeps_its_rate_whatever_the_states_rate(rate):
    begun = run(np.arange(0.0013, 10.0, 1.0 / rate), 10.0)
    assert len(begun) == pytest.approx(500, abs=3)
    # A quarter of a period later than due, after one that was half an interval of the states early.
    assert np.diff(begun).max() <= 0.025 + 0.5 * min(1.0 / rate, 0.02) + 0.0025


@pytest.mark.parametrize('rate', [50.0, 100.0, 200.0, 1000.0])
def test_begins_with_the_state_that_has_just_come(rate):
    arrivals = np.arange(0.0113, 4.0, 1.0 / rate)  # the timer has begun before
    begun = run(arrivals, 4.0)
    assert np.isin(begun[50:], arrivals).all()  # within a second
    np.testing.assert_allclose(np.diff(begun[50:]), 0.02, atol=1e-9)


@pytest.mark.parametrize('offset', np.arange(0.0003, 0.02, 0.0025))
def test_finds_the_arrival_of_states_that_come_once_per_period(offset):
    arrivals = np.arange(offset, 4.0, 0.02)  # the timer has begun at 0, anywhere between two states
    begun = run(arrivals, 4.0)
    assert np.isin(begun[50:], arrivals).all()
    np.testing.assert_allclose(np.diff(begun[50:]), 0.02, atol=1e-9)


def test_states_that_jitter_by_a_third_of_their_interval_do_not_make_the_period_jump():
    rng = np.random.default_rng(0)
    arrivals = np.arange(0.0, 4.0, 0.005) + rng.uniform(-0.0016, 0.0016, 800)
    assert np.abs(np.diff(run(arrivals, 4.0)[50:]) - 0.02).max() < 0.0034


def test_tells_how_long_it_is_until_the_next_period():
    pace = Pace(0.02)
    assert pace.left(5.0) == 0.0
    pace.begin(5.0, complete=True)
    assert pace.left(5.013) == pytest.approx(0.007)


def test_without_states_it_goes_on_and_after_a_pause_nothing_is_made_up_for():
    assert len(run([], 1.0)) == pytest.approx(48, abs=3)
    pace = Pace(0.02)
    pace.begin(0.0, complete=False)
    assert not pace.due(0.009, True) and pace.due(0.0101, True)  # half an interval, of which nothing is known yet
    assert not pace.due(0.02, False) and pace.due(0.0251, False)
    pace.begin(1.0, complete=False)  # a machine that stood still
    assert not pace.due(1.014, False) and pace.due(1.0151, False)
    pace.restart()
    assert pace.due(1.0, False)

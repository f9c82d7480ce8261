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
        if pace.due(now, complete):
            pace.begin(now)
            begun.append(now)
    return np.array(begun)


@pytest.mark.parametrize('rate', [200.0, 1000.0, 100.0, 50.0, 60.0, 170.0])
def test_keeps_its_rate_whatever_the_states_rate(rate):
    begun = run(np.arange(0.0013, 10.0, 1.0 / rate), 10.0)
    assert len(begun) == pytest.approx(500, abs=3)
    assert np.diff(begun).max() <= 0.02 * 1.36  # 0.25 later than due, and one that was 0.1 early


def test_begins_with_the_state_that_has_just_come():
    arrivals = np.arange(0.0013, 1.0, 0.005)
    begun = run(arrivals, 1.0)
    assert np.isin(begun[1:], arrivals).all()


def test_without_states_it_goes_on_and_after_a_pause_nothing_is_made_up_for():
    assert len(run([], 1.0)) == pytest.approx(50, abs=2)
    pace = Pace(0.02)
    pace.begin(0.0)
    assert not pace.due(0.01, True) and not pace.due(0.02, False) and pace.due(0.0181, True) and pace.due(0.0251, False)
    pace.begin(1.0)  # a machine that stood still
    assert not pace.due(1.005, True) and pace.due(1.01, True)
    pace.restart()
    assert pace.due(1.0, False)

"""Loop timing: statistics derived by hand."""

import math

import pytest

from rl_robot_control.ros.loop_timing import LoopTiming


def test_statistics_of_four_cycles():
    timing = LoopTiming(period=0.02)
    # Intervals 20, 22 and 38 ms about a period of 20 ms: deviations 0, 2 and 18 ms; only 38 ms exceeds 30 ms.
    for started, age in [(1.0, 0.004), (1.02, 0.006), (1.042, 0.002), (1.08, 0.008)]:
        timing.record(started, started + 0.001, age)
    summary = timing.summary()
    assert summary.cycles == 4
    assert summary.rate == pytest.approx(3 / 0.08)  # three intervals in 80 ms
    assert summary.jitter_rms == pytest.approx(math.sqrt((0.002 ** 2 + 0.018 ** 2) / 3))
    assert summary.jitter_max == pytest.approx(0.018)
    assert summary.latency_mean == pytest.approx(0.001)
    assert summary.age_mean == pytest.approx(0.005)
    assert summary.age_max == pytest.approx(0.008)
    assert summary.overruns == 1


def test_a_summary_starts_afresh_but_keeps_the_interval_to_the_next_cycle():
    timing = LoopTiming(period=0.02)
    timing.record(0.0, 0.001, 0.0)
    timing.summary()
    timing.record(0.02, 0.021, 0.0)
    assert timing.summary().rate == pytest.approx(50.0)


def test_an_interruption_is_no_interval():
    timing = LoopTiming(period=0.02)
    timing.record(0.0, 0.001, 0.0)
    timing.interrupt()
    timing.record(5.0, 5.001, 0.0)
    summary = timing.summary()
    assert summary.overruns == 0 and math.isnan(summary.rate)

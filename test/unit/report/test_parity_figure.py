"""The picture of a comparison, from numbers made by hand: two terms, three values, four simulated robots."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from rl_robot_control.report import parity_figure, style
from rl_robot_control.report.parity import Parity, Value
from rl_robot_control.report.parity_figure import MOST_TERMS, terms_over_time, worst_first

PERIODS = 100


def value(name, shift=0.1, outside=0.0):
    return Value(name=name, recorded=(0.0, 1.0), simulated=(0.0, 1.0), shift=shift, outside=outside, opposite=False)


def comparison(values, agrees=True):
    times = 5.0 + 0.02 * np.arange(PERIODS)
    recorded = np.tile(np.sin(10 * times)[:, None], (1, len(values)))
    recorded[50:, -1] += 3.0
    simulated = np.tile(np.sin(10 * times)[:80, None, None], (1, 4, len(values)))  # all have fallen after 80 periods
    simulated[40:, 0] = np.nan  # one of them earlier
    return Parity(began=5.0, periods=PERIODS, agrees=agrees, target_error={}, values=values, missing=[], times=times,
                  recorded=recorded, simulated=simulated)


TWO = [value('gravity[0]'), value('speed[0]'), value('speed[1]', shift=2.0, outside=0.5)]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn."""
    kept = []

    @contextmanager
    def figure(*arguments):
        with style.figure(*arguments) as one:
            kept.append(one)
            yield one

    monkeypatch.setattr(parity_figure, 'figure', figure)
    return kept


def lines(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_each_term_has_a_panel_and_the_worst_comes_first(tmp_path, drawn):
    terms_over_time(tmp_path / 'parity.png', comparison(TWO))
    assert (tmp_path / 'parity.png').stat().st_size > 10_000
    left = drawn[0].axes[::2]
    assert [axes.get_title('left') for axes in left] == ['speed', 'gravity']
    assert left[0].get_title('right') == 'speed[1]: shift 2.0, 50% outside'
    assert drawn[0].get_suptitle() == '1 of 2 terms differ'


def test_the_difference_is_marked_where_it_is(tmp_path, drawn):
    terms_over_time(tmp_path / 'parity.png', comparison(TWO))
    marked = lines(drawn[0].axes[0], 'recorded, outside').get_ydata()
    # from period 50 on, by 3 beside a simulation within ±1
    np.testing.assert_array_equal(np.isfinite(marked), np.arange(PERIODS) >= 50)
    assert not np.isfinite(lines(drawn[0].axes[2], 'recorded, outside').get_ydata()).any()
    bars = drawn[0].axes[1].patches
    # speed[0]: 0.1 of 3 standard deviations; speed[1]: 0.5 of 0.2 outside
    np.testing.assert_allclose([bar.get_height() for bar in bars], [0.1 / 3, 2.5])


def test_targets_of_another_policy_are_said(tmp_path, drawn):
    terms_over_time(tmp_path / 'parity.png', comparison(TWO[:2], agrees=False))
    assert drawn[0].get_suptitle() == "None of 2 terms differs; the recorded targets are NOT this policy's"


def test_of_many_terms_the_worst_are_drawn(tmp_path, drawn):
    values = [value(f'term{i}[0]', shift=i / 10) for i in range(MOST_TERMS + 3)]
    assert worst_first(comparison(values))[0][0] == f'term{MOST_TERMS + 2}'
    terms_over_time(tmp_path / 'parity.png', comparison(values))
    assert len(drawn[0].axes) == 2 * MOST_TERMS
    assert drawn[0].get_suptitle() == f'None of {MOST_TERMS + 3} terms differs, the first {MOST_TERMS} are shown'


def test_severity_is_above_one_where_a_value_differs():
    for shift, outside in ((2.9, 0.0), (3.1, 0.0), (0.0, 0.19), (0.0, 0.21)):
        one = value('x[0]', shift, outside)
        assert (one.severity > 1) == one.differs

"""A comparison of recording and simulation as a picture: every term of the observation over time, the worst first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from rl_robot_control.report.parity import Parity, Value, shown_range
from rl_robot_control.report.style import BLUE, FAINT, GREEN, GREY, INK, RED, SKY, figure

MOST_TERMS = 12  # that are drawn; the others differ less
HIGHEST = 3.0  # severity at which a bar ends


def terms_over_time(path: Path, parity: Parity) -> None:
    """Each term by the one of its values that differs most, over time, and beside it how much each of its values does.

    Args:
        path: PNG to write.
        parity: What was compared.
    """
    terms = worst_first(parity)
    shown = terms[:MOST_TERMS]
    with figure(path, 10.0, 1.1 + 1.5 * len(shown)) as drawn:
        panels = drawn.subplots(len(shown), 2, width_ratios=[4, 1], squeeze=False)
        for (left, right), (term, values) in zip(panels, shown, strict=True):
            left.sharex(panels[0, 0])
            left.tick_params(labelbottom=False)
            _over_time(left, parity, term, values[0])
            _severities(right, parity.terms()[term])
        panels[0, 1].set_title('difference / bound [-]', fontsize=9, fontweight='normal')
        panels[-1, 0].tick_params(labelbottom=True)
        panels[-1, 0].set_xlabel('time in the recording [s]')
        panels[-1, 1].set_xlabel('value of the term')
        good = parity.agrees and not terms[0][1][0].differs
        drawn.suptitle(_headline(parity, terms), x=0.01, ha='left', fontsize=12, fontweight='bold',
                       color=INK if good else RED)
        handles = {line.get_label(): line for left, _ in panels for line in left.get_legend_handles_labels()[0]}
        drawn.legend(handles.values(), handles.keys(), loc='outside lower center', ncols=len(handles))


def worst_first(parity: Parity) -> list[tuple[str, list[Value]]]:
    """The terms with their values, those that differ most first."""
    terms = [(term, sorted(values, key=lambda value: -value.severity)) for term, values in parity.terms().items()]
    return sorted(terms, key=lambda item: -item[1][0].severity)


def _headline(parity: Parity, terms: list[tuple[str, list[Value]]]) -> str:
    different = [term for term, values in terms if values[0].differs]
    found = f'{len(different)} of {len(terms)} terms differ' if different else f'None of {len(terms)} terms differs'
    found += f', the first {MOST_TERMS} are shown' if len(terms) > MOST_TERMS else ''
    return found + ('' if parity.agrees else "; the recorded targets are NOT this policy's")


def _over_time(axes: Axes, parity: Parity, term: str, worst: Value) -> None:
    """One value: the robot's, and what the simulated ones show at each instant and at all."""
    i = parity.values.index(worst)
    times, recorded, simulated = parity.times, parity.recorded[:, i], parity.simulated[..., i]
    here = times[:len(simulated)]
    low, high = shown_range(simulated[np.isfinite(simulated)])
    axes.axhspan(low, high, color=FAINT, alpha=0.6, linewidth=0, label='all that the simulation shows')
    axes.fill_between(here, np.nanmin(simulated, axis=1), np.nanmax(simulated, axis=1), color=SKY, alpha=0.5,
                      linewidth=0, label='simulated robots')
    axes.plot(here, np.nanmean(simulated, axis=1), color=BLUE, linewidth=1, label='their mean')
    axes.plot(times, recorded, color=INK, linewidth=1, label='recorded robot')
    outside = np.where((recorded < low) | (recorded > high), recorded, np.nan)
    axes.plot(times, outside, color=RED, linewidth=2, marker='.', markersize=4, label='recorded, outside')
    axes.set_title(term, color=RED if worst.differs else INK)
    axes.set_title(_note(worst), loc='right', fontsize=9, fontweight='normal', color=RED if worst.differs else GREY)
    axes.margins(x=0)


def _note(value: Value) -> str:
    note = f'{value.name}: shift {value.shift:.1f}, {value.outside:.0%} outside'
    return note + (', fits with the other sign' if value.opposite else '')


def _severities(axes: Axes, values: list[Value]) -> None:
    """A bar for each value of a term, in the order of the observation; those that differ are red."""
    colours = [RED if value.differs else GREEN for value in values]
    axes.bar(range(len(values)), [min(value.severity, HIGHEST) for value in values], color=colours, width=0.8)
    axes.axhline(1.0, color=GREY, linewidth=1, linestyle='--')
    axes.set(ylim=(0, HIGHEST), xlim=(-0.6, len(values) - 0.4))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis='x', visible=False)

"""One look for every figure: few lines, colours that colour-blind readers tell apart (Okabe and Ito), units on axes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

BLUE, ORANGE, GREEN, RED, SKY = '#0072B2', '#E69F00', '#009E73', '#D55E00', '#56B4E9'
INK, GREY, FAINT = '#1f2933', '#7b8794', '#e4e7eb'

_LOOK = {
    'font.size': 10, 'axes.titlesize': 11, 'axes.titleweight': 'bold', 'axes.titlelocation': 'left',
    'axes.labelsize': 10, 'axes.labelcolor': INK, 'text.color': INK, 'axes.edgecolor': GREY, 'xtick.color': INK,
    'ytick.color': INK, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True, 'grid.color': FAINT,
    'grid.linewidth': 0.8, 'axes.axisbelow': True, 'legend.frameon': False, 'legend.fontsize': 9,
    'figure.constrained_layout.use': True, 'lines.linewidth': 1.6, 'savefig.dpi': 140,
}


@contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure in the house style, saved to ``path`` when the block ends.

    Args:
        path: File to write.
        width: [inch]
        height: [inch]
    """
    with plt.rc_context(_LOOK):
        drawn = plt.figure(figsize=(width, height))
        try:
            yield drawn
            drawn.savefig(path)
        finally:
            plt.close(drawn)

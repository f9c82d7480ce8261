"""Notices a fall: the base is tilted further than allowed for longer than allowed."""

from __future__ import annotations

import math

import numpy as np

from rl_robot_control.shield.body import Watch
from rl_robot_control.types import BoolArray, FloatArray


class TiltMonitor:
    """Angle between the base's and the world's z axis, watched over time.

    cos(tilt) = 1 - 2 (x² + y²) for a unit quaternion, so the check needs no inverse cosine.

    Args:
        num_robots: N.
        limit: [rad]
        duration: [s]
    """

    def __init__(self, num_robots: int, limit: float, duration: float) -> None:
        self._largest = largest_tilt(limit)
        self._watch = Watch(num_robots, duration)
        self._dirty = False  # the watch may be running

    def clear(self, index) -> None:
        """Forget the past of some robots."""
        self._watch.clear(index)

    def tilted(self, squares: FloatArray) -> BoolArray:
        """Whether each base is tilted too far (N,), from the squared quaternions (N, 4)."""
        return squares[:, 0] + squares[:, 1] > self._largest * np.add.reduce(squares, axis=1)

    def forgive(self) -> None:
        """Every base is upright now; then nothing is remembered."""
        if self._dirty:
            self._watch.clear(slice(None))
            self._dirty = False

    def update(self, squares: FloatArray, usable: BoolArray, now: float) -> BoolArray:
        """Which robots have been tilted for too long, (N,).

        Args:
            squares: (N, 4) squared quaternions.
            usable: (N,) whether they are valid; where not, nothing is learned and nothing forgotten.
            now: [s]
        """
        self._dirty = True
        return self._watch.update(self.tilted(squares), usable, now)


def largest_tilt(limit: float) -> float:
    """x² + y² of a unit quaternion that is tilted by ``limit`` [rad]."""
    return (1 - math.cos(limit)) / 2

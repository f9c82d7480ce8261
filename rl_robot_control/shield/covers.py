"""Covers collision shapes by rounded boxes, whose distances are quickly found.

A rounded box is all points no farther than a radius from a box; with one long edge it is a capsule, with none a ball. Each
convex shape gets the smallest box or capsule that is found around it. A cover holds all of its shape, so links keep apart
if their covers do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_robot_control.shield.link_tree import Shape
from rl_robot_control.types import FloatArray

_ANGLES = np.arange(30) * np.deg2rad(3)  # tried about each axis of a box
_PASSES = 2  # over the axes
_CIRCLE_STEPS = 50


@dataclass(frozen=True)
class RoundedBox:
    """In the frame of its link."""

    centre: FloatArray  # (3,) [m]
    axes: FloatArray  # (3, 3) of the box, as columns
    half: FloatArray  # (3,) half edges [m]
    radius: float  # [m]

    @property
    def volume(self) -> float:
        """Its volume [m³]."""
        (a, b, c), r = 2 * self.half, self.radius
        return float(a * b * c + 2 * r * (a * b + b * c + a * c) + np.pi * r * r * (a + b + c) + 4 / 3 * np.pi * r**3)

    @property
    def ball(self) -> float:
        """Radius of the ball around it [m]."""
        return float(np.linalg.norm(self.half)) + self.radius


def cover(shape: Shape) -> RoundedBox:
    """The smallest rounded box found that holds a shape."""
    axes = _axes(shape.corners)
    candidates = [_box(shape, axes), *(_capsule(shape, np.roll(axes, -axis, axis=1)) for axis in range(3))]
    return min(candidates, key=lambda box: box.volume)


def _axes(corners: FloatArray) -> FloatArray:
    """Axes of a small box around corners: the principal ones, turned about each other as long as it shrinks."""
    _, _, rows = np.linalg.svd(corners - corners.mean(axis=0), full_matrices=True)
    axes, c, s = rows.T.copy(), np.cos(_ANGLES), np.sin(_ANGLES)
    for axis in list(range(3)) * _PASSES:
        a, b = (axis + 1) % 3, (axis + 2) % 3
        flat = corners @ axes[:, [a, b]]
        area = np.ptp(np.outer(flat[:, 0], c) + np.outer(flat[:, 1], s), axis=0) * np.ptp(
            np.outer(flat[:, 1], c) - np.outer(flat[:, 0], s), axis=0)
        best = area.argmin()
        axes[:, a], axes[:, b] = c[best] * axes[:, a] + s[best] * axes[:, b], c[best] * axes[:, b] - s[best] * axes[:, a]
    return axes


def _box(shape: Shape, axes: FloatArray) -> RoundedBox:
    along = shape.corners @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    return RoundedBox(axes @ ((low + high) / 2), axes, (high - low) / 2, shape.radius)


def _capsule(shape: Shape, axes: FloatArray) -> RoundedBox:
    """The shortest capsule along the first axis with nearly the least radius."""
    along = shape.corners @ axes
    middle = _middle(along[:, 1:])
    squares = ((along[:, 1:] - middle) ** 2).sum(axis=1)
    ends = np.sqrt(squares.max() - squares)  # how far each corner may lie beyond the axis' end
    low, high = (along[:, 0] + ends).min(), (along[:, 0] - ends).max()
    half = max((high - low) / 2, 0.0)
    return RoundedBox(axes @ [(low + high) / 2, *middle], axes, np.array([half, 0.0, 0.0]),
                      float(np.sqrt(squares.max())) + shape.radius)


def _middle(points: FloatArray) -> FloatArray:
    """Centre of nearly the smallest circle around points (V, 2) (Bădoiu and Clarkson, 2003)."""
    centre = points.mean(axis=0)
    for step in range(1, _CIRCLE_STEPS + 1):
        farthest = points[((points - centre) ** 2).sum(axis=1).argmax()]
        centre = centre + (farthest - centre) / (step + 1)
    return centre

"""Command terms: ``(random, count, **parameters) -> (count, 3)`` what the policy is asked for next."""

from __future__ import annotations

import numpy as np

from rl_robot_control.types import FloatArray


def velocity(random: np.random.Generator, count: int, *, vx: tuple[float, float], vy: tuple[float, float] = (0.0, 0.0),
             wz: tuple[float, float] = (0.0, 0.0), standing: float = 0.0, straight: float = 0.0) -> FloatArray:
    """Velocities drawn evenly from ranges.

    Args:
        random: Source of randomness.
        count: How many.
        vx: Forward [m/s].
        vy: To the left [m/s].
        wz: Yaw rate [rad/s].
        standing: Share that is zero.
        straight: Share without yaw rate.
    """
    low, high = np.array([vx, vy, wz], dtype=np.float64).T
    command = random.uniform(low, high, (count, 3))
    kind = random.random(count)
    command[kind < standing] = 0.0
    command[kind > 1 - straight, 2] = 0.0
    return command


def target(random: np.random.Generator, count: int, *, low: tuple[float, float, float],
           high: tuple[float, float, float]) -> FloatArray:
    """Points drawn evenly from a box in the base frame [m]."""
    return random.uniform(low, high, (count, 3))


def arc_target(random: np.random.Generator, count: int, *, center: tuple[float, float, float], radius: float,
               angle: tuple[float, float]) -> FloatArray:
    """Points on an arc about the base's y axis, in the base frame [m]; at an angle of zero they hang below its centre.

    Args:
        random: Source of randomness.
        count: How many.
        center: Of the arc [m].
        radius: Of the arc [m].
        angle: Range [rad].
    """
    turned = random.uniform(*angle, count)
    points = np.tile(np.asarray(center, dtype=np.float64), (count, 1))
    points[:, 0] -= radius * np.sin(turned)
    points[:, 2] -= radius * np.cos(turned)
    return points


def none(random: np.random.Generator, count: int) -> FloatArray:
    """Nothing: zeros."""
    return np.zeros((count, 3))

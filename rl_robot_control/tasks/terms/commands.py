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

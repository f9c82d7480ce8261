"""Disturbance terms: ``(random, count, period, **parameters) -> (mask (N,), velocity change (N, 6))``."""

from __future__ import annotations

import numpy as np

from rl_robot_control.types import BoolArray, FloatArray


def push(random: np.random.Generator, count: int, period: float, *, speed: float,
         interval: float) -> tuple[BoolArray, FloatArray]:
    """Shove the base by up to ± speed [m/s] in x and y, on average once per interval [s]."""
    change = np.zeros((count, 6))
    change[:, :2] = random.uniform(-speed, speed, (count, 2))
    return random.random(count) < period / interval, change

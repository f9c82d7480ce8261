"""What the operator asks for: a velocity, or a target, that is finite, inside the policy's range, and recent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rl_robot_control.types import FloatArray


class VelocityCommand:
    """The latest velocity command; zero until one arrives and when none has arrived for a while.

    Args:
        lower: (3,) smallest vx, vy [m/s] and wz [rad/s] that the policy was trained for.
        upper: (3,) largest.
        timeout: Age from which a command no longer counts [s].

    Attributes:
        refused: How many commands were not finite.
        clamped: How many commands lay outside the range.
    """

    what, axes = 'velocity', ('vx [m/s]', 'vy [m/s]', 'wz [rad/s]')

    def __init__(self, lower: Sequence[float], upper: Sequence[float], timeout: float) -> None:
        self._lower, self._upper, self._timeout = tuple(lower), tuple(upper), timeout
        self._value, self._zero = np.zeros((1, 3)), np.zeros((1, 3))
        self._received = -math.inf
        self.refused = self.clamped = 0

    def set_range(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        """Take another policy's range; what was received before counts within it."""
        self._lower, self._upper = tuple(lower), tuple(upper)
        np.clip(self._value, self._lower, self._upper, out=self._value)

    def receive(self, values: Sequence[float], now: float) -> str | None:
        """Take a command.

        Args:
            values: vx, vy [m/s], wz [rad/s]; not finite: the command is refused and the one before stays in force.
            now: Time of arrival [s].

        Returns:
            What to tell the operator when a command is refused or clamped for the first time, else None.
        """
        if not all(map(math.isfinite, values)):
            self.refused += 1
            return f'refused the {self.what} command {tuple(values)}: it is not finite.' if self.refused == 1 else None
        outside = False
        for i, (value, lower, upper) in enumerate(zip(values, self._lower, self._upper)):
            self._value[0, i] = min(max(value, lower), upper)
            outside |= not lower <= value <= upper
        self._received = now
        self.clamped += outside
        return self._explain(values) if outside and self.clamped == 1 else None

    def at(self, now: float) -> FloatArray:
        """The command (1, 3) in force; do not write into it."""
        return self._value if now - self._received <= self._timeout else self._zero

    def timed_out(self, now: float) -> bool:
        """Whether no command is in force."""
        return now - self._received > self._timeout

    def _explain(self, values: Sequence[float]) -> str:
        bounds = zip(self.axes, values, self._lower, self._upper)
        findings = [f'{axis} {value:g} is outside [{lower:g}, {upper:g}]' for axis, value, lower, upper in bounds
                    if not lower <= value <= upper]
        found = ', '.join(findings)
        return f"{self.what} command clamped to the policy's range: {found} (said once; see the diagnostics)."


class TargetCommand(VelocityCommand):
    """The latest target point in the base frame; it stays, and before the first one it is the middle of the range.

    Args:
        lower: (3,) smallest x, y, z that the policy was trained for [m].
        upper: (3,) largest.
    """

    what, axes = 'target', ('x [m]', 'y [m]', 'z [m]')

    def __init__(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        super().__init__(lower, upper, math.inf)
        self.set_range(lower, upper)

    def set_range(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        """See ``VelocityCommand``."""
        super().set_range(lower, upper)
        self._zero = (np.array([lower], dtype=np.float64) + np.array([upper])) / 2

    def at(self, now: float) -> FloatArray:
        """See ``VelocityCommand``."""
        return self._zero if math.isinf(self._received) else self._value

"""Bounds on the third derivative of the reference and on the change of the torque that it asks for, where they are set.

Both are wishes below the other limits: where staying in position, velocity, acceleration or effort needs a faster change,
the change happens and is counted as a conflict.
"""

from __future__ import annotations

import numpy as np

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import BoolArray, FloatArray


class RateLimits:
    """Intervals of targets within which jerk and torque rate keep their bounds.

    Args:
        limits: With ``jerk`` or ``torque_rate``.
        period: Control period [s].
        num_robots: N.
    """

    def __init__(self, limits: ShieldLimits, period: float, num_robots: int) -> None:
        shape = (num_robots, limits.num_joints)
        self._limits, self._period = limits, period
        self._velocity, self._acceleration = np.zeros(shape), np.zeros(shape)  # of the reference
        self._torque = np.full(shape, np.nan)  # asked for in the last cycle [N·m]; NaN: none, the drive only damped
        self.jerk: tuple[FloatArray, FloatArray] | None = None
        self.torque: tuple[FloatArray, FloatArray] | None = None

    def restart(self, index) -> None:
        """Some references start anew, at rest."""
        self._velocity[index] = self._acceleration[index] = 0.0
        self._torque[index] = np.nan

    def limit(self, target: FloatArray, reference: FloatArray, position: FloatArray, velocity: FloatArray,
              elapsed: float) -> FloatArray:
        """The nearest target (N, J) within both bounds; of the two, torque rate comes first.

        Args:
            target: (N, J) [rad]
            reference: (N, J) the latest one [rad]
            position: (N, J) measured [rad]
            velocity: (N, J) measured [rad/s]
            elapsed: Time that this cycle counts as, above 0 [s].
        """
        limits = self._limits
        if limits.jerk is not None:
            change = limits.jerk * elapsed
            centre = reference + elapsed * (self._velocity + elapsed * self._acceleration)
            self.jerk = centre - elapsed**2 * change, centre + elapsed**2 * change
            target = np.clip(target, *self.jerk)
        if limits.torque_rate is not None:
            free = -limits.damping * velocity
            centre = position - (free - np.where(np.isnan(self._torque), free, self._torque)) / limits.stiffness
            change = limits.torque_rate * elapsed / limits.stiffness
            self.torque = centre - change, centre + change
            target = np.clip(target, *self.torque)
        return target

    def move(self, chosen: FloatArray, reference: FloatArray, position: FloatArray, velocity: FloatArray,
             elapsed: float) -> None:
        """Take the chosen reference (N, J); ``reference`` is the one before."""
        limits = self._limits
        speed = (chosen - reference) / elapsed
        self._acceleration = (speed - self._velocity) / elapsed
        self._velocity = speed
        self._torque = limits.stiffness * (chosen - position) - limits.damping * velocity

    def broken(self, chosen: FloatArray) -> BoolArray:
        """Where a choice (N, J) is outside the latest intervals by more than rounding."""
        outside = np.zeros(chosen.shape, dtype=bool)
        for interval in (self.jerk, self.torque):
            if interval is not None:
                outside |= (chosen < interval[0] - 1e-12) | (chosen > interval[1] + 1e-12)
        return outside

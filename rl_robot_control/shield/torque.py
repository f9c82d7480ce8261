"""Keeps position targets where a PD drive asks for no more than the allowed effort, and for none into a limit."""

from __future__ import annotations

import numpy as np

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import FloatArray


OVERSHOOT_SLOPE = 2.0  # how far a target may lie beyond the limit per distance that the joint has left [-]


class TorqueBox:
    """Interval of position targets around the measured position.

    The drive's torque is kp·(target - q) - kd·v, so |torque| <= effort means
    target in q + (kd·v ± effort) / kp.

    Where targets may overshoot the position limits, they may do so by twice the distance that the measured joint has
    left to its limit: at the limit the drive no longer pushes outward.

    Args:
        limits: Effort and the drive's gains.
        num_robots: N.
    """

    def __init__(self, limits: ShieldLimits, num_robots: int) -> None:
        self._lag = limits.damping / limits.stiffness  # [s]
        self._reach = limits.effort / limits.stiffness  # [rad]
        self._limits, self._overshoots = limits, bool(np.any(limits.overshoot))
        shape = (num_robots, limits.num_joints)
        self._centre, self._lower, self._upper = np.empty(shape), np.empty(shape), np.empty(shape)

    def interval(self, position: FloatArray, velocity: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest target (N, J) [rad]; the arrays are overwritten by the next call."""
        np.multiply(velocity, self._lag, out=self._centre)
        np.add(self._centre, position, out=self._centre)
        np.subtract(self._centre, self._reach, out=self._lower)
        np.add(self._centre, self._reach, out=self._upper)
        if self._overshoots:
            self._taper(position)
        return self._lower, self._upper

    def _taper(self, position: FloatArray) -> None:
        """Let no target lie further beyond a limit than the joint's own distance from it allows."""
        lower, upper = self._limits.position_lower, self._limits.position_upper
        room = OVERSHOOT_SLOPE * np.maximum(upper - position, 0.0)
        np.minimum(self._upper, upper + room, out=self._upper)
        room = OVERSHOOT_SLOPE * np.maximum(position - lower, 0.0)
        np.maximum(self._lower, lower - room, out=self._lower)

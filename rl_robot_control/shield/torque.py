"""Keeps position targets where a PD drive asks for no more than the allowed effort."""

from __future__ import annotations

import numpy as np

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import FloatArray


class TorqueBox:
    """Interval of position targets around the measured position.

    The drive's torque is kp·(target - q) - kd·v, so |torque| <= effort means
    target in q + (kd·v ± effort) / kp.

    Args:
        limits: Effort and the drive's gains.
        num_robots: N.
    """

    def __init__(self, limits: ShieldLimits, num_robots: int) -> None:
        self._lag = limits.damping / limits.stiffness  # [s]
        self._reach = limits.effort / limits.stiffness  # [rad]
        shape = (num_robots, limits.num_joints)
        self._centre, self._lower, self._upper = np.empty(shape), np.empty(shape), np.empty(shape)

    def interval(self, position: FloatArray, velocity: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest target (N, J) [rad]; the arrays are overwritten by the next call."""
        np.multiply(velocity, self._lag, out=self._centre)
        np.add(self._centre, position, out=self._centre)
        np.subtract(self._centre, self._reach, out=self._lower)
        np.add(self._centre, self._reach, out=self._upper)
        return self._lower, self._upper

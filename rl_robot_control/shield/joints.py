"""The limits of single joints: position, velocity, acceleration, jerk, torque, torque rate."""

from __future__ import annotations

import numpy as np

from rl_robot_control.shield import kernel
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import BoolArray, FloatArray


class JointBounds:
    """References that can always brake before their limits.

    Args:
        limits: Of J joints.
        period: Control period [s].
        num_robots: N.
    """

    def __init__(self, limits: ShieldLimits, period: float, num_robots: int) -> None:
        self.constants = joint_constants(limits)
        shape = (num_robots, limits.num_joints)
        self._memory, self._period = np.zeros((kernel.ROWS, *shape)), period
        self.restart(np.zeros(shape), slice(None))

    @property
    def reference(self) -> FloatArray:
        """The latest reference (N, J) [rad]."""
        return self._memory[kernel.REFERENCE]

    def restart(self, position: FloatArray, index) -> None:
        """Let some references start at rest.

        Args:
            position: (M, J) [rad]
            index: Which robots.
        """
        self._memory[kernel.REFERENCE, index] = position
        for row in (kernel.MOTION, kernel.ACCELERATION):
            self._memory[row, index] = 0.0
        self._memory[kernel.TORQUE, index] = np.nan

    def limit(self, target: FloatArray, position: FloatArray, velocity: FloatArray, active: BoolArray,
              following: BoolArray, usable: BoolArray, elapsed: float,
              flags: BoolArray) -> tuple[FloatArray, BoolArray]:
        """Move the references.

        Args:
            target: (N, J) [rad]; read for active robots only, the others brake.
            position: (N, J) measured; the reference where unknown [rad].
            velocity: (N, J) measured; 0 where unknown [rad/s].
            active: (N,) robots that follow their target.
            following: (N,) robots that follow their reference; the others' target is the measured pose.
            usable: (N,) robots whose state is known.
            elapsed: Time that this cycle counts as, 0 to one control period [s].
            flags: (CHECKS, N, J) of False; receives which check acted where.

        Returns:
            Targets (N, J) [rad], NaN where nothing is known; and whether a limit had to yield (N,).
        """
        output, conflicts = np.empty_like(target), np.empty(len(target), dtype=bool)
        kernel.limit(self.constants, self._memory, target, position, velocity, active, following, usable, elapsed,
                     self._period, output, flags, conflicts)
        return output, conflicts

    def faults(self, position: FloatArray, velocity: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Which robots (N,) have a joint too far beyond its limits, or too fast, to be believed or stopped."""
        with np.errstate(invalid='ignore'):
            far = np.abs(position - self.constants['middle']) > self.constants['half']
            return far.any(axis=1), (np.abs(velocity) > self.constants['too_fast']).any(axis=1)


def joint_constants(limits: ShieldLimits) -> np.ndarray:
    """What ``kernel`` needs to know of each joint (J,)."""
    joints = np.zeros(limits.num_joints, dtype=kernel.JOINT)
    for name in ('overshoot', 'velocity', 'acceleration', 'effort', 'stiffness', 'damping'):
        joints[name] = getattr(limits, name)
    joints['lower'], joints['upper'] = limits.position_lower, limits.position_upper
    joints['jerk'] = np.inf if limits.jerk is None else limits.jerk
    joints['torque_rate'] = np.inf if limits.torque_rate is None else limits.torque_rate
    joints['half'] = joints['too_fast'] = np.inf
    if limits.stops is not None:
        lower, upper = limits.stops
        finite = np.isfinite(lower) & np.isfinite(upper)
        lower, upper = np.where(finite, lower, 0.0), np.where(finite, upper, 0.0)
        joints['middle'] = (lower + upper) / 2
        joints['half'] = np.where(finite, (upper - lower) / 2 + limits.measured_position_fault, np.inf)
        joints['too_fast'] = limits.measured_velocity_fault
    return joints

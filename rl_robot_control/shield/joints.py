"""The limits of single joints: position, velocity, acceleration, jerk, torque, torque rate, and the measured joint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_robot_control.shield import kernel
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import BoolArray, FloatArray


@dataclass(frozen=True, kw_only=True)
class Bounded:
    """What one cycle's limits make of N robots' targets; the arrays are overwritten by the next cycle."""

    chosen: FloatArray  # (N, J) next references, before the geometry [rad]
    lower: FloatArray  # (N, J) between these they must be [rad]
    upper: FloatArray
    brake: FloatArray  # (N, J) where full braking leads [rad]


class JointBounds:
    """References that can always brake before their limits, and targets that keep the measured joints from theirs.

    Args:
        limits: Of J joints.
        period: Control period [s].
        num_robots: N.
    """

    def __init__(self, limits: ShieldLimits, period: float, num_robots: int) -> None:
        self.constants, self.watched = joint_constants(limits, period), limits.inertia is not None
        shape = (num_robots, limits.num_joints)
        self._memory, self._chosen = np.zeros((kernel.ROWS, *shape)), np.zeros(shape)
        self._bounded = Bounded(chosen=self._chosen, lower=self._memory[kernel.LOWER],
                                upper=self._memory[kernel.UPPER], brake=self._memory[kernel.BRAKE])
        self.period, self._elapsed = period, period
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
        for row in (kernel.TORQUE, kernel.SLOWEST, kernel.QUICKEST):
            self._memory[row, index] = np.nan

    def bound(self, target: FloatArray, position: FloatArray, velocity: FloatArray, active: BoolArray,
              elapsed: float) -> Bounded:
        """Limit the targets of one cycle.

        Args:
            target: (N, J) [rad]; read for active robots only, the others brake.
            position: (N, J) measured, finite [rad].
            velocity: (N, J) measured, finite [rad/s].
            active: (N,) robots that follow their target.
            elapsed: Time that this cycle counts as, 0 to one control period [s].
        """
        self._elapsed = elapsed
        kernel.bound(self.constants, self._memory, target, position, velocity, active, elapsed, self.period, self._chosen)
        return self._bounded

    def settle(self, chosen: FloatArray, position: FloatArray, velocity: FloatArray, following: BoolArray,
               usable: BoolArray, regular: bool, active: BoolArray) -> tuple[FloatArray, BoolArray, BoolArray]:
        """Take the chosen references.

        Args:
            chosen: (N, J) within the bounds [rad].
            position: (N, J) measured; the reference where unknown [rad].
            velocity: (N, J) measured; 0 where unknown [rad/s].
            following: (N,) robots that follow their reference; the others' target is the measured pose.
            usable: (N,) robots whose state is known.
            regular: Whether about one control period has passed since the last cycle.
            active: (CHECKS, N, J) of False; receives which check acted where.

        Returns:
            Targets (N, J) [rad], NaN where nothing is known; whether a limit had to yield (N,); and whether a target
            was changed for a measured joint's sake (N,).
        """
        output, (conflicts, held) = np.empty_like(chosen), np.empty((2, len(chosen)), dtype=bool)
        kernel.settle(self.constants, self._memory, chosen, position, velocity, following, usable, self._elapsed,
                      self.period, regular, self.watched, output, active, conflicts, held)
        return output, conflicts, held

    def faults(self, position: FloatArray, velocity: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Which robots (N,) have a joint so far beyond its limits, or so fast, that it cannot be believed or stopped."""
        with np.errstate(invalid='ignore'):
            far = np.abs(position - self.constants['middle']) > self.constants['half']
            return far.any(axis=1), (np.abs(velocity) > self.constants['too_fast']).any(axis=1)


def joint_constants(limits: ShieldLimits, period: float) -> np.ndarray:
    """What ``kernel`` needs to know of each joint (J,); a joint that is not watched has no faults.

    Args:
        limits: Of J joints.
        period: Control period [s].
    """
    joints = np.zeros(limits.num_joints, dtype=kernel.JOINT)
    for name in ('overshoot', 'velocity', 'acceleration', 'effort', 'stiffness', 'damping'):
        joints[name] = getattr(limits, name)
    joints['lower'], joints['upper'] = limits.position_lower, limits.position_upper
    joints['jerk'] = np.inf if limits.jerk is None else limits.jerk
    joints['torque_rate'] = np.inf if limits.torque_rate is None else limits.torque_rate
    joints['half'] = joints['too_fast'] = np.inf
    if limits.inertia is not None:
        _add_measured(joints, limits, period)
    return joints


def _add_measured(joints: np.ndarray, limits: ShieldLimits, period: float) -> None:
    cycles = [_cycle(inertia, limits.damping, period) for inertia in limits.inertia]
    for which, (decay, gain, _, _) in zip(('light', 'heavy'), cycles, strict=True):
        joints[f'{which}_decay'], joints[f'{which}_gain'] = decay, gain * limits.stiffness
    joints['ahead'] = np.maximum(*(coast - decay * push / gain for decay, gain, coast, push in cycles))
    joints['span'] = np.maximum(*(push / gain + coast for _, gain, coast, push in cycles))
    joints['braking'], joints['fastest'] = limits.braking, limits.measured_velocity
    joints['too_fast'] = limits.measured_velocity_fault * limits.measured_velocity
    lower, upper = limits.stops or (limits.position_lower, limits.position_upper)
    finite = np.isfinite(lower) & np.isfinite(upper)
    lower, upper = np.where(finite, lower, 0.0), np.where(finite, upper, 0.0)
    joints['middle'] = (lower + upper) / 2
    joints['half'] = np.where(finite, (upper - lower) / 2 + limits.measured_position_fault, np.inf)


def _cycle(inertia: FloatArray, damping: FloatArray, period: float) -> tuple[FloatArray, ...]:
    """e, g, p and h of ``kernel._measured_bound`` for each joint."""
    rate = damping * period / inertia
    small = rate < 1e-4  # series, where the formula would divide zero by zero
    safe = np.where(small, 1.0, rate)
    gain = period / inertia * np.where(small, 1 - rate / 2, -np.expm1(-safe) / safe)
    push = period**2 / inertia * np.where(small, 0.5 - rate / 6, (safe + np.expm1(-safe)) / safe**2)
    return np.exp(-rate), gain, inertia * gain, push

"""Keeps the position reference where it can always stop in time.

With the bound A on acceleration and the time T of a cycle, a joint that has the distance d left may move with at most

    V(d) = -A·T + sqrt((A·T)² + 2·A·d)

and a cycle may change the velocity by A·T. If v <= V(d), the distance left after the cycle, d' = d - T·v, satisfies
2·A·d' >= v², so V'(d') >= -A·T' + sqrt((A·T')² + v²) >= v - A·T': full braking is admissible in the next cycle,
whatever its length T'. The invariant therefore holds under jitter. (Derivation: docs/safety.md.)
"""

from __future__ import annotations

import numpy as np

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import BoolArray, FloatArray


class ViableReference:
    """The latest reference of N robots and the interval from which the next one may be chosen.

    Both directions are worked out at once: arrays with a leading axis of two hold the joint's coordinate in row 0 and
    its negative in row 1, so each row only looks at an upper bound. Displacements are per control period [rad].

    Args:
        limits: Position, velocity and acceleration bounds.
        period: Control period [s].
        num_robots: N.
    """

    def __init__(self, limits: ShieldLimits, period: float, num_robots: int) -> None:
        shape = (2, num_robots, limits.num_joints)
        self._limits, self._period = limits, period
        self._limit = np.stack([limits.position_upper, -limits.position_lower])[:, None, :] + limits.overshoot
        self._nominal = _per_cycle(limits, period)
        self._at, self._motion = np.zeros(shape), np.zeros(shape)
        self._next, self._reach, self._wall = np.empty(shape), np.empty(shape), np.empty(shape)
        self._distance, self._change = np.empty(shape), np.empty(shape)  # allowances of position and acceleration
        self._lower = np.empty(shape[1:])
        self._constants, self._scale = self._nominal, 1.0

    @property
    def position(self) -> FloatArray:
        """The reference (N, J) [rad]."""
        return self._at[0]

    def restart(self, position: FloatArray, index) -> None:
        """Let some references start at rest.

        Args:
            position: (M, J) [rad]
            index: Which robots.
        """
        self._at[0][index] = position
        self._at[1][index] = -position
        self._motion[:, index] = 0.0

    def interval(self, elapsed: float) -> tuple[FloatArray, FloatArray]:
        """Lowest and highest next reference (N, J) [rad]; the arrays are overwritten by the next call.

        Args:
            elapsed: Time that this cycle counts as, above 0 and at most the control period [s].
        """
        self._constants, self._scale = self._nominal, 1.0
        room, change, reach = self._distance, self._change, self._reach
        np.maximum(self._limit, self._at, out=self._wall)
        if elapsed != self._period:
            self._constants, self._scale = _per_cycle(self._limits, elapsed), elapsed / self._period
        step, step_squared, step_twice, fastest = self._constants
        np.multiply(self._motion, self._scale, out=change)
        np.add(change, step, out=change)
        np.subtract(self._limit, self._at, out=room)
        np.maximum(room, 0.0, out=room)  # outside the limits: only inward
        np.multiply(room, step_twice, out=room)
        np.add(room, step_squared, out=room)
        np.sqrt(room, out=room)
        np.subtract(room, step, out=room)
        np.minimum(room, change, out=reach)
        np.minimum(reach, fastest, out=reach)
        np.add(reach, self._at, out=reach)
        np.minimum(reach, self._wall, out=reach)
        np.negative(reach[1], out=self._lower)
        return self._lower, reach[0]

    def braking_target(self) -> FloatArray:
        """Where full braking leads in this cycle (N, J) [rad]; call it after ``interval``."""
        motion, step = self._motion[0] * self._scale, self._constants[0]
        return self._at[0] + np.copysign(np.maximum(np.abs(motion) - step, 0.0), motion)

    def clamp(self, target: FloatArray) -> FloatArray:
        """The next reference (N, J) [rad] for a target, within the latest interval."""
        chosen = np.maximum(target, self._lower)
        np.minimum(chosen, self._reach[0], out=chosen)
        # the bounds may cross by a rounding error; the position limit has the last word
        return np.maximum(chosen, -self._wall[1], out=chosen)

    def move(self, chosen: FloatArray) -> None:
        """Take the chosen reference."""
        np.copyto(self._next[0], chosen)
        np.negative(chosen, out=self._next[1])
        np.subtract(self._next, self._at, out=self._motion)
        if self._scale != 1.0:
            self._motion /= self._scale
        self._at, self._next = self._next, self._at

    def explain(self, target: FloatArray, chosen: FloatArray, index: np.ndarray) -> BoolArray:
        """Which bounds a target exceeded; call it before ``move``.

        Args:
            target: (M,) requested [rad]
            chosen: (M,) clamped [rad]
            index: (M,) of these joints in the flattened (N, J).

        Returns:
            Masks (3, M) for position, velocity and acceleration; False where target and chosen agree.
        """
        down = target < chosen
        wanted = target - self._at[0].take(index)
        np.negative(wanted, out=wanted, where=down)
        place, allowed = index + down * self._at[0].size, np.empty((3, len(index)))
        self._distance.take(place, out=allowed[0])
        self._constants[3].take(index % self._limits.num_joints, out=allowed[1])
        self._change.take(place, out=allowed[2])
        # the tightest one is named even where rounding hides by how little it was exceeded
        exceeded = (wanted > allowed) | (allowed == allowed.min(axis=0))
        return exceeded & (target != chosen)


def _per_cycle(limits: ShieldLimits, elapsed: float) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    step = limits.acceleration * elapsed * elapsed  # change of displacement [rad]
    return step, step * step, 2 * step, limits.velocity * elapsed

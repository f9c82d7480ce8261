"""Watches the measured joints: brakes one that could otherwise not stop before its limit, or that is too fast.

In one cycle of length T under the constant force F that the gains add to the drive's own damping kd, a joint of inertia
I goes from velocity v to e·v + g·F and by p·v + h·F, with

    e = exp(-kd·T/I)    g = (1 - e)/kd    p = I·g    h = (T - p)/kd

Afterwards it must be able to stop within the distance d that is left, braking at b, one cycle of delay included. So the
velocity v' after the cycle may be at most the root of v'²/(2·b) + H·v' = d - c·v, where H = h/g + p and c = p - e·h/g.
That gives F, and the target q + F/kp. The inertia changes with the pose and with the other joints: forces toward a limit
are judged by the lightest and braking forces by the heaviest. (Derivation and limits: docs/safety.md.)
"""

from __future__ import annotations

import numpy as np

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import BoolArray, FloatArray

RECOVERY = 0.5  # fastest return of a joint that is beyond its limit [rad/s]


class MeasuredMonitor:
    """Interval of targets for which the measured joints stay inside their limits.

    Arrays with a leading axis of two hold the joint's coordinate in row 0 and its negative in row 1.

    Args:
        limits: With ``inertia``, ``braking`` and ``measured_velocity``.
        period: Control period [s].
        num_robots: N.
    """

    def __init__(self, limits: ShieldLimits, period: float, num_robots: int) -> None:
        shape = (2, num_robots, limits.num_joints)
        light, heavy = (_cycle(inertia, limits.damping, period) for inertia in limits.inertia)
        ahead = np.maximum(light.ahead, heavy.ahead)  # c [s]
        span = np.maximum(light.span, heavy.span)  # H [s]
        braking = limits.braking  # b [rad/s²]
        self._wall = np.stack([limits.position_upper, -limits.position_lower])[:, None, :]
        self._ahead, self._per_span, self._fastest = ahead, 1 / span, limits.measured_velocity
        self._offset, self._offset_squared, self._twice = braking * span, (braking * span)**2, 2 * braking
        self._light, self._heavy = [(1 / (c.gain * limits.stiffness), c.decay / (c.gain * limits.stiffness))
                                    for c in (light, heavy)]
        self._lag, self._reach = limits.damping / limits.stiffness, limits.effort / limits.stiffness
        self._at, self._speed, self._room = np.empty(shape), np.empty(shape), np.empty(shape)
        self._beyond, self._bound, self._other = np.empty(shape), np.empty(shape), np.empty(shape)
        lower, upper = limits.stops or (limits.position_lower, limits.position_upper)
        finite = np.isfinite(lower) & np.isfinite(upper)
        lower, upper = np.where(finite, lower, 0.0), np.where(finite, upper, 0.0)
        self._middle = (lower + upper) / 2
        self._half = np.where(finite, (upper - lower) / 2 + limits.measured_position_fault, np.inf)
        self._too_fast = limits.measured_velocity_fault * limits.measured_velocity

    def apply(self, target: FloatArray, position: FloatArray, velocity: FloatArray) -> FloatArray:
        """The target (N, J) [rad] or, where it would drive a joint into its limit or too fast, the nearest that does not.

        Args:
            target: (N, J) [rad]
            position: (N, J) measured [rad]
            velocity: (N, J) measured [rad/s]
        """
        upper = self._upper(position, velocity)
        np.negative(upper[1], out=upper[1])
        kept = np.maximum(target, upper[1])
        return np.minimum(kept, upper[0], out=kept)

    def all_well(self, position: FloatArray, velocity: FloatArray) -> bool:
        """Whether no joint of any robot is a fault; the quick form of ``faults``."""
        distance = np.abs(position - self._middle)
        return not np.count_nonzero(distance > self._half) and not np.count_nonzero(np.abs(velocity) > self._too_fast)

    def faults(self, position: FloatArray, velocity: FloatArray) -> tuple[BoolArray, BoolArray]:
        """Which robots (N,) have a joint so far beyond its limits, or so fast, that it cannot be believed or stopped."""
        with np.errstate(invalid='ignore'):
            far = np.abs(position - self._middle) > self._half
            return far.any(axis=1), (np.abs(velocity) > self._too_fast).any(axis=1)

    def _upper(self, position: FloatArray, velocity: FloatArray) -> FloatArray:
        """Highest target of the joint's coordinate and of its negative (2, N, J) [rad]."""
        at, speed, room, beyond, bound, other = (self._at, self._speed, self._room, self._beyond, self._bound,
                                                 self._other)
        at[0], speed[0] = position, velocity
        np.negative(position, out=at[1])
        np.negative(velocity, out=speed[1])
        np.multiply(speed, self._ahead, out=room)
        np.add(room, at, out=room)
        np.subtract(self._wall, room, out=room)  # d - c·v
        np.multiply(room, self._per_span, out=beyond)
        np.minimum(beyond, 0.0, out=beyond)
        np.maximum(beyond, -RECOVERY, out=beyond)  # beyond the limit: back, slowly
        np.maximum(room, 0.0, out=room)
        np.multiply(room, self._twice, out=room)
        np.add(room, self._offset_squared, out=room)
        np.sqrt(room, out=room)
        np.subtract(room, self._offset, out=room)
        np.add(room, beyond, out=room)
        np.multiply(room, self._light[0], out=bound)  # from the velocity after the cycle to the force
        np.subtract(bound, np.multiply(speed, self._light[1], out=other), out=bound)
        np.minimum(room, self._fastest, out=room)
        np.multiply(room, self._heavy[0], out=room)
        np.subtract(room, np.multiply(speed, self._heavy[1], out=other), out=room)
        np.minimum(bound, room, out=bound)
        np.multiply(speed, self._lag, out=speed)
        np.subtract(speed, self._reach, out=speed)  # the drive has no more than its effort
        np.maximum(bound, speed, out=bound)
        return np.add(bound, at, out=bound)


class _Cycle:
    """What a force does to a joint in one cycle; see the module's description."""

    def __init__(self, decay: FloatArray, gain: FloatArray, coast: FloatArray, push: FloatArray) -> None:
        self.decay, self.gain = decay, gain
        self.span, self.ahead = push / gain + coast, coast - decay * push / gain


def _cycle(inertia: FloatArray, damping: FloatArray, period: float) -> _Cycle:
    rate = damping * period / inertia
    small = rate < 1e-4  # series, where the formula would divide zero by zero
    safe = np.where(small, 1.0, rate)
    gain = period / inertia * np.where(small, 1 - rate / 2, -np.expm1(-safe) / safe)
    push = period**2 / inertia * np.where(small, 0.5 - rate / 6, (safe + np.expm1(-safe)) / safe**2)
    return _Cycle(np.exp(-rate), gain, inertia * gain, push)

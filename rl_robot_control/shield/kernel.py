"""The limits of single joints, compiled. What they mean: docs/safety.md.

Plain scalar formulas; a limit downward is the limit upward of the mirrored joint.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from rl_robot_control.shield.compiled import compiled

# Constants of each joint, in SI units.
JOINT = np.dtype([(name, np.float64) for name in (
    'lower', 'upper',  # position limits after the margin
    'overshoot', 'velocity', 'acceleration', 'effort', 'stiffness', 'damping',
    'jerk', 'torque_rate',  # inf where unset
    'middle', 'half', 'too_fast',  # beyond middle ± half, or faster, a measurement is a fault
)])

# What is remembered of each joint of each robot: rows of one array (ROWS, N, J).
REFERENCE = 0  # latest [rad]
MOTION = 1  # of the reference in the last cycle, per control period [rad]
ACCELERATION = 2  # of the reference in the last cycle [rad/s²]
TORQUE = 3  # that the last target asked for [N·m]; NaN: none
ROWS = 4

# Rows of ``ShieldOutput.active`` that are written here.
BY_POSITION, BY_VELOCITY, BY_ACCELERATION, BY_TORQUE, CONFLICT, BY_RATE = range(6)

OVERSHOOT_SLOPE = 2.0  # how far a target may lie beyond the limit per distance that the joint has left [-]
_ROUNDING = 1e-12  # [rad]

_Array = numba.float64[:, ::1]
_Memory = numba.float64[:, :, ::1]
_Mask = numba.boolean[::1]
_Joints = numba.from_dtype(JOINT)[::1]


# The reference: from where it is, a joint can always brake before its limit.


@compiled()
def _highest_reference(limit, at, motion, step, fastest):
    """Highest next reference [rad], with the bounds of position and acceleration on its motion [rad].

    With A·T² = step, d the distance left and V(d) = -A·T + sqrt((A·T)² + 2·A·d) it may move by T·V(d).
    """
    room = math.sqrt(step * step + 2 * step * max(limit - at, 0.0)) - step
    change = motion + step
    reach = at + min(room, change, fastest)
    return min(reach, max(limit, at)), room, change  # one found outside the limits may only move inward


@compiled()
def _braked(at, motion, step):
    return at + math.copysign(max(abs(motion) - step, 0.0), motion)


# The torque that a drive with the gains kp, kd asks for: kp·(target - q) - kd·v.


@compiled()
def _torque_interval(joint, position, velocity):
    """Lowest and highest target that ask for no more than the effort [rad], and push no joint beyond its limit."""
    centre = position + joint.damping * velocity / joint.stiffness
    reach = joint.effort / joint.stiffness
    lower, upper = centre - reach, centre + reach
    if joint.overshoot > 0:
        lower = max(lower, joint.lower - OVERSHOOT_SLOPE * max(position - joint.lower, 0.0))
        upper = min(upper, joint.upper + OVERSHOOT_SLOPE * max(joint.upper - position, 0.0))
    return lower, upper


@compiled()
def _jerk_interval(joint, reference, motion, acceleration, elapsed, period):
    centre = reference + elapsed * (motion / period + elapsed * acceleration)
    change = joint.jerk * elapsed**3
    return centre - change, centre + change


@compiled()
def _torque_rate_interval(joint, position, velocity, torque, elapsed):
    free = -joint.damping * velocity  # what the drive gives without a target
    before = free if math.isnan(torque) else torque
    centre = position + (before - free) / joint.stiffness
    change = joint.torque_rate * elapsed / joint.stiffness
    return centre - change, centre + change


# The cycle.


@compiled()
def _explain(joint, at, motion, lower, upper, step, fastest, wish, gentle, wanted, chosen, active, n, j):
    """Note which limits shaped a reference."""
    reachable = min(max(wish, lower), upper)
    if wish != reachable:
        if wish > reachable:
            _, room, change = _highest_reference(joint.upper + joint.overshoot, at, motion, step, fastest)
            way = wish - at
        else:
            _, room, change = _highest_reference(joint.overshoot - joint.lower, -at, -motion, step, fastest)
            way = at - wish
        # the tightest one is named even where rounding hides by how little it was exceeded
        tightest = min(room, fastest, change)
        active[BY_POSITION, n, j] = way > room or room == tightest
        active[BY_VELOCITY, n, j] = way > fastest or fastest == tightest
        active[BY_ACCELERATION, n, j] = way > change or change == tightest
    active[BY_RATE, n, j] = gentle != wish
    active[BY_TORQUE, n, j] = wanted != gentle and chosen != reachable


@compiled(numba.void(_Joints, _Memory, _Array, _Array, _Array, _Mask, _Mask, _Mask, numba.float64, numba.float64,
                     _Array, numba.boolean[:, :, ::1], _Mask))
def limit(joints, memory, target, position, velocity, active, following, usable, elapsed, period, output, flags,
          conflicts):
    """Move the references, and work out the targets for the drives.

    Args:
        joints: (J,) of ``JOINT``.
        memory: (ROWS, N, J)
        target: (N, J) [rad]; read for active robots only, the others brake.
        position: (N, J) measured; the reference where unknown [rad].
        velocity: (N, J) measured; 0 where unknown [rad/s].
        active: (N,) robots that follow their target.
        following: (N,) robots that follow their reference; the target of the others is the measured pose.
        usable: (N,) robots whose state is known.
        elapsed: Time that this cycle counts as, 0 or more [s].
        period: Control period [s].
        output: (N, J) receives the targets [rad], NaN where there is none.
        flags: (CHECKS, N, J) of False; receives which check acted where.
        conflicts: (N,) receives whether a limit had to yield.
    """
    for n in range(len(following)):
        conflicts[n] = False
        for j in range(len(joints)):
            joint, at, q, v = joints[j], memory[REFERENCE, n, j], position[n, j], velocity[n, j]
            if elapsed > 0:
                before = memory[MOTION, n, j]
                motion = before if elapsed == period else before * (elapsed / period)
                step, fastest = joint.acceleration * elapsed * elapsed, joint.velocity * elapsed
                high, low = joint.upper + joint.overshoot, joint.lower - joint.overshoot
                upper, _, _ = _highest_reference(high, at, motion, step, fastest)
                mirrored, _, _ = _highest_reference(-low, -at, -motion, step, fastest)
                lower = -mirrored
                wish = target[n, j] if active[n] else _braked(at, motion, step)
                gentle, conflict = wish, False
                least, most = _torque_interval(joint, q, v)
                if joint.jerk < np.inf:
                    calm, hasty = _jerk_interval(joint, at, before, memory[ACCELERATION, n, j], elapsed, period)
                    gentle = min(max(gentle, calm), hasty)
                if joint.torque_rate < np.inf:
                    weak, strong = _torque_rate_interval(joint, q, v, memory[TORQUE, n, j], elapsed)
                    gentle = min(max(gentle, weak), strong)
                wanted = min(max(gentle, least), most)
                # the bounds may cross by a rounding error; the position limit has the last word
                new = max(min(max(wanted, lower), upper), min(low, at))
                if following[n] and not new == wish == wanted:
                    _explain(joint, at, motion, lower, upper, step, fastest, wish, gentle, wanted, new, flags, n, j)
                    conflict = new < least or new > most
                    if joint.jerk < np.inf:
                        conflict |= new < calm - _ROUNDING or new > hasty + _ROUNDING
                    if joint.torque_rate < np.inf:
                        conflict |= new < weak - _ROUNDING or new > strong + _ROUNDING
                    flags[CONFLICT, n, j] = conflict
                    conflicts[n] |= conflict
                motion = new - at if elapsed == period else (new - at) * (period / elapsed)
                memory[ACCELERATION, n, j] = (motion - before) / (period * elapsed)
                memory[REFERENCE, n, j], memory[MOTION, n, j] = new, motion
                memory[TORQUE, n, j] = joint.stiffness * (new - q) - joint.damping * v
                at = new
            output[n, j] = at if following[n] else q if usable[n] else np.nan

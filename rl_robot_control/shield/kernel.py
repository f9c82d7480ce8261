"""The arithmetic of one shield cycle, joint by joint, compiled by numba. What it means: docs/safety.md.

Plain scalar formulas; a limit downward is the limit upward of the mirrored joint. numba notices a change of this file but
not of files that it calls, so all that is compiled stays in here and calls nothing elsewhere.
"""

from __future__ import annotations

import math

import numba
import numpy as np

# Constants of each joint, in SI units.
JOINT = np.dtype([(name, np.float64) for name in (
    'lower', 'upper',  # position limits after the margin
    'overshoot', 'velocity', 'acceleration', 'effort', 'stiffness', 'damping',
    'jerk', 'torque_rate',  # inf where unset
    'ahead', 'span', 'braking', 'fastest',  # of the measured joint, see ``_measured_bound``
    'light_gain', 'light_decay', 'heavy_gain', 'heavy_decay',  # what a force does in one cycle to either inertia
    'middle', 'half', 'too_fast',  # beyond middle ± half, or faster, a measurement is a fault
)])

# What is remembered of each joint of each robot: rows of one array (ROWS, N, J).
REFERENCE = 0  # latest [rad]
MOTION = 1  # of the reference in the last cycle, per control period [rad]
ACCELERATION = 2  # of the reference in the last cycle [rad/s²]
TORQUE = 3  # that the last target asked for [N·m]; NaN: none
SLOWEST, QUICKEST = 4, 5  # between these the velocity should be now, after the last target [rad/s]; NaN: not known
WISH = 6  # this cycle's target as requested [rad]
GENTLE = 7  # within jerk and torque rate [rad]
WANTED = 8  # within the effort, too [rad]
LOWER, UPPER = 9, 10  # between these the next reference must be [rad]
BRAKE = 11  # where full braking leads in this cycle [rad]
ROWS = 12

# Rows of ``ShieldOutput.active`` that are written here.
BY_POSITION, BY_VELOCITY, BY_ACCELERATION, BY_TORQUE, CONFLICT, BY_RATE, BY_MEASURED = range(7)

OVERSHOOT_SLOPE = 2.0  # how far a target may lie beyond the limit per distance that the joint has left [-]
RECOVERY = 0.5  # fastest return of a measured joint that is beyond its limit [rad/s]
_ROUNDING = 1e-12  # [rad]

_Array = numba.float64[:, ::1]
_Memory = numba.float64[:, :, ::1]
_Mask = numba.boolean[::1]
_Joints = numba.from_dtype(JOINT)[::1]
_compiled = numba.njit(cache=True, error_model='numpy', inline='never')


# The reference: from where it is, a joint can always brake before its limit.


@_compiled
def _highest_reference(limit, at, motion, step, fastest):
    """Highest next reference [rad], with the bounds of position and acceleration on its motion [rad].

    With A·T² = step, d the distance left and V(d) = -A·T + sqrt((A·T)² + 2·A·d) it may move by T·V(d).
    """
    room = math.sqrt(step * step + 2 * step * max(limit - at, 0.0)) - step
    change = motion + step
    reach = at + min(room, change, fastest)
    return min(reach, max(limit, at)), room, change  # one found outside the limits may only move inward


@_compiled
def _braked(at, motion, step):
    return at + math.copysign(max(abs(motion) - step, 0.0), motion)


# The torque that a drive with the gains kp, kd asks for: kp·(target - q) - kd·v.


@_compiled
def _torque_interval(joint, position, velocity):
    """Lowest and highest target that ask for no more than the effort [rad], and push no joint beyond its limit."""
    centre = position + joint.damping * velocity / joint.stiffness
    reach = joint.effort / joint.stiffness
    lower, upper = centre - reach, centre + reach
    if joint.overshoot > 0:
        lower = max(lower, joint.lower - OVERSHOOT_SLOPE * max(position - joint.lower, 0.0))
        upper = min(upper, joint.upper + OVERSHOOT_SLOPE * max(joint.upper - position, 0.0))
    return lower, upper


@_compiled
def _jerk_interval(joint, reference, motion, acceleration, elapsed, period):
    centre = reference + elapsed * (motion / period + elapsed * acceleration)
    change = joint.jerk * elapsed**3
    return centre - change, centre + change


@_compiled
def _torque_rate_interval(joint, position, velocity, torque, elapsed):
    free = -joint.damping * velocity  # what the drive gives without a target
    before = free if math.isnan(torque) else torque
    centre = position + (before - free) / joint.stiffness
    change = joint.torque_rate * elapsed / joint.stiffness
    return centre - change, centre + change


# The measured joint: it must be able to stop before its limit, whatever the reference says.


@_compiled
def _measured_bound(joint, wall, at, speed, push):
    """Highest target [rad] that lets a measured joint stop before the wall and that makes it no faster than allowed.

    In one cycle of length T under the constant force F that the gains add to the drive's own damping kd, an inertia I
    goes from velocity v to e·v + g·F and by p·v + h·F, with

        e = exp(-kd·T/I)    g = (1 - e)/kd    p = I·g    h = (T - p)/kd

    Afterwards it must be able to stop within the distance d that is left, braking at b, one cycle of delay included. So
    the velocity v' after the cycle may be at most the root of v'²/(2·b) + H·v' = d - c·v, where H = h/g + p and
    c = p - e·h/g. That gives F, and the target q + F/kp. Inertia changes with the pose and with the other joints: forces
    toward a limit are judged by the lightest and braking forces by the heaviest.

    Args:
        joint: Its constants: ahead = c, span = H, braking = b, light_gain = g·kp and so on.
        wall: Position limit [rad].
        at: Measured position [rad].
        speed: Measured velocity v [rad/s].
        push: What something else adds to the velocity in one cycle toward the wall [rad/s].
    """
    room = wall - at - joint.ahead * speed
    offset = joint.braking * joint.span
    allowed = math.sqrt(offset * offset + 2 * joint.braking * max(room, 0.0)) - offset
    allowed += max(min(room / joint.span, 0.0), -RECOVERY) - push
    light = (allowed - joint.light_decay * speed) / joint.light_gain
    heavy = (min(allowed, joint.fastest - push) - joint.heavy_decay * speed) / joint.heavy_gain
    weakest = (joint.damping * speed - joint.effort) / joint.stiffness  # the drive has no more than its effort
    return at + max(min(light, heavy), weakest)


@_compiled
def _expected_velocity(joint, target, position, velocity):
    """Between which velocities [rad/s] a joint will be after one cycle, if nothing else pushes it."""
    lag, reach = joint.damping * velocity / joint.stiffness, joint.effort / joint.stiffness
    force = min(max(target - position, lag - reach), lag + reach)
    light = joint.light_decay * velocity + joint.light_gain * force
    heavy = joint.heavy_decay * velocity + joint.heavy_gain * force
    return min(light, heavy), max(light, heavy)


@_compiled
def _held(joint, target, position, velocity, slowest, quickest):
    """The target [rad], or the nearest that does not drive a measured joint into its limit or too fast."""
    up, down = max(velocity - quickest, 0.0), max(slowest - velocity, 0.0)
    if math.isnan(slowest):
        up = down = 0.0
    upper = _measured_bound(joint, joint.upper, position, velocity, up)
    lower = -_measured_bound(joint, -joint.lower, -position, -velocity, down)
    return min(max(target, lower), upper)


# The cycle: first the bounds of the next reference, then, with what the geometry made of it, the target.


@numba.njit(numba.void(_Joints, _Memory, _Array, _Array, _Array, _Mask, numba.float64, numba.float64, _Array),
            cache=True, error_model='numpy')
def bound(joints, memory, target, position, velocity, active, elapsed, period, chosen):
    """Limit targets.

    Args:
        joints: (J,) of ``JOINT``.
        memory: (ROWS, N, J); writes the rows from WISH on.
        target: (N, J) [rad]; read for active robots only, the others brake.
        position: (N, J) measured, finite [rad].
        velocity: (N, J) measured, finite [rad/s].
        active: (N,) robots that follow their target.
        elapsed: Time that this cycle counts as, 0 or more [s].
        period: Control period [s].
        chosen: (N, J) receives the next references [rad].
    """
    rated = False
    for j in range(len(joints)):
        rated |= joints[j].jerk < np.inf or joints[j].torque_rate < np.inf
    for n in range(len(active)):
        for j in range(len(joints)):
            joint, at, q, v = joints[j], memory[REFERENCE, n, j], position[n, j], velocity[n, j]
            motion = memory[MOTION, n, j]
            step, fastest = joint.acceleration * elapsed * elapsed, joint.velocity * elapsed
            if elapsed != period:
                motion *= elapsed / period
            high, low = joint.upper + joint.overshoot, joint.lower - joint.overshoot
            upper, _, _ = _highest_reference(high, at, motion, step, fastest)
            mirrored, _, _ = _highest_reference(-low, -at, -motion, step, fastest)
            lower = -mirrored
            brake = _braked(at, motion, step)
            wish = target[n, j] if active[n] else brake
            gentle = wish
            if rated and elapsed > 0:
                if joint.jerk < np.inf:
                    least, most = _jerk_interval(joint, at, memory[MOTION, n, j], memory[ACCELERATION, n, j], elapsed,
                                                 period)
                    gentle = min(max(gentle, least), most)
                if joint.torque_rate < np.inf:
                    least, most = _torque_rate_interval(joint, q, v, memory[TORQUE, n, j], elapsed)
                    gentle = min(max(gentle, least), most)
            least, most = _torque_interval(joint, q, v)
            wanted = min(max(gentle, least), most)
            # the bounds may cross by a rounding error; the position limit has the last word
            chosen[n, j] = max(min(max(wanted, lower), upper), min(low, at)) if elapsed > 0 else at
            memory[WISH, n, j], memory[GENTLE, n, j], memory[WANTED, n, j] = wish, gentle, wanted
            memory[LOWER, n, j], memory[UPPER, n, j], memory[BRAKE, n, j] = lower, upper, brake


@_compiled
def _explain(joint, memory, n, j, chosen, elapsed, period, position, velocity, active):
    """Note which limits shaped a reference, and whether one had to yield; tells whether one had."""
    at, motion, wish = memory[REFERENCE, n, j], memory[MOTION, n, j] * elapsed / period, memory[WISH, n, j]
    step, fastest = joint.acceleration * elapsed * elapsed, joint.velocity * elapsed
    reachable = min(max(wish, memory[LOWER, n, j]), memory[UPPER, n, j])
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
    active[BY_RATE, n, j] = memory[GENTLE, n, j] != wish
    active[BY_TORQUE, n, j] = memory[WANTED, n, j] != memory[GENTLE, n, j] and chosen != reachable
    least, most = _torque_interval(joint, position, velocity)
    conflict = chosen < least or chosen > most
    if joint.jerk < np.inf:
        least, most = _jerk_interval(joint, at, memory[MOTION, n, j], memory[ACCELERATION, n, j], elapsed, period)
        conflict |= chosen < least - _ROUNDING or chosen > most + _ROUNDING
    if joint.torque_rate < np.inf:
        least, most = _torque_rate_interval(joint, position, velocity, memory[TORQUE, n, j], elapsed)
        conflict |= chosen < least - _ROUNDING or chosen > most + _ROUNDING
    active[CONFLICT, n, j] = conflict
    return conflict


@numba.njit(numba.void(_Joints, _Memory, _Array, _Array, _Array, _Mask, _Mask, numba.float64, numba.float64,
                       numba.boolean, numba.boolean, _Array, numba.boolean[:, :, ::1], _Mask, _Mask),
            cache=True, error_model='numpy')
def settle(joints, memory, chosen, position, velocity, following, usable, elapsed, period, regular, watched, output,
           active, conflicts, held):
    """Take the chosen references and work out the targets for the drives.

    Args:
        joints: (J,) of ``JOINT``.
        memory: (ROWS, N, J) as ``bound`` left it.
        chosen: (N, J) next references, within LOWER and UPPER [rad].
        position: (N, J) measured; the reference where unknown [rad].
        velocity: (N, J) measured; 0 where unknown [rad/s].
        following: (N,) robots that follow their reference; the target of the others is the measured pose.
        usable: (N,) robots whose state is known.
        elapsed: Time that this cycle counts as, 0 or more [s].
        period: Control period [s].
        regular: Whether about one control period has passed since the last call.
        watched: Whether measured joints are kept from their limits.
        output: (N, J) receives the targets [rad], NaN where there is none.
        active: (CHECKS, N, J) of False; receives which check acted where.
        conflicts: (N,) receives whether a limit had to yield.
        held: (N,) receives whether a target was changed for the measured joint's sake.
    """
    for n in range(len(following)):
        conflicts[n] = held[n] = False
        for j in range(len(joints)):
            joint, q, v, new = joints[j], position[n, j], velocity[n, j], chosen[n, j]
            if elapsed > 0:
                unlimited = new == memory[WISH, n, j] == memory[WANTED, n, j]
                if following[n] and not unlimited:
                    conflicts[n] |= _explain(joint, memory, n, j, new, elapsed, period, q, v, active)
                motion = (new - memory[REFERENCE, n, j]) * (period / elapsed)
                if elapsed == period:
                    motion = new - memory[REFERENCE, n, j]
                memory[ACCELERATION, n, j] = (motion - memory[MOTION, n, j]) / (period * elapsed)
                memory[REFERENCE, n, j], memory[MOTION, n, j] = new, motion
                memory[TORQUE, n, j] = joint.stiffness * (new - q) - joint.damping * v
            target = new if following[n] else q
            if usable[n] and watched:
                known = memory[SLOWEST, n, j] if regular else np.nan
                kept = _held(joint, target, q, v, known, memory[QUICKEST, n, j])
                if kept != target:
                    active[BY_MEASURED, n, j] = held[n] = True
                target = kept
                memory[SLOWEST, n, j], memory[QUICKEST, n, j] = _expected_velocity(joint, target, q, v)
            else:
                memory[SLOWEST, n, j] = np.nan
            output[n, j] = target if following[n] or usable[n] else np.nan

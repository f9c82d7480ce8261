"""How the distances of a robot's links change with the targets; compiled.

For a distance d with the least value d₀ let h = d - d₀ and g its slope along the joints. What the targets make of the
speeds (``prediction``) must keep to the discrete-time barrier h(q⁺) >= (1 - γ)·h(q), and leave room to brake:

    -g·v⁺ <= min(γ·h/T, √((a·T)² + 2·a·(h + T·min(g·v, 0))) - a·T)

with the deceleration a that the joints which may be changed surely have along g.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from rl_robot_control.shield.compiled import compiled
from rl_robot_control.shield.distances import slope, survey
from rl_robot_control.shield.mechanics import POSE, Indices, Links, Matrix, Vector, solve
from rl_robot_control.shield.prediction import TOLERANCE, Flags, Joints, allowed, between, fastest, predict, quickest

SHARE = 0.5  # of the effort that gravity leaves, on which braking counts [-]
LEAST = 0.05  # of the effort, on which braking counts in any case [-]
RETREAT = 0.1  # time in which links that are too near go apart again [s], but not faster than
FASTEST_RETREAT = 0.05  # [m/s]: what is too near already must not make the robot jump
BRAKING = 2.0  # deceleration that a glance assumes [m/s²]
COUPLED = 8.0  # speed below its limit from which on a joint might be made too fast [rad/s]
SIGHT = 0.02  # room from which on a glance is not enough [m]


@compiled(numba.boolean(Joints, numba.float64, Matrix, Vector, Vector, Vector, Vector, Vector, Vector, Vector, Flags))
def _doubtful(joints, period, reach, minimum, position, velocity, target, pose, bound, cutoff, doubtful):
    """Which distances might shrink too fast, by what is known of them without looking; and how far to look.

    Args:
        pose: (J,) where the lower bounds of the distances were known; becomes the measured pose.
        bound: (P,) these bounds; lowered by what the joints can have changed them [m].
    """
    found, moved = False, 0.0
    for j in range(len(joints)):
        moved += abs(position[j] - pose[j])
    for p in range(len(bound)):
        speed, change = 0.0, 0.0
        for j in range(len(joints)):
            if reach[p, j] > 0.0:
                joint, v = joints[j], abs(velocity[j])
                force = min(joint.stiffness * abs(target[j] - position[j]), joint.effort)
                speed += reach[p, j] * quickest(joint, period, v, force)
                change += reach[p, j] * abs(position[j] - pose[j])
        bound[p] -= change
        need = speed * (2.0 * period + speed / (2.0 * BRAKING)) + SIGHT
        doubtful[p] = not bound[p] - minimum[p] >= need
        cutoff[p] = minimum[p] + need
        found |= doubtful[p]
    pose[:] = position
    return found


@compiled(numba.void(Joints, numba.float64, Matrix, Vector, Vector, Vector, Vector, Vector, Vector))
def _box(joints, period, mass, speed, position, velocity, target, low, high):
    """How far each target may be changed, so that the drive can follow and the joint is not too fast for its stops."""
    for j in range(len(joints)):
        joint, q, v = joints[j], position[j], velocity[j]
        effect = period * joint.stiffness / (mass[j, j] + period * joint.damping)  # of a target on speed, at least
        least, most = between(joint, -math.inf, q, v) - target[j], between(joint, math.inf, q, v) - target[j]
        slowest = max(least, (-fastest(joint, period, q, v, -1.0) - speed[j]) / effect)
        quickest = min(most, (fastest(joint, period, q, v, 1.0) - speed[j]) / effect)
        low[j], high[j] = min(slowest, 0.0), max(quickest, 0.0)  # no change is always possible


@compiled(numba.int64(Joints, Links, Indices, Indices, Flags, numba.float64, Vector, Vector, Vector, Vector, Vector,
                      Flags, Matrix, Indices, Indices, Matrix, Indices, Indices, Indices, Vector, Vector, Matrix,
                      Vector, Vector, Matrix, Vector, Vector, Vector, Vector, Indices))
def approach(joints, links, parents, joint_of, slides, period, position, velocity, turn, down, target, may, shapes,
             link_of, starts, corners, pair_of, first, second, minimum, share, reach, known, bound, rows, rates, limits,
             low, high, which):
    """Whether the targets of one robot bring links together too fast; if so, what bounds the targets.

    Args:
        joints: (J,) of ``prediction.JOINT``.
        links: (B, LINK) see ``mechanics``, as are ``parents``, ``joint_of`` and ``slides``.
        period: T [s].
        position: (J,) measured [rad].
        velocity: (J,) measured [rad/s].
        turn: (3,) angular velocity of the base, in its frame [rad/s].
        down: (3,) direction of gravity there.
        target: (J,) [rad]
        may: (J,) joints whose target may be changed.
        shapes: (S, SHAPE) see ``distances.survey``, as are ``link_of``, ``starts``, ``corners``, ``pair_of``,
            ``first`` and ``second``.
        minimum: (P,) d₀ [m].
        share: (P,) γ.
        reach: (P, J) upper bounds of the change of distance per joint movement [m/rad].
        known: (J,) pose for which ``bound`` holds; becomes the measured one [rad].
        bound: (P,) lower bounds of the distances [m].
        rows: (P + 2·J, J) receives the change of -g·v⁺ with the targets [1/s]; then that of the speeds of joints that
            must not be made too fast, or faster than they are.
        rates: (P + 2·J,) receives -g·v⁺ for the targets as they are [m/s], then these speeds [rad/s].
        limits: (P + 2·J,) receives what they may be.
        low: (J,) receives the least change of each target [rad].
        high: (J,) receives the greatest [rad].
        which: (P + 2·J,) receives the distances that the rows belong to, -1 for those of joints.

    Returns:
        Their number; 0 if all is well.
    """
    size, count, pairs = len(joints), len(links), len(bound)
    cutoff, doubtful = np.empty(pairs), np.empty(pairs, dtype=np.bool_)
    if not _doubtful(joints, period, reach, minimum, position, velocity, target, known, bound, cutoff, doubtful):
        return 0
    pose, bodies, motion = np.empty((count, POSE)), np.empty((count, 10)), np.empty((count, 18))
    mass, factor = np.empty((size, size)), np.empty((size, size))
    torque, momentum, gradient, speed = np.empty(size), np.empty(size), np.empty(size), np.empty(size)
    lines, normals, nearest = np.empty((pairs, 6)), np.empty((pairs, 3)), np.zeros(pairs, dtype=np.int64)
    if not predict(joints, links, parents, joint_of, slides, period, position, velocity, turn, down, pose, bodies,
                   motion, mass, factor, torque, momentum):
        return 0
    survey(shapes, link_of, starts, corners, pose, pair_of, first, second, cutoff, doubtful, bound, lines, normals,
           nearest)
    found, wrong = 0, False
    for p in range(pairs):
        if not (doubtful[p] and bound[p] < cutoff[p]):
            continue
        k = nearest[p]
        slope(parents, joint_of, pose, link_of[first[k]], link_of[second[k]], lines[p], normals[p], gradient)
        row, now, then, braking = rows[found], 0.0, 0.0, 0.0
        row[:] = gradient
        solve(parents, joint_of, factor, row)
        for j in range(size):
            now += gradient[j] * velocity[j]
            then += row[j] * (momentum[j] + period * joints[j].stiffness * (target[j] - position[j]))
            if may[j] and gradient[j] != 0.0:
                effort = joints[j].effort
                braking += abs(row[j]) * max(effort - abs(torque[j]), LEAST * effort)
            row[j] *= -period * joints[j].stiffness
        room = bound[p] - minimum[p]
        rate = allowed(max(room + period * min(now, 0.0), 0.0), SHARE * braking, period)
        limits[found] = min(rate, share[p] * room / period) if room > 0.0 else max(room / RETREAT, -FASTEST_RETREAT)
        rates[found], which[found] = -then, p
        wrong |= rates[found] > limits[found] + TOLERANCE
        found += 1
    if not wrong:
        return 0
    for j in range(size):
        speed[j] = momentum[j] + period * joints[j].stiffness * (target[j] - position[j])
    solve(parents, joint_of, factor, speed)
    _box(joints, period, mass, speed, position, velocity, target, low, high)
    for k in range(2 * size):
        j, side = k // 2, 2.0 * (k % 2) - 1.0
        limit = fastest(joints[j], period, position[j], velocity[j], side)
        if side * speed[j] > limit - COUPLED:
            row = rows[found]
            row[:] = 0.0
            row[j] = side
            solve(parents, joint_of, factor, row)
            for i in range(size):
                row[i] *= period * joints[i].stiffness
            rates[found], limits[found], which[found] = side * speed[j], max(limit, side * speed[j]), -1
            found += 1
    return found


@compiled(numba.void(Joints, Links, Indices, Indices, Flags, numba.float64, Matrix, Matrix, Matrix, Matrix, Matrix,
                     Flags, Matrix, Indices, Indices, Matrix, Indices, Indices, Indices, Vector, Vector, Matrix, Matrix,
                     Matrix, Flags, Flags))
def approaching(joints, links, parents, joint_of, slides, period, position, velocity, turn, down, target, may, shapes,
                link_of, starts, corners, pair_of, first, second, minimum, share, reach, known, bound, usable, wrong):
    """For which of N robots ``approach`` finds something.

    Args as there, those of the robots with a leading axis N; and:
        usable: (N,) robots to look at.
        wrong: (N,) receives for which it does.
    """
    rows, size = len(minimum) + 2 * len(joints), len(joints)
    row, rate, limit, which = np.empty((rows, size)), np.empty(rows), np.empty(rows), np.empty(rows, dtype=np.int64)
    low, high = np.empty(size), np.empty(size)
    for n in range(len(usable)):
        wrong[n] = usable[n] and approach(
            joints, links, parents, joint_of, slides, period, position[n], velocity[n], turn[n], down[n], target[n],
            may, shapes, link_of, starts, corners, pair_of, first, second, minimum, share, reach, known[n], bound[n],
            row, rate, limit, low, high, which) > 0

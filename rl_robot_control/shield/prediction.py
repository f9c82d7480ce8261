"""How fast the joints will be after a cycle, and how fast they may be; compiled.

With the mass matrix M at the measured pose q, the torque b that gravity and motion ask for there, and the gains K, D of
the drives, targets x make of the speeds v, one period T later,

    v⁺ = (M + T·D)⁻¹ · (M·v + T·(K·(x - q) - b)).

What is left with the way d to a stop, and loses a of its speed by braking, may then be no faster than

    v⁺²/(2·a) + T·v⁺ = d - T·v        (one more period passes before the next target acts).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from rl_robot_control.shield.compiled import compiled
from rl_robot_control.shield.limits import GRAVITY
from rl_robot_control.shield.mechanics import (
    POSE,
    Indices,
    Links,
    Matrix,
    Vector,
    bias,
    factorise,
    inertias,
    mass_matrix,
    place,
    solve,
)

# Constants of each joint, in SI units.
JOINT = np.dtype([(name, np.float64) for name in (
    'lower', 'upper',  # stops, less the margin
    'least', 'most',  # lowest and highest target
    'effort', 'stiffness', 'damping', 'armature', 'fastest',
    'lightest',  # inertia in many poses
    'below', 'above',  # deceleration at the lower and the upper stop on which braking counts
    'before_below', 'before_above',  # halfway between them, likewise
)])
RECOVERY = 0.5  # fastest return of a joint that is beyond its stop [rad/s]
NEAR = 0.1  # room from which on a glance is not enough [rad]
_SWEEPS = 5  # over all joints
TOLERANCE = 1e-3  # [rad/s] or [m/s]

Joints = numba.from_dtype(JOINT)[::1]
Flags = numba.boolean[::1]


@compiled(numba.float64(numba.float64, numba.float64, numba.float64))
def allowed(room, braking, period):
    """Greatest speed toward a stop, from the room that is left once this period has passed."""
    offset = braking * period
    return math.sqrt(offset * offset + 2.0 * braking * room) - offset if room > 0.0 else room / period


@compiled()
def fastest(joint, period, position, velocity, side):
    """The speed toward a stop [rad/s] that a joint may have after this period.

    What gravity leaves for braking is taken to change evenly from the middle to the stop, and counts as its mean on the
    way.
    """
    wall, other = (joint.upper, joint.lower) if side > 0 else (-joint.lower, -joint.upper)
    at_stop, halfway = (joint.above, joint.before_above) if side > 0 else (joint.below, joint.before_below)
    half = 0.5 * (wall - other)
    share = min(max((wall - side * position) / half, 0.0), 1.0) if half < math.inf else 1.0
    braking = at_stop + 0.5 * share * (halfway - at_stop)
    room = wall - side * position - period * max(side * velocity, 0.0)
    return min(max(allowed(room, braking, period), -RECOVERY), joint.fastest)


@compiled()
def quickest(joint, period, speed, force):
    """The most that a force makes of a speed within this period, whatever the inertia; both are not negative."""
    lightest = joint.lightest
    return max(speed, (lightest * speed + period * force) / (lightest + period * joint.damping))


@compiled()
def _near(joint, period, target, position, velocity, side):
    """Whether a joint might become too fast, in the worst case."""
    force = min(joint.stiffness * side * (target - position), joint.effort)
    speed = quickest(joint, period, max(side * velocity, 0.0), max(force, 0.0))
    return speed > fastest(joint, period, position + side * NEAR, velocity, side)


@compiled()
def between(joint, target, position, velocity):
    """The nearest target that the drive can follow with its effort."""
    centre, reach = position + joint.damping * velocity / joint.stiffness, joint.effort / joint.stiffness
    return max(min(target, min(centre + reach, joint.most)), max(centre - reach, joint.least))


@compiled(numba.void(Matrix, Matrix, Flags, Matrix, Matrix))
def attitude(quaternion, angular_velocity, usable, turn, down):
    """How the bases turn and which way gravity points in them; at rest and upright where that is not known.

    Args:
        quaternion: (N, 4) of the bases, x, y, z, w.
        angular_velocity: (N, 3) in their frames [rad/s].
        usable: (N,) robots whose state is known.
        turn: (N, 3) receives the angular velocities.
        down: (N, 3) receives the directions.
    """
    for n in range(len(usable)):
        x, y, z, w = quaternion[n, 0], quaternion[n, 1], quaternion[n, 2], quaternion[n, 3]
        a, b, c = angular_velocity[n, 0], angular_velocity[n, 1], angular_velocity[n, 2]
        if usable[n] and math.isfinite(x + y + z + w + a + b + c):
            turn[n, 0], turn[n, 1], turn[n, 2] = a, b, c
            down[n, 0], down[n, 1] = 2.0 * (w * y - x * z), -2.0 * (w * x + y * z)
            down[n, 2] = 2.0 * (x * x + y * y) - 1.0
        else:
            turn[n], down[n] = 0.0, 0.0
            down[n, 2] = -1.0


@compiled(numba.boolean(Joints, Links, Indices, Indices, Flags, numba.float64, Vector, Vector, Vector, Vector, Matrix,
                        Matrix, Matrix, Matrix, Matrix, Vector, Vector))
def predict(joints, links, parents, joint_of, slides, period, position, velocity, turn, down, pose, bodies, motion,
            mass, factor, torque, momentum):
    """What the prediction needs of one robot; false where its inertia is none.

    Args:
        joints: (J,) of ``JOINT``.
        links: (B, LINK) see ``mechanics``, as are ``parents``, ``joint_of`` and ``slides``.
        period: T [s].
        position: (J,) measured [rad].
        velocity: (J,) measured [rad/s].
        turn: (3,) angular velocity of the base, in its frame [rad/s].
        down: (3,) direction of gravity there.
        pose: (B, POSE) receives the poses of the links.
        bodies: (B, 10) overwritten.
        motion: (B, 18) overwritten.
        mass: (J, J) receives M.
        factor: (J, J) receives the factor of M + T·D.
        torque: (J,) receives b.
        momentum: (J,) receives M·v - T·b.
    """
    place(links, parents, joint_of, slides, position, pose)
    inertias(links, pose, bodies)
    bias(parents, joint_of, pose, bodies, velocity, turn, GRAVITY * down, motion, torque)
    mass_matrix(parents, joint_of, pose, bodies, mass)
    for i in range(len(joints)):
        mass[i, i] += joints[i].armature
    for i in range(len(joints)):
        momentum[i] = -period * torque[i]
        for j in range(len(joints)):
            factor[i, j] = mass[i, j]
            momentum[i] += mass[i, j] * velocity[j]
        factor[i, i] += period * joints[i].damping
    return factorise(parents, joint_of, factor)


@compiled(numba.void(Joints, Indices, Indices, numba.float64, Matrix, numba.int64, numba.float64, numba.float64, Vector,
                     Vector, Vector, Vector))
def _relieve(joints, parents, joint_of, period, factor, j, side, excess, position, braked, target, push):
    """Let the others push less where a joint's own drive cannot keep it slow enough; at most they only damp.

    One that brakes before its own stop goes on.
    """
    push[:] = 0.0
    push[j] = side
    solve(parents, joint_of, factor, push)
    total = 0.0
    for i in range(len(joints)):
        way = target[i] - position[i]
        push[i] = max(push[i] * period * joints[i].stiffness * way, 0.0) if braked[i] * way >= 0.0 else 0.0
        total += push[i]
    if total > 0.0:
        rest = max(1.0 - excess / total, 0.0)
        for i in range(len(joints)):
            if push[i] > 0.0:
                target[i] = position[i] + rest * (target[i] - position[i])


@compiled(numba.void(Joints, Indices, Indices, numba.float64, Matrix, Matrix, Vector, Vector, Vector, Vector, Vector,
                     Vector, Vector))
def _give_way(joints, parents, joint_of, period, mass, factor, momentum, position, velocity, target, speed, braked,
              room):
    """Change the targets (J,) of joints that would be too fast, and of those that make them so."""
    braked[:] = 0.0  # else the side of the stop
    for sweep in range(_SWEEPS):
        for j in range(len(joints)):
            speed[j] = momentum[j] + period * joints[j].stiffness * (target[j] - position[j])
        solve(parents, joint_of, factor, speed)
        kept = True
        for j in range(len(joints)):
            joint, q, v = joints[j], position[j], velocity[j]
            effect = period * joint.stiffness / (mass[j, j] + period * joint.damping)  # of a target on speed, at least
            for side in (-1.0, 1.0):
                excess = side * speed[j] - fastest(joint, period, q, v, side)
                if excess > TOLERANCE:
                    kept, braked[j] = False, side
                    best = between(joint, target[j] - side * excess / effect, q, v)
                    if side * best < side * target[j]:
                        target[j] = best
                    elif sweep > 0:
                        _relieve(joints, parents, joint_of, period, factor, j, side, excess, position, braked, target,
                                 room)
        if kept:
            break


@compiled(numba.void(Joints, Links, Indices, Indices, Flags, numba.float64, Matrix, Matrix, Matrix, Matrix, Flags,
                     Matrix, numba.boolean[:, ::1]))
def keep_joints(joints, links, parents, joint_of, slides, period, position, velocity, turn, down, which, target,
                changed):
    """Change targets that would make measured joints too fast.

    Args:
        joints: (J,) of ``JOINT``.
        links: (B, LINK) see ``mechanics``, as are ``parents``, ``joint_of`` and ``slides``.
        period: T [s].
        position: (N, J) measured [rad].
        velocity: (N, J) measured [rad/s].
        turn: (N, 3) angular velocity of the base, in its frame [rad/s].
        down: (N, 3) direction of gravity there.
        which: (N,) robots to look at.
        target: (N, J) changed in place [rad].
        changed: (N, J) set where a target was changed.
    """
    size, count = len(joints), len(links)
    pose, bodies, motion = np.empty((count, POSE)), np.empty((count, 10)), np.empty((count, 18))
    mass, factor = np.empty((size, size)), np.empty((size, size))
    torque, momentum, wanted = np.empty(size), np.empty(size), np.empty(size)
    speed, braked, room = np.empty(size), np.empty(size), np.empty(size)
    for n in range(len(which)):
        near, q, v = False, position[n], velocity[n]
        for j in range(size):
            near |= _near(joints[j], period, target[n, j], q[j], v[j], -1.0) | _near(
                joints[j], period, target[n, j], q[j], v[j], 1.0)
        if near and which[n] and predict(joints, links, parents, joint_of, slides, period, q, v, turn[n], down[n], pose,
                                         bodies, motion, mass, factor, torque, momentum):
            wanted[:] = target[n]
            _give_way(joints, parents, joint_of, period, mass, factor, momentum, q, v, target[n], speed, braked, room)
            for j in range(size):
                if target[n, j] != wanted[j]:
                    changed[n, j] = True

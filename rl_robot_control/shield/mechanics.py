"""Where a robot's links are, and how its joints resist being moved; compiled.

A robot is a tree of links, each but the first moved by one joint. Everything is expressed in the frame of the first
link, the base; motions and forces are taken at its origin (Featherstone, Rigid Body Dynamics Algorithms, 2008, in the
form of one common point). The base is taken as held.
"""

from __future__ import annotations

import math

import numba

from rl_robot_control.shield.compiled import compiled

# Constants of each link: columns of an array (B, LINK). Angles in rad, lengths in m, masses in kg.
AXIS = 0  # 3, of its joint, in its own frame
PLACE = 3  # 3, of its frame in that of the link before, with the joint at zero
TURN = 6  # 9, rotation likewise, row by row
MASS = 15
CENTRE = 16  # 3, of mass, in its own frame
INERTIA = 19  # 9, about the centre of mass, in its own frame, row by row
LINK = 28

# Pose of each link in the frame of the base: columns of an array (B, POSE).
ROTATION = 0  # 9, row by row
POSITION = 9  # 3
SCREW_TURN = 12  # 3, angular velocity per joint speed
SCREW_SHIFT = 15  # 3, velocity of the point of the link that is at the base's origin, per joint speed
POSE = 18

Links = numba.float64[:, ::1]
Matrix = numba.float64[:, ::1]
Vector = numba.float64[::1]
Indices = numba.int64[::1]


@compiled(numba.void(Links, Indices, Indices, numba.boolean[::1], Vector, Matrix))
def place(links, parents, joints, slides, position, pose):
    """Poses of all links.

    Args:
        links: (B, LINK), the base first, each after its parent.
        parents: (B,) index of the link before, -1 for the base.
        joints: (B,) index of the joint that moves it, -1 for the base.
        slides: (B,) whether that is a prismatic joint.
        position: (J,) of the joints [rad or m].
        pose: (B, POSE) receives the poses.
    """
    pose[0] = 0.0
    for i in range(3):
        pose[0, ROTATION + 4 * i] = 1.0
    for b in range(1, len(links)):
        link, before, own = links[b], pose[parents[b]], pose[b]
        q = position[joints[b]]
        x, y, z = link[AXIS], link[AXIS + 1], link[AXIS + 2]
        s, c = (0.0, 1.0) if slides[b] else (math.sin(q), math.cos(q))
        k = 1.0 - c
        for i in range(3):
            t0 = t1 = t2 = 0.0
            shift = before[POSITION + i]
            for m in range(3):
                r = before[ROTATION + 3 * i + m]
                t0 += r * link[TURN + 3 * m]
                t1 += r * link[TURN + 3 * m + 1]
                t2 += r * link[TURN + 3 * m + 2]
                shift += r * link[PLACE + m]
            along = t0 * x + t1 * y + t2 * z  # of the axis, in the base's frame
            own[ROTATION + 3 * i] = t0 * c + along * x * k + (t1 * z - t2 * y) * s
            own[ROTATION + 3 * i + 1] = t1 * c + along * y * k + (t2 * x - t0 * z) * s
            own[ROTATION + 3 * i + 2] = t2 * c + along * z * k + (t0 * y - t1 * x) * s
            own[POSITION + i] = shift + (along * q if slides[b] else 0.0)
            own[(SCREW_SHIFT if slides[b] else SCREW_TURN) + i] = along
            if slides[b]:
                own[SCREW_TURN + i] = 0.0
        if not slides[b]:
            wx, wy, wz = own[SCREW_TURN], own[SCREW_TURN + 1], own[SCREW_TURN + 2]
            px, py, pz = own[POSITION], own[POSITION + 1], own[POSITION + 2]
            own[SCREW_SHIFT] = py * wz - pz * wy
            own[SCREW_SHIFT + 1] = pz * wx - px * wz
            own[SCREW_SHIFT + 2] = px * wy - py * wx


# A body's inertia at the base's origin: mass, mass times centre (3), and the moments xx, yy, zz, xy, xz, yz.
_BODY = 10


@compiled(inline=True)
def _body(link, pose, body):
    m = link[MASS]
    body[0] = m
    for i in range(3):
        r = ROTATION + 3 * i
        body[1 + i] = pose[r] * link[CENTRE] + pose[r + 1] * link[CENTRE + 1] + pose[r + 2] * link[CENTRE + 2] \
            + pose[POSITION + i]
    cx, cy, cz = body[1], body[2], body[3]
    n = 4
    for i, k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        moment = 0.0
        for a in range(3):
            along = 0.0
            for b in range(3):
                along += link[INERTIA + 3 * a + b] * pose[ROTATION + 3 * k + b]
            moment += pose[ROTATION + 3 * i + a] * along
        body[n] = moment
        n += 1
    body[4] += m * (cy * cy + cz * cz)
    body[5] += m * (cx * cx + cz * cz)
    body[6] += m * (cx * cx + cy * cy)
    body[7] -= m * cx * cy
    body[8] -= m * cx * cz
    body[9] -= m * cy * cz
    for i in range(3):
        body[1 + i] *= m


@compiled(inline=True)
def _momentum(body, wx, wy, wz, ux, uy, uz):
    """Angular momentum about the base's origin, and linear, of a body that turns with w and shifts with u there."""
    m, hx, hy, hz = body[0], body[1], body[2], body[3]
    return (body[4] * wx + body[7] * wy + body[8] * wz + hy * uz - hz * uy,
            body[7] * wx + body[5] * wy + body[9] * wz + hz * ux - hx * uz,
            body[8] * wx + body[9] * wy + body[6] * wz + hx * uy - hy * ux,
            m * ux + wy * hz - wz * hy, m * uy + wz * hx - wx * hz, m * uz + wx * hy - wy * hx)


@compiled(numba.void(Links, Matrix, Matrix))
def inertias(links, pose, bodies):
    """Inertia of each link at the base's origin.

    Args:
        links: (B, LINK)
        pose: (B, POSE) as ``place`` left it.
        bodies: (B, 10) receives them.
    """
    for b in range(len(links)):
        _body(links[b], pose[b], bodies[b])


@compiled(numba.void(Indices, Indices, Matrix, Matrix, Matrix))
def mass_matrix(parents, joints, pose, bodies, mass):
    """Inertia of the joints, by their links alone.

    Args:
        parents: (B,)
        joints: (B,)
        pose: (B, POSE) as ``place`` left it.
        bodies: (B, 10) as ``inertias`` left them; receives those of each link with all that follow it.
        mass: (J, J) receives the mass matrix [kg·m²].
    """
    mass[:] = 0.0
    for b in range(len(parents) - 1, 0, -1):
        for i in range(_BODY):
            bodies[parents[b], i] += bodies[b, i]
    for b in range(1, len(parents)):
        j, s = joints[b], pose[b]
        lx, ly, lz, px, py, pz = _momentum(bodies[b], s[12], s[13], s[14], s[15], s[16], s[17])
        a = b
        while a > 0:
            r = pose[a]
            value = r[12] * lx + r[13] * ly + r[14] * lz + r[15] * px + r[16] * py + r[17] * pz
            mass[j, joints[a]] = mass[joints[a], j] = value
            a = parents[a]


@compiled(numba.void(Indices, Indices, Matrix, Matrix, Vector, Vector, Vector, Matrix, Vector))
def bias(parents, joints, pose, bodies, speed, turn, down, motion, torque):
    """Torques that the joints need to keep their speeds: gravity, centrifugal and Coriolis forces.

    Args:
        parents: (B,)
        joints: (B,)
        pose: (B, POSE) as ``place`` left it.
        bodies: (B, 10) as ``inertias`` left them.
        speed: (J,) of the joints [rad/s].
        turn: (3,) angular velocity of the base, in its own frame [rad/s].
        down: (3,) gravity in the base's frame [m/s²].
        motion: (B, 18) overwritten.
        torque: (J,) receives the torques [N·m].
    """
    for b in range(len(parents)):
        own, body = motion[b], bodies[b]
        if b == 0:
            for i in range(3):
                own[i], own[3 + i], own[6 + i], own[9 + i] = turn[i], 0.0, 0.0, -down[i]
        else:
            before, s, v = motion[parents[b]], pose[b], speed[joints[b]]
            wx, wy, wz, ux, uy, uz = s[12] * v, s[13] * v, s[14] * v, s[15] * v, s[16] * v, s[17] * v
            ax, ay, az, bx, by, bz = before[0], before[1], before[2], before[3], before[4], before[5]
            own[0], own[1], own[2], own[3], own[4], own[5] = ax + wx, ay + wy, az + wz, bx + ux, by + uy, bz + uz
            own[6] = before[6] + ay * wz - az * wy
            own[7] = before[7] + az * wx - ax * wz
            own[8] = before[8] + ax * wy - ay * wx
            own[9] = before[9] + ay * uz - az * uy + by * wz - bz * wy
            own[10] = before[10] + az * ux - ax * uz + bz * wx - bx * wz
            own[11] = before[11] + ax * uy - ay * ux + bx * wy - by * wx
        wx, wy, wz, ux, uy, uz = own[0], own[1], own[2], own[3], own[4], own[5]
        lx, ly, lz, px, py, pz = _momentum(body, wx, wy, wz, ux, uy, uz)
        fx, fy, fz, gx, gy, gz = _momentum(body, own[6], own[7], own[8], own[9], own[10], own[11])
        own[12] = fx + wy * lz - wz * ly + uy * pz - uz * py
        own[13] = fy + wz * lx - wx * lz + uz * px - ux * pz
        own[14] = fz + wx * ly - wy * lx + ux * py - uy * px
        own[15] = gx + wy * pz - wz * py
        own[16] = gy + wz * px - wx * pz
        own[17] = gz + wx * py - wy * px
    for b in range(len(parents) - 1, 0, -1):
        s, f, before = pose[b], motion[b], motion[parents[b]]
        torque[joints[b]] = (s[12] * f[12] + s[13] * f[13] + s[14] * f[14]
                             + s[15] * f[15] + s[16] * f[16] + s[17] * f[17])
        for i in range(12, 18):
            before[i] += f[i]


@compiled(numba.boolean(Indices, Indices, Matrix))
def factorise(parents, joints, matrix):
    """The factor L of a matrix H = Lᵀ·L (J, J) in its place; false if it is not positive definite.

    Joints of different branches of the tree do not meet in H, nor in L (Featherstone 2008, section 6.5): only what
    stands below the diagonal of a joint's own branch is read and written.

    Args:
        parents: (B,)
        joints: (B,)
        matrix: (J, J), symmetric.
    """
    for b in range(len(parents) - 1, 0, -1):
        k = joints[b]
        if not matrix[k, k] > 0.0:
            return False
        matrix[k, k] = math.sqrt(matrix[k, k])
        one = parents[b]
        while one > 0:
            matrix[k, joints[one]] /= matrix[k, k]
            one = parents[one]
        one = parents[b]
        while one > 0:
            i, other = joints[one], one
            while other > 0:
                matrix[i, joints[other]] -= matrix[k, i] * matrix[k, joints[other]]
                other = parents[other]
            one = parents[one]
    return True


@compiled(numba.void(Indices, Indices, Matrix, Vector))
def solve(parents, joints, factor, vector):
    """x of H·x = vector (J,), in its place, with the factor of H."""
    for b in range(len(parents) - 1, 0, -1):
        k, before = joints[b], parents[b]
        vector[k] /= factor[k, k]
        while before > 0:
            vector[joints[before]] -= factor[k, joints[before]] * vector[k]
            before = parents[before]
    for b in range(1, len(parents)):
        k, before = joints[b], parents[b]
        while before > 0:
            vector[k] -= factor[k, joints[before]] * vector[joints[before]]
            before = parents[before]
        vector[k] /= factor[k, k]

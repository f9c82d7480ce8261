"""Distances between rounded boxes on a robot's links, and how the joints change them; compiled.

For any direction n the gap between two boxes along n is at most their distance, and equal to it for the direction of their
nearest points. So these are sought, and the gap along the direction that is found is taken: where the search ends early,
the distance is thought smaller than it is and never larger. Boxes that overlap are as far apart as the greatest gap, then
negative, along the 15 directions that may separate two boxes (Gottschalk, Lin and Manocha, 1996).
"""

from __future__ import annotations

import math

import numba

from rl_robot_control.shield.compiled import compiled
from rl_robot_control.shield.mechanics import POSITION, ROTATION, SCREW_SHIFT, SCREW_TURN, Indices, Matrix, Vector

# Constants of each shape in the frame of its link: columns of an array (S, SHAPE), in metres.
CENTRE = 0  # 3
AXES = 3  # 9, row by row, the axes being columns
HALF = 12  # 3
RADIUS = 15
BALL = 16  # radius of the ball around it
SHAPE = 17

_STEPS = 60  # of the search for the nearest points
_CLOSE = 1e-5  # how exactly the distance is sought [m]
_TOUCHING = 1e-6  # [m]


@compiled(numba.void(Matrix, Indices, Matrix, Matrix))
def put(shapes, links, pose, placed):
    """Shapes in the frame of the base.

    Args:
        shapes: (S, SHAPE)
        links: (S,) index of each one's link.
        pose: (B, POSE) of the links.
        placed: (S, SHAPE) receives the shapes.
    """
    for s in range(len(shapes)):
        shape, link, own = shapes[s], pose[links[s]], placed[s]
        for i in range(3):
            r0, r1, r2 = link[ROTATION + 3 * i], link[ROTATION + 3 * i + 1], link[ROTATION + 3 * i + 2]
            own[CENTRE + i] = r0 * shape[CENTRE] + r1 * shape[CENTRE + 1] + r2 * shape[CENTRE + 2] + link[POSITION + i]
            for k in range(3):
                own[AXES + 3 * i + k] = r0 * shape[AXES + k] + r1 * shape[AXES + 3 + k] + r2 * shape[AXES + 6 + k]
        for i in range(HALF, SHAPE):
            own[i] = shape[i]


@compiled()
def _gap(a, b, nx, ny, nz):
    """Between two boxes along a direction from a to b; the radii are left out."""
    gap = (b[CENTRE] - a[CENTRE]) * nx + (b[CENTRE + 1] - a[CENTRE + 1]) * ny + (b[CENTRE + 2] - a[CENTRE + 2]) * nz
    for k in range(3):
        gap -= a[HALF + k] * abs(a[AXES + k] * nx + a[AXES + 3 + k] * ny + a[AXES + 6 + k] * nz)
        gap -= b[HALF + k] * abs(b[AXES + k] * nx + b[AXES + 3 + k] * ny + b[AXES + 6 + k] * nz)
    return gap


@compiled()
def _nearest_in(box, px, py, pz, line, at):
    """Write the point of a box that is nearest to a point into a line, from an index on."""
    dx, dy, dz = px - box[CENTRE], py - box[CENTRE + 1], pz - box[CENTRE + 2]
    for i in range(3):
        line[at + i] = box[CENTRE + i]
    for k in range(3):
        x, y, z = box[AXES + k], box[AXES + 3 + k], box[AXES + 6 + k]
        along = min(max(dx * x + dy * y + dz * z, -box[HALF + k]), box[HALF + k])
        line[at] += along * x
        line[at + 1] += along * y
        line[at + 2] += along * z


@compiled()
def _overlap(a, b, line):
    """Greatest gap along the directions that may separate two boxes; the line gets two points that lie so far apart."""
    best, bx, by, bz = -math.inf, 0.0, 0.0, 1.0
    for k in range(15):
        if k < 6:
            own = a if k < 3 else b
            x, y, z = own[AXES + k % 3], own[AXES + 3 + k % 3], own[AXES + 6 + k % 3]
        else:
            i, j = (k - 6) // 3, (k - 6) % 3
            ax, ay, az = a[AXES + i], a[AXES + 3 + i], a[AXES + 6 + i]
            x = ay * b[AXES + 6 + j] - az * b[AXES + 3 + j]
            y = az * b[AXES + j] - ax * b[AXES + 6 + j]
            z = ax * b[AXES + 3 + j] - ay * b[AXES + j]
            length = math.sqrt(x * x + y * y + z * z)
            if length < 1e-6:
                continue
            x, y, z = x / length, y / length, z / length
        if (b[CENTRE] - a[CENTRE]) * x + (b[CENTRE + 1] - a[CENTRE + 1]) * y + (b[CENTRE + 2] - a[CENTRE + 2]) * z < 0:
            x, y, z = -x, -y, -z
        gap = _gap(a, b, x, y, z)
        if gap > best:
            best, bx, by, bz = gap, x, y, z
    middle = 0.5 * best
    for i in range(3):
        half = middle * (bx if i == 0 else by if i == 1 else bz)
        centre = 0.5 * (line[i] + line[3 + i])
        line[i], line[3 + i] = centre - half, centre + half
    return best, bx, by, bz


@compiled(numba.float64(Vector, Vector, numba.float64, Vector, Vector))
def distance(a, b, cutoff, line, normal):
    """Distance of two shapes, negative where they overlap; where it is not below the cutoff, any value from there on.

    Args:
        a: (SHAPE,) placed.
        b: (SHAPE,) placed.
        cutoff: [m]
        line: (6,) receives a point of each, between which the distance lies [m].
        normal: (3,) receives the direction from a to b.
    """
    dx, dy, dz = b[CENTRE] - a[CENTRE], b[CENTRE + 1] - a[CENTRE + 1], b[CENTRE + 2] - a[CENTRE + 2]
    radii = a[RADIUS] + b[RADIUS]
    if math.sqrt(dx * dx + dy * dy + dz * dz) - a[BALL] - b[BALL] >= cutoff:
        return cutoff
    # nearest points by projecting onto one box and the other in turn, with momentum (Nesterov) that restarts
    px, py, pz = b[CENTRE], b[CENTRE + 1], b[CENTRE + 2]
    qx, qy, qz = px, py, pz
    speed, least = 1.0, math.inf
    best = -math.inf
    for _ in range(_STEPS):
        _nearest_in(a, qx, qy, qz, line, 0)
        _nearest_in(b, line[0], line[1], line[2], line, 3)
        dx, dy, dz = line[3] - line[0], line[4] - line[1], line[5] - line[2]
        length = math.sqrt(dx * dx + dy * dy + dz * dz)
        if length < _TOUCHING:
            break
        nx, ny, nz = dx / length, dy / length, dz / length
        gap = _gap(a, b, nx, ny, nz)
        if gap > best:
            best = gap
            normal[0], normal[1], normal[2] = nx, ny, nz
        if length - best < _CLOSE or best - radii >= cutoff:
            break
        if length > least:
            speed = 1.0
        least = length
        faster = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * speed * speed))
        push = (speed - 1.0) / faster
        qx, qy, qz = (line[3] + push * (line[3] - px), line[4] + push * (line[4] - py), line[5] + push * (line[5] - pz))
        px, py, pz, speed = line[3], line[4], line[5], faster
    if best <= 0.0:
        best, normal[0], normal[1], normal[2] = _overlap(a, b, line)
    for i in range(3):
        line[i] += a[RADIUS] * normal[i]
        line[3 + i] -= b[RADIUS] * normal[i]
    return best - radii


@compiled(numba.void(Indices, Indices, Matrix, numba.int64, numba.int64, Vector, Vector, Vector))
def slope(parents, joints, pose, a, b, line, normal, gradient):
    """Change of a distance per joint movement.

    Args:
        parents: (B,) of the links.
        joints: (B,)
        pose: (B, POSE)
        a: Link of the first shape.
        b: Link of the second.
        line: (6,) from ``distance``.
        normal: (3,) likewise.
        gradient: (J,) receives it [m/rad].
    """
    gradient[:] = 0.0
    for end in range(2):
        link, sign, at = (a, -1.0, 0) if end == 0 else (b, 1.0, 3)
        x, y, z = line[at], line[at + 1], line[at + 2]
        while link > 0:
            s = pose[link]
            wx, wy, wz = s[SCREW_TURN], s[SCREW_TURN + 1], s[SCREW_TURN + 2]
            vx = s[SCREW_SHIFT] + wy * z - wz * y
            vy = s[SCREW_SHIFT + 1] + wz * x - wx * z
            vz = s[SCREW_SHIFT + 2] + wx * y - wy * x
            gradient[joints[link]] += sign * (normal[0] * vx + normal[1] * vy + normal[2] * vz)
            link = parents[link]


@compiled(numba.void(Matrix, Indices, Indices, Indices, Vector, numba.boolean[::1], Vector, Matrix, Matrix, Indices))
def survey(placed, pair_of, first, second, cutoff, wanted, found, lines, normals, nearest):
    """Distances of pairs of links, each the least of its pairs of shapes.

    Args:
        placed: (S, SHAPE) from ``put``.
        pair_of: (K,) which pair of links each pair of shapes belongs to.
        first: (K,) shape.
        second: (K,) shape.
        cutoff: (P,) beyond which a distance need not be known [m].
        wanted: (P,) pairs to look at.
        found: (P,) receives the distances of these, the cutoff where they are larger [m].
        lines: (P, 6) receives where they lie.
        normals: (P, 3) receives their directions.
        nearest: (P,) receives which pair of shapes is the nearest.
    """
    line, normal = lines[0].copy(), normals[0].copy()
    for p in range(len(found)):
        if wanted[p]:
            found[p] = cutoff[p]
    for k in range(len(pair_of)):
        p = pair_of[k]
        if wanted[p]:
            value = distance(placed[first[k]], placed[second[k]], found[p], line, normal)
            if value < found[p]:
                found[p], nearest[p] = value, k
                lines[p], normals[p] = line, normal

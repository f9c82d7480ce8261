"""Distances between the convex hulls of points, compiled: the algorithm of Gilbert, Johnson and Keerthi (1988).

Seen from hull a, hull b is the set of all differences between their points; their distance is that of this set from the
origin. It is approached by simplices of corners, each the farthest toward the origin from the best point so far. For
any direction n the gap between two hulls along n is at most their distance. The largest gap found is what is taken:
where the search ends early, hulls are thought nearer than they are and never farther. Hulls that overlap are as far
apart as the greatest gap that is found from some directions on, then negative.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from rl_robot_control.shield.compiled import compiled
from rl_robot_control.shield.mechanics import POSE, POSITION, ROTATION, Matrix, Vector

_STEPS = 32
_CLOSE = 1e-5  # how exactly the distance is sought [m]
_TINY = 1e-12
_TURNS = 24  # of the search for the way out of an overlap


@compiled(numba.int64(Matrix, numba.int64, numba.int64, numba.float64, numba.float64, numba.float64))
def _farthest(corners, start, end, x, y, z):
    """The corner that lies farthest in a direction."""
    best, found = -math.inf, start
    for i in range(start, end):
        along = corners[i, 0] * x + corners[i, 1] * y + corners[i, 2] * z
        if along > best:
            best, found = along, i
    return found


@compiled()
def _support(corners, start, end, pose, x, y, z, point):
    """The point of a placed hull that lies farthest in a direction."""
    i = _farthest(corners, start, end, pose[ROTATION] * x + pose[ROTATION + 3] * y + pose[ROTATION + 6] * z,
                  pose[ROTATION + 1] * x + pose[ROTATION + 4] * y + pose[ROTATION + 7] * z,
                  pose[ROTATION + 2] * x + pose[ROTATION + 5] * y + pose[ROTATION + 8] * z)
    a, b, c = corners[i, 0], corners[i, 1], corners[i, 2]
    for k in range(3):
        row = ROTATION + 3 * k
        point[k] = pose[POSITION + k] + pose[row] * a + pose[row + 1] * b + pose[row + 2] * c


@compiled(numba.float64(Vector, Vector))
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled(numba.void(Matrix, numba.int64, numba.int64, Vector))
def _segment(points, i, k, weight):
    """Weights of two points, between which the origin is nearest."""
    dx, dy, dz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
    length = dx * dx + dy * dy + dz * dz
    share = -(points[i, 0] * dx + points[i, 1] * dy + points[i, 2] * dz) / length if length > _TINY * _TINY else 0.0
    share = min(max(share, 0.0), 1.0)
    weight[:] = 0.0
    weight[i], weight[k] = 1.0 - share, share


@compiled(numba.float64(Matrix, Vector))
def _square(points, weight):
    """Squared distance of a weighted point from the origin."""
    total = 0.0
    for c in range(3):
        along = (weight[0] * points[0, c] + weight[1] * points[1, c]
                 + weight[2] * points[2, c] + weight[3] * points[3, c])
        total += along * along
    return total


@compiled(numba.float64(Matrix, numba.int64, numba.int64, numba.int64, Vector, Vector))
def _triangle(points, i, j, k, weight, trial):
    """Weights of three points, between which the origin is nearest; its squared distance."""
    ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
    bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
    aa, ab, bb = ax * ax + ay * ay + az * az, ax * bx + ay * by + az * bz, bx * bx + by * by + bz * bz
    pa = -(points[i, 0] * ax + points[i, 1] * ay + points[i, 2] * az)
    pb = -(points[i, 0] * bx + points[i, 1] * by + points[i, 2] * bz)
    area = aa * bb - ab * ab
    if area > _TINY * aa * bb:
        u, v = (bb * pa - ab * pb) / area, (aa * pb - ab * pa) / area
        if u >= 0.0 and v >= 0.0 and u + v <= 1.0:
            weight[:] = 0.0
            weight[i], weight[j], weight[k] = 1.0 - u - v, u, v
            return _square(points, weight)
    best = math.inf
    for side in range(3):
        first, second = (i, j) if side == 0 else (j, k) if side == 1 else (k, i)
        _segment(points, first, second, trial)
        square = _square(points, trial)
        if square < best:
            best = square
            weight[:] = trial
    return best


@compiled(numba.boolean(Matrix, Vector, Matrix))
def _tetrahedron(points, weight, trials):
    """Weights of four points, between which the origin is nearest; true if it lies inside."""
    inside, best = True, math.inf
    for face in range(4):
        i, j, k, other = ((0, 1, 2, 3) if face == 0 else (0, 1, 3, 2) if face == 1 else (0, 2, 3, 1) if face == 2
                          else (1, 2, 3, 0))
        ux, uy, uz = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        vx, vy, vz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        origin = -(points[i, 0] * nx + points[i, 1] * ny + points[i, 2] * nz)
        apex = ((points[other, 0] - points[i, 0]) * nx + (points[other, 1] - points[i, 1]) * ny
                + (points[other, 2] - points[i, 2]) * nz)
        if origin * apex <= 0.0:  # on the other side of this face, or a flat body
            inside = False
            square = _triangle(points, i, j, k, trials[0], trials[1])
            if square < best:
                best = square
                weight[:] = trials[0]
    return inside


@compiled(numba.float64(Matrix, numba.int64, numba.int64, Vector, numba.int64, numba.int64, Vector, Vector, Vector,
                        Vector, Vector))
def _escape(corners, start, end, pose, first, last, other, line, normal, p, q):
    """Greatest gap of overlapping hulls that is found; the direction becomes its own."""
    best, turn = -math.inf, 0.5
    x, y, z = normal[0], normal[1], normal[2]
    for k in range(13):  # that direction, or an axis of either link
        if k < 12:
            own, axis, side = pose if k < 6 else other, ROTATION + k // 2 % 3, 1.0 if k % 2 else -1.0
            a, b, c = side * own[axis], side * own[axis + 3], side * own[axis + 6]
        else:
            a, b, c = normal[0], normal[1], normal[2]
        _support(corners, start, end, pose, a, b, c, p)
        _support(corners, first, last, other, -a, -b, -c, q)
        gap = (q[0] - p[0]) * a + (q[1] - p[1]) * b + (q[2] - p[2]) * c
        if gap > best:
            best, x, y, z = gap, a, b, c
    best = -math.inf
    for _ in range(_TURNS):
        _support(corners, start, end, pose, x, y, z, p)
        _support(corners, first, last, other, -x, -y, -z, q)
        dx, dy, dz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
        gap = dx * x + dy * y + dz * z
        if gap > best:
            best = gap
            normal[0], normal[1], normal[2] = x, y, z
            for i in range(3):
                line[i], line[3 + i] = p[i], q[i]
        else:
            turn *= 0.5
        nx, ny, nz = normal[0], normal[1], normal[2]
        dx, dy, dz = line[3] - line[0], line[4] - line[1], line[5] - line[2]
        tx, ty, tz = dx - best * nx, dy - best * ny, dz - best * nz
        length = math.sqrt(tx * tx + ty * ty + tz * tz)
        if length < _TINY or turn < 1e-3:
            break
        x, y, z = nx + turn * tx / length, ny + turn * ty / length, nz + turn * tz / length
        length = math.sqrt(x * x + y * y + z * z)
        x, y, z = x / length, y / length, z / length
    return best


@compiled(numba.float64(Matrix, numba.int64, numba.int64, Vector, numba.int64, numba.int64, Vector, numba.float64,
                        Vector, Vector))
def hull_distance(corners, start, end, pose, first, last, other, cutoff, line, normal):
    """Distance of two placed hulls, negative where they overlap; where not below the cutoff, any value from there on.

    Args:
        corners: (V, 3) of all hulls, each in the frame of its link.
        start, end: Which of them are those of hull a.
        pose: (POSE,) of its link, see ``mechanics``.
        first, last: Those of hull b.
        other: (POSE,) of its link.
        cutoff: [m]
        line: (6,) receives a point of each, between which the distance lies [m].
        normal: (3,) receives the direction from a to b; before, a guess of it, of length 1.
    """
    points, ends = np.empty((4, 3)), np.empty((4, 6))  # of the simplex: differences, and the points that differ
    weight, trials, p, q = np.zeros(4), np.empty((2, 4)), np.empty(3), np.empty(3)
    guess = normal.copy()
    v = guess.copy()
    size, best, lowest = 0, -math.inf, math.inf
    for _ in range(_STEPS):
        length = math.sqrt(_dot(v, v))
        if length < _CLOSE:
            break
        x, y, z = v[0] / length, v[1] / length, v[2] / length
        _support(corners, start, end, pose, x, y, z, p)
        _support(corners, first, last, other, -x, -y, -z, q)
        gap = (q[0] - p[0]) * x + (q[1] - p[1]) * y + (q[2] - p[2]) * z
        if gap > best:
            best = gap
            normal[0], normal[1], normal[2] = x, y, z
        if best >= cutoff or (size and length - best < _CLOSE):
            break
        for i in range(3):
            points[size, i], ends[size, i], ends[size, 3 + i] = q[i] - p[i], p[i], q[i]
        size += 1
        inside = False
        if size == 1:
            weight[:] = 0.0
            weight[0] = 1.0
        elif size == 2:
            _segment(points, 0, 1, weight)
        elif size == 3:
            _triangle(points, 0, 1, 2, weight, trials[0])
        else:
            inside = _tetrahedron(points, weight, trials)
        if inside:
            best = min(best, 0.0)
            break
        kept = 0
        for i in range(size):
            if weight[i] > 0.0:
                points[kept], ends[kept], weight[kept] = points[i], ends[i], weight[i]
                kept += 1
        for i in range(kept, 4):
            weight[i] = 0.0
            points[i] = 0.0
        size = kept
        for i in range(3):
            v[i] = line[i] = line[3 + i] = 0.0
            for k in range(size):
                v[i] += weight[k] * points[k, i]
                line[i] += weight[k] * ends[k, i]
                line[3 + i] += weight[k] * ends[k, 3 + i]
        square = _dot(v, v)
        if square >= lowest * (1.0 - 1e-12) or size == 4:  # no progress: rounding
            break
        lowest = square
    if best <= 0.0:
        if best == -math.inf:
            normal[:] = guess
        best = _escape(corners, start, end, pose, first, last, other, line, normal, p, q)
    return best


@compiled(numba.void(Matrix, Matrix, Vector))
def excess(corners, points, distance):
    """Distances of points from a hull, zero within it.

    Args:
        corners: (V, 3) of the hull [m].
        points: (N, 3) [m]
        distance: (N,) receives the distances [m].
    """
    count = len(corners)
    both, middle = np.zeros((count + 1, 3)), np.zeros(3)  # the hull, and a point at the origin that is put elsewhere
    both[:count] = corners
    pose, other, line, normal = np.zeros(POSE), np.zeros(POSE), np.empty(6), np.empty(3)
    for i in range(3):
        pose[ROTATION + 4 * i] = other[ROTATION + 4 * i] = 1.0
        middle[i] = corners[:, i].mean()
    for n in range(len(points)):
        away = points[n] - middle
        normal[:] = away / max(math.sqrt(_dot(away, away)), _TINY)
        other[POSITION:POSITION + 3] = points[n]
        found = hull_distance(both, 0, count, pose, count, count + 1, other, math.inf, line, normal)
        distance[n] = 0.0
        if found > 0.0:  # at least; the points that were found are at most so far apart
            distance[n] = math.sqrt((line[3] - line[0]) ** 2 + (line[4] - line[1]) ** 2 + (line[5] - line[2]) ** 2)

"""Distances between shapes on a robot's links, and how the joints change them; compiled."""

from __future__ import annotations

import math

import numba
import numpy as np

from rl_robot_control.shield.compiled import compiled
from rl_robot_control.shield.hulls import hull_distance
from rl_robot_control.shield.mechanics import POSITION, ROTATION, SCREW_SHIFT, SCREW_TURN, Indices, Matrix, Vector

# Constants of each shape: columns of an array (S, SHAPE), in metres and in the frame of its link. A shape is all points
# no farther than the radius from the hull of its corners.
CENTRE = 0  # 3, of the ball around it
BALL = 3  # radius of that ball
RADIUS = 4
SHAPE = 5


@compiled(numba.void(Matrix, Indices, Indices, Matrix, Matrix, Indices, Indices, Indices, Vector, numba.boolean[::1],
                     Vector, Matrix, Matrix, Indices))
def survey(shapes, links, starts, corners, pose, pair_of, first, second, cutoff, wanted, found, lines, normals,
           nearest):
    """Distances of pairs of groups of shapes, each the least of its pairs of shapes.

    Args:
        shapes: (S, SHAPE)
        links: (S,) index of each one's link.
        starts: (S + 1,) where its corners begin, and where the last one's end.
        corners: (V, 3) of all shapes, in the frames of their links.
        pose: (B, POSE) of the links.
        pair_of: (K,) which of the P distances each pair of shapes belongs to.
        first: (K,) shape.
        second: (K,) shape.
        cutoff: (P,) beyond which a distance need not be known [m].
        wanted: (P,) distances to look at.
        found: (P,) receives these, the cutoff where they are larger; negative where shapes overlap [m].
        lines: (P, 6) receives a point of each shape, between which the distance lies [m].
        normals: (P, 3) receives its direction, from the first to the second.
        nearest: (P,) receives which pair of shapes is the nearest.
    """
    line, normal, centres = np.empty(6), np.empty(3), np.empty((len(shapes), 3))
    for s in range(len(shapes)):
        link = pose[links[s]]
        for i in range(3):
            row = ROTATION + 3 * i
            centres[s, i] = (link[POSITION + i] + link[row] * shapes[s, CENTRE] + link[row + 1] * shapes[s, CENTRE + 1]
                             + link[row + 2] * shapes[s, CENTRE + 2])
    for p in range(len(found)):
        if wanted[p]:
            found[p] = cutoff[p]
    for k in range(len(pair_of)):
        p, a, b = pair_of[k], first[k], second[k]
        if not wanted[p]:
            continue
        apart, radii = 0.0, shapes[a, RADIUS] + shapes[b, RADIUS]
        for i in range(3):
            normal[i] = centres[b, i] - centres[a, i]
            apart += normal[i] * normal[i]
        apart = math.sqrt(apart)
        if apart - shapes[a, BALL] - shapes[b, BALL] >= found[p]:
            continue
        for i in range(3):
            normal[i] = normal[i] / apart if apart > 1e-9 else 1.0 if i == 2 else 0.0
        value = hull_distance(corners, starts[a], starts[a + 1], pose[links[a]], starts[b], starts[b + 1],
                              pose[links[b]], found[p] + radii, line, normal) - radii
        if value < found[p]:
            found[p], nearest[p] = value, k
            for i in range(3):
                normals[p, i] = normal[i]
                lines[p, i] = line[i] + shapes[a, RADIUS] * normal[i]
                lines[p, 3 + i] = line[3 + i] - shapes[b, RADIUS] * normal[i]


@compiled(numba.void(Indices, Indices, Matrix, numba.int64, numba.int64, Vector, Vector, Vector))
def slope(parents, joints, pose, a, b, line, normal, gradient):
    """Change of a distance per joint movement.

    Args:
        parents: (B,) of the links.
        joints: (B,)
        pose: (B, POSE)
        a: Link of the first shape.
        b: Link of the second.
        line: (6,) from ``survey``.
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

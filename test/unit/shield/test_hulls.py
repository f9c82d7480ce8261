"""Distances of convex hulls, by hand and by many points."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl_robot_control.shield.clearance import reduced
from rl_robot_control.shield.hulls import excess, hull_distance
from rl_robot_control.shield.link_tree import Shape
from rl_robot_control.shield.mechanics import POSE, POSITION

CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
UNTURNED = np.eye(3)


def at(place, turn=UNTURNED):
    pose = np.zeros(POSE)
    pose[:9], pose[POSITION:POSITION + 3] = np.asarray(turn).ravel(), place
    return pose


def distance(a, b, pose_a, pose_b, cutoff=math.inf, guess=(0.0, 0.0, 1.0)):
    corners, line, normal = np.concatenate([a, b]), np.zeros(6), np.array(guess)
    found = hull_distance(corners, 0, len(a), pose_a, len(a), len(corners), pose_b, cutoff, line, normal)
    return found, line, normal


@pytest.mark.parametrize(('place', 'expected', 'direction'), [
    ((3, 0, 0), 1.0, (1, 0, 0)), ((3, 3, 0), math.sqrt(2), (1, 1, 0)), ((3, 3, 3), math.sqrt(3), (1, 1, 1)),
    ((0.3, -4, 0.2), 2.0, (0, -1, 0)), ((1.5, 0, 0), -0.5, (1, 0, 0)), ((0.2, 0.1, 1.9), -0.1, (0, 0, 1))])
def test_two_cubes(place, expected, direction):
    found, line, normal = distance(CUBE, CUBE, at((0, 0, 0)), at(place))
    assert abs(found - expected) < 2e-4
    np.testing.assert_allclose(normal, np.array(direction) / np.linalg.norm(direction), atol=2e-3)
    assert abs((line[3:] - line[:3]) @ normal - expected) < 2e-4


def test_a_turned_cube_points_its_edge():
    c = math.sqrt(0.5)
    turn = [[c, -c, 0], [c, c, 0], [0, 0, 1]]  # by 45° about z: it reaches √2 along x
    found, line, _ = distance(CUBE, CUBE, at((0, 0, 0)), at((4, 0, 0), turn))
    assert abs(found - (4 - 1 - math.sqrt(2))) < 1e-6
    assert abs(line[0] - 1.0) < 1e-6 and abs(line[3] - (4 - math.sqrt(2))) < 1e-6


def test_where_hulls_are_farther_than_asked_the_answer_says_so():
    assert distance(CUBE, CUBE, at((0, 0, 0)), at((9, 0, 0)), cutoff=0.5)[0] >= 0.5


def random_turn(random):
    q, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), points=st.integers(1, 30), others=st.integers(1, 30))
def test_no_two_points_are_nearer_and_the_found_ones_are_as_near(seed, points, others):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(points, 3)), random.normal(size=(others, 3))
    pose_a, pose_b = at(random.normal(0, 2, 3), random_turn(random)), at(random.normal(0, 2, 3), random_turn(random))
    found, line, normal = distance(a, b, pose_a, pose_b)
    assert abs(np.linalg.norm(normal) - 1.0) < 1e-9

    def inside(corners, pose):  # some points of the hull, the corners among them
        weights = np.concatenate([np.eye(len(corners)), random.dirichlet(np.full(len(corners), 0.3), 200)])
        return weights @ corners @ pose[:9].reshape(3, 3).T + pose[POSITION:POSITION + 3]

    mine, theirs = inside(a, pose_a), inside(b, pose_b)
    assert found <= (theirs @ normal).min() - (mine @ normal).max() + 1e-9  # a gap, so never more than the distance
    if found > 0:
        assert abs(np.linalg.norm(line[3:] - line[:3]) - found) < 1e-4
        apart = np.linalg.norm(mine[:, None] - theirs[None], axis=2).min()
        assert found <= apart + 1e-9


def test_excess_is_the_distance_from_the_hull():
    outside = np.zeros(4)
    excess(CUBE, np.array([[0.0, 0.5, 0.0], [1.5, 0.0, 0.0], [2.0, 2.0, 0.0], [0.9, -0.9, 0.9]]), outside)
    np.testing.assert_allclose(outside, [0.0, 0.5, math.sqrt(2), 0.0], atol=1e-5)


def test_a_reduced_shape_holds_all_of_the_shape_and_little_more():
    random = np.random.default_rng(0)
    points = random.normal(size=(3000, 3)) * [0.1, 0.05, 0.2]
    points /= np.maximum(1.0, np.linalg.norm(points / [0.2, 0.1, 0.4], axis=1))[:, None]
    few = reduced(Shape(points, 0.003))
    outside = np.zeros(len(points))
    excess(few.corners, points, outside)
    assert len(few.corners) <= 172 and outside.max() <= few.radius - 0.003 + 1e-9 < 0.01
    assert {tuple(corner) for corner in few.corners} <= {tuple(point) for point in points}
    assert reduced(Shape(CUBE)).corners is CUBE

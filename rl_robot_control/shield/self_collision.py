"""Distances between pairs of links, and how the joints change them."""

from __future__ import annotations

import itertools
import re

import numpy as np

from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.geometry_settings import SelfCollisionSettings
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.types import BoolArray, FloatArray

_POSES = 400  # random ones, that tell which pairs can meet
_NEAR = 0.1  # pairs that never come as near as this beyond the minimum are left out [m]
_FEW = 12  # pairs whose shapes are looked at without asking first how far the balls around them are
_VARIES = 0.01  # pairs whose distance varies less than this need no watching [m]


class LinkPairs:
    """Pairs of links that must stay apart, by the convex hulls of their collision shapes.

    These are the shapes that MuJoCo itself lets collide: meshes count by their convex hull.

    Args:
        robot: The robot.
        tree: Its links.
        rules: Which links, and how far apart.

    Attributes:
        names: P names, 'left_elbow_link – torso_link'.
        minimum: (P,) least distance [m].
        reach: (P, J) upper bounds of the change of distance per joint movement [m/rad].

    Raises:
        ConfigurationError: A pattern names no link, or a pair cannot be kept apart.
    """

    check = 'self_collision'

    def __init__(self, robot: RobotModel, tree: LinkTree, rules: SelfCollisionSettings) -> None:
        self._tree, self.approach = tree, rules.approach
        self._shapes = {body: shapes for body in set(tree.body_of.values()) if (shapes := tree.shapes(body))}
        self._bodies = _named(robot, tree, self._shapes, rules) if rules.pairs is not None else \
            self._derive(robot, tree, rules)
        self.names = [f'{_name(robot, tree, a)} – {_name(robot, tree, b)}' for a, b in self._bodies]
        self.reach = self._reach(robot)
        self._lay_out()
        tree.place(robot.default_position)
        distance = self.distances(np.full(len(self.names), np.inf))
        touching = np.flatnonzero(distance <= 0)
        if touching.size:
            raise ConfigurationError(f'{robot.name}: self_collision: {self.names[touching[0]]} overlap in the default '
                                     'pose; put this pair under exclude.')
        self.minimum = np.minimum(rules.minimum_distance, distance / 2)

    def distances(self, cutoff: FloatArray, which: BoolArray | None = None) -> FloatArray:
        """Distances (P,) in the tree's present pose [m], negative where links overlap.

        Args:
            cutoff: (P,) beyond which a distance need not be known [m]: any value from the cutoff on means "at least so far".
            which: (P,) pairs to look at; the others get a value from the cutoff on.
        """
        if which is not None and np.count_nonzero(which) <= _FEW:
            result, candidates = cutoff.copy(), [k for p in which.nonzero()[0] for k in self._rows[p]]
        else:
            geoms = self._tree.data.geom_xpos
            apart = geoms[self._first] - geoms[self._second]
            bound = np.sqrt(np.einsum('ij,ij->i', apart, apart)) - self._radii  # of the balls around the shapes
            result = np.maximum(np.minimum.reduceat(bound, self._starts), cutoff)
            near = bound < cutoff[self._pair]
            if which is not None:
                near &= which[self._pair]
            candidates = near.nonzero()[0].tolist()
        line = np.empty(6)
        for k in candidates:
            p = self._pair_list[k]
            found = self._tree.distance(self._first_list[k], self._second_list[k], result[p], line)
            if found < result[p]:
                result[p] = found
                self._line[p], self._witness[p] = line, k
        return result

    def gradient(self, p: int, distance: float) -> FloatArray:
        """Change of the distance of pair p per joint movement (J,) [m/rad], for the latest ``distances``."""
        k, start, end = self._witness[p], self._line[p, :3], self._line[p, 3:]
        normal = end - start if distance >= 0 else start - end
        length = np.sqrt(normal @ normal)
        if length < 1e-9:  # they just touch: apart means away from each other's middle
            normal = self._tree.data.geom_xpos[self._second[k]] - self._tree.data.geom_xpos[self._first[k]]
            length = np.sqrt(normal @ normal)
        normal = normal / max(length, 1e-9)
        a, b = self._bodies[p]
        return self._tree.rate(end, b, normal) - self._tree.rate(start, a, normal)

    def _reach(self, robot: RobotModel) -> FloatArray:
        extent = {body: self._tree.extent(body, self._shapes[body]) for pair in self._bodies for body in pair}
        reach = np.zeros((len(self._bodies), robot.num_joints))
        for p, (a, b) in enumerate(self._bodies):
            one, other = (self._tree.reach(body, extent[body]) for body in (a, b))
            reach[p] = np.where((one > 0) & (other > 0), 0.0, one + other)  # a joint below both moves both alike
        return reach

    def _lay_out(self) -> None:
        """All shapes of one link against all of the other, as flat arrays."""
        rows = [(p, i, j) for p, (a, b) in enumerate(self._bodies)
                for i, j in itertools.product(self._shapes[a], self._shapes[b])]
        self._pair, self._first, self._second = (np.array(column, dtype=np.intp) for column in zip(*rows, strict=True))
        self._starts = np.flatnonzero(np.diff(self._pair, prepend=-1))
        self._rows = [np.flatnonzero(self._pair == p).tolist() for p in range(len(self._bodies))]
        self._pair_list, self._first_list, self._second_list = (
            column.tolist() for column in (self._pair, self._first, self._second))
        radius = self._tree.model.geom_rbound
        self._radii = radius[self._first] + radius[self._second]
        self._line, self._witness = np.zeros((len(self.names), 6)), np.zeros(len(self.names), dtype=np.intp)

    def _derive(self, robot: RobotModel, tree: LinkTree, rules: SelfCollisionSettings) -> list[tuple[int, int]]:
        """All pairs that may meet, and that a joint which may be corrected keeps apart."""
        excluded = {frozenset(pair) for pair in _expand(robot, tree, rules.exclude)}
        moving = np.isin(np.arange(robot.num_joints), robot.joint_indices(rules.joints))
        self._bodies = [(a, b) for a, b in itertools.combinations(sorted(self._shapes), 2)
                        if not tree.adjoin(a, b) and frozenset((a, b)) not in excluded]
        if not self._bodies:
            raise ConfigurationError(f'{robot.name}: self_collision: no two links with collision shapes can meet; leave '
                                     'self_collision away.')
        self.names = [''] * len(self._bodies)
        movable = (self._reach(robot)[:, moving] > 0).any(axis=1)
        self._lay_out()
        closest, farthest, default = self._survey(robot, rules.minimum_distance + _NEAR)
        useful = movable & (default > 0) & (closest < rules.minimum_distance + _NEAR) & (farthest - closest > _VARIES)
        if not useful.any():
            raise ConfigurationError(f'{robot.name}: self_collision: no two links can meet; leave self_collision away.')
        return [pair for pair, keep in zip(self._bodies, useful, strict=True) if keep]

    def _survey(self, robot: RobotModel, cutoff: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Least and greatest distance in random poses, and the one in the default pose."""
        far, random = np.full(len(self._bodies), cutoff), np.random.default_rng(0)
        lower = np.where(robot.continuous, -np.pi, robot.position_lower)
        upper = np.where(robot.continuous, np.pi, robot.position_upper)
        seen = np.empty((_POSES, len(self._bodies)))
        for row in seen:
            self._tree.place(random.uniform(lower, upper))
            row[:] = self.distances(far)
        self._tree.place(robot.default_position)
        return seen.min(axis=0), seen.max(axis=0), self.distances(far)


def _named(robot: RobotModel, tree: LinkTree, shapes: dict, rules: SelfCollisionSettings) -> list[tuple[int, int]]:
    excluded = {frozenset(pair) for pair in _expand(robot, tree, rules.exclude)}
    pairs = {frozenset(pair): pair for pair in _expand(robot, tree, rules.pairs)}
    chosen = [pair for key, pair in pairs.items() if key not in excluded and len(key) == 2]
    if not chosen:
        raise ConfigurationError(f'{robot.name}: self_collision: pairs is empty; leave self_collision away.')
    for a, b in chosen:
        bare = [body for body in (a, b) if body not in shapes]
        if bare or tree.adjoin(a, b):
            why = f"'{_name(robot, tree, bare[0])}' has no collision shape" if bare else 'one joint connects them'
            raise ConfigurationError(f'{robot.name}: self_collision: {_name(robot, tree, a)} – {_name(robot, tree, b)} '
                                     f'cannot be kept apart: {why}; put this pair under exclude.')
    return chosen


def _expand(robot: RobotModel, tree: LinkTree, patterns: list[tuple[str, str]]) -> list[tuple[int, int]]:
    return [(a, b) for one, other in patterns
            for a, b in itertools.product(_bodies(robot, tree, one), _bodies(robot, tree, other))]


def _bodies(robot: RobotModel, tree: LinkTree, pattern: str) -> list[int]:
    """Bodies of the links that a pattern matches."""
    try:
        found = {tree.body_of[name]: None for name in tree.body_of if re.fullmatch(pattern, name)}
    except re.error as error:
        raise ConfigurationError(f"{robot.name}: self_collision: '{pattern}' is no regular expression: {error}.") from error
    if not found:
        raise UnknownNameError(f'link of {robot.name}', pattern, tree.body_of, where='self_collision')
    return list(found)


def _name(robot: RobotModel, tree: LinkTree, body: int) -> str:
    return robot.settings.base.link if body == 0 else tree.model.body(body).name

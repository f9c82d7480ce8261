"""What must keep apart: pairs of links, and frames and boxes of the workspace, all as pairs of convex shapes.

Links count by the convex hulls of their collision shapes, as in MuJoCo. A box that a frame must stay out of is a shape
of the base; one that it must stay in are six of them, its walls.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.geometry_settings import BoxSettings, SelfCollisionSettings, WorkspaceSettings
from rl_robot_control.shield import distances
from rl_robot_control.shield.hulls import excess
from rl_robot_control.shield.link_tree import LinkTree, Shape
from rl_robot_control.types import FloatArray

_POSES = 400  # random ones, that tell which pairs of links can meet
_NEAR = 0.1  # pairs that never come as near as this beyond the minimum are left out [m]
_VARIES = 0.01  # pairs whose distance varies less than this need no watching [m]
_THICK = 1.0  # walls [m]
_WIDE = 10.0  # likewise
_FEW = 48  # corners with which the reduction of a shape begins
_MANY = 160  # with which it ends at the latest
_FINE = 0.001  # how far the others may lie outside then [m]


Pairs = list[tuple[int, int]]  # of numbers of shapes


@dataclass(frozen=True)
class _Rule:
    """One distance."""

    name: str
    check: str
    pairs: Pairs
    approach: float
    minimum: float


class ShapePairs:
    """Distances between pairs of groups of shapes on a robot's links.

    Args:
        tree: The robot's links.
        shapes: Link and form of each of the S shapes.
        pairs: For each of the P distances the pairs of shapes of which the nearest counts.

    Attributes:
        shapes: (S, SHAPE) see ``distances``, as are ``links``, ``starts``, ``corners``, ``pair_of``, ``first`` and
            ``second``.
        reach: (P, J) upper bounds of the change of distance per joint movement [m/rad].
    """

    def __init__(self, tree: LinkTree, shapes: Sequence[tuple[int, Shape]], pairs: Sequence[Pairs]) -> None:
        self._tree, self._count = tree, len(pairs)
        self.links = np.array([link for link, _ in shapes], dtype=np.int64)
        self.starts = np.cumsum([0, *(len(shape.corners) for _, shape in shapes)], dtype=np.int64)
        self.corners = np.concatenate([shape.corners for _, shape in shapes])
        balls = [_ball(shape) for _, shape in shapes]
        self.shapes = np.array([[*centre, ball, shape.radius]
                                for (_, shape), (centre, ball) in zip(shapes, balls, strict=True)])
        rows = [(p, a, b) for p, each in enumerate(pairs) for a, b in each]
        self.pair_of, self.first, self.second = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
        self.reach = np.zeros((len(pairs), tree.num_joints))
        arms = [tree.reach(link, *ball) for (link, _), ball in zip(shapes, balls, strict=True)]
        for p, a, b in rows:
            both = (arms[a] > 0) & (arms[b] > 0)  # a joint below both moves both alike
            np.maximum(self.reach[p], np.where(both, 0.0, arms[a] + arms[b]), out=self.reach[p])

    def distances(self, position: FloatArray, cutoff: float = np.inf) -> FloatArray:
        """Distances (P,) with the joints at (J,) [rad], at most the cutoff [m]."""
        count, found = self._count, np.zeros(self._count)
        distances.survey(self.shapes, self.links, self.starts, self.corners, self._tree.place(position), self.pair_of,
                         self.first, self.second, np.full(count, cutoff), np.ones(count, dtype=bool), found,
                         np.zeros((count, 6)), np.zeros((count, 3)), np.zeros(count, dtype=np.int64))
        return found


class Clearance(ShapePairs):
    """The P distances that one robot must keep.

    Args:
        robot: The robot.
        tree: Its links.
        shapes: Link and form of each shape.
        rules: The distances.

    Attributes:
        names: Of the P distances, 'left_elbow_link – torso_link' or 'right_hand – table'.
        checks: For each 'self_collision' or 'workspace'.
        minimum: (P,) least distances [m]; half of what they are in the default pose where that is less.
        approach: (P,) share of the remaining distance that one cycle may use up.

    Raises:
        ConfigurationError: Something touches in the default pose.
    """

    def __init__(self, robot: RobotModel, tree: LinkTree, shapes: Sequence[tuple[int, Shape]],
                 rules: Sequence[_Rule]) -> None:
        super().__init__(tree, shapes, [rule.pairs for rule in rules])
        self.names, self.checks = [rule.name for rule in rules], [rule.check for rule in rules]
        self.approach = np.array([rule.approach for rule in rules])
        default = self.distances(robot.default_position)
        for rule, distance in zip(rules, default, strict=True):
            if distance <= 0:
                what = ('is violated' if rule.check == 'workspace' else 'touch')
                advice = 'move the box' if rule.check == 'workspace' else 'put this pair under exclude'
                raise ConfigurationError(f'{robot.name}: {rule.check}: {rule.name} {what} in the default pose; '
                                         f'{advice}.')
        self.minimum = np.minimum([rule.minimum for rule in rules], default / 2)


def make_clearance(robot: RobotModel, tree: LinkTree) -> Clearance | None:
    """What the robot's YAML asks to keep apart, None if it asks for nothing.

    Args:
        robot: The robot.
        tree: Its links.

    Raises:
        ConfigurationError: The settings contradict themselves or the default pose.
        UnknownNameError: They name a link or a frame that the robot does not have.
    """
    links, frames = robot.settings.self_collision, robot.settings.workspace
    if links is frames is None:
        return None
    shapes: list[tuple[int, Shape]] = []
    rules: list[_Rule] = []
    if links is not None:
        rules += _keep_links_apart(robot, tree, links, shapes)
    if frames is not None:
        rules += _keep_frames_inside(robot, tree, frames, shapes)
    return Clearance(robot, tree, shapes, rules)


def _keep_links_apart(robot: RobotModel, tree: LinkTree, rules: SelfCollisionSettings,
                      shapes: list[tuple[int, Shape]]) -> list[_Rule]:
    numbers: list[list[int]] = []  # of each link's shapes
    for link, own in enumerate(tree.shapes):
        numbers.append(list(range(len(shapes), len(shapes) + len(own))))
        shapes += [(link, reduced(shape)) for shape in own]
    pairs = _derived(robot, tree, rules, shapes, numbers) if rules.pairs is None else _named(robot, tree, rules)
    return [_Rule(f'{tree.names[a]} – {tree.names[b]}', 'self_collision',
                  list(itertools.product(numbers[a], numbers[b])), rules.approach, rules.minimum_distance)
            for a, b in pairs]


def _named(robot: RobotModel, tree: LinkTree, rules: SelfCollisionSettings) -> list[tuple[int, int]]:
    excluded = {frozenset(pair) for pair in _expand(robot, tree, rules.exclude)}
    pairs = {frozenset(pair): pair for pair in _expand(robot, tree, rules.pairs)}
    chosen = [pair for key, pair in pairs.items() if key not in excluded and len(key) == 2]
    if not chosen:
        raise ConfigurationError(f'{robot.name}: self_collision: pairs is empty; leave self_collision away.')
    for pair in chosen:
        bare = [tree.names[link] for link in pair if not tree.shapes[link]]
        if bare or tree.adjoin(*pair):
            why = f"'{bare[0]}' has no collision shape" if bare else 'one joint connects them'
            raise ConfigurationError(f'{robot.name}: self_collision: {" – ".join(tree.names[link] for link in pair)} '
                                     f'cannot be kept apart: {why}; put this pair under exclude.')
    return chosen


def _derived(robot: RobotModel, tree: LinkTree, rules: SelfCollisionSettings, shapes: list[tuple[int, Shape]],
             numbers: list[list[int]]) -> list[tuple[int, int]]:
    """All pairs of links that may meet, and that a joint which may be corrected keeps apart."""
    excluded = {frozenset(pair) for pair in _expand(robot, tree, rules.exclude)}
    solid = [link for link, own in enumerate(numbers) if own]
    pairs = [pair for pair in itertools.combinations(solid, 2)
             if not tree.adjoin(*pair) and frozenset(pair) not in excluded]
    if pairs:
        trial = ShapePairs(tree, shapes, [list(itertools.product(numbers[a], numbers[b])) for a, b in pairs])
        moving = np.isin(np.arange(robot.num_joints), robot.joint_indices(rules.joints))
        lower = np.where(robot.continuous, -np.pi, robot.position_lower)
        upper = np.where(robot.continuous, np.pi, robot.position_upper)
        poses = np.random.default_rng(0).uniform(lower, upper, size=(_POSES, robot.num_joints))
        sight = rules.minimum_distance + _NEAR
        seen = np.array([trial.distances(pose, sight) for pose in poses])
        useful = ((trial.reach[:, moving] > 0).any(axis=1) & (seen.min(axis=0) < sight)
                  & (np.ptp(seen, axis=0) > _VARIES))
        useful &= trial.distances(robot.default_position, sight) > 0  # shapes of neighbours often overlap
        pairs = [pair for pair, keep in zip(pairs, useful, strict=True) if keep]
    if not pairs:
        raise ConfigurationError(f'{robot.name}: self_collision: no two links with collision shapes can meet; leave '
                                 'self_collision away.')
    return pairs


def _expand(robot: RobotModel, tree: LinkTree, patterns: list[tuple[str, str]]) -> list[tuple[int, int]]:
    return [(a, b) for one, other in patterns
            for a, b in itertools.product(_matching(robot, tree, one), _matching(robot, tree, other))]


def _matching(robot: RobotModel, tree: LinkTree, pattern: str) -> list[int]:
    """Links that a pattern matches."""
    try:
        found = {link: None for name, link in tree.link_of.items() if re.fullmatch(pattern, name)}
    except re.error as error:
        raise ConfigurationError(f"{robot.name}: self_collision: '{pattern}' is no regular expression: "
                                 f'{error}.') from error
    if not found:
        raise UnknownNameError(f'link of {robot.name}', pattern, tree.link_of, where='self_collision')
    return list(found)


def _keep_frames_inside(robot: RobotModel, tree: LinkTree, rules: WorkspaceSettings,
                        shapes: list[tuple[int, Shape]]) -> list[_Rule]:
    boxes = {name: _solid(box) for name, box in rules.forbidden.items()}
    if rules.keep_in is not None:
        boxes |= _walls(rules.keep_in)
    if not boxes:
        raise ConfigurationError(f'{robot.name}: workspace names neither keep_in nor forbidden boxes; leave it away.')
    numbers = {name: len(shapes) + i for i, name in enumerate(boxes)}
    shapes += [(0, box) for box in boxes.values()]
    found = []
    for name in (robot.frame_names[i] for i in robot.frame_indices(rules.frames)):
        frame = robot.settings.frames[name]
        ball = Shape(tree.local(frame.link, frame.offset)[None], rules.radius)
        shapes.append((tree.link_of[frame.link], ball))
        found += [_Rule(f'{name} – {box}', 'workspace', [(len(shapes) - 1, number)], rules.approach, 0.0)
                  for box, number in numbers.items()]
    return found


def _solid(box: BoxSettings) -> Shape:
    return Shape(np.array(list(itertools.product(*zip(box.lower, box.upper, strict=True)))))


def _walls(box: BoxSettings) -> dict[str, Shape]:
    """Thick walls around a box."""
    found = {}
    for axis, side in itertools.product(range(3), (-1, 1)):
        ends = [(low - _WIDE, high + _WIDE) for low, high in zip(box.lower, box.upper, strict=True)]
        wall = (box.upper if side > 0 else box.lower)[axis]
        ends[axis] = (wall, wall + side * _THICK)
        found[f"keep_in {'+' if side > 0 else '-'}{'xyz'[axis]}"] = Shape(np.array(list(itertools.product(*ends))))
    return found


def reduced(shape: Shape) -> Shape:
    """A shape with fewer corners that holds all of a shape, as closely as they allow."""
    corners = shape.corners
    if len(corners) <= _FEW:
        return shape
    kept = np.unique((corners @ _directions(_FEW).T).argmax(axis=0))
    outside = _outside(corners[kept], corners)
    while outside.max() > _FINE and len(kept) < _MANY:
        kept = np.union1d(kept, _spread(corners, outside))
        far = outside > _FINE  # what was near enough is so to a larger hull
        outside[far] = np.minimum(outside[far], _outside(corners[kept], corners[far]))
    return Shape(np.ascontiguousarray(corners[kept]), shape.radius + float(outside.max()))


def _outside(chosen: FloatArray, corners: FloatArray) -> FloatArray:
    """How far corners (N, 3) lie outside the hull of chosen ones at most, zero within it (N,) [m]."""
    distance = np.zeros(len(corners))
    excess(chosen, corners, distance)
    return distance


def _spread(corners: FloatArray, outside: FloatArray) -> np.ndarray:
    """Some corners that lie outside, far from each other, the farthest first."""
    left, found = outside > _FINE, []
    while left.any() and len(found) < _FEW // 4:
        found.append(int(np.where(left, outside, -1.0).argmax()))
        left &= np.linalg.norm(corners - corners[found[-1]], axis=1) > 0.2 * np.linalg.norm(np.ptp(corners, axis=0))
    return np.array(found)


def _directions(count: int) -> FloatArray:
    """Unit vectors (count, 3) that are spread evenly (Fibonacci's lattice)."""
    k = np.arange(count) + 0.5
    z, angle = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    return np.stack([np.sqrt(1 - z * z) * np.cos(angle), np.sqrt(1 - z * z) * np.sin(angle), z], axis=1)


def _ball(shape: Shape) -> tuple[FloatArray, float]:
    """Centre and radius of a ball around a shape."""
    centre = (shape.corners.min(axis=0) + shape.corners.max(axis=0)) / 2
    return centre, float(np.linalg.norm(shape.corners - centre, axis=1).max()) + shape.radius

"""Distances of frames, e.g. hands, from the walls of boxes, and how the joints change them."""

from __future__ import annotations

import itertools

import numpy as np

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.geometry_settings import WorkspaceSettings
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.types import BoolArray, FloatArray

_WALLS = ('-x', '+x', '-y', '+y', '-z', '+z')


class FrameBounds:
    """Frames that must stay in one box and out of others; implements the same as ``LinkPairs``.

    Args:
        robot: The robot.
        tree: Its links.
        rules: Which frames and boxes, in the base link's frame.

    Attributes:
        names: P names, 'right_hand – keep_in +x' or 'right_hand – table'.
        minimum: (P,) zeros.
        reach: (P, J) upper bounds of the change of distance per joint movement [m/rad].

    Raises:
        ConfigurationError: No box is given, or a frame violates one in the default pose.
        UnknownNameError: The robot has no such frame.
    """

    check = 'workspace'

    def __init__(self, robot: RobotModel, tree: LinkTree, rules: WorkspaceSettings) -> None:
        self._tree, self._rules, self.approach = tree, rules, rules.approach
        frames = [robot.frame_names[i] for i in robot.frame_indices(rules.frames)]
        settings = [robot.settings.frames[name] for name in frames]
        self._links = [tree.model.body(frame.link).id if frame.link != robot.settings.base.link else 0
                       for frame in settings]
        self._offsets = np.array([frame.offset for frame in settings])
        walls = [f'keep_in {wall}' for wall in _WALLS] if rules.keep_in is not None else []
        self.names = [f'{frame} – {box}' for frame, box in itertools.product(frames, [*walls, *rules.forbidden])]
        if not self.names:
            raise ConfigurationError(f'{robot.name}: workspace names neither keep_in nor forbidden boxes; leave it away.')
        self._boxes = np.array([(box.lower, box.upper) for box in rules.forbidden.values()]).reshape(-1, 2, 3)
        reach = [tree.reach(link, float(np.linalg.norm(offset)))
                 for link, offset in zip(self._links, self._offsets, strict=True)]
        self._per_frame = len(self.names) // len(frames)
        self.reach, self.minimum = np.repeat(reach, self._per_frame, axis=0), np.zeros(len(self.names))
        tree.place(robot.default_position)
        wrong = np.flatnonzero(self.distances(np.full(len(self.names), np.inf)) < 0)
        if wrong.size:
            raise ConfigurationError(f'{robot.name}: workspace: {self.names[wrong[0]]} is violated in the default pose.')

    def distances(self, cutoff: FloatArray, which: BoolArray | None = None) -> FloatArray:
        """Distances (P,) from the walls in the tree's present pose [m], negative on the wrong side; see ``LinkPairs``."""
        data = self._tree.data
        turn = data.xmat[self._links].reshape(-1, 3, 3)
        self._points = data.xpos[self._links] + np.einsum('kij,kj->ki', turn, self._offsets)
        columns, normals = [], []
        for distance, normal in (*self._inside(), *self._outside()):
            columns.append(distance)
            normals.append(normal)
        self._normals = np.stack(normals, axis=1).reshape(-1, 3)
        return np.stack(columns, axis=1).ravel() - self._rules.radius

    def gradient(self, p: int, distance: float) -> FloatArray:
        """Change of distance p per joint movement (J,) [m/rad], for the latest ``distances``."""
        k = p // self._per_frame
        return self._tree.rate(self._points[k], self._links[k], self._normals[p])

    def _inside(self):
        if self._rules.keep_in is None:
            return
        for axis in range(3):
            normal = np.broadcast_to(np.eye(3)[axis], self._points.shape)
            yield self._points[:, axis] - self._rules.keep_in.lower[axis], normal
            yield self._rules.keep_in.upper[axis] - self._points[:, axis], -normal

    def _outside(self):
        """Signed distance to a box: outward along the shortest way."""
        for lower, upper in self._boxes:
            away = self._points - np.clip(self._points, lower, upper)
            distance = np.linalg.norm(away, axis=1)
            depth = np.concatenate([self._points - lower, upper - self._points], axis=1)  # to the six walls
            nearest = depth.argmin(axis=1)
            out = np.where(nearest < 3, -1.0, 1.0)[:, None] * np.eye(3)[nearest % 3]
            within = distance < 1e-12
            yield (np.where(within, -depth.min(axis=1), distance),
                   np.where(within[:, None], out, away / np.maximum(distance, 1e-12)[:, None]))

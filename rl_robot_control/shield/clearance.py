"""All distances that a robot must keep, and what is known of them without looking."""

from __future__ import annotations

import numpy as np

from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.shield.self_collision import LinkPairs
from rl_robot_control.shield.workspace import FrameBounds
from rl_robot_control.types import BoolArray, FloatArray


class Clearance:
    """The P distances of several constraints on one robot, in a row.

    Args:
        tree: The robot's links.
        constraints: On that tree.

    Attributes:
        names: Of the P distances.
        checks: For each 'self_collision' or 'workspace'.
        minimum: (P,) least distances [m].
        approach: (P,) share of the remaining distance that one cycle may use up.
        reach: (P, J) upper bounds of the change of distance per joint movement [m/rad].
    """

    def __init__(self, tree: LinkTree, constraints: list[LinkPairs | FrameBounds]) -> None:
        self.names = [name for c in constraints for name in c.names]
        self.checks = [c.check for c in constraints for _ in c.names]
        self.approach = np.concatenate([np.full(len(c.names), c.approach) for c in constraints])
        self.minimum = np.concatenate([c.minimum for c in constraints])
        self.reach = np.concatenate([c.reach for c in constraints])
        self.tree, self._constraints = tree, constraints
        self._owner = [(c, i) for c in constraints for i in range(len(c.names))]
        ends = np.cumsum([len(c.names) for c in constraints])
        self._parts = [slice(end - len(c.names), end) for c, end in zip(constraints, ends, strict=True)]

    def measure(self, pose: FloatArray, cutoff: FloatArray, which: BoolArray | None = None) -> FloatArray:
        """Distances (P,) in a pose (J,) [rad], see ``LinkPairs.distances``."""
        self.tree.place(pose)
        found = [c.distances(cutoff[part], None if which is None else which[part])
                 for c, part in zip(self._constraints, self._parts, strict=True)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def gradient(self, p: int, distance: float) -> FloatArray:
        """Change of distance p per joint movement (J,) [m/rad], for the latest ``measure``."""
        constraint, i = self._owner[p]
        return constraint.gradient(i, distance)


class Known:
    """Lower bounds of all distances of one robot: they shrink by as much as its joints can have changed them."""

    def __init__(self, clearance: Clearance) -> None:
        self._clearance = clearance
        self._pose, self._bound = np.zeros(clearance.reach.shape[1]), np.full(len(clearance.names), -np.inf)

    def at(self, pose: FloatArray, cutoff: FloatArray) -> FloatArray:
        """Distances (P,) in a pose [m]; from the cutoff on they are lower bounds."""
        bound = self._bound - self._clearance.reach @ np.abs(pose - self._pose)
        which = bound < cutoff
        if which.any():
            bound = np.where(which, self._clearance.measure(pose, cutoff, which), bound)
        self._pose, self._bound = pose.copy(), bound
        return bound

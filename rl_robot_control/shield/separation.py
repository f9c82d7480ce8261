"""Keeps links apart and frames in their workspace, by changing targets as little as possible.

Where ``approach`` says that targets would bring something too near too fast, the nearest targets are taken that do not:

    minimise |K·(x - target)|²   subject to   least <= x <= most   and   the bounds of ``approach``,

a small quadratic program; K are the stiffnesses of the drives, so that it is the torques that change least: a waist,
which carries everything, does not turn to make room for a hand that can move itself. The bounds of distances are soft,
so that there is an answer even where not all can be kept.
"""

from __future__ import annotations

from typing import Any

import daqp
import numpy as np

from rl_robot_control.shield.approach import approach, approaching
from rl_robot_control.shield.clearance import Clearance
from rl_robot_control.types import BoolArray, FloatArray

_SOLVED = (1, 2)  # daqp: all rows are met; all but soft ones are
_HARD, _SOFT = 0, 8  # daqp's kinds of rows
_UNBOUNDED = -1e30
_ROUNDING = 1e-9  # [rad]


class Separation:
    """Distances of N robots.

    Args:
        clearance: What must keep apart.
        movable: Indices of the F joints whose targets may be changed for that.
        num_joints: J.
        num_robots: N.

    Attributes:
        acted: Robot → names of the distances that shaped its latest targets; robots without any are left out.
    """

    def __init__(self, clearance: Clearance, movable: np.ndarray, num_joints: int, num_robots: int) -> None:
        self._clearance, self._movable = clearance, np.sort(movable)
        self._watched = (np.isin(np.arange(num_joints), movable), clearance.shapes, clearance.links, clearance.starts,
                         clearance.corners, clearance.pair_of, clearance.first, clearance.second, clearance.minimum,
                         clearance.approach, clearance.reach)
        self._cost = np.eye(len(movable))  # see ``retune``
        count = len(clearance.names)
        self._known, self._bound = np.zeros((num_robots, num_joints)), np.full((num_robots, count), -np.inf)
        rows = count + 2 * num_joints
        self._rows, self._which = np.zeros((rows, num_joints)), np.zeros(rows, dtype=np.int64)
        self._rates, self._limits = np.zeros(rows), np.zeros(rows)
        self._low, self._high = np.zeros(num_joints), np.zeros(num_joints)
        self.acted: dict[int, tuple[str, ...]] = {}

    def retune(self, stiffness: FloatArray) -> None:
        """Take the stiffnesses (J,) of the drives [N·m/rad]."""
        movable = stiffness[self._movable]
        self._cost = np.diag(np.square(movable / movable.mean()))

    def keep(self, robot: tuple[Any, ...], target: FloatArray, position: FloatArray, velocity: FloatArray,
             turn: FloatArray, down: FloatArray, usable: BoolArray) -> dict[str, BoolArray]:
        """Change targets in place where needed; for each check which were changed (N, J).

        Args:
            robot: What ``approach`` needs to know of it.
            target: (N, J) [rad].
            position: (N, J) measured [rad].
            velocity: (N, J) measured [rad/s].
            turn: (N, 3) angular velocity of the base, in its frame [rad/s].
            down: (N, 3) direction of gravity there.
            usable: (N,) robots whose state is known; the others' targets are left alone.
        """
        near = {check: np.zeros(target.shape, dtype=bool) for check in self._clearance.checks}
        wrong, self.acted = np.zeros(len(target), dtype=bool), {}
        approaching(*robot, position, velocity, turn, down, target, *self._watched, self._known, self._bound, usable,
                    wrong)
        for i in np.flatnonzero(wrong):
            count = approach(*robot, position[i], velocity[i], turn[i], down[i], target[i], *self._watched,
                             self._known[i], self._bound[i], self._rows, self._rates, self._limits, self._low,
                             self._high, self._which)
            change, active = self._solve(target[i], position[i], count)
            target[i, self._movable] += change
            self.acted[int(i)] = tuple(self._clearance.names[p] for p in active)
            for check in {self._clearance.checks[p] for p in active}:
                near[check][i, self._movable] = change != 0
        return near

    def _solve(self, target: FloatArray, position: FloatArray, count: int) -> tuple[FloatArray, np.ndarray]:
        """The least change (F,) of the joints that may move, and what distances shaped it; damping if there is none."""
        movable, size, which = self._movable, len(self._movable), self._which[:count]
        upper = np.concatenate([self._high[movable], self._limits[:count] - self._rates[:count]])
        lower = np.concatenate([self._low[movable], np.full(count, _UNBOUNDED)])
        kinds = np.full(size + count, _HARD, dtype=np.int32)
        kinds[size:][which >= 0] = _SOFT
        change, _, flag, info = daqp.solve(self._cost, np.zeros(size), self._rows[:count, movable], upper, lower, kinds)
        if flag not in _SOLVED:
            return position[movable] - target[movable], which[which >= 0]
        change[np.abs(change) < _ROUNDING] = 0.0  # untouched joints keep their bits
        return change, which[(np.abs(info['lam'][size:]) > 0) & (which >= 0)]

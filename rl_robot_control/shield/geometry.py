"""Keeps references where links stay apart and frames within their workspace: a discrete-time barrier and a small QP.

For each distance d with the minimum d₀ let h = d - d₀. One cycle may use up a share γ of it: h(q⁺) >= (1 - γ)·h(q) for the
references q, q⁺ of two cycles. A barrier alone does not know what a joint's brakes can do; so h >= 0 must also hold on the
way on which full braking would bring the references to rest. What is taken can therefore always be followed by braking.

The reference is where the joints should be. They follow late, and gravity draws them elsewhere. So h >= 0 is also
asked of where the drives will take the measured joints in the next moments. This is a forecast and not a guarantee:
where it cannot be had, as much of it as possible is.

A target that obeys passes as it is. Else the nearest one that does is found by a small QP:

    minimise |q⁺ - target|²   subject to   lower <= q⁺ <= upper   and   g·(q⁺ - c) >= b   for each row.

A row is a distance that was found too small, linearised at the candidate c that was looked at: the target first, then
the QP's answer, and so on. The *real* distances decide what is taken; the error of linearising has no say. Where no
candidate obeys the references brake.
"""

from __future__ import annotations

from dataclasses import dataclass

import daqp
import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.clearance import Clearance, Known
from rl_robot_control.shield.futures import HORIZON, LOOKS, Braking, Drives, Future, MeasuredFuture, ReferenceFuture
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.shield.self_collision import LinkPairs
from rl_robot_control.shield.workspace import FrameBounds
from rl_robot_control.types import BoolArray, FloatArray, RobotState

MARGIN = 0.001  # that a row keeps beyond the minimum, for what lies between two looks [m]
_TOLERANCE = 1e-6  # [m]
_STRIDE = 0.05  # longest way of any point between two looks at distances that are not known to be large [m]
_MOST_LOOKS = 48
_AHEAD = 0.1  # a look tells distances up to this beyond the need, and so how far no other look is needed [m]
_ROUNDS = 5  # of the QP, each with more rows
_SOFT_ROUNDS = 2  # of these, how many may be for the forecast alone
_SOLVED = (1, 2)  # daqp: all rows are met; all but soft ones are
_HARD, _SOFT = 0, 8  # daqp's kinds of rows
_UNBOUNDED = 1e30


@dataclass(frozen=True)
class _Row:
    """normal·x >= bound for the joints that may be corrected."""

    p: int  # which distance
    normal: FloatArray  # (F,)
    bound: float
    kind: int


class GeometryFilter:
    """Changes targets as little as needed for the distances of its constraints; see the module.

    Args:
        robot: The robot.
        control_period: Time between two cycles [s].
        clearance: The distances.
        joints: Indices of the F joints whose reference may be changed; the others are taken where they are measured.

    Attributes:
        clearance: The distances.
        joints: Sorted indices (F,).
        acted: For each robot the names of the constraints that shaped its latest target.
        held: For each robot how often no target met all constraints, so that it braked.
    """

    def __init__(self, robot: RobotModel, control_period: float, clearance: Clearance, joints: np.ndarray) -> None:
        self.clearance, self.joints = clearance, np.sort(joints)
        self._period, self._acceleration = control_period, robot.acceleration_limit
        self._step = robot.acceleration_limit[self.joints] * control_period**2  # change of motion per cycle [rad]
        self._speed = clearance.reach[:, self.joints].max(axis=0)
        self._drives = Drives(robot, self.joints, control_period)
        self._cost = np.eye(len(self.joints))
        self._known: list[tuple[Known, Known]] = []  # of each robot, around the references and the measured poses
        self.acted: list[tuple[str, ...]] = []
        self.held = np.zeros(0, dtype=np.int64)

    def filter(self, reference: FloatArray, target: FloatArray, lower: FloatArray, upper: FloatArray,
               state: RobotState | None) -> tuple[FloatArray, dict[str, BoolArray]]:
        """The next references of N robots, one after the other.

        Args:
            reference: (N, J) latest ones [rad].
            target: (N, J) wanted ones, within the bounds [rad].
            lower: (N, J) lowest that are viable in this cycle [rad].
            upper: (N, J) highest [rad].
            state: The measured state, None if unknown.

        Returns:
            The chosen references (N, J), the target itself bit for bit where nothing is near, and for each check the
            robots (N,) that it acted on.
        """
        n, names, checks = len(target), self.clearance.names, self.clearance.checks
        if len(self.held) != n:
            self.held = np.zeros(n, dtype=np.int64)
            self._known = [(Known(self.clearance), Known(self.clearance)) for _ in range(n)]
        chosen, self.acted = target.copy(), [()] * n
        active = {check: np.zeros(n, dtype=bool) for check in checks}
        for i in range(n):
            choice = self._choose(i, reference[i], target[i], lower[i], upper[i], _measured(state, i))
            if choice is None:
                continue
            chosen[i, self.joints], pairs, braked = choice
            self.held[i] += braked
            self.acted[i] = tuple(names[p] for p in pairs)
            for p in pairs:
                active[checks[p]][i] = True
        return chosen, active

    def distances(self, position: FloatArray) -> dict[str, float]:
        """Name of each constraint → its distance in a pose (J,) [m]."""
        values = self.clearance.measure(position, np.full(len(self.clearance.names), np.inf))
        return dict(zip(self.clearance.names, values.tolist(), strict=True))

    def _choose(self, i: int, reference: FloatArray, target: FloatArray, lower: FloatArray, upper: FloatArray,
                measured: tuple[FloatArray, ...] | None) -> tuple[FloatArray, list[int], bool] | None:
        """Another target (F,), the distances that shaped it, and whether it brakes; None: the target is all right."""
        joints = self.joints
        bounds = _Bounds(target[joints], lower[joints], upper[joints])
        braking = Braking(reference[joints], self._step, self._elapsed_share(lower, upper))
        watches, answer, rows, shaping = self._watches(i, reference, measured, braking, bounds.target), bounds.target, [], []
        for turn in range(_ROUNDS):
            found = [row for watch in watches for row in watch.rows(answer, exact=turn == 0)]
            if not found or (turn >= _SOFT_ROUNDS and all(row.kind == _SOFT for row in found)):
                return (answer, shaping, False) if turn else None
            rows += found
            solved = self._solve(bounds, rows)
            if solved is None:
                break
            answer, shaping = solved
        return bounds.nearest(braking.start), list(dict.fromkeys(row.p for row in rows)), True

    def _watches(self, i: int, reference: FloatArray, measured: tuple[FloatArray, ...] | None, braking: Braking,
                 target: FloatArray) -> list[_Watch]:
        joints, clearance, (around_reference, around_measured) = self.joints, self.clearance, self._known[i]
        future = ReferenceFuture(braking, self._speed, _STRIDE, _MOST_LOOKS)
        if measured is None:
            return [_barrier(clearance, joints, around_reference, reference, future, braking.start, target)]
        position, velocity, down = measured
        pose = position.copy()
        pose[joints] = reference[joints]
        load = clearance.tree.gravity(position, down)[joints]
        forecast = MeasuredFuture(self._drives, braking, position[joints], velocity[joints], load)
        return [_barrier(clearance, joints, around_reference, pose, future, braking.start, target),
                _forecast(clearance, joints, around_measured, position, forecast, target)]

    def _solve(self, bounds: _Bounds, rows: list[_Row]) -> tuple[FloatArray, list[int]] | None:
        """The point nearest to the target, and the distances whose rows are active; None if none obeys the hard rows."""
        size, count = len(self.joints), len(rows)
        kinds = np.concatenate([np.zeros(size, dtype=np.int32), np.array([row.kind for row in rows], dtype=np.int32)])
        answer, _, flag, info = daqp.solve(
            self._cost, -bounds.target, np.array([row.normal for row in rows]),
            np.concatenate([bounds.upper, np.full(count, _UNBOUNDED)]),
            np.concatenate([bounds.lower, [row.bound for row in rows]]), kinds, primal_tol=1e-9)
        if flag not in _SOLVED:
            return None
        answer = bounds.nearest(answer)
        np.copyto(answer, bounds.target, where=np.abs(answer - bounds.target) < 1e-9)  # untouched joints keep their bits
        return answer, list(dict.fromkeys(row.p for row, weight in zip(rows, info['lam'][size:], strict=True) if weight))

    def _elapsed_share(self, lower: FloatArray, upper: FloatArray) -> float:
        """Control period over the time that this cycle counts as.

        Where nothing but the acceleration bounds a joint, its interval is 2·A·T² wide; elsewhere it is narrower.
        """
        elapsed = float(np.sqrt(np.max((upper - lower) / (2 * self._acceleration))))
        return self._period / min(max(elapsed, 1e-3 * self._period), self._period)


@dataclass(frozen=True)
class _Bounds:
    target: FloatArray  # (F,)
    lower: FloatArray
    upper: FloatArray

    def nearest(self, point: FloatArray) -> FloatArray:
        return np.minimum(np.maximum(point, self.lower), self.upper)


@dataclass(frozen=True)
class _Watch:
    """The distances along a future, and what is needed of them."""

    clearance: Clearance
    joints: np.ndarray
    future: Future
    start: FloatArray  # (J,) pose from which the future starts
    distance: FloatArray  # (P,) there; where large, a lower bound
    need: FloatArray  # (L, P) at each place, the last row for all further ones
    relaxed: FloatArray  # (P,) the same for the first place after an answer of the QP
    margin: float  # that a row adds to the need
    kind: int

    def rows(self, answer: FloatArray, exact: bool) -> list[_Row]:
        """Rows for the distances that are too small after an answer (F,), at the first place where any is.

        A look tells for how long a distance cannot be too small, so that few are needed far from everything.
        """
        places, reach = self.future.places(answer), self.clearance.reach[:, self.joints]
        ways = np.abs(np.diff(places, axis=0, prepend=self.start[None, self.joints]))
        travel = np.cumsum(ways @ reach.T, axis=0)  # (L, P)
        known = self.distance  # less the travel since: a lower bound
        for k in np.flatnonzero((travel > known - self.need.max(axis=0)).any(axis=1)).tolist():
            need = self.need[min(k, len(self.need) - 1)]
            if k == 0 and not exact:
                need = self.relaxed
            doubtful = known - travel[k] < need
            if doubtful.any():
                distance = self._look(places[k], need + _AHEAD, doubtful)
                short = doubtful & (distance < need)
                if short.any():
                    return [self._row(p, k, answer, distance[p]) for p in short.nonzero()[0].tolist()]
                known = np.where(doubtful, distance + travel[k], known)
        return []

    def _look(self, place: FloatArray, cutoff: FloatArray, which: BoolArray) -> FloatArray:
        pose = self.start.copy()
        pose[self.joints] = place
        return self.clearance.measure(pose, cutoff, which)

    def _row(self, p: int, place: int, answer: FloatArray, distance: float) -> _Row:
        gradient = self.clearance.gradient(p, distance)[self.joints] * self.future.slopes(place)
        missing = self.need[min(place, len(self.need) - 1), p] + self.margin - distance
        return _Row(p, gradient, float(gradient @ answer + missing), self.kind)


def _barrier(clearance: Clearance, joints: np.ndarray, known: Known, pose: FloatArray, future: Future,
             start: FloatArray, target: FloatArray) -> _Watch:
    """What the references must obey: the barrier after this cycle, and the minimum while they brake."""
    minimum, approach, reach = clearance.minimum + MARGIN, clearance.approach, clearance.reach[:, joints]
    last = future.places(target)[-1]
    span = np.maximum(reach @ np.abs(last - start), reach @ np.abs(target - start) / approach)
    distance = known.at(pose, minimum + span)
    room = np.maximum(distance - minimum, 0.0)
    floor = np.minimum(clearance.minimum, distance)  # where it is too small already: no smaller
    wanted = np.minimum(distance, minimum + (1 - approach) * room) - _TOLERANCE
    # a QP's answer may use up half as much again: that saves the rounds that would find the last tenth of a millimetre
    relaxed = np.maximum(floor - _TOLERANCE, wanted - 0.5 * approach * room)
    return _Watch(clearance, joints, future, pose, distance, np.stack([wanted, floor]), relaxed, MARGIN, _HARD)


def _forecast(clearance: Clearance, joints: np.ndarray, known: Known, pose: FloatArray, future: Future,
              target: FloatArray) -> _Watch:
    """What the measured joints should obey; what is missing already must be made up for by the end of the forecast."""
    way = np.abs(np.diff(future.places(target), axis=0, prepend=pose[None, joints])).sum(axis=0)
    distance = known.at(pose, clearance.minimum + clearance.reach[:, joints] @ way)
    missing = np.maximum(clearance.minimum - distance, 0.0)
    left = 1.0 - np.arange(1, LOOKS + 1) / LOOKS
    need = clearance.minimum - left[:, None] * missing
    return _Watch(clearance, joints, future, pose, distance, need, need[0], MARGIN, _SOFT)


def _measured(state: RobotState | None, i: int) -> tuple[FloatArray, FloatArray, FloatArray] | None:
    """Position (J,), velocity (J,) and the direction of gravity in the base (3,); None if any is not known."""
    if state is None:
        return None
    x, y, z, w = state.base_quaternion[i]
    down = -np.array([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
    found = state.joint_position[i], state.joint_velocity[i], down
    return found if all(np.isfinite(values).all() for values in found) else None


def make_geometry(robot: RobotModel, control_period: float) -> GeometryFilter | None:
    """The filter that a robot's YAML asks for, None if it asks for none.

    Args:
        robot: The robot.
        control_period: Time between two cycles [s].

    Raises:
        ConfigurationError: The settings name unknown links, joints or frames, or contradict the default pose.
    """
    links, frames = robot.settings.self_collision, robot.settings.workspace
    rules = [rule for rule in (links, frames) if rule is not None]
    if not rules:
        return None
    tree, constraints = LinkTree(robot), []
    if links is not None:
        constraints.append(LinkPairs(robot, tree, links))
    if frames is not None:
        constraints.append(FrameBounds(robot, tree, frames))
    joints = robot.joint_indices(list(dict.fromkeys(pattern for rule in rules for pattern in rule.joints)))
    return GeometryFilter(robot, control_period, Clearance(tree, constraints), joints)

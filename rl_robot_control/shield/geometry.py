"""Keeps references where links stay apart and frames within their workspace: a discrete-time barrier and a small QP.

For each distance d with the minimum d₀ let h = d - d₀. One cycle may use up a share γ of it: h(q⁺) >= (1 - γ)·h(q) for the
references q, q⁺ of two cycles. The target that obeys this and is nearest to the wanted one is found by a small QP:

    minimise |q⁺ - target|²   subject to   lower <= q⁺ <= upper   and   g·(q⁺ - c) >= b   for each row.

A row is a barrier linearised at a candidate c. The first candidate is the target itself; if the *real* distances at it
obey, it passes as it is. Else those that fall short become rows, the QP's answer is the next candidate, and so on: the
error of linearising has no say in what is taken. A barrier alone does not know what a joint's brakes can do; so a
candidate must also keep the minimum along the way on which full braking would bring it to rest. What is taken can therefore
always be followed by braking, and that is what happens when no candidate obeys.

The reference is where the joints should be; gravity draws them elsewhere. So the same is asked of the measured pose, moved
as the reference moves, as far as the rows of the reference leave room.
"""

from __future__ import annotations

from dataclasses import dataclass

import daqp
import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.shield.self_collision import LinkPairs
from rl_robot_control.shield.workspace import FrameBounds
from rl_robot_control.types import BoolArray, FloatArray, RobotState

MARGIN = 0.001  # that a row keeps beyond the minimum, for what lies between two looks at the braking path [m]
_TOLERANCE = 1e-6  # [m]
_STRIDE = 0.05  # longest way of any point between two looks at distances that are not known to be large [m]
_LOOKS = 48  # most places on the braking path to look at; where it is longer they lie further apart
_AHEAD = 0.1  # a look tells distances up to this beyond the minimum, and so how far no other look is needed [m]
_ROUNDS = 5  # of the QP, each with more rows
_SOFT_ROUNDS = 2  # of these, how many may be for the measured pose alone
_SHRINK = (0.5, 0.25, 0.0)  # of the way from full braking to the QP's answer, when these were not enough
_RETREAT = 0.2  # share of what is missing that one cycle makes up for, where a measured distance is too small
_UNBOUNDED = 1e30


@dataclass(frozen=True)
class _Row:
    """normal·x >= bound for the corrected joints."""

    name: str
    check: str
    normal: FloatArray  # (F,)
    bound: float


class GeometryFilter:
    """Changes targets as little as needed for the distances of its constraints; see the module.

    Args:
        robot: The robot.
        control_period: Time between two cycles [s].
        tree: The robot's links.
        constraints: ``LinkPairs`` and ``FrameBounds`` on that tree.
        joints: Indices of the joints whose reference may be changed; the others are taken where they are measured.

    Attributes:
        names: Of all P constraints.
        checks: For each constraint 'self_collision' or 'workspace'.
        minimum: (P,) least distances [m].
        approach: (P,) share of the remaining distance that one cycle may use up.
        reach: (P, J) upper bounds of the change of distance per joint movement [m/rad].
        acted: For each robot the names of the constraints that shaped its latest target.
        held: For each robot how often no target met all constraints, so that it braked.
    """

    def __init__(self, robot: RobotModel, control_period: float, tree: LinkTree,
                 constraints: list[LinkPairs | FrameBounds], joints: np.ndarray) -> None:
        self.joints, self.period, self.acceleration = np.sort(joints), control_period, robot.acceleration_limit
        self.step = robot.acceleration_limit[self.joints] * control_period**2  # change of motion per cycle [rad]
        self.cost = np.eye(len(self.joints))
        self.names = [name for c in constraints for name in c.names]
        self.checks = [c.check for c in constraints for _ in c.names]
        self.approach = np.concatenate([np.full(len(c.names), c.approach) for c in constraints])
        self.minimum = np.concatenate([c.minimum for c in constraints])
        self.reach = np.concatenate([c.reach for c in constraints])
        self.corrected_reach = np.ascontiguousarray(self.reach[:, self.joints])
        self._tree, self._constraints = tree, constraints
        self._owner = [(c, i) for c in constraints for i in range(len(c.names))]
        ends = np.cumsum([len(c.names) for c in constraints])
        self._parts = [slice(end - len(c.names), end) for c, end in zip(constraints, ends, strict=True)]
        self._known: tuple[list[_Known], list[_Known]] = ([], [])  # around the references and the measured poses
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
        n = len(target)
        if len(self.held) != n:
            self.held = np.zeros(n, dtype=np.int64)
            self._known = tuple([_Known(self) for _ in range(n)] for _ in range(2))
        chosen, self.acted = target.copy(), [()] * n
        active = {c.check: np.zeros(n, dtype=bool) for c in self._constraints}
        for i in range(n):
            measured = None if state is None else state.joint_position[i]
            if measured is not None and not np.isfinite(measured).all():
                measured = None
            rows, braked = self._filter_one(i, reference[i], chosen[i], lower[i], upper[i], measured)
            self.held[i] += braked
            self.acted[i] = tuple(dict.fromkeys(row.name for row in rows))
            for row in rows:
                active[row.check][i] = True
        return chosen, active

    def distances(self, position: FloatArray) -> dict[str, float]:
        """Name of each constraint → its distance in a pose (J,) [m]."""
        values = self.measure(position, np.full(len(self.names), np.inf))
        return dict(zip(self.names, values.tolist(), strict=True))

    def _filter_one(self, i: int, reference: FloatArray, chosen: FloatArray, lower: FloatArray, upper: FloatArray,
                    measured: FloatArray | None) -> tuple[list[_Row], bool]:
        """Overwrites ``chosen`` (J,), the target so far; returns the rows that shaped it and whether it braked."""
        cycle = _Cycle(self, reference, chosen, lower, upper)
        pose = reference if measured is None else measured.copy()
        if measured is not None:
            pose[self.joints] = reference[self.joints]
        hard = _Watch(self, self._known[0][i], pose, cycle)
        soft = None if measured is None else _Watch(self, self._known[1][i], measured, cycle, _RETREAT)
        answer, acting, braked = cycle.choose(hard, soft)
        if answer is not None:
            chosen[self.joints] = answer
        return acting, braked

    def measure(self, position: FloatArray, cutoff: FloatArray, which: BoolArray | None = None) -> FloatArray:
        """Distances (P,) in a pose (J,), see ``LinkPairs.distances``."""
        self._tree.place(position)
        found = [c.distances(cutoff[part], None if which is None else which[part])
                 for c, part in zip(self._constraints, self._parts, strict=True)]
        return found[0] if len(found) == 1 else np.concatenate(found)

    def gradient(self, p: int, distance: float) -> FloatArray:
        """Change of distance p by the joints that may be corrected (F,), for the latest ``measure``."""
        constraint, i = self._owner[p]
        return constraint.gradient(i, distance)[self.joints]


class _Known:
    """What is known of all distances of one robot: lower bounds, which shrink by as much as the joints move."""

    def __init__(self, owner: GeometryFilter) -> None:
        self._owner = owner
        self._pose, self.bound = np.zeros(owner.reach.shape[1]), np.full(len(owner.names), -np.inf)

    def at(self, pose: FloatArray, cutoff: FloatArray) -> FloatArray:
        """Distances (P,) in a pose; from the cutoff on they are lower bounds."""
        bound = self.bound - self._owner.reach @ np.abs(pose - self._pose)
        which = bound < cutoff
        if which.any():
            bound = np.where(which, self._owner.measure(pose, cutoff, which), bound)
        self._pose, self.bound = pose.copy(), bound
        return bound


class _Cycle:
    """One cycle of one robot. Vectors (F,) hold the joints that may be corrected."""

    def __init__(self, owner: GeometryFilter, reference: FloatArray, target: FloatArray, lower: FloatArray,
                 upper: FloatArray) -> None:
        joints = owner.joints
        self._owner, self.start, self.target = owner, reference[joints], target[joints]
        self.lower, self.upper = lower[joints], upper[joints]
        self._brake = np.minimum(np.maximum(self.start, self.lower), self.upper)
        self._scale = self._elapsed_share(lower, upper)

    def choose(self, hard: _Watch, soft: _Watch | None) -> tuple[FloatArray | None, list[_Row], bool]:
        """The nearest target (F,) that keeps clear, None for the target itself; the rows that shaped it; did it brake."""
        answer, acting, rows, wishes = self.target, [], [], []
        for turn in range(_ROUNDS):
            cuts = hard.shortfalls(answer) + hard.shortfalls_braking(answer)
            more = soft.shortfalls(answer) if soft is not None and turn < _SOFT_ROUNDS else []
            if not cuts and not more:
                return (answer if acting else None), acting, False
            rows, wishes = rows + cuts, wishes + more
            solved = self._solve([*rows, *wishes]) or (self._solve(rows) if wishes else None)
            if solved is None:
                break
            answer, acting = solved
        return self._shrink(answer, hard), acting or rows, True

    def _shrink(self, answer: FloatArray, hard: _Watch) -> FloatArray:
        for share in _SHRINK:
            candidate = self._brake + share * (answer - self._brake)
            if share == 0 or not (hard.shortfalls(candidate) or hard.shortfalls_braking(candidate)):
                return candidate
        return self._brake

    def _solve(self, rows: list[_Row]) -> tuple[FloatArray, list[_Row]] | None:
        """The point nearest to the target, and the active rows; None if no point obeys all rows."""
        target, size = self.target, len(self.target)
        normals = np.array([row.normal for row in rows]).reshape(-1, size)
        answer, _, flag, info = daqp.solve(
            self._owner.cost, -target, normals, np.concatenate([self.upper, np.full(len(rows), _UNBOUNDED)]),
            np.concatenate([self.lower, [row.bound for row in rows]]), primal_tol=1e-9)
        if flag <= 0:
            return None
        answer = np.minimum(np.maximum(answer, self.lower), self.upper)
        np.copyto(answer, target, where=np.abs(answer - target) < 1e-9)  # joints that no row moves keep their bits
        weights = info['lam'][size:]
        return answer, [row for row, weight in zip(rows, weights, strict=True) if weight != 0]

    def most(self, gradient: FloatArray) -> float:
        """How much the joints can add to a distance in this cycle [m]."""
        return float(np.maximum(gradient * (self.lower - self.start), gradient * (self.upper - self.start)).sum())

    def rest(self, motion: FloatArray) -> float:
        """How many cycles of full braking follow a motion (F,) in this cycle."""
        return float(np.floor(np.abs(motion) * self._scale / self._owner.step).max())

    def braking(self, motion: FloatArray, cycles: float = np.inf) -> tuple[FloatArray, FloatArray]:
        """How far joints still move after a motion in this cycle [rad], and how that grows with the motion [-].

        Full braking takes one step S off the motion m in each cycle, so n cycles add n·m - S·n·(n + 1)/2.
        """
        size, step = np.abs(motion) * self._scale, self._owner.step
        count = np.minimum(np.floor(size / step), cycles)
        way = count * size - step * count * (count + 1) / 2
        return np.copysign(way, motion), count * self._scale

    def _elapsed_share(self, lower: FloatArray, upper: FloatArray) -> float:
        """Control period over the time that this cycle counts as: a short one stands for a quicker motion.

        Where nothing but the acceleration bounds a joint, its interval is 2·A·T² wide; elsewhere it is narrower.
        """
        period = self._owner.period
        elapsed = float(np.sqrt(np.max((upper - lower) / (2 * self._owner.acceleration))))
        return period / min(max(elapsed, 1e-3 * period), period)


class _Watch:
    """The distances around one pose, and what the next cycle must keep of them.

    Args:
        owner: The filter.
        known: What is known of this robot's distances around such poses.
        pose: (J,) where they are [rad].
        cycle: What the joints may do.
        retreat: Share of what is missing below the minimum that the cycle must make up for; 0: it may not get worse.
    """

    def __init__(self, owner: GeometryFilter, known: _Known, pose: FloatArray, cycle: _Cycle,
                 retreat: float = 0.0) -> None:
        self._owner, self._cycle, self._pose = owner, cycle, pose
        motion = np.abs(cycle.target - cycle.start)
        reach, minimum, approach = owner.corrected_reach, owner.minimum, owner.approach
        span = np.maximum(reach @ (motion + cycle.braking(motion)[0]), reach @ motion / approach)
        self._distance = known.at(pose, minimum + MARGIN + span)
        room = self._distance - minimum - MARGIN
        self._wanted = np.where(room > 0, minimum + MARGIN + (1 - approach) * room, self._distance)
        if retreat:
            missing = np.maximum(minimum - self._distance, 0.0)
            self._wanted += retreat * missing
        self._floor = np.minimum(minimum, self._distance)
        # a QP's answer may use up half as much again: that saves the rounds that would find the last tenth of a millimetre
        self._enough = np.maximum(self._floor, self._wanted - 0.5 * approach * np.maximum(room, 0.0))

    def shortfalls_braking(self, answer: FloatArray) -> list[_Row]:
        """Rows for the distances that are too small on the way to rest after the answer, for the first such place.

        One look tells for how long a distance cannot be too small, so that few are needed far from everything.
        """
        reach, cycle = self._owner.corrected_reach, self._cycle
        motion = answer - cycle.start
        spare = self._distance - self._floor
        near = reach @ np.abs(motion + cycle.braking(motion)[0]) > spare  # (P,)
        if not near.any():
            return []
        last, way = cycle.rest(motion), float((reach[near] @ np.abs(cycle.braking(motion)[0])).max())
        places = np.linspace(0.0, last, int(min(max(np.ceil(way / _STRIDE), 1), _LOOKS)) + 1)[1:]
        travel = reach @ np.abs(np.stack([motion + cycle.braking(motion, n)[0] for n in places], axis=1))  # (P, places)
        for k, cycles in enumerate(places.tolist()):
            doubtful = travel[:, k] > spare
            if doubtful.any():
                distance, slope = self._look(answer, cycles, self._floor + _AHEAD, doubtful)
                rows = self._rows(answer, distance, slope, doubtful & (distance < self._floor), self._floor + MARGIN)
                if rows:
                    return rows
                spare = np.where(doubtful, travel[:, k] + distance - self._floor, spare)
        return []

    def shortfalls(self, answer: FloatArray) -> list[_Row]:
        """Rows for the distances that the answer (F,) makes too small."""
        if answer is self._cycle.target:
            need = self._wanted - _TOLERANCE
        else:
            need = np.where(self._wanted > self._distance, self._wanted, self._enough)
        doubtful = self._owner.corrected_reach @ np.abs(answer - self._cycle.start) > self._distance - need
        if not doubtful.any():
            return []
        distance, slope = self._look(answer, 0.0, need, doubtful)
        return self._rows(answer, distance, slope, doubtful & (distance < need), self._wanted)

    def _look(self, answer: FloatArray, cycles: float, cutoff: FloatArray,
              which: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Distances (P,) after the answer and some cycles of braking, and how far that place moves with the answer."""
        way, slope = self._cycle.braking(answer - self._cycle.start, cycles)
        pose = self._pose.copy()
        pose[self._owner.joints] += answer + way - self._cycle.start
        return self._owner.measure(pose, cutoff, which), 1.0 + slope

    def _rows(self, answer: FloatArray, distance: FloatArray, slope: FloatArray, which: BoolArray,
              wanted: FloatArray) -> list[_Row]:
        """Rows for the distances that were just looked at and are too small."""
        owner, cycle, rows = self._owner, self._cycle, []
        for p in which.nonzero()[0].tolist():
            gradient = owner.gradient(p, distance[p]) * slope
            more = wanted[p] - distance[p]
            if wanted[p] > self._distance[p]:  # a retreat: no further than the joints can
                more = min(more, gradient @ (cycle.start - answer) + 0.5 * cycle.most(gradient))
            rows.append(_Row(owner.names[p], owner.checks[p], gradient, float(gradient @ answer + more)))
        return rows


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
    return GeometryFilter(robot, control_period, tree, constraints, joints)

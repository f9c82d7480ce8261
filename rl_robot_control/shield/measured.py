"""Keeps the measured robot from its stops and from itself: targets bound where the joints will go, not only where they should be.

The references can always brake before their limits. The joints follow late, and gravity and each other's motion draw them
elsewhere. So each cycle asks what the targets will make of the joints, by the robot's own inertia (``prediction``), and of
the distances between its links (``approach``). Where links would come together too fast, the nearest targets are taken
that avoid it:

    minimise |x - target|²   subject to   least <= x <= most   and   the bounds of ``approach``,

a small quadratic program. Then each joint that would be too fast for its stop gives way, by as much as that takes, and as the
effort allows; the stops have the last word.

This is a prediction and no guarantee: contact, a payload and wrong inertias are not in it. A floating base is taken as held.
"""

from __future__ import annotations

import math

import daqp
import numpy as np

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.approach import approach
from rl_robot_control.shield.clearance import Clearance, make_clearance
from rl_robot_control.shield.limits import GRAVITY, ShieldLimits
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.shield.mechanics import bias, mass_matrix
from rl_robot_control.shield.prediction import JOINT, keep_joints
from rl_robot_control.types import BoolArray, FloatArray

LEAST_BRAKING = 0.05  # of the effort, on which braking counts even where gravity needs all of it [-]
_POSES = 200  # random ones, for the lightest and heaviest
_STOP_POSES = 20  # for gravity at a stop
_SOLVED = (1, 2)  # daqp: all rows are met; all but soft ones are
_HARD, _SOFT = 0, 8  # daqp's kinds of rows
_UNBOUNDED = -1e30


class MeasuredGuard:
    """Changes targets of N robots where the measured joints or links would come too near to something.

    Args:
        limits: Of J joints, with their stops.
        tree: The robot's links, with J joints.
        armature: (J,) inertia of the drives' rotors [kg·m²].
        period: Control period [s].
        num_robots: N.
        clearance: Distances to keep; None: none.
        movable: (J,) joints whose target may be changed for a distance's sake; None: all.

    Attributes:
        acted: For each robot, the names of the distances that shaped its latest targets.
    """

    def __init__(self, limits: ShieldLimits, tree: LinkTree, armature: FloatArray, period: float, num_robots: int = 1,
                 clearance: Clearance | None = None, movable: BoolArray | None = None) -> None:
        self._period, self.clearance = period, clearance
        self.constants = joint_constants(limits, tree, armature)
        self._robot = self.constants, tree.links, tree.parents, tree.joints, tree.slides, period
        self.acted: list[tuple[str, ...]] = [()] * num_robots
        if clearance is not None:
            joints, count = limits.num_joints, len(clearance.names)
            self._movable = np.ones(joints, dtype=bool) if movable is None else movable
            self._moving = np.flatnonzero(self._movable)
            self._cost = np.eye(len(self._moving))
            self._known, self._bound = np.zeros((num_robots, joints)), np.full((num_robots, count), -np.inf)
            rows = count + 2 * joints
            self._rows, self._which = np.zeros((rows, joints)), np.zeros(rows, dtype=np.int64)
            self._rates, self._limits = np.zeros(rows), np.zeros(rows)
            self._low, self._high = np.zeros(joints), np.zeros(joints)

    def keep(self, target: FloatArray, position: FloatArray, velocity: FloatArray, turn: FloatArray, down: FloatArray,
             usable: BoolArray) -> tuple[BoolArray, dict[str, BoolArray]]:
        """Change targets in place where needed.

        Args:
            target: (N, J) [rad].
            position: (N, J) measured [rad].
            velocity: (N, J) measured [rad/s].
            turn: (N, 3) angular velocity of the base, in its frame [rad/s].
            down: (N, 3) direction of gravity there.
            usable: (N,) robots whose state is known; the others' targets are left alone.

        Returns:
            Which targets the stops changed (N, J), and for each check which targets distances changed (N, J).
        """
        at_stop, near = np.zeros(target.shape, dtype=bool), {}
        keep_joints(*self._robot, position, velocity, turn, down, usable, target, at_stop)
        if self.clearance is not None:
            near = {check: np.zeros(target.shape, dtype=bool) for check in self.clearance.checks}
            for i in np.flatnonzero(usable):
                self._keep_apart(i, target[i], position[i], velocity[i], turn[i], down[i], near)
        return at_stop, near

    def _keep_apart(self, i: int, target: FloatArray, position: FloatArray, velocity: FloatArray, turn: FloatArray,
                    down: FloatArray, near: dict[str, BoolArray]) -> None:
        pairs, self.acted[i] = self.clearance, ()
        count = approach(*self._robot, position, velocity, turn, down, target, self._movable, pairs.shapes, pairs.links,
                         pairs.pair_of, pairs.first, pairs.second, pairs.minimum, pairs.approach, pairs.reach, self._known[i],
                         self._bound[i], self._rows, self._rates, self._limits, self._low, self._high, self._which)
        if count:
            change, active = self._solve(target, position, count)
            target[self._moving] += change
            self.acted[i] = tuple(pairs.names[p] for p in active)
            for check in {pairs.checks[p] for p in active}:
                near[check][i, self._moving] = change != 0

    def _solve(self, target: FloatArray, position: FloatArray, count: int) -> tuple[FloatArray, np.ndarray]:
        """The least change (F,) of the joints that may move, and the distances that shaped it; damping if there is none."""
        moving, size, which = self._moving, len(self._moving), self._which[:count]
        upper = np.concatenate([self._high[moving], self._limits[:count] - self._rates[:count]])
        lower = np.concatenate([self._low[moving], np.full(count, _UNBOUNDED)])
        kinds = np.full(size + count, _HARD, dtype=np.int32)
        kinds[size:][which >= 0] = _SOFT
        change, _, flag, info = daqp.solve(self._cost, np.zeros(size), self._rows[:count, moving], upper, lower, kinds)
        if flag in _SOLVED:
            return change, which[(np.abs(info['lam'][size:]) > 0) & (which >= 0)]
        return position[moving] - target[moving], which[which >= 0]


def make_guard(robot: RobotModel, limits: ShieldLimits, period: float, num_robots: int = 1) -> MeasuredGuard | None:
    """The guard of a robot; None for one whose URDF gives its links no mass, which makes a prediction impossible.

    Args:
        robot: The robot.
        limits: Its limits.
        period: Control period [s].
        num_robots: N.

    Raises:
        ConfigurationError: The settings of self-collision and workspace contradict the robot.
    """
    if robot.mass <= 0:
        if robot.settings.self_collision is not None or robot.settings.workspace is not None:
            raise ConfigurationError(f'{robot.name}: {robot.urdf_path} gives no link a mass; self_collision and workspace '
                                     'need the inertia of the links.')
        return None
    tree, rules = LinkTree(robot), (robot.settings.self_collision, robot.settings.workspace)
    patterns = [pattern for rule in rules if rule is not None for pattern in rule.joints]
    movable = np.isin(np.arange(robot.num_joints), robot.joint_indices(patterns)) if patterns else None
    return MeasuredGuard(limits, tree, robot.armature, period, num_robots, make_clearance(robot, tree), movable)


def joint_constants(limits: ShieldLimits, tree: LinkTree, armature: FloatArray) -> np.ndarray:
    """What is known of each joint (J,) before any state is."""
    joints = np.zeros(limits.num_joints, dtype=JOINT)
    lower, upper = limits.stops
    joints['lower'], joints['upper'] = lower + limits.stop_margin, upper - limits.stop_margin
    joints['least'] = np.minimum(lower, limits.position_lower - limits.overshoot)
    joints['most'] = np.maximum(upper, limits.position_upper + limits.overshoot)
    joints['effort'], joints['stiffness'], joints['damping'] = limits.effort, limits.stiffness, limits.damping
    joints['armature'], joints['fastest'] = armature, limits.measured_velocity
    ends = np.where(np.isfinite(lower), lower, -math.pi), np.where(np.isfinite(upper), upper, math.pi)
    poses = np.random.default_rng(0).uniform(*ends, size=(_POSES, limits.num_joints))
    masses = [_inertia(tree, pose, armature)[0] for pose in poses]
    joints['lightest'] = np.min([1.0 / np.diag(np.linalg.inv(mass)) for mass in masses], axis=0)
    heaviest = np.max([np.diag(mass) for mass in masses], axis=0)
    for name, sign, stop, room in (('below', -1.0, ends[0], joints['most'] - joints['lower']),
                                   ('above', 1.0, ends[1], joints['upper'] - joints['least'])):
        pull = np.max([_pull(tree, pose, stop, sign, armature) for pose in poses[:_STOP_POSES]], axis=0)
        left = np.minimum(limits.effort, limits.stiffness * room) - pull
        joints[name] = limits.braking_share * np.maximum(left, LEAST_BRAKING * limits.effort) / heaviest
    return joints


def _pull(tree: LinkTree, pose: FloatArray, stop: FloatArray, sign: float, armature: FloatArray) -> FloatArray:
    """Torque (J,) with which gravity pulls each joint beyond its stop while the others are in some pose [N·m]."""
    pull = np.zeros(len(pose))
    for j in range(len(pose)):
        at_stop = pose.copy()
        at_stop[j] = stop[j]
        pull[j] = max(-sign * _inertia(tree, at_stop, armature)[1][j], 0.0)
    return pull


def _inertia(tree: LinkTree, position: FloatArray, armature: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mass matrix (J, J), and the torque (J,) that holds the joints of an upright robot against gravity."""
    joints, count = tree.num_joints, len(tree.links)
    pose, mass, torque = tree.place(position), np.zeros((joints, joints)), np.zeros(joints)
    mass_matrix(tree.links, tree.parents, tree.joints, pose, np.zeros((count, 10)), mass)
    bias(tree.links, tree.parents, tree.joints, pose, np.zeros(joints), np.zeros(3), np.array([0.0, 0.0, -GRAVITY]),
         np.zeros((count, 18)), torque)
    return mass + np.diag(armature), torque

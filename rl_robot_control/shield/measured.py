"""Keeps the measured robot from its stops and from itself.

Targets bound where the joints will go, not only where they should be. The references can always brake before their
limits. The joints follow late, and gravity and each other's motion draw them elsewhere. So each cycle asks what the
targets will make of the joints, by the robot's own inertia (``prediction``). Each joint that would be too fast for its
stop gives way, by as much as that takes, and as the effort allows; then the distances between links are seen to
(``separation``), as far as the stops allow.

This is a prediction and no guarantee: contact, a payload and wrong inertias are not in it. A floating base is taken as
held.
"""

from __future__ import annotations

import math

import numpy as np

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.clearance import make_clearance
from rl_robot_control.shield.limits import GRAVITY, ShieldLimits
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.shield.mechanics import bias, inertias, mass_matrix
from rl_robot_control.shield.prediction import JOINT, keep_joints
from rl_robot_control.shield.separation import Separation
from rl_robot_control.types import BoolArray, FloatArray

LEAST_BRAKING = 0.05  # of the effort, on which braking counts even where gravity needs all of it [-]
_POSES = 200  # random ones, for the lightest and heaviest
_PULL_POSES = 20  # of these, for gravity


class MeasuredGuard:
    """Changes targets where the measured joints or links would come too near to something.

    Args:
        limits: The robot's, with J joints.
        tree: Its links.
        armature: (J,) reflected inertia of the drives [kg·m²].
        period: Control period [s].
        separation: Distances to keep; None: none.
    """

    def __init__(self, limits: ShieldLimits, tree: LinkTree, armature: FloatArray, period: float,
                 separation: Separation | None = None) -> None:
        self._tree, self._armature, self._period, self._separation = tree, armature, period, separation
        self.retune(limits)

    def retune(self, limits: ShieldLimits) -> None:
        """Take other limits and gains of the same robot."""
        tree = self._tree
        self._robot = (joint_constants(limits, tree, self._armature), tree.links, tree.parents, tree.joints,
                       tree.slides, self._period)
        if self._separation is not None:
            self._separation.retune(limits.stiffness)

    @property
    def acted(self) -> dict[int, tuple[str, ...]]:
        """Robot → names of the distances that shaped its latest targets; robots without any are left out."""
        return {} if self._separation is None else self._separation.acted

    def keep(self, target: FloatArray, position: FloatArray, velocity: FloatArray, turn: FloatArray, down: FloatArray,
             usable: BoolArray, following: BoolArray) -> tuple[BoolArray, dict[str, BoolArray]]:
        """Change targets in place where needed.

        Args:
            target: (N, J) [rad].
            position: (N, J) measured [rad].
            velocity: (N, J) measured [rad/s].
            turn: (N, 3) angular velocity of the base, in its frame [rad/s].
            down: (N, 3) direction of gravity there.
            usable: (N,) robots whose state is known; the others' targets are left alone.
            following: (N,) robots that follow commands; one that is damped must not begin to move for a distance's
                sake.

        Returns:
            Which targets the stops changed (N, J), and for each check which targets distances changed (N, J).
        """
        at_stop = np.zeros(target.shape, dtype=bool)
        keep_joints(*self._robot, position, velocity, turn, down, usable, target, at_stop)
        near = {}
        if self._separation is not None:
            near = self._separation.keep(self._robot, target, position, velocity, turn, down, usable & following)
        return at_stop, near


def make_guard(robot: RobotModel, limits: ShieldLimits, period: float, num_robots: int = 1,
               distances: bool = True) -> MeasuredGuard | None:
    """The guard of a robot; None for one whose URDF gives its links no mass, which makes a prediction impossible.

    Args:
        robot: The robot.
        limits: Its limits.
        period: Control period [s].
        num_robots: N.
        distances: Whether to keep what its YAML says of self-collision and workspace.

    Raises:
        ConfigurationError: The settings of self-collision and workspace contradict the robot.
    """
    if robot.mass <= 0:
        if robot.settings.self_collision is not None or robot.settings.workspace is not None:
            raise ConfigurationError(f'{robot.name}: {robot.urdf_path} gives no link a mass; self_collision and '
                                     'workspace need the inertia of the links.')
        return None
    tree, rules = LinkTree(robot), (robot.settings.self_collision, robot.settings.workspace)
    separation = None
    if distances and (clearance := make_clearance(robot, tree)) is not None:
        patterns = [pattern for rule in rules if rule is not None for pattern in rule.joints]
        separation = Separation(clearance, robot.joint_indices(patterns), robot.num_joints, num_robots)
    return MeasuredGuard(limits, tree, robot.armature, period, separation)


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
    spring = limits.stiffness * np.stack([joints['most'] - joints['lower'], joints['upper'] - joints['least']])
    with np.errstate(invalid='ignore'):  # a continuous joint has no middle
        middle = np.nan_to_num((joints['lower'] + joints['upper']) / 2, nan=0.0, posinf=0.0, neginf=0.0)
    for name, sign, place, reach in (('below', -1.0, joints['lower'], spring[0]),
                                     ('above', 1.0, joints['upper'], spring[1]),
                                     ('before_below', -1.0, middle, np.inf), ('before_above', 1.0, middle, np.inf)):
        place = np.where(np.isfinite(place), place, 0.0)
        pull = np.max([_pull(tree, pose, place, sign, armature) for pose in poses[:_PULL_POSES]], axis=0)
        left = np.minimum(limits.effort, reach) - pull
        joints[name] = limits.braking_share * np.maximum(left, LEAST_BRAKING * limits.effort) / heaviest
    return joints


def _pull(tree: LinkTree, pose: FloatArray, place: FloatArray, sign: float, armature: FloatArray) -> FloatArray:
    """Torque (J,) with which gravity pulls each joint on at a place, while the others are in some pose [N·m]."""
    pull = np.zeros(len(pose))
    for j in range(len(pose)):
        there = pose.copy()
        there[j] = place[j]
        pull[j] = max(-sign * _inertia(tree, there, armature)[1][j], 0.0)
    return pull


def _inertia(tree: LinkTree, position: FloatArray, armature: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mass matrix (J, J), and the torque (J,) that holds the joints of an upright robot against gravity."""
    joints, count = tree.num_joints, len(tree.links)
    pose, mass, torque = tree.place(position), np.zeros((joints, joints)), np.zeros(joints)
    bodies = np.zeros((count, 10))
    inertias(tree.links, pose, bodies)
    bias(tree.parents, tree.joints, pose, bodies, np.zeros(joints), np.zeros(3), np.array([0.0, 0.0, -GRAVITY]),
         np.zeros((count, 18)), torque)
    mass_matrix(tree.parents, tree.joints, pose, bodies, mass)
    return mass + np.diag(armature), torque

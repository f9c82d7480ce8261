"""Where the joints go if a target is taken now and full braking follows: the references, and the joints themselves.

Both answer the same questions for the joints that the filter may correct: the places that follow a target x, and how
each of them moves with x. Arrays (L, F) hold L places of F joints.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray

HORIZON = 0.4  # for which the drives are predicted; they have settled then [s]
LOOKS = 20  # places within it


class Future(Protocol):
    """What follows a target."""

    def places(self, target: FloatArray) -> FloatArray:
        """(L, F) [rad], in the order of time."""

    def slopes(self, place: int) -> FloatArray:
        """(F,) change of one of the latest places per change of the target [-]."""


class Braking:
    """Full braking takes one step S = A·T² off the motion m of a cycle, so that n cycles add n·m - S·n·(n + 1)/2.

    Args:
        start: (F,) references before this cycle [rad].
        step: (F,) S [rad].
        scale: Control period over the time that this cycle counts as: a short one stands for a quicker motion.
    """

    def __init__(self, start: FloatArray, step: FloatArray, scale: float) -> None:
        self.start, self.step, self.scale = start, step, scale

    def after(self, target: FloatArray, cycles: FloatArray) -> tuple[FloatArray, FloatArray]:
        """References (L, F) some cycles (L,) of braking after a target (F,) [rad], and their slopes (L, F)."""
        motion = self.scale * (target - self.start)
        size = np.abs(motion)
        count = np.minimum(np.floor(size / self.step), cycles[:, None])
        way = count * size - self.step * (0.5 * count * (count + 1))
        return target + np.copysign(way, motion), 1.0 + self.scale * count

    def cycles(self, target: FloatArray) -> float:
        """Until all joints rest."""
        return float(np.floor(self.scale * np.abs(target - self.start) / self.step).max())


class ReferenceFuture:
    """The target itself, then the references while they brake, at places no further apart than a stride.

    Args:
        braking: Of this cycle.
        speed: (F,) upper bound of the speed of any watched point per joint movement [m/rad].
        stride: Longest way of such a point between two places [m].
        most: Of the places; where the way is longer they lie further apart.
    """

    def __init__(self, braking: Braking, speed: FloatArray, stride: float, most: int) -> None:
        self._braking, self._speed, self._stride, self._most = braking, speed, stride, most

    def places(self, target: FloatArray) -> FloatArray:
        """See ``Future``."""
        last = self._braking.cycles(target)
        way = np.abs(self._braking.after(target, np.array([last]))[0][0] - target) @ self._speed
        count = min(max(int(np.ceil(way / self._stride)), 1), self._most) if last else 0
        places, self._slopes = self._braking.after(target, np.linspace(0.0, last, count + 1))
        return places

    def slopes(self, place: int) -> FloatArray:
        """See ``Future``."""
        return self._slopes[place]


class Drives:
    """Position drives as damped springs, each with the heaviest inertia that it may have to move.

    M·a = stiffness·(target + sag - q) - damping·v. The response to a target that changes from place to place is a
    sum over its past.

    Args:
        robot: The robot.
        joints: (F,) which ones.
        period: Control period [s].
    """

    def __init__(self, robot: RobotModel, joints: np.ndarray, period: float) -> None:
        inertia = robot.armature if robot.inertia is None else np.maximum(robot.inertia[1], robot.armature)
        inertia, self.stiffness = np.maximum(inertia[joints], 1e-3), robot.stiffness[joints]
        dynamics = np.zeros((len(joints), 3, 3))  # of (q, v, target), the last of which stays
        dynamics[:, 0, 1] = 1.0
        dynamics[:, 1] = np.stack([-self.stiffness, -robot.damping[joints], self.stiffness], axis=1) / inertia[:, None]
        spacing, fine = HORIZON / LOOKS, 1024
        small = dynamics * (spacing / fine)
        once = np.linalg.matrix_power(np.eye(3) + small + small @ small / 2, fine)  # from place to place
        powers = np.stack([np.linalg.matrix_power(once, n) for n in range(LOOKS + 1)])  # (L + 1, F, 3, 3)
        self.of_position, self.of_velocity = powers[1:, :, 0, 0], powers[1:, :, 0, 1]  # (L, F)
        pulse = np.diff(powers[:, :, 0, 2], axis=0)  # (L, F) of a target that differs for one spacing
        self.of_target = np.zeros((LOOKS, LOOKS, len(joints)))  # at place l by the target before place k
        for late in range(LOOKS):
            self.of_target[late:, late] = pulse[:LOOKS - late]
        self.cycles = np.arange(LOOKS) * (spacing / period)


class MeasuredFuture:
    """The joints themselves, drawn by their drives after the references.

    Args:
        drives: How they follow.
        braking: Of this cycle.
        position: (F,) measured [rad].
        velocity: (F,) measured [rad/s].
        load: (F,) torque of gravity [N·m], with the sign of a drive's torque.
    """

    def __init__(self, drives: Drives, braking: Braking, position: FloatArray, velocity: FloatArray,
                 load: FloatArray) -> None:
        self._drives, self._braking = drives, braking
        self._sag = load / drives.stiffness
        self._free = drives.of_position * position + drives.of_velocity * velocity

    def places(self, target: FloatArray) -> FloatArray:
        """See ``Future``."""
        references, self._slopes = self._braking.after(target, self._drives.cycles)
        return self._free + np.einsum('lkf,kf->lf', self._drives.of_target, references + self._sag)

    def slopes(self, place: int) -> FloatArray:
        """See ``Future``."""
        return np.einsum('kf,kf->f', self._drives.of_target[place], self._slopes)

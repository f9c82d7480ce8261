"""Domain randomisation: what differs from world to world, and from measurement to measurement."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray, RobotState, Variation


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What was drawn for M robots."""

    physics: Variation
    delay: FloatArray  # (M,) of commands [s]
    noise: FloatArray  # (M, 4) deviations: joint position, joint velocity, base's angular velocity, tilt
    offset: FloatArray  # (M, J) constant error of the joints' zeros [rad]


def draw(terms: Sequence[Callable[..., dict[str, Any]]], random: np.random.Generator, count: int,
         robot: RobotModel) -> Draw:
    """Draw M worlds; several factors on the same thing multiply, anything else adds up.

    Args:
        terms: Bound terms.
        random: Source of randomness.
        count: M.
        robot: The robot.
    """
    physics = vars(Variation.none(count, robot.num_joints))
    others = {'delay': np.zeros(count), 'noise': np.zeros((count, 4)), 'offset': np.zeros((count, robot.num_joints))}
    for term in terms:
        for name, value in term(random, count, robot).items():
            if name in others:
                others[name] = others[name] + value
            else:
                physics[name] = physics[name] + value if name == 'payload' else physics[name] * value
    return Draw(physics=Variation(**physics), **others)


class Imperfections:
    """Commands that come late and measurements that are not exact, for N robots.

    Args:
        num_robots: N.
        num_joints: J.
        control_period: [s].
        longest: Greatest delay [s].
    """

    def __init__(self, num_robots: int, num_joints: int, control_period: float, longest: float) -> None:
        self._period = control_period
        self._delay = np.zeros(num_robots, dtype=np.intp)  # in control periods
        self._noise = np.zeros((num_robots, 4))
        self._offset = np.zeros((num_robots, num_joints))
        self._queue = np.zeros((round(longest / control_period) + 1, num_robots, num_joints))  # latest command first

    def reset(self, drawn: Draw, rest: FloatArray, index: np.ndarray) -> None:
        """Begin anew for robots (M,).

        Args:
            drawn: For these robots.
            rest: (M, J) position that they were commanded before [rad].
            index: (M,) which robots.
        """
        self._delay[index] = np.minimum(np.rint(drawn.delay / self._period), len(self._queue) - 1).astype(np.intp)
        self._noise[index], self._offset[index] = drawn.noise, drawn.offset
        self._queue[:, index] = rest

    def late(self, target: FloatArray) -> FloatArray:
        """The targets (N, J) that take effect when these (N, J) are commanded [rad]."""
        self._queue = np.concatenate([target[None], self._queue[:-1]])
        return self._queue[self._delay, np.arange(len(target))]

    def measured(self, state: RobotState, random: np.random.Generator) -> RobotState:
        """The state as it is measured."""
        noise, shape = self._noise[:, :, None], state.joint_position.shape
        position = state.joint_position + self._offset + noise[:, 0] * random.standard_normal(shape)
        velocity = state.joint_velocity + noise[:, 1] * random.standard_normal(shape)
        turning = state.base_angular_velocity + noise[:, 2] * random.standard_normal((len(position), 3))
        roll, pitch = (self._noise[:, 3] * random.standard_normal((2, len(position))))
        tilted = rotations.multiply(state.base_quaternion, rotations.from_euler(roll, pitch, np.zeros_like(roll)))
        return dataclasses.replace(state, joint_position=position, joint_velocity=velocity,
                                   base_angular_velocity=turning, base_quaternion=tilted)

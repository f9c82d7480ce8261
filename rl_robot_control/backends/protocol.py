"""Where a robot lives: one protocol for worlds in memory, for topics, and for hardware."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState


class Backend(Protocol):
    """N robots that advance by one control period per command.

    Attributes:
        robot: The robot's model; all N are alike.
        num_robots: N.
        control_period: Time between two commands [s].
        applied: (N, J) what the robots were told in the latest step, after a shield on the way [rad]; None before it.
    """

    robot: RobotModel
    num_robots: int
    control_period: float
    applied: FloatArray | None

    def reset(self, initial: InitialState, index: np.ndarray) -> RobotState:
        """Put M of the robots into new configurations.

        Args:
            initial: The configurations, in the order of ``index``.
            index: (M,) indices of the robots.

        Returns:
            The state of all N robots.

        Raises:
            BackendError: The backend cannot reset (hardware), or did not answer.
        """
        ...

    def step(self, command: JointCommand) -> RobotState:
        """Apply position targets for one control period and return the state at its end.

        Raises:
            BackendError: The backend did not answer, or a state is not finite.
        """
        ...

    def push(self, velocity: FloatArray, index: np.ndarray) -> None:
        """Change the base's velocity at once, as a shove would.

        Args:
            velocity: (M, 6) change of linear [m/s] and angular [rad/s] velocity in the world.
            index: (M,) indices of the robots.
        """
        ...

    def close(self) -> None:
        """Release threads, nodes and windows; a second call does nothing."""
        ...

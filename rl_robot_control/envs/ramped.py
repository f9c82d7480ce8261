"""A backend whose robots are not put anywhere: between episodes they move to where the next one starts."""

from __future__ import annotations

import numpy as np

from rl_robot_control.backends.protocol import Backend
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState

SPEED = 0.8  # of the fastest joint on the way to a start [rad/s]
SETTLING = 0.3  # at the start, before the episode begins [s]


class RampedBackend:
    """Resets as a real robot can: along a ramp from pose to pose, behind the shield; implements ``Backend``.

    Args:
        inner: Where the robot lives; only the very first reset is left to it.
        held: Whether the base is held; one that moves freely cannot be ramped back.

    Attributes:
        ramped: Time that ramps took so far, of all robots together [s].
        paced: Whether the robot goes on while nobody steps it.

    Raises:
        ConfigurationError: The base is free.
    """

    def __init__(self, inner: Backend, held: bool) -> None:
        if inner.robot.floating and not held:
            raise ConfigurationError(f"the base of '{inner.robot.name}' is free in this task: what has fallen cannot "
                                     'move back to its start by itself. Take a task whose base is held.')
        self.inner, self.robot = inner, inner.robot
        self.num_robots, self.control_period = inner.num_robots, inner.control_period
        self.applied: FloatArray | None = None
        self.ramped = 0.0
        self.paced = getattr(inner, 'paced', False)
        self.show_target = getattr(inner, 'show_target', None)
        self._state: RobotState | None = None

    @property
    def late(self) -> int:
        """How many steps found that their observation had grown old, where the robot goes on."""
        return getattr(self.inner, 'late', 0)

    def reset(self, initial: InitialState, index: np.ndarray) -> RobotState:
        """See ``Backend.reset``: the joints move there; velocities at the start are not given."""
        if self._state is None:
            self._state = self.inner.reset(self.robot.default_state(self.num_robots), np.arange(self.num_robots))
        start = self._state.joint_position.copy()
        target = start.copy()
        target[index] = initial.joint_position
        period = self.control_period
        moving = max(1, int(np.ceil(np.abs(target - start).max() / (SPEED * period))))
        steps = moving + round(SETTLING / period)
        for i in range(1, steps + 1):
            share = min(1.0, i / moving)
            self.step(JointCommand(stamp=self._state.time, position=start + share * (target - start)))
        self.ramped += steps * period * self.num_robots
        return self._state

    def step(self, command: JointCommand) -> RobotState:
        """See ``Backend.step``."""
        self._state = self.inner.step(command)
        self.applied = self.inner.applied
        return self._state

    def push(self, velocity: FloatArray, index: np.ndarray) -> None:
        """Nobody pushes a robot that is precious."""

    def close(self) -> None:
        """See ``Backend.close``."""
        self.inner.close()

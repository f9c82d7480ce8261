"""A backend behind the shield: the same object, in memory, that the shield node runs."""

from __future__ import annotations

import numpy as np

from rl_robot_control.backends.protocol import Backend
from rl_robot_control.shield import Shield, ShieldOutput
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState, Variation


class ShieldedBackend:
    """Passes every command through a shield; implements ``Backend``.

    Args:
        backend: Where the robots live; its states must not pass through another shield.
        shield: A shield for as many robots.
    """

    def __init__(self, backend: Backend, shield: Shield) -> None:
        self.inner, self.shield = backend, shield
        self.robot, self.num_robots, self.control_period = backend.robot, backend.num_robots, backend.control_period
        self._state: RobotState | None = None
        self.last: ShieldOutput | None = None  # what the shield made of the latest command
        self.applied: FloatArray | None = None

    def reset(self, initial: InitialState, index: np.ndarray) -> RobotState:
        """See ``Backend.reset``; the shield forgets these robots' past."""
        self._state = self.inner.reset(initial, index)
        self.shield.reset(self._state, index)
        return self._state

    def step(self, command: JointCommand) -> RobotState:
        """See ``Backend.step``; a robot for which no safe target is known is left where it is."""
        if self._state is None:
            raise RuntimeError('reset() comes before step()')
        self.last = self.shield.step(self._state, command, now=float(self._state.time.max()))
        safe = self._safe(self.last)
        self.applied = safe.position
        self._state = self.inner.step(safe)
        return self._state

    def push(self, velocity: FloatArray, index: np.ndarray) -> None:
        """See ``Backend.push``."""
        self.inner.push(velocity, index)

    def vary(self, variation: Variation, index: np.ndarray, random: np.random.Generator) -> None:
        """See ``MujocoBackend.vary``."""
        self.inner.vary(variation, index, random)

    def close(self) -> None:
        """See ``Backend.close``."""
        self.inner.close()

    def _safe(self, output: ShieldOutput) -> JointCommand:
        """The shield's command; where it has none, the default pose of a world that is about to be reset."""
        if output.valid.all():
            return output.command
        position = np.where(output.valid[:, None], output.command.position, self.robot.default_position)
        return JointCommand(stamp=output.command.stamp, position=position)

"""Whether a robot's states follow from one another: the reset of a simulation or of a clock breaks that."""

from __future__ import annotations

import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.types import RobotState

LARGEST_GAP = 0.5  # states further apart than this are not compared, and clocks may drift by as much [s]
JUMP = 0.15  # that no joint makes between two states beyond what its velocity explains [rad]
VELOCITY_FACTOR = 1.5  # the velocity between two states may exceed that at both of them


class Continuity:
    """Compares each state of one robot with the one before.

    Args:
        robot: The robot.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._names, self._fastest = robot.joint_names, robot.velocity_limit
        self._state: RobotState | None = None
        self._now = 0.0

    def check(self, state: RobotState, now: float) -> str:
        """Take the next state.

        Args:
            state: State (N = 1); one that is not finite is passed over.
            now: Monotonic time [s].

        Returns:
            How the state contradicts the one before, or empty.
        """
        before, passed = self._state, now - self._now
        if not (np.isfinite(state.time[0]) and np.isfinite(state.joint_position).all()):
            return ''
        self._state, self._now = state, now
        if before is None:
            return ''
        elapsed = state.time[0] - before.time[0]
        if elapsed < 0 or elapsed > passed + LARGEST_GAP:
            return f"the clock of the robot's states jumped by {elapsed - passed:.3f} s"
        return self._jump(before, state, elapsed) if elapsed <= LARGEST_GAP else ''

    def _jump(self, before: RobotState, state: RobotState, elapsed: float) -> str:
        speed = np.maximum(np.abs(before.joint_velocity[0]), np.abs(state.joint_velocity[0]))
        speed = np.where(np.isfinite(speed), VELOCITY_FACTOR * speed, self._fastest)
        moved = state.joint_position[0] - before.joint_position[0]
        excess = np.abs(moved) - speed * elapsed
        i = int(excess.argmax())
        if excess[i] <= JUMP:
            return ''
        return f"joint '{self._names[i]}' jumped by {moved[i]:.3f} rad within {elapsed:.3f} s"

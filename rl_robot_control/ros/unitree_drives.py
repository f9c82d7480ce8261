"""What a Unitree robot's drives are told, decided without ROS. Nothing here reads a clock."""

from __future__ import annotations

import numpy as np

from rl_robot_control.ros.unitree_hg import DAMPING, POSITION, VALUES
from rl_robot_control.types import FloatArray

DAMPED, HOLDING, FOLLOWING = 'damped', 'holding', 'following'
UNHEARD = 'no lowstate has been received'
WAITING = 'nothing is sent before the first command'


class UnitreeDrives:
    """Follows commands, and damps when they cease, when the robot is not heard, or for good when it is told to stop.

    Before the first command nothing is sent (``holding``): whatever holds the robot until then, its own mode or hands
    at a gantry, goes on holding it, and starting a driver must not let a standing robot fall. With ``hold_damped`` it
    is damped from its first state on. Nothing is sent before that: a LowCmd must echo the state's ``mode_machine``.

    Args:
        command_timeout: Silence after which the robot is damped [s].
        state_timeout: Likewise, of its states [s].
        damping: Gain while it is damped [N·m·s/rad].
        hold_damped: Damp before the first command.

    Attributes:
        drives: ``damped``, ``holding`` or ``following``, as of the latest ``update``.
        why: The reason; empty while commands are followed.
        latched: Why the robot stays damped until a restart, or empty.
    """

    def __init__(self, command_timeout: float, state_timeout: float, damping: float, hold_damped: bool) -> None:
        self._command_timeout, self._state_timeout = command_timeout, state_timeout
        self._damping, self._hold_damped = damping, hold_damped
        self._state_time = self._command_time = 0.0
        self._position: FloatArray | None = None  # (J,) as last measured [rad]
        self._command: FloatArray | None = None  # (J, 5)
        self._damped: FloatArray | None = None  # (J, 5), the same array as long as the robot is damped
        self.drives, self.why, self.latched = HOLDING, UNHEARD, ''

    @property
    def heard(self) -> bool:
        """Whether a state has ever come."""
        return self._position is not None

    def hear_state(self, position: FloatArray, now: float) -> None:
        """The robot's joints (J,) [rad] at a time [s]."""
        self._position, self._state_time = position, now

    def hear_command(self, values: FloatArray, now: float) -> None:
        """A command (J, 5), columns as ``VALUES``, at a time [s]."""
        self._command, self._command_time = values, now

    def latch(self, why: str) -> None:
        """Damp and stay damped."""
        self.latched = self.latched or why

    def state_age(self, now: float) -> float:
        """Time since the latest state [s], infinite before the first."""
        return now - self._state_time if self.heard else float('inf')

    def stale(self, now: float) -> bool:
        """Whether the latest state is too old to say anything of the robot."""
        return self.state_age(now) > self._state_timeout

    def update(self, now: float) -> FloatArray | None:
        """What the drives are to do at a time [s]: values (J, 5), columns as ``VALUES``; None: send nothing."""
        self.drives, self.why = self._judge(now)
        if self.drives != DAMPED:
            self._damped = None
            return self._command if self.drives == FOLLOWING else None
        if self._damped is None:
            # Without stiffness the position says nothing; it is the measured one in case anybody takes it at its word.
            self._damped = np.zeros((len(self._position), len(VALUES)))
            self._damped[:, POSITION], self._damped[:, DAMPING] = self._position, self._damping
        return self._damped

    def _judge(self, now: float) -> tuple[str, str]:
        if not self.heard:
            return HOLDING, UNHEARD
        if self.latched:
            return DAMPED, self.latched
        if self._command is None:
            return (DAMPED, 'hold_damped, before the first command') if self._hold_damped else (HOLDING, WAITING)
        if self.stale(now):
            return DAMPED, f'no lowstate for {self._state_timeout:g} s'
        if now - self._command_time > self._command_timeout:
            return DAMPED, f'no command for {self._command_timeout:g} s'
        return FOLLOWING, ''

"""Notices that the body is not as it should be: falling, turning too fast, at an odd height, with odd contacts."""

from __future__ import annotations

import math

import numpy as np

from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.shield.output import Reason
from rl_robot_control.types import BoolArray, RobotState

_ROUNDING = 1e-9  # [s]; sums of control periods are not exact
LOADED = 1.0  # least force that counts as contact [N]


class Watch:
    """How long something has been wrong with each robot.

    Args:
        num_robots: N.
        duration: For which it may be wrong [s].
    """

    def __init__(self, num_robots: int, duration: float) -> None:
        self._duration = duration
        self._since = np.full(num_robots, np.inf)  # start of the current excess, inf: none

    def clear(self, index) -> None:
        """Forget the past of some robots."""
        self._since[index] = np.inf

    def update(self, wrong: BoolArray, known: BoolArray, now: float) -> BoolArray:
        """For which robots it has been wrong for too long, (N,).

        Args:
            wrong: (N,) whether it is wrong now.
            known: (N,) whether that is known; where not, nothing is learned and nothing forgotten.
            now: [s]
        """
        wrong = wrong & known
        right = np.where(known, np.inf, self._since)
        self._since = np.where(wrong, np.minimum(self._since, now), right)
        return wrong & (now - self._since >= self._duration - _ROUNDING)


class BodyMonitor:
    """Turning, height and contacts of the base, and which of them are not measured.

    A measurement that is NaN is not "in order". One that was there and is no longer is a lost sensor, and the state is
    unusable. One that was never there is left out and counted, or with ``require_measurements`` unusable as well.

    Args:
        limits: What of ``turn``, ``height``, ``contact_force`` and ``unloaded`` is None is not checked.
        num_robots: N.

    Attributes:
        seen: (2, N) whether height and contacts have been measured.
        unmeasured: (N,) whether a check has been left out since the latest general cycle.
        some_unmeasured: Whether any has.
    """

    def __init__(self, limits: ShieldLimits, num_robots: int) -> None:
        self._limits, self._frames = limits, list(limits.contact_frames)
        self._contacts = limits.watches_contacts
        self.seen = np.zeros((2, num_robots), dtype=bool)  # height, contacts
        self.unmeasured = np.zeros(num_robots, dtype=bool)
        self.some_unmeasured = False
        brief = limits.tilt_duration
        self._watches = {Reason.TURNING: Watch(num_robots, brief), Reason.HEIGHT: Watch(num_robots, brief),
                         Reason.CONTACT_FORCE: Watch(num_robots, brief),
                         Reason.UNLOADED: Watch(num_robots, limits.unloaded or 0.0)}
        self._dirty = False  # a watch may be running

    def right_shape(self, state: RobotState) -> bool:
        """Whether the arrays that it reads have the right sizes."""
        n, limits = len(self.unmeasured), self._limits
        return ((limits.turn is None or state.base_angular_velocity.shape == (n, 3))
                and (limits.height is None or state.base_position.shape == (n, 3))
                and (not self._contacts or (state.contact_force.ndim == 2 and len(state.contact_force) == n
                                            and state.contact_force.shape[1] > self._frames[-1])))

    def clear(self, index) -> None:
        """Forget the past of some robots."""
        self.seen[:, index] = False
        self.restart(index)

    def restart(self, index) -> None:
        """Forget durations only."""
        for watch in self._watches.values():
            watch.clear(index)

    def forgive(self) -> None:
        """Everything is in order now; then nothing is remembered."""
        if self._dirty:
            self.restart(slice(None))
            self._dirty = False

    def usable(self, state: RobotState) -> BoolArray:
        """Whether the configured measurements are there (N,); call it once per general cycle, before ``faults``."""
        n = len(self.unmeasured)
        there = np.ones((2, n), dtype=bool)
        if self._limits.height is not None:
            there[0] = np.isfinite(state.base_position[:, 2])
        if self._contacts:
            there[1] = np.isfinite(state.contact_force[:, self._frames]).all(axis=1)
        usable = there | ~(self.seen | self._limits.require_measurements)
        for which, checked in enumerate((self._limits.height is not None, self._contacts)):
            if checked:
                self.seen[which] |= there[which]
        self.unmeasured = ~there.all(axis=0)
        self.some_unmeasured = bool(self.unmeasured.any())
        turning = self._limits.turn is None or np.isfinite(state.base_angular_velocity).all(axis=1)
        return usable.all(axis=0) & turning

    def faults(self, state: RobotState, usable: BoolArray, following: BoolArray,
               now: float) -> dict[Reason, BoolArray]:
        """Which robots (N,) have had what wrong for too long.

        Args:
            state: Of N robots.
            usable: (N,) whether it is to be believed.
            following: (N,) whether the robot follows commands; one that hangs and waits has no contact.
            now: [s]
        """
        self._dirty = True
        limits, wrong = self._limits, {}
        with np.errstate(invalid='ignore', over='ignore'):
            if limits.turn is not None:
                wrong[Reason.TURNING] = np.square(state.base_angular_velocity).sum(axis=1) > limits.turn**2
            if limits.height is not None:
                height = state.base_position[:, 2]
                wrong[Reason.HEIGHT] = (height < limits.height[0]) | (height > limits.height[1])
            if self._contacts:
                force = state.contact_force[:, self._frames]
                if limits.contact_force is not None:
                    wrong[Reason.CONTACT_FORCE] = (force > limits.contact_force).any(axis=1)
                if limits.unloaded is not None:
                    wrong[Reason.UNLOADED] = (force < LOADED).all(axis=1) & following
        return {reason: self._watches[reason].update(mask, usable, now) for reason, mask in wrong.items()}

    def refusal(self, state: RobotState, robot: int) -> str | None:
        """Why a robot must not be re-armed, or None."""
        limits, height = self._limits, state.base_position[robot, 2] if self._limits.height is not None else math.nan
        if not math.isnan(height) and not limits.height[0] <= height <= limits.height[1]:
            return (f'robot {robot}: the base is {height:.2f} m high; set it up between {limits.height[0]} and '
                    f'{limits.height[1]} m.')
        return None

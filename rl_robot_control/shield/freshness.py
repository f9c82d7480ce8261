"""Ages and stamps of commands, and the time that the shield may count as passed."""

from __future__ import annotations

import math

import numpy as np

from rl_robot_control.shield.output import Reason
from rl_robot_control.shield.validation import finite_rows
from rl_robot_control.types import BoolArray, FloatArray, JointCommand

REGULAR = 0.2  # of a period, by which a cycle may come early or late


class CommandLog:
    """Remembers the latest accepted command of each robot and judges the next one.

    A stamp is the time of the observation that the command answers, so it is compared with the state's own time and
    needs no synchronised clocks.

    Args:
        num_robots: N.
        num_joints: J.
        max_lag: Oldest observation that may be answered [s].
        max_lead: How far a stamp may lie ahead of the latest state [s]; the policy may see a state slightly earlier
            than the shield does.
    """

    def __init__(self, num_robots: int, num_joints: int, max_lag: float, max_lead: float) -> None:
        self.target = np.zeros((num_robots, num_joints))  # latest accepted request [rad]
        self.stamp = np.full(num_robots, -np.inf)
        self.received = np.full(num_robots, -np.inf)  # in the caller's clock
        self.rejected_in_row = np.zeros(num_robots, dtype=np.int64)
        self._max_lag, self._max_lead = max_lag, max_lead
        self._clean = True  # no rejections to forget

    def clear(self, index) -> None:
        """Forget the commands of some robots."""
        self.stamp[index] = -np.inf
        self.received[index] = -np.inf
        self.rejected_in_row[index] = 0

    def judge(self, command: JointCommand, time: FloatArray) -> tuple[np.ndarray, BoolArray]:
        """Why each robot's command must be rejected.

        Args:
            command: For N robots.
            time: (N,) of the latest states [s]; NaN where unknown.

        Returns:
            Reason codes (N,), NONE where acceptable, and a mask (N,) of messages that were merely passed in again.
        """
        stamp, reason = command.stamp, np.zeros(len(self.stamp), dtype=np.int64)
        with np.errstate(invalid='ignore', over='ignore'):
            lag = time - stamp
            repeated = (stamp == self.stamp) & (command.position == self.target).all(axis=1)
            reason[lag > self._max_lag] = Reason.STAMP_OLD
            reason[lag < -self._max_lead] = Reason.STAMP_FUTURE
            reason[stamp <= self.stamp] = Reason.STAMP_REPLAYED
            # zero is what a message carries that nobody stamped; only a simulation that just began may mean it
            reason[~np.isfinite(stamp) | (stamp < 0) | ((stamp == 0) & (time != 0))] = Reason.STAMP_UNSET
            reason[~finite_rows(command.position)] = Reason.COMMAND_NOT_FINITE
        reason[repeated] = Reason.NONE
        return reason, repeated

    def accept(self, command: JointCommand, mask: BoolArray, received: float) -> None:
        """Take the command of some robots."""
        self.target[mask] = command.position[mask]
        self.stamp[mask] = command.stamp[mask]
        self.received[mask] = received
        self.rejected_in_row[mask] = 0

    def accept_all(self, command: JointCommand, received: float) -> None:
        """Take the command of every robot."""
        np.copyto(self.target, command.position)
        np.copyto(self.stamp, command.stamp)
        self.received.fill(received)
        if not self._clean:
            self.rejected_in_row.fill(0)
            self._clean = True

    def reject(self, mask: BoolArray) -> None:
        """Count a rejected command of some robots."""
        self.rejected_in_row[mask] += 1
        self._clean = False

    def age(self, now: float) -> FloatArray:
        """Time since the latest accepted command (N,) [s]; infinite where there is none."""
        return now - self.received


class Timing:
    """How much time a cycle may count as passed.

    A cycle counts at most one control period, however late it comes, so the reference never makes up for lost time.
    In real time (``max_period`` given) it counts no more than the clock has shown, with at most one period saved up:
    a cycle that is late and the early one after it both count in full, while extra calls move nothing.

    Args:
        period: Control period [s].
        max_period: Longest time between two cycles [s]; None: lock-step, every cycle is exactly one period.

    Attributes:
        regular: Whether the latest cycle came about one period after the one before.
    """

    def __init__(self, period: float, max_period: float | None) -> None:
        self.period, self.max_period = period, max_period
        self.restart()

    def restart(self) -> None:
        """Forget when the last cycle was."""
        self._last, self._credit, self.regular = math.nan, 2 * self.period, self.max_period is None

    def advance(self, now: float) -> tuple[float, bool, bool]:
        """Begin a cycle.

        Returns:
            The time that it counts as [s], whether it came too late, and whether the clock ran backwards.
        """
        elapsed = now - self._last
        self._last = now
        backwards = elapsed < 0
        if self.max_period is None:
            return self.period, False, backwards
        self.regular = abs(elapsed - self.period) <= REGULAR * self.period
        if elapsed > 0:
            self._credit = min(self._credit + elapsed, 2 * self.period)
        counted = min(self._credit, self.period)
        if counted < 0.001 * self.period:
            counted = 0.0  # too short to tell a velocity
        self._credit -= counted
        return counted, elapsed > self.max_period, backwards

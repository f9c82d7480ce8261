"""When the periods of a control loop begin."""

from __future__ import annotations

import math

NEARLY = 0.95  # of the period: states further apart come once per period
SMOOTHING = 0.1  # of the states' interval, and of the shift of the periods onto the states' arrival [-]


class Pace:
    """Keeps a control rate, and yet answers a state as soon as it has come.

    A period begins with the complete state that comes nearest to its time, so that no observation waits for a timer;
    the periods shift little by little onto the arrival of the states. Where none comes, a period begins a little after
    its time with what there is. Periods that were missed are not made up for.

    Args:
        period: Of the loop [s].
        grace: How long after its time a period waits for a complete state, as a share of it.
    """

    def __init__(self, period: float, grace: float = 0.25) -> None:
        self._period, self._grace = period, grace * period
        self._interval = period  # of complete states, smoothed [s]
        self._heard: float | None = None  # the latest complete state [s]
        self._next: float | None = None  # None: at once
        self._begun = -math.inf  # the latest period [s]

    def restart(self) -> None:
        """The next period begins at once."""
        self._next = None

    def hear(self, now: float) -> None:
        """A complete state has come [s]."""
        if self._heard is not None:
            interval = min(now - self._heard, self._period)
            self._interval += SMOOTHING * (interval - self._interval)
        self._heard = now

    def left(self, now: float) -> float:
        """How long it is until the next period will begin, by what is known [s]."""
        return 0.0 if self._next is None else self._next - now

    def due(self, now: float, complete: bool) -> bool:
        """Whether a period begins.

        Args:
            now: [s]
            complete: Whether a complete state has just come.
        """
        if self._next is None:
            return True
        return now >= (self._next - 0.5 * self._interval if complete else self._next + self._grace)

    def begin(self, now: float, complete: bool) -> None:
        """A period begins now [s], with a complete state that has just come or without one."""
        ideal = now if self._next is None else self._next
        if complete:
            ideal += SMOOTHING * (now - ideal)
        elif self._interval > NEARLY * self._period and self._heard is not None and self._heard > self._begun:
            # One state per period, and this one came too early to be answered at once: the periods go towards it, too.
            ideal += SMOOTHING * (self._heard - ideal)
        self._begun = now
        self._next = max(ideal + self._period, now + self._period / 2)

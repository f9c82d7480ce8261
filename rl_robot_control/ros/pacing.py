"""When the periods of a control loop begin."""

from __future__ import annotations


class Pace:
    """Keeps a control rate, and yet answers a state as soon as it has come.

    A period begins with the first complete state from a little before its time on, so that no observation waits for a
    timer; where none comes, it begins a little after its time with what there is. Periods that were missed are not made
    up for.

    Args:
        period: Of the loop [s].
        early: How long before its time a period may begin, as a share of it: states come on a grid of their own.
        grace: How long after its time it waits for a complete state, likewise.
    """

    def __init__(self, period: float, early: float = 0.1, grace: float = 0.25) -> None:
        self._period, self._early, self._grace = period, early * period, grace * period
        self._next: float | None = None  # None: at once

    def restart(self) -> None:
        """The next period begins at once."""
        self._next = None

    def due(self, now: float, complete: bool) -> bool:
        """Whether a period begins.

        Args:
            now: [s]
            complete: Whether a complete state has just come.
        """
        if self._next is None:
            return True
        return now >= (self._next - self._early if complete else self._next + self._grace)

    def begin(self, now: float) -> None:
        """A period begins now [s]."""
        ideal = now if self._next is None else self._next
        self._next = max(ideal + self._period, now + self._period / 2)

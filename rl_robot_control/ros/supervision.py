"""How supervisor and shield watch one another, without ROS. Nothing here reads a clock."""

from __future__ import annotations


class Guard:
    """The shield's view of its supervisor: never heard, watching, or gone.

    Args:
        required: Whether the robot must not move without one.
        timeout: Silence that counts as its death [s].
        now: Start of the watch [s].
    """

    def __init__(self, required: bool, timeout: float, now: float) -> None:
        self._required, self._timeout, self._heard = required, timeout, now
        self.text = ''  # what it said last

    def receive(self, text: str, now: float) -> None:
        """It has said something at a time [s]."""
        self.text, self._heard = text, now

    def state(self, now: float) -> str:
        """``not heard``, ``watching`` or ``gone``."""
        if not self.text:
            return 'not heard'
        return 'gone' if now - self._heard > self._timeout else 'watching'

    def fault(self, now: float) -> str:
        """Why the robot must not move at a time [s], or empty."""
        silent = now - self._heard > self._timeout
        return f'no supervisor for {self._timeout:g} s' if self._required and silent else ''


STEADY = 0.5  # [s]


class Watch:
    """Notices that a heartbeat ceases.

    It begins to watch when the heart has beaten steadily for ``STEADY``, or at once when something is at stake: a
    process that is still starting may be kept from running by others that start beside it.

    A watchman that was itself kept from running must not take the letters that wait in its own box for silence: after a
    gap between two looks it first reads its mail, once, and then judges.

    Args:
        timeout: Silence that counts as death [s].
        period: Time between two looks [s].
    """

    def __init__(self, timeout: float, period: float) -> None:
        self._timeout, self._period = timeout, period
        self._beat: float | None = None
        self._steady_since, self._watching = 0.0, False
        self._look: float | None = None
        self._excused = False
        self.longest_gap = 0.0  # between two heartbeats [s]

    @property
    def watching(self) -> bool:
        """Whether silence counts."""
        return self._watching

    def beat(self, now: float, at_stake: bool = True) -> None:
        """A heartbeat has come.

        Args:
            now: When [s].
            at_stake: Whether its silence would be dangerous from now on.
        """
        gap = 0.0 if self._beat is None else now - self._beat
        if self._beat is None or gap > self._timeout:
            self._steady_since = now
        if self._watching:
            self.longest_gap = max(self.longest_gap, gap)
        self._beat = now
        self._watching |= at_stake or now - self._steady_since >= STEADY

    def silence(self, now: float) -> float:
        """Time since the latest heartbeat [s]; zero before the first."""
        return 0.0 if self._beat is None else now - self._beat

    def overdue(self, now: float) -> bool:
        """Look at a time [s]: has the heartbeat ceased?"""
        late = self._look is not None and now - self._look > 3 * self._period
        self._look = now
        self._excused = late and not self._excused
        return self._watching and not self._excused and self.silence(now) > self._timeout

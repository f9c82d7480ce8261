"""Lock-step: which messages belong to one instant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rl_robot_control.ros.wire import stamp_of


class Instant:
    """The newest message of each of several topics, and whether they speak of the same instant.

    Args:
        topics: Names of the topics.
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self.messages: dict[str, Any] = {}
        self.stamps: dict[str, int | None] = dict.fromkeys(topics)  # [ns]

    def receiver(self, topic: str, then: Callable[[], None] = lambda: None) -> Callable[[Any], None]:
        """A subscription's callback: note the message, then call ``then``."""
        if topic not in self.stamps:
            raise KeyError(topic)

        def receive(message: Any) -> None:
            self.messages[topic] = message
            self.stamps[topic] = stamp_of(message)
            then()

        return receive

    @property
    def stamp(self) -> int | None:
        """The common stamp [ns], None while a message is missing or the stamps differ."""
        stamps = iter(self.stamps.values())
        first = next(stamps, None)
        return first if first is not None and all(stamp == first for stamp in stamps) else None

    def missing(self, stamp: int) -> list[str]:
        """Topics without a message of this stamp [ns]."""
        return [topic for topic, seen in self.stamps.items() if seen != stamp]

    def forget(self) -> None:
        """Drop all messages."""
        self.messages.clear()
        self.stamps = dict.fromkeys(self.stamps)

"""A listener for tests."""

from __future__ import annotations


class Ear:
    """Keeps the messages of one topic; its operator's waits fill it."""

    def __init__(self, operator, topic, best_effort=False):
        self.messages = []
        self._subscription = topic.subscription(operator.node, self.messages.append, best_effort)

    @property
    def connected(self):
        return self._subscription.get_publisher_count() > 0

    @property
    def latest(self):
        return self.messages[-1]

"""Deadlines and liveliness by the middleware: a second line behind a node's own timer.

A subscription that asks for a deadline hears nothing from a publisher that offers none. So the subscriptions that
carry the data ask for nothing, and a ``LinkMonitor`` adds a second one for each topic whose publishers do offer it: any
driver works, and one that promises more is held to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import LivelinessPolicy, QoSProfile, ReliabilityPolicy

from rl_robot_control.ros.interface import Topic

_NANOSECONDS_OF_INFINITY = 2**62  # what the middleware calls infinite lies above
SLACK = 1e-3  # a promise is compared after its way through another unit [s]


def seconds(duration: Duration) -> float:
    """A duration of a quality of service [s]; infinite where it promises nothing."""
    count = duration.nanoseconds
    return math.inf if count <= 0 or count > _NANOSECONDS_OF_INFINITY else count * 1e-9


class LinkMonitor:
    """Counts broken promises of the publishers of some topics.

    Args:
        node: Owner of the subscriptions; its executor runs the callbacks.
        topics: What to watch.
        on_fault: Called when a promise is broken, with what happened.
    """

    def __init__(self, node: Node, topics: list[Topic], on_fault: Callable[[str], None]) -> None:
        self._node, self._topics, self._on_fault = node, topics, on_fault
        self._watched: dict[str, tuple[float, float, Any]] = {}  # topic → deadline, lease [s], subscription
        self.missed = self.lost = 0

    def update(self) -> None:
        """Look who publishes now; call it about once a second."""
        for topic in self._topics:
            offers = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic.name)]
            deadline = max((seconds(qos.deadline) for qos in offers), default=math.inf)
            lease = max((seconds(qos.liveliness_lease_duration) for qos in offers), default=math.inf)
            if (deadline, lease) != self._watched.get(topic.name, (math.inf, math.inf))[:2]:
                self._watch(topic, deadline, lease)

    def _watch(self, topic: Topic, deadline: float, lease: float) -> None:
        _, _, before = self._watched.pop(topic.name, (0, 0, None))
        if before is not None:
            self._node.destroy_subscription(before)
        if math.isinf(deadline) and math.isinf(lease):
            return
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        if math.isfinite(deadline):
            qos.deadline = Duration(seconds=deadline + SLACK)
        if math.isfinite(lease):
            qos.liveliness, qos.liveliness_lease_duration = LivelinessPolicy.AUTOMATIC, Duration(seconds=lease + SLACK)
        events = SubscriptionEventCallbacks(deadline=lambda event: self._missed(topic.name),
                                            liveliness=lambda event: self._changed(topic.name, event),
                                            use_default_callbacks=False)
        subscription = self._node.create_subscription(topic.type, topic.name, _ignore, qos, event_callbacks=events,
                                                      raw=True)
        self._watched[topic.name] = deadline, lease, subscription

    def _missed(self, topic: str) -> None:
        self.missed += 1
        self._on_fault(f'{topic}: deadline missed')

    def _changed(self, topic: str, event: Any) -> None:
        if event.not_alive_count_change > 0:
            self.lost += 1
            self._on_fault(f'{topic}: a publisher is no longer alive')


def _ignore(_: bytes) -> None:
    """The data come by another subscription."""

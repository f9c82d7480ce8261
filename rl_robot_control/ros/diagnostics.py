"""Statuses as ``diagnostic_msgs`` carries them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node


def make_status(level: bytes, name: str, text: str, values: Mapping[str, Any], hardware: str = '') -> DiagnosticStatus:
    """One status; the values keep their order."""
    return DiagnosticStatus(level=level, name=name, message=text, hardware_id=hardware,
                            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])


def value_of(status: DiagnosticStatus | None, key: str) -> str:
    """One of a status's values, empty where there is none."""
    return '' if status is None else next((pair.value for pair in status.values if pair.key == key), '')


def own_status(node: Node, level: bytes, text: str, values: Mapping[str, Any], hardware: str = '') -> DiagnosticArray:
    """The message of a node that has one status: its name is the node's, its stamp is now."""
    message = DiagnosticArray(status=[make_status(level, node.get_fully_qualified_name(), text, values, hardware)])
    message.header.stamp = node.get_clock().now().to_msg()
    return message

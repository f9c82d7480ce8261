"""How the Unitree driver reaches the robot: Unitree's own messages on the robot's own topics."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.ros import interface
from rl_robot_control.ros.unitree_hg import readable

PACKAGE = 'unitree_hg'


def unitree_messages() -> Any:
    """The module with LowCmd and LowState.

    Raises:
        ConfigurationError: It is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(f'{PACKAGE}.msg')  # by name: it comes with a Unitree robot and only there
    except ImportError:
        raise ConfigurationError(
            f"Unitree's messages '{PACKAGE}' are not installed for this Python, and pip has no wheel of them. In the "
            'shell of your ROS 2: git clone https://github.com/unitreerobotics/unitree_ros2, then in its folder '
            f'cyclonedds_ws: colcon build --packages-select {PACKAGE}, and source install/setup.bash.') from None


class TopicLink:
    """``lowcmd`` and ``lowstate``.

    Args:
        node: Owner of publisher and subscription.
        on_state: Called with each LowState, mostly as the bytes that came.
    """

    def __init__(self, node: Node, on_state: Callable[[Any], None]) -> None:
        messages = unitree_messages()
        self._topic = interface.low_cmd(messages.LowCmd)
        self._node, self._publisher = node, self._topic.publisher(node)
        self._on_state, self._state_type = on_state, messages.LowState
        interface.low_state(messages.LowState).subscription(node, self._receive, best_effort=True, raw=True)

    def new_command(self) -> Any:
        """An empty LowCmd."""
        return self._topic.type()

    def send(self, message: Any) -> None:
        """Publish a LowCmd."""
        self._publisher.publish(message)

    def _receive(self, message: bytes) -> None:
        self._on_state(message if readable(message) else deserialize_message(message, self._state_type))

    def other_publishers(self) -> int:
        """How many others publish LowCmds: the robot's own mode does while it is not in debug mode."""
        return self._node.count_publishers(self._topic.name) - 1

"""How the Unitree driver reaches the robot: Unitree's own messages on the robot's own topics."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.ros import interface

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
        on_state: Called with each LowState.
    """

    def __init__(self, node: Node, on_state: Callable[[Any], None]) -> None:
        messages = unitree_messages()
        self._topic = interface.low_cmd(messages.LowCmd)
        self._node, self._publisher = node, self._topic.publisher(node)
        interface.low_state(messages.LowState).subscription(node, on_state, best_effort=True)

    def new_command(self) -> Any:
        """An empty LowCmd."""
        return self._topic.type()

    def send(self, message: Any) -> None:
        """Publish a LowCmd."""
        self._publisher.publish(message)

    def other_publishers(self) -> int:
        """How many others publish LowCmds: the robot's own mode does while it is not in debug mode."""
        return self._node.count_publishers(self._topic.name) - 1

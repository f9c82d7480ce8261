"""Publishes a simulated robot's state on its topics."""

from __future__ import annotations

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import StateEncoder, to_time
from rl_robot_control.types import RobotState


class StatePublisher:
    """The topics ``/clock``, ``imu``, ``odom``, ``contacts/<frame>`` and, last of all, ``joint_states``.

    A robot with a fixed base has no ``imu`` and no ``odom``. What nobody listens to is not sent.

    Args:
        node: Owner of the publishers.
        robot: The robot.
        deadline: Longest time between two states that is promised [s]; None: no promise.
        clock: Whether ``/clock`` is published.
    """

    def __init__(self, node: Node, robot: RobotModel, deadline: float | None = None, clock: bool = True) -> None:
        self._encoder = encoder = StateEncoder(robot)
        self._clock_message = Clock()
        topics = [(interface.CLOCK, self._clock_message)] if clock else []
        if robot.floating:
            topics += [(interface.IMU, encoder.imu), (interface.ODOM, encoder.odom)]
        topics += [(interface.contact(name), message) for name, message in encoder.contacts.items()]
        self._publishers = [(topic.publisher(node), message) for topic, message in topics]
        self._publishers.append((interface.JOINT_STATES.publisher(node, deadline), encoder.joints))

    def publish(self, state: RobotState, stamp: int) -> None:
        """Publish the first robot's state.

        Args:
            state: The state.
            stamp: Its time [ns].
        """
        time = to_time(stamp)
        self._clock_message.clock = time
        self._encoder.encode(state, time)
        for publisher, message in self._publishers:
            if publisher.get_subscription_count():
                publisher.publish(message)

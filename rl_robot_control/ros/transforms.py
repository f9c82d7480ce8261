"""TF of a robot's base; the messages come with tf2, which pip does not have."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

WORLD_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class BaseTransforms:
    """Publishes ``world → odom`` once, and ``odom → base`` for each odometry it is given; nothing without tf2_msgs.

    Args:
        node: Owner of the publishers.
        base: Link of the base.
        prefix: Before the names of the robot's frames.
        world: Frame above odom; empty: none.
        origin: Of odom in it: x [m], y [m], yaw [rad].

    Attributes:
        available: Whether tf2's messages are installed.
    """

    def __init__(self, node: Node, base: str, prefix: str = '', world: str = '',
                 origin: Sequence[float] = (0.0, 0.0, 0.0)) -> None:
        self._prefix, self._base = prefix, base
        try:
            # by name: it comes with a system's ROS 2
            self._type = importlib.import_module('tf2_msgs.msg').TFMessage
        except ImportError:
            self._type = None
            return
        self._publisher = node.create_publisher(self._type, '/tf', 10)
        if world:
            self._fixed = node.create_publisher(self._type, '/tf_static', WORLD_QOS)
            self._fixed.publish(self._type(transforms=[self._world(node, world, origin)]))

    @property
    def available(self) -> bool:
        """Whether tf2's messages are installed."""
        return self._type is not None

    def publish(self, odom: Odometry) -> None:
        """``odom → base`` at the time of the odometry."""
        if self._type is None:
            return
        transform = TransformStamped(child_frame_id=self._prefix + self._base)
        transform.header.stamp, transform.header.frame_id = odom.header.stamp, self._prefix + 'odom'
        place, turn = odom.pose.pose.position, odom.pose.pose.orientation
        shift = transform.transform.translation
        shift.x, shift.y, shift.z, transform.transform.rotation = place.x, place.y, place.z, turn
        self._publisher.publish(self._type(transforms=[transform]))

    def publish_fixed_base(self, stamp: Any) -> None:
        """``odom → base`` of a robot whose base does not move."""
        odom = Odometry()
        odom.header.stamp = stamp
        odom.pose.pose.orientation.w = 1.0
        self.publish(odom)

    def _world(self, node: Node, world: str, origin: Sequence[float]) -> TransformStamped:
        transform = TransformStamped(child_frame_id=f'{self._prefix}odom')
        transform.header.frame_id, transform.header.stamp = world, node.get_clock().now().to_msg()
        x, y, yaw = map(float, origin)
        transform.transform.translation.x, transform.transform.translation.y = x, y
        transform.transform.rotation.z, transform.transform.rotation.w = math.sin(0.5 * yaw), math.cos(0.5 * yaw)
        return transform

"""Listens to one robot in real time and gives its latest state with its age."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import StateDecoder
from rl_robot_control.ros.inference_core import IMU_QUANTITIES, ODOMETRY_QUANTITIES
from rl_robot_control.ros.wire import stamp_of
from rl_robot_control.types import RobotState

FRAME_QUANTITIES = ('frame_position', 'frame_velocity', 'frame_axis_z')


class RobotListener:
    """Subscribes to what a policy needs and nothing else; messages are decoded only when the state is asked for.

    Args:
        node: Owner of the subscriptions.
        robot: The robot.
        needed: Fields of ``RobotState``, from ``inference_core.needed_quantities``.
        clock: Monotonic time [s].
        on_message: Called after each message.
    """

    def __init__(self, node: Node, robot: RobotModel, needed: Collection[str],
                 clock: Callable[[], float] = time.monotonic,
                 on_message: Callable[[], None] = lambda: None) -> None:
        self._node, self._clock = node, clock
        self._decoder, self._on_message = StateDecoder(robot), on_message
        frames = any(name in needed for name in FRAME_QUANTITIES)
        self._kinematics = _kinematics(robot) if frames else None
        self._messages: dict[str, Any] = {}
        self._stamps: dict[str, int] = {}  # [ns]
        self._received: dict[str, float] = {}
        topics = {'joints': interface.JOINT_STATES}
        if robot.floating or any(name in needed for name in (*IMU_QUANTITIES, 'base_linear_acceleration')):
            topics['imu'] = interface.IMU
        if any(name in needed for name in ODOMETRY_QUANTITIES) or (frames and robot.floating):
            topics['odom'] = interface.ODOM
        self._contacts = [name for name in robot.frame_names if robot.settings.frames[name].contact
                          ] if 'contact_force' in needed else []
        topics.update({f'contact {name}': interface.contact(name) for name in self._contacts})
        self.topics = {key: topic.name for key, topic in topics.items()}
        self._subscriptions = [topic.samples(node, self._receiver(key), best_effort=True)
                               for key, topic in topics.items()]

    @property
    def stamp(self) -> int:
        """Stamp of the latest joint state [ns]."""
        return self._messages['joints'].stamp

    def missing(self) -> list[str]:
        """Topics on which nothing has arrived yet."""
        return [name for key, name in self.topics.items() if key not in self._messages]

    def complete(self) -> bool:
        """Whether the latest messages are all there and of one instant."""
        if len(self._messages) < len(self.topics):
            return False
        stamp = self.stamp
        return all(other == stamp for other in self._stamps.values())

    def age(self) -> float:
        """Time since the oldest of the latest messages arrived [s]; infinite while one is missing."""
        if len(self._received) < len(self.topics):
            return float('inf')
        return self._clock() - min(self._received.values())

    def state(self) -> RobotState | None:
        """The latest state (N = 1); None while a topic is missing.

        Raises:
            MessageError: A message cannot be understood.
        """
        if len(self._messages) < len(self.topics):
            return None
        messages = self._messages
        contacts = {name: messages[f'contact {name}'] for name in self._contacts}
        state = self._decoder.decode(messages['joints'], messages.get('imu'), messages.get('odom'), contacts)
        return state if self._kinematics is None else self._kinematics.update(state)

    def close(self) -> None:
        """Drop the subscriptions; a second call does nothing."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _receiver(self, key: str) -> Callable[[Any], None]:
        def receive(message: Any) -> None:
            self._messages[key], self._stamps[key] = message, stamp_of(message)
            self._received[key] = self._clock()
            self._on_message()

        return receive


def wait_for_state(node: Node, listen: Callable[[Node], RobotListener], max_age: float,
                   timeout: float) -> tuple[RobotState | None, float]:
    """Wait for a fresh state within a callback of ``node``, whose own subscriptions are deaf meanwhile.

    Args:
        node: Whose context and namespace are used.
        listen: Makes a listener on a node.
        max_age: From which a state is fresh [s].
        timeout: [s]

    Returns:
        The latest state, fresh or not, and its age [s]; None and infinity if none has come.

    Raises:
        MessageError: A message cannot be understood.
    """
    helper = rclpy.create_node(f'{node.get_name()}_state', context=node.context, namespace=node.get_namespace(),
                               use_global_arguments=False, start_parameter_services=False, enable_rosout=False)
    executor = SingleThreadedExecutor(context=node.context)
    try:
        executor.add_node(helper)
        listener, deadline = listen(helper), time.monotonic() + timeout
        while listener.age() > max_age and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.02)
        return listener.state(), listener.age()
    finally:
        executor.shutdown()
        helper.destroy_node()


def _kinematics(robot: RobotModel) -> Any:
    from rl_robot_control.backends.kinematics import FrameKinematics  # only then is the physics engine needed
    return FrameKinematics(robot)

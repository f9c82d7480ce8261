"""Asks the robot's controller which joints its values are for; an array without names must not go to the wrong ones.

A controller of ros2_control is a node of its own with parameters ``joints`` and, if it forwards values,
``interface_name``. Other drivers have no such node, and are not asked.
"""

from __future__ import annotations

from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from rl_robot_control.errors import RobotControlError
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.joint_order import check_order
from rl_robot_control.robots.ros2_control import INTERFACES

TIMEOUT = 2.0  # for one answer; then it is asked again [s]
NAMES = ('joints', 'interface_name')


class ControllerCheck:
    """The controller's own word for it; call ``look`` a few times a second.

    Args:
        node: Owner of the client.
        robot: The robot, with its hardware's controller.
        required: Whether a controller that has not answered is a fault.

    Attributes:
        fault: What is wrong with the controller; empty: nothing is known to be.
    """

    def __init__(self, node: Node, robot: RobotModel, required: bool) -> None:
        self._robot, self._required = robot, required
        self._name = robot.settings.topics.controller
        self._client = node.create_client(GetParameters, f'{self._name}/get_parameters')
        self._future: Any = None
        self._asked = 0.0
        self._right = False
        self.fault = ''

    @property
    def cleared(self) -> bool:
        """Whether values may be sent: the controller has answered and is right, or there is none to ask."""
        if self.fault:
            return False
        return self._right or not (self._required or self._client.service_is_ready())

    def look(self, now: float) -> None:
        """Ask, if there is someone to ask, and read the answer; one that went away is asked again."""
        if not self._client.service_is_ready():
            self._drop()
            self._right, self.fault = False, ''
        elif self._future is not None and self._future.done():
            self._read(self._future.result())
            self._future = None
        elif self._future is not None and now - self._asked > TIMEOUT:
            self._drop()
        if self._future is None and not self._right and self._client.service_is_ready():
            self._future, self._asked = self._client.call_async(GetParameters.Request(names=list(NAMES))), now

    def describe(self) -> str:
        """For people."""
        if self.fault:
            return self.fault
        if self._right:
            return 'joints and their order are right'
        return 'not heard yet' if self._required else 'none to ask'

    def _drop(self) -> None:
        if self._future is not None:
            self._client.remove_pending_request(self._future)
            self._future = None

    def _read(self, answer: Any) -> None:
        values = () if answer is None else [parameter_value_to_python(value) for value in answer.values]
        joints, interface = [*values, None, None][:2]
        try:
            check_order(joints or [], self._robot.controller_joints, f"controller '{self._name}', joints")
        except RobotControlError as error:
            self.fault = str(error)
            return
        wanted = INTERFACES.get(self._robot.settings.topics.controller_type)
        if interface and interface != wanted:
            self.fault = f"controller '{self._name}' forwards values for '{interface}', and is sent them for '{wanted}'"
            return
        self.fault, self._right = '', True

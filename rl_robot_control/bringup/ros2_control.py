"""ros2_control's side of a launch: the controller manager before hardware, or before the simulation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from launch import Action
from launch_ros.actions import Node

from rl_robot_control.bringup import launching
from rl_robot_control.bringup.compositions import SIMULATED_COMMANDS, SIMULATED_STATES
from rl_robot_control.bringup.launching import Given
from rl_robot_control.config import load_yaml
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.hardware import ControllerManagerSettings
from rl_robot_control.robots.ros2_control import (
    as_text,
    check_controllers,
    controllers_file,
    spawn_order,
    topic_hardware,
    with_interfaces,
)

SPAWN_TIMEOUT = '60'  # until the controller manager is there [s]


def before_the_simulation(robot: RobotModel, given: Given) -> list[Action]:
    """A controller manager whose hardware is the simulation node, over topics."""
    namespace = '/' + given.text('namespace').strip('/')
    topics = (f'{namespace.rstrip("/")}/{name}' for name in (SIMULATED_STATES, SIMULATED_COMMANDS))
    return hardware(robot, topic_hardware(*topics), given)


def hardware(robot: RobotModel, manager: ControllerManagerSettings, given: Given) -> list[Action]:
    """robot_state_publisher, the controller manager, and a spawner for the controllers, in order.

    Args:
        robot: The robot, with its hardware's controller.
        manager: The controller manager.
        given: The launch's arguments.

    Raises:
        ConfigurationError: The ``controllers.yaml`` that was given would move the wrong joints.
    """
    controllers = controllers_path(robot, manager, given)
    # Named on the command line, every controller in this process would get the same name.
    started = Node(package='controller_manager', executable='ros2_control_node', namespace=given.text('namespace'),
                   output='screen', parameters=[controllers, {'use_sim_time': given.simulated()}])
    return [launching.robot_state_publisher(as_text(with_interfaces(robot, manager)), given), started,
            spawner(manager.name, controllers, spawn_order(robot, manager), given.text('namespace'))]


def controllers_path(robot: RobotModel, manager: ControllerManagerSettings, given: Given) -> str:
    """The ``controllers.yaml`` that was given, checked, or one that is made."""
    path = given.file('controllers')
    if not path:
        return launching.temporary_yaml(controllers_file(robot, manager), 'controllers')
    check_controllers(load_yaml(Path(path)), robot, path)
    return path


def spawner(manager: str, controllers: str, names: Iterable[str], namespace: str) -> Node:
    """Loads, configures and activates controllers, one after the other, and ends."""
    return Node(package='controller_manager', executable='spawner', namespace=namespace, output='screen',
                arguments=[*names, '--controller-manager', manager, '--param-file', controllers,
                           '--controller-manager-timeout', SPAWN_TIMEOUT])

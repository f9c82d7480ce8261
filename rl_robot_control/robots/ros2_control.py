"""A robot in the terms of ros2_control: its URDF with interfaces, and the controller manager's parameters.

Text and plain data; needs no ROS.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import Any

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots.hardware import ControllerManagerSettings
from rl_robot_control.robots.joint_order import check_order
from rl_robot_control.robots.model import RobotModel

JOINT_STATES, IMU = 'joint_state_broadcaster', 'imu_sensor_broadcaster'
TOPIC_PLUGIN = 'joint_state_topic_hardware_interface/JointStateTopicSystem'
FORWARD = 'forward_command_controller/ForwardCommandController'
TRAJECTORY = 'joint_trajectory_controller/JointTrajectoryController'
_IMU_STATES = [*(f'orientation.{axis}' for axis in 'xyzw'), *(f'angular_velocity.{axis}' for axis in 'xyz'),
               *(f'linear_acceleration.{axis}' for axis in 'xyz')]
INTERFACES = {'position': 'position', 'effort': 'effort', 'trajectory': 'position'}  # controller's type → command


def topic_hardware(states: str, commands: str, update_rate: int = 500) -> ControllerManagerSettings:
    """Hardware that is a simulation on the other end of two topics (joint_state_topic_hardware_interface).

    Args:
        states: Topic of its joint states, absolute or relative to the controller manager's namespace.
        commands: Topic of its joint commands, likewise.
        update_rate: Of the controller manager [Hz].
    """
    # The threshold keeps commands back that differ little from the state, and the simulation would take that for
    # silence: below zero all are sent.
    return ControllerManagerSettings(update_rate=update_rate, plugin=TOPIC_PLUGIN, parameters={
        'joint_states_topic': states, 'joint_commands_topic': commands, 'trigger_joint_command_threshold': '-1.0'})


def command_interface(robot: RobotModel) -> str:
    """What each joint is commanded by: position or effort.

    Raises:
        ConfigurationError: No controller of ros2_control takes what the robot's controller type says.
    """
    kind = robot.settings.topics.controller_type
    if kind not in INTERFACES:
        raise ConfigurationError(f"controller '{robot.settings.topics.controller}' is of type '{kind}', which no "
                                 f"controller of ros2_control takes; one of {', '.join(INTERFACES)} is needed.")
    return INTERFACES[kind]


def component_name(robot: str) -> str:
    """Name of a robot's hardware in the URDF and for the controller manager."""
    return f'{robot}_system'


def controllers_file(robot: RobotModel, manager: ControllerManagerSettings) -> dict[str, Any]:
    """The content of a ``controllers.yaml``: controller manager, broadcasters and the robot's controller.

    Args:
        robot: The robot, with its hardware's controller.
        manager: The controller manager.
    """
    command = command_interface(robot)
    controller, base = robot.settings.topics.controller, robot.settings.base.link
    trajectory = robot.settings.topics.controller_type == 'trajectory'
    types = {JOINT_STATES: 'joint_state_broadcaster/JointStateBroadcaster', controller: TRAJECTORY if trajectory
             else FORWARD}
    own: dict[str, Any] = {'joints': list(robot.controller_joints)}
    own |= {'command_interfaces': [command], 'state_interfaces': ['position', 'velocity'],
            'allow_integration_in_goal_trajectories': False} if trajectory else {'interface_name': command}
    nodes = {controller: own}
    if manager.imu is not None:
        types[IMU] = 'imu_sensor_broadcaster/IMUSensorBroadcaster'
        nodes[IMU] = {'sensor_name': manager.imu, 'frame_id': base}
    # Its own limiter would take a learned target, a handle on torque that jumps, for a motion and slow it down; what
    # bounds commands is the shield.
    rows = {'update_rate': manager.update_rate, 'enforce_command_limits': False,
            **{name: {'type': kind} for name, kind in types.items()}}
    return {f'/**/{manager.name}': {'ros__parameters': rows},
            **{f'/**/{name}': {'ros__parameters': values} for name, values in nodes.items()}}


def spawn_order(robot: RobotModel, manager: ControllerManagerSettings) -> tuple[str, ...]:
    """Controllers in the order in which they are spawned: what tells of the robot before what moves it."""
    return (JOINT_STATES, *([IMU] if manager.imu else []), robot.settings.topics.controller)


def check_controllers(content: Mapping[str, Any], robot: RobotModel, where: str) -> None:
    """Refuse a ``controllers.yaml`` whose controller would give values to the wrong joints.

    Args:
        content: The file's content.
        robot: The robot, with its hardware's controller.
        where: The file, for messages.

    Raises:
        ConfigurationError: The robot's controller is not in the file, or has other joints, another order or another
            interface.
    """
    name = robot.settings.topics.controller
    found = [values for key, values in (content or {}).items() if key.strip('/').rpartition('/')[2] == name]
    if not found:
        raise ConfigurationError(f"{where}: the robot's controller '{name}' is not there; there are "
                                 f"{', '.join(content or ()) or 'none'}.")
    parameters = found[0].get('ros__parameters') or {}
    check_order(parameters.get('joints') or [], robot.controller_joints, f'{where}, {name}, joints')
    wanted = command_interface(robot)
    given = parameters.get('interface_name') or ', '.join(parameters.get('command_interfaces') or [])
    if given != wanted:
        raise ConfigurationError(f"{where}: controller '{name}' commands '{given}'; the shield sends it values for "
                                 f"'{wanted}'.")


def with_interfaces(robot: RobotModel, manager: ControllerManagerSettings) -> ElementTree.Element:
    """The robot's URDF with its joints' and sensors' interfaces; tags that it had are replaced.

    Args:
        robot: The robot, with its hardware's controller.
        manager: Plugin, its parameters, the IMU.
    """
    root = with_file_uris(robot)
    for old in root.findall('ros2_control'):
        root.remove(old)
    system = ElementTree.SubElement(root, 'ros2_control', name=component_name(robot.name), type='system')
    hardware = ElementTree.SubElement(system, 'hardware')
    ElementTree.SubElement(hardware, 'plugin').text = manager.plugin
    _parameters(hardware, manager.parameters)
    command = command_interface(robot)
    for name, start in zip(robot.joint_names, robot.default_position, strict=True):
        joint = ElementTree.SubElement(system, 'joint', name=name)
        ElementTree.SubElement(joint, 'command_interface', name=command)
        position = ElementTree.SubElement(joint, 'state_interface', name='position')
        _parameters(position, {'initial_value': f'{start:g}'})
        for other in ('velocity', 'effort'):
            ElementTree.SubElement(joint, 'state_interface', name=other)
    if manager.imu is not None:
        sensor = ElementTree.SubElement(system, 'sensor', name=manager.imu)
        for name in _IMU_STATES:
            ElementTree.SubElement(sensor, 'state_interface', name=name)
    return root


def with_file_uris(robot: RobotModel) -> ElementTree.Element:
    """The robot's URDF with ``file://`` before the paths of its meshes, as ROS's programs want it."""
    root = ElementTree.fromstring(robot.urdf)
    for mesh in root.iter('mesh'):
        path = mesh.get('filename', '')
        if path.startswith('/'):
            mesh.set('filename', f'file://{path}')
    return root


def as_text(root: ElementTree.Element) -> str:
    """The URDF as text."""
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode')


def _parameters(parent: ElementTree.Element, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, 'param', name=name).text = str(value)

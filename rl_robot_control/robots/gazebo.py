"""A robot in Gazebo's terms: its URDF with gz_ros2_control, an IMU and odometry, and the topics to bridge.

Text and plain data; needs neither ROS nor Gazebo.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from rl_robot_control.config import config_directory, load_yaml
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots.hardware import ControllerManagerSettings
from rl_robot_control.robots.model import RobotModel
from rl_robot_control.robots.ros2_control import with_interfaces

PLUGIN, SYSTEM = 'gz_ros2_control-system', 'gz_ros2_control::GazeboSimROS2ControlPlugin'
HARDWARE = 'gz_ros2_control/GazeboSimSystem'
POSITION_RATE = 50.0  # velocity per position error that moves the joints [1/s]; gz_ros2_control's default at 500 Hz
CLEARANCE = 0.15  # of a held robot's feet over the floor: its joints do not give way, as drives with gains do [m]
ODOMETRY_RATE = IMU_RATE = 200  # [Hz]
_PLACEHOLDER = '{robot}'  # in config/gazebo/bridge.yaml


def controller_manager(robot: RobotModel, update_rate: int = 500) -> ControllerManagerSettings:
    """The controller manager that runs inside Gazebo."""
    return ControllerManagerSettings(update_rate=update_rate, plugin=HARDWARE, imu='imu' if robot.floating else None)


def description(robot: RobotModel, manager: ControllerManagerSettings, controllers: str, name: str,
                namespace: str = '', held: bool = False) -> ElementTree.Element:
    """The URDF to spawn.

    Args:
        robot: The robot.
        manager: From ``controller_manager``.
        controllers: Path of the ``controllers.yaml``.
        name: The model's name in Gazebo, from ``gazebo_name``.
        namespace: Of the controller manager, without a slash before it; empty: none.
        held: Whether a floating base is fixed in the world, as a gantry would.
    """
    root = with_interfaces(robot, manager)
    base, height = robot.settings.base, 0.0  # of the base over the model's origin, which is what odometry speaks of
    if held or not robot.floating:
        height = base.height + CLEARANCE if robot.floating else 0.0
        _fix(root, base.link, height)
    gazebo = ElementTree.SubElement(root, 'gazebo')
    plugin = ElementTree.SubElement(gazebo, 'plugin', filename=PLUGIN, name=SYSTEM)
    _text(plugin, parameters=controllers, hold_joints='true',
          position_proportional_gain=POSITION_RATE / manager.update_rate)
    if namespace:
        _text(ElementTree.SubElement(plugin, 'ros'), namespace=f'/{namespace}')
    if not robot.floating:
        return root
    _imu(root, name, base.link)
    odometry = ElementTree.SubElement(gazebo, 'plugin', filename='gz-sim-odometry-publisher-system',
                                      name='gz::sim::systems::OdometryPublisher')
    _text(odometry, dimensions=3, odom_frame='odom', robot_base_frame=base.link, odom_topic=f'/{name}/odom',
          odom_publish_frequency=ODOMETRY_RATE, xyz_offset=f'0 0 {height:g}')
    return root


def world_name(path: Path) -> str:
    """Name of the world in an SDF file, by which Gazebo's services are called.

    Raises:
        ConfigurationError: The file is no SDF, or has no world.
    """
    try:
        world = ElementTree.parse(path).getroot().find('world')
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigurationError(f'{path}: cannot be read as SDF: {error}.') from error
    if world is None or not world.get('name'):
        raise ConfigurationError(f'{path}: holds no <world> with a name; give an SDF file of a world.')
    return world.get('name')


def gazebo_name(robot: RobotModel, namespace: str = '') -> str:
    """The model's name in Gazebo, which begins the names of its topics there."""
    return namespace.replace('/', '_') or robot.name


def bridge(name: str, floating: bool, clock: bool = True) -> list[dict[str, Any]]:
    """What ros_gz_bridge is to pass on: ``config/gazebo/bridge.yaml`` for one robot.

    Args:
        name: The model's name in Gazebo.
        floating: Whether its base moves; else there is no IMU and no odometry.
        clock: Whether Gazebo's time is passed on.
    """
    rows = [{key: value.replace(_PLACEHOLDER, name) if isinstance(value, str) else value for key, value in row.items()}
            for row in load_yaml(config_directory() / 'gazebo' / 'bridge.yaml')]
    return [row for row in rows if (clock if row['ros_topic_name'] == '/clock' else floating)]


def _fix(root: ElementTree.Element, base: str, height: float) -> None:
    ElementTree.SubElement(root, 'link', name='world')
    joint = ElementTree.SubElement(root, 'joint', name='world_to_base', type='fixed')
    ElementTree.SubElement(joint, 'origin', xyz=f'0 0 {height:g}', rpy='0 0 0')
    ElementTree.SubElement(joint, 'parent', link='world')
    ElementTree.SubElement(joint, 'child', link=base)


def _imu(root: ElementTree.Element, name: str, link: str) -> None:
    gazebo = ElementTree.SubElement(root, 'gazebo', reference=link)
    sensor = ElementTree.SubElement(gazebo, 'sensor', name='imu', type='imu')
    _text(sensor, always_on=1, update_rate=IMU_RATE, topic=f'/{name}/imu', gz_frame_id=link)


def _text(parent: ElementTree.Element, **values: Any) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, name).text = f'{value:g}' if isinstance(value, float) else str(value)

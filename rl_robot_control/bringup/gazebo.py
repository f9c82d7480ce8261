"""Gazebo's side of a launch: server, bridge, the robot and its controllers.

``running``: Gazebo keeps its own time, and the shield talks to the controllers in it, as it would to hardware.
``stepped``: Gazebo waits, and the simulation node advances it (``simulator: gazebo``); what is Gazebo's own has the
namespace ``gazebo`` then, as the simulation node publishes under the usual names. ``/clock`` is Gazebo's in either
case: the controller manager in it needs that before it can be advanced.
"""

from __future__ import annotations

from pathlib import Path

from launch import Action
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from rl_robot_control.bringup import launching, ros2_control
from rl_robot_control.bringup.launching import Given
from rl_robot_control.config import config_directory
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.gazebo import bridge, controller_manager, description, gazebo_name, world_name
from rl_robot_control.robots.ros2_control import as_text, controllers_file, spawn_order

# In lock-step a burst of steps outruns a broadcaster's publisher, which then drops samples, the last one too; so fewer.
STEPPED_RATE = 100  # of the controller manager [Hz]
STEPPED = 'gazebo'  # namespace of what is Gazebo's own, where the simulation node advances it
SERVICES = ('control@ros_gz_interfaces/srv/ControlWorld', 'set_pose@ros_gz_interfaces/srv/SetEntityPose')


def running(robot: RobotModel, given: Given) -> list[Action]:
    """Gazebo in its own time, and the robot in it."""
    return _gazebo(robot, given, given.text('namespace').strip('/'), paused=False, held=given.flag('hold'))


def stepped(robot: RobotModel, given: Given, held: bool) -> list[Action]:
    """A Gazebo that waits for the simulation node, and the robot in it.

    Args:
        robot: The robot.
        given: The launch's arguments.
        held: Whether a floating base is fixed in the world.
    """
    namespace = given.text('namespace').strip('/')
    return _gazebo(robot, given, f'{namespace}/{STEPPED}'.strip('/'), paused=True, held=held)


def _gazebo(robot: RobotModel, given: Given, namespace: str, paused: bool, held: bool) -> list[Action]:
    manager = controller_manager(robot, STEPPED_RATE) if paused else controller_manager(robot)
    name, world = gazebo_name(robot, given.text('namespace').strip('/')), _world(given)
    here = world_name(Path(world))
    controllers = launching.temporary_yaml(controllers_file(robot, manager), 'controllers')
    # An independent description: what RViz shows has no Gazebo in it.
    root = description(robot, manager, controllers, name, namespace, held=held)
    topics = launching.temporary_yaml(bridge(name, robot.floating), 'bridge')
    publisher = Node(package='robot_state_publisher', executable='robot_state_publisher', namespace=namespace,
                     output='screen', parameters=[launching.parameters({
                         'robot_description': as_text(root), 'frame_prefix': launching.frame_prefix(given)})])
    height = 0.0 if held or not robot.floating else robot.settings.base.height
    spawn = Node(package='ros_gz_sim', executable='create', namespace=namespace, output='screen',
                 arguments=['-world', here, '-topic', 'robot_description', '-name', name, '-z', f'{height:g}'])
    passed = Node(package='ros_gz_bridge', executable='parameter_bridge', namespace=namespace, output='screen',
                  arguments=[f'/world/{here}/{service}' for service in SERVICES], parameters=[{'config_file': topics}])
    return [_server(given, world, paused), publisher, spawn, passed,
            ros2_control.spawner('controller_manager', controllers, spawn_order(robot, manager), namespace)]


def _world(given: Given) -> str:
    """Path of the world's SDF file."""
    return given.file('world') or str(config_directory() / 'gazebo' / 'world.sdf')


def _server(given: Given, world: str, paused: bool) -> IncludeLaunchDescription:
    words = ('' if given.flag('gui') else '-s ') + ('' if paused else '-r ') + world
    source = PathJoinSubstitution([FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py'])
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(source), launch_arguments={
        'gz_args': words, 'on_exit_shutdown': 'true'}.items())

"""The simulated robot behind the safety shield.

    ros2 launch rl_robot_control simulation.launch.py robot:=unitree_g1 mode:=realtime

The robot answers on ``joint_states``, ``imu`` and ``odom``; position targets go to ``policy/command``.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Arguments, then the two nodes."""
    arguments = [
        DeclareLaunchArgument('robot', default_value='unitree_g1',
                              description='Name in config/robots, or path of a YAML file'),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the robot'),
        DeclareLaunchArgument('mode', default_value='realtime', choices=['realtime', 'lockstep'],
                              description='Pace of the clock, or one control period per command'),
        DeclareLaunchArgument('hold_until_command', default_value='false', choices=['true', 'false'],
                              description='Hold the base, as a gantry would, until simulation/release is called'),
        DeclareLaunchArgument('simulation_parameters', default_value=_node_file('simulation'),
                              description="YAML file with the simulation node's parameters"),
        DeclareLaunchArgument('shield_parameters', default_value=_node_file('shield'),
                              description="YAML file with the shield node's parameters"),
    ]
    robot = ParameterValue(LaunchConfiguration('robot'), value_type=str)
    mode = ParameterValue(LaunchConfiguration('mode'), value_type=str)
    held = ParameterValue(LaunchConfiguration('hold_until_command'), value_type=bool)
    nodes = [
        Node(package='rl_robot_control', executable='simulation_node', name='simulation', output='screen',
             namespace=LaunchConfiguration('namespace'),
             parameters=[LaunchConfiguration('simulation_parameters'),
                         {'robot': robot, 'mode': mode, 'hold_until_command': held}]),
        Node(package='rl_robot_control', executable='shield_node', name='shield', output='screen',
             namespace=LaunchConfiguration('namespace'),
             parameters=[LaunchConfiguration('shield_parameters'), {'robot': robot, 'mode': mode}]),
    ]
    return LaunchDescription([*arguments, _without_shared_memory(), *nodes])


def _without_shared_memory() -> SetEnvironmentVariable:
    """With it, a participant that joins can make Fast DDS deaf for a third of a second (docs/safety.md)."""
    name = 'FASTDDS_BUILTIN_TRANSPORTS'
    return SetEnvironmentVariable(name, EnvironmentVariable(name, default_value='UDPv4'))


def _node_file(name: str) -> PathJoinSubstitution:
    return PathJoinSubstitution([FindPackageShare('rl_robot_control'), 'config', 'nodes', f'{name}.yaml'])

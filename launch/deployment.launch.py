"""A policy on a robot: shield, supervisor and inference node, with the simulated robot or without it.

    ros2 launch rl_robot_control deployment.launch.py policy:=policy.onnx
    ros2 lifecycle set /inference configure
    ros2 lifecycle set /inference activate
    ros2 service call /simulation/release std_srvs/srv/Trigger
    ros2 topic pub -r 10 /cmd_vel geometry_msgs/msg/Twist '{linear: {x: 0.6}}'

With ``autostart:=true`` the inference node configures and activates itself. The simulated robot hangs from its gantry
until it is released; a real one hangs from yours.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, SetEnvironmentVariable
from launch.conditions import IfCondition, UnlessCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PACKAGE = FindPackageShare('rl_robot_control')


def generate_launch_description() -> LaunchDescription:
    """Arguments, the robot or only its shield, the inference node."""
    arguments = [
        DeclareLaunchArgument('policy', description='Exported .onnx file, or name of a bundled policy'),
        DeclareLaunchArgument('robot', default_value='unitree_g1',
                              description="Name in config/robots, or path of a YAML file; it must be the policy's"),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the robot'),
        DeclareLaunchArgument('simulation', default_value='true', choices=['true', 'false'],
                              description='Start the simulated robot; false: another one is there'),
        DeclareLaunchArgument('driver', default_value='simulation',
                              description="Node that holds the drives' gains in its parameters; empty: not checked"),
        DeclareLaunchArgument('autostart', default_value='false', choices=['true', 'false'],
                              description='Configure and activate without being asked to'),
        DeclareLaunchArgument('shield_parameters', default_value=_node_file('shield'),
                              description="YAML file with the shield node's parameters"),
        DeclareLaunchArgument('robot_side', default_value='own_timeout', choices=['own_timeout', 'ros2_control'],
                              description='How the supervisor makes the robot safe when the shield is gone'),
        DeclareLaunchArgument('supervisor_parameters', default_value=_node_file('supervisor'),
                              description="YAML file with the supervisor node's parameters"),
        DeclareLaunchArgument('inference_parameters', default_value=_node_file('inference'),
                              description="YAML file with the inference node's parameters"),
    ]
    namespace, robot = LaunchConfiguration('namespace'), ParameterValue(LaunchConfiguration('robot'), value_type=str)
    simulated = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([PACKAGE, 'launch', 'simulation.launch.py'])),
        launch_arguments={'robot': LaunchConfiguration('robot'), 'namespace': namespace, 'hold_until_command': 'true',
                          'shield_parameters': LaunchConfiguration('shield_parameters')}.items(),
        condition=IfCondition(LaunchConfiguration('simulation')))
    shield = Node(package='rl_robot_control', executable='shield_node', name='shield', namespace=namespace,
                  output='screen', parameters=[LaunchConfiguration('shield_parameters'), {'robot': robot}],
                  condition=UnlessCondition(LaunchConfiguration('simulation')))
    supervisor = Node(package='rl_robot_control', executable='supervisor_node', name='supervisor', namespace=namespace,
                      output='screen', parameters=[
                          LaunchConfiguration('supervisor_parameters'),
                          {'robot': robot, 'robot_side': ParameterValue(LaunchConfiguration('robot_side'),
                                                                        value_type=str)}])
    inference = LifecycleNode(
        package='rl_robot_control', executable='inference_node', name='inference', namespace=namespace, output='screen',
        parameters=[LaunchConfiguration('inference_parameters'),
                    {'policy': ParameterValue(LaunchConfiguration('policy'), value_type=str), 'robot': robot,
                     'driver': ParameterValue(LaunchConfiguration('driver'), value_type=str),
                     'autostart': ParameterValue(LaunchConfiguration('autostart'), value_type=bool)}])
    return LaunchDescription([*arguments, _without_shared_memory(), simulated, shield, supervisor, inference])


def _without_shared_memory() -> SetEnvironmentVariable:
    """With it, a participant that joins can make Fast DDS deaf for a third of a second (docs/safety.md)."""
    name = 'FASTDDS_BUILTIN_TRANSPORTS'
    return SetEnvironmentVariable(name, EnvironmentVariable(name, default_value='UDPv4'))


def _node_file(name: str) -> PathJoinSubstitution:
    return PathJoinSubstitution([PACKAGE, 'config', 'nodes', f'{name}.yaml'])

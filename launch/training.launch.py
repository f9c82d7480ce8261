"""Training over topics: training node → shield node → simulation node, in lock-step.

    ros2 launch rl_robot_control training.launch.py robot:=unitree_g1 task:=walk out:=runs/walk

The launch ends when the training does.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PACKAGE = FindPackageShare('rl_robot_control')


def generate_launch_description() -> LaunchDescription:
    """Arguments, the simulated robot, the training node."""
    arguments = [
        DeclareLaunchArgument('robot', default_value='unitree_g1',
                              description='Name in config/robots, or path of a YAML file'),
        DeclareLaunchArgument('task', default_value='walk', description='Name in config/tasks, or path of a YAML file'),
        DeclareLaunchArgument('algorithm', default_value='ppo', description='Name in config/algorithms'),
        DeclareLaunchArgument('out', default_value='runs/training', description="The run's folder"),
        DeclareLaunchArgument('resume', default_value='false', choices=['true', 'false'],
                              description='Go on with the run that the folder holds'),
        DeclareLaunchArgument('seed', default_value='1', description='Source of everything random'),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the robot'),
        DeclareLaunchArgument('parameters', description="YAML file with the training node's parameters",
                              default_value=PathJoinSubstitution([PACKAGE, 'config', 'nodes', 'training.yaml'])),
    ]
    simulation = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([PACKAGE, 'launch', 'simulation.launch.py'])),
        launch_arguments={'robot': LaunchConfiguration('robot'), 'namespace': LaunchConfiguration('namespace'),
                          'mode': 'lockstep'}.items())
    texts = {name: ParameterValue(LaunchConfiguration(name), value_type=str)
             for name in ('robot', 'task', 'algorithm', 'out')}
    training = Node(package='rl_robot_control', executable='training_node', name='training', output='screen',
                    namespace=LaunchConfiguration('namespace'),
                    parameters=[LaunchConfiguration('parameters'),
                                {**texts, 'resume': ParameterValue(LaunchConfiguration('resume'), value_type=bool),
                                 'seed': ParameterValue(LaunchConfiguration('seed'), value_type=int)}])
    end = RegisterEventHandler(OnProcessExit(target_action=training,
                                             on_exit=[EmitEvent(event=Shutdown(reason='the training has ended'))]))
    return LaunchDescription([*arguments, simulation, training, end])

"""What a person looks at: RViz with the robot, its commands and the shield; rqt.

    ros2 launch rl_robot_control monitoring.launch.py robot:=unitree_g1
    ros2 launch rl_robot_control monitoring.launch.py namespace:=left world_frame:=world y:=1.0 rviz:=false
    ros2 launch rl_robot_control monitoring.launch.py namespace:=right world_frame:=world rviz_config:=several_robots

It starts no robot and moves none: robot_state_publisher, ``monitor_node``, rviz2 and rqt beside whatever runs.
"""

from launch import Action, LaunchDescription
from launch_ros.actions import Node

from rl_robot_control.bringup import launching
from rl_robot_control.bringup.compositions import monitor
from rl_robot_control.robots.ros2_control import as_text, with_file_uris

ARGUMENTS = ('robot', 'namespace', 'hardware', 'world_frame', 'x', 'y', 'description', 'rviz', 'rviz_config', 'rqt',
             'use_sim_time', 'secure', 'monitor_parameters')


def generate_launch_description() -> LaunchDescription:
    """Arguments, then what they say."""
    return launching.description(ARGUMENTS, _actions, rviz='true')


def _actions(given: launching.Given) -> list[Action]:
    choice, prefix, time = given.robot(), launching.frame_prefix(given), [{'use_sim_time': given.simulated()}]
    watcher = monitor(choice, frame_prefix=prefix, world_frame=given.text('world_frame'),
                      origin=(given.number('x'), given.number('y'), 0.0))
    actions = [launching.node(watcher, given)]
    if given.flag('description'):
        actions.append(launching.robot_state_publisher(as_text(with_file_uris(choice.load())), given))
    if given.flag('rviz'):
        config = launching.rviz_config(given.text('rviz_config'), prefix)
        actions.append(Node(package='rviz2', executable='rviz2', output='screen', parameters=time,
                            namespace=given.text('namespace'),
                            arguments=['-d', config, '-f', given.text('world_frame') or f'{prefix}odom']))
    if given.flag('rqt'):
        actions.append(Node(package='rqt_gui', executable='rqt_gui', output='screen', parameters=time,
                            namespace=given.text('namespace')))
    return actions

"""A real robot's driver, as ``config/hardware/<name>.yaml`` says, and the shield before it.

    ros2 launch rl_robot_control hardware.launch.py robot:=panda hardware:=panda
    ros2 launch rl_robot_control hardware.launch.py hardware:=unitree_g1

For ``driver: ros2_control``: robot_state_publisher, the controller manager, broadcasters and the robot's controller,
activated in this order. For ``driver: unitree``: ``unitree_node``. A policy is not started.
"""

from launch import Action, LaunchDescription

from rl_robot_control.bringup import launching, ros2_control
from rl_robot_control.bringup.compositions import driver, shield, supervisor

ARGUMENTS = ('robot', 'hardware', 'namespace', 'controllers', 'shield', 'use_sim_time', 'secure', 'rviz',
             'shield_parameters', 'supervisor_parameters', 'unitree_parameters')


def generate_launch_description() -> LaunchDescription:
    """Arguments, then what they say."""
    return launching.description(ARGUMENTS, _actions, use_sim_time='false', hardware='unitree_g1')


def _actions(given: launching.Given) -> list[Action]:
    choice = given.robot()
    hardware, robot = choice.settings(), choice.load()
    specs = driver(choice)
    if given.flag('shield'):
        specs += [shield(choice), supervisor(choice)]
    actions = [launching.node(spec, given) for spec in specs]
    if choice.managed:
        actions = ros2_control.hardware(robot, hardware.controller_manager, given) + actions
    return actions + launching.rviz(given, choice.robot, described=choice.managed)

"""The simulated robot behind the safety shield.

    ros2 launch rl_robot_control simulation.launch.py robot:=unitree_g1

The robot answers on ``joint_states``, ``imu`` and ``odom``; position targets go to ``policy/command``. With
``sim:=gazebo`` Gazebo simulates it, behind ros2_control.
"""

from launch import Action, LaunchDescription

from rl_robot_control.bringup import gazebo, launching
from rl_robot_control.bringup.compositions import shield, simulated_robot

ARGUMENTS = ('robot', 'namespace', 'sim', 'mode', 'hold', 'clock', 'world', 'gui', 'use_sim_time', 'secure', 'rviz',
             'simulation_parameters', 'shield_parameters')


def generate_launch_description() -> LaunchDescription:
    """Arguments, then what they say."""
    return launching.description(ARGUMENTS, _actions)


def _actions(given: launching.Given) -> list[Action]:
    choice = given.robot()
    if given.text('sim') == 'gazebo':
        actions = [*gazebo.running(choice.load(), given), launching.node(shield(choice, ros2_control=True), given)]
    else:
        specs = simulated_robot(choice, mode=given.text('mode'), hold=given.flag('hold'),
                                publish_clock=given.flag('clock'))
        actions = [launching.node(spec, given) for spec in specs]
    return actions + launching.rviz(given, choice.robot)

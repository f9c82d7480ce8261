"""The simulated robot behind the safety shield.

    ros2 launch rl_robot_control simulation.launch.py robot:=unitree_g1

The robot answers on ``joint_states``, ``imu`` and ``odom``; position targets go to ``policy/command``. With
``sim:=gazebo`` Gazebo simulates it, behind ros2_control. With ``mode:=lockstep`` it waits for whoever evaluates:

    ros2 launch rl_robot_control simulation.launch.py sim:=gazebo mode:=lockstep hold:=true
    rl_robot_control evaluate policy.onnx --backend running
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
    choice, mode, gz = given.robot(), given.text('mode'), given.text('sim') == 'gazebo'
    specs = simulated_robot(choice, mode=mode, hold=given.flag('hold'), publish_clock=given.flag('clock'),
                            simulator='gazebo' if gz else 'mujoco')
    engine = []
    if gz and mode == 'lockstep':
        engine = gazebo.stepped(choice.load(), given, held=given.flag('hold'))
    elif gz:  # Gazebo needs no simulation node in its own time
        engine, specs = gazebo.running(choice.load(), given), [shield(choice, ros2_control=True)]
    nodes = [launching.node(spec, given) for spec in specs]
    return [*engine, *nodes, *launching.rviz(given, choice.robot, described=gz and mode != 'lockstep')]

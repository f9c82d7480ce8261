"""A policy on a robot: shield, supervisor and inference node, with the simulated robot or a real one.

    ros2 launch rl_robot_control deployment.launch.py policy:=policy.onnx
    ros2 lifecycle set /inference configure
    ros2 lifecycle set /inference activate
    ros2 service call /simulation/release std_srvs/srv/Trigger
    ros2 topic pub -r 10 /cmd_vel geometry_msgs/msg/Twist '{linear: {x: 0.6}}'

With ``autostart:=true`` the inference node configures and activates itself. The simulated robot hangs from its gantry
until it is released; a real one hangs from yours. ``sim:=none hardware:=NAME`` starts the driver that
``config/hardware/NAME.yaml`` names; ``sim:=none`` alone expects that it runs. With ``ros2_control:=true`` the simulated
robot stands behind a controller manager, as a real one would.
"""

from launch import Action, LaunchDescription

from rl_robot_control.bringup import gazebo, launching, ros2_control
from rl_robot_control.bringup.compositions import deployment
from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import read_policy

ARGUMENTS = ('policy', 'robot', 'namespace', 'sim', 'hardware', 'ros2_control', 'controllers', 'driver', 'autostart',
             'hold', 'clock', 'world', 'gui', 'use_sim_time', 'secure', 'rviz', 'simulation_parameters',
             'shield_parameters', 'supervisor_parameters', 'inference_parameters')


def generate_launch_description() -> LaunchDescription:
    """Arguments, then what they say; the robot is the policy's where none is named."""
    return launching.description(ARGUMENTS, _actions, robot='', hold='true')


def _actions(given: launching.Given) -> list[Action]:
    policy = read_policy(find_policy(given.text('policy')), robot=given.text('robot') or None)
    choice, sim = given.robot(policy.manifest.robot), given.text('sim')
    inference = {'autostart': given.flag('autostart')}
    if given.text('driver') != 'auto':
        inference['driver'] = given.text('driver')
    specs = deployment(policy, choice, inference, sim=sim, ros2_control=given.flag('ros2_control'),
                       publish_clock=given.flag('clock'), hold=given.flag('hold'))
    nodes = [launching.node(spec, given) for spec in specs]
    if sim == 'gazebo':
        nodes = gazebo.running(choice.load(), given) + nodes
    elif sim == 'mujoco' and given.flag('ros2_control'):
        nodes += ros2_control.before_the_simulation(choice.load(), given)
    elif sim == 'none' and choice.hardware:
        nodes.insert(0, launching.include('hardware', shield='false', use_sim_time='false', robot=choice.robot,
                                          **given.passed_on('hardware', 'namespace', 'controllers')))
    described = sim == 'gazebo' or given.flag('ros2_control') or (sim == 'none' and choice.managed)
    return nodes + launching.rviz(given, choice.robot, described=described)

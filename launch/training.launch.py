"""Training over topics: training node → shield node → simulation node, in lock-step, or a robot in real time.

    ros2 launch rl_robot_control training.launch.py robot:=unitree_g1 task:=walk out:=runs/walk
    ros2 launch rl_robot_control training.launch.py mode:=realtime task:=reach algorithm:=sac_robot out:=runs/reach
    ros2 launch rl_robot_control training.launch.py mode:=realtime task:=reach algorithm:=sac_robot out:=runs/reach \
        sim:=none hardware:=unitree_g1

The launch ends when the training does; Ctrl-C keeps the checkpoint, and ``resume:=true`` goes on from it. With
``sim:=gazebo`` the simulation node steps a Gazebo. ``mode:=realtime`` learns on a robot that does not wait (budget
``hardware``): the simulated one, or with ``sim:=none hardware:=NAME`` the one whose driver
``config/hardware/NAME.yaml`` names; ``sim:=none`` alone expects that it runs. It hangs from a gantry, or its base is
fixed.
"""

from launch import Action, LaunchDescription
from launch.actions import EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown

from rl_robot_control.bringup import gazebo, launching
from rl_robot_control.bringup.compositions import training, training_in_real_time
from rl_robot_control.errors import ConfigurationError

ARGUMENTS = ('robot', 'task', 'algorithm', 'mode', 'budget', 'out', 'resume', 'warm_start', 'seed', 'steps', 'minutes',
             'namespace', 'sim', 'hardware', 'controllers', 'world', 'gui', 'use_sim_time', 'secure', 'rviz',
             'simulation_parameters', 'shield_parameters', 'supervisor_parameters', 'training_parameters')


def generate_launch_description() -> LaunchDescription:
    """Arguments, then what they say."""
    return launching.description(ARGUMENTS, _actions, mode='lockstep')


def _actions(given: launching.Given) -> list[Action]:
    sim, realtime = given.text('sim'), given.text('mode') == 'realtime'
    if realtime and sim == 'gazebo':
        raise ConfigurationError("mode is 'realtime', and sim is 'gazebo', which is learnt with in lock-step; leave "
                                 'one of them out.')
    if given.text('hardware') and not realtime:
        raise ConfigurationError(f"hardware is '{given.text('hardware')}', and mode is 'lockstep': a real robot does "
                                 'not wait. Give mode:=realtime.')
    learner = {name: given.text(name) for name in ('algorithm', 'budget', 'out', 'warm_start')}
    learner |= {'resume': given.flag('resume'), 'minutes': given.number('minutes'),
                **{name: given.number(name, int) for name in ('seed', 'steps')}}
    choice, task = given.robot(), given.text('task')
    if realtime:
        specs = training_in_real_time(choice, task, learner, sim=sim)
    else:
        specs = training(choice.robot, task, learner, simulator='gazebo' if sim == 'gazebo' else 'mujoco')
        specs = [spec for spec in specs if spec.name != 'simulation' or sim != 'none']
    nodes = [launching.node(spec, given) for spec in specs]
    engine = []
    if sim == 'gazebo':
        engine = gazebo.stepped(choice.load(), given, held=specs[0].parameters['hold_until_command'])
    elif realtime and sim == 'none' and choice.hardware:
        engine = [launching.include('hardware', shield='false', use_sim_time='false', robot=choice.robot,
                                    **given.passed_on('hardware', 'namespace', 'controllers'))]
    end = OnProcessExit(target_action=nodes[-1], on_exit=[EmitEvent(event=Shutdown(reason='the training has ended'))])
    return [*engine, *nodes, RegisterEventHandler(end), *launching.rviz(given, choice.robot, 'training')]

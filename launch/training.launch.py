"""Training over topics: training node → shield node → simulation node, in lock-step.

    ros2 launch rl_robot_control training.launch.py robot:=unitree_g1 task:=walk out:=runs/walk

The launch ends when the training does; Ctrl-C keeps the checkpoint, and ``resume:=true`` goes on from it. With
``sim:=gazebo`` the simulation node steps a Gazebo.
"""

from launch import Action, LaunchDescription
from launch.actions import EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown

from rl_robot_control.bringup import gazebo, launching
from rl_robot_control.bringup.compositions import training

ARGUMENTS = ('robot', 'task', 'algorithm', 'budget', 'out', 'resume', 'warm_start', 'seed', 'steps', 'minutes',
             'namespace', 'sim', 'world', 'gui', 'use_sim_time', 'secure', 'rviz', 'simulation_parameters',
             'shield_parameters', 'training_parameters')


def generate_launch_description() -> LaunchDescription:
    """Arguments, then what they say."""
    return launching.description(ARGUMENTS, _actions)


def _actions(given: launching.Given) -> list[Action]:
    robot, sim = given.text('robot'), given.text('sim')
    learner = {name: given.text(name) for name in ('algorithm', 'budget', 'out', 'warm_start')}
    learner |= {'resume': given.flag('resume'), 'minutes': given.number('minutes'),
                **{name: given.number(name, int) for name in ('seed', 'steps')}}
    specs = training(robot, given.text('task'), learner, simulator='gazebo' if sim == 'gazebo' else 'mujoco')
    if sim == 'none':
        specs = [spec for spec in specs if spec.name != 'simulation']
    nodes = [launching.node(spec, given) for spec in specs]
    engine = []
    if sim == 'gazebo':
        engine = gazebo.stepped(given.robot().load(), given, held=specs[0].parameters['hold_until_command'])
    end = OnProcessExit(target_action=nodes[-1], on_exit=[EmitEvent(event=Shutdown(reason='the training has ended'))])
    return [*engine, *nodes, RegisterEventHandler(end), *launching.rviz(given, robot, 'training')]

"""The arguments of the launch files: one table, so that a name means the same in each of them. Needs no launch."""

from __future__ import annotations

from dataclasses import dataclass

from rl_robot_control.errors import UnknownNameError

FLAG = ('true', 'false')


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument; without a default it must be given."""

    description: str
    default: str | None = ''
    choices: tuple[str, ...] = ()


def _flag(description: str, default: str = 'false') -> Argument:
    return Argument(description=description, default=default, choices=FLAG)


def _file(node: str) -> Argument:
    return Argument(description=f"YAML file with the {node} node's parameters; empty: config/nodes/{node}.yaml")


ARGUMENTS = {
    'robot': Argument(default='unitree_g1', description='Name in config/robots, or path of a YAML file'),
    'namespace': Argument(description='Namespace of the robot; its frames get it as a prefix'),
    'use_sim_time': Argument(default='auto', choices=('auto', *FLAG),
                             description='Whether time is /clock; auto: where a simulation publishes it'),
    'secure': _flag('Give each node its enclave of config/security/policy.xml (docs/security.md)'),
    'rviz': _flag('Show the robot, its commands and the shield in RViz (rviz2, robot_state_publisher)'),
    'clock': _flag('Whether the simulation publishes /clock; of several robots one may', default='true'),
    'sim': Argument(default='mujoco', choices=('mujoco', 'gazebo', 'none'),
                    description='What simulates the robot; none: it is there'),
    'world': Argument(description='SDF world for Gazebo; empty: config/gazebo/world.sdf'),
    'gui': _flag("Show Gazebo's window"),
    'mode': Argument(default='realtime', choices=('realtime', 'lockstep'),
                     description='Pace of the clock, or one control period per command'),
    'task': Argument(default='walk', description='Name in config/tasks, or path of a YAML file'),
    'algorithm': Argument(default='ppo', description='Name in config/algorithms'),
    'budget': Argument(default='simulation', choices=('simulation', 'hardware'),
                       description='With hardware, and in real time, the robot moves to its starts by itself'),
    'out': Argument(default='runs/training', description="The run's folder"),
    'resume': _flag('Go on with the run that the folder holds'),
    'seed': Argument(default='1', description='Source of everything random'),
    'steps': Argument(default='0', description="Steps in all; 0: the algorithm's default"),
    'minutes': Argument(default='0.0', description='Training time at most [min]; 0: no limit'),
    'warm_start': Argument(description='Folder of another run whose parameters to start from'),
    'policy': Argument(default=None, description='Exported .onnx file, or name of a bundled policy'),
    'hold': _flag('Hold the base, as a gantry would, until simulation/release is called'),
    'hardware': Argument(description="Name in config/hardware, or path of a YAML file: by what the joints are reached; "
                                     "empty: the robot's own topics"),
    'ros2_control': _flag("Let ros2_control's controller manager stand between the shield and the simulated robot"),
    'controllers': Argument(description="Path of the controller manager's controllers.yaml; empty: made of the "
                                        "robot's and the hardware's YAML"),
    'driver': Argument(default='auto', description="Node that holds the drives' gains in its parameters; empty: not "
                                                   'checked; auto: simulation or unitree, where it is started'),
    'autostart': _flag('Configure and activate the policy without being asked to'),
    'shield': _flag('Start the shield, too', default='true'),
    'rqt': _flag('Show rqt with the diagnostics and the velocity command'),
    'description': _flag('Start robot_state_publisher, too; not where another one publishes the same', default='true'),
    'rviz_config': Argument(default='deployment', description='Name in config/rviz, or path of a file'),
    'world_frame': Argument(description="Frame above the robot's odom; empty: none"),
    'x': Argument(default='0.0', description="Where the robot's odom lies in the world frame [m]"),
    'y': Argument(default='0.0', description="Where the robot's odom lies in the world frame [m]"),
    **{f'{node}_parameters': _file(node)
       for node in ('simulation', 'shield', 'supervisor', 'inference', 'training', 'monitor', 'unitree')},
}


def table(names: tuple[str, ...], defaults: dict[str, str] | None = None) -> dict[str, Argument]:
    """Arguments by name.

    Args:
        names: Which.
        defaults: Other defaults, by name.

    Raises:
        UnknownNameError: There is no such argument.
    """
    for name in (*names, *(defaults or {})):
        if name not in ARGUMENTS:
            raise UnknownNameError('launch argument', name, ARGUMENTS)
    found = {name: ARGUMENTS[name] for name in names}
    for name, default in (defaults or {}).items():
        given = ARGUMENTS[name]
        found[name] = Argument(description=given.description, choices=given.choices, default=default)
    return found

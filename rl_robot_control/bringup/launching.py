"""Turns node specifications into actions of ``ros2 launch``; what the launch files have in common."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from rl_robot_control.bringup.launch_arguments import table
from rl_robot_control.bringup.node_spec import PACKAGE, NodeSpec
from rl_robot_control.config import config_directory, load_yaml
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots.hardware import RobotChoice


class Given:
    """The arguments of a launch, as they were given."""

    def __init__(self, context: LaunchContext) -> None:
        self._values = context.launch_configurations

    def text(self, name: str) -> str:
        """An argument's text; empty where the launch file has no such argument."""
        return self._values.get(name, '')

    def flag(self, name: str) -> bool:
        """Whether an argument is 'true'."""
        return self.text(name) == 'true'

    def number(self, name: str, kind: Callable[[str], Any] = float) -> Any:
        """An argument as a number.

        Raises:
            ConfigurationError: It is none.
        """
        try:
            return kind(self.text(name))
        except ValueError:
            raise ConfigurationError(f"launch argument '{name}' is {self.text(name)!r}; a number is needed.") from None

    def file(self, name: str) -> str:
        """An argument that names a file; empty where none is given.

        Raises:
            ConfigurationError: There is no such file.
        """
        path = self.text(name)
        if path and not Path(path).is_file():
            raise ConfigurationError(f"launch argument '{name}' is '{path}', which is no file.")
        return path

    def robot(self, default: str = '') -> RobotChoice:
        """The robot, and by what its joints are reached.

        Args:
            default: The robot where none is named.
        """
        return RobotChoice(robot=self.text('robot') or default, hardware=self.text('hardware'))

    def simulated(self) -> bool:
        """Whether a simulation gives the time: the one that this launch starts, if the arguments leave that open."""
        asked = self.text('use_sim_time')
        return self.text('sim') != 'none' and self.text('clock') != 'false' if asked == 'auto' else asked == 'true'

    def passed_on(self, *names: str) -> dict[str, str]:
        """Arguments for an included launch file."""
        return {name: self.text(name) for name in names}


def description(names: Iterable[str], actions: Callable[[Given], list[Action]], **defaults: str) -> LaunchDescription:
    """A launch file: declare its arguments, then do what they say.

    Args:
        names: Of the arguments, from ``launch_arguments.ARGUMENTS``.
        actions: Called with the arguments when the launch runs.
        defaults: Where they differ from the table's.
    """
    declared = [DeclareLaunchArgument(name, default_value=row.default, description=row.description,
                                      choices=list(row.choices) or None)
                for name, row in table(tuple(names), defaults).items()]
    return LaunchDescription([*declared, without_shared_memory(),
                              OpaqueFunction(function=lambda context: actions(Given(context)))])


def node(spec: NodeSpec, given: Given) -> Node:
    """The action that starts a node.

    Args:
        spec: From a composition.
        given: Namespace, parameter files and ``use_sim_time`` come from there.
    """
    files = [given.file(f'{spec.name}_parameters') or spec.defaults] if spec.package == PACKAGE else []
    own_clock = spec.name == 'simulation'  # it makes the time
    values = {**spec.parameters, 'use_sim_time': given.simulated() and not own_clock}
    kind = LifecycleNode if spec.lifecycle else Node
    return kind(package=spec.package, executable=spec.program, name=spec.name, namespace=given.text('namespace'),
                output='screen', parameters=[*map(str, files), parameters(values)],
                remappings=list(spec.remappings.items()),
                ros_arguments=['--enclave', f'/{PACKAGE}/{spec.name}'] if given.flag('secure') else [])


def parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Parameters as launch wants them: a text stays a text, and an empty list, which has no type, stays out."""
    return {name: ParameterValue(value, value_type=str) if isinstance(value, str) else
            list(value) if isinstance(value, tuple) else value
            for name, value in values.items() if not (isinstance(value, (list, tuple)) and not value)}


def include(name: str, **arguments: str) -> IncludeLaunchDescription:
    """Another launch file of this package."""
    path = config_directory().parent / 'launch' / f'{name}.launch.py'
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=arguments.items())


def without_shared_memory() -> SetEnvironmentVariable:
    """With it, a participant that joins can make Fast DDS deaf for a third of a second (docs/safety.md)."""
    name = 'FASTDDS_BUILTIN_TRANSPORTS'
    return SetEnvironmentVariable(name, EnvironmentVariable(name, default_value='UDPv4'))


def robot_state_publisher(urdf: str, given: Given) -> Node:
    """Publishes ``robot_description``, and TF of the robot's links, with the namespace as prefix of the frames."""
    spec = NodeSpec(name='robot_state_publisher', package='robot_state_publisher', executable='robot_state_publisher',
                    parameters={'robot_description': urdf, 'frame_prefix': frame_prefix(given)})
    return node(spec, given)


def frame_prefix(given: Given) -> str:
    """What stands before a robot's frames: its namespace, so that two robots' do not meet."""
    namespace = given.text('namespace').strip('/')
    return f'{namespace}/' if namespace else ''


def temporary_yaml(content: Any, stem: str) -> str:
    """Path of a file that holds what another package's node reads from a file."""
    with tempfile.NamedTemporaryFile('w', prefix=f'{stem}_', suffix='.yaml', delete=False) as file:
        yaml.safe_dump(content, file, sort_keys=False)
    return file.name


def rviz(given: Given, robot: str, config: str = 'deployment', described: bool = False) -> list[Action]:
    """RViz and what it shows, if the arguments ask for it.

    Args:
        given: The launch's arguments.
        robot: Name of the robot, or path of its YAML file.
        config: Name in ``config/rviz``.
        described: Whether a robot_state_publisher is started in any case.
    """
    if not given.flag('rviz'):
        return []
    return [include('monitoring', robot=robot, namespace=given.text('namespace'), rviz_config=config,
                    description='false' if described else 'true',
                    use_sim_time='true' if given.simulated() else 'false')]


def rviz_config(name: str, prefix: str) -> str:
    """Path of an RViz file in which a robot that is not named by its namespace has the prefix of its frames.

    Args:
        name: Name in ``config/rviz``, or path of a file.
        prefix: Of the frames, from ``frame_prefix``.
    """
    path = Path(name) if name.endswith('.rviz') else config_directory() / 'rviz' / f'{name}.rviz'
    if not prefix:
        return str(path)
    content = load_yaml(path)
    for display in content['Visualization Manager']['Displays']:
        if display.get('TF Prefix') == '':
            display['TF Prefix'] = prefix.rstrip('/')
    return temporary_yaml(content, 'rviz')

"""Which nodes make a simulated robot, a training or a deployment, and with which parameters.

The one place that says so: the command line and the launch files start what these functions return. Plain data; needs
neither ROS nor launch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.bringup.node_spec import NodeSpec
from rl_robot_control.config import to_plain
from rl_robot_control.policies.gate import CheckedModel
from rl_robot_control.policies.manifest import Manifest
from rl_robot_control.policies.matching import check_robot, policy_robot
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.hardware import RobotChoice
from rl_robot_control.robots.ros2_control import component_name
from rl_robot_control.tasks.task import load_task

SIMULATED_STATES = 'simulated_joint_states'  # of a simulation behind a controller manager, which has the usual names
SIMULATED_COMMANDS = 'simulated_joint_commands'


def simulated_robot(choice: RobotChoice, *, mode: str = 'realtime', hold: bool = False, policy: Manifest | None = None,
                    publish_clock: bool = True, ros2_control: bool = False,
                    simulator: str = 'mujoco') -> list[NodeSpec]:
    """A simulated robot and its shield.

    Args:
        choice: The robot.
        mode: ``realtime`` or ``lockstep``.
        hold: Whether the base is held, as a gantry would, until ``simulation/release``.
        policy: Whose gains the drives have, and whose period the shield; None: as the robot's YAML says.
        publish_clock: Whether the simulation's time is the graph's; one robot's at most.
        ros2_control: Whether the simulation is the hardware of a controller manager.
        simulator: One of the simulation node's.
    """
    kind = choice.load().settings.topics.controller_type
    # An effort is good for one state: with the drives' loop closed over topics, states must come faster.
    faster = {'timestep': 0.002, 'publish_period': 0.002} if kind == 'effort' else {}
    values = {'mode': mode, 'hold_until_command': hold, 'publish_clock': publish_clock and simulator != 'gazebo',
              'simulator': simulator, **faster, **gain_parameters(policy)}
    reached, renamed = choice.parameters(), {}
    if ros2_control:
        reached = {'robot': choice.robot, 'controller': SIMULATED_COMMANDS, 'controller_type': 'joint_state'}
        renamed = {'joint_states': SIMULATED_STATES}
    return [NodeSpec(name='simulation', parameters={**reached, **values}, remappings=renamed),
            shield(choice, mode=mode, policy=policy, ros2_control=ros2_control)]


def shield(choice: RobotChoice, *, mode: str = 'realtime', policy: Manifest | None = None,
           ros2_control: bool = False) -> NodeSpec:
    """The shield of a robot.

    Args:
        choice: The robot.
        mode: ``realtime`` or ``lockstep``.
        policy: Whose gains the drives have, and whose period the shield; None: as the robot's YAML says.
        ros2_control: Whether it stands behind a controller manager, also where its hardware does not say so.
    """
    more = {} if policy is None else {'control_period': policy.control_period}
    if ros2_control or choice.managed:
        more['require_controller'] = True
    return NodeSpec(name='shield', remappings=_state_topics(choice),
                    parameters={**choice.parameters(), 'mode': mode, **more, **gain_parameters(policy)})


def lockstep(robot: str, control_period: float, physics: PhysicsSettings | None = None, *, held: bool = False,
             policy: Manifest | None = None, simulator: str = 'mujoco') -> list[NodeSpec]:
    """A simulated robot that advances by one period for each command, and its shield.

    Args:
        robot: Name in ``config/robots``, or path of a YAML file.
        control_period: Time between two commands [s].
        physics: How the robot is simulated; None: in full.
        held: Whether the base is held where it is reset to.
        policy: Whose gains the drives have; None: the robot's.
        simulator: One of the simulation node's.
    """
    physics, gains = physics or PhysicsSettings(), gain_parameters(policy)
    values = {'robot': robot, 'mode': 'lockstep', 'control_period': control_period, **gains}
    simulation = {**values, 'hold_until_command': held, **to_plain(physics),
                  'simulator': simulator, 'publish_clock': simulator != 'gazebo'}
    distances = physics.collisions == 'full'  # else links pass each other
    return [NodeSpec(name='simulation', parameters=simulation),
            NodeSpec(name='shield', parameters={**values, 'distances': distances, 'check_unloaded': not held})]


def training(robot: str, task: str, learner: Mapping[str, Any], *, simulator: str = 'mujoco') -> list[NodeSpec]:
    """What ``lockstep`` gives for a task, and the training node.

    Args:
        robot: Name in ``config/robots``, or path of a YAML file.
        task: Name in ``config/tasks``, or path of a YAML file.
        learner: Further parameters of the training node.
        simulator: One of the simulation node's.
    """
    loaded = load_task(task, load_robot(robot))
    nodes = lockstep(robot, loaded.control_period, loaded.settings.training_physics,
                     held=loaded.settings.base == 'held', simulator=simulator)
    return [*nodes, NodeSpec(name='training', parameters={'robot': robot, 'task': task, **learner})]


def real_time(choice: RobotChoice, task: str, *, sim: str = 'mujoco') -> list[NodeSpec]:
    """A robot in real time that learns a task without being put anywhere, its shield, the supervisor.

    Args:
        choice: The robot; its base is held or fixed in the task.
        task: Name in ``config/tasks``, or path of a YAML file.
        sim: ``mujoco``; else the robot is there, whatever it is.
    """
    loaded = load_task(task, choice.load())
    held = loaded.settings.base == 'held'
    robot = simulated_robot(choice, hold=held) if sim == 'mujoco' else [shield(choice)]
    guard = robot[-1]
    values = {**guard.parameters, 'control_period': loaded.control_period, 'check_unloaded': not held}
    return [*robot[:-1], replace(guard, parameters=values), supervisor(choice)]


def training_in_real_time(choice: RobotChoice, task: str, learner: Mapping[str, Any], *,
                          sim: str = 'mujoco') -> list[NodeSpec]:
    """What ``real_time`` gives, and the training node.

    Args:
        choice: The robot.
        task: Name in ``config/tasks``, or path of a YAML file.
        learner: Further parameters of the training node.
        sim: See ``real_time``.
    """
    values = {**choice.parameters(), 'task': task, **learner, 'mode': 'realtime', 'budget': 'hardware'}
    return [*real_time(choice, task, sim=sim),
            NodeSpec(name='training', parameters=values, remappings=_state_topics(choice))]


def deployment(policy: CheckedModel, choice: RobotChoice, inference: Mapping[str, Any] | None = None, *,
               sim: str = 'mujoco', ros2_control: bool = False, publish_clock: bool = True,
               hold: bool = True) -> list[NodeSpec]:
    """A policy on a robot in real time: the simulated robot, its shield, the supervisor, the inference node.

    Args:
        policy: The file, from ``read_policy``.
        choice: The robot.
        inference: Further parameters of the inference node.
        sim: ``mujoco``; else the robot is there, whatever it is.
        ros2_control: Whether a controller manager stands between the shield and the simulated robot.
        publish_clock: Whether the simulation's time is the graph's.
        hold: Whether the simulated base is held, as a gantry would, until ``simulation/release``.

    Raises:
        PolicyError: The policy is another robot's.
    """
    manifest, simulated = policy.manifest, sim == 'mujoco'
    # The nodes would find out, each in its own words.
    check_robot(manifest, policy_robot(manifest, choice.load()), policy.path.name)
    ros2_control = ros2_control or sim == 'gazebo'
    robot = simulated_robot(choice, hold=hold, policy=manifest, publish_clock=publish_clock,
                            ros2_control=ros2_control) if simulated else [
                                shield(choice, policy=manifest, ros2_control=ros2_control)]
    driver = {'driver': 'simulation' if simulated else ''}
    return [*robot, supervisor(choice, ros2_control=ros2_control),
            NodeSpec(name='inference', lifecycle=True, remappings=_state_topics(choice), parameters={
                'robot': choice.robot, 'policy': str(policy.path.resolve()), **driver, **(inference or {})})]


def supervisor(choice: RobotChoice, *, ros2_control: bool = False) -> NodeSpec:
    """The supervisor of a robot's shield.

    Args:
        choice: The robot; its hardware says how it is made safe.
        ros2_control: Whether it stands behind a controller manager in any case.
    """
    hardware, side = choice.settings(), {}
    component = component_name(choice.load().name)
    if choice.managed:
        manager = hardware.controller_manager
        side = {'robot_side': 'ros2_control', 'controller_manager': manager.name,
                'damping_controller': manager.damping_controller,
                'hardware_component': component if manager.deactivate_hardware else ''}
    elif ros2_control:
        side = {'robot_side': 'ros2_control', 'hardware_component': component}  # a simulation damps by itself
    elif hardware is not None:
        side = {'robot_node': 'unitree' if hardware.driver == 'unitree' else ''}
    return NodeSpec(name='supervisor', parameters={**choice.parameters(), **side})


def driver(choice: RobotChoice) -> list[NodeSpec]:
    """The driver of a robot, where it is a node of this package."""
    hardware = choice.settings()
    if hardware is None or hardware.driver != 'unitree':
        return []
    own = {name: f'/{name}' for name in ('lowcmd', 'lowstate')}  # the robot's, whatever its namespace here
    return [NodeSpec(name='unitree', remappings=own,
                     parameters={'robot': choice.robot, 'controller': hardware.controller})]


def monitor(choice: RobotChoice, *, frame_prefix: str = '', world_frame: str = '',
            origin: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> NodeSpec:
    """The monitor of a robot.

    Args:
        choice: The robot.
        frame_prefix: Before the names of its frames.
        world_frame: Above the robot's odom; empty: none.
        origin: Of odom in it: x [m], y [m], yaw [rad].
    """
    return NodeSpec(name='monitor', remappings=_state_topics(choice), parameters={
        **choice.parameters(), 'frame_prefix': frame_prefix, 'world_frame': world_frame, 'world_origin': origin})


def _state_topics(choice: RobotChoice) -> dict[str, str]:
    """New names by old ones, for whoever reads the robot's state."""
    hardware = choice.settings()
    return {} if hardware is None else dict(hardware.topics)


def gain_parameters(policy: Manifest | None) -> dict[str, Any]:
    """The gains of a policy as parameters of simulation and shield; none where there is no policy."""
    return {} if policy is None else {'stiffness': policy.stiffness, 'damping': policy.damping}

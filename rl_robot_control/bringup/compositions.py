"""Which nodes make a simulated robot, a training or a deployment, and with which parameters.

The one place that says so: the command line and the launch files start what these functions return. Plain data; needs
neither ROS nor launch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.bringup.node_spec import NodeSpec
from rl_robot_control.config import to_plain
from rl_robot_control.policies.gate import CheckedModel
from rl_robot_control.policies.manifest import Manifest
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.hardware import RobotChoice
from rl_robot_control.tasks.task import load_task

SIMULATED_STATE = 'simulated_joint_states'  # of a simulation behind ros2_control, whose broadcaster has the usual name
SIMULATED_COMMAND = 'simulated_joint_commands'


def simulated_robot(choice: RobotChoice, *, hold: bool = False, policy: Manifest | None = None,
                    publish_clock: bool = True, ros2_control: bool = False) -> list[NodeSpec]:
    """A robot simulated in real time, and its shield.

    Args:
        choice: The robot.
        hold: Whether the base is held, as a gantry would, until ``simulation/release``.
        policy: Whose gains the drives have, and whose period the shield; None: as the robot's YAML says.
        publish_clock: Whether the simulation's time is the graph's; one robot's at most.
        ros2_control: Whether the simulation is the hardware of a controller manager (``hardware.topic_hardware``).
    """
    kind = choice.load().settings.topics.controller_type
    # An effort is good for one state: with the drives' loop closed over topics, states must come faster.
    period = 0.002 if kind == 'effort' else 0.005
    values = {'mode': 'realtime', 'timestep': period, 'publish_period': period, 'collisions': 'full',
              'hold_until_command': hold, 'publish_clock': publish_clock, **_gains(policy)}
    reached, renamed = choice.parameters(), {}
    if ros2_control:
        reached = {'robot': choice.robot, 'controller': SIMULATED_COMMAND, 'controller_type': 'joint_state'}
        renamed = {'joint_states': SIMULATED_STATE}
    return [NodeSpec(name='simulation', parameters={**reached, **values}, remappings=renamed),
            shield(choice, policy=policy)]


def shield(choice: RobotChoice, *, policy: Manifest | None = None) -> NodeSpec:
    """The shield of a robot in real time."""
    period = {} if policy is None else {'control_period': policy.control_period}
    return NodeSpec(name='shield', parameters={**choice.parameters(), 'mode': 'realtime', **period, **_gains(policy)},
                    remappings=_state_topics(choice))


def lockstep(robot: str, control_period: float, physics: PhysicsSettings | None = None, *, held: bool = False,
             policy: Manifest | None = None) -> list[NodeSpec]:
    """A simulated robot that advances by one period for each command, and its shield.

    Args:
        robot: Name in ``config/robots``, or path of a YAML file.
        control_period: Time between two commands [s].
        physics: How the robot is simulated; None: in full.
        held: Whether the base is held where it is reset to.
        policy: Whose gains the drives have; None: the robot's.
    """
    physics, gains = physics or PhysicsSettings(), _gains(policy)
    values = {'robot': robot, 'mode': 'lockstep', 'control_period': control_period, **gains}
    simulation = {**values, 'hold_until_command': held, **physics_parameters(physics)}
    distances = physics.collisions == 'full'  # else links pass each other
    return [NodeSpec(name='simulation', parameters=simulation),
            NodeSpec(name='shield', parameters={**values, 'distances': distances})]


def training(robot: str, task: str, learner: Mapping[str, Any]) -> list[NodeSpec]:
    """What ``lockstep`` gives for a task, and the training node.

    Args:
        robot: Name in ``config/robots``, or path of a YAML file.
        task: Name in ``config/tasks``, or path of a YAML file.
        learner: Further parameters of the training node.
    """
    loaded = load_task(task, load_robot(robot))
    nodes = lockstep(robot, loaded.control_period, loaded.settings.training_physics,
                     held=loaded.settings.base == 'held')
    return [*nodes, NodeSpec(name='training', parameters={'robot': robot, 'task': task, **learner})]


def deployment(policy: CheckedModel, choice: RobotChoice, inference: Mapping[str, Any] | None = None, *,
               simulation: bool = True, supervisor: Mapping[str, Any] | None = None, publish_clock: bool = True,
               ros2_control: bool = False) -> list[NodeSpec]:
    """A policy on a robot in real time: the simulated robot, its shield, the supervisor, the inference node.

    Args:
        policy: The file, from ``read_policy``.
        choice: The robot.
        inference: Further parameters of the inference node.
        simulation: Whether this package simulates the robot; False: it is there, whatever it is.
        supervisor: Further parameters of the supervisor.
        publish_clock: Whether the simulation's time is the graph's.
        ros2_control: Whether a controller manager stands between shield and robot.
    """
    manifest = policy.manifest
    robot = simulated_robot(choice, hold=True, policy=manifest, publish_clock=publish_clock,
                            ros2_control=ros2_control) if simulation else [shield(choice, policy=manifest)]
    side = {'robot_side': 'ros2_control'} if ros2_control else {}
    return [*robot,
            NodeSpec(name='supervisor', parameters={**choice.parameters(), **side, **(supervisor or {})}),
            NodeSpec(name='inference', lifecycle=True, remappings=_state_topics(choice),
                     parameters={'robot': choice.robot, 'policy': _named(policy.path), **(inference or {})})]


def physics_parameters(physics: PhysicsSettings) -> dict[str, Any]:
    """The simulation node's parameters of the same names."""
    return to_plain(physics)


def _state_topics(choice: RobotChoice) -> dict[str, str]:
    """New names by old ones, for whoever reads the robot's state."""
    hardware = choice.settings()
    return {} if hardware is None else dict(hardware.topics)


def _named(policy: Path) -> str:
    return str(Path(policy).resolve())


def _gains(policy: Manifest | None) -> dict[str, Any]:
    return {} if policy is None else {'stiffness': policy.stiffness, 'damping': policy.damping}

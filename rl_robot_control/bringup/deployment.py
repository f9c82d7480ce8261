"""Brings up a robot's processes: a policy in real time behind the shield, or the lock-step loop for learning.

``deploy`` starts the simulation, the shield, its supervisor, the inference node and a recorder as processes of their
own, lets the policy follow a schedule of velocity commands, and stops everything again, however it ends.
"""

from __future__ import annotations

import array
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.bringup.compositions import deployment, gain_parameters, lockstep, real_time, training
from rl_robot_control.bringup.node_spec import NodeSpec
from rl_robot_control.errors import BackendError, PolicyError
from rl_robot_control.policies.gate import CheckedModel
from rl_robot_control.policies.manifest import Manifest
from rl_robot_control.policies.matching import policy_robot
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.hardware import RobotChoice
from rl_robot_control.ros import interface
from rl_robot_control.ros.command_profile import CommandProfile, Segment
from rl_robot_control.ros.middleware import keep_to_this_machine
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator
from rl_robot_control.tasks.task import load_task

if TYPE_CHECKING:
    from rl_robot_control.ros.backend import RosBackend
    from rl_robot_control.ros.real_time_backend import RealTimeBackend

START_TIMEOUT = 60.0  # for a node to appear: a loaded machine loads a robot's meshes slowly [s]
WATCH_PERIOD = 0.2  # [s]
RAMP_TIMEOUT = 30.0  # [s]
Progress = Callable[[str, float], None]  # what happens, and how much of the schedule is done, in [0, 1]


@dataclass(frozen=True, kw_only=True)
class DeploymentResult:
    """What a deployment left behind."""

    robot: str
    recording: Path | None  # MCAP file
    log_directory: Path
    duration: float  # of the schedule that was driven [s]
    interruption: str = ''  # why it ended early; empty: it did not
    inference: dict[str, str] = field(default_factory=dict)  # the inference node's last diagnostics
    shield: dict[str, str] = field(default_factory=dict)  # the shield's last status


def deploy(policy: CheckedModel, *, profile: CommandProfile, out: Path, robot: str | None = None,
           rate: float | None = None, also: Sequence[str] = (), fallback: str = '', motion_end: str = 'hold',
           controller: str = '', controller_type: str = '', record: bool = True,
           progress: Progress = lambda what, share: None) -> DeploymentResult:
    """Let a policy drive the simulated robot in real time, behind the shield, each in a process of its own.

    Args:
        policy: The file, from ``read_policy``.
        profile: Velocity commands to follow.
        out: Folder for ``recording.mcap`` and ``logs/``.
        robot: Robot by name or file; None: the policy's.
        rate: Control rate of a foreign policy whose file does not say it [Hz].
        also: More policies to load, each NAME=FILE; the schedule may switch to them.
        fallback: Policy that takes over where the active one fails; empty: none.
        motion_end: What follows the end of a motion: hold, loop, or the name of a policy.
        controller: Name of the joint controller; empty: the robot's.
        controller_type: What it takes, one of ``robots.CONTROLLER_TYPES``; empty: the robot's.
        record: Whether to record the topics.
        progress: Called about 20 times a second.

    Raises:
        PolicyError: The inference node refuses the file.
        BackendError: A process ended or did not answer; the message holds the end of its log.
    """
    choice = RobotChoice(robot=robot or policy.manifest.robot, controller=controller, controller_type=controller_type)
    recording = Path(out) / 'recording.mcap' if record else None
    with NodeGroup(Path(out) / 'logs') as group, Operator(group.domain.id, watch=group.check) as operator:
        progress('starting the processes', 0.0)
        if recording is not None:
            group.start('recorder', {**choice.parameters(), 'out': str(recording)},
                        module='rl_robot_control.ros.recorder')
        start_nodes(group, deployment(policy, choice, {
            'policies': [_absolute(entry) for entry in also], 'fallback': fallback, 'motion_end': motion_end,
            'rate': rate or 0.0}))
        operator.wait_until(lambda: operator.value('shield', 'mode') != '', 'the shield runs', START_TIMEOUT)
        progress('loading the policy', 0.0)
        request(group, operator, 'configure')
        _wait_until_connected(operator, record)
        progress('ramping to the start pose', 0.0)
        request(group, operator, 'activate')
        operator.wait_until(lambda: operator.value('inference', 'phase') == 'running', 'the policy runs', RAMP_TIMEOUT)
        operator.trigger(interface.SIMULATION_RELEASE)
        duration, interruption = _drive(operator, profile, progress)
        progress('stopping the processes', 1.0)
        result = DeploymentResult(robot=choice.robot, recording=recording, log_directory=group.log_directory,
                                  duration=duration, interruption=interruption, inference=operator.values('inference'),
                                  shield=_counters(operator))
        if record:
            group.stop('recorder')  # first of all: what the robot does while everything stops is not the policy's
        if not interruption:
            operator.change_state('inference', 'deactivate')
    return result


def start_nodes(group: NodeGroup, specs: Sequence[NodeSpec]) -> None:
    """Start nodes of this package as a composition says."""
    for spec in specs:
        group.start(spec.name, spec.parameters, module=spec.module, parameter_files=[spec.defaults],
                    remappings=spec.remappings)


@contextmanager
def bring_up_lockstep(robot: str, *, control_period: float, physics: PhysicsSettings | None = None,
                      log_directory: Path | None = None, held: bool = False,
                      gains: Manifest | None = None) -> Iterator[RosBackend]:
    """Start the simulation and the shield in lock-step, each in a process of its own.

    Args:
        robot: Robot by name or file.
        control_period: Time between two commands [s].
        physics: How the robot is simulated; None: in full.
        log_directory: Folder for the processes' logs; None: a temporary one.
        held: Whether the simulation holds the base where it is reset to.
        gains: Policy whose gains the drives have; None: the robot's.

    Yields:
        The backend over topics; it is closed with the block, as are the processes.

    Raises:
        BackendError: A process ended or did not answer.
    """
    from rl_robot_control.ros.backend import RosBackend  # it needs the physics engine, a deployment does not
    model = load_robot(robot) if gains is None else policy_robot(gains, load_robot(robot))
    with NodeGroup(log_directory) as group:
        start_nodes(group, lockstep(robot, control_period, physics, held=held, policy=gains))
        backend = RosBackend(model, control_period, domain_id=group.domain.id, watch=group.check)
        try:
            yield backend
        finally:
            backend.close()


@contextmanager
def bring_up_real_time(robot: str, task: str, *, log_directory: Path | None = None) -> Iterator[RealTimeBackend]:
    """Start the simulated robot, its shield and the supervisor in real time, each in a process of its own.

    Args:
        robot: Robot by name or file.
        task: Task by name or file, which is to be learnt there.
        log_directory: Folder for the processes' logs; None: a temporary one.

    Yields:
        The backend over topics; it is closed with the block, as are the processes.

    Raises:
        BackendError: A process ended or did not answer.
    """
    from rl_robot_control.ros.real_time_backend import RealTimeBackend
    choice = RobotChoice(robot=robot)
    model, specs = choice.load(), real_time(choice, task)  # a wrong name is found before anything is started
    period = load_task(task, model).control_period
    with NodeGroup(log_directory) as group:
        start_nodes(group, specs)
        backend = RealTimeBackend(model, period, domain_id=group.domain.id, watch=group.check)
        try:
            yield backend
        finally:
            backend.close()


@contextmanager
def running_lockstep(robot: str, *, control_period: float, gains: Manifest | None = None) -> Iterator[RosBackend]:
    """A simulation and a shield that run in lock-step already, in this environment's ROS domain.

    Args:
        robot: Robot by name or file.
        control_period: Time between two commands [s], as they have it.
        gains: Policy whose gains both get; None: they keep theirs.

    Yields:
        The backend over topics; it is closed with the block, they go on.

    Raises:
        BackendError: They do not answer, or refuse the gains.
    """
    from rl_robot_control.ros.backend import RosBackend
    model = load_robot(robot) if gains is None else policy_robot(gains, load_robot(robot))
    keep_to_this_machine()
    domain = int(os.environ.get('ROS_DOMAIN_ID') or 0)
    if gains is not None:
        with Operator(domain) as operator:
            for name in ('shield', 'simulation'):  # the shield first: it never bounds torques by gains that are gone
                operator.set_parameters(name, {key: array.array('d', values)
                                               for key, values in gain_parameters(gains).items()})
    backend = RosBackend(model, control_period, domain_id=domain)
    try:
        yield backend
    finally:
        backend.close()


def train_in_lockstep(robot: str, task: str, learner: Mapping[str, Any], *, log_directory: Path | None = None,
                      watch: Callable[[], None] = lambda: None) -> None:
    """Run training node, shield and simulation in lock-step, each in a process of its own, until training ends.

    An interrupt ends all three; the training node keeps its checkpoint.

    Args:
        robot: Robot by name or file.
        task: Task by name or file.
        learner: Further parameters of the training node.
        log_directory: Folder for the processes' logs; None: a temporary one.
        watch: Called a few times per second meanwhile.

    Raises:
        BackendError: A process ended with an error; the message holds the end of its log.
    """
    with NodeGroup(log_directory) as group:
        start_nodes(group, training(robot, task, learner))
        node = group.nodes['training']
        while node.running():
            watch()
            time.sleep(WATCH_PERIOD)
            if node.running():
                group.check()
        if node.process.returncode:
            group.check()


def _absolute(entry: str) -> str:
    """An entry of the parameter ``policies`` with the file's whole path; a bundled name stays."""
    name, mark, file = entry.rpartition('=')
    return f'{name}{mark}{Path(file).resolve() if Path(file).is_file() else file}'


def request(group: NodeGroup, operator: Operator, transition: str) -> None:
    """Ask the inference node for a transition.

    Raises:
        PolicyError: It refuses; the message holds what it logged.
    """
    if not operator.change_state('inference', transition, START_TIMEOUT):
        node = group.nodes['inference']
        raise PolicyError(f'the inference node refuses to {transition}; its log {node.log} ends with:\n'
                          f'{node.last_words(4)}')


def _wait_until_connected(operator: Operator, record: bool) -> None:
    """Wait until everyone hears everyone, so that neither the start of the motion nor of the recording is lost."""
    def recording() -> bool:
        listeners = operator.node.get_subscriptions_info_by_topic(interface.POLICY_COMMAND.name)
        return any(listener.node_name == 'recorder' for listener in listeners)

    if record:
        operator.wait_until(recording, 'the recorder listens', START_TIMEOUT)
    operator.wait_until(lambda: operator.value('shield', 'mode') not in ('', 'STARTING'), 'the shield knows the state',
                        START_TIMEOUT)
    operator.wait_until(lambda: operator.value('supervisor', 'state') == 'WATCHING', 'the supervisor hears the shield',
                        START_TIMEOUT)
    operator.wait_until(lambda: operator.value('inference', 'robot heard') == 'yes', 'inference hears the robot',
                        START_TIMEOUT)


def _drive(operator: Operator, profile: CommandProfile, progress: Progress) -> tuple[float, str]:
    """Follow the schedule; the time driven [s], and why it ended early."""
    fault, present = '', None

    def tick(elapsed: float, segment: Segment) -> bool:
        nonlocal fault, present
        progress(_describe(segment), elapsed / profile.duration)
        if segment is not present:
            present, fault = segment, _use(operator, segment.policy)
        fault = fault or _fault(operator)
        return not fault

    return operator.drive(profile, tick), fault


def _use(operator: Operator, policy: str) -> str:
    """Let a policy take over, if one is named; why it could not."""
    try:
        if policy:
            operator.trigger(interface.use_policy(policy))
    except BackendError as error:
        return str(error)
    return ''


def _fault(operator: Operator) -> str:
    """Why it makes no sense to drive on, or empty."""
    for name, key, final in (('supervisor', 'state', 'TRIPPED'), ('shield', 'mode', 'LATCHED'),
                             ('inference', 'phase', 'stopped')):
        if operator.value(name, key) == final:
            return f'{name}: {operator.status(name).message}'
    return ''


def _counters(operator: Operator) -> dict[str, str]:
    values = operator.values('shield')
    return {key: value for key, value in values.items() if not key.startswith('correction')}  # of one instant only


def _describe(segment: Segment) -> str:
    vx, vy, wz = segment.velocity
    return f'{segment.name or "driving"}: {vx:g} m/s ahead, {vy:g} m/s to the left, {wz:g} rad/s'

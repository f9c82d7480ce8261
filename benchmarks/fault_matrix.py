"""How fast the robot is made safe: each fault, many times, with real processes and real signals.

The robot is a G1 on its gantry: simulation, shield and supervisor are processes of their own, and this process is the
policy that follows the states at 50 Hz, or the inference node is. For faults of the sensors this process is the robot,
too. Fault and response are timed by this process's monotonic clock: from the moment that the fault is there (a signal
sent, a message handed to the middleware) until the message that shows the response has arrived here.

    python benchmarks/fault_matrix.py --trials 50 --into docs/safety.md
"""

from __future__ import annotations

import argparse
import array
import dataclasses
import datetime
import json
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from rl_robot_control.errors import BackendError, BackendTimeoutError, RobotControlError
from rl_robot_control.policies import find_policy
from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import CommandCodec, StateEncoder, to_time
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator
from rl_robot_control.shield import ShieldMode
from rl_robot_control.types import RobotState

ROBOT, POLICY = 'unitree_g1', 'unitree_g1_walk'
PERIOD, STATE_PERIOD = 0.02, 0.005  # [s]
TIMEOUT = 30.0  # for anything between two trials [s]
PATIENCE = 5.0  # for a response [s]
CYCLE = 'one cycle is 20 ms'


@dataclasses.dataclass(frozen=True)
class Row:
    """One fault and what it must lead to."""

    name: str
    fault: str
    response: str
    target: float  # [s]
    trial: Callable[[Any, int], dict[str, float]]  # seconds by row name; a trial may time several rows
    note: str = ''


class NoResponseError(RobotControlError):
    """A fault was not answered."""


class Scene:
    """What all scenes share: an operator that watches the shield's status and the controller's topic."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.robot = load_robot(ROBOT)
        self.group = stack.enter_context(NodeGroup(folder))
        self.operator = stack.enter_context(Operator(self.group.domain.id, watch=self.group.check))
        self.codec = CommandCodec(self.robot)
        self.policy = interface.POLICY_COMMAND.publisher(self.operator.node)
        self.stop = interface.STOP_HEARTBEAT.publisher(self.operator.node)
        self.stop_client = self.operator.node.create_client(Trigger, interface.EMERGENCY_STOP.name)
        self.topic = interface.controller_commands(self.robot.settings.topics)
        self.events: list[tuple[float, str, dict[str, str]]] = []  # arrival [s], who, its diagnostic values
        self.out: list[tuple[float, np.ndarray]] = []  # arrival [s], targets [rad]
        self.topic.subscription(self.operator.node, lambda m: self.out.append((time.monotonic(), np.array(m.data))))
        for topic in (interface.SHIELD_STATUS, interface.SUPERVISOR_STATUS, interface.DIAGNOSTICS):
            topic.subscription(self.operator.node, self._on_status)
        self.stamp = to_time(0)
        self._clients: dict[str, Any] = {}
        self.streaming = True
        self.target = self.robot.default_position.copy()
        self.on_command: Callable[[JointState], JointState] | None = None  # spoils the next command, once

    def send(self, message: JointState) -> float:
        """Publish a policy command; when [s]."""
        now = time.monotonic()
        self.policy.publish(message)
        return now

    def follow(self) -> None:
        """The policy's turn: answer the latest state."""
        if not self.streaming:
            return
        message = self.codec.encode(self.target, self.stamp)
        if self.on_command is not None:
            spoil, self.on_command = self.on_command, None
            message = spoil(JointState(header=message.header, name=list(message.name), position=message.position))
        self.send(message)

    def respond(self, begin: float, what: str, condition: Callable[[], float | None]) -> float:
        """Wait for a response; how long after ``begin`` its message arrived [s].

        Raises:
            NoResponseError: It has not come.
        """
        deadline = begin + PATIENCE
        while (when := condition()) is None:
            if time.monotonic() > deadline:
                raise NoResponseError(f'{what}: not within {PATIENCE:g} s')
            self.operator.node.executor.spin_once(timeout_sec=0.02)
        return when - begin

    def shown(self, begin: float, who: str, **values: str | tuple[str, ...]) -> Callable[[], float | None]:
        """A condition: a diagnostic status after ``begin`` that has these values; a tuple: one of them."""
        def condition() -> float | None:
            for when, name, found in self.events:
                if when >= begin and name == who and all(
                        found.get(key, '') in (value if isinstance(value, tuple) else (value,))
                        for key, value in values.items()):
                    return when
            return None

        return condition

    def mode(self, begin: float, wanted: str, *reasons: str) -> float:
        """How long after ``begin`` the shield showed a mode, with a reason that holds one of the given texts [s].

        Where no reason is asked for, a graver mode answers, too.
        """
        graver = [mode.name for mode in ShieldMode if mode >= ShieldMode[wanted]]

        def condition() -> float | None:
            for when, name, found in self.events:
                if when >= begin and name == 'shield' and (
                        found['mode'] == wanted and any(text in found['reason'] for text in reasons) if reasons
                        else found['mode'] in graver):
                    return when
            return None

        return self.respond(begin, f'the shield is {wanted}', condition)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait between two trials."""
        self.operator.wait_until(condition, what, TIMEOUT)

    def listen(self, duration: float) -> None:
        """Let the world go on."""
        end = time.monotonic() + duration
        self.until(lambda: time.monotonic() > end, 'time passes')

    def trigger(self, service: interface.Service) -> bool:
        """Call a service; whether it was granted."""
        if service.name not in self._clients:
            self._clients[service.name] = service.client(self.operator.node)
        client = self._clients[service.name]
        self.until(client.service_is_ready, f'{service.name} is offered')
        future = client.call_async(service.type.Request())
        try:
            self.operator.wait_until(future.done, f'{service.name} answers', PATIENCE)
        except BackendTimeoutError:  # its server was replaced meanwhile
            client.remove_pending_request(future)
            return False
        return future.result().success

    def recover(self) -> None:
        """Everything as before the first trial."""
        self.streaming = True
        self.settle()

    def repair(self) -> None:
        """As ``recover``, after a trial that was broken off: processes may still be stopped, or gone."""
        for node in self.group.nodes.values():
            node.signal(signal.SIGCONT)
        self.recover()

    def settle(self) -> None:
        """Wait until the shield follows, releasing it where it has latched, then forget what was seen.

        Raises:
            BackendTimeoutError: It does not go on following.
        """
        for _ in range(20):
            begin = time.monotonic()
            self.until(lambda begin=begin: any(self.shown(begin, 'shield', mode=mode)()
                                               for mode in ('ACTIVE', 'LATCHED')), 'the shield follows')
            self.release()
            self.listen(0.1 + 0.02 * np.random.default_rng().random())  # faults come at any phase of the loop
            if self.operator.value('shield', 'mode') == 'ACTIVE':
                self.events.clear(), self.out.clear()
                return
        raise BackendTimeoutError('the shield does not go on following; is the machine busy?')

    def release(self) -> None:
        """Re-arm the shield where it has latched."""
        if self.operator.value('shield', 'mode') == 'LATCHED':
            self.until(lambda: self.trigger(interface.REARM), 'the shield is re-armed')

    def _on_status(self, message: Any) -> None:
        for status in message.status:
            self.events.append((time.monotonic(), status.name.rpartition('/')[2],
                                {pair.key: pair.value for pair in status.values}))


class RobotScene(Scene):
    """The simulated robot, its shield and the supervisor."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        super().__init__(stack, folder)
        self._count, self._resets = 0, 0
        self.inference: Any = None
        self.group.start('simulation', {'robot': ROBOT, 'hold_until_command': True})
        self.group.start('shield', {'robot': ROBOT})
        self.group.start('supervisor', {'robot': ROBOT})
        interface.JOINT_STATES.subscription(self.operator.node, self._on_state, best_effort=True)
        self.until(lambda: self.operator.value('supervisor', 'state') == 'WATCHING', 'the supervisor watches')
        self.settle()

    def _on_state(self, message: JointState) -> None:
        self.stamp = message.header.stamp
        self._count += 1
        if self._count % round(PERIOD / STATE_PERIOD) == 0:
            self.follow()

    def recover(self) -> None:
        self.streaming = self.inference is None
        self.settle()

    def repair(self) -> None:
        if 'shield' not in self.group.nodes:
            self.group.start('shield', {'robot': ROBOT})
        for node in self.group.nodes.values():
            node.signal(signal.SIGCONT)
        if self.inference is None:
            self.recover()
        elif 'inference' in self.group.nodes:
            self.resume()
        else:
            self.start_inference()

    def release(self) -> None:
        if self.operator.value('supervisor', 'state') == 'TRIPPED':
            self.until(lambda: self.trigger(interface.SUPERVISOR_RELEASE), 'the supervisor is released')
            self.listen(0.6)  # its "stop" is still in force
        if self.operator.value('shield', 'mode') == 'LATCHED':
            # a reset robot is at rest, but not for long: in a latched stop it sinks
            self.until(lambda: self.trigger(interface.SIMULATION_RESET) and self.trigger(interface.REARM), 're-armed')

    # the policy

    def start_inference(self) -> None:
        """Let the inference node be the policy."""
        self.streaming = False
        self.operator.forget('inference')
        self.inference = self.group.start('inference', {'policy': POLICY, 'robot': ROBOT})
        self.until(lambda: self.operator.status('inference') is not None, 'inference is there')
        self.until(self._configured, 'inference is configured')
        self.until(lambda: self.operator.value('inference', 'robot heard') == 'yes', 'inference hears the robot')
        if not self.operator.change_state('inference', 'activate', TIMEOUT):
            raise BackendError(f'inference did not start: {self.inference.last_words()}')
        self.resume()

    def _configured(self) -> bool:
        try:  # a killed node's services stay in the graph for a while, and a request may go to them only
            return self.operator.change_state('inference', 'configure', PATIENCE)
        except BackendTimeoutError:
            return self.operator.lifecycle_state('inference', PATIENCE) == 'inactive'

    def resume(self) -> None:
        """Get an inference node that may have given up to run its policy again."""
        def phase() -> str:
            begin = time.monotonic()  # it says so once a second
            self.until(lambda: self.shown(begin, 'inference')() is not None, 'inference says what it does')
            return self.operator.value('inference', 'phase')

        while (now := phase()) != 'running':
            if now in ('stopped', 'holding'):
                self.operator.change_state('inference', 'activate', TIMEOUT)
        self.recover()

    def stop_inference(self) -> None:
        """Be the policy again."""
        if self.inference is not None:
            self.group.stop('inference')
            self.inference = None
        self.recover()


class PuppetScene(Scene):
    """The shield alone: this process is the robot, too, and may send any sensor message."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        super().__init__(stack, folder)
        node = self.operator.node
        self._encoder = StateEncoder(self.robot)
        self._joints, self._imu = interface.JOINT_STATES.publisher(node), interface.IMU.publisher(node)
        self.spoil: Callable[[JointState, Any], None] | None = None
        self.clock_offset, self._count = 1000.0, 0
        self.group.start('shield', {'robot': ROBOT})
        self._timer = node.create_timer(STATE_PERIOD, self._tick)
        self.settle()

    def _tick(self) -> None:
        stamp = to_time(round((time.monotonic() + self.clock_offset) * 1e9))
        self._encoder.encode(_standing(self.robot), stamp)
        joints = self._encoder.joints
        joints.name = list(self.robot.joint_names)
        if self.spoil is not None:
            self.spoil(joints, self._encoder.imu)
        self._imu.publish(self._encoder.imu)
        self._joints.publish(joints)
        self.stamp = joints.header.stamp
        self._count += 1
        if self._count % round(PERIOD / STATE_PERIOD) == 0:
            self.follow()


def _standing(robot: Any) -> RobotState:
    state = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
    zeros = {field.name: np.zeros_like(getattr(state, field.name)) for field in dataclasses.fields(state)}
    return RobotState(**{**zeros, 'base_quaternion': np.array([[0.0, 0.0, 0.0, 1.0]]),
                         'joint_position': robot.default_position[None].copy()})


# Trials. Each puts one fault and gives the seconds until each response.


def _spoiled(scene: Scene, change: Callable[[JointState], Any]) -> float:
    """Spoil the policy's next command; when it was sent [s]."""
    sent: list[float] = []

    def spoil(message: JointState) -> JointState:
        change(message)
        sent.append(time.monotonic())
        return message

    scene.on_command = spoil
    scene.until(lambda: bool(sent), 'a spoiled command is sent')
    return sent[0]


def _set(message: JointState, index: int, value: float) -> None:
    message.position[index] = value


def bad_values(scene: Scene, i: int) -> dict[str, float]:
    """One value of a command is not finite: the command is rejected, and every target stays finite."""
    value = (np.nan, np.inf, -np.inf)[i % 3]
    begin = _spoiled(scene, lambda message: _set(message, i % 29, value))
    took = scene.mode(begin, 'BRAKING', 'NaN or infinity')
    _hold(scene)
    scene.recover()
    return {'bad_values': took}


def many_bad_values(scene: Scene, i: int) -> dict[str, float]:
    """Ten such commands in a row latch; timed from the tenth."""
    for _ in range(10):
        begin = _spoiled(scene, lambda message: _set(message, i % 29, np.nan))
    took = scene.mode(begin, 'LATCHED', 'in a row')
    scene.recover()
    return {'many_bad_values': took}


def bad_form(scene: Scene, i: int) -> dict[str, float]:
    """Wrong size, an unknown name, a name twice."""
    def change(message: JointState) -> None:
        if i % 3 == 0:
            message.position.pop()
        else:
            message.name[0] = 'tail_joint' if i % 3 == 1 else message.name[1]

    begin = _spoiled(scene, change)
    took = scene.mode(begin, 'BRAKING', 'wrong number')
    _hold(scene)
    scene.recover()
    return {'bad_form': took}


def other_order(scene: Scene, i: int) -> dict[str, float]:
    """Joints in another order are matched by name: the targets that come out are those that were asked for."""
    rng = np.random.default_rng(i)
    wanted = scene.target + rng.uniform(-0.002, 0.002, len(scene.target))
    order = rng.permutation(len(wanted))

    def change(message: JointState) -> None:
        message.name = [message.name[k] for k in order]
        message.position = wanted[order].tolist()

    begin = _spoiled(scene, change)
    took = scene.respond(begin, 'the same targets come out', lambda: next(
        (when for when, data in scene.out if when >= begin and np.array_equal(data, wanted)), None))
    scene.settle()
    return {'other_order': took}


def beyond_limits(scene: Scene, i: int) -> dict[str, float]:
    """A target far outside: what comes out is inside the limits at once, and the status names the joint."""
    robot, joint, far = scene.robot, i % 29, 10.0 if i % 2 else -10.0
    scene.until(lambda: bool(scene.out), 'targets flow')
    before = scene.out[-1][1]
    begin = _spoiled(scene, lambda message: _set(message, joint, far))

    def clamped() -> float | None:
        return next((when for when, data in scene.out if when >= begin and data[joint] != before[joint]), None)

    took = scene.respond(begin, 'a changed target comes out', clamped)
    applied = next(data for when, data in scene.out if when == begin + took)
    step = np.abs(applied - before).max()
    reach = robot.overshoot + 1e-9
    inside = (applied >= robot.position_lower - reach) & (applied <= robot.position_upper + reach)
    if not inside.all() or step > robot.reference_velocity_limit.max() * PERIOD * 1.001:
        raise NoResponseError(f'a target beyond the limits came out: {applied[joint]} rad, a step of {step} rad')
    scene.settle()
    return {'beyond_limits': took}


def bad_stamp(scene: Scene, i: int) -> dict[str, float]:
    """Replayed, older than the one before, zero, from the future."""
    stamp = scene.stamp
    nanoseconds = stamp.sec * 10**9 + stamp.nanosec
    scene.listen(0.03)  # by now a newer one has been accepted

    def change(message: JointState) -> None:
        now = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        message.header.stamp = to_time((nanoseconds, nanoseconds - 10**7, 0, now + 10**9)[i % 4])

    begin = _spoiled(scene, change)
    took = scene.mode(begin, 'BRAKING', 'stamp', 'future', 'too old')
    scene.recover()
    return {'bad_stamp': took}


def bad_state(scene: PuppetScene, i: int) -> dict[str, float]:
    """NaN in a joint or in the orientation, or a joint missing, from now on."""
    first: list[float] = []

    def spoil(joints: JointState, imu: Any) -> None:
        if i % 3 == 0:
            joints.position[i % 29] = float('nan')
        elif i % 3 == 1:
            joints.name = [*joints.name[:-1], 'tail_joint']
        else:
            imu.orientation.x = float('nan')
        first or first.append(time.monotonic())

    scene.spoil = spoil
    scene.until(lambda: bool(first), 'a bad state is sent')
    took = scene.mode(first[0], 'DAMPING')
    scene.spoil = None
    scene.recover()
    return {'bad_state': took}


def fall(scene: PuppetScene, i: int) -> dict[str, float]:
    """The base is suddenly tilted by 1.2 rad."""
    first: list[float] = []

    def spoil(joints: JointState, imu: Any) -> None:
        quaternion = np.array([np.sin(0.6) * np.cos(i), np.sin(0.6) * np.sin(i), 0.0, np.cos(0.6)])
        for axis, value in zip('xyzw', quaternion.tolist()):
            setattr(imu.orientation, axis, value)
        first or first.append(time.monotonic())

    scene.spoil = spoil
    scene.until(lambda: bool(first), 'the robot tilts')
    took = scene.mode(first[0], 'LATCHED', 'tilt')
    scene.spoil = None
    scene.listen(0.1)
    scene.recover()
    return {'fall': took}


def clock_jump(scene: PuppetScene, i: int) -> dict[str, float]:
    """The robot's clock is set by −100 or +100 s: nothing latches, and commands pass again."""
    begin = time.monotonic()
    scene.clock_offset += 100.0 if i % 2 else -100.0
    scene.target = scene.robot.default_position + 0.001 * (1 + i % 5)
    took = scene.respond(begin, 'commands pass again', lambda: next(
        (when for when, data in scene.out if when >= begin and np.array_equal(data, scene.target)), None))
    if scene.operator.value('shield', 'mode') == 'LATCHED':
        raise NoResponseError('a set clock latched the robot')
    scene.settle()
    return {'clock_jump': took}


def policy_hangs(scene: RobotScene, i: int) -> dict[str, float]:
    """SIGSTOP to the inference node."""
    begin = _signal(scene.inference, signal.SIGSTOP)
    braking = scene.mode(begin, 'BRAKING')
    damping = scene.mode(begin, 'DAMPING')
    scene.inference.signal(signal.SIGCONT)
    scene.resume()
    return {'policy_hangs_brake': braking, 'policy_hangs_damp': damping}


def policy_dies(scene: RobotScene, i: int) -> dict[str, float]:
    """SIGKILL to the inference node; another one is started."""
    node = scene.group.nodes.pop('inference')
    begin = _signal(node, signal.SIGKILL)
    braking = scene.mode(begin, 'BRAKING')
    damping = scene.mode(begin, 'DAMPING')
    node.process.wait(5)
    scene.start_inference()
    return {'policy_dies_brake': braking, 'policy_dies_damp': damping}


def reset_while_streaming(scene: RobotScene, i: int) -> dict[str, float]:
    """The simulation puts the robot 0.6 rad away while the policy commands: how long the way back takes."""
    joint = scene.robot.joint_names.index('left_shoulder_pitch_joint')
    pose = scene.robot.default_position.copy()
    pose[joint] += 0.6
    _set_reset_pose(scene, pose)
    scene.out.clear()
    begin = time.monotonic()
    scene.trigger(interface.SIMULATION_RESET)
    took = scene.respond(begin, 'the policy runs again', scene.shown(begin, 'inference', phase='ramping'))
    took = scene.respond(begin, 'the policy runs again', scene.shown(begin + took, 'inference', phase='running'))
    values = np.array([data[joint] for when, data in scene.out if when >= begin])
    away = np.flatnonzero(values > pose[joint] - 0.1)
    if not away.size or np.abs(np.diff(values[away[0]:])).max() > 0.25:
        raise NoResponseError(f'the target jumped: {values}')
    _set_reset_pose(scene, scene.robot.default_position)
    scene.recover()
    return {'reset': took}


def _set_reset_pose(scene: Scene, pose: np.ndarray) -> None:
    scene.operator.set_parameters('simulation', {'reset.joint_position': array.array('d', pose)}, TIMEOUT)


def hostile_model(scene: RobotScene, i: int) -> dict[str, float]:
    """A damaged policy file: cut off, a byte changed, empty, text."""
    content = bytearray(find_policy(POLICY).read_bytes())
    rng = np.random.default_rng(i)
    if i % 4 == 0:
        content = content[:int(rng.integers(1, len(content)))]
    elif i % 4 == 1:
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    else:
        content = bytearray(b'' if i % 4 == 2 else b'not a model')
    path = Path(tempfile.mkstemp(suffix='.onnx')[1])
    path.write_bytes(content)
    scene.operator.set_parameters('inference', {'policy': str(path)}, TIMEOUT)
    begin = time.monotonic()
    accepted = scene.operator.change_state('inference', 'configure', TIMEOUT)
    took = time.monotonic() - begin
    path.unlink()
    if accepted:
        raise NoResponseError(f'damaged model {i} was accepted')
    return {'hostile_model': took}


def state_lost(scene: RobotScene, i: int) -> dict[str, float]:
    """SIGSTOP to the simulation: the states cease."""
    node = scene.group.nodes['simulation']
    begin = _signal(node, signal.SIGSTOP)
    took = scene.mode(begin, 'DAMPING', 'state')
    node.signal(signal.SIGCONT)
    scene.recover()
    return {'state_lost': took}


def shield_hangs(scene: RobotScene, i: int) -> dict[str, float]:
    """SIGSTOP to the shield; later SIGCONT, after which it must not go on as if nothing had been."""
    node = scene.group.nodes['shield']
    begin = _signal(node, signal.SIGSTOP)
    result = _guarded(scene, begin, 'hangs')
    scene.listen(0.2)
    again = _signal(node, signal.SIGCONT)
    result['overrun'] = scene.mode(again, 'LATCHED')
    scene.recover()
    return result


def shield_dies(scene: RobotScene, i: int) -> dict[str, float]:
    """SIGKILL to the shield; another one is started."""
    node = scene.group.nodes.pop('shield')
    begin = _signal(node, signal.SIGKILL)
    result = _guarded(scene, begin, 'dies')
    node.process.wait(5)
    scene.operator.forget('shield')
    again = time.monotonic()
    scene.group.start('shield', {'robot': ROBOT})
    scene.until(lambda: scene.shown(again, 'shield', mode='LATCHED')() is not None, 'the new shield is latched')
    scene.recover()
    return result


def _guarded(scene: RobotScene, begin: float, what: str) -> dict[str, float]:
    damped = scene.respond(begin, 'the robot is damped', scene.shown(begin, 'simulation', drives='damped'))
    tripped = scene.respond(begin, 'the supervisor trips', scene.shown(begin, 'supervisor', state='TRIPPED'))
    return {f'shield_{what}_damped': damped, f'shield_{what}_tripped': tripped}


def second_publisher(scene: RobotScene, i: int) -> dict[str, float]:
    """Somebody else publishes on the controller's topic."""
    begin = time.monotonic()
    intruder = scene.topic.publisher(scene.operator.node)
    took = scene.mode(begin, 'LATCHED', 'another publisher')
    scene.operator.node.destroy_publisher(intruder)
    scene.recover()
    return {'second_publisher': took}


def stop_service(scene: RobotScene, i: int) -> dict[str, float]:
    """The emergency stop's service is called."""
    client = scene.stop_client  # kept, as an operator's station keeps it: the first call waits for discovery
    scene.until(client.service_is_ready, 'the service is offered')
    begin = time.monotonic()
    client.call_async(Trigger.Request())
    took = scene.mode(begin, 'LATCHED')
    scene.recover()
    return {'stop_service': took}


def stop_topic(scene: RobotScene, i: int) -> dict[str, float]:
    """A "stop" on the emergency stop's heartbeat."""
    begin = time.monotonic()
    scene.stop.publish(Bool(data=False))
    took = scene.mode(begin, 'LATCHED', 'says stop')
    scene.listen(0.5)
    scene.recover()
    return {'stop_topic': took}


def _hold(scene: Scene) -> None:
    if not all(np.isfinite(data).all() and len(data) == scene.robot.num_joints for _, data in scene.out):
        raise NoResponseError('a target that is not finite came out')


def _signal(node: Any, number: int) -> float:
    begin = time.monotonic()
    node.signal(number)
    return begin


ROWS = (  # in the order of the table; the first row of a trial function runs it
    Row('bad_values', 'NaN or ±Inf in a command', 'rejected; braking on finite targets', 0.02, bad_values, CYCLE),
    Row('many_bad_values', 'ten such commands in a row', 'latched', 0.02, many_bad_values, 'after the tenth'),
    Row('bad_form', 'wrong size, unknown or double name', 'rejected; braking', 0.02, bad_form),
    Row('other_order', 'other order of the joints', 'matched by name, bit for bit', 0.02, other_order),
    Row('beyond_limits', 'target far beyond the limits', 'clamped', 0.02, beyond_limits),
    Row('bad_stamp', 'replayed, reordered, zero, future stamp', 'rejected; braking', 0.02, bad_stamp),
    Row('bad_state', 'NaN in a state, joint missing', 'damping', 0.02, bad_state),
    Row('fall', 'base tilted by 1.2 rad', 'latched', 0.04, fall),
    Row('clock_jump', "the robot's clock set by ±100 s", 'past forgotten; commands pass', 0.5, clock_jump),
    Row('state_lost', 'state stream lost (SIGSTOP)', 'damping', 0.05, state_lost),
    Row('second_publisher', "second publisher on the controller's topic", 'alarm, latched', 1.0, second_publisher),
    Row('stop_service', 'emergency stop, service', 'latched', 0.02, stop_service),
    Row('stop_topic', 'emergency stop, heartbeat says stop', 'latched', 0.02, stop_topic),
    Row('shield_hangs_damped', 'shield hangs (SIGSTOP)', 'robot damped', 0.2, shield_hangs),
    Row('shield_hangs_tripped', 'shield hangs (SIGSTOP)', 'supervisor trips', 0.2, shield_hangs),
    Row('overrun', 'shield goes on after that (SIGCONT)', 'latched', 0.02, shield_hangs),
    Row('shield_dies_damped', 'shield dies (SIGKILL)', 'robot damped', 0.2, shield_dies),
    Row('shield_dies_tripped', 'shield dies (SIGKILL)', 'supervisor trips', 0.2, shield_dies),
    Row('policy_hangs_brake', 'policy hangs (SIGSTOP)', 'braking', 0.1, policy_hangs),
    Row('policy_hangs_damp', 'policy hangs (SIGSTOP)', 'damping', 0.5, policy_hangs),
    Row('policy_dies_brake', 'policy dies (SIGKILL)', 'braking', 0.1, policy_dies),
    Row('policy_dies_damp', 'policy dies (SIGKILL)', 'damping', 0.5, policy_dies),
    Row('reset', 'simulation reset while commands stream', 'ramp from the measured pose', 1.1,
        reset_while_streaming, '0.6 rad at 1 rad/s take 0.94 s'),
    Row('hostile_model', 'damaged model file', 'refused when configuring', 1.0, hostile_model),
)
PUPPET = (bad_state, fall, clock_jump)
WITH_POLICY = (policy_hangs, policy_dies, reset_while_streaming)


def measure(trials: int, names: tuple[str, ...] = (), progress: Callable[[str], None] = lambda text: None
            ) -> dict[str, list[float]]:
    """Run the trials.

    Args:
        trials: Of each fault.
        names: Rows to run; none: all.
        progress: Called with a line per fault.

    Returns:
        Seconds of each trial by row name; infinity where there was no response.
    """
    wanted = [row for row in ROWS if not names or row.name in names]
    faults = list(dict.fromkeys(row.trial for row in wanted))
    found: dict[str, list[float]] = {row.name: [] for row in wanted}
    simple = [fault for fault in faults if fault not in (*PUPPET, *WITH_POLICY, hostile_model)]
    with _scene(RobotScene, [*simple, *WITH_POLICY, hostile_model], faults) as scene:
        for fault in simple:
            _repeat(scene, fault, trials, found, progress)
        if any(fault in faults for fault in WITH_POLICY):
            scene.start_inference()
            for fault in (fault for fault in WITH_POLICY if fault in faults):
                _repeat(scene, fault, trials, found, progress)
            scene.stop_inference()
        if hostile_model in faults:
            scene.group.start('inference', {'robot': ROBOT})
            _repeat(scene, hostile_model, trials, found, progress)
    with _scene(PuppetScene, list(PUPPET), faults) as scene:
        for fault in (fault for fault in PUPPET if fault in faults):
            _repeat(scene, fault, trials, found, progress)
    return found


@contextmanager
def _scene(kind: type, served: list[Any], faults: list[Any]) -> Iterator[Any]:
    """A scene, if one of the faults that it serves is wanted."""
    with ExitStack() as stack:
        if any(fault in faults for fault in served):
            yield kind(stack, Path(tempfile.mkdtemp(prefix='rl_robot_control_faults_')))
        else:
            yield None


def _repeat(scene: Any, fault: Any, trials: int, found: dict[str, list[float]],
            progress: Callable[[str], None]) -> None:
    begin = time.monotonic()
    names = [row.name for row in ROWS if row.trial is fault]
    for i in range(trials):
        try:
            seconds = fault(scene, i)
        except NoResponseError as error:
            progress(f'{fault.__name__}, trial {i}: {error}')
            seconds = {}
            scene.repair()
        for name in names:
            if name in found:
                found[name].append(seconds.get(name, float('inf')))
    progress(f'{fault.__name__}: {trials} trials in {time.monotonic() - begin:.0f} s')


def table(found: dict[str, list[float]]) -> list[str]:
    """The result as lines of a Markdown table."""
    lines = ['| fault | response | trials | within | median | largest | verdict |', '|---|---|---|---|---|---|---|']
    for row in ROWS:
        if row.name not in found:
            continue
        times = np.array(found[row.name])
        missing, late = int(np.isinf(times).sum()), int((times > row.target).sum())
        verdict = f'{missing} without response' if missing else f'{late} later' if late else 'kept'
        note = f' ({row.note})' if row.note else ''
        lines.append(f'| {row.fault} | {row.response} | {len(times)} | {_time(row.target)}{note} | '
                     f'{_time(np.median(times))} | {_time(times.max())} | {verdict} |')
    return lines


def _time(seconds: float) -> str:
    return f'{1e3 * seconds:.0f} ms' if seconds >= 0.0995 else f'{1e3 * seconds:.1f} ms'


def write_into(document: Path, found: dict[str, list[float]], command: str, took: float) -> None:
    """Replace what stands between the marks in docs/safety.md by the table."""
    text, begin, end = document.read_text(), '<!-- fault matrix -->\n', '<!-- end -->'
    if begin not in text:
        raise SystemExit(f'{document}: it has no line {begin.strip()!r} after which the table could stand.')
    head, rest = text.split(begin, 1)
    where = f'{platform.machine()} with {_cores()} cores, Python {platform.python_version()}, {took / 60:.0f} minutes'
    table_text = '\n'.join([f'{datetime.date.today().isoformat()}, `{command}`, {where}:', '', *table(found), ''])
    document.write_text(head + begin + table_text + end + rest.split(end, 1)[1])


def _cores() -> int:
    import os
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--trials', type=int, default=50, help='of each fault')
    parser.add_argument('--rows', nargs='*', default=(), choices=[row.name for row in ROWS], help='only these')
    parser.add_argument('--into', type=Path, help='page whose table is replaced')
    parser.add_argument('--json', type=Path, help='file for every single time [s]')
    arguments = parser.parse_args()
    begin = time.monotonic()
    found = measure(arguments.trials, tuple(arguments.rows), lambda text: print(text, file=sys.stderr, flush=True))
    print('\n'.join(table(found)))
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    if arguments.into:
        command = f'python benchmarks/fault_matrix.py --trials {arguments.trials}'
        write_into(arguments.into, found, command, time.monotonic() - begin)


if __name__ == '__main__':
    main()

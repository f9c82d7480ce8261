"""Shield node: lets safe commands through and changes, brakes or damps the others.

``mode: realtime``: a command is checked when it arrives; in between, a watchdog on the monotonic clock keeps braking
and damping targets flowing. ``mode: lockstep``: each command is checked against the state that it answers, and time is
the simulation's, so a learner may think for as long as it likes.

What is wrong with the robot's surroundings latches, too: a second publisher on the controller's topic, and on
``shield/emergency_stop_heartbeat`` a "stop" or, with ``require_heartbeat``, silence. A controller of ros2_control is
asked for its joints: before it has answered nothing is sent to it, and another order latches. A supervisor that is gone
is a warning, and with ``require_supervisor`` it latches. When the robot's states do not follow from one another (a
simulation was reset, a clock was set), the past is forgotten in real time as well, but no latch is.

While no safe target is known (no valid state), nothing is published: the robot's own command time-out then damps it
(drives that take gains are told to damp, and efforts become 0: ``ros/controllers.py``). In real time nothing is
published before the first command, either: whatever holds the robot until then goes on holding it.

Time-outs are counted by this node's own timer, which also looks at each new state: one that is invalid or tilted need
not wait for the next command. Where publishers promise a deadline or a lease, the middleware's events are a second
line: each one makes the shield look at once.

A controller that takes efforts (``controller_type``) is told again at each new joint state, with the same targets.

Subscribes: ``joint_states``, ``imu`` (unless the base is fixed), ``policy/command``,
``shield/emergency_stop_heartbeat``, ``supervisor/status``; and where the robot's limits need them, ``odom`` for the
height and ``contacts/<frame>``: a robot may lack these, but one that had them and lost them is damped.
Publishes: what the robot's controller takes, as a rule ``<controller>/commands``; ``shield/status`` (at 5 Hz and at
every change of mode), ``shield/heartbeat`` (for the supervisor; by the thread that filters the commands, so that it
ceases where that hangs).
Calls: ``<controller>/get_parameters``, where there is such a node.
Serves: ``shield/emergency_stop``, ``shield/rearm``, and in lock-step ``shield/reset``, by which whoever has reset the
simulation makes the shield forget the past; its message is the stamp [ns] of the latest state that has arrived.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from std_msgs.msg import UInt8

from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.continuity import Continuity
from rl_robot_control.ros.controller_check import ControllerCheck
from rl_robot_control.ros.controllers import Aim, make_controller
from rl_robot_control.ros.conversions import CommandCodec, MessageError, StateDecoder
from rl_robot_control.ros.emergency_stop import EmergencyStopLink
from rl_robot_control.ros.links import LinkMonitor
from rl_robot_control.ros.lockstep import Instant
from rl_robot_control.ros.parameters import (
    ROBOT_ROWS,
    Parameter,
    ParameterTable,
    check_length,
    declare_robot,
    gains,
)
from rl_robot_control.ros.runtime import run_node
from rl_robot_control.ros.shield_status import Corrections, as_message, guard_status, link_status, mode_status
from rl_robot_control.ros.supervision import Guard
from rl_robot_control.ros.wire import JointSample
from rl_robot_control.shield import ShieldLimits, ShieldMode, ShieldOutput, make_shield
from rl_robot_control.types import JointCommand, RobotState

STATUS_PERIOD = 0.2  # [s]
PUBLISHER_CHECK_PERIOD = 0.5  # [s]
WARNING_PERIOD = 5.0  # [s]
WATCH_PERIOD = 0.004  # of the watchdog [s]
# What passes between the end of a time-out and the robot's getting the new target: one look of the watchdog, the way,
# and a machine that is busy. Time-outs end earlier by this, so that the reaction keeps the bound.
REACTION = 0.010  # [s]

_WAITING = (ShieldMode.STARTING, ShieldMode.READY)
_FOLLOWING = (ShieldMode.ACTIVE, ShieldMode.BRAKING)


def parameter_table(robot: RobotModel) -> ParameterTable:
    """The node's parameters; the gains' defaults are the robot's."""
    return ParameterTable('Shield', [
        *ROBOT_ROWS,
        Parameter(name='mode', default='realtime', choices=('lockstep', 'realtime'),
                  description='Whether time is the monotonic clock or the simulation'),
        Parameter(name='control_period', default=0.02, unit='s', minimum=0.001, maximum=1.0,
                  description='Time between two commands'),
        Parameter(name='max_period', default=0.25, unit='s', minimum=0.002, maximum=10.0,
                  description='Longest time between two cycles before the shield latches, in real time'),
        Parameter(name='distances', default=True,
                  description="Whether links are kept apart and frames in their workspace, as the robot's YAML says"),
        Parameter(name='check_unloaded', default=True,
                  description='Whether feet that touch nothing for too long latch; false for a robot that hangs'),
        Parameter(name='optional_timeout', default=0.25, unit='s', minimum=0.01, maximum=10.0,
                  description='Silence of odom or of a contact that counts as its loss, in real time'),
        Parameter(name='require_heartbeat', default=False,
                  description='Silence on shield/emergency_stop_heartbeat latches; a "stop" there does in any case'),
        Parameter(name='heartbeat_timeout', default=0.5, unit='s', minimum=0.05, maximum=10.0,
                  description='How long that silence may be, and how long a "stop" forbids to re-arm'),
        Parameter(name='require_supervisor', default=False,
                  description='A supervisor that is not heard latches; else one that is gone is a warning'),
        Parameter(name='supervisor_timeout', default=1.5, unit='s', minimum=0.6, maximum=60.0,
                  description='Silence on supervisor/status that counts as its death; it comes twice a second'),
        Parameter(name='require_controller', default=False,
                  description="Nothing is sent before the controller's own node has said which joints it has, as one "
                              'of ros2_control does; else that is only checked where there is such a node'),
        *gains(robot),
    ])


def real_time_limits(limits: ShieldLimits) -> ShieldLimits:
    """Limits whose time-outs leave room for the node's reaction."""
    early = dict.fromkeys(('command_timeout', 'command_damping_timeout', 'state_timeout'), REACTION)
    early['tilt_duration'] = REACTION + WATCH_PERIOD  # another look finds that it begins
    asked = {name: getattr(limits, name) for name in early}
    return dataclasses.replace(limits, **{name: max(asked[name] - early[name], 0.5 * asked[name]) for name in early})


class ShieldNode(Node):
    """See the module's description."""

    def __init__(self) -> None:
        super().__init__('shield')
        self._robot = robot = declare_robot(self)
        table = parameter_table(robot)
        self._settings = settings = table.declare(self)
        self.lockstep = settings.mode == 'lockstep'
        self.period = settings.control_period
        self.shield = make_shield(robot, self.period, max_period=None if self.lockstep else settings.max_period,
                                  limits=self._limits(settings.stiffness, settings.damping),
                                  distances=settings.distances)
        table.on_change(self, self._on_change)
        self._optional_timeout = settings.optional_timeout
        self.joint_names = robot.joint_names
        self._decoder, self._policy = StateDecoder(robot), CommandCodec(robot)
        self._controller = make_controller(robot, self.period, self.lockstep)
        self._controller.set_gains(settings.stiffness, settings.damping)
        self._aim: Aim | None = None  # the latest; None: nothing is published
        self._malformed = JointCommand(stamp=np.array([np.nan]), position=np.empty((1, 0)))  # the core counts it
        self._waiting: JointSample | None = None  # lock-step: a command whose state is still on its way
        self._prepared: tuple[int, RobotState | None] = -1, None  # lock-step: stamp [ns] and state
        self._fresh = True  # the next cycle begins a new episode
        self._received: dict[str, float] = {}  # topic → monotonic time [s]
        self._cycle_time = self._command_time = time.monotonic()  # of the last cycle, of the last command's arrival
        self._idle = False  # the last cycle was the watchdog's
        self._continuity = Continuity(robot)
        self._stop_link = EmergencyStopLink(settings.require_heartbeat, settings.heartbeat_timeout, self._cycle_time)
        self._guard = Guard(settings.require_supervisor, settings.supervisor_timeout, self._cycle_time)
        self._guard_state = self._guard.state(self._cycle_time)
        self._robot_name, self._corrections = robot.name, Corrections(robot.joint_names)
        self._news = False  # a sensor message has come since the watchdog's last look
        self.output: ShieldOutput | None = None
        self.alarm, self._why = '', 'no state has been received'
        self._foreign = ''  # who else publishes to the robot's controller
        self._mode = ShieldMode.STARTING
        self._connect(robot)

    def _limits(self, stiffness: Sequence[float], damping: Sequence[float]) -> ShieldLimits:
        for name, values in (('stiffness', stiffness), ('damping', damping)):
            check_length(name, values, self._robot.num_joints)
        limits = ShieldLimits.from_robot(dataclasses.replace(self._robot, stiffness=np.array(stiffness),
                                                             damping=np.array(damping)))
        if not self._settings.check_unloaded:
            limits = limits.hanging()
        return limits if self.lockstep else real_time_limits(limits)

    def _on_change(self, changes: dict[str, Any]) -> None:
        """The drives have got other gains; whoever sets them there sets them here first."""
        values = {name: changes.get(name, getattr(self._settings, name)) for name in ('stiffness', 'damping')}
        self.shield.retune(self._limits(**values))
        self._controller.set_gains(**values)
        self._settings = dataclasses.replace(self._settings, **values)

    def _connect(self, robot: Any) -> None:
        topics = {'joint_states': interface.JOINT_STATES}
        if robot.floating:
            topics['imu'] = interface.IMU
        optional = self._optional_topics(robot)
        self._sensors = Instant(topics | optional if self.lockstep else topics)
        self._extras = self._sensors if self.lockstep else Instant(optional)
        self._topic = interface.controller_commands(robot.settings.topics)
        self._commands = self._topic.publisher(self)
        self._check = ControllerCheck(self, robot, self._settings.require_controller)
        self._status = interface.SHIELD_STATUS.publisher(self)
        self._inputs = [topic.samples(self, self._receiver(name), best_effort=not self.lockstep)
                        for name, topic in topics.items()]
        for name, topic in optional.items():
            subscription = topic.samples(self, self._receiver(name), best_effort=not self.lockstep)
            if self.lockstep:
                self._inputs.append(subscription)
        on_command = self._on_command_in_lockstep if self.lockstep else self._on_command
        self._inputs.append(interface.POLICY_COMMAND.samples(self, on_command))
        interface.STOP_HEARTBEAT.subscription(self, self._on_stop_heartbeat)
        interface.SUPERVISOR_STATUS.subscription(self, self._on_supervisor)
        self._heartbeat = interface.SHIELD_HEARTBEAT.publisher(self)
        self._links = LinkMonitor(self, [interface.JOINT_STATES, interface.POLICY_COMMAND], self._on_broken_promise)
        interface.EMERGENCY_STOP.server(self, self._on_stop)
        interface.REARM.server(self, self._on_rearm)
        interface.SHIELD_RESET.server(self, self._on_reset)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock that stands still must not stop these
        self.create_timer(STATUS_PERIOD, self._publish_status, clock=steady)
        self.create_timer(PUBLISHER_CHECK_PERIOD, self._check_publishers, clock=steady)
        self.create_timer(interface.HEARTBEAT_PERIOD, self._beat, clock=steady)
        if not self.lockstep:
            self.create_timer(WATCH_PERIOD, self._watch, clock=steady)

    def _optional_topics(self, robot: Any) -> dict[str, Any]:
        """Topics that only some checks need."""
        limits, frames = self.shield.limits, robot.frame_names
        topics = {'odom': interface.ODOM} if limits.height is not None else {}
        if limits.watches_contacts:
            topics |= {frames[k]: interface.contact(frames[k]) for k in limits.contact_frames}
        return topics

    # lock-step

    def _on_command_in_lockstep(self, message: JointSample) -> None:
        self._waiting = message
        self._answer()

    def _answer(self) -> None:
        """Check the waiting command as soon as the state that it answers is there.

        One that answers an older state, or one that cannot come next, is checked against the latest: it is then
        rejected as it would be in real time, and the world goes on with a braking command.
        """
        message, stamp = self._waiting, self._sensors.stamp
        if stamp is None:
            return
        if stamp != self._prepared[0]:
            self._prepared = stamp, self._state()  # while the policy thinks
        if message is None:
            return
        ahead = message.stamp - stamp
        if 0 < ahead < 1.5e9 * self.period:
            return
        self._waiting, state = None, self._prepared[1]
        if self._fresh and state is not None:
            self.shield.reset(state)
            self._fresh = False
        self._cycle(state, self._decode(message), now=stamp * 1e-9, answers=stamp)

    # real time

    def _on_command(self, message: JointSample) -> None:
        self._command_time, self._idle = time.monotonic(), False
        self._cycle_now(self._decode(message))

    def _watch(self) -> None:
        """Go on without a command: commands come at the control rate, and this one did not; or a time-out has ended."""
        now, limits = time.monotonic(), self.shield.limits
        ends = (self._command_time + limits.command_timeout, self._command_time + limits.command_damping_timeout,
                self._state_time() + limits.state_timeout)
        patience = self.period if self._idle else 1.5 * self.period
        if now - self._cycle_time > patience or any(self._cycle_time <= end < now for end in ends):
            self._idle = True
            self._cycle_now(None)
        elif self._news and self.shield.mode[0] in _FOLLOWING:
            self._news = False
            state = self._state()
            if state is None or not self.shield.sound(state):
                self._cycle_now(None)

    def _cycle_now(self, command: JointCommand | None) -> None:
        now, state = time.monotonic(), self._state()
        if state is not None:
            self._follow(state, now)
        self._cycle(state, command, now=now, state_age=self._state_age(now))

    def _follow(self, state: RobotState, now: float) -> None:
        """Forget the past where the state does not follow from it; what is latched stays latched."""
        why = self._continuity.check(state, now)
        if why:
            self.get_logger().warning(f'{why}: forgetting the past.')
            if self.shield.mode[0] != ShieldMode.LATCHED:
                self.shield.reset(state)
                self._note_mode(why)

    def _on_broken_promise(self, what: str) -> None:
        self.get_logger().warning(what, throttle_duration_sec=WARNING_PERIOD)
        if not self.lockstep:
            self._cycle_now(None)

    def _state_time(self) -> float:
        """When the oldest of the latest messages of the sensors that must be there arrived [s]."""
        return min(self._received.get(topic, -math.inf) for topic in self._sensors.stamps)

    def _state_age(self, now: float) -> float:
        return now - self._state_time()

    # both

    def _receiver(self, topic: str) -> Any:
        if self.lockstep:
            return self._sensors.receiver(topic, then=self._answer)

        instant = self._sensors if topic in self._sensors.stamps else self._extras

        def then() -> None:
            self._received[topic] = time.monotonic()
            self._news = True
            if self._controller.follows_state and topic == 'joint_states':
                self._tell_again()

        return instant.receiver(topic, then)

    def _state(self) -> RobotState | None:
        messages = self._sensors.messages
        if len(messages) < len(self._sensors.stamps):
            return None
        extras = self._fresh_extras()
        try:
            return self._decoder.decode(messages['joint_states'], messages.get('imu'), extras.pop('odom', None), extras)
        except MessageError as error:
            self.get_logger().warning(f'joint_states: {error}', throttle_duration_sec=WARNING_PERIOD)
            return None

    def _fresh_extras(self) -> dict[str, Any]:
        """The latest messages of the topics that only some checks need, by topic or frame."""
        names = [name for name in self._extras.messages if name not in ('joint_states', 'imu')]
        if not self.lockstep:
            oldest = time.monotonic() - self._optional_timeout
            names = [name for name in names if self._received[name] >= oldest]
        return {name: self._extras.messages[name] for name in names}

    def _decode(self, message: JointSample) -> JointCommand:
        try:
            return self._policy.decode(message)
        except MessageError as error:
            self.get_logger().warning(f'policy/command refused: {error}', throttle_duration_sec=WARNING_PERIOD)
            return self._malformed

    def _cycle(self, state: RobotState | None, command: JointCommand | None, now: float, state_age: float = 0.0,
               answers: int | None = None) -> None:
        self._cycle_time = time.monotonic()
        self.output = output = self.shield.step(state, command, now=now, state_age=state_age)
        self._corrections.note(output)
        speaks = self.lockstep or output.mode[0] not in _WAITING
        self._aim = Aim(position=output.command.position[0] if output.valid[0] else None, state=state,
                        damped=output.mode[0] not in _FOLLOWING, answers=answers,
                        checked=None if state is None else round(state.time[0] * 1e9)) if speaks else None
        self._tell()
        self._note_mode(output.reasons[0])

    def _tell(self) -> None:
        """Publish what the robot's controller is to do, where anything safe can be said."""
        message = None if self._aim is None or not self._check.cleared else self._controller.encode(self._aim)
        if message is not None:
            self._commands.publish(message)

    def _tell_again(self) -> None:
        """An effort is good for one state: the next one needs another, although the targets are the same."""
        state = self._state()
        if self._aim is not None and state is not None:
            self._aim = dataclasses.replace(self._aim, state=state)
            self._tell()

    def _note_mode(self, why: str) -> None:
        """Every transition stands in the log once, and on shield/status at once."""
        mode, self._why = ShieldMode(self.shield.mode[0]), self.alarm or why
        if mode != self._mode:
            self._mode = mode
            text = f'{mode.name}: {self._why}' if self._why else mode.name
            if mode == ShieldMode.LATCHED:
                self.get_logger().error(f'{text}. {interface.REARM.name} releases it.')
            elif mode in (ShieldMode.BRAKING, ShieldMode.DAMPING):
                self.get_logger().warning(text)
            else:
                self.get_logger().info(text)
            self._publish_status()

    def _on_stop(self, _: Any, response: Any) -> Any:
        self._latch('')
        response.success, response.message = True, 'latched; shield/rearm releases it'
        return response

    def _latch(self, alarm: str) -> None:
        """Stop and latch; the alarm says why, where the shield itself cannot know it."""
        if alarm:
            self.alarm = alarm
            if self._mode == ShieldMode.LATCHED:  # else the transition says it
                self.get_logger().error(alarm)
        self.shield.emergency_stop()
        if not self.lockstep:
            self._cycle_now(None)  # the robot need not wait for the next cycle
        self._note_mode('emergency stop')
        self._publish_status()

    def _on_stop_heartbeat(self, message: Any) -> None:
        self._stop_link.receive(message.data, time.monotonic())
        self._check_stop_link()

    def _on_supervisor(self, message: Any) -> None:
        if message.status:
            self._guard.receive(message.status[0].message, time.monotonic())

    def _beat(self) -> None:
        self._check_stop_link()
        self._check_guard()
        self._heartbeat.publish(UInt8(data=int(self.shield.mode[0])))

    def _check_stop_link(self) -> None:
        fault = self._stop_fault()
        if fault and self.shield.mode[0] != ShieldMode.LATCHED:
            self._latch(fault)

    def _stop_fault(self) -> str:
        now = time.monotonic()
        return self._stop_link.fault(now) or self._guard.fault(now)

    def _check_guard(self) -> None:
        state = self._guard.state(time.monotonic())
        if state != self._guard_state:
            self._guard_state = state
            if state == 'gone':
                self.get_logger().error('the supervisor is gone: nobody notices if this shield fails. Restart it.')
            else:
                self.get_logger().info('a supervisor watches this shield.')
            self._publish_status()

    def _on_rearm(self, _: Any, response: Any) -> Any:
        foreign, stopped = self._foreign_publishers(), self._stop_fault()
        stale = not self.lockstep and self._state_age(time.monotonic()) > self.shield.limits.state_timeout
        if foreign:
            problem = f'{foreign} still publishes on {self._topic.name}.'
        elif self._check.fault:
            problem = self._check.fault
        elif stopped:
            problem = f'{stopped}.'
        else:
            problem = self.shield.rearm(None if stale else self._state())
        if problem is None:
            self.alarm = ''
        response.success, response.message = problem is None, problem or 'released'
        self._note_mode('released')
        self._publish_status()
        return response

    def _on_reset(self, _: Any, response: Any) -> Any:
        if not self.lockstep:
            response.success, response.message = False, 'only in lock-step; a latched robot is released by shield/rearm'
        elif not self._connected():
            response.success, response.message = False, 'the robot or the policy is not connected yet'
        else:
            self._fresh, self._waiting, self.alarm = True, None, ''
            response.success, response.message = True, str(self._sensors.stamp or '')
        return response

    def _connected(self) -> bool:
        return self._commands.get_subscription_count() > 0 and all(s.get_publisher_count() > 0 for s in self._inputs)

    def _foreign_publishers(self) -> str:
        """Names of other nodes that publish to the robot's controller, or empty."""
        own = (self.get_name(), self.get_namespace())
        found = [(info.node_name, info.node_namespace)
                 for info in self.get_publishers_info_by_topic(self._topic.name)]
        if own in found:
            found.remove(own)
        return ', '.join(f'{namespace.rstrip("/")}/{name}' for name, namespace in found)

    def _check_publishers(self) -> None:
        self._links.update()
        self._foreign = self._foreign_publishers()
        if self._foreign and not self.alarm:
            self._latch(f'another publisher on {self._topic.name}: {self._foreign}')
        self._check.look(time.monotonic())
        if self._check.fault and not self.alarm:
            self._latch(self._check.fault)

    def _publish_status(self) -> None:
        name, guard = self.get_fully_qualified_name(), self._guard_state
        concern = 'the supervisor is gone' if guard == 'gone' else ''
        statuses = [mode_status(self.shield, self.alarm or self._why, name, concern),
                    self._corrections.status(f'{name}/corrections'), self._link_status(f'{name}/links'),
                    guard_status(f'{name}/guard', guard, self._guard.text, needed=not self.lockstep)]
        self._status.publish(as_message(statuses, self._robot_name, self.get_clock().now().to_msg()))
        self._corrections.clear()

    def _link_status(self, name: str) -> Any:
        now = time.monotonic()
        ages = (math.nan, math.nan) if self.lockstep else (self._state_age(now), now - self._command_time)
        return link_status(name, *ages, self.shield.limits.state_timeout, {
            'deadlines missed': str(self._links.missed), 'publishers lost': str(self._links.lost),
            'emergency stop': self._stop_link.fault(now) or 'no', 'other publishers': self._foreign or 'none',
            'controller': self._check.describe()})


def main() -> None:
    """Run the node."""
    sys.exit(run_node(ShieldNode))


if __name__ == '__main__':
    main()

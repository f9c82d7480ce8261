"""Shield node: lets safe commands through and changes, brakes or damps the others.

``mode: realtime``: a command is checked when it arrives; in between, a watchdog on the monotonic clock keeps braking
and damping targets flowing. ``mode: lockstep``: each command is checked against the state that it answers, and time is
the simulation's, so a learner may think for as long as it likes.

While no safe target is known (no valid state), nothing is published: the robot's own command time-out then damps it. In
real time nothing is published before the first command, either: whatever holds the robot until then goes on holding it.

Subscribes: ``joint_states``, ``imu`` (unless the base is fixed), ``policy/command``.
Publishes: ``<controller>/commands``, ``shield/status`` (at 5 Hz and at every change of mode).
Serves: ``shield/emergency_stop``, ``shield/rearm``, and in lock-step ``shield/reset``, by which whoever has reset the
simulation makes the shield forget the past; its message is the stamp [ns] of the latest state that has arrived.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState

from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import CommandCodec, ControllerCodec, MessageError, StateDecoder, to_nanoseconds
from rl_robot_control.ros.lockstep import Instant
from rl_robot_control.ros.parameters import ROBOT, Parameter, ParameterTable
from rl_robot_control.ros.runtime import run_node
from rl_robot_control.ros.shield_status import status_message
from rl_robot_control.shield import Shield, ShieldLimits, ShieldMode, ShieldOutput
from rl_robot_control.types import JointCommand, RobotState

STATUS_PERIOD = 0.2  # [s]
PUBLISHER_CHECK_PERIOD = 0.5  # [s]
WARNING_PERIOD = 5.0  # [s]

_WAITING = (ShieldMode.STARTING, ShieldMode.READY)

PARAMETERS = ParameterTable('Shield', [
    ROBOT,
    Parameter(name='mode', default='realtime', choices=('lockstep', 'realtime'),
              description='Whether time is the monotonic clock or the simulation'),
    Parameter(name='control_period', default=0.02, unit='s', minimum=0.001, maximum=1.0,
              description='Time between two commands'),
    Parameter(name='max_period', default=0.25, unit='s', minimum=0.002, maximum=10.0,
              description='Longest time between two cycles before the shield latches, in real time'),
])


class ShieldNode(Node):
    """See the module's description."""

    def __init__(self) -> None:
        super().__init__('shield')
        settings = PARAMETERS.declare(self)
        robot = load_robot(settings.robot)
        self.lockstep = settings.mode == 'lockstep'
        self.period = settings.control_period
        self.shield = Shield(ShieldLimits.from_robot(robot), self.period,
                             max_period=None if self.lockstep else settings.max_period)
        self.joint_names = robot.joint_names
        self._decoder, self._policy, self._controller = StateDecoder(robot), CommandCodec(robot), ControllerCodec(robot)
        self._malformed = JointCommand(stamp=np.array([np.nan]), position=np.empty((1, 0)))  # the core counts it
        self._waiting: JointState | None = None  # lock-step: a command whose state is still on its way
        self._prepared: tuple[int, RobotState | None] = -1, None  # lock-step: stamp [ns] and state
        self._fresh = True  # the next cycle begins a new episode
        self._received: dict[str, float] = {}  # topic → monotonic time [s]
        self._cycle_time = time.monotonic()
        self.output: ShieldOutput | None = None
        self.alarm = ''
        self._mode = ShieldMode.STARTING
        self._connect(robot)

    def _connect(self, robot: Any) -> None:
        topics = {'joint_states': interface.JOINT_STATES}
        if robot.floating:
            topics['imu'] = interface.IMU
        self._sensors = Instant(topics)
        self._topic = interface.controller_commands(robot.settings.topics.controller)
        self._commands = self._topic.publisher(self)
        self._status = interface.SHIELD_STATUS.publisher(self)
        self._inputs = [topic.subscription(self, self._receiver(name), best_effort=not self.lockstep)
                        for name, topic in topics.items()]
        on_command = self._on_command_in_lockstep if self.lockstep else self._on_command
        self._inputs.append(interface.POLICY_COMMAND.subscription(self, on_command))
        interface.EMERGENCY_STOP.server(self, self._on_stop)
        interface.REARM.server(self, self._on_rearm)
        interface.SHIELD_RESET.server(self, self._on_reset)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock that stands still must not stop these
        self.create_timer(STATUS_PERIOD, self._publish_status, clock=steady)
        self.create_timer(PUBLISHER_CHECK_PERIOD, self._check_publishers, clock=steady)
        if not self.lockstep:
            self.create_timer(self.period, self._watch, clock=steady)

    # lock-step

    def _on_command_in_lockstep(self, message: JointState) -> None:
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
        ahead = to_nanoseconds(message.header.stamp) - stamp
        if 0 < ahead < 1.5e9 * self.period:
            return
        self._waiting, state = None, self._prepared[1]
        if self._fresh and state is not None:
            self.shield.reset(state)
            self._fresh = False
        self._cycle(state, self._decode(message), now=stamp * 1e-9, answers=stamp)

    # real time

    def _on_command(self, message: JointState) -> None:
        now = time.monotonic()
        self._cycle(self._state(), self._decode(message), now=now, state_age=self._state_age(now))

    def _watch(self) -> None:
        now = time.monotonic()
        if now - self._cycle_time > 1.5 * self.period:  # commands come at the control rate: this one did not
            self._cycle(self._state(), None, now=now, state_age=self._state_age(now))

    def _state_age(self, now: float) -> float:
        if len(self._received) < len(self._sensors.stamps):
            return float('inf')
        return now - min(self._received.values())

    # both

    def _receiver(self, topic: str) -> Any:
        if self.lockstep:
            return self._sensors.receiver(topic, then=self._answer)

        def then() -> None:
            self._received[topic] = time.monotonic()

        return self._sensors.receiver(topic, then)

    def _state(self) -> RobotState | None:
        messages = self._sensors.messages
        if len(messages) < len(self._sensors.stamps):
            return None
        try:
            return self._decoder.decode(messages['joint_states'], messages.get('imu'))
        except MessageError as error:
            self.get_logger().warning(f'joint_states: {error}', throttle_duration_sec=WARNING_PERIOD)
            return None

    def _decode(self, message: JointState) -> JointCommand:
        try:
            return self._policy.decode(message)
        except MessageError as error:
            self.get_logger().warning(f'policy/command refused: {error}', throttle_duration_sec=WARNING_PERIOD)
            return self._malformed

    def _cycle(self, state: RobotState | None, command: JointCommand | None, now: float, state_age: float = 0.0,
               answers: int | None = None) -> None:
        self._cycle_time = time.monotonic()
        self.output = output = self.shield.step(state, command, now=now, state_age=state_age)
        if output.valid[0] and (self.lockstep or output.mode[0] not in _WAITING):
            checked = None if state is None else round(state.time[0] * 1e9)
            self._commands.publish(self._controller.encode(output.command.position[0], answers, checked))
        if output.mode[0] != self._mode:
            self._mode = ShieldMode(output.mode[0])
            self.get_logger().info(f'{self._mode.name}: {output.reasons[0]}')
            self._publish_status()

    def _on_stop(self, _: Any, response: Any) -> Any:
        self.shield.emergency_stop()
        self._publish_status()
        response.success, response.message = True, 'latched; shield/rearm releases it'
        return response

    def _on_rearm(self, _: Any, response: Any) -> Any:
        foreign = self._foreign_publishers()
        stale = not self.lockstep and self._state_age(time.monotonic()) > self.shield.limits.state_timeout
        if foreign:
            problem = f'{foreign} still publishes on {self._topic.name}.'
        else:
            problem = self.shield.rearm(None if stale else self._state())
        if problem is None:
            self.alarm = ''
        response.success, response.message = problem is None, problem or 'released'
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
        foreign = self._foreign_publishers()
        if foreign and not self.alarm:
            self.alarm = f'another publisher on {self._topic.name}: {foreign}'
            self.get_logger().error(f'{self.alarm}: latched.')
            self.shield.emergency_stop()
            self._publish_status()

    def _publish_status(self) -> None:
        stamp = self.get_clock().now().to_msg()
        name = self.get_fully_qualified_name()
        self._status.publish(status_message(self.shield, self.output, self.joint_names, self.alarm, name, stamp))


def main() -> None:
    """Run the node."""
    sys.exit(run_node(ShieldNode))


if __name__ == '__main__':
    main()

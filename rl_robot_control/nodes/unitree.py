"""Unitree node: the driver of a Unitree humanoid (G1, H1-2), between ``<controller>/commands`` and the robot's motors.

It stands where the simulation node stands. Commands are in the drive style (``ros/drive_codec.py``): each one brings
its gains along. They are sent to the robot ``command_rate`` times a second; when they cease, or the robot's states do,
the robot is damped. ``stop_buttons`` on its remote damp it until this node is started again, and an orderly end leaves
it damped. Before the first command nothing is sent, so that starting this node moves nothing
(``ros/unitree_drives.py``).

Publishes: ``joint_states`` and ``imu`` (with the same stamp, taken when the robot's state arrives), ``diagnostics``
(once a second and at every change: whether the drives follow commands, hold or are damped; the motors' health), and
the robot's own ``lowcmd``.
Subscribes: ``<controller>/commands`` (one of the wrong size, with NaN or with a negative gain is refused), and the
robot's own ``lowstate`` (one with a wrong CRC is dropped and counted).
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.signals import uninstall_signal_handlers
from std_msgs.msg import Float64MultiArray

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import MessageError
from rl_robot_control.ros.diagnostics import own_status
from rl_robot_control.ros.drive_codec import DriveCodec
from rl_robot_control.ros.parameters import CONTROLLER, ROBOT, Parameter, ParameterTable
from rl_robot_control.ros.runtime import LONGEST_WAIT, run_node
from rl_robot_control.ros.unitree_drives import DAMPED, UnitreeDrives
from rl_robot_control.ros.unitree_hg import NUM_MOTORS, CrcError, LowCmdWriter, LowStateReader, combination, pressed
from rl_robot_control.ros.unitree_link import TopicLink
from rl_robot_control.ros.unitree_states import CASING, WINDING, MotorHealth, UnitreeStates

WARNING_PERIOD = 5.0  # [s]
STATUS_PERIOD = 1.0  # [s]
LOOK_PERIOD = 0.1  # between two looks at the motors' health [s]
LAST_COMMANDS = 10  # damping ones, at an orderly end

PARAMETERS = ParameterTable('Unitree', [
    ROBOT, CONTROLLER,
    Parameter(name='command_rate', default=500.0, unit='Hz', minimum=50.0, maximum=1000.0,
              description='How often the robot is sent a LowCmd'),
    Parameter(name='state_rate', default=250.0, unit='Hz', minimum=20.0, maximum=1000.0,
              description="How often the robot's state is read and published at most; it sends 500 a second"),
    Parameter(name='command_timeout', default=0.1, unit='s', minimum=0.01, maximum=1.0,
              description='Without a command for this long the robot is damped'),
    Parameter(name='state_timeout', default=0.1, unit='s', minimum=0.01, maximum=1.0,
              description='Without a state for this long the robot is damped'),
    Parameter(name='damping_on_timeout', default=3.0, unit='N·m·s/rad', minimum=0.5, maximum=20.0,
              description='Damping of every joint while the robot is damped'),
    Parameter(name='hold_damped', default=False,
              description='Damp the robot before the first command; else nothing is sent until then'),
    Parameter(name='check_crc', default=True, description='Drop states whose CRC is wrong'),
    Parameter(name='stop_buttons', default=('L2+B',), strings=True,
              description='Buttons of the remote that damp the robot for good; any of these combinations'),
    Parameter(name='casing_temperature', default=85.0, unit='°C', minimum=0.0, maximum=200.0,
              description="Highest temperature of a motor's casing that is in order"),
    Parameter(name='winding_temperature', default=120.0, unit='°C', minimum=0.0, maximum=200.0,
              description="Highest temperature of a motor's winding that is in order"),
])


class UnitreeNode(Node):
    """See the module's description.

    Args:
        link: Makes what carries the robot's own messages, of this node and a callback for LowStates.
    """

    def __init__(self, link: Callable[[Node, Callable[[Any], None]], Any] = TopicLink) -> None:
        super().__init__('unitree')
        self.settings = settings = PARAMETERS.declare(self)
        robot = load_robot(settings.robot).with_controller(settings.controller, 'drive')
        motors = motors_of(robot)
        _check_rates(settings)
        self._stops = {names: combination(names) for names in settings.stop_buttons}
        self.core = UnitreeDrives(settings.command_timeout, settings.state_timeout, settings.damping_on_timeout,
                                  settings.hold_damped)
        self._codec, self._reader = DriveCodec(robot), LowStateReader(motors, settings.check_crc)
        self._states = UnitreeStates(robot, motors)
        self._health = MotorHealth(robot.joint_names, motors, (settings.casing_temperature,
                                                               settings.winding_temperature))
        self._mode_machine, self._due, self._sent = 0, 0.0, 0.0
        self.refused = self.rejected = self.late = 0
        self._summary, self._reported = (DiagnosticStatus.OK, ''), -STATUS_PERIOD  # of the latest diagnostics
        self._joint_states, self._imu = interface.JOINT_STATES.publisher(self), interface.IMU.publisher(self)
        self._diagnostics = interface.DIAGNOSTICS.publisher(self)
        self._link = link(self, self._on_state)
        self._writer = LowCmdWriter(self._link.new_command(), motors)
        interface.controller_commands(robot.settings.topics).subscription(self, self._on_command)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / settings.command_rate, self._send, clock=steady)
        self.create_timer(LOOK_PERIOD, self._look, clock=steady)

    def _on_state(self, message: Any) -> None:
        now, period = time.monotonic(), 1.0 / self.settings.state_rate
        if now < self._due:
            return
        stamp = self.get_clock().now().to_msg()
        try:
            state = self._reader.read(message)
        except CrcError as error:
            self.rejected += 1
            return self.get_logger().warning(f'lowstate dropped: {error}', throttle_duration_sec=WARNING_PERIOD)
        self._due = max(self._due + period, now)
        self._mode_machine = int(state['mode_machine'])
        self.core.hear_state(self._states.encode(state, stamp), now)
        self._joint_states.publish(self._states.joints)
        self._imu.publish(self._states.imu)
        self._health.look(state)
        self._hear_remote(pressed(state['wireless_remote']))
        return None

    def _hear_remote(self, buttons: int) -> None:
        for names, bits in self._stops.items():
            if buttons & bits == bits and not self.core.latched:
                self.core.latch(f'{names} on the remote; start this node again to go on')

    def _on_command(self, message: Float64MultiArray) -> None:
        try:
            values = self._codec.decode(message)
        except MessageError as error:
            return self._refuse(str(error))
        if not self.core.heard:
            return self._refuse('no lowstate has been received.')
        return self.core.hear_command(values, time.monotonic())

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.get_logger().warning(f'command refused: {why}', throttle_duration_sec=WARNING_PERIOD)

    def _send(self) -> None:
        now, before, why = time.monotonic(), self.core.drives, self.core.why
        values = self.core.update(now)
        if values is not None:
            self._link.send(self._writer.fill(values, self._mode_machine))
            self.late += 0.0 < self._sent < now - 2.0 / self.settings.command_rate
        self._sent = now if values is not None else 0.0
        if (self.core.drives, self.core.why) != (before, why):
            self._note()

    def _note(self) -> None:
        """What the drives do has changed: say so once, and in the diagnostics at once."""
        why = self.core.why
        if self.core.latched:
            self.get_logger().error(f'{why}: damping the robot.')
        elif self.core.drives == DAMPED:
            self.get_logger().warning(f'{why}: damping the robot.')
        else:
            self.get_logger().info(f'{why}.' if why else 'following commands.')
        self._report()

    def _look(self) -> None:
        if self._judge() != self._summary or time.monotonic() - self._reported >= STATUS_PERIOD:
            self._report()

    def _judge(self) -> tuple[bytes, str]:
        core, (level, trouble) = self.core, self._health.judge()
        stale = core.stale(time.monotonic())
        if stale and core.heard and 'lowstate' not in core.why:
            trouble = 'the robot is not heard'
        text = '; '.join(filter(None, (f'drives: {core.drives}', core.why, trouble)))
        if core.latched or stale and core.heard:
            return DiagnosticStatus.ERROR, text
        return max(level, DiagnosticStatus.WARN if stale or core.drives == DAMPED else DiagnosticStatus.OK), text

    def _report(self) -> None:
        now = time.monotonic()
        self._summary, self._reported = (level, text), _ = self._judge(), now
        hottest = self._health.temperature.max(axis=0)
        values = {'drives': self.core.drives, 'why': self.core.why or '-',
                  'lowstate age [ms]': f'{1e3 * self.core.state_age(now):.1f}', 'lowstates dropped': self.rejected,
                  'commands refused': self.refused, 'late periods': self.late, 'mode_machine': self._mode_machine,
                  'hottest casing [°C]': hottest[CASING], 'hottest winding [°C]': hottest[WINDING],
                  'other publishers of lowcmd': self._link.other_publishers()}
        self._diagnostics.publish(own_status(self, level, text, values))

    def leave_damped(self) -> None:
        """Damp the robot, if it was sent anything at all; for the end of the process."""
        if not self._sent:
            return
        self.core.latch('this node ends')
        for _ in range(LAST_COMMANDS):
            self._send()
            time.sleep(1.0 / self.settings.command_rate)


def motors_of(robot: RobotModel) -> np.ndarray:
    """Each joint's motor (J,).

    Raises:
        ConfigurationError: The robot's YAML does not say them, or says more than the messages hold.
    """
    motors = robot.motors
    if motors is None:
        raise ConfigurationError(f"robot '{robot.name}' has no sdk_joints; add to its YAML the list of its joints in "
                                 "the motor order of Unitree's SDK.")
    if motors.max() >= NUM_MOTORS:
        raise ConfigurationError(f"sdk_joints of robot '{robot.name}' holds {len(robot.settings.sdk_joints)} motors; "
                                 f'the messages of unitree_hg hold {NUM_MOTORS}.')
    return motors


def _check_rates(settings: Any) -> None:
    if settings.state_timeout < 2.0 / settings.state_rate:
        raise ConfigurationError(f"parameter 'state_timeout' is {settings.state_timeout:g} s; at a state_rate of "
                                 f'{settings.state_rate:g} Hz it must be at least {2.0 / settings.state_rate:g} s.')


def run(node: UnitreeNode, executor: Any) -> None:
    """Serve until a signal comes, and leave the robot damped."""
    uninstall_signal_handlers()  # rclpy's end the context at once, and with it the way to the robot
    stops: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stops.append(number))
    try:
        while node.context.ok() and not stops:
            executor.spin_once(timeout_sec=LONGEST_WAIT)
    finally:
        node.leave_damped()


def main() -> None:
    """Run the node."""
    sys.exit(run_node(UnitreeNode, run))


if __name__ == '__main__':
    main()

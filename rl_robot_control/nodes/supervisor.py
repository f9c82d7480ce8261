"""Supervisor node: a process of its own that makes the robot safe when the shield is dead or hangs.

The shield's heartbeat comes from the very thread that filters its commands. When it ceases for ``heartbeat_timeout`` by
this node's own timer on the monotonic clock, or when the middleware says first that the shield is no longer alive, the
supervisor trips: it makes the robot's side safe, tells any shield that comes back to latch, and stays so until it is
released. It watches a shield that it has heard steadily, or that moves the robot; one that is still starting may
stumble. How the robot's side is made safe says ``robot_side``:

* ``own_timeout``: the robot damps itself when commands cease, as the simulated one does; its diagnostics confirm it;
* ``ros2_control``: the controllers that take commands are deactivated, ``damping_controller`` is activated, and
  ``hardware_component`` deactivated, so that nothing more is written to the hardware.

Subscribes: ``shield/heartbeat``, ``diagnostics``.
Publishes: ``supervisor/status`` (twice a second and at every change), ``shield/emergency_stop_heartbeat`` (false, while
tripped).
Serves: ``supervisor/release``: refused while no shield is heard, and while it moves the robot.
Calls: ``<controller_manager>/switch_controller``, ``<controller_manager>/set_hardware_component_state``.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from std_msgs.msg import Bool, UInt8

from rl_robot_control.ros import interface
from rl_robot_control.ros.diagnostics import own_status, value_of
from rl_robot_control.ros.parameters import ROBOT_ROWS, Parameter, ParameterTable, declare_robot
from rl_robot_control.ros.robot_side import OwnTimeout, RobotSide, controller_switch
from rl_robot_control.ros.runtime import run_node
from rl_robot_control.ros.supervision import Watch
from rl_robot_control.shield import ShieldMode

PERIOD = 0.01  # between two looks [s]
STATUS_PERIOD = 0.5  # [s]
STOP_PERIOD = 0.05  # [s]
_MOVING = (ShieldMode.ACTIVE, ShieldMode.BRAKING, ShieldMode.DAMPING)

PARAMETERS = ParameterTable('Supervisor', [
    *ROBOT_ROWS,
    Parameter(name='heartbeat_timeout', default=0.15, unit='s', minimum=0.05, maximum=1.0,
              description='Silence of the shield that counts as its death'),
    Parameter(name='robot_side', default='own_timeout', choices=('own_timeout', 'ros2_control'),
              description='How the robot is made safe: by its own command time-out, or by its controller manager'),
    Parameter(name='robot_node', default='simulation',
              description='Node whose diagnostics say what the drives do, for own_timeout; empty: nobody says'),
    Parameter(name='controller_manager', default='controller_manager',
              description="The controller manager's node, for ros2_control"),
    Parameter(name='controllers', default=(), strings=True,
              description="Controllers that are deactivated; empty: the robot's"),
    Parameter(name='damping_controller', default='',
              description='Controller that is activated in their place; empty: none'),
    Parameter(name='hardware_component', default='',
              description="Component of ros2_control's hardware that is deactivated, too, as it damps by itself "
                          'without commands; empty: none'),
    Parameter(name='switch_timeout', default=0.5, unit='s', minimum=0.05, maximum=10.0,
              description='For one answer of the controller manager; then it is asked again'),
])


class SupervisorNode(Node):
    """See the module's description."""

    def __init__(self) -> None:
        super().__init__('supervisor')
        self.settings = settings = PARAMETERS.declare(self)
        self.side: RobotSide = self._robot_side(settings)
        self.watch = Watch(settings.heartbeat_timeout, PERIOD)
        self.tripped, self.reason, self._confirmed = False, '', True
        self.trips = self.deadlines_missed = 0
        self._mode = ShieldMode.STARTING
        self._stopped_at = 0.0
        self._status = interface.SUPERVISOR_STATUS.publisher(self)
        self._stop = interface.STOP_HEARTBEAT.publisher(self)
        events = SubscriptionEventCallbacks(deadline=self._on_deadline, liveliness=self._on_liveliness)
        interface.SHIELD_HEARTBEAT.subscription(self, self._on_heartbeat, events=events)
        if isinstance(self.side, OwnTimeout) and settings.robot_node:
            interface.DIAGNOSTICS.subscription(self, self._on_diagnostics)
        interface.SUPERVISOR_RELEASE.server(self, self._on_release)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a simulated clock that stands still must not stop these
        self.create_timer(PERIOD, self._look, clock=steady)
        self.create_timer(STATUS_PERIOD, self._report, clock=steady)

    def _robot_side(self, settings: Any) -> RobotSide:
        controller = declare_robot(self).settings.topics.controller
        if settings.robot_side == 'own_timeout':
            return OwnTimeout()
        return controller_switch(self, settings.controller_manager, settings.controllers or [controller],
                                 settings.damping_controller, settings.switch_timeout,
                                 settings.hardware_component)

    def _on_heartbeat(self, message: UInt8) -> None:
        before = self.watch.watching
        self.watch.beat(time.monotonic(), at_stake=message.data in _MOVING)
        self._mode = message.data
        if self.watch.watching and not before:
            self.get_logger().info('the shield is heard: watching it.')
            self._report()

    def _on_deadline(self, _: Any) -> None:
        self.deadlines_missed += 1

    def _on_liveliness(self, event: Any) -> None:
        if event.not_alive_count_change > 0 and event.alive_count == 0:
            self._trip('the middleware says that the shield is not alive')

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.rpartition('/')[2] == self.settings.robot_node:
                self.side.drives = value_of(status, 'drives')

    def _look(self) -> None:
        now = time.monotonic()
        if self.watch.overdue(now):
            self._trip(f'no heartbeat of the shield for {self.settings.heartbeat_timeout:g} s')
        self.side.tick(now)
        if self.tripped and now - self._stopped_at >= STOP_PERIOD:
            self._stop.publish(Bool(data=False))
            self._stopped_at = now
        if self.side.confirmed() != self._confirmed:
            self._confirmed = self.side.confirmed()
            self.get_logger().info(f'robot: {self.side.describe()}')
            self._report()

    def _trip(self, why: str) -> None:
        if self.tripped or not self.watch.watching:
            return
        self.tripped, self.reason = True, why
        self.trips += 1
        self.side.make_safe(time.monotonic())
        self._confirmed = self.side.confirmed()
        self._report()
        self.get_logger().error(f'{why}: making the robot safe. supervisor/release lets commands through again.')

    def _on_release(self, _: Any, response: Any) -> Any:
        now = time.monotonic()
        if not self.tripped:
            problem = 'nothing has tripped.'
        elif self.watch.silence(now) > self.settings.heartbeat_timeout:
            problem = 'no shield is heard; start it.'
        elif self._mode in _MOVING:
            problem = f'the shield is {ShieldMode(self._mode).name}: it would move the robot at once. Stop it first.'
        else:
            problem = ''
            self.tripped = False
            self.side.restore(now)
            self.get_logger().info('released; shield/rearm releases the shield.')
        response.success, response.message = not problem, problem or 'released'
        self._report()
        return response

    def _report(self) -> None:
        level, text = self._summary()
        now = time.monotonic()
        values = {'state': self._state(), 'robot': self.side.describe(),
                  'robot safe': 'yes' if self.tripped and self.side.confirmed() else 'no' if self.tripped else '-',
                  'shield': ShieldMode(self._mode).name if self.watch.watching else 'not heard',
                  'silence [ms]': f'{1e3 * self.watch.silence(now):.1f}',
                  'longest silence [ms]': f'{1e3 * self.watch.longest_gap:.1f}',
                  'deadlines missed': self.deadlines_missed, 'trips': self.trips}
        self._status.publish(own_status(self, level, text, values))

    def _state(self) -> str:
        return 'TRIPPED' if self.tripped else 'WATCHING' if self.watch.watching else 'WAITING'

    def _summary(self) -> tuple[bytes, str]:
        if self.tripped:
            return DiagnosticStatus.ERROR, f'TRIPPED: {self.reason}; {self.side.describe()}'
        if not self.watch.watching:
            return DiagnosticStatus.WARN, 'WAITING: the shield has not been heard steadily yet'
        return DiagnosticStatus.OK, 'WATCHING'


def main() -> None:
    """Run the node."""
    sys.exit(run_node(SupervisorNode))


if __name__ == '__main__':
    main()

"""Monitor node: shows people what a robot does and what the shield makes of it; moves nothing.

Draws, at ``rate`` at most: the commanded and the measured velocity as arrows above the base, the shield's mode and what
the policy does as a text, each joint that the shield corrects as a sphere, forces on the feet, objects and the goal.
Where tf2's messages are installed it also publishes the base's transform; the links' come from robot_state_publisher.

Subscribes: ``odom``, ``cmd_vel``, ``shield/status``, ``supervisor/status``, ``diagnostics``, ``contacts/<frame>``,
``goal``, and ``objects/<name>/pose`` for each of the parameter ``objects``.
Publishes: ``monitor/markers``; ``/tf`` and ``/tf_static`` where tf2_msgs is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist, WrenchStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from rl_robot_control.ros import interface
from rl_robot_control.ros.diagnostics import value_of
from rl_robot_control.ros.markers import Scene, SceneMarkers
from rl_robot_control.ros.parameters import ROBOT_ROWS, Parameter, ParameterTable, check_length, declare_robot
from rl_robot_control.ros.runtime import run_node
from rl_robot_control.ros.shield_status import read_corrections
from rl_robot_control.ros.transforms import BaseTransforms

FRESH = 0.5  # a measurement that is older is not drawn [s]
FRESH_OBJECT = 5.0  # likewise an object; a goal comes once, and stays for seconds [s]
FRESH_STATUS = 2.0  # likewise a status; some come once a second [s]

PARAMETERS = ParameterTable('Monitor', [
    *ROBOT_ROWS,
    Parameter(name='rate', default=20.0, unit='Hz', minimum=0.5, maximum=60.0,
              description='How often the markers are published'),
    Parameter(name='transform_rate', default=50.0, unit='Hz', minimum=1.0, maximum=200.0,
              description="How often the base's transform is published at most"),
    Parameter(name='objects', default=(), strings=True, description='Objects to draw, by the name in their topic'),
    Parameter(name='frame_prefix', default='', description="Before the names of the robot's frames, e.g. 'left/'"),
    Parameter(name='world_frame', default='', description="Frame above the robot's odom; empty: none"),
    Parameter(name='world_origin', default=(0.0, 0.0, 0.0), unit='m, m, rad',
              description='Of odom in the world frame: x, y, yaw'),
])


class MonitorNode(Node):
    """See the module's description."""

    def __init__(self) -> None:
        super().__init__('monitor')
        self.settings = settings = PARAMETERS.declare(self)
        check_length('world_origin', settings.world_origin, 3)
        self._robot = robot = declare_robot(self)
        self._markers = SceneMarkers(robot, settings.frame_prefix)
        self._transforms = BaseTransforms(self, robot.settings.base.link, settings.frame_prefix, settings.world_frame,
                                          settings.world_origin)
        if not self._transforms.available:
            self.get_logger().warning('tf2_msgs is not installed for this Python: no transforms are published, so RViz '
                                      'can place nothing. Install it (sudo apt install ros-$ROS_DISTRO-tf2-msgs).')
        self._heard: dict[str, tuple[float, Any]] = {}  # what → when it came [s], and what it was
        self._transformed = -np.inf
        self._publisher = interface.MARKERS.publisher(self)
        self._subscribe()
        self.create_timer(1.0 / settings.rate, self._draw, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _subscribe(self) -> None:
        robot = self._robot
        if robot.floating:
            interface.ODOM.subscription(self, self._on_odom, best_effort=True)
        interface.CMD_VEL.subscription(self, self._keep('commanded'))
        interface.GOAL.subscription(self, self._keep('object goal'))
        for topic in (interface.SHIELD_STATUS, interface.SUPERVISOR_STATUS, interface.DIAGNOSTICS):
            topic.subscription(self, self._on_status)
        for name in robot.frame_names:
            if robot.settings.frames[name].contact:
                interface.contact(name).subscription(self, self._keep(f'contact {name}'), best_effort=True)
        for name in self.settings.objects:
            interface.object_pose(name).subscription(self, self._keep(f'object {name}'), best_effort=True)

    def _keep(self, what: str) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            self._heard[what] = time.monotonic(), message

        return keep

    def _on_odom(self, message: Odometry) -> None:
        now = time.monotonic()
        self._heard['odom'] = now, message
        if now - self._transformed >= 1.0 / self.settings.transform_rate:
            self._transformed = now
            self._transforms.publish(message)

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._heard[f'status {status.name.rpartition("/")[2]}'] = time.monotonic(), status

    def _latest(self, what: str, fresh: float = FRESH) -> Any:
        came, message = self._heard.get(what, (-np.inf, None))
        return message if time.monotonic() - came <= fresh else None

    def scene(self) -> Scene:
        """What is known now; what is older than ``FRESH`` is not."""
        odom, command = self._latest('odom'), self._latest('commanded')
        shield, corrections = self._latest('status shield', FRESH_STATUS), self._latest('status corrections')
        mode = value_of(shield, 'mode')
        forces = {name: self._latest(f'contact {name}') for name in self._robot.frame_names}
        poses = {what.partition(' ')[2]: self._latest(what, FRESH_OBJECT) for what in self._heard
                 if what.startswith('object ')}
        return Scene(
            measured=None if odom is None else _planar(odom.twist.twist), mode=mode, text=self._text(mode, command),
            commanded=None if command is None else _planar(command),
            corrections={} if corrections is None else read_corrections(corrections),
            contacts={name: _size(message) for name, message in forces.items() if message is not None},
            objects={name: _placed(pose) for name, pose in poses.items() if pose is not None})

    def _text(self, mode: str, command: Twist | None) -> str:
        """What stands above the robot: the shield, the policy, the supervisor where it has tripped."""
        lines = [f'shield: {mode or "not heard"}']
        reason = value_of(self._latest('status shield', FRESH_STATUS), 'reason')
        inference, supervisor = (self._latest(f'status {name}', FRESH_STATUS) for name in ('inference', 'supervisor'))
        if reason:
            lines[0] += f' ({reason})'
        if inference is not None:
            lines.append(f'policy: {value_of(inference, "phase") or inference.message}')
        if command is not None:
            vx, vy, wz = _planar(command)
            lines.append(f'{vx:+.2f} {vy:+.2f} m/s {wz:+.2f} rad/s')
        if value_of(supervisor, 'state') == 'TRIPPED':
            lines.append('supervisor: TRIPPED')
        return '\n'.join(lines)

    def _draw(self) -> None:
        now = self.get_clock().now().to_msg()
        if not self._robot.floating:
            self._transforms.publish_fixed_base(now)
        if self._publisher.get_subscription_count():
            self._publisher.publish(self._markers.draw(self.scene(), now))


def _planar(twist: Twist) -> np.ndarray:
    return np.array([twist.linear.x, twist.linear.y, twist.angular.z])


def _size(message: WrenchStamped) -> float:
    force = message.wrench.force
    return float(np.linalg.norm([force.x, force.y, force.z]))


def _placed(message: PoseStamped) -> tuple[str, Any]:
    return message.header.frame_id, message.pose


def main() -> None:
    """Run the node."""
    sys.exit(run_node(MonitorNode))


if __name__ == '__main__':
    main()

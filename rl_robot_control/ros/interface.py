"""The one table of topics and services: names (relative to the robot's namespace), types and quality of service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, Twist, WrenchStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Bool, Float64MultiArray, UInt8
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from rl_robot_control.robots.model import TopicSettings
from rl_robot_control.ros.wire import reader

# Only the newest sample of the loop is worth having, and a lost one would stop a lock-step: reliable, depth 1.
LOOP_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)
# A reliable subscription hears nothing from a best-effort driver, and a best-effort one hears both kinds.
SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
STATUS_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)
HEARTBEAT_PERIOD = 0.02  # [s]
# The middleware, too, tells when a heartbeat ceases: both ends of this topic are this package's. By topic, as an
# automatic lease does not see that one thread hangs in a process that lives.
HEARTBEAT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE,
                           deadline=Duration(seconds=0.1), liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
                           liveliness_lease_duration=Duration(seconds=0.15))
LEASE_FACTOR = 2  # of a promised deadline: so long a publisher may be silent before it counts as dead


@dataclass(frozen=True)
class Topic:
    """A topic's name, message type and quality of service."""

    name: str
    type: type
    note: str
    qos: QoSProfile = field(default_factory=lambda: LOOP_QOS)

    def publisher(self, node: Node, deadline: float | None = None) -> Any:
        """A publisher of this topic.

        Args:
            node: Its owner.
            deadline: Longest time between two messages that it promises [s]; None: no promise.
        """
        if deadline is None:
            return node.create_publisher(self.type, self.name, self.qos)
        qos = QoSProfile(depth=self.qos.depth, reliability=self.qos.reliability, durability=self.qos.durability,
                         deadline=Duration(seconds=deadline), liveliness=LivelinessPolicy.AUTOMATIC,
                         liveliness_lease_duration=Duration(seconds=LEASE_FACTOR * deadline))
        return node.create_publisher(self.type, self.name, qos)

    def subscription(self, node: Node, callback: Callable[[Any], None], best_effort: bool = False,
                     events: Any = None, raw: bool = False) -> Any:
        """A subscription to this topic.

        Args:
            node: Its owner.
            callback: Called with each message.
            best_effort: Listen to publishers of either reliability; for sensors in real time, where drivers differ and
                a late sample is worth nothing.
            events: Callbacks for events of the middleware, or None.
            raw: Hand over the bytes that came.
        """
        qos = SENSOR_QOS if best_effort else self.qos
        return node.create_subscription(self.type, self.name, callback, qos, event_callbacks=events, raw=raw)

    def samples(self, node: Node, callback: Callable[[Any], None], best_effort: bool = False) -> Any:
        """A subscription that hands over samples instead of messages (``wire.py``): for what comes in every period.

        Args:
            node: Its owner.
            callback: Called with each sample; with the message, where there is no sample of the type.
            best_effort: As for ``subscription``.
        """
        read = reader(self.type)
        return self.subscription(node, lambda data: callback(read(data)), best_effort, raw=True)


@dataclass(frozen=True)
class Service:
    """A service's name and type."""

    name: str
    type: type
    note: str

    def server(self, node: Node, callback: Callable[[Any, Any], Any]) -> Any:
        """A server of this service."""
        return node.create_service(self.type, self.name, callback)

    def client(self, node: Node) -> Any:
        """A client of this service."""
        return node.create_client(self.type, self.name)


JOINT_STATES = Topic('joint_states', JointState, 'robot → all; joints are matched by name')
IMU = Topic('imu', Imu, 'robot → all; orientation, angular velocity and specific force of the base')
ODOM = Topic('odom', Odometry, 'robot or estimator → all; twist in the base frame')
CMD_VEL = Topic('cmd_vel', Twist, 'operator → policy; times out')
POLICY_COMMAND = Topic('policy/command', JointState, 'policy → shield; stamp = observation that it answers')
SHIELD_STATUS = Topic('shield/status', DiagnosticArray, 'shield → all; state, counters, corrections', STATUS_QOS)
SHIELD_HEARTBEAT = Topic('shield/heartbeat', UInt8, 'shield → supervisor; its mode, 50 times a second', HEARTBEAT_QOS)
STOP_HEARTBEAT = Topic('shield/emergency_stop_heartbeat', Bool,
                       'operator and supervisor → shield; true: go on, false: stop and latch')
SUPERVISOR_STATUS = Topic('supervisor/status', DiagnosticArray, 'supervisor → all; shield heard, robot made safe',
                          STATUS_QOS)
DIAGNOSTICS = Topic('diagnostics', DiagnosticArray, 'policy, simulation → all; phase, rate, jitter; drives', STATUS_QOS)
TRAINING_STATUS = Topic('training/status', DiagnosticArray, 'training → all; progress', STATUS_QOS)
GOAL = Topic('goal', PoseStamped, 'training or operator → policy, monitor; target of a task, in the base frame')
MARKERS = Topic('monitor/markers', MarkerArray, 'monitor → RViz; velocities, shield, contacts, objects', STATUS_QOS)
CLOCK = Topic('/clock', Clock, 'simulation → all; simulated time')


def controller_commands(topics: TopicSettings) -> Topic:
    """What the robot's joint controller is told; ``controllers.py`` says what each type means."""
    name, kind = topics.controller, topics.controller_type
    if kind == 'trajectory':
        return Topic(f'{name}/joint_trajectory', JointTrajectory, 'shield → robot')
    if kind == 'joint_state':
        return Topic(name, JointState, 'shield → robot')
    return Topic(f'{name}/commands', Float64MultiArray, 'shield → robot')


def low_cmd(kind: type) -> Topic:
    """A Unitree robot's own command; its type comes with Unitree's messages and only where they are used."""
    return Topic('lowcmd', kind, 'driver → Unitree robot')


def low_state(kind: type) -> Topic:
    """A Unitree robot's own state, 500 times a second."""
    return Topic('lowstate', kind, 'Unitree robot → driver')


def contact(frame: str) -> Topic:
    """The contact force on a frame [N]."""
    return Topic(f'contacts/{frame}', WrenchStamped, 'robot → all')


def object_pose(name: str) -> Topic:
    """The pose of an object in the world."""
    return Topic(f'objects/{name}/pose', PoseStamped, 'simulation or perception → all')


def use_policy(name: str) -> Service:
    """By which an operator lets a loaded policy take over."""
    return Service(f'inference/use/{name}', Trigger, 'let a loaded policy take over; refused outside its start region')


EMERGENCY_STOP = Service('shield/emergency_stop', Trigger, 'stop and latch')
REARM = Service('shield/rearm', Trigger, 'leave a latched stop; refused while the robot moves')
SUPERVISOR_RELEASE = Service('supervisor/release', Trigger, 'let commands through again, after a trip')
SHIELD_RESET = Service('shield/reset', Trigger, 'forget the past after a simulation reset; lock-step only')
SIMULATION_RESET = Service('simulation/reset', Trigger, "apply the parameters 'seed' and 'reset.*', publish the state")
SIMULATION_PAUSE = Service('simulation/pause', SetBool, 'stop and go on')
SIMULATION_RELEASE = Service('simulation/release', Trigger, 'let go of the base that hold_until_command holds')

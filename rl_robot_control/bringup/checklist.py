"""Looks at a robot before a policy may move it, and moves nothing: names, rates, signs, limits, gains, who publishes.

``listen`` collects what the robot's topics say for a few seconds; ``check`` judges it without ROS, item by item.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.errors import BackendTimeoutError
from rl_robot_control.policies.manifest import Manifest
from rl_robot_control.policies.matching import first_difference
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import to_nanoseconds
from rl_robot_control.ros.robot_operator import Operator
from rl_robot_control.types import BoolArray, FloatArray

ANSWER_TIMEOUT = 3.0  # [s]
GRAVITY = 9.81  # [m/s²]
FORCE_TOLERANCE = 2.0  # between specific force and the gravity that the orientation implies [m/s²]
MOVES = 0.05  # speed from which a joint or the base counts as moving [rad/s]
STILL = 0.2  # fastest joint of a robot that stands still [rad/s]
LARGEST_GAP = 3.0  # between two messages, in periods of the policy
LARGEST_SKEW = 0.1  # between a stamp and this machine's clock [s]
NEAR_LIMIT = 0.02  # [rad]
UPRIGHT = 0.35  # largest tilt of the base [rad]


@dataclass(frozen=True)
class Item:
    """One line of the checklist; ``good`` is None where it is for information, or could not be judged."""

    name: str
    good: bool | None
    detail: str


@dataclass(kw_only=True)
class Heard:
    """What was heard of a robot in some seconds."""

    seconds: float
    joint_names: list[list[str]] = field(default_factory=list)  # of each joint state
    arrived: dict[str, list[float]] = field(default_factory=dict)  # topic → arrival of its messages [s]
    skew: dict[str, list[float]] = field(default_factory=dict)  # topic → arrival by the system's clock less stamp [s]
    position: FloatArray | None = None  # (M, J) [rad]
    velocity: FloatArray | None = None  # (M, J) [rad/s]
    time: FloatArray | None = None  # (M,) stamps of the joint states [s]
    quaternion: FloatArray | None = None  # (K, 4)
    angular_velocity: FloatArray | None = None  # (K, 3) [rad/s]
    specific_force: FloatArray | None = None  # (K, 3) [m/s²]
    imu_time: FloatArray | None = None  # (K,) stamps [s]
    gains: dict[str, dict[str, FloatArray]] = field(default_factory=dict)  # node → its parameters
    publishers: dict[str, list[str]] = field(default_factory=dict)  # topic → nodes that publish there
    listeners: dict[str, list[str]] = field(default_factory=dict)  # topic → nodes that listen there
    shield_mode: str = ''
    supervisor: str = ''


def listen(robot: RobotModel, domain_id: int, namespace: str = '', seconds: float = 3.0, shield: str = 'shield',
           driver: str = '') -> Heard:
    """Collect what a running robot says.

    Args:
        robot: The robot.
        domain_id: Of its graph.
        namespace: Of its nodes, or empty.
        seconds: How long to listen.
        shield: Node of the shield.
        driver: Node that holds the drives' gains; empty: none.
    """
    heard = Heard(seconds=seconds)
    joints, imus = [], []
    controller = interface.controller_commands(robot.settings.topics)
    with Operator(domain_id, namespace) as operator:
        def note(topic: Any, keep: list[Any] | None) -> None:
            def receive(message: Any) -> None:
                heard.arrived.setdefault(topic.name, []).append(time.monotonic())
                heard.skew.setdefault(topic.name, []).append(
                    (time.time_ns() - to_nanoseconds(message.header.stamp)) * 1e-9)
                if keep is not None:
                    keep.append(message)
            topic.subscription(operator.node, receive, best_effort=True)

        note(interface.JOINT_STATES, joints)
        note(interface.IMU, imus)
        note(interface.ODOM, None)
        end = time.monotonic() + seconds
        operator.wait_until(lambda: time.monotonic() > end, 'it is listened to', seconds + 30.0)
        for topic in (interface.JOINT_STATES, interface.IMU, interface.ODOM, interface.POLICY_COMMAND, controller):
            heard.publishers[topic.name] = _nodes(operator.node.get_publishers_info_by_topic(topic.name))
            heard.listeners[topic.name] = [name for name in _nodes(
                operator.node.get_subscriptions_info_by_topic(topic.name)) if not name.endswith('/operator')]
        for name in filter(None, (shield, driver)):
            try:
                values = operator.parameters(name, ['stiffness', 'damping'], ANSWER_TIMEOUT)
            except BackendTimeoutError:
                continue
            heard.gains[name] = {key: np.array(value or [], dtype=float) for key, value in values.items()}
        heard.shield_mode, heard.supervisor = operator.value('shield', 'mode'), operator.value('supervisor', 'state')
    _arrange(heard, robot, joints, imus)
    return heard


def check(heard: Heard, robot: RobotModel, manifest: Manifest, needed: set[str], shield: str = 'shield',
          driver: str = '') -> list[Item]:
    """The checklist.

    Args:
        heard: What was heard.
        robot: The robot, with the policy's pose and gains.
        manifest: The policy's.
        needed: Fields of the state that it observes.
        shield: Node of the shield.
        driver: Node that holds the drives' gains; empty: none.
    """
    items = _names(heard, robot)
    items += _rates(heard, manifest, needed, robot.floating)
    if heard.position is not None and len(heard.position):
        items += [_positions(heard, robot), _velocities(heard, robot), _joint_signs(heard, robot),
                  _start(heard, robot)]
    if heard.quaternion is not None and len(heard.quaternion):
        items += [_orientation(heard), _forces(heard), _turning(heard)]
    items += [_gains(heard, robot, 'shield', shield), _gains(heard, robot, 'driver', driver)]
    return items + _connections(heard, robot, shield)


def _names(heard: Heard, robot: RobotModel) -> list[Item]:
    name = 'joint names'
    if not heard.joint_names:
        return [Item(name, False, f'nothing came on joint_states in {heard.seconds:g} s. Is the robot running, and in '
                                  'this ROS_DOMAIN_ID and namespace?')]
    found = heard.joint_names[-1]
    missing = [joint for joint in robot.joint_names if joint not in found]
    double = sorted({joint for joint in found if found.count(joint) > 1})
    if missing or double:
        return [Item(name, False, f'missing: {", ".join(missing)}' if missing else f'twice: {", ".join(double)}')]
    others = [joint for joint in found if joint not in robot.joint_names]
    return [Item(name, True, f'all {robot.num_joints} are there' + (f', and {len(others)} others' if others else ''))]


def _rates(heard: Heard, manifest: Manifest, needed: set[str], floating: bool) -> list[Item]:
    wanted = {interface.JOINT_STATES.name: True, interface.IMU.name: floating or bool(
        needed & {'base_quaternion', 'base_angular_velocity'}), interface.ODOM.name: bool(
        needed & {'base_position', 'base_linear_velocity', 'frame_position'})}
    items, rate = [], 1.0 / manifest.control_period
    for topic, must in wanted.items():
        arrived = np.array(heard.arrived.get(topic, []))
        name = f'rate of {topic}'
        if len(arrived) < 2:
            items.append(Item(name, False if must else None, 'nothing came' + ('; the policy needs it' if must else
                                                                               '; the policy does not need it')))
            continue
        found, gap = (len(arrived) - 1) / (arrived[-1] - arrived[0]), float(np.diff(arrived).max())
        good = bool(found >= 0.98 * rate and gap <= LARGEST_GAP * manifest.control_period)
        items.append(Item(name, good if must else None, f'{found:.0f} Hz, longest gap {1e3 * gap:.0f} ms; the policy '
                                                        f'runs at {rate:g} Hz'))
        skew = float(np.median(heard.skew[topic]))
        if must:
            near = abs(skew) <= LARGEST_SKEW
            detail = (f'{1e3 * skew:.1f} ms old on arrival' if near else
                      f'{skew:.3g} s from this clock: simulated time, or the clocks are not synchronised')
            items.append(Item(f'stamps of {topic}', True if near else None, detail))
    return items


def _positions(heard: Heard, robot: RobotModel) -> Item:
    name = 'joint positions'
    if not np.isfinite(heard.position).all():
        i = np.argwhere(~np.isfinite(heard.position))[0][1]
        return Item(name, False, f"'{robot.joint_names[i]}' is not finite")
    excess = np.maximum(heard.position - robot.position_upper, robot.position_lower - heard.position).max(axis=0)
    i = int(excess.argmax())
    if excess[i] > NEAR_LIMIT:
        return Item(name, False, f"'{robot.joint_names[i]}' is {excess[i]:.3g} rad beyond its limits: another zero, "
                                 'sign or order?')
    return Item(name, True, f"within the limits; nearest: '{robot.joint_names[i]}', {-excess[i]:.3g} rad")


def _velocities(heard: Heard, robot: RobotModel) -> Item:
    if not np.isfinite(heard.velocity).all():
        i = np.argwhere(~np.isfinite(heard.velocity))[0][1]
        return Item('joint velocities', False, f"'{robot.joint_names[i]}' is not finite: joint_states lacks velocities")
    fastest = np.abs(heard.velocity).max(axis=0)
    i = int(fastest.argmax())
    return Item('joint velocities', True if fastest[i] <= STILL else None,
                f"the fastest is '{robot.joint_names[i]}' with {fastest[i]:.3g} rad/s")


def _joint_signs(heard: Heard, robot: RobotModel) -> Item:
    """Velocities against the change of positions, where something moves."""
    steps = np.diff(heard.time)
    with np.errstate(invalid='ignore', divide='ignore'):
        slope = np.diff(heard.position, axis=0) / steps[:, None]
    slope[steps <= 0] = np.nan
    wrong, enough = _against(slope, heard.velocity, robot.joint_names)
    name = 'signs of joint velocities'
    if wrong:
        return Item(name, False, f'against the change of position: {", ".join(wrong)}')
    if not enough.any():
        return Item(name, None, 'nothing moved; move each joint by hand while this listens to judge it')
    return Item(name, True, f'agree with the change of position for the {int(enough.sum())} joints that moved')


def _start(heard: Heard, robot: RobotModel) -> Item:
    away = np.abs(heard.position[-1] - robot.default_position)
    i = int(np.argmax(np.where(np.isnan(away), np.inf, away)))
    return Item('way to the start pose', None, f"'{robot.joint_names[i]}' has the longest, {away[i]:.3g} rad")


def _orientation(heard: Heard) -> Item:
    norm = np.linalg.norm(heard.quaternion, axis=1)
    if not np.isfinite(norm).all() or np.abs(norm - 1.0).max() > 0.01:
        worst = norm[np.argmax(np.abs(norm - 1.0))]
        return Item('orientation', False, f'the quaternion has the length {worst:.3g}, not 1')
    tilt = float(rotations.tilt(heard.quaternion[-1]))
    return Item('orientation', tilt <= UPRIGHT, f'tilted by {tilt:.3g} rad' + (
        '' if tilt <= UPRIGHT else ': upright is expected; is the IMU mounted turned, or the quaternion w, x, y, z?'))


def _forces(heard: Heard) -> Item:
    """At rest an accelerometer shows the force that holds it up: minus gravity."""
    if not np.isfinite(heard.specific_force).all():
        return Item('accelerometer', None, 'it is not measured')
    up = -rotations.projected_gravity(heard.quaternion) * GRAVITY
    error = float(np.linalg.norm((heard.specific_force - up).mean(axis=0)))
    good = error <= FORCE_TOLERANCE
    return Item('accelerometer', good, f'{error:.2g} m/s² from what the orientation implies' + (
        '' if good else ': sign, axes or unit (m/s²) are wrong, or gravity is left out'))


def _turning(heard: Heard) -> Item:
    """Angular velocity against the change of the orientation, where it turns."""
    name, steps = 'gyroscope', np.diff(heard.imu_time)
    change = np.einsum('nij,njk->nik', np.swapaxes(rotations.matrix(heard.quaternion[:-1]), 1, 2),
                       rotations.matrix(heard.quaternion[1:]))
    with np.errstate(invalid='ignore', divide='ignore'):
        slope = np.stack([change[:, 2, 1], change[:, 0, 2], change[:, 1, 0]], axis=1) / steps[:, None]
    wrong, enough = _against(slope, heard.angular_velocity, 'xyz')
    if wrong:
        return Item(name, False, f'against the change of orientation about {", ".join(wrong)}')
    if not enough.any():
        return Item(name, None, 'nothing turned; turn the robot by hand while this listens to judge it')
    return Item(name, True, 'agrees with the change of orientation')


def _against(slope: FloatArray, velocity: FloatArray, names: Sequence[str]) -> tuple[list[str], BoolArray]:
    """Which measured velocities have the wrong sign, and which moved enough to tell.

    Args:
        slope: (M-1, K) change between two measurements, by time; NaN where it is not known.
        velocity: (M, K) measured.
        names: (K,)
    """
    mean = (velocity[1:] + velocity[:-1]) / 2
    moving = (np.abs(slope) > MOVES) & np.isfinite(slope)
    enough = moving.sum(axis=0) >= 10
    product = np.where(moving, np.sign(slope) * np.sign(mean), 0.0).sum(axis=0)
    return [names[i] for i in np.flatnonzero(enough & (product < 0))], enough


def _gains(heard: Heard, robot: RobotModel, what: str, node: str) -> Item:
    name = f'gains of the {what}'
    if not node:
        return Item(name, None, f'not checked (no {what} named)')
    if node not in heard.gains:
        return Item(name, False, f"node '{node}' does not answer")
    for key in ('stiffness', 'damping'):
        found, wanted = heard.gains[node][key], getattr(robot, key)
        if len(found) != len(wanted):
            return Item(name, False, f"'{node}' has {len(found)} values of '{key}' for {len(wanted)} joints")
        i = first_difference(found, wanted)
        if i is not None:
            return Item(name, None, f"{key} of '{robot.joint_names[i]}' is {found[i]:g}, the policy's {wanted[i]:g}; "
                                    'configuring the inference node sets it')
    return Item(name, True, "are the policy's")


def _connections(heard: Heard, robot: RobotModel, shield: str) -> list[Item]:
    controller = interface.controller_commands(robot.settings.topics).name
    publishers, listeners = heard.publishers.get(controller, []), heard.listeners.get(controller, [])
    others = [name for name in publishers if name.rpartition('/')[2] != shield]
    items = [Item('shield', bool(heard.shield_mode) and heard.shield_mode != 'LATCHED',
                  f'is {heard.shield_mode}' if heard.shield_mode else 'is not heard: start it first of all'),
             Item(f'publishers of {controller}', not others,
                  'only the shield' if publishers and not others else 'nobody yet' if not others else
                  f'{", ".join(others)} would go past the shield'),
             Item(f'listeners of {controller}', bool(listeners),
                  ', '.join(listeners) or 'nobody: no controller takes the commands'),
             Item('supervisor', True if heard.supervisor == 'WATCHING' else None,
                  f'is {heard.supervisor}' if heard.supervisor else 'is not heard: nobody notices if the shield fails')]
    policies = list(heard.publishers.get(interface.POLICY_COMMAND.name, []))
    if len(policies) > 1:
        items.append(Item('publishers of policy/command', False, f'{", ".join(policies)}: one policy at a time'))
    return items


def _nodes(infos: Sequence[Any]) -> list[str]:
    return sorted({f'{info.node_namespace.rstrip("/")}/{info.node_name}' for info in infos})


def _arrange(heard: Heard, robot: RobotModel, joints: Sequence[Any], imus: Sequence[Any]) -> None:
    heard.joint_names = [list(message.name) for message in joints]
    count = robot.num_joints
    heard.position, heard.velocity = np.full((2, len(joints), count), np.nan)
    heard.time = np.array([to_nanoseconds(message.header.stamp) * 1e-9 for message in joints])
    for row, message in enumerate(joints):
        place = {name: i for i, name in enumerate(message.name)}
        for j, name in enumerate(robot.joint_names):
            i = place.get(name)
            for values, data in ((heard.position, message.position), (heard.velocity, message.velocity)):
                if i is not None and i < len(data):
                    values[row, j] = data[i]
    heard.imu_time = np.array([to_nanoseconds(message.header.stamp) * 1e-9 for message in imus])
    heard.quaternion = _rows([m.orientation for m in imus], 'xyzw')
    heard.angular_velocity = _rows([m.angular_velocity for m in imus], 'xyz')
    heard.specific_force = _rows([m.linear_acceleration for m in imus], 'xyz')
    for message, row in zip(imus, heard.specific_force, strict=True):
        if message.linear_acceleration_covariance[0] == -1.0:  # sensor_msgs/Imu: it is not measured
            row[:] = np.nan


def _rows(messages: Sequence[Any], names: str) -> FloatArray:
    return np.array([[getattr(m, name) for name in names] for m in messages], dtype=float).reshape(-1, len(names))

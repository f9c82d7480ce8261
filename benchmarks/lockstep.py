"""Steps per second of the lock-step loop beside a bare ring of three processes.

The loop: this process → shield node → simulation node → this process, with a Unitree G1. The ring: three rclpy
processes pass the same messages around with the same executor and compute nothing. The time of the physics, measured in
memory, is taken out of the loop before the two are compared. The robot hangs from the gantry: one that has fallen would
measure the shield's handling of falls.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.backend import RosBackend
from rl_robot_control.ros.controllers import Aim, make_controller
from rl_robot_control.ros.conversions import CommandCodec, StateEncoder, to_time
from rl_robot_control.ros.lockstep import Instant
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.runtime import make_executor, run_node
from rl_robot_control.types import JointCommand

ROBOT = 'unitree_g1'
BLOCK, WARM_UP = 200, 20  # steps
PAUSE = 0.0015  # between two steps of the physics alone: in the loop, too, its caches are cold when its turn comes [s]


class RingNode(rclpy.node.Node):
    """One of the ring's two helpers: the bare simulation or the bare shield."""

    def __init__(self) -> None:
        super().__init__('ring')
        role = self.declare_parameter('role', '').value
        robot = load_robot(ROBOT)
        self.stamp = 1
        commands = interface.controller_commands(robot.settings.topics)
        if role == 'simulation':
            self.state = StateEncoder(robot)
            self.state.encode(MujocoBackend(robot).reset(robot.default_state(1), np.array([0])), to_time(1))
            self.topics = _state_publishers(self, self.state)
            commands.subscription(self, self._on_controller_command)
        else:
            self.message = make_controller(robot, 0.02).encode(Aim(position=robot.default_position, answers=1))
            self.publisher = commands.publisher(self)
            interface.JOINT_STATES.subscription(self, lambda _: None)
            interface.IMU.subscription(self, lambda _: None)
            interface.POLICY_COMMAND.subscription(self, lambda _: self.publisher.publish(self.message))

    def _on_controller_command(self, _: Any) -> None:
        self.stamp += 1
        stamp = to_time(self.stamp)
        for publisher, message in self.topics:
            message.header.stamp = stamp
            publisher.publish(message)


class Ring:
    """The third of the ring: sends a command and waits for the whole state."""

    pause = 0.0

    def __init__(self, robot: RobotModel, domain_id: int) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('environment', context=self._context, use_global_arguments=False)
        topics = _state_topics(robot)
        self._sensors = Instant(topic.name for topic in topics)
        self._subscriptions = [topic.subscription(self._node, self._sensors.receiver(topic.name)) for topic in topics]
        echo = interface.controller_commands(robot.settings.topics)
        self._subscriptions.append(echo.subscription(self._node, lambda _: None))
        self._publisher = interface.POLICY_COMMAND.publisher(self._node)
        self._message = CommandCodec(robot).encode(robot.default_position, to_time(1))
        self._executor = make_executor(self._context)
        self._executor.add_node(self._node)

    def connected(self) -> bool:
        """Whether everyone listens to everyone, as far as can be seen from here."""
        return self._publisher.get_subscription_count() > 0 and all(
            s.get_publisher_count() > 0 for s in self._subscriptions)

    def begin(self) -> None:
        """Nothing to do."""

    def turn(self) -> None:
        """Once around."""
        before = self._sensors.stamp
        self._publisher.publish(self._message)
        deadline = time.monotonic() + 10.0
        while self._sensors.stamp in (None, before):
            self._executor.spin_once(timeout_sec=0.1)
            if time.monotonic() > deadline:
                raise TimeoutError('the ring lost a message')

    def close(self) -> None:
        """Leave."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()


def _state_topics(robot: RobotModel) -> list[interface.Topic]:
    contacts = [interface.contact(name) for name in robot.frame_names if robot.settings.frames[name].contact]
    return [interface.IMU, interface.ODOM, *contacts, interface.JOINT_STATES]


def _state_publishers(node: Any, state: StateEncoder) -> list[tuple[Any, Any]]:
    pairs = [(interface.IMU, state.imu), (interface.ODOM, state.odom)]
    pairs += [(interface.contact(name), message) for name, message in state.contacts.items()]
    return [(topic.publisher(node), message) for topic, message in [*pairs, (interface.JOINT_STATES, state.joints)]]


class Loop:
    """A backend that is given the default pose again and again, with a pause [s] before each time."""

    def __init__(self, backend: Any, robot: RobotModel, pause: float = 0.0) -> None:
        self._backend, self._robot, self.pause = backend, robot, pause

    def begin(self) -> None:
        """Back to the default pose."""
        self._state = self._backend.reset(self._robot.default_state(1), np.array([0]))

    def turn(self) -> None:
        """One control period."""
        self._state = self._backend.step(JointCommand(stamp=self._state.time,
                                                      position=self._robot.default_position[None]))


def measure(blocks: int = 10) -> dict[str, Any]:
    """Compare the loop with the ring.

    Loop, ring and physics take turns block by block, so that whatever else the machine does meets all of them.

    Args:
        blocks: Of ``BLOCK`` steps each.

    Returns:
        ``measured`` (loop) and ``reference`` (ring) [steps/s], from medians, and the ``ratio`` of the loop's rate
        without physics to the ring's.
    """
    robot = load_robot(ROBOT)
    with ExitStack() as stack:
        physics = stack.enter_context(closing(MujocoBackend(robot, threads=1)))
        physics.hold_base(True)
        subjects = {'physics': Loop(physics, robot, pause=PAUSE), 'ring': _start_ring(stack, robot),
                    'loop': _start_loop(stack, robot)}
        durations: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(blocks):
            for name, subject in subjects.items():
                durations[name] += _time_block(subject)
    took = {name: float(np.median(values)) for name, values in durations.items()}
    loop, ring = took['loop'], took['ring']
    return {'name': 'lockstep', 'measured': 1 / loop, 'reference': 1 / ring,
            'ratio': ring / (loop - took['physics']), 'unit': 'steps/s; the ratio leaves out the physics',
            'loop_ms': 1e3 * loop, 'ring_ms': 1e3 * ring, 'physics_ms': 1e3 * took['physics'], 'steps': blocks * BLOCK}


def _start_loop(stack: ExitStack, robot: RobotModel) -> Loop:
    group = stack.enter_context(NodeGroup())
    group.start('simulation', {'robot': ROBOT, 'mode': 'lockstep', 'hold_until_command': True})
    group.start('shield', {'robot': ROBOT, 'mode': 'lockstep'})
    return Loop(stack.enter_context(closing(RosBackend(robot, domain_id=group.domain.id, watch=group.check))), robot)


def _start_ring(stack: ExitStack, robot: RobotModel) -> Ring:
    group = stack.enter_context(NodeGroup())
    folder = Path(__file__).resolve().parent
    search = os.pathsep.join(str(path) for path in (folder, folder.parent, os.environ.get('PYTHONPATH', '')) if path)
    for role in ('simulation', 'shield'):
        group.start(role, {'role': role}, module=Path(__file__).stem, environment={'PYTHONPATH': search})
    ring = stack.enter_context(closing(Ring(robot, group.domain.id)))
    group.wait_until(ring.connected, 'the ring is connected')
    time.sleep(1.0)  # its two helpers must have found each other, too, which is not seen from here
    return ring


def _time_block(subject: Any) -> list[float]:
    subject.begin()
    for _ in range(WARM_UP):
        subject.turn()
    durations = []
    for _ in range(BLOCK):
        if subject.pause:
            time.sleep(subject.pause)
        begin = time.perf_counter()
        subject.turn()
        durations.append(time.perf_counter() - begin)
    return durations


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--blocks', type=int, default=10, help=f'of {BLOCK} steps each')
    print(json.dumps(measure(parser.parse_args().blocks), indent=2))


if __name__ == '__main__':
    if '--ros-args' in sys.argv:  # one of the ring's helpers
        sys.exit(run_node(RingNode))
    main()

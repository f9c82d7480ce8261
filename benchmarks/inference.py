"""Latency of the inference node: from a state's publication to the arrival of the command that answers it.

This process is the robot: it publishes joint states and IMU of a Unitree G1 at the control rate and takes the time
until the command that bears the same stamp arrives. The reference is an rclpy node with the same executor that answers
every joint state with a command made in advance: what the middleware, the client library and this process take is in
both.
The policy is the bundled one; for other rates than its own, a copy that says that it was trained at them.

    python benchmarks/inference.py --rates 50 200 500 --seconds 20
    python benchmarks/inference.py --rates 50 --seconds 600   # ten minutes: are periods missed?
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState

from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.golden import replay_state
from rl_robot_control.policies.manifest import MANIFEST_KEY, manifest_to_json
from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import CommandCodec, StateEncoder, to_nanoseconds, to_time
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator
from rl_robot_control.ros.runtime import make_executor, run_node
from rl_robot_control.tasks.interface import PolicyInterface
from rl_robot_control.types import RobotState

POLICY = 'unitree_g1_walk'
SETTLING = 1.0  # left out of the measurement [s]


class EchoNode(rclpy.node.Node):
    """The reference: answers every joint state, as a node with nothing to do would."""

    def __init__(self) -> None:
        super().__init__('echo')
        robot = load_robot(read_policy(find_policy(POLICY)).manifest.robot)
        self._message = CommandCodec(robot).encode(robot.default_position, to_time(1))
        self._publisher = interface.POLICY_COMMAND.publisher(self)
        interface.IMU.subscription(self, lambda message: None, best_effort=True)
        interface.JOINT_STATES.subscription(self, self._on_state, best_effort=True)

    def _on_state(self, message: JointState) -> None:
        self._message.header.stamp = message.header.stamp
        self._publisher.publish(self._message)


class Robot:
    """Publishes states on time and notes when their answers come.

    Args:
        domain_id: Of the graph.
        rate: Of the states [Hz].
    """

    def __init__(self, domain_id: int, rate: float) -> None:
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('robot', context=self._context, use_global_arguments=False)
        self._executor = make_executor(self._context)
        self._executor.add_node(self._node)
        robot = load_robot(read_policy(find_policy(POLICY)).manifest.robot)
        state, self._period = RobotState.unknown(1, robot.num_joints, len(robot.frame_names)), 1.0 / rate
        values = {name: np.zeros_like(value) for name, value in vars(state).items()} | {
            'joint_position': robot.default_position[None].copy(), 'base_quaternion': np.array([[0.0, 0.0, 0.0, 1.0]])}
        self._state, self._encoder = RobotState(**values), StateEncoder(robot)
        self._imu, self._joints = interface.IMU.publisher(self._node), interface.JOINT_STATES.publisher(self._node)
        interface.POLICY_COMMAND.subscription(self._node, self._on_command)
        self._due, self.late = time.monotonic(), 0  # of the next state [s]; how many came half a period late or more
        self.sent: dict[int, float] = {}  # stamp [ns] → time of publication [s]
        self.answered: dict[int, float] = {}  # stamp → arrival of the command [s]

    def drive(self, condition: Callable[[], bool]) -> None:
        """Publish states until a condition holds."""
        while not condition():
            while (rest := self._due - time.monotonic()) > 0:
                self._executor.spin_once(timeout_sec=rest)
            late = time.monotonic() - self._due
            self.late += late > 0.5 * self._period
            self._due += self._period if late < self._period else late + self._period  # nothing is made up for
            stamp = time.time_ns()
            self._encoder.encode(self._state, to_time(stamp))
            self._imu.publish(self._encoder.imu)
            self.sent[stamp] = time.monotonic()
            self._joints.publish(self._encoder.joints)

    def close(self) -> None:
        """Leave."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_command(self, message: JointState) -> None:
        self.answered.setdefault(to_nanoseconds(message.header.stamp), time.monotonic())


def measure(rates: tuple[float, ...] = (50.0, 200.0, 500.0), seconds: float = 10.0) -> dict[str, Any]:
    """Latencies at some rates.

    Returns:
        For each rate the ``median`` and ``p99`` of the inference node and of the echo, what the first is ``over`` the
        second at the 99th percentile [µs], how many states were ``missed``, the ``longest`` time between two answers
        [periods], and how many states this process itself sent ``late``. ``measured`` and
        ``reference`` are the p99 at the first rate, and ``ratio`` theirs.
    """
    result: dict[str, Any] = {}
    for rate in rates:
        own, echo = _run(rate, seconds, inference=True), _run(rate, seconds, inference=False)
        key = f'{rate:g} Hz'
        result |= {f'{key}, median [µs]': own['median'], f'{key}, p99 [µs]': own['p99'],
                   f'{key}, echo median [µs]': echo['median'], f'{key}, echo p99 [µs]': echo['p99'],
                   f'{key}, p99 over the echo [µs]': own['p99'] - echo['p99'],
                   f'{key}, states not answered': f"{own['missed']} of {own['count']}",
                   f'{key}, longest between two answers [periods]': own['longest'],
                   f'{key}, states that this process sent late': own['late']}
    first = f'{rates[0]:g} Hz'
    measured, reference = result[f'{first}, p99 [µs]'], result[f'{first}, echo p99 [µs]']
    return {'measured': measured, 'reference': reference, 'ratio': measured / reference, 'unit': 'µs'} | result


def _run(rate: float, seconds: float, inference: bool) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix='rl_robot_control_latency_'))
    with NodeGroup(folder / 'logs') as group:
        if inference:
            group.start('inference', {'policy': str(_policy(rate, folder)), 'shield': '', 'driver': ''})
        else:
            search = os.pathsep.join([str(Path(__file__).resolve().parent), os.environ.get('PYTHONPATH', '')])
            group.start('echo', {}, module=Path(__file__).stem, environment={'PYTHONPATH': search})
        robot = Robot(group.domain.id, rate)
        try:
            if inference:
                _activate(group, robot)
            robot.drive(lambda: len(robot.answered) > 10)
            end = time.monotonic() + SETTLING
            robot.drive(lambda: time.monotonic() > end)
            first, end = len(robot.sent), time.monotonic() + seconds
            robot.drive(lambda: time.monotonic() > end)
            last = len(robot.sent)
            end = time.monotonic() + 0.1
            robot.drive(lambda: time.monotonic() > end)
        finally:
            robot.close()
    stamps = list(robot.sent)[first:last]
    answered = [stamp for stamp in stamps if stamp in robot.answered]
    sent, arrivals = (np.array([times[stamp] for stamp in answered]) for times in (robot.sent, robot.answered))
    taken = (arrivals - sent) * 1e6
    return {'median': float(np.median(taken)), 'p99': float(np.percentile(taken, 99)), 'count': len(stamps),
            'missed': len(stamps) - len(taken), 'longest': float(np.diff(arrivals).max()) * rate, 'late': robot.late}


def _activate(group: NodeGroup, robot: Robot) -> None:
    """Bring the node up beside a robot that goes on publishing, and wait until its policy runs."""
    done, failure = threading.Event(), []

    def bring_up() -> None:
        try:
            with Operator(group.domain.id, watch=group.check) as operator:
                if not operator.change_state('inference', 'configure', 60.0):
                    raise RuntimeError(group.nodes['inference'].last_words())
                operator.wait_until(lambda: operator.value('inference', 'robot heard') == 'yes', 'it hears', 30.0)
                if not operator.change_state('inference', 'activate', 30.0):
                    raise RuntimeError(group.nodes['inference'].last_words())
                operator.wait_until(lambda: operator.value('inference', 'phase') == 'running', 'it runs', 30.0)
        except Exception as error:  # told by the thread that waits
            failure.append(error)
        done.set()

    thread = threading.Thread(target=bring_up)
    thread.start()
    robot.drive(done.is_set)
    thread.join()
    if failure:
        raise failure[0]


def _policy(rate: float, folder: Path) -> Path:
    """The bundled policy, or a copy of it that says another rate."""
    path = find_policy(POLICY)
    manifest = read_policy(path).manifest
    if rate * manifest.control_period == 1.0:
        return path
    model = onnx.load(str(path))
    interface_settings = dataclasses.replace(manifest.interface, control_period=1.0 / rate)
    observer = PolicyInterface(interface_settings, load_robot(manifest.robot), 1)  # commands slew by less in a period
    frames = manifest.golden.frame_names
    states = [dataclasses.replace(golden, observation=replay_state(golden, observer, frames).tolist())
              for golden in manifest.golden.states]
    entry = next(entry for entry in model.metadata_props if entry.key == MANIFEST_KEY)
    entry.value = manifest_to_json(dataclasses.replace(
        manifest, interface=interface_settings, golden=dataclasses.replace(manifest.golden, states=states)))
    onnx.save(model, str(folder / 'policy.onnx'))
    return folder / 'policy.onnx'


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rates', type=float, nargs='+', default=[50.0, 200.0, 500.0], help='[Hz]')
    parser.add_argument('--seconds', type=float, default=20.0, help='of each measurement')
    arguments = parser.parse_args()
    print(json.dumps(measure(tuple(arguments.rates), arguments.seconds), indent=2, ensure_ascii=False))


if __name__ == '__main__':
    if '--ros-args' in sys.argv:
        sys.exit(run_node(EchoNode))
    main()

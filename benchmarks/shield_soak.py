"""Memory of the shield node over a long time at 200 Hz.

The shield of a Unitree G1 is a process of its own, with everything in force; this process is the robot and the policy.
The policy swings the arms, a command in a hundred is far beyond the limits, one in a thousand holds NaN, and once a
minute the robot is lost for a moment, so that the shield brakes, damps and follows again. Where it latches (a busy
machine holds it up for longer than an overrun may last), it is re-armed and counted. Every ten seconds a line with the
resident memory, the threads and the open files of the shield goes to the file given, so that a kill loses nothing.

    python benchmarks/shield_soak.py --minutes 60 --out soak.csv
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rl_robot_control.errors import BackendError
from rl_robot_control.robots import load_robot
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import CommandCodec, StateEncoder, to_time
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator
from rl_robot_control.types import RobotState

ROBOT, PERIOD = 'unitree_g1', 0.005
SAMPLE_PERIOD = 10.0  # [s]
SETTLED = 0.1  # of the run, after which memory counts
COLUMNS = ('seconds', 'resident_kib', 'threads', 'files', 'commands', 'targets', 'rearmed')


class Soak:
    """The robot and its policy.

    Args:
        operator: The participant to publish by.
        seed: Source of the randomness.
    """

    def __init__(self, operator: Operator, seed: int = 0) -> None:
        node, self._robot = operator.node, load_robot(ROBOT)
        self._rng, self._arms = np.random.default_rng(seed), self._robot.joint_indices(['.*_(shoulder|elbow|wrist)_.*'])
        self._encoder, self._codec = StateEncoder(self._robot), CommandCodec(self._robot)
        self._joints, self._imu = interface.JOINT_STATES.publisher(node), interface.IMU.publisher(node)
        self._policy = interface.POLICY_COMMAND.publisher(node)
        self.commands = self.targets = self.rearmed = 0
        self._ticks, self._lost = 0, 0
        interface.controller_commands(self._robot.settings.topics).subscription(node, self._on_target)
        node.create_timer(PERIOD, self._tick)
        self._operator = operator

    def listen(self, seconds: float, show: Callable[[str], None]) -> None:
        """Let time pass; re-arm a latched shield."""
        end, operator = time.monotonic() + seconds, self._operator
        while time.monotonic() < end:
            operator.wait_until(lambda: operator.value('shield', 'mode') == 'LATCHED' or time.monotonic() > end,
                                'time passes', seconds + 60.0)
            if operator.value('shield', 'mode') == 'LATCHED':
                show(f'latched: {operator.value("shield", "reason")}')
                operator.forget('shield')
                with contextlib.suppress(BackendError):  # not at rest yet: the next round asks again
                    operator.trigger(interface.REARM)
                    self.rearmed += 1
                operator.wait_until(lambda: operator.status('shield') is not None, 'the shield reports', 60.0)

    def _on_target(self, _: object) -> None:
        self.targets += 1

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks % round(60.0 / PERIOD) == 0:
            self._lost = round(0.7 / PERIOD)
        if self._lost:
            self._lost -= 1
            return
        stamp, robot, rng = to_time(time.time_ns()), self._robot, self._rng
        pose = robot.default_position.copy()
        pose[self._arms] += 0.2 * np.sin(2.0 * np.pi * 0.5 * self._ticks * PERIOD)
        state = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
        state.joint_position[:], state.joint_velocity[:], state.base_quaternion[:] = pose, 0.0, [0.0, 0.0, 0.0, 1.0]
        state.base_angular_velocity[:] = 0.0
        self._encoder.encode(state, stamp)
        self._imu.publish(self._encoder.imu)
        self._joints.publish(self._encoder.joints)
        if rng.random() < 0.01:
            pose += rng.normal(0.0, 3.0, len(pose))
        if rng.random() < 0.001:
            pose[rng.integers(len(pose))] = np.nan
        self._policy.publish(self._codec.encode(pose, stamp))
        self.commands += 1


def measure(minutes: float, out: Path, show=lambda text: None) -> dict:
    """Run, and tell how the memory changed once it had settled.

    Args:
        minutes: How long.
        out: File for the samples.
        show: Called with a line per sample.
    """
    rows = []
    with NodeGroup(Path(tempfile.mkdtemp(prefix='rl_robot_control_soak_'))) as group:
        shield = group.start('shield', {'robot': ROBOT, 'control_period': PERIOD})
        with Operator(group.domain.id, watch=group.check) as operator:
            soak = Soak(operator)
            operator.wait_until(lambda: operator.value('shield', 'mode') == 'ACTIVE', 'the shield follows', 60.0)
            begin, soak.commands, soak.targets = time.monotonic(), 0, 0
            with out.open('w') as file:
                print(','.join(COLUMNS), file=file, flush=True)
                while (elapsed := time.monotonic() - begin) < 60.0 * minutes:
                    rows.append((round(elapsed, 1), *_process(shield.pid), soak.commands, soak.targets, soak.rearmed))
                    print(','.join(map(str, rows[-1])), file=file, flush=True)
                    show(f'{elapsed / 60:.1f} min: {rows[-1][1]} KiB, shield {operator.value("shield", "mode")}')
                    soak.listen(min(SAMPLE_PERIOD, 60.0 * minutes / 10), show)
    return summary(np.array(rows, dtype=float))


def summary(rows: np.ndarray) -> dict:
    """Growth of the memory by a straight line through the samples (S, COLUMNS) after the first tenth."""
    rows = rows[rows[:, 0] >= SETTLED * rows[-1, 0]]
    seconds, memory = rows[:, 0], rows[:, 1]
    slope = np.polyfit(seconds, memory, 1)[0] if len(rows) > 1 else 0.0
    return {'minutes': rows[-1, 0] / 60, 'first_kib': memory[0], 'last_kib': memory[-1], 'largest_kib': memory.max(),
            'growth_kib_per_hour': 3600.0 * slope, 'commands': int(rows[-1, 4]), 'targets': int(rows[-1, 5]),
            'rearmed': int(rows[-1, 6]),
            'commands_per_second': (rows[-1, 4] - rows[0, 4]) / max(seconds[-1] - seconds[0], 1e-9),
            'threads': sorted({int(n) for n in rows[:, 2]}), 'files': sorted({int(n) for n in rows[:, 3]})}


def _process(pid: int) -> tuple[int, int, int]:
    """Resident memory [KiB], threads and open files of a process."""
    lines = dict(line.split(':', 1) for line in Path(f'/proc/{pid}/status').read_text().splitlines())
    return int(lines['VmRSS'].split()[0]), int(lines['Threads']), len(list(Path(f'/proc/{pid}/fd').iterdir()))


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=60.0)
    parser.add_argument('--out', type=Path, default=Path('shield_soak.csv'), help='file for the samples')
    arguments = parser.parse_args()
    result = measure(arguments.minutes, arguments.out, lambda text: print(text, file=sys.stderr, flush=True))
    print(json.dumps(result, indent=2))


if __name__ == '__main__':
    main()

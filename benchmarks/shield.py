"""Time of one shield cycle for the Unitree G1's 29 joints, beside a bare ``np.clip`` of the same command.

Prints one JSON object: medians in microseconds, and the same for 64 and 4096 robots at once. The commands walk about
the default pose so that about one joint in a hundred needs correcting, as under a trained policy.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time

import numpy as np

from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.shield import Shield, ShieldLimits
from rl_robot_control.types import JointCommand, RobotState

PERIOD = 0.02  # [s]


def measure(cycles: int = 400) -> dict:
    """Run the benchmark.

    Args:
        cycles: Per batch size; the largest batch runs a tenth.
    """
    robot = load_robot('unitree_g1')
    batches = {n: _measure(robot, n, cycles if n < 1000 else max(cycles // 10, 3)) for n in (1, 64, 4096)}
    single = batches[1]
    return {'name': 'shield', 'measured': single['measured'], 'reference': single['reference'],
            'ratio': single['measured'] / single['reference'],
            'unit': 'µs per cycle of one 29-joint robot (median); reference: np.clip of the same command',
            'corrected_share': single['corrected_share'],
            'batches': {str(n): result | {'unit': 'µs per cycle of the whole batch (median)'}
                        for n, result in batches.items()}}


def _measure(robot: RobotModel, robots: int, cycles: int) -> dict:
    limits, rng = ShieldLimits.from_robot(robot), np.random.default_rng(1)
    shield = Shield(limits, PERIOD, robots)
    position = np.tile(robot.default_position, (robots, 1))
    still = _standing(robot, position)
    shield.reset(still)
    # [rad]; the change of motion has 2.4 times this spread, so a draw in a hundred exceeds the acceleration bound
    step = 0.15 * np.minimum(limits.acceleration * PERIOD**2, 1.0)
    shielded, clipped, corrected = [], [], []
    for cycle in range(1, cycles + 1):
        now = np.full(robots, cycle * PERIOD)
        state = dataclasses.replace(still, time=now)
        command = JointCommand(stamp=now, position=position + step * rng.normal(size=position.shape))
        begin = time.perf_counter()
        output = shield.step(state, command, now=cycle * PERIOD)
        middle = time.perf_counter()
        np.clip(command.position, limits.position_lower, limits.position_upper)
        clipped.append(time.perf_counter() - middle)
        shielded.append(middle - begin)
        corrected.append(np.mean(output.correction != 0))
    microseconds = {'measured': 1e6 * statistics.median(shielded), 'reference': 1e6 * statistics.median(clipped)}
    return microseconds | {'corrected_share': float(np.mean(corrected))}


def _standing(robot: RobotModel, position: np.ndarray) -> RobotState:
    """Robots that stand still with their weight on all contact frames."""
    robots, base = len(position), np.array([0.0, 0.0, robot.settings.base.height])
    weight = 9.81 * robot.mass
    return dataclasses.replace(
        RobotState.unknown(robots, robot.num_joints, len(robot.frame_names)), time=np.zeros(robots),
        joint_position=position, joint_velocity=np.zeros_like(position), base_position=np.tile(base, (robots, 1)),
        base_quaternion=np.tile([0.0, 0.0, 0.0, 1.0], (robots, 1)), base_angular_velocity=np.zeros((robots, 3)),
        contact_force=np.full((robots, len(robot.frame_names)), weight / max(1, len(robot.frame_names))))


if __name__ == '__main__':
    print(json.dumps(measure(), indent=2, ensure_ascii=False))

"""Time of the shield per command: one Unitree G1, thousands of them, and with links near each other.

``measured`` is the median for one G1 with limits, body checks and its measured stops, in a walk about the default pose
that needs correcting in about one joint of a hundred, beside a bare ``np.clip`` of the same command. ``with_distances``
is the same with the distances of all the pairs in the robot's YAML. ``self_collision`` is what 20 of these pairs add
while the arms are driven against the body in MuJoCo, where the distances must be looked at and the commands changed.
``batches`` holds batches, and their share of the time that MuJoCo takes for one control period of as many robots, with
two threads.

    python benchmarks/shield.py
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time

import numpy as np

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.mujoco_model import FLOOR
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.shield import Shield, ShieldLimits, make_shield
from rl_robot_control.shield.clearance import make_clearance
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.types import JointCommand, RobotState

PERIOD = 0.02  # [s]
BATCH = 4096
PHYSICS_STEPS = 3
# As the walk is learned in: config/tasks/walk.yaml.
TRAINING = PhysicsSettings(timestep=0.01, collisions='feet', solver_iterations=3,
                           welded_joints=['.*_(shoulder|elbow|wrist)_.*', '.*_elbow_joint'])
PAIRS = [('(left|right)_(elbow|wrist_roll|wrist_pitch|wrist_yaw)_link', 'torso_link|pelvis'),  # 16
         ('left_(elbow|wrist_roll|wrist_pitch|wrist_yaw)_link', 'right_wrist_yaw_link')]  # and 4


def measure(cycles: int = 400) -> dict:
    """Run the benchmark.

    Args:
        cycles: Of one robot; a batch of thousands runs a tenth.
    """
    robot = load_robot('unitree_g1')
    single = _walk(robot, make_shield(robot, PERIOD, distances=False), cycles)
    bare = _walk(robot, Shield(ShieldLimits.from_robot(robot), PERIOD), cycles)
    distances = _walk(robot, make_shield(robot, PERIOD), cycles)
    return {'name': 'shield', **single, 'ratio': single['measured'] / single['reference'],
            'unit': 'µs per command of one 29-joint robot (median); reference: np.clip of the same command',
            'without_stops': bare['measured'], 'with_distances': distances['measured'],
            'self_collision': _crowded(robot, cycles),
            'batches': {str(n): _batch(robot, n, cycles) for n in (64, BATCH)}}


def _walk(robot: RobotModel, shield: Shield, cycles: int) -> dict:
    rng, robots, limits = np.random.default_rng(1), shield.num_robots, shield.limits
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
    return {'measured': 1e6 * statistics.median(shielded), 'reference': 1e6 * statistics.median(clipped),
            'corrected_share': float(np.mean(corrected))}


def _standing(robot: RobotModel, position: np.ndarray) -> RobotState:
    """Robots that stand still with their weight on all contact frames."""
    robots, base = len(position), np.array([0.0, 0.0, robot.settings.base.height])
    weight = 9.81 * robot.mass
    return dataclasses.replace(
        RobotState.unknown(robots, robot.num_joints, len(robot.frame_names)), time=np.zeros(robots),
        joint_position=position, joint_velocity=np.zeros_like(position), base_position=np.tile(base, (robots, 1)),
        base_quaternion=np.tile([0.0, 0.0, 0.0, 1.0], (robots, 1)), base_angular_velocity=np.zeros((robots, 3)),
        contact_force=np.full((robots, len(robot.frame_names)), weight / max(1, len(robot.frame_names))))


def _crowded(robot: RobotModel, cycles: int) -> dict:
    """One G1 on a gantry whose arms are sent to random poses, with 20 pairs of links to keep apart."""
    rules = dataclasses.replace(robot.settings.self_collision, pairs=PAIRS, exclude=[])
    robot = dataclasses.replace(robot, settings=dataclasses.replace(robot.settings, self_collision=rules))
    backend, state = _hanging(robot)
    limits = dataclasses.replace(ShieldLimits.from_robot(robot), height=None, unloaded=None)  # it hangs
    shield, plain = (make_shield(robot, PERIOD, limits=limits, distances=distances) for distances in (True, False))
    shield.reset(state), plain.reset(state)
    rng, joints = np.random.default_rng(1), robot.joint_indices(rules.joints)
    taken, without, acted, target = [], [], [], robot.default_position.copy()
    for cycle in range(cycles):
        if cycle % 20 == 0:
            target[joints] = rng.uniform(robot.position_lower, robot.position_upper)[joints]
        command, now = JointCommand(stamp=state.time, position=target[None]), float(state.time[0])
        begin = time.perf_counter()
        output = shield.step(state, command, now=now)
        middle = time.perf_counter()
        plain.step(state, command, now=now)
        without.append(time.perf_counter() - middle)
        taken.append(middle - begin)
        acted.append(bool(output.constraints))
        state = backend.step(output.command)
    backend.close()
    acting = [t for t, act in zip(taken, acted) if act]
    return {'pairs': len(make_clearance(robot, LinkTree(robot)).names),
            'measured': 1e6 * statistics.median(a - b for a, b in zip(taken, without)),
            'whole_command': 1e6 * statistics.median(taken), 'without': 1e6 * statistics.median(without),
            'while_acting': 1e6 * statistics.median(acting) if acting else None,
            'acted_share': float(np.mean(acted)), 'unit': 'µs per command (medians); measured: what the distances add'}


def _hanging(robot: RobotModel) -> tuple[MujocoBackend, RobotState]:
    backend, start = MujocoBackend(robot, 1, PERIOD, PhysicsSettings(timestep=0.002)), robot.default_state(1)
    backend.model.geom(FLOOR).contype = backend.model.geom(FLOOR).conaffinity = 0
    state = backend.reset(dataclasses.replace(start, base_position=start.base_position + np.array([0.0, 0.0, 0.4])),
                          np.zeros(1, dtype=int))
    backend.hold_base(True)
    return backend, state


def _batch(robot: RobotModel, robots: int, cycles: int) -> dict:
    few = cycles if robots < 1000 else max(cycles // 10, 3)
    shield = _walk(robot, make_shield(robot, PERIOD, robots, distances=False), few)
    bare = _walk(robot, Shield(ShieldLimits.from_robot(robot), PERIOD, robots), few)
    result = shield | {'without_stops': bare['measured'], 'unit': 'µs per command of the whole batch (median)'}
    for name, settings in (('full', PhysicsSettings()), ('training', TRAINING)):
        physics = _physics(robot, robots, settings)
        result[f'{name}_physics'] = physics
        result[f'share_of_{name}_physics'] = shield['measured'] / physics
    return result


def _physics(robot: RobotModel, robots: int, settings: PhysicsSettings) -> float:
    """What MuJoCo takes for one control period of standing robots [µs]."""
    backend = MujocoBackend(robot, robots, PERIOD, settings, threads=2)
    state = backend.reset(robot.default_state(robots), np.arange(robots))
    command = JointCommand(stamp=state.time, position=np.tile(robot.default_position, (robots, 1)))
    taken = []
    for _ in range(PHYSICS_STEPS):
        begin = time.perf_counter()
        backend.step(command)
        taken.append(time.perf_counter() - begin)
    backend.close()
    return 1e6 * statistics.median(taken)


if __name__ == '__main__':
    print(json.dumps(measure(), indent=2, ensure_ascii=False))

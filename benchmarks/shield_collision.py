"""Self-collision in MuJoCo: hostile commands through the shield with its geometry and without, and what that costs.

Each adversary drives a robot of its own: the G1's arms and waist while it hangs from a gantry, and the Panda arm. Both sides
have the shield's other limits. Printed is the least distance between two *measured* links of the robot's pairs at the end of
any control period; below zero their convex hulls overlap. MuJoCo's contacts push such links apart again, so "without" shows
how deep the commands press them in against that, and for how long.

    python benchmarks/shield_collision.py --minutes 10 --json collision.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.shield import Shield, ShieldLimits
from rl_robot_control.shield.geometry import GeometryFilter, make_geometry
from rl_robot_control.types import FloatArray, JointCommand, RobotState

PERIOD = 0.02  # [s]
CLEARANCE = 0.4  # of the gantry's base above standing: the feet hang free [m]
PHYSICS = PhysicsSettings(timestep=0.002)
ADVERSARIES = ('random', 'poses', 'bang-bang', 'closing')
SIGHT = 0.05  # greater distances need not be known [m]
TWENTY = {'unitree_g1': [
    ['(left|right)_(elbow|wrist_(roll|yaw))_link', 'torso_link'], ['(left|right)_wrist_(roll|yaw)_link', 'pelvis'],
    ['left_wrist_(roll|yaw)_link', 'left_hip_(roll|yaw)_link'], ['right_wrist_(roll|yaw)_link', 'right_hip_(roll|yaw)_link'],
    ['left_wrist_yaw_link', 'right_wrist_yaw_link'], ['left_elbow_link', 'right_elbow_link']]}


class Adversary:
    """Commands of all adversaries, one per robot, for the joints that the filter may correct; the others hold still.

    - random: a new target anywhere in the range in every period.
    - poses: a new one now and then, so that the joints get there.
    - bang-bang: one end of the range or the other, with switches at random times.
    - closing: along the gradient that brings two links together fastest, another pair every second.

    Args:
        robot: The robot.
        geometry: Tells distances, and which joints matter.
        seed: Source of the randomness.
    """

    def __init__(self, robot: RobotModel, geometry: GeometryFilter, seed: int) -> None:
        self._rng, self._clearance, self._rest = np.random.default_rng(seed), geometry.clearance, robot.default_position
        self._joints = geometry.joints
        self._lower, self._upper = robot.position_lower[self._joints], robot.position_upper[self._joints]
        self._pose = self._rest[self._joints]
        self._sides, self._until = np.ones(len(self._joints)), np.zeros(len(self._joints), dtype=int)
        self._pair, self._step = 0, 0

    def command(self, state: RobotState) -> FloatArray:
        """Targets (N, J) [rad] for N adversaries."""
        rng, joints = self._rng, self._joints
        self._step += 1
        if self._step % 40 == 1:
            self._pose = rng.uniform(self._lower, self._upper)
        over = self._step >= self._until
        self._sides[over] *= -1
        self._until[over] = self._step + rng.integers(10, 100, size=int(over.sum()))
        if self._step % 50 == 1:
            self._pair = int(rng.integers(len(self._clearance.names)))
        target = np.tile(self._rest, (len(ADVERSARIES), 1))
        target[0, joints] = rng.uniform(self._lower, self._upper)
        target[1, joints] = self._pose
        target[2, joints] = np.where(self._sides > 0, self._upper, self._lower)
        target[3, joints] = state.joint_position[3, joints] - 2.0 * np.sign(self._gradient(state.joint_position[3]))
        return target

    def _gradient(self, pose: FloatArray) -> FloatArray:
        distance = self._clearance.measure(pose, np.full(len(self._clearance.names), np.inf))
        return self._clearance.gradient(self._pair, float(distance[self._pair]))[self._joints]


def closed_loop(robot_name: str, seconds: float, filtered: bool, seed: int = 0) -> dict:
    """Run all adversaries for some simulated time.

    Args:
        robot_name: Name of a robot.
        seconds: Simulated time of each [s].
        filtered: Whether the shield knows the geometry.
        seed: Source of the randomness.

    Returns:
        ``adversaries``: name → ``least`` [m] (of the measured distances; at most ``SIGHT``), ``pair``, ``overlapping`` (share
        of the periods in which links overlap), and with the filter ``acted``, ``braked`` (shares of the commands),
        ``reference`` [m] (least distance less its minimum, between links where the references and the measured other
        joints are). ``microseconds``: median and 99th percentile of what the filter takes per command.
    """
    robot, adversaries = load_robot(robot_name), len(ADVERSARIES)
    backend = MujocoBackend(robot, adversaries, PERIOD, PHYSICS)
    start = robot.default_state(adversaries)
    if robot.floating:
        start = dataclasses.replace(start, base_position=start.base_position + np.array([0.0, 0.0, CLEARANCE]))
    state = backend.reset(start, np.arange(adversaries))
    backend.hold_base(True)
    limits = dataclasses.replace(ShieldLimits.from_robot(robot), height=None, unloaded=None)  # it hangs
    filters = [Timed(make_geometry(robot, PERIOD)) for _ in range(adversaries)]
    shields = [Shield(limits, PERIOD, geometry=f if filtered else None) for f in filters]
    for i, shield in enumerate(shields):
        shield.reset(state.select([i]))
    geometry = make_geometry(robot, PERIOD)
    adversary, ruler = Adversary(robot, geometry, seed), geometry.clearance
    least, overlapping = np.full((adversaries, len(ruler.names)), np.inf), np.zeros(adversaries)
    reference, acted = np.full(adversaries, np.inf), np.zeros(adversaries)
    steps, sight = round(seconds / PERIOD), np.full(len(ruler.names), SIGHT)
    for _ in range(steps):
        wanted, position = adversary.command(state), np.empty_like(state.joint_position)
        for i, shield in enumerate(shields):
            one = state.select([i])
            output = shield.step(one, JointCommand(stamp=one.time, position=wanted[i:i + 1]), now=float(one.time[0]))
            position[i] = output.command.position[0]
            if filtered:
                acted[i] += bool(filters[i].inner.acted[0])
                pose = one.joint_position[0].copy()
                pose[geometry.joints] = position[i, geometry.joints]
                reference[i] = min(reference[i], float((ruler.measure(pose, sight) - ruler.minimum).min()))
        state = backend.step(JointCommand(stamp=state.time, position=position))
        for i in range(adversaries):
            distance = np.minimum(ruler.measure(state.joint_position[i], sight), SIGHT)
            overlapping[i] += distance.min() <= 0
            np.minimum(least[i], distance, out=least[i])
    backend.close()
    extra = [{'acted': acted[i] / steps, 'braked': int(filters[i].inner.held[0]) / steps, 'reference': reference[i]}
             if filtered else {} for i in range(adversaries)]
    result = {'adversaries': {name: {
        'least': float(least[i].min()), 'pair': ruler.names[int(least[i].argmin())],
        'overlapping': overlapping[i] / steps} | extra[i] for i, name in enumerate(ADVERSARIES)}}
    if filtered:
        taken = np.concatenate([f.seconds for f in filters])
        result['microseconds'] = {'median': 1e6 * float(np.median(taken)), 'p99': 1e6 * float(np.percentile(taken, 99))}
    return result


class Timed:
    """Notes how long a filter takes."""

    def __init__(self, inner: GeometryFilter) -> None:
        self.inner, self.seconds = inner, []

    def filter(self, *arguments) -> tuple:
        """See ``GeometryFilter``."""
        begin = time.perf_counter()
        result = self.inner.filter(*arguments)
        self.seconds.append(time.perf_counter() - begin)
        return result


def table(found: dict[str, dict[str, dict]]) -> list[str]:
    """Robot → with or without → result, as lines of a Markdown table, side by side."""
    lines = ['| robot | adversary | least measured distance without | overlapping without | least with | overlapping with '
             '| acted | braked |', '|---|---|---|---|---|---|---|---|']
    for robot, sides in found.items():
        for name in ADVERSARIES:
            bare, kept = sides['without']['adversaries'][name], sides['with']['adversaries'][name]
            lines.append(f"| {robot} | {name} | {1e3 * bare['least']:+.1f} mm ({bare['pair']}) | "
                         f"{bare['overlapping']:.1%} | {1e3 * kept['least']:+.1f} mm ({kept['pair']}) | "
                         f"{kept['overlapping']:.1%} | {kept['acted']:.1%} | {kept['braked']:.1%} |")
    return lines


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=10.0, help='simulated time of each adversary')
    parser.add_argument('--robots', nargs='*', default=['unitree_g1', 'panda'])
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, help='file for the numbers')
    arguments = parser.parse_args()
    found = {robot: {side: closed_loop(robot, 60 * arguments.minutes, side == 'with', arguments.seed)
                     for side in ('without', 'with')} for robot in arguments.robots}
    print('\n'.join(table(found)))
    for robot, sides in found.items():
        print(f"{robot}: {sides['with']['microseconds']}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    worst = min(result['least'] for sides in found.values() for result in sides['with']['adversaries'].values())
    sys.exit(worst <= 0)


if __name__ == '__main__':
    main()

"""Adversarial policies against the measured joints, in MuJoCo, with the shield and without it.

Each adversary drives a robot of its own: the G1 on a gantry and the Panda arm. The commands are the same ones on both
sides as far as they do not depend on the state. Without the shield, values that are not finite are skipped and the last
target is held, as ros2_control's forward controllers do. Printed is how far a *measured* joint was beyond its URDF limit at
the end of any control period, and how fast it was against the URDF's velocity.

    python benchmarks/shield_closed_loop.py --minutes 10
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.shield import Shield, ShieldLimits, ShieldMode
from rl_robot_control.types import FloatArray, JointCommand, RobotState

PERIOD = 0.02  # [s]
CLEARANCE = 0.4  # of the gantry's base above standing: the feet hang free [m]
PHYSICS = PhysicsSettings(timestep=0.002, collisions='feet')  # the feet hang free, so nothing touches anything
ADVERSARIES = ('random', 'bang-bang', 'gradient', 'pumping', 'NaN bursts')


class Adversary:
    """Commands of all adversaries, one per robot, each bent on breaking a joint's limits.

    - random: a new target from twice each joint's range in every period.
    - bang-bang: far beyond one end of the range, then the other, with switches at random times.
    - gradient: from where the joint is, further and further toward the nearer limit; now and then toward the other.
    - pumping: bang-bang in the direction in which the joint moves already, so that it swings up.
    - NaN bursts: random targets between bursts of up to 14 messages with NaN and infinity.

    Args:
        robot: The robot.
        seed: Source of the randomness.
    """

    def __init__(self, robot: RobotModel, seed: int) -> None:
        self._rng, shape = np.random.default_rng(seed), (len(ADVERSARIES), robot.num_joints)
        self._lower, self._upper = robot.position_lower, robot.position_upper
        self._middle, self._span = (self._lower + self._upper) / 2, self._upper - self._lower
        self._sides, self._until, self._burst = np.ones(shape), np.zeros(shape, dtype=int), 0
        self._push = np.zeros(robot.num_joints)
        self._step = 0

    def command(self, state: RobotState) -> FloatArray:
        """Targets (N, J) [rad] for N adversaries."""
        rng, q, v = self._rng, state.joint_position, state.joint_velocity
        self._step += 1
        over = self._step >= self._until
        self._sides[over] *= -1
        self._until[over] = self._step + rng.integers(1, 60, size=int(over.sum()))
        target = self._middle + self._span * rng.uniform(-1, 1, q.shape)
        target[1] = self._middle + self._sides[1] * self._span
        self._push = np.where(over[2], 0.0, self._push + 0.05)
        nearer = np.where(q[2] > self._middle, 1.0, -1.0) * np.where(self._until[2] % 5 == 0, -1.0, 1.0)
        target[2] = q[2] + nearer * self._push
        target[3] = self._middle + np.where(v[3] == 0, self._sides[3], np.sign(v[3])) * 2 * self._span
        if self._burst == 0 and rng.random() < 0.02:
            self._burst = int(rng.integers(1, 15))
        if self._burst:
            self._burst -= 1
            bad = rng.random(q.shape[1]) < 0.3
            bad[rng.integers(q.shape[1])] = True
            target[4, bad] = rng.choice([np.nan, np.inf, -np.inf], size=int(bad.sum()))
        return target


def measure(robot_name: str, seconds: float, shielded: bool, seed: int = 0) -> dict:
    """Run all adversaries for some simulated time.

    Args:
        robot_name: Name of a robot.
        seconds: Simulated time of each [s].
        shielded: Whether the commands pass the shield.
        seed: Source of the randomness.

    Returns:
        ``adversaries``: name → ``beyond`` [rad] (negative: it stayed inside), ``joint``, ``fastest`` (share of the URDF's
        velocity), ``fastest_joint``, and with the shield ``corrected`` and ``held`` (shares of the commands) and ``latched``.
    """
    robot, adversaries = load_robot(robot_name), len(ADVERSARIES)
    backend = MujocoBackend(robot, adversaries, PERIOD, PHYSICS)
    start = robot.default_state(adversaries)
    if robot.floating:
        start = dataclasses.replace(start, base_position=start.base_position + np.array([0.0, 0.0, CLEARANCE]))
    state = backend.reset(start, np.arange(adversaries))
    backend.hold_base(True)
    limits = dataclasses.replace(ShieldLimits.from_robot(robot), height=None, unloaded=None)  # it hangs
    shield = Shield(limits, PERIOD, adversaries)
    shield.reset(state)
    adversary, held = Adversary(robot, seed), state.joint_position.copy()
    beyond, fastest = np.full((2, adversaries, robot.num_joints), -np.inf)
    for _ in range(round(seconds / PERIOD)):
        wanted = adversary.command(state)
        if shielded:
            if (shield.mode == ShieldMode.LATCHED).any():
                shield.rearm(state)  # refused until it is at rest
            output = shield.step(state, JointCommand(stamp=state.time, position=wanted), now=float(state.time[0]))
            held = np.where(output.valid[:, None], output.command.position, held)
        else:
            held = np.where(np.isfinite(wanted), wanted, held)
        state = backend.step(JointCommand(stamp=state.time, position=held))
        q = state.joint_position
        np.maximum(beyond, np.maximum(q - robot.position_upper, robot.position_lower - q), out=beyond)
        np.maximum(fastest, np.abs(state.joint_velocity) / robot.velocity_limit, out=fastest)
    backend.close()
    counters = {key: values / max(1, round(seconds / PERIOD)) for key, values in shield.counters.items()}
    return {'adversaries': {name: {
        'beyond': float(beyond[i].max()), 'joint': robot.joint_names[int(beyond[i].argmax())],
        'fastest': float(fastest[i].max()), 'fastest_joint': robot.joint_names[int(fastest[i].argmax())]}
        | ({'corrected': float(counters['corrected'][i]), 'held': float(counters['held'][i]),
            'latched': int(shield.counters['latched'][i])} if shielded else {})
        for i, name in enumerate(ADVERSARIES)}}


def table(found: dict[str, dict[str, dict]]) -> list[str]:
    """Robot → with or without → result, as lines of a Markdown table, side by side."""
    lines = ['| robot | adversary | beyond the URDF limit without | with the shield | speed without | with the shield '
             '| corrected | held | latched |', '|---|---|---|---|---|---|---|---|---|']
    for robot, sides in found.items():
        for name in ADVERSARIES:
            bare, kept = sides['without']['adversaries'][name], sides['with']['adversaries'][name]
            lines.append(f"| {robot} | {name} | {bare['beyond']:+.3f} rad ({bare['joint']}) | {kept['beyond']:+.4f} rad "
                         f"({kept['joint']}) | {bare['fastest']:.2f} × | {kept['fastest']:.2f} × | "
                         f"{kept['corrected']:.1%} | {kept['held']:.1%} | {kept['latched']} |")
    return lines


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=10.0, help='simulated time of each adversary')
    parser.add_argument('--robots', nargs='*', default=['unitree_g1', 'panda'])
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, help='file for the numbers')
    arguments = parser.parse_args()
    found = {robot: {side: measure(robot, 60 * arguments.minutes, side == 'with', arguments.seed)
                     for side in ('without', 'with')} for robot in arguments.robots}
    print('\n'.join(table(found)))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    worst = max(result['beyond'] for sides in found.values() for result in sides['with']['adversaries'].values())
    sys.exit(worst > 0)


if __name__ == '__main__':
    main()

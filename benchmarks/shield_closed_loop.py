"""Adversarial policies against the measured robot, in MuJoCo, with the shield and without it.

Each adversary drives a robot of its own: the G1 on a gantry and the Panda arm. The commands are the same ones on both
sides as far as they do not depend on the state. Without the shield, values that are not finite are skipped and the last
target is held, as ros2_control's forward controllers do.

*Stops*: all joints are driven against their limits, and links pass through each other. Printed is how far a *measured*
joint was beyond its URDF limit at the end of any control period, and how fast it was against the URDF's velocity.

*Links*: the joints that may be corrected for it (of the G1 arms and waist) are driven so that links meet; the others
hold still. Printed is how near two links of the robot's pairs came, by the convex hulls of their collision shapes;
below zero they overlap. MuJoCo's contacts push such links apart again, so "without" shows how deep the commands press
them in against that, and for how long.

    python benchmarks/shield_closed_loop.py --minutes 10 --json closed_loop.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import mujoco
import numpy as np

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.mujoco_model import FLOOR
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.shield import ShieldLimits, ShieldMode, make_shield
from rl_robot_control.shield.clearance import Clearance, make_clearance
from rl_robot_control.shield.link_tree import LinkTree
from rl_robot_control.types import FloatArray, JointCommand, RobotState

PERIOD = 0.02  # [s]
CLEARANCE = 0.4  # of the gantry's base above standing: the feet hang free [m]
PHYSICS = {'stops': PhysicsSettings(timestep=0.002, collisions='feet'), 'links': PhysicsSettings(timestep=0.002)}
ADVERSARIES = {'stops': ('random', 'bang-bang', 'gradient', 'pumping', 'NaN bursts'),
               'links': ('random', 'bang-bang', 'poses', 'closing')}
SIGHT = 0.05  # greater distances need not be known [m]
NUDGES = 1e-5 * np.array([[1.0, 2.0, -1.3], [-2.1, 1.4, 1.7], [1.9, -1.1, 2.3], [-5.3, -4.1, -6.7],
                          [7.1, -8.3, 5.9]])  # [m]


class Hulls:
    """Distances of links by the convex hulls that MuJoCo lets collide.

    Args:
        robot: The robot.
        tree: Its links.
        clearance: Which of them may meet.
    """

    def __init__(self, robot: RobotModel, tree: LinkTree, clearance: Clearance) -> None:
        head, mark, tail = robot.urdf.rpartition('</robot>')
        options = ('<mujoco><compiler discardvisual="true" strippath="false" fusestatic="false" balanceinertia="true"/>'
                   '</mujoco>')
        self._model = mujoco.MjSpec.from_string(head + options + mark + tail).compile()
        self._data = mujoco.MjData(self._model)
        self._qpos = np.array([self._model.joint(name).qposadr[0] for name in robot.joint_names])
        geoms: dict[int, list[int]] = {}
        for geom in range(self._model.ngeom):
            if self._model.geom_contype[geom] or self._model.geom_conaffinity[geom]:
                name = self._model.body(int(self._model.geom_bodyid[geom])).name
                geoms.setdefault(tree.link_of.get(name, 0), []).append(geom)
        self._clearance, self.names = clearance, clearance.names
        ends = {int(p): (int(clearance.links[a]), int(clearance.links[b]))
                for p, a, b in zip(clearance.pair_of, clearance.first, clearance.second, strict=True)}
        self._pairs = [[(one, other) for one in geoms[a] for other in geoms[b]]
                       for a, b in (ends[p] for p in range(len(clearance.names)))]

    def distances(self, position: FloatArray) -> FloatArray:
        """Distances (P,) with the joints at (J,) [rad], at most ``SIGHT`` [m]."""
        covers = self._clearance.distances(position, SIGHT)
        near, found = np.flatnonzero(covers < SIGHT), covers.copy()
        if near.size:
            self._data.qpos[self._qpos] = position
            mujoco.mj_kinematics(self._model, self._data)
        for p in near:
            found[p] = min(self._distance(*pair) for pair in self._pairs[p])
        return np.maximum(found, covers)  # covers hold the hulls; an answer below theirs is one of MuJoCo's wrong ones

    def _distance(self, first: int, second: int) -> float:
        """MuJoCo from 3.3.5 on calls about one pair of separate meshes in 250 touching, with a distance of exactly zero
        (google-deepmind/mujoco#3383), and few overlapping; asked again with one shape a hair's breadth away it nearly
        always finds the answer."""
        place = self._data.geom_xpos[second]
        there, line = place.copy(), np.empty(6)
        for nudge in (np.zeros(3), *NUDGES):
            place[:] = there + nudge
            found = mujoco.mj_geomDistance(self._model, self._data, first, second, SIGHT, line)
            if found != 0.0:
                break
        place[:] = there
        return found


class StopAdversary:
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
        self._rng, shape = np.random.default_rng(seed), (len(ADVERSARIES['stops']), robot.num_joints)
        self._lower, self._upper = robot.position_lower, robot.position_upper
        self._middle, self._span = (self._lower + self._upper) / 2, self._upper - self._lower
        self._sides, self._until, self._burst = np.ones(shape), np.zeros(shape, dtype=int), 0
        self._push, self._step = np.zeros(robot.num_joints), 0

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
        self._spoil(target[4])
        return target

    def _spoil(self, target: FloatArray) -> None:
        rng = self._rng
        if self._burst == 0 and rng.random() < 0.02:
            self._burst = int(rng.integers(1, 15))
        if self._burst:
            self._burst -= 1
            bad = rng.random(len(target)) < 0.3
            bad[rng.integers(len(target))] = True
            target[bad] = rng.choice([np.nan, np.inf, -np.inf], size=int(bad.sum()))


class LinkAdversary:
    """Commands of all adversaries, one per robot, each bent on making links meet.

    - random: a new target anywhere in the range in every period.
    - bang-bang: one end of the range or the other, with switches at random times.
    - poses: a random pose now and then, so that the joints get there.
    - closing: along the slope that brings two links together fastest, another pair every second.

    Args:
        robot: The robot.
        joints: Those that move; the others hold the default pose.
        clearance: The links that may meet.
        seed: Source of the randomness.
    """

    def __init__(self, robot: RobotModel, joints: np.ndarray, clearance: Clearance, seed: int) -> None:
        self._rng, self._joints, self._clearance = np.random.default_rng(seed), joints, clearance
        self._rest, self._pose = robot.default_position, robot.default_position[joints]
        self._lower, self._upper = robot.position_lower[joints], robot.position_upper[joints]
        self._sides, self._until = np.ones(len(joints)), np.zeros(len(joints), dtype=int)
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
        target = np.tile(self._rest, (len(ADVERSARIES['links']), 1))
        target[0, joints] = rng.uniform(self._lower, self._upper)
        target[1, joints] = np.where(self._sides > 0, self._upper, self._lower)
        target[2, joints] = self._pose
        target[3, joints] = state.joint_position[3, joints] - 2.0 * np.sign(self._slope(state.joint_position[3]))
        return target

    def _slope(self, position: FloatArray) -> FloatArray:
        """Change of the pair's distance per joint movement (F,), by small differences [m/rad]."""
        step, before = 1e-4, self._clearance.distances(position)[self._pair]
        moved = (position + step * unit for unit in np.eye(len(position))[self._joints])
        return np.array([(self._clearance.distances(pose)[self._pair] - before) / step for pose in moved])


def measure(robot_name: str, experiment: str, seconds: float, shielded: bool, seed: int = 0,
            progress: Callable[[float], None] = lambda share: None) -> dict:
    """Run all adversaries of an experiment for some simulated time.

    Args:
        robot_name: Name of a robot.
        experiment: 'stops' or 'links'.
        seconds: Simulated time of each [s].
        shielded: Whether the commands pass the shield.
        seed: Source of the randomness.
        progress: Called with the share that is done.

    Returns:
        ``adversaries``: name → ``beyond`` [rad] (negative: it stayed inside), ``joint``, ``fastest`` (share of the
        URDF's velocity), ``least`` [m] (distance of two links, at most ``SIGHT``), ``pair``, ``overlapping`` (share of
        the periods in which links overlap), and with the shield ``corrected``, ``held``, ``apart`` (shares of the
        commands that were changed at all, for a stop, for a distance) and ``latched``. ``microseconds``: what the
        shield takes per command, in a batch of all adversaries.
    """
    robot, names = load_robot(robot_name), ADVERSARIES[experiment]
    count, tree = len(names), LinkTree(robot)
    clearance = make_clearance(robot, tree)
    backend, state = _hanging(robot, count, PHYSICS[experiment])
    limits = dataclasses.replace(ShieldLimits.from_robot(robot), height=None, unloaded=None)  # it hangs
    shield = make_shield(robot, PERIOD, count, limits=limits)
    shield.reset(state)
    joints = robot.joint_indices(robot.settings.self_collision.joints)
    adversary = StopAdversary(robot, seed) if experiment == 'stops' else LinkAdversary(robot, joints, clearance, seed)
    hulls, held, taken = Hulls(robot, tree, clearance), state.joint_position.copy(), 0.0
    beyond, fastest = np.full((2, count, robot.num_joints), -np.inf)
    least, overlapping, apart = np.full((count, len(hulls.names)), SIGHT), np.zeros(count), np.zeros(count)
    steps = round(seconds / PERIOD)
    for step in range(steps):
        wanted = adversary.command(state)
        if shielded:
            if (shield.mode == ShieldMode.LATCHED).any():
                shield.rearm(state)  # refused until it is at rest
            begin = time.perf_counter()
            output = shield.step(state, JointCommand(stamp=state.time, position=wanted), now=float(state.time[0]))
            taken += time.perf_counter() - begin
            apart += output.active['self_collision'].any(axis=1)
            held = np.where(output.valid[:, None], output.command.position, held)
        else:
            held = np.where(np.isfinite(wanted), wanted, held)
        state = backend.step(JointCommand(stamp=state.time, position=held))
        q = state.joint_position
        np.maximum(beyond, np.maximum(q - robot.position_upper, robot.position_lower - q), out=beyond)
        np.maximum(fastest, np.abs(state.joint_velocity) / robot.velocity_limit, out=fastest)
        for i in range(count if experiment == 'links' else 0):
            distance = hulls.distances(q[i])
            overlapping[i] += distance.min() <= 0
            np.minimum(least[i], distance, out=least[i])
        progress((step + 1) / steps)
    backend.close()
    result = {name: {'beyond': float(beyond[i].max()), 'joint': robot.joint_names[int(beyond[i].argmax())],
                     'fastest': float(fastest[i].max()), 'least': float(least[i].min()),
                     'pair': hulls.names[int(least[i].argmin())], 'overlapping': overlapping[i] / steps}
              for i, name in enumerate(names)}
    if shielded:
        for i, name in enumerate(names):
            result[name] |= {'corrected': shield.counters['corrected'][i] / steps,
                             'held': shield.counters['held'][i] / steps,
                             'apart': apart[i] / steps, 'latched': int(shield.counters['latched'][i])}
    return {'adversaries': result, 'microseconds': 1e6 * taken / steps / count}


def _hanging(robot: RobotModel, count: int, physics: PhysicsSettings) -> tuple[MujocoBackend, RobotState]:
    """Robots that touch nothing but themselves: no floor, and a floating base hangs from a gantry."""
    backend, start = MujocoBackend(robot, count, PERIOD, physics), robot.default_state(count)
    floor = backend.model.geom(FLOOR)
    floor.contype = floor.conaffinity = 0
    if robot.floating:
        start = dataclasses.replace(start, base_position=start.base_position + np.array([0.0, 0.0, CLEARANCE]))
    state = backend.reset(start, np.arange(count))
    backend.hold_base(True)
    return backend, state


def compare(robots: Sequence[str], experiments: Sequence[str], seconds: float, seed: int = 0,
            progress: Callable[[str, float], None] = lambda what, share: None) -> dict[str, dict[str, dict[str, dict]]]:
    """Experiment → robot → 'without' or 'with' → result of ``measure``."""
    return {experiment: {robot: {side: measure(
        robot, experiment, seconds, side == 'with', seed,
        lambda share, what=f'{experiment}, {robot}, {side} the shield': progress(what, share))
        for side in ('without', 'with')} for robot in robots} for experiment in experiments}


def table(found: dict[str, dict[str, dict[str, dict]]]) -> list[str]:
    """The results as lines of Markdown tables, without and with the shield side by side."""
    lines = []
    if 'stops' in found:
        lines += ['| robot | adversary | beyond the URDF limit without | with the shield | speed without '
                  '| with the shield | corrected | for a stop | latched |', '|---|---|---|---|---|---|---|---|---|']
        lines += [f"| {robot} | {name} | {bare['beyond']:+.3f} rad ({bare['joint']}) | {kept['beyond']:+.3f} rad "
                  f"({kept['joint']}) | {bare['fastest']:.2f} × | {kept['fastest']:.2f} × | {kept['corrected']:.1%} | "
                  f"{kept['held']:.1%} | {kept['latched']} |" for robot, name, bare, kept in _rows(found['stops'])]
    if 'links' in found:
        lines += ['', '| robot | adversary | least distance without | overlapping without | with the shield '
                  '| overlapping with | corrected for a distance | latched |', '|---|---|---|---|---|---|---|---|']
        lines += [f"| {robot} | {name} | {_millimetres(bare)} | {bare['overlapping']:.1%} | {_millimetres(kept)} | "
                  f"{kept['overlapping']:.2%} | {kept['apart']:.1%} | {kept['latched']} |"
                  for robot, name, bare, kept in _rows(found['links'])]
    return lines


def _millimetres(result: dict) -> str:
    more = '> ' if result['least'] >= SIGHT else ''
    return f"{more}{1e3 * result['least']:+.1f} mm ({result['pair']})"


def _rows(found: dict[str, dict[str, dict]]) -> Iterator[tuple[str, str, dict, dict]]:
    for robot, sides in found.items():
        for name, bare in sides['without']['adversaries'].items():
            yield robot, name, bare, sides['with']['adversaries'][name]


def broken(found: dict[str, dict[str, dict[str, dict]]]) -> bool:
    """Whether a joint was beyond its limit, or links overlapped, with the shield."""
    kept = {experiment: [row[3] for row in _rows(robots)] for experiment, robots in found.items()}
    return (any(result['beyond'] > 0 for result in kept.get('stops', []))
            or any(result['overlapping'] > 0 for result in kept.get('links', [])))


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=10.0, help='simulated time of each adversary')
    parser.add_argument('--robots', nargs='*', default=['unitree_g1', 'panda'])
    parser.add_argument('--experiments', nargs='*', default=list(ADVERSARIES), choices=list(ADVERSARIES))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, help='file for the numbers')
    arguments = parser.parse_args()

    def show(what: str, share: float) -> None:
        if sys.stderr.isatty():
            print(f'\r{what}: {share:.0%} ', end='' if share < 1 else '\n', file=sys.stderr)

    found = compare(arguments.robots, arguments.experiments, 60 * arguments.minutes, arguments.seed, show)
    print('\n'.join(table(found)), '\n')
    for experiment, robots in found.items():
        for robot, sides in robots.items():
            print(f"{experiment}, {robot}: the shield took {sides['with']['microseconds']:.0f} µs per command")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    sys.exit(broken(found))


if __name__ == '__main__':
    main()

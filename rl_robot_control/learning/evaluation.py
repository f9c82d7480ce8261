"""How good a policy is: episodes from standing, without pushes, on the task's own physics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.backends.protocol import Backend
from rl_robot_control.config import find_config, load_settings
from rl_robot_control.envs import make_backend
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.policies.gate import CheckedModel
from rl_robot_control.policies.manifest import Manifest
from rl_robot_control.policies.matching import policy_robot
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.tasks.task import Task, TaskSettings, TermSettings, load_task
from rl_robot_control.types import BoolArray, FloatArray, InitialState

MOST_WORLDS = 64  # simulated side by side
MOTION_LOST = TermSettings(term='motion_lost', params={'height': 0.25, 'lean': 0.8})  # [m], [rad]; a dance that goes
# well keeps below 0.11 m and 0.45 rad
SETTLING_TIME = 2.0  # left out of the velocity errors: a robot cannot start at speed [s]


@dataclass(frozen=True, kw_only=True)
class EpisodeBatch:
    """What N episodes of T steps were like."""

    fell: BoolArray  # (N,)
    succeeded: BoolArray  # (N,)
    speed_error: FloatArray  # (N,) mean |forward velocity over a stride − commanded| [m/s]
    yaw_error: FloatArray  # (N,) mean |yaw rate over a stride − commanded| [rad/s]
    corrected: FloatArray  # (N,) share of commands that the shield changed


def evaluate(policy: CheckedModel, *, robot: str | None = None, episodes: int = 50, seed: int = 1,
             speed: float | None = 0.6, duration: float = 10.0, backend: Backend | None = None,
             on_progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Run a policy for some episodes.

    Velocity errors compare means over one stride, because a walking body sways within it, and leave out the first two
    seconds and what comes after a fall.

    Args:
        policy: The file, from ``read_policy``.
        robot: Robot by name or file; None: the policy's.
        episodes: How many.
        seed: Source of the jittered starting poses and, for other tasks than walking, the commands.
        speed: Commanded forward velocity [m/s], for policies that follow a velocity; None: the task's random commands.
        duration: Of an episode [s].
        backend: Where the robots live, a shield included; None: MuJoCo worlds in memory behind the shield.
        on_progress: Called with the steps done and to do.

    Returns:
        Plain data: ``episodes, falls, success_rate, mean_speed_error`` [m/s]``, mean_yaw_error`` [rad/s]``,
        shield_correction_rate, seed`` and what was asked for. The errors are None for tasks without a velocity.

    Raises:
        ConfigurationError: An argument is out of its range.
        PolicyError: The policy was made for something else.
    """
    if episodes < 1 or not 0 < duration <= 3600:
        raise ConfigurationError(f'evaluate: episodes is {episodes} and duration {duration} s; at least 1 episode of '
                                 'more than 0 and at most 3600 s is needed.')
    manifest = policy.manifest
    model = load_robot(robot or manifest.robot)
    task = policy_task(manifest, model)
    velocity = task.settings.interface.command.kind == 'velocity'
    if velocity and speed is not None and not _in_range(speed, manifest):
        raise ConfigurationError(f'evaluate: speed {speed} m/s is outside what {policy.path.name} was trained for, '
                                 f'{manifest.command_lower[0]} to {manifest.command_upper[0]} m/s.')
    world = backend or make_backend(policy_robot(manifest, model), task, min(episodes, MOST_WORLDS))
    random = np.random.default_rng(seed)
    steps = max(1, round(duration / task.control_period))
    rounds = -(-episodes // world.num_robots)
    batches = []
    try:
        for i in range(rounds):
            def report(step: int, i: int = i) -> None:
                if on_progress is not None:
                    on_progress(i * steps + step, rounds * steps)
            runner = PolicyRunner(policy, model, world.num_robots, task.control_period)
            commands = _commands(task, random, world.num_robots, speed if velocity else None)
            batches.append(run_batch(world, task, runner, commands, random, steps, report))
    finally:
        if backend is None:
            world.close()
    summary = _summary(batches, episodes)
    if not velocity:
        summary |= {'mean_speed_error': None, 'mean_yaw_error': None}
    return summary | {'seed': seed, 'duration': duration, 'speed': speed if velocity else None,
                                          'task': task.name, 'robot': model.name}


def policy_task(manifest: Manifest, robot: RobotModel) -> Task:
    """The task that a policy was trained for; for one trained elsewhere walking, observed and driven as it is used to.

    One that tracks a motion fails where it loses that: a dance may kneel and bow where a walk has fallen.

    Raises:
        ConfigurationError: Its task is not known here.
    """
    if manifest.origin is None:
        return load_task(manifest.task, robot)
    walk = load_settings(find_config('tasks', 'walk'), TaskSettings)
    failures = walk.terminations if manifest.interface.motion is None else [MOTION_LOST]
    return Task(dataclasses.replace(walk, name=manifest.task, interface=manifest.interface, rewards=[], critic=[],
                                    success=None, terminations=failures), policy_robot(manifest, robot))


def run_batch(world: Backend, task: Task, runner: PolicyRunner, commands: FloatArray, random: np.random.Generator,
              steps: int, on_step: Callable[[int], None] = lambda step: None) -> EpisodeBatch:
    """Run one episode on each robot of a backend.

    Args:
        world: The robots.
        task: What they do.
        runner: The policy.
        commands: (N, 3) what each is asked for.
        random: Source of the jittered starting poses.
        steps: T.
        on_step: Called with the number of steps done.
    """
    n = world.num_robots
    state = world.reset(_standing(task, random, n), np.arange(n))
    runner.reset(state)
    fell, succeeded, changed = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n)
    forward, turning, upright = np.empty((steps, n)), np.empty((steps, n)), np.zeros((steps, n), dtype=bool)
    for step in range(steps):
        command = runner.step(state, commands)
        state = world.step(command)
        context = runner.interface.view(state)
        fell |= task.terminated(context)
        succeeded = task.succeeded(context, fell)
        changed += (world.applied != command.position).any(axis=-1)
        heading = rotations.yaw(state.base_quaternion)
        world_velocity = rotations.rotate(state.base_quaternion, state.base_linear_velocity)
        forward[step] = rotations.into_yaw_frame(heading, world_velocity)[:, 0]
        turning[step], upright[step] = state.base_angular_velocity[:, 2], ~fell
        on_step(step + 1)
        if fell.all():
            break
    walked = upright[:step + 1]
    stride = max(1, round(task.settings.interface.gait.period / task.control_period))
    first = round(SETTLING_TIME / task.control_period)
    return EpisodeBatch(
        fell=fell, succeeded=succeeded, corrected=changed / (step + 1),
        speed_error=stride_error(forward[:step + 1], commands[:, 0], walked, stride, first),
        yaw_error=stride_error(turning[:step + 1], commands[:, 2], walked, stride, first))


def stride_error(values: FloatArray, wanted: FloatArray, valid: BoolArray, stride: int, first: int) -> FloatArray:
    """Mean absolute error (N,) of moving averages over a stride; NaN where no whole stride is valid.

    Args:
        values: (T, N) measured.
        wanted: (N,) commanded.
        valid: (T, N) which steps count.
        stride: Steps in a stride.
        first: Steps to leave out at the start.
    """
    values, valid = values[first:], valid[first:]
    if len(values) < stride:
        return np.full(len(wanted), np.nan)
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values]), axis=0)
    errors = np.abs((sums[stride:] - sums[:-stride]) / stride - wanted)
    whole = valid[stride - 1:]  # a fall is for good: the last step of a window speaks for all of it
    count = whole.sum(axis=0)
    return np.where(count > 0, np.where(whole, errors, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _commands(task: Task, random: np.random.Generator, count: int, speed: float | None) -> FloatArray:
    if speed is None:
        return task.sample_commands(random, count)[0]
    return np.tile([speed, 0.0, 0.0], (count, 1))


def _standing(task: Task, random: np.random.Generator, count: int) -> InitialState:
    """Poses jittered as in training, at rest."""
    initial = task.start(random, count).initial
    still = {name: np.zeros_like(getattr(initial, name))
             for name in ('joint_velocity', 'base_linear_velocity', 'base_angular_velocity')}
    return InitialState(joint_position=initial.joint_position, base_position=initial.base_position,
                        base_quaternion=initial.base_quaternion, **still)


def _in_range(speed: float, manifest: Any) -> bool:
    return manifest.command_lower[0] - 1e-9 <= speed <= manifest.command_upper[0] + 1e-9


def _summary(batches: list[EpisodeBatch], episodes: int) -> dict[str, Any]:
    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(batch, name) for batch in batches])[:episodes]

    def mean(values: np.ndarray) -> float | None:
        known = values[np.isfinite(values)]
        return float(known.mean()) if known.size else None

    return {'episodes': episodes, 'falls': int(joined('fell').sum()), 'success_rate': float(joined('succeeded').mean()),
            'mean_speed_error': mean(joined('speed_error')), 'mean_yaw_error': mean(joined('yaw_error')),
            'shield_correction_rate': float(joined('corrected').mean())}

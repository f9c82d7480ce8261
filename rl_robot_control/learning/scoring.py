"""Return and success of whatever acts, over whole episodes of a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from rl_robot_control.envs import RobotVectorEnv
from rl_robot_control.learning.networks import Actor
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.learning.run_policy import run_policy
from rl_robot_control.learning.world import World

SEED = 1_000_003  # far from those of training


class Acting(Protocol):
    """Gives actions (N, A) of observations (N, D), and begins anew where episodes do; see ``networks.Actor``."""

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Actions."""
        ...

    def forget(self, robots: np.ndarray) -> None:
        """Begin anew for robots (a mask (N,))."""
        ...


@dataclass(frozen=True, kw_only=True)
class Score:
    """What N episodes were like, on average."""

    mean_return: float
    success_rate: float  # share that ended with the task done
    length: float  # [s]
    shield_correction_rate: float  # share of commands that the shield changed


class RandomActor:
    """Draws actions evenly: the least that a method must beat.

    Args:
        env: Whose actions.
        seed: Source of randomness.
    """

    def __init__(self, env: RobotVectorEnv, seed: int = 0) -> None:
        self._random, self._space = np.random.default_rng(seed), env.action_space

    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """See ``Acting``."""
        return self._random.uniform(self._space.low, self._space.high).astype(np.float32)

    def forget(self, robots: np.ndarray) -> None:
        """Nothing to forget."""


def score(actor: Acting, env: RobotVectorEnv, seed: int = SEED) -> Score:
    """Let one episode of each robot of an environment come to its end.

    Args:
        actor: What acts.
        env: The task; its episodes must begin with the reset (``stagger=False``).
        seed: Of starts and commands.
    """
    world = World(env, seed)
    returns, lengths, corrected = np.zeros(env.num_envs), np.zeros(env.num_envs), 0.0
    running, succeeded = np.ones(env.num_envs, dtype=bool), np.zeros(env.num_envs, dtype=bool)
    while running.any():
        step = world.step(actor(world.seen_by(actor)))
        actor.forget(step.done)
        returns[running] += step.reward[running]
        lengths[running] += world.task.control_period
        corrected += float(step.corrected[running].sum())
        succeeded |= running & step.done & step.succeeded
        running &= ~step.done
    return Score(mean_return=float(returns.mean()), success_rate=float(succeeded.mean()), length=float(lengths.mean()),
                 shield_correction_rate=corrected * world.task.control_period / float(lengths.sum()))


def score_run(run: Path, env: RobotVectorEnv, seed: int = SEED) -> Score:
    """Score the policy of a run's checkpoint on a task, which need not be the run's own.

    Args:
        run: Folder that ``train`` wrote.
        env: See ``score``; it is closed.
        seed: Of starts and commands.
    """
    folder = RunFolder(run)
    try:
        network, _ = run_policy(folder.settings(), folder.load(), env)
        return score(Actor(network, env.num_envs), env, seed)
    finally:
        env.close()

"""The environment as a learner meets it: it counts what happens and notices interrupts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rl_robot_control.envs import RobotVectorEnv
from rl_robot_control.envs.other_commands import Retold
from rl_robot_control.tasks.interface import PolicyInterface
from rl_robot_control.tasks.task import Task
from rl_robot_control.types import BoolArray, FloatArray

EPISODES = 100  # that the means of ``World`` reach back


@dataclass(frozen=True, kw_only=True)
class Step:
    """What followed the actions of N robots; an episode that ended has started anew within it."""

    reward: FloatArray  # (N,)
    terminated: BoolArray  # (N,) failed
    truncated: BoolArray  # (N,) out of time
    succeeded: BoolArray  # (N,) the task is done at this instant
    corrected: BoolArray  # (N,) the shield changed the command
    observation: np.ndarray  # (N, D) float32, to act on next
    privileged: np.ndarray  # (N, C) float32, likewise, for a critic
    following: np.ndarray  # (N, D) float32, what the actions led to: an episode's last observation where it ended
    following_privileged: np.ndarray  # (N, C) float32, likewise, for a critic
    achieved: np.ndarray | None  # (N, 3) float32, the goal that the actions achieved; None: the task has no goal
    retold: Retold | None  # the same under other commands; None: nobody asked, or it cannot be said

    @property
    def done(self) -> BoolArray:
        """Which episodes ended (N,)."""
        return self.terminated | self.truncated

    @property
    def following_whole(self) -> np.ndarray:
        """What the actions led to, and what only a critic may see of it (N, D + C), float32."""
        return np.concatenate([self.following, self.following_privileged], axis=1)


@dataclass
class Tally:
    """Sums over the steps since the last ``World.tally``."""

    steps: int = 0  # of all robots
    reward: float = 0.0
    falls: float = 0.0
    corrected: float = 0.0


class World:
    """N robots that learn a task.

    Args:
        env: The environment; it is reset here.
        seed: Source of its randomness.
        teacher: Recording, run folder or policy file to learn from; None: there is none.

    Attributes:
        observation: (N, D) float32, to act on.
        privileged: (N, C) float32, what only a critic may see.
        achieved: (N, 3) float32, the goal as it is achieved now; None: the task has no goal.
        returns: Of the latest episodes that ended.
        lengths: Of these episodes [s].
        successes: Whether they ended with the task done.
    """

    def __init__(self, env: RobotVectorEnv, seed: int, teacher: Path | None = None) -> None:
        self.env, self.num_robots, self.teacher = env, env.num_envs, teacher
        self.observation, info = env.reset(seed=seed)
        self.privileged, self.achieved = info['privileged_observation'], info.get('achieved_goal')
        self._latest = {name: deque(maxlen=EPISODES) for name in env.groups}
        self.returns: deque[float] = deque(maxlen=EPISODES)
        self.lengths: deque[float] = deque(maxlen=EPISODES)
        self.successes: deque[bool] = deque(maxlen=EPISODES)
        self.interrupted, self.paused = threading.Event(), threading.Event()
        self.on_pause: Callable[[bool], None] = lambda paused: None
        self.carried = 0.0  # time that a robot was used before this world was made [s]
        self._time = 0.0  # that one has been stepped for since [s]
        self._rests = True  # every robot is where its episode begins
        self._tally = Tally()
        self._return, self._length = np.zeros(self.num_robots), np.zeros(self.num_robots)

    @property
    def task(self) -> Task:
        """What the robots learn."""
        return self.env.episodes.task

    @property
    def interface(self) -> PolicyInterface:
        """What a policy of the task observes and how it acts."""
        return self.env.episodes.interface

    @property
    def num_observations(self) -> int:
        """D."""
        return self.observation.shape[1]

    @property
    def whole(self) -> np.ndarray:
        """The observation and what only a critic may see (N, D + C), float32."""
        return np.concatenate([self.observation, self.privileged], axis=1)

    @property
    def waits(self) -> bool:
        """Whether learning now costs nothing: a simulation waits for its next action, a real robot rests only where
        episodes begin.
        """
        return self._rests or not getattr(self.env.episodes.backend, 'paced', False)

    @property
    def robot_seconds(self) -> float:
        """How long one robot has been used, its ways to starts included [s]."""
        ramped = getattr(self.env.episodes.backend, 'ramped', 0.0)
        return self.carried + self._time + ramped / self.num_robots

    @property
    def num_actions(self) -> int:
        """A."""
        return self.env.single_action_space.shape[0]

    @property
    def action_limit(self) -> float:
        """Largest size of an element of an action [-]."""
        return float(self.env.single_action_space.high.min())

    def seen_by(self, actor: object) -> np.ndarray:
        """What an actor acts on: the observation (N, D), and what only a critic may see where the actor is privileged.

        Args:
            actor: See ``networks.Actor``.
        """
        return self.whole if getattr(actor, 'privileged', False) else self.observation

    def step(self, action: np.ndarray) -> Step:
        """Apply actions (N, A) for one control period.

        Raises:
            KeyboardInterrupt: The user wants to stop.
        """
        if self.paused.is_set():
            self._wait()
        if self.interrupted.is_set():
            raise KeyboardInterrupt
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.privileged, self.achieved = info['privileged_observation'], info.get('achieved_goal')
        step = Step(reward=reward, terminated=terminated, truncated=truncated, succeeded=info['succeeded'],
                    corrected=info['shield_acted'], observation=self.observation, privileged=self.privileged,
                    following=_final(self.observation, info, 'final_obs'),
                    following_privileged=_final(self.privileged, info, 'final_privileged_observation'),
                    achieved=None if self.achieved is None else _final(self.achieved, info, 'final_achieved_goal'),
                    retold=info.get('retold'))
        self._rests = bool(step.done.all())
        self._count(step)
        return step

    def tally(self) -> Tally:
        """What happened since the last call."""
        tally, self._tally = self._tally, Tally()
        return tally

    def reports(self) -> dict[str, float]:
        """What only some runs have: several tasks apart, levels of curricula, how long a robot was used."""
        backend = self.env.episodes.backend
        found = {'robot_minutes': self.robot_seconds / 60} if hasattr(backend, 'ramped') else {}
        found |= {'late_steps': float(backend.late)} if getattr(backend, 'paced', False) else {}
        if len(self._latest) < 2:
            return found | self.env.levels()
        for name, rows in self._latest.items():
            found[f'mean_return_{name}'] = mean([row[0] for row in rows])
            found[f'success_rate_{name}'] = mean([row[1] for row in rows])
        return found | self.env.levels()

    def _wait(self) -> None:
        """Let nothing move until the pause or the run ends."""
        self.on_pause(True)
        while self.paused.is_set() and not self.interrupted.is_set():
            time.sleep(0.05)
        self.on_pause(False)

    def _count(self, step: Step) -> None:
        ended, tally = step.done, self._tally
        tally.steps += self.num_robots
        self._time += self.task.control_period
        tally.reward += float(step.reward.sum())
        tally.falls += float(step.terminated.sum())
        tally.corrected += float(step.corrected.sum())
        self._return += step.reward
        self._length += self.task.control_period
        self.returns.extend(self._return[ended].tolist())
        self.lengths.extend(self._length[ended].tolist())
        self.successes.extend(step.succeeded[ended].tolist())
        for name, rows in self.env.groups.items():
            done = np.flatnonzero(ended[rows]) + rows.start
            self._latest[name].extend(zip(self._return[done], step.succeeded[done], strict=True))
        self._return[ended] = self._length[ended] = 0.0


def mean(values: Collection[float]) -> float:
    """Their mean; NaN where there is none."""
    return float(np.mean(values)) if values else float('nan')


def _final(values: np.ndarray, info: dict, key: str) -> np.ndarray:
    """The values (N, ·), with an episode's last ones where it ended."""
    if key not in info:
        return values
    following = values.copy()
    for i in np.flatnonzero(info[f'_{key}']):
        following[i] = info[key][i]
    return following

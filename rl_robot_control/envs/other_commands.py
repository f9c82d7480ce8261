"""What the steps that robots took would have been under other commands.

A command changes what a policy does, not what follows from it: a step that was taken is as true under every other
target, and what is observed and earned there can be worked out. After Kaelbling 1993 ("Learning to achieve goals",
updates for all goals); hindsight experience replay is the same thought for sparse goals.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from rl_robot_control.envs.episodes import Episodes
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.task import TaskSettings
from rl_robot_control.types import BoolArray, FloatArray, RobotState


@dataclass(frozen=True, kw_only=True)
class Retold:
    """Steps of N robots under K other commands each; the K rows of a robot stand together."""

    command: FloatArray  # (N·K, 3) what the robots might have been told
    observation: FloatArray  # (N·K, D)
    privileged: FloatArray  # (N·K, C) what only a critic may see
    reward: FloatArray  # (N·K,)
    terminated: BoolArray  # (N·K,) failed
    following: FloatArray  # (N·K, D) what the actions led to
    following_privileged: FloatArray  # (N·K, C) likewise, for a critic


class OtherCommands:
    """Tells the steps of episodes again, under other commands that their task might have asked for.

    Args:
        episodes: The episodes; their task is one that ``can_be_retold``.
        count: K.
    """

    def __init__(self, episodes: Episodes, count: int) -> None:
        self._episodes, self.count = episodes, count

    def begin(self) -> None:
        """Draw commands and see the present under them; between ``Episodes.observe`` and ``Episodes.step``."""
        episodes = self._episodes
        self._command, _ = episodes.task.sample_commands(episodes.random, episodes.num_robots * self.count)
        self._before = self._seen(episodes.measured)

    def end(self) -> Retold:
        """What the step that was taken since ``begin`` would have been; before any episode starts anew."""
        episodes = self._episodes
        outcome = self._under(episodes.outcome)
        observation, privileged = self._before
        following, following_privileged = self._seen(episodes.measure())
        return Retold(command=self._command, observation=observation, privileged=privileged,
                      reward=episodes.task.reward(outcome), terminated=episodes.task.terminated(outcome),
                      following=following, following_privileged=following_privileged)

    def _seen(self, measured: RobotState) -> tuple[FloatArray, FloatArray]:
        """What the policy and what only a critic sees under the other commands."""
        episodes = self._episodes
        return (episodes.interface.present(self._under(episodes.interface.view(measured))),
                episodes.privileged(self._under(episodes.interface.view(episodes.state))))

    def _under(self, context: Context) -> Context:
        """The same instant of N·K robots that were told otherwise."""
        rows = np.repeat(np.arange(self._episodes.num_robots), self.count)
        each = {name: getattr(context, name)[rows]
                for name in ('action', 'previous_action', 'phase', 'correction')}
        return dataclasses.replace(context, state=context.state.select(rows), command=self._command, **each)


def can_be_retold(task: TaskSettings) -> bool:
    """Whether nothing but the policy depends on a task's command: a target, at once in force, without a past."""
    interface = task.interface
    return (interface.command.kind == 'target' and interface.command.slew is None and interface.motion is None
            and all(entry.ages == [0] for entry in interface.observations))

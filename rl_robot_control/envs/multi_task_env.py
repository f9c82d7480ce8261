"""Several tasks of one robot side by side, as one vector environment for one policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rl_robot_control.envs.episodes import Episodes
from rl_robot_control.envs.vector_env import RobotVectorEnv


class MultiTaskVectorEnv(VectorEnv):
    """Robots that do different tasks; see ``RobotVectorEnv`` for what it gives.

    Args:
        members: One environment per task, with equal observation and action spaces. What only a critic sees is filled
            up with zeros to the widest.
    """

    metadata = {'autoreset_mode': AutoresetMode.SAME_STEP, 'render_modes': []}

    def __init__(self, members: Sequence[RobotVectorEnv]) -> None:
        self.members = list(members)
        ends = np.cumsum([member.num_envs for member in members])
        self.groups = {member.episodes.task.name: slice(int(end) - member.num_envs, int(end))
                       for member, end in zip(members, ends, strict=True)}
        self.num_envs = int(ends[-1])
        self.single_observation_space = members[0].single_observation_space
        self.single_action_space = members[0].single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    @property
    def episodes(self) -> Episodes:
        """Those of the first task: its interface is everybody's."""
        return self.members[0].episodes

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start all episodes anew."""
        results = [member.reset(seed=None if seed is None else seed + i) for i, member in enumerate(self.members)]
        return np.concatenate([observation for observation, _ in results]), _joined([info for _, info in results])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        """Apply actions (N, A) for one control period."""
        results = [member.step(actions[rows])
                   for member, rows in zip(self.members, self.groups.values(), strict=True)]
        columns = list(zip(*results, strict=True))
        counts = [member.num_envs for member in self.members]
        return (*(np.concatenate(column) for column in columns[:4]), _joined(list(columns[4]), counts))

    def retell(self, count: int) -> int:
        """See ``RobotVectorEnv.retell``; a command of one task need not be one of another, so never."""
        return 0

    def state(self) -> dict[str, Any]:
        """See ``RobotVectorEnv.state``."""
        return {'members': [member.state() for member in self.members]}

    def load(self, state: dict[str, Any]) -> None:
        """See ``RobotVectorEnv.load``."""
        for member, saved in zip(self.members, state['members'], strict=True):
            member.load(saved)

    def reseed(self, seed: Sequence[int]) -> None:
        """See ``RobotVectorEnv.reseed``."""
        for i, member in enumerate(self.members):
            member.reseed([*seed, i])

    def levels(self) -> dict[str, float]:
        """See ``RobotVectorEnv.levels``."""
        return {f'{name}_{task}': level for task, member in zip(self.groups, self.members, strict=True)
                for name, level in member.levels().items()}

    def close_extras(self, **kwargs: Any) -> None:
        """Release the backends."""
        for member in self.members:
            member.close()


def _joined(infos: list[dict[str, Any]], counts: list[int] | None = None) -> dict[str, Any]:
    """One info of several; a key of episodes' ends that some do not have is filled up, any other one is left out."""
    joined = {}
    for key in dict.fromkeys(key for info in infos for key in info):
        values = [info.get(key) for info in infos]
        if key.lstrip('_').startswith('final_') and counts is not None:
            missing = False if key.startswith('_') else None
            values = [np.full(count, missing, dtype=bool if key.startswith('_') else object) if value is None else value
                      for value, count in zip(values, counts, strict=True)]
        if all(value is not None for value in values):
            joined[key] = np.concatenate(_equally_wide(values))
    return joined


def _equally_wide(values: list[np.ndarray]) -> list[np.ndarray]:
    if values[0].ndim < 2:
        return values
    widest = max(value.shape[1] for value in values)
    return [np.pad(value, ((0, 0), (0, widest - value.shape[1]))) for value in values]

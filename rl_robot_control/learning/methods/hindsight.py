"""Hindsight experience replay (Andrychowicz et al. 2017, arXiv 1707.01495) over an off-policy method, for sparse goals.

What a robot achieved instead of its goal is learnt from as if it had been the goal; Stable-Baselines3's buffer does it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from rl_robot_control.config import settings
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.learning.learner import PositiveInt
from rl_robot_control.learning.methods.off_policy import (
    ContinuousSettings,
    OffPolicy,
    continuous_policy,
    make_continuous,
)
from rl_robot_control.learning.methods.sb3 import WorldVecEnv
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.world import World


@settings
class HindsightSettings(ContinuousSettings):
    """Hyper-parameters of hindsight experience replay."""

    relabelled: PositiveInt = 4  # goals in hindsight for each goal that was really asked for
    other_commands: Literal[0] = 0  # hindsight has goals of its own


class GoalVecEnv(WorldVecEnv):
    """A world whose observation comes with the goal that is asked for and the one that is achieved.

    Args:
        world: The world.
        normalizer: See ``WorldVecEnv``.

    Attributes:
        columns: Where the goal stands in the observation.
        scale: By which it is multiplied there.
    """

    def __init__(self, world: World, normalizer: Normalizer) -> None:
        self.columns, self.scale = goal_columns(world)
        super().__init__(world, normalizer)

    @staticmethod
    def offered(world: World, whole: bool) -> spaces.Dict:
        """See ``WorldVecEnv``."""
        goal = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        return spaces.Dict({'observation': world.env.single_observation_space, 'achieved_goal': goal,
                            'desired_goal': goal})

    def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, infos: Any) -> np.ndarray:
        """Rewards (B,) of goals (B, 3)."""
        return self.world.task.goal_reward(achieved, desired)

    def _offer(self, observation: np.ndarray, achieved: np.ndarray | None) -> dict[str, np.ndarray]:
        return {'observation': observation, 'achieved_goal': achieved,
                'desired_goal': goal_of(observation, self.columns, self.scale)}


class GoalFeatures(BaseFeaturesExtractor):
    """The normalised observation with a goal written into it.

    Args:
        observation_space: Of a ``GoalVecEnv``.
        normalizer: One for all networks of an algorithm.
        columns: Where the goal stands in the observation.
        scale: By which it is multiplied there.
    """

    def __init__(self, observation_space: spaces.Dict, normalizer: Normalizer, columns: slice, scale: float) -> None:
        super().__init__(observation_space, int(np.prod(observation_space['observation'].shape)))
        self.normalizer, self._columns, self._scale = normalizer, columns, scale

    def forward(self, observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Features (N, D)."""
        observation, columns = observations['observation'], self._columns
        goal = observations['desired_goal'] * self._scale
        return self.normalizer(torch.cat([observation[:, :columns.start], goal, observation[:, columns.stop:]], dim=1))


class Hindsight(OffPolicy):
    """An off-policy method that learns from goals in hindsight; see ``Learner``.

    Args:
        rules: Hyper-parameters.
        world: Where it learns; its task has a goal.

    Raises:
        ConfigurationError: The task has no goal, or the policy does not observe it.
    """

    Settings = HindsightSettings

    def __init__(self, rules: HindsightSettings, world: World) -> None:
        check_goal(world)
        normalizer = Normalizer(world.num_observations)
        env = GoalVecEnv(world, normalizer)
        features = {'features_extractor_class': GoalFeatures, 'features_extractor_kwargs': {
            'normalizer': normalizer, 'columns': env.columns, 'scale': env.scale}}
        super().__init__(rules, env, make_continuous(
            rules, env, 'MultiInputPolicy', policy_kwargs=features, replay_buffer_class=HerReplayBuffer,
            replay_buffer_kwargs={'n_sampled_goal': rules.relabelled, 'goal_selection_strategy': 'future'}))

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``.

        Raises:
            ConfigurationError: The warm-up ends before the first episodes do.
        """
        rules, world = self._rules, self._env.world
        least = world.task.max_steps * world.num_robots
        if rules.warm_up < least:
            raise ConfigurationError(f'warm_up is {rules.warm_up} steps; the first episodes of {world.num_robots} '
                                     f'robots take {least}, and there is nothing to learn from before.')
        return super().iterate(share)

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return _Split(continuous_policy(self.model), self._env.columns, self._env.scale)

    def recall(self, memory: dict[str, Any]) -> None:
        """See ``Learner.recall``; episodes that the interruption cut off end there."""
        super().recall(memory)
        buffer = self.model.replay_buffer
        for robot in np.flatnonzero(buffer._current_ep_start != buffer.pos):
            buffer.dones[buffer.pos - 1, robot] = buffer.timeouts[buffer.pos - 1, robot] = True
            buffer._compute_episode_length(int(robot))


class _Split(nn.Module):
    """Gives a policy with a goal the plain observation."""

    def __init__(self, policy: nn.Module, columns: slice, scale: float) -> None:
        super().__init__()
        self.inner, self._columns, self._scale = policy, columns, scale

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        goal = goal_of(observation, self._columns, self._scale)
        return self.inner({'observation': observation, 'desired_goal': goal, 'achieved_goal': goal})


def goal_columns(world: World) -> tuple[slice, float]:
    """Where the goal stands in the observation, and by what it is multiplied there."""
    start = 0
    for entry, size in zip(world.task.settings.interface.observations, world.interface.observation_sizes.values(),
                           strict=True):
        if entry.term == 'command':
            return slice(start, start + size), float(np.mean(entry.scale))
        start += size
    raise ConfigurationError(f"the observation of {world.task.name} holds no 'command', and so no goal; add the term.")


def goal_of(observation: Any, columns: slice, scale: float) -> Any:
    """The goals (N, 3) in observations (N, D)."""
    return observation[:, columns] / scale


def check_goal(world: World) -> None:
    """Refuse what hindsight cannot learn from.

    Raises:
        ConfigurationError: The task has no goal.
    """
    if world.task.settings.goal is None:
        raise ConfigurationError(f"task '{world.task.name}' has no goal, which hindsight needs; take one whose YAML "
                                 "has 'goal', or another method.")

"""A task with a goal in the form that goal-conditioned learning takes (Gymnasium-Robotics' ``GoalEnv``)."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from rl_robot_control.envs.robot_env import RobotEnv
from rl_robot_control.errors import ConfigurationError


class GoalEnv(gymnasium.Wrapper):
    """One robot whose observation is split: ``observation`` (D,), ``achieved_goal`` (3,) and ``desired_goal`` (3,).

    Args:
        env: The environment of a task that has a ``goal``.

    Raises:
        ConfigurationError: The task has none.
    """

    def __init__(self, env: RobotEnv) -> None:
        super().__init__(env)
        if env.episodes.task.settings.goal is None:
            raise ConfigurationError(f"task '{env.episodes.task.name}' has no goal; give one whose YAML has 'goal'.")
        goal = Box(-np.inf, np.inf, (3,), np.float32)
        self.observation_space = Dict({'observation': env.observation_space, 'achieved_goal': goal,
                                       'desired_goal': goal})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Start an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._split(observation), info

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """Apply an action (A,) for one control period."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._split(observation), reward, terminated, truncated, info

    def compute_reward(self, achieved_goal: np.ndarray, desired_goal: np.ndarray, info: Any = None) -> np.ndarray:
        """Rewards (...) of goals (..., 3): 0 where they agree within the task's tolerance, else −1."""
        return self.unwrapped.episodes.task.goal_reward(np.asarray(achieved_goal), np.asarray(desired_goal))

    def _split(self, observation: np.ndarray) -> dict[str, np.ndarray]:
        episodes = self.unwrapped.episodes
        return {'observation': observation, 'achieved_goal': episodes.achieved()[0].astype(np.float32),
                'desired_goal': episodes.command[0].astype(np.float32)}

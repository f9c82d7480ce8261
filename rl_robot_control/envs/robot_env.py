"""One robot as a Gymnasium environment."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from rl_robot_control.backends.protocol import Backend
from rl_robot_control.envs.episodes import Episodes
from rl_robot_control.envs.vector_env import spaces
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.tasks.task import Task


class RobotEnv(gymnasium.Env):
    """A task on one robot, wherever it lives: the same class for memory and for topics.

    ``info`` holds ``privileged_observation`` (C,), ``applied_position`` (J,) and ``shield_correction`` (J,) [rad],
    ``shield_acted`` and, for the reward's shares, ``reward_terms``.

    Args:
        backend: Where the robot lives, for one robot.
        task: The task.
        randomise: Vary starts and disturb the robot as the task says.

    Raises:
        ConfigurationError: The backend holds several robots.
    """

    metadata = {'render_modes': []}

    def __init__(self, backend: Backend, task: Task, randomise: bool = True) -> None:
        if backend.num_robots != 1:
            raise ConfigurationError(f'RobotEnv takes a backend with 1 robot, this one has {backend.num_robots}; '
                                     'use RobotVectorEnv.')
        self.episodes = Episodes(backend, task, randomise=randomise)
        self.observation_space, self.action_space = spaces(self.episodes)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start an episode."""
        super().reset(seed=seed)
        self.episodes.random = self.np_random
        self.episodes.reset(np.arange(1))
        observation, privileged = self.episodes.observe()
        position = self.episodes.state.joint_position[0]
        return observation[0].astype(np.float32), {
            'privileged_observation': privileged[0].astype(np.float32), 'applied_position': position.copy(),
            'shield_correction': np.zeros_like(position), 'shield_acted': False}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        """Apply an action (A,) for one control period."""
        episodes = self.episodes
        transition = episodes.step(np.asarray(action, dtype=np.float64)[None])
        shares = episodes.task.reward_terms(episodes.interface.view(episodes.state, transition.correction))
        observation, privileged = episodes.peek() if transition.done[0] else episodes.observe()
        info = {'privileged_observation': privileged[0].astype(np.float32),
                'applied_position': transition.applied_position[0].copy(),
                'shield_correction': transition.correction[0].copy(), 'shield_acted': bool(transition.corrected[0]),
                'reward_terms': {name: float(share[0]) for name, share in shares.items()}}
        return (observation[0].astype(np.float32), float(transition.reward[0]), bool(transition.terminated[0]),
                bool(transition.truncated[0]), info)

    def close(self) -> None:
        """Release the backend."""
        self.episodes.backend.close()

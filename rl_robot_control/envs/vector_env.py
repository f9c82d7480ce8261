"""N worlds as one Gymnasium vector environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rl_robot_control.backends.protocol import Backend
from rl_robot_control.envs.episodes import Episodes
from rl_robot_control.envs.other_commands import OtherCommands, can_be_retold
from rl_robot_control.tasks.task import Task
from rl_robot_control.types import FloatArray


class RobotVectorEnv(VectorEnv):
    """A task on N robots; an episode that ends starts anew within the same step.

    Observations are float32 (N, D), actions float32 (N, A). ``info`` holds ``privileged_observation`` (N, C), what only
    a critic may see; ``applied_position`` (N, J) and ``shield_correction`` (N, J) [rad]; ``shield_acted`` (N,);
    ``succeeded`` (N,), whether the task is done; and, where episodes ended, ``final_obs`` and
    ``final_privileged_observation``. A task with a goal adds ``achieved_goal`` (N, 3) and ``final_achieved_goal``;
    ``retell`` adds ``retold``.

    Args:
        backend: Where the robots live; put ``ShieldedBackend`` around it to learn under the shield.
        task: The task.
        seed: Source of all randomness, until ``reset`` gives another one.
        randomise: Vary starts and disturb the robots as the task says.
        stagger: Start with episodes at random ages, so that they do not all end at once.
        grows: See ``Episodes``.
    """

    metadata = {'autoreset_mode': AutoresetMode.SAME_STEP, 'render_modes': []}

    def __init__(self, backend: Backend, task: Task, seed: int | None = None, randomise: bool = True,
                 stagger: bool = False, grows: bool = True) -> None:
        self.episodes = Episodes(backend, task, seed, randomise, grows=grows)
        self.num_envs, self._stagger = backend.num_robots, stagger
        self._others: OtherCommands | None = None
        self.single_observation_space, self.single_action_space = spaces(self.episodes)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Start all episodes anew."""
        super().reset(seed=seed)
        if seed is not None:
            self.episodes.random = np.random.default_rng(seed)
        self.episodes.reset(np.arange(self.num_envs))
        if self._stagger:
            self.episodes.age()
        observation, privileged = self.episodes.observe()
        return observation.astype(np.float32), {'privileged_observation': privileged.astype(np.float32)} | self._goal()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, FloatArray, np.ndarray, np.ndarray, dict]:
        """Apply actions (N, A) for one control period."""
        episodes, others = self.episodes, self._others
        if others is not None:
            others.begin()
        transition = episodes.step(np.asarray(actions, dtype=np.float64))
        info: dict[str, Any] = {'applied_position': transition.applied_position,
                                'shield_correction': transition.correction, 'shield_acted': transition.corrected,
                                'succeeded': transition.succeeded}
        if others is not None:
            info['retold'] = others.end()
        ended = np.flatnonzero(transition.done)
        if ended.size:
            info |= self._final(ended)
            episodes.reset(ended)
        observation, privileged = episodes.observe()
        info |= {'privileged_observation': privileged.astype(np.float32)} | self._goal()
        return (observation.astype(np.float32), transition.reward, transition.terminated, transition.truncated, info)

    def retell(self, count: int) -> int:
        """Give with each step what it would have been under so many other commands, where the task allows it.

        Returns:
            How many it gives; 0 where the task does not allow it.
        """
        if not count or not can_be_retold(self.episodes.task.settings):
            return 0
        self._others = OtherCommands(self.episodes, count)
        return count

    @property
    def groups(self) -> dict[str, slice]:
        """The robots that do each task: all do the same."""
        return {self.episodes.task.name: slice(0, self.num_envs)}

    def state(self) -> dict[str, Any]:
        """What a resumed run needs: the state of randomness, and of the curriculum."""
        curriculum = self.episodes.curriculum
        return {'random': self.episodes.random.bit_generator.state,
                'curriculum': None if curriculum is None else curriculum.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the episodes that run are not part of it."""
        self.episodes.random.bit_generator.state = state['random']
        self.episodes.load_curriculum(state['curriculum'])

    def reseed(self, seed: Sequence[int]) -> None:
        """Draw from now on from another source of randomness."""
        self.episodes.random = np.random.default_rng(list(seed))

    def levels(self) -> dict[str, float]:
        """The curriculum's level, by the name that metrics have it under; empty without one."""
        curriculum = self.episodes.curriculum
        return {} if curriculum is None else {'curriculum_level': curriculum.level}

    def close_extras(self, **kwargs: Any) -> None:
        """Release the backend."""
        self.episodes.backend.close()

    def _goal(self) -> dict[str, Any]:
        achieved = self.episodes.achieved()
        return {} if achieved is None else {'achieved_goal': achieved.astype(np.float32)}

    def _final(self, ended: np.ndarray) -> dict[str, Any]:
        """The last observations of the episodes that ended, in Gymnasium's form: (N,) objects and a mask."""
        mask = np.zeros(self.num_envs, dtype=bool)
        mask[ended] = True
        info: dict[str, Any] = {}
        final = dict(zip(('final_obs', 'final_privileged_observation'), self.episodes.peek(), strict=True))
        final |= {f'final_{key}': values for key, values in self._goal().items()}
        for key, values in final.items():
            rows = np.full(self.num_envs, None, dtype=object)
            for i in ended:
                rows[i] = values[i].astype(np.float32)
            info |= {key: rows, f'_{key}': mask}
        return info


def spaces(episodes: Episodes) -> tuple[Box, Box]:
    """Observation space (D,) and action space (A,) of one robot."""
    interface = episodes.interface
    clip = np.float32(interface.settings.action.clip)
    return (Box(-np.inf, np.inf, (interface.num_observations,), np.float32),
            Box(-clip, clip, (interface.num_actions,), np.float32))

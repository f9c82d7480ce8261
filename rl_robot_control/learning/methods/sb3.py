"""Methods of Stable-Baselines3 and sb3-contrib: what its on-policy and its off-policy algorithms share here.

The libraries collect and learn; the trainer says for how long, saves, resumes and reports, as for every method. An
algorithm steps the ``World`` through a ``VecEnv``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from rl_robot_control.envs.other_commands import Retold
from rl_robot_control.learning.learner import Learner, all_finite
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.world import World

_NOTHING: dict[str, Any] = {}


class NormalizedFeatures(BaseFeaturesExtractor):
    """The normalised observation.

    Args:
        observation_space: The observations'.
        normalizer: One for all networks of an algorithm.
        seen: How many values of it are seen, from the first on; None: all.
    """

    def __init__(self, observation_space: spaces.Box, normalizer: Normalizer, seen: int | None = None) -> None:
        super().__init__(observation_space, seen or int(np.prod(observation_space.shape)))
        self.normalizer, self._seen = normalizer, seen

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Features (N, D)."""
        return self.normalizer(observations)[:, :self._seen]


class WorldVecEnv(VecEnv):
    """A world in the form that Stable-Baselines3 takes.

    Args:
        world: The world.
        normalizer: Is kept up to date with what is observed.
        actions: (K, A) actions among which a discrete policy chooses; None: actions are continuous.
        whole: Whether observations are followed by what only a critic may see.

    Attributes:
        retold: The latest step under other commands, ready for ``RetoldBuffer``; None: there is nothing of that kind.
    """

    retold: dict[str, np.ndarray] | None = None
    render_mode = None  # the library asks for it

    def __init__(self, world: World, normalizer: Normalizer, actions: np.ndarray | None = None,
                 whole: bool = False) -> None:
        self.world, self.normalizer, self._actions, self._whole = world, normalizer, actions, whole
        action_space = world.env.single_action_space if actions is None else spaces.Discrete(len(actions))
        super().__init__(world.num_robots, self.offered(world, whole), action_space)

    @staticmethod
    def offered(world: World, whole: bool) -> spaces.Space:
        """The space of observations."""
        size = (world.whole if whole else world.observation).shape[1]
        return spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def reset(self) -> Any:
        """The present observations; the world starts episodes by itself."""
        world = self.world
        observation = world.whole if self._whole else world.observation
        self.normalizer.update(torch.as_tensor(observation))
        return self._offer(observation, world.achieved)

    def step_async(self, actions: np.ndarray) -> None:
        """Take the next actions."""
        self._next = actions if self._actions is None else self._actions[actions.reshape(-1)]

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict]]:
        """Step the world."""
        step = self.world.step(self._next)
        self.retold = None if step.retold is None else self._rows(step.retold)
        infos, ended = [_NOTHING] * self.num_envs, np.flatnonzero(step.done)
        if ended.size:
            final = self._offer(step.following_whole if self._whole else step.following, step.achieved)
        for i in ended:
            infos[i] = {'terminal_observation': _row(final, i), 'TimeLimit.truncated': bool(step.truncated[i])}
        return (self.reset(), step.reward.astype(np.float32), step.done, infos)

    def _offer(self, observation: np.ndarray, achieved: np.ndarray | None) -> Any:
        """Observations in the form of the space."""
        return observation

    def _rows(self, retold: Retold) -> dict[str, np.ndarray]:
        """What a replay buffer holds of each robot's step under each other command."""
        seen, following = retold.observation, retold.following
        if self._whole:
            seen = np.concatenate([seen, retold.privileged], axis=1)
            following = np.concatenate([following, retold.following_privileged], axis=1)
        return {'obs': seen, 'next_obs': following, 'reward': retold.reward, 'done': retold.terminated}

    def close(self) -> None:
        """The world is its owner's to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, the same for every robot."""
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not offered."""
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """A method's result, the same for every robot."""
        return [getattr(self, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Nothing is wrapped; the trainer counts."""
        return [False] * self.num_envs


class Sb3Learner(Learner):
    """What all algorithms of Stable-Baselines3 share; see ``Learner``.

    Args:
        rules: Hyper-parameters.
        env: The world.
        model: The algorithm.
    """

    def __init__(self, rules: Any, env: WorldVecEnv, model: BaseAlgorithm) -> None:
        self._rules, self._env, self.model = rules, env, model
        model.set_logger(Logger(None, []))
        _, self._callback = model._setup_learn(rules.steps, _Silent())

    def state(self) -> dict[str, Any]:
        """See ``Learner.state``."""
        return {'networks': copy.deepcopy(_networks(self.model)), 'timesteps': self.model.num_timesteps,
                'updates': self.model._n_updates}

    def load(self, state: dict[str, Any]) -> None:
        """See ``Learner.load``."""
        _load_networks(self.model, state['networks'])
        self.model.num_timesteps, self.model._n_updates = state['timesteps'], state['updates']

    def shared(self) -> list[torch.Tensor]:
        """Parameters and buffers; every worker's optimiser keeps its own moments."""
        return [*self.model.policy.parameters(), *self.model.policy.buffers()]

    def parameters(self) -> dict[str, nn.Parameter]:
        """See ``Learner.parameters``."""
        return dict(self.model.policy.named_parameters())

    def finite(self) -> bool:
        """See ``Learner.finite``."""
        return all_finite(self.model.policy)

    def _spend(self, share: float) -> None:
        """Tell the algorithm how much of the budget is spent, for its schedules."""
        if share > 0:
            self.model._total_timesteps = max(self.model.num_timesteps, round(self.model.num_timesteps / share))
        self.model._current_progress_remaining = 1.0 - min(1.0, share)

    def _losses(self) -> dict[str, float]:
        """What the algorithm logged since the last call, without its prefix."""
        values = self.model.logger.name_to_value
        losses = {name.rpartition('/')[2]: float(value) for name, value in values.items() if name.startswith('train/')}
        values.clear()
        return losses


class _Silent(BaseCallback):
    def _on_step(self) -> bool:
        return True


def schedule(first: float, last: float | None) -> Callable[[float], float]:
    """A rate that goes linearly from the first value to the last; None: it stays."""
    last = first if last is None else last
    return lambda remaining: last + (first - last) * remaining


def extractor(normalizer: Normalizer) -> dict[str, Any]:
    """Keywords that give a policy normalised observations."""
    return {'features_extractor_class': NormalizedFeatures, 'features_extractor_kwargs': {'normalizer': normalizer}}


def seen_by_actor(policy: type, seen: int) -> type:
    """A kind of off-policy policy whose actor sees only the first values of what its critic sees.

    Args:
        policy: The library's policy with ``make_actor``.
        seen: How many values.
    """
    class Asymmetric(policy):
        def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
            normalizer = self.features_extractor_kwargs['normalizer']
            return super().make_actor(NormalizedFeatures(self.observation_space, normalizer, seen))

    return Asymmetric


def filled_up(observation: torch.Tensor, size: int) -> torch.Tensor:
    """Observations (N, D) with zeros (N, size) where a critic would see more."""
    return torch.cat([observation, torch.zeros_like(observation[:, :1]).expand(-1, size)], dim=1)


def _networks(model: BaseAlgorithm) -> dict[str, Any]:
    """State of networks and optimisers, and of single tensors that are learnt."""
    names, tensors = model._get_torch_save_params()
    states = {name: _attribute(model, name).state_dict() for name in names}
    return states | {name: _attribute(model, name).detach() for name in tensors}


def _load_networks(model: BaseAlgorithm, saved: dict[str, Any]) -> None:
    names, tensors = model._get_torch_save_params()
    for name in names:
        _attribute(model, name).load_state_dict(saved[name])
    for name in tensors:
        _attribute(model, name).data = saved[name].clone()


def _attribute(model: BaseAlgorithm, path: str) -> Any:
    for name in path.split('.'):
        model = getattr(model, name)
    return model


def _row(values: Any, i: int) -> Any:
    return {key: value[i] for key, value in values.items()} if isinstance(values, dict) else values[i]


class Exported(nn.Module):
    """A network that computes the same as a policy's deterministic action.

    Args:
        policy: The policy; copied.
        action: Computes actions from the copy and observations (N, D).
    """

    def __init__(self, policy: nn.Module, action: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.inner, self._action = copy.deepcopy(policy).eval(), action

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Actions (N, A) of observations (N, D)."""
        return self._action(self.inner, observation)

"""REINFORCE with a baseline (Williams 1992; Sutton and Barto 2018, section 13.4): whole episodes, one gradient step."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from torch import nn

from rl_robot_control.config import settings
from rl_robot_control.learning.learner import (
    Fraction,
    Learner,
    MethodSettings,
    NotNegative,
    PositiveFloat,
    PositiveInt,
    all_finite,
    descend,
)
from rl_robot_control.learning.networks import mlp
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.world import World


@settings
class ReinforceSettings(MethodSettings):
    """Hyper-parameters of REINFORCE; the horizon should hold a few episodes of each robot."""

    learning_rate: PositiveFloat
    discount: Fraction
    initial_std: PositiveFloat  # of the action
    entropy: NotNegative = 0.0
    baseline_updates: PositiveInt = 20  # gradient steps of the baseline per iteration
    gradient_clip: PositiveFloat = 1.0
    hidden: list[PositiveInt]


class _Networks(nn.Module):
    def __init__(self, rules: ReinforceSettings, world: World) -> None:
        super().__init__()
        whole = world.whole.shape[1]
        self.normalizer, self.whole_normalizer = Normalizer(world.num_observations), Normalizer(whole)
        self.mean = mlp([world.num_observations, *rules.hidden, world.num_actions], last_gain=0.01)
        self.log_std = nn.Parameter(torch.full((world.num_actions,), math.log(rules.initial_std)))
        self.baseline = mlp([whole, *rules.hidden, 1])

    def distribution(self, observation: torch.Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.mean(self.normalizer(observation)), self.log_std.exp())

    def value(self, whole: torch.Tensor) -> torch.Tensor:
        return self.baseline(self.whole_normalizer(whole))[:, 0]


class Reinforce(Learner):
    """The policy gradient from whole returns; see ``Learner``.

    Args:
        rules: Hyper-parameters.
        world: Where it learns.
    """

    Settings = ReinforceSettings

    def __init__(self, rules: ReinforceSettings, world: World) -> None:
        self._rules, self._world = rules, world
        self.networks = _Networks(rules, world)
        self._optimizer = torch.optim.Adam(self.networks.parameters(), lr=rules.learning_rate)

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        whole, actions, returns = self._collect()
        baseline_loss = self._fit_baseline(whole, returns)
        return self._climb(whole, actions, returns) | {'value': baseline_loss,
                                                      'action_std': float(self.networks.log_std.detach().exp().mean())}

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return nn.Sequential(copy.deepcopy(self.networks.normalizer), copy.deepcopy(self.networks.mean)).eval()

    def state(self) -> dict[str, Any]:
        """See ``Learner.state``."""
        return copy.deepcopy({'networks': self.networks.state_dict(), 'optimizer': self._optimizer.state_dict()})

    def load(self, state: dict[str, Any]) -> None:
        """See ``Learner.load``."""
        self.networks.load_state_dict(state['networks'])
        self._optimizer.load_state_dict(state['optimizer'])

    def shared(self) -> list[torch.Tensor]:
        """Parameters and the observation's statistics."""
        return list(self.networks.state_dict().values())

    def parameters(self) -> dict[str, nn.Parameter]:
        """See ``Learner.parameters``."""
        return dict(self.networks.named_parameters())

    def finite(self) -> bool:
        """See ``Learner.finite``."""
        return all_finite(self.networks)

    @torch.no_grad()
    def _collect(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A horizon of each robot: all that is seen (T·N, D + C), actions (T·N, A) and returns (T·N,).

        What follows the last step, and an episode that ran out of time, is taken from the baseline.
        """
        world, networks, rules = self._world, self.networks, self._rules
        rows, rewards, ends, beyond = [], [], [], []
        for _ in range(rules.horizon):
            observation, whole = torch.as_tensor(world.observation), torch.as_tensor(world.whole)
            networks.normalizer.update(observation)
            networks.whole_normalizer.update(whole)
            action = networks.distribution(observation).sample()
            step = world.step(action.numpy())
            value = networks.value(torch.as_tensor(step.following_whole)).double().numpy()
            rows.append((whole, action))
            rewards.append(step.reward)
            ends.append(step.done)
            beyond.append(np.where(step.terminated, 0.0, value))
        returns = discounted(np.array(rewards), np.array(ends), np.array(beyond), rules.discount)
        return (torch.cat([whole for whole, _ in rows]), torch.cat([action for _, action in rows]),
                torch.as_tensor(returns.reshape(-1), dtype=torch.float32))

    def _fit_baseline(self, whole: torch.Tensor, returns: torch.Tensor) -> float:
        for _ in range(self._rules.baseline_updates):
            loss = nn.functional.mse_loss(self.networks.value(whole), returns)
            descend(self._optimizer, loss, self._rules.gradient_clip)
        return float(loss.detach())

    def _climb(self, whole: torch.Tensor, actions: torch.Tensor, returns: torch.Tensor) -> dict[str, float]:
        with torch.no_grad():
            advantage = returns - self.networks.value(whole)
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        distribution = self.networks.distribution(whole[:, :self._world.num_observations])
        entropy = distribution.entropy().sum(dim=-1).mean()
        loss = -(distribution.log_prob(actions).sum(dim=-1) * advantage).mean() - self._rules.entropy * entropy
        descend(self._optimizer, loss, self._rules.gradient_clip)
        return {'policy_loss': float(loss.detach()), 'entropy': float(entropy.detach())}


def discounted(rewards: np.ndarray, ends: np.ndarray, beyond: np.ndarray, discount: float) -> np.ndarray:
    """Discounted sums of the rewards from each step to its episode's end.

    Args:
        rewards: (T, N).
        ends: (T, N) whether the episode ended with the step.
        beyond: (T, N) value of what would have followed the step, for episodes that the sum does not see end.
        discount: Per step.

    Returns:
        (T, N).
    """
    returns = np.empty_like(rewards, dtype=np.float64)
    following = beyond[-1]
    for t in reversed(range(len(rewards))):
        following = np.where(ends[t], beyond[t], following)
        returns[t] = following = rewards[t] + discount * following
    return returns

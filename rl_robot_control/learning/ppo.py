"""PPO: rsl_rl's algorithm, with the left-right mirroring around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from rsl_rl.algorithms import PPO
from rsl_rl.models import MLPModel
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import nn

from rl_robot_control.learning.networks import PolicyNetwork
from rl_robot_control.learning.settings import PpoSettings
from rl_robot_control.learning.symmetry import PhaseMirror
from rl_robot_control.types import FloatArray

_GROUPS = {'actor': ['observation'], 'critic': ['observation', 'privileged']}


class Ppo:
    """Proximal policy optimisation for N environments.

    One iteration is ``horizon`` times ``act`` → ``store``, then ``update``.

    Args:
        rules: Hyper-parameters.
        observation: (N, D) float32, an example.
        privileged: (N, C) float32, an example of what only the critic sees.
        num_actions: A.
        mirror: Left-right mirrors, or None.
    """

    def __init__(self, rules: PpoSettings, observation: np.ndarray, privileged: np.ndarray, num_actions: int,
                 mirror: PhaseMirror | None) -> None:
        self._rules, self._mirror = rules, mirror if rules.mirror_phase else None
        example, _ = self._to_learner(observation, privileged)
        distribution = {'class_name': 'rsl_rl.modules.distribution:GaussianDistribution', 'init_std': rules.initial_std,
                        'std_type': 'log'}
        common = {'hidden_dims': list(rules.hidden), 'activation': 'elu', 'obs_normalization': True}
        actor = MLPModel(example, _GROUPS, 'actor', num_actions, distribution_cfg=distribution, **common)
        critic = MLPModel(example, _GROUPS, 'critic', 1, **common)
        _shrink_last_layer(actor.mlp)
        storage = RolloutStorage('rl', len(observation), rules.horizon, example, [num_actions], 'cpu')
        self._ppo = PPO(actor, critic, storage, num_learning_epochs=rules.epochs, num_mini_batches=rules.minibatches,
                        clip_param=rules.clip, gamma=rules.discount, lam=rules.trace_decay, entropy_coef=rules.entropy,
                        learning_rate=rules.learning_rate, max_grad_norm=rules.gradient_clip, schedule='fixed')
        self._ppo.train_mode()

    @torch.inference_mode()
    def act(self, observation: np.ndarray, privileged: np.ndarray) -> FloatArray:
        """Actions (N, A) drawn from the policy."""
        seen, mirrored = self._to_learner(observation, privileged)
        return self._from_learner(self._ppo.act(seen).numpy(), mirrored)

    @torch.inference_mode()
    def store(self, reward: FloatArray, terminated: np.ndarray, truncated: np.ndarray, observation: np.ndarray,
              privileged: np.ndarray) -> None:
        """Remember the outcome of the latest actions; a time-out is no failure and is bootstrapped."""
        seen, _ = self._to_learner(observation, privileged)
        self._ppo.process_env_step(seen, torch.as_tensor(reward, dtype=torch.float32),
                                   torch.as_tensor(terminated | truncated),
                                   {'time_outs': torch.as_tensor(truncated, dtype=torch.float32)})

    def update(self, observation: np.ndarray, privileged: np.ndarray, progress: float) -> dict[str, float]:
        """Learn from the stored steps.

        Args:
            observation: (N, D) what follows the last stored step.
            privileged: (N, C) likewise.
            progress: Share of the run's budget that is spent, for the learning rate.

        Returns:
            Losses, by name.
        """
        with torch.inference_mode():
            self._ppo.compute_returns(self._to_learner(observation, privileged)[0])
        first, last = self._rules.learning_rate, self._rules.final_learning_rate
        rate = first + (last - first) * min(1.0, progress)
        for group in self._ppo.optimizer.param_groups:
            group['lr'] = rate
        losses = self._ppo.update()
        std = self._ppo.actor.distribution.std.mean().item()
        return {**losses, 'learning_rate': rate, 'action_std': std}

    def policy(self) -> nn.Module:
        """The deterministic policy, a copy: observations (N, D) to actions (N, A)."""
        return PolicyNetwork(self._ppo.actor.as_jit(), self._mirror).eval()

    def state(self) -> dict[str, Any]:
        """Everything that ``load`` needs."""
        return self._ppo.save()

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self._ppo.load(state, None, strict=True)

    def shared(self) -> list[torch.Tensor]:
        """The tensors that workers average: parameters, the observation's statistics, Adam's moments."""
        tensors = [*self._ppo.actor.state_dict().values(), *self._ppo.critic.state_dict().values()]
        for moments in self._ppo.optimizer.state.values():
            tensors += [moments['exp_avg'], moments['exp_avg_sq']]
        return tensors

    def finite(self) -> bool:
        """Whether all parameters are finite."""
        return all(torch.isfinite(p).all() for model in (self._ppo.actor, self._ppo.critic) for p in model.parameters())

    def _to_learner(self, observation: np.ndarray, privileged: np.ndarray) -> tuple[TensorDict, np.ndarray | None]:
        """What the learner sees, and which robots it sees in the mirror."""
        mirrored = None
        if self._mirror is not None:
            mirrored = self._mirror.mirrored(observation)[:, None]
            observation = np.where(mirrored, self._mirror.observation(observation), observation)
            privileged = np.where(mirrored, self._mirror.privileged(privileged), privileged)
        seen = {'observation': torch.as_tensor(observation, dtype=torch.float32),
                'privileged': torch.as_tensor(privileged, dtype=torch.float32)}
        return TensorDict(seen, batch_size=[len(observation)]), mirrored

    def _from_learner(self, action: np.ndarray, mirrored: np.ndarray | None) -> FloatArray:
        if mirrored is None:
            return action.astype(np.float64)
        return np.where(mirrored, self._mirror.action(action), action)


def _shrink_last_layer(network: nn.Module) -> None:
    """Let a fresh policy start close to the default pose (Andrychowicz et al. 2020, arXiv 2006.05990)."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.weight *= 0.01
        last.bias.zero_()

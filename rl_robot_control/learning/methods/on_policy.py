"""Actor-critic methods that learn from what the present policy has just done: A2C, TRPO, recurrent PPO."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from sb3_contrib import TRPO, RecurrentPPO
from stable_baselines3 import A2C
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from torch import nn

from rl_robot_control.config import settings
from rl_robot_control.learning.learner import Fraction, MethodSettings, NotNegative, PositiveFloat, PositiveInt
from rl_robot_control.learning.methods.sb3 import (
    Exported,
    Sb3Learner,
    WorldVecEnv,
    extractor,
    filled_up,
    schedule,
)
from rl_robot_control.learning.networks import RecurrentPolicy
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.world import World


@settings
class OnPolicySettings(MethodSettings):
    """Hyper-parameters that the methods of this module share."""

    learning_rate: PositiveFloat
    final_learning_rate: PositiveFloat | None = None  # reached linearly at the end of the budget; null: constant
    discount: Fraction
    trace_decay: Fraction  # lambda of generalised advantage estimation
    initial_std: PositiveFloat  # of the action
    hidden: list[PositiveInt]


@settings
class A2cSettings(OnPolicySettings):
    """Hyper-parameters of A2C; names follow Mnih et al. 2016 (arXiv 1602.01783)."""

    entropy: NotNegative = 0.0
    gradient_clip: PositiveFloat = 0.5


@settings
class TrpoSettings(OnPolicySettings):
    """Hyper-parameters of TRPO (Schulman et al. 2015, arXiv 1502.05477); the learning rate is the critic's."""

    divergence: PositiveFloat = 0.01  # greatest KL divergence of an update
    batch: PositiveInt = 256
    critic_updates: PositiveInt = 10


@settings
class RecurrentPpoSettings(OnPolicySettings):
    """Hyper-parameters of PPO with an LSTM."""

    epochs: PositiveInt
    batch: PositiveInt
    clip: PositiveFloat
    entropy: NotNegative = 0.0
    gradient_clip: PositiveFloat = 1.0
    memory: PositiveInt  # size of the LSTM's state


class AsymmetricPolicy(ActorCriticPolicy):
    """A policy that sees only the first values of what its critic sees.

    Args:
        arguments: As the library's policy has them.
        seen: How many values.
        keywords: Likewise.
    """

    def __init__(self, *arguments: Any, seen: int, **keywords: Any) -> None:
        self._seen = seen
        super().__init__(*arguments, **keywords)

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        layers = {'net_arch': self.net_arch, 'activation_fn': self.activation_fn, 'device': self.device}
        self.mlp_extractor.policy_net = nn.Sequential(
            _First(self._seen), *MlpExtractor(self._seen, **layers).policy_net)


class _First(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features[:, :self._count]


class OnPolicy(Sb3Learner):
    """Collects a horizon, learns from it once; see ``Learner``."""

    whole = True  # the critic sees more than the policy

    def __init__(self, rules: OnPolicySettings, world: World) -> None:
        self._more = world.privileged.shape[1] if self.whole else 0
        self._normalizer = Normalizer(world.num_observations + self._more)
        env = WorldVecEnv(world, self._normalizer, whole=self.whole)
        super().__init__(rules, env, self._make(rules, env))

    def _make(self, rules: Any, env: WorldVecEnv) -> OnPolicyAlgorithm:
        raise NotImplementedError

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        self._spend(share)
        self.model.collect_rollouts(self._env, self._callback, self.model.rollout_buffer, self._rules.horizon)
        self.model.train()
        return self._losses()

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        more = self._more
        return Exported(self.model.policy, lambda policy, observation: policy.action_net(
            policy.mlp_extractor.forward_actor(policy.pi_features_extractor(filled_up(observation, more)))))


class A2c(OnPolicy):
    """Advantage actor-critic; with asynchronous workers it is A3C."""

    Settings = A2cSettings

    def _make(self, rules: A2cSettings, env: WorldVecEnv) -> A2C:
        return A2C(AsymmetricPolicy, env, gae_lambda=rules.trace_decay, ent_coef=rules.entropy,
                   normalize_advantage=True, max_grad_norm=rules.gradient_clip, **_common(rules, env))


class Trpo(OnPolicy):
    """Trust region policy optimisation."""

    Settings = TrpoSettings

    def _make(self, rules: TrpoSettings, env: WorldVecEnv) -> TRPO:
        return TRPO(AsymmetricPolicy, env, gae_lambda=rules.trace_decay, target_kl=rules.divergence,
                    batch_size=rules.batch, n_critic_updates=rules.critic_updates, **_common(rules, env))


class RecurrentPpo(OnPolicy):
    """PPO whose policy has a memory; it is exported with its state as an input and an output."""

    Settings, whole = RecurrentPpoSettings, False

    def _make(self, rules: RecurrentPpoSettings, env: WorldVecEnv) -> RecurrentPPO:
        common = _common(rules, env)
        del common['policy_kwargs']['seen']
        common['policy_kwargs'] |= {'lstm_hidden_size': rules.memory, 'enable_critic_lstm': True}
        return RecurrentPPO('MlpLstmPolicy', env, gae_lambda=rules.trace_decay, n_epochs=rules.epochs,
                            batch_size=rules.batch, clip_range=rules.clip, ent_coef=rules.entropy,
                            max_grad_norm=rules.gradient_clip, **common)

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return RecurrentPolicy(copy.deepcopy(self.model.policy).eval())


def _common(rules: OnPolicySettings, env: WorldVecEnv) -> dict[str, Any]:
    policy = {'seen': env.world.num_observations, 'net_arch': list(rules.hidden), 'activation_fn': nn.Tanh,
              'log_std_init': math.log(rules.initial_std)}
    return {'n_steps': rules.horizon, 'gamma': rules.discount, 'device': torch.device('cpu'),
            'learning_rate': schedule(rules.learning_rate, rules.final_learning_rate),
            'policy_kwargs': policy | extractor(env.normalizer)}

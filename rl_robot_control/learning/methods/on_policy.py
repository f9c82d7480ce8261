"""Actor-critic methods that learn from what the present policy has just done: A2C, TRPO, recurrent PPO."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from sb3_contrib import TRPO, RecurrentPPO
from stable_baselines3 import A2C
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import nn

from rl_robot_control.config import settings
from rl_robot_control.learning.learner import Fraction, MethodSettings, NotNegative, PositiveFloat, PositiveInt
from rl_robot_control.learning.methods.sb3 import Exported, Sb3Learner, WorldVecEnv, extractor, schedule
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


class OnPolicy(Sb3Learner):
    """Collects a horizon, learns from it once; see ``Learner``."""

    def __init__(self, rules: OnPolicySettings, world: World) -> None:
        self._normalizer = Normalizer(world.num_observations)
        env = WorldVecEnv(world, self._normalizer)
        super().__init__(rules, env, self._make(rules, env))

    def _make(self, rules: Any, env: WorldVecEnv) -> OnPolicyAlgorithm:
        raise NotImplementedError

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        self._spend(share)
        self.model.collect_rollouts(self._env, self._callback, self.model.rollout_buffer, self._rules.horizon)
        self._spend(share)
        self.model.train()
        return self._losses()

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return Exported(self.model.policy, lambda policy, observation: policy.action_net(
            policy.mlp_extractor.forward_actor(policy.pi_features_extractor(observation))))


class A2c(OnPolicy):
    """Advantage actor-critic; with asynchronous workers it is A3C."""

    Settings = A2cSettings

    def _make(self, rules: A2cSettings, env: WorldVecEnv) -> A2C:
        return A2C('MlpPolicy', env, gae_lambda=rules.trace_decay, ent_coef=rules.entropy, normalize_advantage=True,
                   max_grad_norm=rules.gradient_clip, **_common(rules, self._normalizer))


class Trpo(OnPolicy):
    """Trust region policy optimisation."""

    Settings = TrpoSettings

    def _make(self, rules: TrpoSettings, env: WorldVecEnv) -> TRPO:
        return TRPO('MlpPolicy', env, gae_lambda=rules.trace_decay, target_kl=rules.divergence, batch_size=rules.batch,
                    n_critic_updates=rules.critic_updates, **_common(rules, self._normalizer))


class RecurrentPpo(OnPolicy):
    """PPO whose policy has a memory; it is exported with its state as an input and an output."""

    Settings = RecurrentPpoSettings

    def _make(self, rules: RecurrentPpoSettings, env: WorldVecEnv) -> RecurrentPPO:
        common = _common(rules, self._normalizer)
        common['policy_kwargs'] |= {'lstm_hidden_size': rules.memory, 'enable_critic_lstm': True}
        return RecurrentPPO('MlpLstmPolicy', env, gae_lambda=rules.trace_decay, n_epochs=rules.epochs,
                            batch_size=rules.batch, clip_range=rules.clip, ent_coef=rules.entropy,
                            max_grad_norm=rules.gradient_clip, **common)

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return RecurrentPolicy(copy.deepcopy(self.model.policy).eval())


def _common(rules: OnPolicySettings, normalizer: Normalizer) -> dict[str, Any]:
    policy = {'net_arch': list(rules.hidden), 'log_std_init': math.log(rules.initial_std), 'activation_fn': nn.Tanh}
    return {'n_steps': rules.horizon, 'gamma': rules.discount, 'device': torch.device('cpu'),
            'learning_rate': schedule(rules.learning_rate, rules.final_learning_rate),
            'policy_kwargs': policy | extractor(normalizer)}

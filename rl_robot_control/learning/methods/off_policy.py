"""Methods that learn from a replay buffer: DQN and QR-DQN over discrete actions; SAC, TD3, TQC and CrossQ."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from sb3_contrib import QRDQN, TQC, CrossQ
from stable_baselines3 import DQN, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from torch import nn

from rl_robot_control.config import settings
from rl_robot_control.learning.actions import action_grid
from rl_robot_control.learning.learner import Fraction, MethodSettings, NotNegative, PositiveFloat, PositiveInt, Share
from rl_robot_control.learning.methods.sb3 import (
    Exported,
    Sb3Learner,
    WorldVecEnv,
    extractor,
    filled_up,
    schedule,
    seen_by_actor,
)
from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.replay import RetoldBuffer, load_buffer, saved_buffer
from rl_robot_control.learning.world import World

KINDS: dict[str, type[OffPolicyAlgorithm]] = {'sac': SAC, 'td3': TD3, 'tqc': TQC, 'crossq': CrossQ}
_ONE_STEP = TrainFreq(1, TrainFrequencyUnit.STEP)


@settings
class OffPolicySettings(MethodSettings):
    """Hyper-parameters that the methods of this module share."""

    learning_rate: PositiveFloat
    final_learning_rate: PositiveFloat | None = None  # reached linearly at the end of the budget; null: constant
    discount: Fraction
    buffer: PositiveInt  # steps that are remembered, of all robots together
    warm_up: PositiveInt  # steps with random actions before learning begins
    batch: PositiveInt = 256
    updates: PositiveFloat = 1.0  # gradient steps per step of one robot
    smoothing: Fraction = 0.005  # tau of the target networks
    other_commands: Annotated[int, Field(ge=0)] = 0  # under which each step is learnt from, too, drawn as the
    # task draws its own; of tasks that ``other_commands.can_be_retold`` names
    hidden: list[PositiveInt]


@settings
class ContinuousSettings(OffPolicySettings):
    """Hyper-parameters of SAC, TD3, TQC and CrossQ."""

    algorithm: Literal['sac', 'td3', 'tqc', 'crossq']
    noise: NotNegative = 0.1  # deviation of TD3's exploration, as a share of the action's bound
    entropy: PositiveFloat | Literal['auto'] = 'auto'  # temperature of the others; auto: found while learning
    initial_entropy: PositiveFloat = 0.01  # where 'auto' begins. A step's reward is a few hundredths here, and a
    # temperature of 1 would drown it for thousands of updates.


@settings
class DiscreteSettings(OffPolicySettings):
    """Hyper-parameters of DQN (Mnih et al. 2015) and QR-DQN (Dabney et al. 2017, arXiv 1710.10044)."""

    algorithm: Literal['dqn', 'qrdqn']
    levels: PositiveInt  # values of each joint's action; the policy chooses among all combinations
    exploration: Share = 0.3  # of the budget, in which random actions become rare
    final_exploration: Share = 0.05  # share of random actions after that
    target_interval: PositiveInt = 500  # steps between two copies to the target network
    quantiles: PositiveInt = 25  # of QR-DQN


class OffPolicy(Sb3Learner):
    """Steps, remembers, and learns from what it remembers; see ``Learner``."""

    in_real_time = True
    model: OffPolicyAlgorithm

    def __init__(self, rules: Any, env: WorldVecEnv, model: OffPolicyAlgorithm) -> None:
        super().__init__(rules, env, model)
        self._due = 0.0  # gradient steps that are owed
        # The libraries draw random actions from the space, which has a source of its own.
        env.action_space.seed(int(env.world.env.episodes.random.integers(2**31)))

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        rules, model = self._rules, self.model
        self._spend(share)
        taken = 0
        while taken < rules.horizon or not self._env.world.waits:
            taken += 1
            model.collect_rollouts(self._env, self._callback, train_freq=_ONE_STEP, action_noise=model.action_noise,
                                   learning_starts=rules.warm_up, replay_buffer=model.replay_buffer)
            if model.num_timesteps > rules.warm_up:
                self._due += rules.updates * self._env.num_envs
                if self._due >= 1 and self._env.world.waits:
                    model.train(int(self._due), rules.batch)
                    self._due -= int(self._due)
        return self._losses()

    def memory(self) -> dict[str, Any]:
        """See ``Learner.memory``: the replay buffer, and where random actions come from."""
        return {'buffer': saved_buffer(self.model.replay_buffer), 'due': self._due, 'random': self._random.state}

    def recall(self, memory: dict[str, Any]) -> None:
        """See ``Learner.recall``."""
        self._due = memory['due']
        load_buffer(self.model.replay_buffer, memory['buffer'])
        self._random.state = memory.get('random', self._random.state)  # not there in older checkpoints

    @property
    def _random(self) -> np.random.BitGenerator:
        return self._env.action_space.np_random.bit_generator


class Continuous(OffPolicy):
    """SAC, TD3, TQC or CrossQ, whose critics see more than their policies.

    Args:
        rules: Hyper-parameters.
        world: Where it learns.
        more: Further keywords of the algorithm.
    """

    Settings = ContinuousSettings

    def __init__(self, rules: ContinuousSettings, world: World, **more: Any) -> None:
        self._more = world.privileged.shape[1]
        normalizer = Normalizer(world.num_observations + self._more)
        env = WorldVecEnv(world, normalizer, whole=True)
        policy = seen_by_actor(KINDS[rules.algorithm].policy_aliases['MlpPolicy'], world.num_observations)
        super().__init__(rules, env, make_continuous(rules, env, policy, policy_kwargs=extractor(normalizer), **more))

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return continuous_policy(self.model, self._more)


class Discrete(OffPolicy):
    """DQN or QR-DQN over a grid of actions."""

    Settings = DiscreteSettings

    def __init__(self, rules: DiscreteSettings, world: World) -> None:
        self._actions = action_grid(world.num_actions, rules.levels, world.action_limit)
        normalizer = Normalizer(world.num_observations)
        env = WorldVecEnv(world, normalizer, self._actions)
        common = _common(rules, env) | {
            'exploration_fraction': max(1e-6, rules.exploration), 'exploration_final_eps': rules.final_exploration,
            'target_update_interval': rules.target_interval, 'tau': 1.0}
        policy = {'net_arch': list(rules.hidden)} | extractor(normalizer)
        if rules.algorithm == 'qrdqn':
            model = QRDQN('MlpPolicy', env, policy_kwargs=policy | {'n_quantiles': rules.quantiles}, **common)
        else:
            model = DQN('MlpPolicy', env, policy_kwargs=policy, **common)
        super().__init__(rules, env, model)

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        actions = torch.as_tensor(self._actions, dtype=torch.float32)
        return Exported(self.model.policy,
                        lambda policy, observation: actions[_values(policy, observation).argmax(dim=1)])


def make_continuous(rules: ContinuousSettings, env: WorldVecEnv, policy: str | type, *,
                    policy_kwargs: dict[str, Any], **more: Any) -> OffPolicyAlgorithm:
    """The algorithm that the settings name.

    Args:
        rules: The settings.
        env: The world.
        policy: Kind of the policy, or its class.
        policy_kwargs: Keywords of the policy, besides the sizes of its layers.
        more: Further keywords of the algorithm.
    """
    policy_kwargs = {'net_arch': list(rules.hidden)} | policy_kwargs
    common = _common(rules, env) | more
    if rules.algorithm == 'td3':
        size, n = env.action_space.shape[0], env.num_envs
        noise = NormalActionNoise(np.zeros(size), np.full(size, rules.noise))
        return TD3(policy, env, tau=rules.smoothing, action_noise=VectorizedActionNoise(noise, n),
                   policy_kwargs=policy_kwargs, **common)
    common['ent_coef'] = f'auto_{rules.initial_entropy}' if rules.entropy == 'auto' else rules.entropy
    if rules.algorithm == 'crossq':
        return CrossQ(policy, env, policy_kwargs=policy_kwargs, **common)
    return KINDS[rules.algorithm](policy, env, tau=rules.smoothing, policy_kwargs=policy_kwargs, **common)


def continuous_policy(model: OffPolicyAlgorithm, more: int = 0) -> nn.Module:
    """The mean action of an actor, in the units of the world.

    Args:
        model: Whose.
        more: How many values its critic sees besides.
    """
    low, high = (torch.as_tensor(bound) for bound in (model.action_space.low, model.action_space.high))
    squashed = _td3_action if isinstance(model, TD3) else _mean_action

    def act(actor: nn.Module, observation: Any) -> torch.Tensor:
        seen = filled_up(observation, more) if more else observation
        return low + 0.5 * (squashed(actor, seen) + 1.0) * (high - low)

    return Exported(model.policy.actor, act)


def _td3_action(actor: nn.Module, observation: torch.Tensor) -> torch.Tensor:
    return actor(observation)


def _mean_action(actor: nn.Module, observation: torch.Tensor) -> torch.Tensor:
    return torch.tanh(actor.get_action_dist_params(observation)[0])


def _values(policy: nn.Module, observation: torch.Tensor) -> torch.Tensor:
    """Values (N, K) of the discrete actions."""
    if hasattr(policy, 'quantile_net'):
        return policy.quantile_net(observation).mean(dim=1)
    return policy.q_net(observation)


def _common(rules: OffPolicySettings, env: WorldVecEnv) -> dict[str, Any]:
    others = env.world.env.retell(rules.other_commands)
    return {'replay_buffer_class': RetoldBuffer, 'replay_buffer_kwargs': {'env': env, 'others': others},
            'learning_rate': schedule(rules.learning_rate, rules.final_learning_rate), 'gamma': rules.discount,
            'buffer_size': rules.buffer, 'learning_starts': rules.warm_up, 'batch_size': rules.batch,
            'device': torch.device('cpu')}


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

from rl_robot_control.config import settings
from rl_robot_control.learning.learner import Fraction, Learner, MethodSettings, NotNegative, PositiveFloat, PositiveInt
from rl_robot_control.learning.networks import PolicyNetwork
from rl_robot_control.learning.symmetry import PhaseMirror
from rl_robot_control.learning.world import World
from rl_robot_control.types import FloatArray

_ALL = ['observation', 'privileged']


@settings
class PpoSettings(MethodSettings):
    """Hyper-parameters of PPO; names follow Schulman et al. 2017 (arXiv 1707.06347)."""

    epochs: PositiveInt
    minibatches: PositiveInt
    learning_rate: PositiveFloat
    final_learning_rate: PositiveFloat  # reached linearly at the end of the budget
    clip: PositiveFloat
    discount: Fraction
    trace_decay: Fraction  # lambda of generalised advantage estimation
    entropy: NotNegative
    initial_std: PositiveFloat
    gradient_clip: PositiveFloat
    hidden: tuple[int, ...]
    mirror_phase: bool = True  # learn one half of the gait and mirror it, where task and robot allow
    privileged_policy: bool = False  # the policy sees what the critic sees: a teacher, which cannot be deployed


class Ppo(Learner):
    """Proximal policy optimisation; its critic sees more than its policy, unless that is a teacher.

    Args:
        rules: Hyper-parameters.
        world: Where it learns.
    """

    Settings = PpoSettings

    def __init__(self, rules: PpoSettings, world: World) -> None:
        self._rules, self._world = rules, world
        self._mirror = PhaseMirror.of(world.interface, world.task.settings.critic) if rules.mirror_phase else None
        example, _ = self._to_learner(world.observation, world.privileged)
        distribution = {'class_name': 'rsl_rl.modules.distribution:GaussianDistribution', 'init_std': rules.initial_std,
                        'std_type': 'log'}
        common = {'hidden_dims': list(rules.hidden), 'activation': 'elu', 'obs_normalization': True}
        groups = {'actor': _ALL if rules.privileged_policy else ['observation'], 'critic': _ALL}
        actor = MLPModel(example, groups, 'actor', world.num_actions, distribution_cfg=distribution, **common)
        critic = MLPModel(example, groups, 'critic', 1, **common)
        _shrink_last_layer(actor.mlp)
        storage = RolloutStorage('rl', world.num_robots, rules.horizon, example, [world.num_actions], 'cpu')
        self._ppo = PPO(actor, critic, storage, num_learning_epochs=rules.epochs, num_mini_batches=rules.minibatches,
                        clip_param=rules.clip, gamma=rules.discount, lam=rules.trace_decay, entropy_coef=rules.entropy,
                        learning_rate=rules.learning_rate, max_grad_norm=rules.gradient_clip, schedule='fixed')
        self._ppo.train_mode()

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        for _ in range(self._rules.horizon):
            self._step()
        return self._update(share)

    @torch.inference_mode()
    def _step(self) -> None:
        """Act once and remember the outcome; a time-out is no failure and is bootstrapped."""
        world = self._world
        seen, mirrored = self._to_learner(world.observation, world.privileged)
        step = world.step(self._from_learner(self._ppo.act(seen).numpy(), mirrored))
        following, _ = self._to_learner(step.observation, step.privileged)
        self._ppo.process_env_step(following, torch.as_tensor(step.reward, dtype=torch.float32),
                                   torch.as_tensor(step.done),
                                   {'time_outs': torch.as_tensor(step.truncated, dtype=torch.float32)})

    def _update(self, share: float) -> dict[str, float]:
        with torch.inference_mode():
            self._ppo.compute_returns(self._to_learner(self._world.observation, self._world.privileged)[0])
        first, last = self._rules.learning_rate, self._rules.final_learning_rate
        rate = first + (last - first) * min(1.0, share)
        for group in self._ppo.optimizer.param_groups:
            group['lr'] = rate
        losses = self._ppo.update()
        std = self._ppo.actor.distribution.std.mean().item()
        return {**losses, 'learning_rate': rate, 'action_std': std}

    def policy(self) -> nn.Module:
        """See ``Learner.policy``."""
        return PolicyNetwork(self._ppo.actor.as_jit(), self._mirror, self._rules.privileged_policy).eval()

    def state(self) -> dict[str, Any]:
        """See ``Learner.state``."""
        return self._ppo.save()

    def load(self, state: dict[str, Any]) -> None:
        """See ``Learner.load``."""
        self._ppo.load(state, None, strict=True)

    def shared(self) -> list[torch.Tensor]:
        """Parameters, the observation's statistics, Adam's moments."""
        tensors = [*self._ppo.actor.state_dict().values(), *self._ppo.critic.state_dict().values()]
        for moments in self._ppo.optimizer.state.values():
            tensors += [moments['exp_avg'], moments['exp_avg_sq']]
        return tensors

    def parameters(self) -> dict[str, nn.Parameter]:
        """See ``Learner.parameters``."""
        return {f'{name}.{key}': value for name, model in (('actor', self._ppo.actor), ('critic', self._ppo.critic))
                for key, value in model.named_parameters()}

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

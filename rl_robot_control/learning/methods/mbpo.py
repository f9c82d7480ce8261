"""MBPO: SAC that learns from short rollouts through learnt dynamics.

After Janner et al. 2019 (arXiv 1906.08253). A rollout branches off from a state that a robot was in; it is short, so
that the model's errors do not add up, and there are many, so that SAC makes many more gradient steps per step of a
robot than it could from real ones alone.
"""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from rl_robot_control.config import settings
from rl_robot_control.learning.learner import PositiveInt, Share, all_finite
from rl_robot_control.learning.methods.dynamics import Dynamics, DynamicsSettings, transitions
from rl_robot_control.learning.methods.off_policy import Continuous, ContinuousSettings
from rl_robot_control.learning.replay import RetoldBuffer, Rows
from rl_robot_control.learning.world import World


@settings
class MbpoSettings(ContinuousSettings):
    """Hyper-parameters of SAC and of its imagination."""

    dynamics: DynamicsSettings
    rollouts: PositiveInt  # that branch off per iteration
    first_length: PositiveInt = 1  # steps of a rollout ...
    last_length: PositiveInt = 5  # ... which grow linearly to this
    grown_at: Share = 0.5  # part of the budget
    imagined: PositiveInt  # latest imagined steps that are remembered
    real: Share = 0.1  # share of the real steps in a batch


class MixedBuffer(RetoldBuffer):
    """A replay buffer that gives imagined steps with the real ones, once there are any.

    Actions are stored as Stable-Baselines3 has them, within ±1.
    """

    imagination: Rows | None = None
    real = 1.0  # share of the real steps

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """See ``ReplayBuffer.sample``."""
        if not self.imagination:
            return super().sample(batch_size, env)
        count = round(self.real * batch_size)
        index = torch.randint(len(self.imagination), (batch_size - count,))
        rows = [self.imagination[name][index]
                for name in ('observation', 'action', 'following', 'terminated', 'reward')]
        if not count:
            return ReplayBufferSamples(*rows)
        return ReplayBufferSamples(*(torch.cat(pair) for pair in zip(super().sample(count, env), rows, strict=False)))


class Mbpo(Continuous):
    """Model-based policy optimisation.

    Args:
        rules: Hyper-parameters.
        world: Where it learns.
    """

    Settings = MbpoSettings

    def __init__(self, rules: MbpoSettings, world: World) -> None:
        super().__init__(rules, world, replay_buffer_class=MixedBuffer)
        self.dynamics = Dynamics.of(rules.dynamics, world)
        self._imagined = transitions(world, rules.imagined)
        self._buffer.imagination, self._buffer.real = self._imagined, rules.real

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        losses = {}
        if self.model.num_timesteps >= self._rules.warm_up:
            seen = self._real()
            losses['dynamics'] = self.dynamics.fit(seen)
            losses['rollout_length'] = self._imagine(seen, self._length(share))
        return losses | super().iterate(share)

    def state(self) -> dict[str, Any]:
        """See ``Learner.state``."""
        return super().state() | {'dynamics': self.dynamics.state()}

    def load(self, state: dict[str, Any]) -> None:
        """See ``Learner.load``."""
        super().load(state)
        self.dynamics.load(state['dynamics'])

    def memory(self) -> dict[str, Any]:
        """See ``Learner.memory``: the real and the imagined steps."""
        return super().memory() | {'imagined': self._imagined.saved()}

    def recall(self, memory: dict[str, Any]) -> None:
        """See ``Learner.recall``."""
        super().recall(memory)
        self._imagined.load(memory['imagined'])

    def shared(self) -> list[torch.Tensor]:
        """See ``Learner.shared``."""
        return [*super().shared(), *self.dynamics.state_dict().values()]

    def finite(self) -> bool:
        """See ``Learner.finite``."""
        return super().finite() and all_finite(self.dynamics)

    @property
    def _buffer(self) -> MixedBuffer:
        return self.model.replay_buffer

    def _real(self) -> Rows:
        """The real steps."""
        buffer = self._buffer
        arrays = {'observation': buffer.observations, 'action': buffer.actions * self.dynamics.limit,
                  'following': buffer.next_observations, 'reward': buffer.rewards,
                  'terminated': buffer.dones * (1.0 - buffer.timeouts)}
        count = buffer.size() * buffer.n_envs
        rows = transitions(self._env.world, count)
        rows.add(**{name: torch.from_numpy(array[:buffer.size()].reshape(count, -1))
                    for name, array in arrays.items()})
        return rows

    def _length(self, share: float) -> int:
        """Steps of a rollout."""
        rules = self._rules
        grown = min(1.0, share / max(1e-6, rules.grown_at))
        return round(rules.first_length + grown * (rules.last_length - rules.first_length))

    @torch.no_grad()
    def _imagine(self, seen: Rows, length: int) -> int:
        """Remember rollouts of the present policy from states that were seen; each step is another member's guess."""
        start = torch.randint(len(seen), (self._rules.rollouts,))
        state = seen['observation'][start]
        for _ in range(length):
            if not len(state):
                break
            action = self.model.actor(state)
            following, reward, ended = _guess(self.dynamics, state, action * self.dynamics.limit)
            terminated = torch.rand(len(state)) < ended
            self._imagined.add(observation=state, action=action, following=following, reward=reward,
                               terminated=terminated)
            state = following[~terminated]
        return length


def _guess(dynamics: Dynamics, state: torch.Tensor, action: torch.Tensor,
           ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What one member, drawn anew for each row (B, ·), believes to follow."""
    members = dynamics.members
    order = torch.randperm(len(state))
    rows = -(-len(order) // members)  # of each member; the last ones guess some states once more
    padded = order[torch.arange(members * rows) % len(order)].view(members, rows)
    noise = torch.randn(members, rows, dynamics.outputs)
    guesses = dynamics.imagine(state[padded], action[padded], noise)
    back = torch.argsort(order)
    return tuple(guess.flatten(0, 1)[:len(order)][back] for guess in guesses)

"""The networks that are deployed, and how they act in a world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from rl_robot_control.learning.normalizer import Normalizer
from rl_robot_control.learning.symmetry import Mirror, PhaseMirror


def mlp(sizes: Sequence[int], last_gain: float = 1.0) -> nn.Sequential:
    """Fully connected layers with tanh between them.

    Args:
        sizes: Of the input, the hidden layers and the output.
        last_gain: By which the last layer's first weights are scaled; small: a fresh policy stays near zero.
    """
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        layer = nn.Linear(before, after)
        last = i == len(sizes) - 2
        nn.init.orthogonal_(layer.weight, last_gain if last else math.sqrt(2))
        nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, nn.Tanh()]
    return nn.Sequential(*layers)


class Student(nn.Module):
    """A policy that learns from what others would do.

    Args:
        sizes: Of the observation, the hidden layers and the action.
        limit: Largest size of an element of an action, which it cannot go beyond [-]; None: it knows of none.
    """

    def __init__(self, sizes: Sequence[int], limit: float | None = None) -> None:
        super().__init__()
        self.seen, self.limit = sizes[0], limit
        self.normalizer, self.layers = Normalizer(sizes[0]), mlp(sizes, last_gain=0.01)  # near zero at first

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Actions (N, A) of observations (N, D); what a critic sees besides is left unseen."""
        action = self.layers(self.normalizer(observation[..., :self.seen]))
        return action if self.limit is None else self.limit * torch.tanh(action)


class PolicyNetwork(nn.Module):
    """Maps observations (N, D) to actions (N, A): mirroring by phase around a core network.

    Args:
        core: Network from observations to actions that includes the observation's normalisation.
        mirror: The mirrors, or None.
        privileged: What only a critic may see follows each observation: (N, D + C). It cannot be deployed then.
    """

    def __init__(self, core: nn.Module, mirror: PhaseMirror | None, privileged: bool = False) -> None:
        super().__init__()
        self.core, self.privileged = core, privileged
        self.mirror_at = -1 if mirror is None else mirror.phase
        if mirror is not None:
            self._register('observation', _joined(mirror) if privileged else mirror.observation)
            self._register('action', mirror.action)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Actions (N, A) of observations (N, D)."""
        if self.mirror_at < 0:
            return self.core(observation)
        mirrored = observation[:, self.mirror_at:self.mirror_at + 1] < 0
        image = observation[:, self.observation_index] * self.observation_sign
        action = self.core(torch.where(mirrored, image, observation))
        return torch.where(mirrored, action[:, self.action_index] * self.action_sign, action)

    def _register(self, name: str, mirror: Mirror) -> None:
        self.register_buffer(f'{name}_index', torch.as_tensor(mirror.index, dtype=torch.long))
        self.register_buffer(f'{name}_sign', torch.as_tensor(mirror.sign, dtype=torch.float32))


def _joined(mirror: PhaseMirror) -> Mirror:
    """The mirror of an observation that is followed by what only a critic may see."""
    first, second = mirror.observation, mirror.privileged
    return Mirror(np.concatenate([first.index, second.index + len(first.index)]),
                  np.concatenate([first.sign, second.sign]))


class RecurrentPolicy(nn.Module):
    """A policy with an LSTM, whose state comes in and goes out.

    Args:
        policy: Of ``sb3_contrib.RecurrentPPO``; not copied.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.features, self.cell, self.layers, self.head = (
            policy.pi_features_extractor, policy.lstm_actor, policy.mlp_extractor.policy_net, policy.action_net)
        self.state_sizes = (self.cell.hidden_size,) * 2

    def forward(self, observation: torch.Tensor, hidden: torch.Tensor, memory: torch.Tensor,
                ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions (N, A) of observations (N, D), and the next hidden state and memory (N, M)."""
        cell = self.cell
        gates = functional.linear(self.features(observation), cell.weight_ih_l0, cell.bias_ih_l0) \
            + functional.linear(hidden, cell.weight_hh_l0, cell.bias_hh_l0)
        enter, forget, new, leave = gates.chunk(4, dim=-1)  # as torch.nn.LSTM has them
        memory = forget.sigmoid() * memory + enter.sigmoid() * new.tanh()
        hidden = leave.sigmoid() * memory.tanh()
        return self.head(self.layers(hidden)), hidden, memory


def state_sizes(network: nn.Module) -> tuple[int, ...]:
    """Sizes of the states that a network takes besides the observation, and gives besides the action."""
    return getattr(network, 'state_sizes', ())


class Actor:
    """A network that acts for N robots and keeps their states, if it has any.

    Args:
        network: Observations and states to actions and states.
        num_robots: N.

    Attributes:
        privileged: Whether it takes more than the observation; see ``World.seen_by``.
    """

    def __init__(self, network: nn.Module, num_robots: int) -> None:
        self._network, self.privileged = network, getattr(network, 'privileged', False)
        self._states = [torch.zeros(num_robots, size) for size in state_sizes(network)]

    @torch.inference_mode()
    def __call__(self, observation: np.ndarray) -> np.ndarray:
        """Actions (N, A) of observations (N, D)."""
        result = self._network(torch.as_tensor(observation, dtype=torch.float32), *self._states)
        if not self._states:
            return result.numpy()
        action, *self._states = result
        return action.numpy()

    def forget(self, robots: np.ndarray) -> None:
        """Begin anew for some robots (a mask (N,))."""
        kept = torch.as_tensor(~robots, dtype=torch.float32)[:, None]
        self._states = [state * kept for state in self._states]

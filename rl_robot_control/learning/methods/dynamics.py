"""Learnt dynamics: an ensemble of networks that predicts what an action leads to, and how sure it is.

After Chua et al. 2018 (arXiv 1805.12114). Each member predicts a Gaussian of the change of the observation and of the
reward: its variance is the world's noise, the members' disagreement is what has not been learnt yet.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from rl_robot_control.config import settings
from rl_robot_control.learning.learner import PositiveFloat, PositiveInt, descend
from rl_robot_control.learning.replay import Rows
from rl_robot_control.learning.world import World

LEAST_DEVIATION = 1e-4  # of an input or output: what never varied must not be blown up
_LOG_VARIANCE = (-6.0, 0.5)  # first bounds of an output's, which are learnt
_BOUNDS_COST = 0.01  # as in the paper's code: keeps these bounds tight
_HIDDEN_OF_FAILURE = [32, 32]
_HASTE_OF_FAILURE = 5.0  # of its learning rate: it is a sharp edge, and rare
_DECAY = 1e-5  # of the weights


@settings
class DynamicsSettings:
    """Hyper-parameters of the learnt dynamics."""

    members: PositiveInt = 5
    hidden: list[PositiveInt]
    learning_rate: PositiveFloat = 1.0e-3
    batch: PositiveInt = 128  # transitions of each member
    updates: PositiveInt  # gradient steps per iteration


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which of the values (D + C,) of an observation, and of what only a critic may see, need not be learnt.

    ``command`` stays as it is: when another is asked for does not depend on the robot. ``last_action`` is the action
    itself.
    """

    learnt: list[int]
    action: list[int]  # (A,) or empty
    action_scale: list[float]  # (A,) observed value of an action of one [-], or empty

    @classmethod
    def of(cls, world: World) -> Columns:
        """The columns of a world's observations."""
        learnt, action, scale, start = [], [], [], 0
        interface = world.interface
        for entry, size in zip(interface.settings.observations, interface.observation_sizes.values(), strict=True):
            columns = list(range(start, start + size))
            plain = entry.ages == [0] and entry.clip is None and entry.clip_scaled is None
            if plain and entry.term == 'last_action':
                action, scale = columns, _as_list(entry.scale, size)
            elif not (plain and entry.term == 'command'):
                learnt += columns
            start += size
        learnt += range(start, world.whole.shape[1])
        return cls(learnt=learnt, action=action, action_scale=scale)


class Ensemble(nn.Module):
    """Networks side by side, as one batched module.

    Args:
        members: E.
        sizes: Of the input, the hidden layers and the output.
    """

    def __init__(self, members: int, sizes: list[int]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(members, before, after) / (2 * math.sqrt(before))
                                        for before, after in itertools.pairwise(sizes))
        self.biases = nn.ParameterList(torch.zeros(members, 1, after) for after in sizes[1:])

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Outputs (E, B, O) of inputs (E, B, I)."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            value = torch.baddbmm(bias, functional.silu(value) if i else value, weight)
        return value


class Gaussians(Ensemble):
    """An ensemble that says how sure it is.

    Args:
        members: E.
        inputs: I.
        outputs: O.
        hidden: Sizes of the hidden layers.
    """

    def __init__(self, members: int, inputs: int, outputs: int, hidden: list[int]) -> None:
        super().__init__(members, [inputs, *hidden, 2 * outputs])
        self.least, self.greatest = (nn.Parameter(torch.full((outputs,), bound)) for bound in _LOG_VARIANCE)

    def forward(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means and log-variances (E, B, O) of inputs (E, B, I)."""
        mean, log_variance = super().forward(value).chunk(2, dim=-1)
        log_variance = self.greatest - functional.softplus(self.greatest - log_variance)
        return mean, self.least + functional.softplus(log_variance - self.least)

    def loss(self, value: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Negative log-likelihood of targets (E, B, O), summed over the members: each learns at its own rate.

        It is weighted by the deviation (Seitzer et al. 2022, arXiv 2203.09168), or what is hard to foresee would be
        declared noise and its mean never learnt.
        """
        mean, log_variance = self(value)
        likelihood = (mean - target).square() * (-log_variance).exp() + log_variance
        likelihood = likelihood * (0.5 * log_variance).exp().detach()
        return likelihood.mean(dim=(1, 2)).sum() + _BOUNDS_COST * (self.greatest - self.least).sum()


class Dynamics(nn.Module):
    """What E networks, each for itself, believe that actions lead to.

    Args:
        rules: Hyper-parameters.
        columns: What of an observation is learnt.
        observations: D.
        actions: A.
        limit: Largest size of an element of an action [-].
    """

    def __init__(self, rules: DynamicsSettings, columns: Columns, observations: int, actions: int,
                 limit: float) -> None:
        super().__init__()
        inputs, outputs = observations + actions, len(columns.learnt) + 1
        self.rules, self.columns, self.limit = rules, columns, limit
        self.members, self.outputs = rules.members, outputs
        self.ensemble = Gaussians(rules.members, inputs, outputs, list(rules.hidden))
        # Apart, or the many gradients of the rest would leave this rare event unlearnt.
        self.failure = Ensemble(rules.members, [inputs, *_HIDDEN_OF_FAILURE, 1])
        for name, size in (('input', inputs), ('output', outputs)):
            self.register_buffer(f'{name}_mean', torch.zeros(size))
            self.register_buffer(f'{name}_deviation', torch.ones(size))
        self.register_buffer('_action_scale', torch.tensor(columns.action_scale), persistent=False)
        self.register_buffer('ends', torch.zeros(1))  # 1: episodes that failed were seen
        self._optimizer = torch.optim.AdamW([
            {'params': list(self.ensemble.parameters())},
            {'params': list(self.failure.parameters()), 'lr': _HASTE_OF_FAILURE * rules.learning_rate},
        ], rules.learning_rate, weight_decay=_DECAY)

    @classmethod
    def of(cls, rules: DynamicsSettings, world: World) -> Dynamics:
        """The dynamics of a world, not learnt yet."""
        return cls(rules, Columns.of(world), world.whole.shape[1], world.num_actions, world.action_limit)

    def imagine(self, observation: torch.Tensor, action: torch.Tensor, noise: torch.Tensor | float = 0.0,
                ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What each member believes that actions lead to.

        Args:
            observation: (E, B, D), one batch for each member.
            action: (E, B, A).
            noise: (E, B, O), standard normal, or what broadcasts to it; 0: the mean.

        Returns:
            Following observations (E, B, D), rewards (E, B) and probabilities (E, B) that the episode fails.
        """
        action = action.clamp(-self.limit, self.limit)
        mean, log_variance = self.ensemble(self._normalised(observation, action))
        output = (mean + noise * (0.5 * log_variance).exp()) * self.output_deviation + self.output_mean
        following = observation.clone()
        following[..., self.columns.learnt] += output[..., :-1]
        if self.columns.action:
            following[..., self.columns.action] = action * self._action_scale
        ended = torch.zeros_like(output[..., -1])
        if self.ends:
            ended = self.failure(self._normalised(following, action)).squeeze(-1).sigmoid()
        return following, output[..., -1], ended

    def fit(self, rows: Rows, updates: int | None = None) -> float:
        """Learn from rows of ``observation``, ``action``, ``following``, ``reward`` and ``terminated``.

        Args:
            rows: The transitions; each member learns from a bootstrap sample of them.
            updates: Gradient steps; None: as the settings say.

        Returns:
            Mean loss of the latest half of the steps.
        """
        self._measure(rows)
        sample = torch.randint(len(rows), (self.members, len(rows)))
        updates, losses = updates or self.rules.updates, []
        for _ in range(updates):
            loss = self._loss(rows, sample.gather(1, torch.randint(len(rows), (self.members, self.rules.batch))))
            descend(self._optimizer, loss)
            losses.append(loss.detach())
        return float(torch.stack(losses[updates // 2:]).mean())

    def state(self) -> dict[str, Any]:
        """Parameters, statistics and the optimiser's moments."""
        return copy.deepcopy({'networks': self.state_dict(), 'optimizer': self._optimizer.state_dict()})

    def load(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave.

        Raises:
            RuntimeError: It is another network's.
        """
        self.load_state_dict(state['networks'])
        self._optimizer.load_state_dict(state['optimizer'])

    def _measure(self, rows: Rows) -> None:
        """Take the statistics of inputs and outputs."""
        for name, values in (('input', torch.cat([rows['observation'], rows['action']], dim=-1)),
                             ('output', torch.cat([self._change(rows), rows['reward']], dim=-1))):
            getattr(self, f'{name}_mean').copy_(values.mean(dim=0))
            getattr(self, f'{name}_deviation').copy_(values.std(dim=0).clamp(min=LEAST_DEVIATION))
        self.ends.fill_(float(rows['terminated'].any()))

    def _loss(self, rows: Rows, index: torch.Tensor) -> torch.Tensor:
        """Loss of rows (E, B)."""
        action = rows['action'][index]
        target = torch.cat([self._change(rows)[index], rows['reward'][index]], dim=-1)
        loss = self.ensemble.loss(self._normalised(rows['observation'][index], action),
                                  (target - self.output_mean) / self.output_deviation)
        if self.ends:  # failing is a matter of where the robot arrives
            logit = self.failure(self._normalised(rows['following'][index], action))
            loss = loss + self.members * functional.binary_cross_entropy_with_logits(logit, rows['terminated'][index])
        return loss

    def _change(self, rows: Rows) -> torch.Tensor:
        return (rows['following'] - rows['observation'])[:, self.columns.learnt]

    def _normalised(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return (torch.cat([observation, action], dim=-1) - self.input_mean) / self.input_deviation


def transitions(world: World, capacity: int, **more: int) -> Rows:
    """Rows for what ``Dynamics.fit`` learns from.

    Args:
        world: Whose.
        capacity: Most rows.
        more: Widths of further columns, by name.
    """
    size = world.whole.shape[1]
    return Rows({'observation': size, 'action': world.num_actions, 'following': size, 'reward': 1, 'terminated': 1}
                | more, capacity)


def _as_list(scale: float | list[float], size: int) -> list[float]:
    return [float(scale)] * size if isinstance(scale, (int, float)) else list(scale)

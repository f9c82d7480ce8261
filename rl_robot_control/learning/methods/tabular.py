"""Q-learning with a table: observations and actions are divided into bins (Watkins and Dayan 1992)."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import nn

from rl_robot_control.config import settings
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.learning.actions import action_grid
from rl_robot_control.learning.learner import (
    Fraction,
    Learner,
    MethodSettings,
    NotNegative,
    PositiveFloat,
    PositiveInt,
    Share,
)
from rl_robot_control.learning.world import World

MOST_CELLS = 2_000_000  # of a table


@settings
class TabularSettings(MethodSettings):
    """Hyper-parameters of tabular Q-learning."""

    levels: PositiveInt  # values of each joint's action
    bins: list[PositiveInt]  # of each element of the observation; 1: it is left out
    lower: list[float]  # least value of each element that has a bin of its own
    upper: list[float]  # greatest, likewise
    step_size: Fraction  # of the first updates of a cell
    step_decay: NotNegative = 0.0  # how much it falls with the updates n of a cell: step_size / (1 + step_decay · n)
    discount: Fraction
    traces: Share = 0.0  # lambda of Watkins' Q(λ), by which a reward reaches the steps before it
    exploration: Annotated[float, Field(ge=0, le=1)] = 0.6  # of the budget, in which random actions become rare
    final_exploration: Share = 0.02  # share of random actions after that
    optimism: float = 0.0  # value of what was never tried
    gradient: PositiveFloat = 1.0  # bound on a temporal-difference error


class TabularQ(Learner):
    """Q-learning with a table; see ``Learner``.

    Args:
        rules: Hyper-parameters.
        world: Where it learns.

    Raises:
        ConfigurationError: The bins do not fit the observation, or the table is too large.
    """

    Settings = TabularSettings

    def __init__(self, rules: TabularSettings, world: World) -> None:
        self._rules, self._world = rules, world
        self._actions = action_grid(world.num_actions, rules.levels, world.action_limit)
        self._bins = np.array(rules.bins)
        _check_bins(rules, world)
        self._lower, self._upper = np.array(rules.lower), np.array(rules.upper)
        self._strides = np.concatenate([np.cumprod(self._bins[::-1])[-2::-1], [1]])
        shape = (int(self._bins.prod()), len(self._actions))
        if np.prod(shape) > MOST_CELLS:
            raise ConfigurationError(f'the table has {shape[0]} x {shape[1]} cells; at most {MOST_CELLS} are possible. '
                                     'Take fewer bins or levels, or a method with a network.')
        self._values = np.full(shape, rules.optimism)
        self._visits = np.zeros(shape)
        self._trails: list[list[tuple[int, int]]] = [[] for _ in range(world.num_robots)]
        self._random = np.random.default_rng(np.random.randint(2**31))  # from the run's seed

    def iterate(self, share: float) -> dict[str, float]:
        """See ``Learner.iterate``."""
        rules = self._rules
        rarity = min(1.0, share / max(rules.exploration, 1e-9))
        random_share = 1.0 + (rules.final_exploration - 1.0) * rarity
        errors = [self._step(random_share) for _ in range(rules.horizon)]
        return {'td_error': float(np.mean(errors)), 'exploration': random_share,
                'visited': float((self._visits > 0).mean())}

    def policy(self) -> nn.Module:
        """See ``Learner.policy``: the table, as a network."""
        tensors = [torch.as_tensor(array) for array in (self._lower, self._upper, self._bins, self._strides)]
        best = torch.as_tensor(self._actions[self._values.argmax(axis=1)])
        return TablePolicy(best, *tensors)

    def state(self) -> dict[str, Any]:
        """See ``Learner.state``."""
        return {'values': torch.from_numpy(self._values.copy()), 'visits': torch.from_numpy(self._visits.copy())}

    def load(self, state: dict[str, Any]) -> None:
        """See ``Learner.load``."""
        if state['values'].shape != self._values.shape:
            raise RuntimeError(f'the table is {tuple(state["values"].shape)}, needed is {self._values.shape}')
        self._values, self._visits = state['values'].numpy().copy(), state['visits'].numpy().copy()

    def memory(self) -> dict[str, Any]:
        """See ``Learner.memory``: the state of its randomness."""
        return {'random': self._random.bit_generator.state}

    def recall(self, memory: dict[str, Any]) -> None:
        """See ``Learner.recall``."""
        self._random.bit_generator.state = memory['random']

    def shared(self) -> list[torch.Tensor]:
        """The table; the workers' counts stay their own."""
        return [torch.from_numpy(self._values)]

    def finite(self) -> bool:
        """See ``Learner.finite``."""
        return bool(np.isfinite(self._values).all())

    def _step(self, random_share: float) -> float:
        """One step of each robot; returns the mean size of the temporal-difference errors."""
        world, robots = self._world, np.arange(self._world.num_robots)
        cell = self._cells(world.observation)
        greedy = self._values[cell].argmax(axis=1)
        tried = self._random.random(len(robots)) < random_share
        chosen = np.where(tried, self._random.integers(len(self._actions), size=len(robots)), greedy)
        step = world.step(self._actions[chosen])
        following = self._values[self._cells(step.following)].max(axis=1)
        target = step.reward + self._rules.discount * np.where(step.terminated, 0.0, following)
        errors = np.clip(target - self._values[cell, chosen], -self._rules.gradient, self._rules.gradient)
        for i in robots:
            self._learn(i, (cell[i], chosen[i]), errors[i], cut=bool(step.done[i]), greedy=chosen[i] == greedy[i])
        return float(np.abs(errors).mean())

    def _learn(self, robot: int, entry: tuple[int, int], error: float, cut: bool, greedy: bool) -> None:
        """Update an entry and, fading, those that led to it; a step that was not greedy cuts the trail (Watkins)."""
        rules, trail = self._rules, self._trails[robot]
        if not greedy:
            trail.clear()
        trail.append(entry)
        self._visits[entry] += 1
        weight = 1.0
        for past in reversed(trail):
            self._values[past] += rules.step_size / (1.0 + rules.step_decay * self._visits[past]) * weight * error
            weight *= rules.traces * rules.discount
            if weight < 0.01:
                break
        if cut:
            trail.clear()
        elif len(trail) > 100:
            del trail[:50]

    def _cells(self, observation: np.ndarray) -> np.ndarray:
        share = (observation - self._lower) / (self._upper - self._lower)
        index = np.clip((share * self._bins).astype(np.int64), 0, self._bins - 1)
        return index @ self._strides


class TablePolicy(nn.Module):
    """Looks up the best action of the cell in which an observation lies.

    Args:
        best: (S, A) best action of each cell.
        lower: (D,) where the bins begin.
        upper: (D,) where they end.
        bins: (D,) how many there are.
        strides: (D,) cells from one bin to the next.
    """

    def __init__(self, best: torch.Tensor, lower: torch.Tensor, upper: torch.Tensor, bins: torch.Tensor,
                 strides: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer('best', best.float())
        self.register_buffer('lower', lower.float())
        self.register_buffer('per_unit', (bins / (upper - lower)).float())
        self.register_buffer('last', (bins - 1).float())
        self.register_buffer('strides', strides.float())

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Actions (N, A) of observations (N, D)."""
        share = (observation - self.lower) * self.per_unit
        index = torch.minimum(torch.floor(share.clamp(min=0.0)), self.last)
        return self.best[(index * self.strides).sum(dim=1).long()]


def _check_bins(rules: TabularSettings, world: World) -> None:
    for name in ('bins', 'lower', 'upper'):
        count = len(getattr(rules, name))
        if count != world.num_observations:
            raise ConfigurationError(f'{name} has {count} values, the observation of {world.task.name} has '
                                     f'{world.num_observations}: {world.interface.observation_sizes}.')
    if not all(low < high for low, high in zip(rules.lower, rules.upper, strict=True)):
        raise ConfigurationError(f'lower {rules.lower} must be below upper {rules.upper} in every element.')

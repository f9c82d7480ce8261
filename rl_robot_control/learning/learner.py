"""What every method of learning offers to the trainer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from rl_robot_control.config import settings

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


@settings
class MethodSettings:
    """Hyper-parameters that every method has."""

    num_envs: PositiveInt  # robots, in all workers together
    workers: PositiveInt = 1  # processes that learn together
    asynchronous: bool = False  # whether these go on without waiting for each other, as in A3C
    steps: PositiveInt  # default budget of a run, of all robots together
    horizon: PositiveInt  # steps of each robot per iteration: between two lines of metrics, and often two updates


class Learner(ABC):
    """A method of learning, made with its settings and a ``World``.

    What ``state`` and ``memory`` give is plain data and tensors, so that a checkpoint is loaded without running code
    from it.
    """

    Settings: type[MethodSettings]
    learns_from: Literal['recording', 'teacher'] | None = None  # besides the world
    in_real_time = False  # whether it steps on where the world does not wait, and learns between episodes

    @abstractmethod
    def iterate(self, share: float) -> dict[str, float]:
        """Let the robots take ``horizon`` steps and learn from them.

        Args:
            share: Part of the run's budget that is spent, in [0, 1].

        Returns:
            Losses and the like, by name.
        """

    @abstractmethod
    def policy(self) -> nn.Module:
        """The policy without exploration, a copy: observations (N, D) to actions (N, A)."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What was learnt: all that ``load`` needs to go on."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            RuntimeError: It is another network's.
        """

    def memory(self) -> dict[str, Any]:
        """What was gathered to learn from, and only a resumed run needs; nothing, where what follows is as good."""
        return {}

    def recall(self, memory: dict[str, Any]) -> None:  # noqa: B027, for most there is nothing to take back
        """Take back what ``memory`` gave, in a world with as many robots."""

    @abstractmethod
    def shared(self) -> list[torch.Tensor]:
        """The tensors that workers average after an iteration, or add up where these do not wait for each other."""

    def parameters(self) -> dict[str, nn.Parameter]:
        """What can be frozen, by name: a parameter that asks for no gradient stays as it is."""
        return {}

    @abstractmethod
    def finite(self) -> bool:
        """Whether all parameters are finite."""


def all_finite(module: nn.Module) -> bool:
    """Whether parameters and buffers of a network are finite."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values()
               if tensor.is_floating_point())


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor, clip: float | None = None) -> None:
    """Take one gradient step.

    Args:
        optimizer: Holds the parameters.
        loss: To make less.
        clip: Bound on the gradient's norm; None: there is none.
    """
    optimizer.zero_grad()
    loss.backward()
    if clip is not None:
        nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group['params']], clip)
    optimizer.step()

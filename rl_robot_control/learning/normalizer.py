"""Normalisation of observations inside a network, so that a policy carries its own."""

from __future__ import annotations

import torch
from rsl_rl.modules import EmpiricalNormalization
from torch import nn

BOUND = 10.0  # of a normalised observation: one of a kind that was rarely seen must not blow up the network


class Normalizer(nn.Module):
    """Maps observations (N, D) to mean 0 and deviation 1 as seen so far, within ±``BOUND``.

    Args:
        size: D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.statistics = EmpiricalNormalization(size)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Normalised observations (N, D)."""
        return self.statistics(observation).clamp(-BOUND, BOUND)

    @torch.no_grad()
    def update(self, observation: torch.Tensor) -> None:
        """Take observations (N, D) into the statistics."""
        self.statistics.train()  # whoever holds the network may have frozen it with the rest
        self.statistics.update(observation)

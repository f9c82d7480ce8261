"""The network that is deployed."""

from __future__ import annotations

import torch
from torch import nn

from rl_robot_control.learning.symmetry import Mirror, PhaseMirror


class PolicyNetwork(nn.Module):
    """Maps observations (N, D) to actions (N, A): mirroring by phase around a core network.

    Args:
        core: Network from observations to actions that includes the observation's normalisation.
        mirror: The mirrors, or None.
    """

    def __init__(self, core: nn.Module, mirror: PhaseMirror | None) -> None:
        super().__init__()
        self.core = core
        self.mirror_at = -1 if mirror is None else mirror.phase
        if mirror is not None:
            self._register('observation', mirror.observation)
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

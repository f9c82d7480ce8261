"""Replay buffers as tensors, for checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer

_LEFT_OUT = ('infos',)  # empty, one dict per step


def saved_buffer(buffer: ReplayBuffer) -> dict[str, Any]:
    """What a buffer holds; rows that were never written are left out."""
    rows = buffer.size()
    filled = {name: _tensors(value, rows) for name, value in _arrays(buffer, buffer.buffer_size).items()}
    each = {name: _tensors(value, len(value)) for name, value in _arrays(buffer, None).items()}
    return {'filled': filled, 'each': each, 'rows': rows, 'pos': buffer.pos, 'full': buffer.full}


def load_buffer(buffer: ReplayBuffer, saved: dict[str, Any]) -> None:
    """Fill a buffer of the same size with what another one held."""
    for name, value in _arrays(buffer, buffer.buffer_size).items():
        _fill(value, saved['filled'][name], saved['rows'])
    for name, value in _arrays(buffer, None).items():
        _fill(value, saved['each'][name], len(value))
    buffer.pos, buffer.full = saved['pos'], saved['full']


def _arrays(buffer: ReplayBuffer, rows: int | None) -> dict[str, Any]:
    """The buffer's arrays with so many rows; None: those of any other length."""
    found = {}
    for name, value in vars(buffer).items():
        one = next(iter(value.values()), None) if isinstance(value, dict) else value
        if isinstance(one, np.ndarray) and name not in _LEFT_OUT and (len(one) == buffer.buffer_size) == bool(rows):
            found[name] = value
    return found


def _tensors(value: Any, rows: int) -> Any:
    if isinstance(value, dict):
        return {key: _tensors(array, rows) for key, array in value.items()}
    return torch.from_numpy(value[:rows].copy())


def _fill(target: Any, saved: Any, rows: int) -> None:
    if isinstance(target, dict):
        for key, array in target.items():
            _fill(array, saved[key], rows)
    else:
        target[:rows] = saved.numpy()

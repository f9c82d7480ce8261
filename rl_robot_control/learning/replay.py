"""What is remembered to learn from, as checkpoints can hold it: rows of tensors, and the library's replay buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer

from rl_robot_control.errors import LearningError

_LEFT_OUT = ('infos',)  # empty, one dict per step


class Rows:
    """The latest rows of named tensors, which checkpoints can hold.

    Args:
        widths: Number of columns by name.
        capacity: Most rows; the oldest give way.
    """

    def __init__(self, widths: dict[str, int], capacity: int) -> None:
        self._values = {name: torch.zeros(capacity, width) for name, width in widths.items()}
        self._capacity, self._next, self._filled = capacity, 0, 0

    def __len__(self) -> int:
        return self._filled

    def __getitem__(self, name: str) -> torch.Tensor:
        """All rows (M, ·) of a name, in no particular order once the oldest were overwritten; not a copy."""
        return self._values[name][:self._filled]

    def add(self, **rows: torch.Tensor) -> None:
        """Append rows (B, ·), or (B,) where there is one column."""
        count = len(next(iter(rows.values())))
        index = (self._next + torch.arange(count)) % self._capacity
        for name, value in rows.items():
            self._values[name][index] = value.detach().reshape(count, -1).float()
        self._next = (self._next + count) % self._capacity
        self._filled = min(self._capacity, self._filled + count)

    def latest(self, count: int) -> torch.Tensor:
        """Indices (B,) of the rows that were added last."""
        return (self._next - 1 - torch.arange(min(count, self._filled))) % self._capacity

    def saved(self) -> dict[str, Any]:
        """Plain data and tensors."""
        return {'values': {name: self[name].clone() for name in self._values}, 'next': self._next}

    def load(self, saved: dict[str, Any]) -> None:
        """Take back what ``saved`` gave, from rows of the same capacity."""
        for name, value in saved['values'].items():
            self._values[name][:len(value)] = value
            self._filled = len(value)
        self._next = saved['next']


class RetoldBuffer(ReplayBuffer):
    """A replay buffer that holds each step under the command that was given, and under others.

    Args:
        buffer_size: Steps as they were; those under other commands come on top.
        arguments: Of ``ReplayBuffer``.
        env: Where the steps come from.
        others: How many other commands each step comes with.
        n_envs: Number of robots.
        keywords: Of ``ReplayBuffer``.
    """

    def __init__(self, buffer_size: int, *arguments: Any, env: Any, others: int, n_envs: int = 1,
                 **keywords: Any) -> None:
        self._env, self._others = env, others
        super().__init__(buffer_size * (1 + others), *arguments, n_envs=n_envs * (1 + others), **keywords)

    def add(self, obs: np.ndarray, next_obs: np.ndarray, action: np.ndarray, reward: np.ndarray, done: np.ndarray,
            infos: list[dict[str, Any]]) -> None:
        """See ``ReplayBuffer.add``."""
        if self._others:
            others, told = self._others, self._env.retold
            late = np.repeat([info.get('TimeLimit.truncated', False) for info in infos], others)
            obs, next_obs = np.concatenate([obs, told['obs']]), np.concatenate([next_obs, told['next_obs']])
            action = np.concatenate([action, np.repeat(action, others, axis=0)])
            reward = np.concatenate([reward, told['reward']])
            done = np.concatenate([done, told['done'] | late])
            infos = infos + [{'TimeLimit.truncated': bool(end and not failed)}
                             for end, failed in zip(late, told['done'], strict=True)]
        super().add(obs, next_obs, action, reward, done, infos)


def saved_buffer(buffer: ReplayBuffer) -> dict[str, Any]:
    """What a buffer holds; rows that were never written are left out."""
    rows = buffer.size()
    filled = {name: _tensors(value, rows) for name, value in _arrays(buffer, buffer.buffer_size).items()}
    each = {name: _tensors(value, len(value)) for name, value in _arrays(buffer, None).items()}
    return {'filled': filled, 'each': each, 'rows': rows, 'pos': buffer.pos, 'full': buffer.full}


def load_buffer(buffer: ReplayBuffer, saved: dict[str, Any]) -> None:
    """Fill a buffer of the same size with what another one held.

    Raises:
        LearningError: It was of another size: the algorithm's file has changed since.
    """
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
        if saved.shape[1:] != target.shape[1:] or rows > len(target):
            raise LearningError(f'the checkpoint remembers steps of the shape {tuple(saved.shape[1:])}, this run '
                                f"{target.shape[1:]} (robots and other commands first): the algorithm's file or the "
                                'task has changed; resume with what the run was started with, or start another run.')
        target[:rows] = saved.numpy()

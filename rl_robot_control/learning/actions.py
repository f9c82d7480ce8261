"""Discrete actions for methods that choose among a few."""

from __future__ import annotations

import itertools

import numpy as np

from rl_robot_control.errors import ConfigurationError

MOST_ACTIONS = 1024


def action_grid(num_actions: int, levels: int, limit: float) -> np.ndarray:
    """All combinations (K, A) of evenly spaced values within ±limit, one per joint; float32.

    Args:
        num_actions: A.
        levels: Values of each joint; an odd number holds zero.
        limit: Greatest value [-].

    Raises:
        ConfigurationError: There is only one level, or there are too many combinations.
    """
    count = levels ** num_actions
    if levels < 2 or count > MOST_ACTIONS:
        raise ConfigurationError(f'{levels} levels of {num_actions} joints make {count} discrete actions; 2 to '
                                 f'{MOST_ACTIONS} are possible. Take fewer levels, or a method for continuous actions.')
    values = np.linspace(-limit, limit, levels)
    return np.array(list(itertools.product(values, repeat=num_actions)), dtype=np.float32)

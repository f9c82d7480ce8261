"""The methods of learning, by the name that ``config/algorithms/*.yaml`` gives under ``method``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rl_robot_control.errors import UnknownNameError
from rl_robot_control.learning.learner import Learner, MethodSettings
from rl_robot_control.learning.world import World

_METHODS = 'rl_robot_control.learning.methods'
METHODS = {  # name: module and class of the learner, which is imported only when it is used
    'ppo': ('ppo', 'Ppo'),
    'a2c': ('on_policy', 'A2c'),
    'tabular_q': ('tabular', 'TabularQ'),
    'reinforce': ('reinforce', 'Reinforce'),
    'hindsight': ('hindsight', 'Hindsight'),
    'trpo': ('on_policy', 'Trpo'),
    'recurrent_ppo': ('on_policy', 'RecurrentPpo'),
    'continuous_off_policy': ('off_policy', 'Continuous'),
    'discrete_off_policy': ('off_policy', 'Discrete'),
    'pets': ('pets', 'Pets'),
    'mbpo': ('mbpo', 'Mbpo'),
    'behaviour_cloning': ('imitation', 'BehaviourCloning'),
    'dagger': ('imitation', 'Dagger'),
    'td3_bc': ('imitation', 'OfflineTd3Bc'),
}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of learning."""

    settings: type[MethodSettings]
    make: Callable[[MethodSettings, World], Learner]
    learns_from: Literal['recording', 'teacher'] | None  # besides the world
    in_real_time: bool  # whether it can learn where the world does not wait


def find_method(name: str, where: str = '') -> Method:
    """Find a method; its learner's class names the class of its settings.

    Args:
        name: One of ``METHODS``.
        where: Source of the name, for messages.

    Raises:
        UnknownNameError: There is no such method.
    """
    if name not in METHODS:
        raise UnknownNameError('method', name, METHODS, where=where)
    module, learner = METHODS[name]
    made = getattr(importlib.import_module(f'{_METHODS}.{module}'), learner)
    return Method(settings=made.Settings, make=made, learns_from=made.learns_from, in_real_time=made.in_real_time)

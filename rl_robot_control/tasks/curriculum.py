"""A curriculum: a task that begins easy and grows to its full range with what the robots can do."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from rl_robot_control.config import settings
from rl_robot_control.errors import UnknownNameError
from rl_robot_control.types import FloatArray

Share = Annotated[float, Field(ge=0, le=1)]


@settings
class CurriculumSettings:
    """Where a task begins, and when it grows.

    ``start`` names parameters by kind, term and name (``command.velocity.vx``, ``disturbances.push.speed``) and gives
    their value at level 0; at level 1 they are as the task says, in between they are interpolated.
    """

    start: dict[str, Any]
    above: Share = 0.7  # performance from which the level rises
    below: Share = 0.3  # performance under which it falls
    step: Annotated[float, Field(gt=0, le=1)] = 0.1
    episodes: Annotated[int, Field(ge=1)] = 64  # whose mean performance decides

    @model_validator(mode='after')
    def _ordered(self):
        if not self.below < self.above:
            raise ValueError(f"'below' is {self.below} and 'above' {self.above}; it must be less")
        return self


class Curriculum:
    """The level of some robots, and how they have done lately.

    Args:
        rules: The settings.
    """

    def __init__(self, rules: CurriculumSettings) -> None:
        self.rules, self.level = rules, 0.0
        self._performances: deque[float] = deque(maxlen=rules.episodes)

    def note(self, performances: FloatArray) -> bool:
        """Take in how episodes (M,) went, each in [0, 1]; returns whether the level has changed."""
        before = self.level
        for performance in performances:
            self._performances.append(float(performance))
            if len(self._performances) == self.rules.episodes:
                self._decide(float(np.mean(self._performances)))
        return self.level != before

    def state(self) -> dict[str, Any]:
        """All that ``load`` needs."""
        return {'level': self.level, 'performances': list(self._performances)}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.level = float(state['level'])
        self._performances.clear()
        self._performances.extend(state['performances'])

    def _decide(self, performance: float) -> None:
        change = self.rules.step if performance >= self.rules.above else -self.rules.step \
            if performance < self.rules.below else 0.0
        level = round(min(1.0, max(0.0, self.level + change)), 6)
        if level != self.level:
            self.level = level
            self._performances.clear()  # they were of another level


def interpolated(start: Any, full: Any, level: float) -> Any:
    """A parameter at a level in [0, 1]: numbers and lists of numbers."""
    value = np.asarray(start, dtype=np.float64) * (1 - level) + np.asarray(full, dtype=np.float64) * level
    return value.tolist()


def leveled(plain: dict[str, Any], rules: CurriculumSettings, level: float, where: str) -> dict[str, Any]:
    """A task with the curriculum's parameters at a level.

    Args:
        plain: The task's settings as plain data; they are changed.
        rules: The curriculum.
        level: In [0, 1].
        where: The task's file, for messages.

    Raises:
        UnknownNameError: The curriculum names a parameter that the task does not have.
    """
    for address, start in rules.start.items():
        holder, name = _parameter(plain, address, where)
        holder[name] = interpolated(start, holder[name], level)
    return plain


def _parameter(plain: dict[str, Any], address: str, where: str) -> tuple[dict[str, Any], str]:
    """The mapping that holds a parameter such as ``command.velocity.vx``, and the parameter's name."""
    known = {}
    for kind in ('command', 'disturbances', 'resets', 'randomisation'):
        entries = plain[kind] if isinstance(plain[kind], list) else [plain[kind]]
        known |= {f'{kind}.{e["term"]}.{name}': (e['params'], name) for e in entries for name in e['params']}
    if address not in known:
        raise UnknownNameError('parameter in curriculum.start', address, known, where)
    return known[address]

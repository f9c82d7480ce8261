"""A list of observation terms, concatenated, with as much of the past as each entry asks for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rl_robot_control.config import settings
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.registry import bind_term
from rl_robot_control.tasks.terms import observations
from rl_robot_control.types import BoolArray, FloatArray

MAX_AGE = 199  # control periods
Age = Annotated[int, Field(ge=0, le=MAX_AGE)]


@settings
class ObservationSettings:
    """One entry of the observation vector; clip comes before scale, and another one may come after it."""

    term: str
    name: str = ''  # by which tables and messages know the entry; empty: the term's
    params: dict[str, Any] = Field(default_factory=dict)
    scale: float | list[float] = 1.0  # a list: one for each of the term's values
    clip: tuple[float, float] | None = None
    clip_scaled: tuple[float, float] | None = None  # once it is scaled
    ages: Annotated[list[Age], Field(min_length=1)] = Field(default_factory=lambda: [0])  # which of the latest values,
    # in control periods before the present one, in the order of the observation: [2, 1, 0] is the oldest of three first

    @property
    def label(self) -> str:
        """By which the entry is known."""
        return self.name or self.term


@settings
class HistorySettings:
    """How entries that look back are laid out and how they begin."""

    layout: Literal['term', 'time'] = 'term'  # all ages of an entry together, or all entries of an age together
    fill: Literal['first', 'zero'] = 'first'  # what stands for what was before the first observation


class ObservationGroup:
    """Observation entries of N robots.

    Args:
        entries: In order.
        where: Source of the entries, for messages.
        history: How entries that look back are laid out; None: none of them may.

    Raises:
        ConfigurationError: A term or parameter is unknown, a name stands twice, or the ages do not fit the layout.
    """

    def __init__(self, entries: list[ObservationSettings], where: str, history: HistorySettings | None = None) -> None:
        labels = [entry.label for entry in entries]
        for label in labels:
            if labels.count(label) > 1:
                raise ConfigurationError(f"{where}: observation term '{label}' stands twice; name all its joints or "
                                         "frames in one entry, or give each entry a 'name'.")
        looks_back = [entry.label for entry in entries if entry.ages != [0]]
        if looks_back and history is None:
            raise ConfigurationError(f"{where}: observation term '{looks_back[0]}' looks back; only what the policy "
                                     'observes may.')
        self.history = history or HistorySettings()
        if self.history.layout == 'time' and any(entry.ages != entries[0].ages for entry in entries):
            raise ConfigurationError(f"{where}: with the layout 'time' all observation terms have the same ages.")
        self.entries = entries
        self._terms = [bind_term(observations, entry.term, entry.params, where) for entry in entries]
        self._scales = [np.asarray(entry.scale, dtype=np.float64) if entry.scale != 1.0 else None for entry in entries]

    @property
    def depths(self) -> list[int]:
        """How many of the latest values of each entry are remembered."""
        return [max(entry.ages) + 1 for entry in self.entries]

    def __call__(self, context: Context) -> FloatArray:
        """Observation (N, D) of entries that do not look back."""
        return np.concatenate(self.values(context), axis=-1)

    def values(self, context: Context) -> list[FloatArray]:
        """The present values (N, d) of each entry, clipped and scaled.

        Raises:
            ConfigurationError: A list of scales does not fit.
        """
        return [_shaped(term(context), entry, scale) for term, entry, scale in
                zip(self._terms, self.entries, self._scales)]

    def remember(self, past: list[FloatArray], present: list[FloatArray], fresh: BoolArray) -> list[FloatArray]:
        """Values (N, depth, d) of each entry, the latest first, once the present ones have been added.

        Args:
            past: The same before that.
            present: From ``values``.
            fresh: (N,) robots that have no past.
        """
        return [_pushed(old, new, fresh, self.history.fill) for old, new in zip(past, present, strict=True)]

    def assemble(self, memory: list[FloatArray]) -> FloatArray:
        """Observation (N, D) of remembered values."""
        if self.history.layout == 'time':
            parts = [values[:, age] for age in self.entries[0].ages for values in memory]
        else:
            parts = [values[:, age] for entry, values in zip(self.entries, memory, strict=True) for age in entry.ages]
        return np.concatenate(parts, axis=-1)

    def sizes(self, context: Context) -> dict[str, int]:
        """Length of each entry, its past included, by label."""
        return {entry.label: len(entry.ages) * value.shape[-1]
                for entry, value in zip(self.entries, self.values(context), strict=True)}

    def labels(self, context: Context) -> list[str]:
        """For each value of the observation (D,) the entry that it belongs to, which of its values and how old."""
        widths = [value.shape[-1] for value in self.values(context)]
        pairs = list(zip(self.entries, widths, strict=True))
        if self.history.layout == 'time':
            order = [(entry, width, age) for age in self.entries[0].ages for entry, width in pairs]
        else:
            order = [(entry, width, age) for entry, width in pairs for age in entry.ages]
        return [f'{entry.label}[{i}]' + (f' {age} periods ago' if age else '')
                for entry, width, age in order for i in range(width)]


def _shaped(value: FloatArray, entry: ObservationSettings, scale: FloatArray | None) -> FloatArray:
    if entry.clip is not None:
        value = np.clip(value, *entry.clip)
    if scale is not None:
        if scale.ndim and len(scale) != value.shape[-1]:
            raise ConfigurationError(f"observation term '{entry.label}' has {value.shape[-1]} values and "
                                     f'{len(scale)} scales.')
        value = value * scale
    return value if entry.clip_scaled is None else np.clip(value, *entry.clip_scaled)


def _pushed(past: FloatArray, present: FloatArray, fresh: BoolArray, fill: str) -> FloatArray:
    if past.shape[1] == 1:
        return present[:, None]
    pushed = np.concatenate([present[:, None], past[:, :-1]], axis=1)
    if fresh.any():
        pushed[fresh, 1:] = present[fresh, None] if fill == 'first' else 0.0
    return pushed

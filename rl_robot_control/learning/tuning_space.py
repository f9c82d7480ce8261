"""The hyper-parameters that a search may vary, and what it was asked for.

``config/tuning/<algorithm>.yaml`` declares the space. A study's plan holds all that its trials depend on, the
algorithm's own settings included, so that a resumed study goes on as it began even where these files have changed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import optuna
from pydantic import Field

from rl_robot_control.config import config_names, find_config, load_settings, parse_settings, settings
from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.learning.learner import PositiveInt, Share
from rl_robot_control.learning.registry import find_method
from rl_robot_control.learning.settings import AlgorithmFile
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_task

_DIGITS = 4  # of a sampled number; more would say nothing and make the files hard to read
_BUDGET = 'steps'  # the same for all trials: it is no hyper-parameter


@settings
class Parameter:
    """The values that one hyper-parameter may take."""

    kind: Literal['float', 'int', 'choice']
    low: float | None = None  # float and int: least value
    high: float | None = None  # likewise the largest; an int reaches it
    log: bool = False  # float and int: as many values per decade everywhere
    step: PositiveInt | None = None  # int: distance between values; null: 1
    values: list[Any] | None = None  # choice: what to choose from

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """A value for a trial; Optuna remembers it under the name."""
        if self.kind == 'choice':  # as JSON, since Optuna takes no lists
            return json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in self.values]))
        if self.kind == 'int':
            return trial.suggest_int(name, int(self.low), int(self.high), step=self.step or 1, log=self.log)
        value = float(f'{trial.suggest_float(name, self.low, self.high, log=self.log):.{_DIGITS}g}')
        return min(max(value, self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value is among those that may be sampled."""
        if self.kind == 'choice':
            return value in self.values
        return (isinstance(value, (int, float)) and self.low <= value <= self.high
                and (self.kind == 'float' or (value - self.low) % (self.step or 1) == 0))

    def stored(self, value: Any) -> Any:
        """A value as Optuna remembers it."""
        return json.dumps(value) if self.kind == 'choice' else value

    def samples(self) -> list[Any]:
        """Values that stand for all in a check: the ends, one between them, every choice."""
        if self.kind == 'choice':
            return self.values
        if self.kind == 'int':
            return [int(self.low), int(self.high)]
        return [self.low, self.low + 0.618034 * (self.high - self.low), self.high]  # not a whole number

    def check(self, where: str) -> None:
        """Find out whether the values make sense by themselves.

        Raises:
            ConfigurationError: They do not.
        """
        for fault in self._faults():
            raise ConfigurationError(f'{where}: {fault}')

    def _faults(self) -> Iterator[str]:
        given = [key for key in ('low', 'high', 'step', 'values') if getattr(self, key) is not None]
        given += ['log'] if self.log else []
        allowed = {'choice': ('values',), 'float': ('low', 'high', 'log'), 'int': ('low', 'high', 'log', 'step')}
        for key in given:
            if key not in allowed[self.kind]:
                yield f"kind '{self.kind}' takes no '{key}'; it takes {', '.join(allowed[self.kind])}."
        for key in ('values',) if self.kind == 'choice' else ('low', 'high'):
            if key not in given:
                yield f"kind '{self.kind}' needs '{key}'."
        yield from self._choice_faults() if self.kind == 'choice' else self._range_faults()

    def _choice_faults(self) -> Iterator[str]:
        texts = [json.dumps(value, default=str) for value in self.values]
        if not texts:
            yield 'values is empty; give at least one.'
        for i, text in enumerate(texts):
            if text in texts[:i]:
                yield f'values has {text} twice.'

    def _range_faults(self) -> Iterator[str]:
        low, high = self.low, self.high
        if not (math.isfinite(low) and math.isfinite(high)):
            yield f'low is {low:g} and high {high:g}; both must be finite.'
        if self.kind == 'int' and not (low.is_integer() and high.is_integer()):
            yield f"low is {low:g} and high {high:g}; kind 'int' takes whole numbers."
        if low >= high:
            yield f'low is {low:g} and high {high:g}; low must be below high.'
        if self.log and low <= 0:
            yield f'low is {low:g}; with log it must be above 0.'
        if self.log and self.step not in (None, 1):
            yield f'step is {self.step}; with log it must be 1.'


@settings
class Pruning:
    """When a trial ends early: where its best return so far is below the median of the others at that point."""

    after_trials: PositiveInt = 8  # that were scored, before which none ends early
    after_share: Share = 0.5  # of its budget, before which a trial does not end early


@settings
class TuningFile:
    """The file ``config/tuning/<algorithm>.yaml``."""

    description: str = ''
    episodes: PositiveInt = 32  # with which a trained policy is scored
    pruning: Pruning | None = Pruning()  # null: every trial spends its budget
    space: dict[str, Parameter] = Field(min_length=1)


@settings
class Plan:
    """All that the trials of a study depend on; stored beside them as ``study.yaml``."""

    robot: str
    task: str
    algorithm: str
    steps: PositiveInt  # budget of a training run, of all robots together
    seeds: PositiveInt  # training runs per trial, the mean of which counts
    seed: Annotated[int, Field(ge=0, lt=2**32)]  # of the search; the runs of a trial take it and those that follow
    base: AlgorithmFile  # the algorithm for this task, over which a trial's values are laid
    tuning: TuningFile

    def algorithm_file(self, values: dict[str, Any], name: str) -> AlgorithmFile:
        """A whole algorithm with some values laid over its own."""
        base = self.base
        return AlgorithmFile(name=name, method=base.method, description=base.description,
                             settings=base.settings | values)

    def base_values(self) -> dict[str, Any]:
        """What the algorithm itself has for the hyper-parameters, defaults included."""
        rules = parse_settings(self.base.settings, find_method(self.base.method).settings, where=self.algorithm)
        values = {name: getattr(rules, name) for name in self.tuning.space}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def make_plan(robot: str, task: str, algorithm: str = 'ppo', *, steps: int | None = None, seeds: int = 1,
              seed: int = 1, space: str | None = None) -> Plan:
    """Plan a study.

    Args:
        robot: Name in ``config/robots``, or path of a YAML file.
        task: Likewise.
        algorithm: Likewise; what is not varied stays as it says.
        steps: Budget of a training run; None: the algorithm's.
        seeds: Training runs per trial.
        seed: Of everything random.
        space: Name in ``config/tuning`` or path of a YAML file; None: the one with the algorithm's name.

    Raises:
        ConfigurationError: A name is unknown or a file is wrong.
    """
    load_task(task, load_robot(robot))  # a wrong name is found before anything is started
    path = find_config('algorithms', algorithm)
    file = load_settings(path, AlgorithmFile)
    own = file.settings | file.tasks.get(Path(task).stem, {})
    base = AlgorithmFile(name=file.name, method=file.method, description=file.description,
                         settings=own | ({_BUDGET: steps} if steps else {}))
    method = find_method(file.method, f'{path}, method')
    if method.learns_from is not None:
        raise ConfigurationError(f"algorithm '{algorithm}' learns from a {method.learns_from}, with which there is no "
                                 'search; tune one that learns from the world alone.')
    rules = parse_settings(base.settings, method.settings, f'{path}, settings')
    return Plan(robot=robot, task=task, algorithm=algorithm, steps=rules.steps, seeds=seeds, seed=seed, base=base,
                tuning=load_tuning(_space_path(space, file.name), base))


def load_tuning(path: Path, base: AlgorithmFile) -> TuningFile:
    """Read a search space and check that the algorithm's method takes every value of it.

    Args:
        path: YAML file.
        base: The algorithm whose hyper-parameters are to be varied.

    Raises:
        ConfigurationError: The file is wrong, or names a hyper-parameter that the method has not.
    """
    file = load_settings(path, TuningFile)
    rules = find_method(base.method).settings
    names = [field.name for field in fields(rules) if field.name != _BUDGET]
    for name, parameter in file.space.items():
        if name not in names:
            raise UnknownNameError(f"hyper-parameter of method '{base.method}'", name, names, f'{path}, space')
        where = f'{path}, space.{name}'
        parameter.check(where)
        for value in parameter.samples():
            parse_settings(base.settings | {name: value}, rules, where)
    return file


def _space_path(space: str | None, algorithm: str) -> Path:
    if space is None and algorithm not in config_names('tuning'):
        raise ConfigurationError(f"config/tuning has no search space for algorithm '{algorithm}', only for "
                                 f"{', '.join(config_names('tuning'))}; write one and give it with --space.")
    return find_config('tuning', space or algorithm)

"""Settings of a training run and of the algorithms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from rl_robot_control.config import config_names, find_config, load_settings, parse_settings, settings
from rl_robot_control.learning.learner import MethodSettings, PositiveFloat, PositiveInt
from rl_robot_control.learning.registry import find_method
from rl_robot_control.tasks.task_files import lineage


@settings
class TrainingSettings:
    """What a run was started with; stored beside its checkpoint as ``settings.yaml``."""

    robot: str
    task: str
    algorithm: str = 'ppo'
    backend: Literal['mujoco', 'ros', 'realtime'] = 'mujoco'  # in memory; over topics in lock-step, or in real time
    budget: Literal['simulation', 'hardware'] = 'simulation'  # hardware: one robot, whose time is precious, and which
    # moves to where an episode starts by itself
    num_envs: PositiveInt | None = None  # in all workers together; null: the algorithm's default
    workers: PositiveInt | None = None  # processes that learn together; null: the algorithm's default
    freeze: list[str] = Field(default_factory=list)  # regular expressions of parameters that stay as they are
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    steps: PositiveInt | None = None  # environment steps in all; null: the algorithm's default
    minutes: PositiveFloat | None = None  # stop after so much training time at the latest
    teacher: str | None = None  # recording (.npz), run folder or .onnx policy to learn from, where the algorithm does


@settings
class AlgorithmFile:
    """The file ``config/algorithms/<name>.yaml``."""

    name: str
    method: str  # one of ``registry.METHODS``
    description: str = ''
    settings: dict[str, Any]
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    measured: dict[str, dict[str, float]] = Field(default_factory=dict)  # by task: return, success, steps and seconds
    # of training, means over seeds, as in docs/algorithms.md; for people


def list_algorithms() -> list[str]:
    """Names of the algorithms in ``config/algorithms``."""
    return config_names('algorithms')


def load_algorithm(name: str, task: str) -> tuple[str, MethodSettings]:
    """Method and hyper-parameters of an algorithm for a task, or for the one that the task extends.

    Raises:
        ConfigurationError: The name is unknown, or the file is wrong.
    """
    path = find_config('algorithms', name)
    file = load_settings(path, AlgorithmFile)
    method = find_method(file.method, f'{path}, method')
    nearest = next((name for name in lineage(task) if name in file.tasks), None)
    given = file.settings | file.tasks.get(nearest, {})
    return file.method, parse_settings(given, method.settings, where=f'{path}, settings')

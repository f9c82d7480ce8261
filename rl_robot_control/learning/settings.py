"""Settings of a training run and of the algorithms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from rl_robot_control.config import config_names, find_config, load_settings, parse_settings, settings

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1)]


@settings
class TrainingSettings:
    """What a run was started with; stored beside its checkpoint as ``settings.yaml``."""

    robot: str
    task: str
    algorithm: str = 'ppo'
    backend: Literal['mujoco', 'ros'] = 'mujoco'
    num_envs: PositiveInt | None = None  # in all workers together; null: the algorithm's default
    workers: PositiveInt | None = None  # processes that learn together; null: the algorithm's default
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    steps: PositiveInt | None = None  # environment steps in all; null: the algorithm's default
    minutes: PositiveFloat | None = None  # stop after so much training time at the latest


@settings
class PpoSettings:
    """Hyper-parameters of PPO; names follow Schulman et al. 2017 (arXiv 1707.06347)."""

    num_envs: PositiveInt
    workers: PositiveInt = 1
    steps: PositiveInt
    horizon: PositiveInt  # steps per environment and iteration
    epochs: PositiveInt
    minibatches: PositiveInt
    learning_rate: PositiveFloat
    final_learning_rate: PositiveFloat  # reached linearly at the end of the budget
    clip: PositiveFloat
    discount: Fraction
    trace_decay: Fraction  # lambda of generalised advantage estimation
    entropy: Annotated[float, Field(ge=0)]
    initial_std: PositiveFloat
    gradient_clip: PositiveFloat
    hidden: tuple[int, ...]
    mirror_phase: bool = True  # learn one half of the gait and mirror it, where task and robot allow


@settings
class AlgorithmFile:
    """The file ``config/algorithms/<name>.yaml``."""

    name: str
    description: str = ''
    settings: dict[str, Any]
    tasks: dict[str, dict[str, Any]] = Field(default_factory=dict)


def list_algorithms() -> list[str]:
    """Names of the algorithms in ``config/algorithms``."""
    return config_names('algorithms')


def load_algorithm(name: str, task: str) -> PpoSettings:
    """Hyper-parameters of an algorithm for a task.

    Raises:
        ConfigurationError: The name is unknown, or the file is wrong.
    """
    path = find_config('algorithms', name)
    file = load_settings(path, AlgorithmFile)
    return parse_settings(file.settings | file.tasks.get(Path(task).stem, {}), PpoSettings, where=f'{path}, settings')

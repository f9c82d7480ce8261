"""What several commands share: options, names, files, robots over topics."""

from __future__ import annotations

import enum
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from rl_robot_control.errors import ConfigurationError, UnknownNameError

KINDS = ('robots', 'tasks', 'algorithms', 'policies')
PROFILE = 'stand:4 forward:8@0.6 5:0.3,0,0.4 stop:3'  # 20 s


class Where(str, enum.Enum):
    """Where the robot lives."""

    mujoco = 'mujoco'
    ros = 'ros'
    realtime = 'realtime'


class Budget(str, enum.Enum):
    """What steps cost."""

    simulation = 'simulation'
    hardware = 'hardware'


class Tested(str, enum.Enum):
    """Where a policy is tried."""

    mujoco = 'mujoco'
    ros = 'ros'
    running = 'running'


PolicyArgument = Annotated[str, typer.Argument(metavar='POLICY', help='An .onnx file, or a bundled name.')]
RobotOption = Annotated[str | None, typer.Option('--robot', help='Name in config/robots, or path of a YAML file.')]
SeedOption = Annotated[int, typer.Option('--seed', min=0, max=2**32 - 1, help='Source of everything random.')]
BackendOption = Annotated[Tested, typer.Option('--backend', help='mujoco: in memory; ros: over topics, in lock-step; '
                                               'running: likewise, with a simulation and a shield that run.')]
RateOption = Annotated[float | None, typer.Option('--rate', min=1.0, max=1000.0, help='Control rate of a policy whose '
                                                  'file does not say it [Hz]; default 50.')]
JsonOption = Annotated[bool, typer.Option('--json', help='Print one JSON value and nothing else.')]


def needed(option: str, value: Any, what: str) -> Any:
    """The value of an option that has no default.

    Raises:
        ConfigurationError: There is none; says what to give.
    """
    if value is None:
        raise ConfigurationError(f'--{option} is missing; give {what}.')
    return value


def read(policy: str, robot: str | None, rate: float | None) -> Any:
    """A policy by its bundled name or path, checked."""
    from rl_robot_control.policies import find_policy
    from rl_robot_control.policies.gate import read_policy
    return read_policy(find_policy(policy), robot=robot, rate=rate)


def names_of(kind: str) -> list[str]:
    """Names of one of ``KINDS``."""
    if kind not in KINDS:
        raise UnknownNameError('kind', kind, KINDS)
    from rl_robot_control.config import config_names
    if kind == 'policies':
        from rl_robot_control.policies import list_policies
        return list_policies()
    return config_names(kind)


def fresh_folder(out: Path | None, kind: str) -> Path:
    """The folder that was asked for, which must be empty, or a new one below ``runs``."""
    if out is None:
        import time
        return Path('runs') / time.strftime(f'{kind}_%Y-%m-%d_%H-%M-%S')
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        hint = 'go on with it with --resume, or ' if kind == 'demo' else ''
        raise ConfigurationError(f"'{out}' is not empty; {hint}give another folder with --out.")
    return out


def over_topics(backend: str, robot: str, task: Any, logs: Path | None, training: bool = False,
                gains: Any = None) -> Any:
    """Context that gives the robots over topics, or None for MuJoCo worlds in memory.

    Args:
        backend: One of ``Where`` or ``Tested``.
        robot: Robot by name or file.
        task: By name or file, or loaded.
        logs: Folder for the logs of processes that are started; None: a temporary one.
        training: Whether physics are those of training.
        gains: Policy whose gains the drives have; None: the robot's.
    """
    if backend == 'mujoco':
        return nullcontext()
    from rl_robot_control.robots import load_robot
    from rl_robot_control.ros.processes import require_rclpy
    from rl_robot_control.tasks.task import load_task
    require_rclpy()
    from rl_robot_control.bringup.deployment import bring_up_lockstep, bring_up_real_time, running_lockstep
    if backend == 'realtime':
        return bring_up_real_time(robot, task, log_directory=logs)
    loaded = load_task(task, load_robot(robot)) if isinstance(task, str) else task
    if backend == 'running':
        return running_lockstep(robot, control_period=loaded.control_period, gains=gains)
    physics = loaded.settings.training_physics if training else loaded.settings.physics
    return bring_up_lockstep(robot, control_period=loaded.control_period, physics=physics, log_directory=logs,
                             held=loaded.settings.base == 'held', gains=gains)

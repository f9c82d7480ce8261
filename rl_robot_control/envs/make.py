"""Puts robot, task, shield and simulation together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.backends.protocol import Backend
from rl_robot_control.envs.multi_task_env import MultiTaskVectorEnv
from rl_robot_control.envs.robot_env import RobotEnv
from rl_robot_control.envs.shielded import ShieldedBackend
from rl_robot_control.envs.vector_env import RobotVectorEnv
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.shield import ShieldLimits, make_shield
from rl_robot_control.tasks.task import Task, load_task


def make_backend(robot: RobotModel, task: Task, num_robots: int, physics: PhysicsSettings | None = None,
                 threads: int | None = None) -> ShieldedBackend:
    """MuJoCo worlds behind a shield.

    Args:
        robot: The robot.
        task: The task that will be done there.
        num_robots: N.
        physics: How it is simulated; None: as the task says for evaluation.
        threads: Number of C threads; None: one per core.
    """
    physics = physics or task.settings.physics
    backend = MujocoBackend(robot, num_robots, task.control_period, physics, threads)
    limits, held = ShieldLimits.from_robot(robot), task.settings.base == 'held'
    if held:
        backend.hold_base(True)
        limits = limits.hanging()
    return ShieldedBackend(backend, make_shield(robot, task.control_period, num_robots, limits=limits,
                                                distances=physics.collisions == 'full'))  # else links pass each other


def make_vector_env(robot: str, task: str, num_envs: int, *, seed: int | None = None, training: bool = False,
                    randomise: bool = True, threads: int | None = None) -> RobotVectorEnv:
    """A task on N simulated robots.

    Args:
        robot: Name of a robot or path of its YAML.
        task: Name of a task or path of its YAML.
        num_envs: N.
        seed: Source of all randomness.
        training: Take the task's coarse training physics, episodes of random age at the start, and a curriculum's
            beginning; else the task is there in full.
        randomise: Vary starts and disturb the robots.
        threads: Number of C threads; None: one per core.

    Raises:
        ConfigurationError: A name is unknown or a file is wrong.
    """
    model = load_robot(robot)
    loaded = load_task(task, model)
    physics = loaded.settings.training_physics if training else loaded.settings.physics
    backend = make_backend(model, loaded, num_envs, physics, threads)
    return RobotVectorEnv(backend, loaded, seed, randomise, stagger=training, grows=training)


def make_training_env(tasks: Sequence[Task], num_envs: int, seed: int, *, backend: Backend | None = None,
                      threads: int | None = None, stagger: bool = True,
                      randomise: bool = True) -> RobotVectorEnv | MultiTaskVectorEnv:
    """The tasks that one policy learns, on N simulated robots with the coarse physics of training.

    Args:
        tasks: One, or several with the same interface, from ``load_tasks``.
        num_envs: N; several tasks have equally many robots each.
        seed: Source of all randomness.
        backend: Where the robots of a single task live; None: MuJoCo worlds behind the shield.
        threads: Number of C threads; None: one per core.
        stagger: Start with episodes of random age, and with a curriculum's beginning, as one learns; False: as one
            scores, from the reset and the task in full.
        randomise: Vary starts and worlds, and disturb the robots.

    Raises:
        ConfigurationError: The robots cannot be divided evenly, or a backend is given for several tasks or has
            another control period.
    """
    if backend is not None and len(tasks) > 1:
        raise ConfigurationError(f'{len(tasks)} tasks together are learnt in memory only; leave the backend out.')
    if backend is not None and not math.isclose(backend.control_period, tasks[0].control_period):
        raise ConfigurationError(f"the backend's control period is {backend.control_period} s, and that of the task "
                                 f"'{tasks[0].name}' {tasks[0].control_period} s; they must be the same.")
    if num_envs % len(tasks):
        raise ConfigurationError(f'{num_envs} robots cannot be divided evenly among {len(tasks)} tasks; give a '
                                 'multiple with --num-envs.')
    share = num_envs // len(tasks)
    members = [RobotVectorEnv(backend or make_backend(task.robot, task, share, task.settings.training_physics, threads),
                              task, seed + i, randomise, stagger, grows=stagger) for i, task in enumerate(tasks)]
    return members[0] if len(members) == 1 else MultiTaskVectorEnv(members)


def make_env(robot: str, task: str, *, randomise: bool = True) -> RobotEnv:
    """A task on one simulated robot; see ``make_vector_env``."""
    model = load_robot(robot)
    loaded = load_task(task, model)
    return RobotEnv(make_backend(model, loaded, 1), loaded, randomise)

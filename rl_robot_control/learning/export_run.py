"""From a run's checkpoint to a policy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from rl_robot_control.envs import RobotVectorEnv, make_backend
from rl_robot_control.errors import PolicyError
from rl_robot_control.learning.export import export_policy
from rl_robot_control.learning.networks import Actor
from rl_robot_control.learning.run_folder import RunFolder, require_run
from rl_robot_control.learning.run_policy import run_policy
from rl_robot_control.learning.world import World
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_member, load_task, members_of
from rl_robot_control.types import RobotState

SAMPLES = 8  # robots, and so states for golden vectors
SAMPLE_STEPS = 25  # half a second into an episode, so that nothing in the states is zero


def export_run(run_folder: Path, out: Path | None = None, member: str | None = None) -> Path:
    """Write the policy of a run as ONNX with its manifest.

    Args:
        run_folder: Folder that ``train`` wrote.
        out: File to write; None: ``policy.onnx`` in the run's folder, or ``policy_MEMBER.onnx``.
        member: For a set of tasks, which of them the file is to do; see ``run_members``.

    Raises:
        ConfigurationError: The folder holds no checkpoint, or there is no such member.
        PolicyError: The network cannot be exported or deployed, or ONNX Runtime disagrees with torch.
    """
    folder = require_run(run_folder)
    settings, checkpoint = folder.settings(), folder.load()
    robot = load_robot(settings.robot)
    task = load_task(settings.task, robot) if member is None else load_member(settings.task, member, robot)
    env = RobotVectorEnv(make_backend(robot, task, SAMPLES), task, settings.seed, grows=False)
    try:
        network, world = run_policy(settings, checkpoint, env)
        _check_deployable(network, folder)
        states = _sample_states(world, network)
    finally:
        env.close()
    lower, upper = task.command_range()
    path = Path(out) if out is not None else folder.path / ('policy.onnx' if member is None else
                                                            f'policy_{member}.onnx')
    returns = checkpoint['returns']
    export_policy(network, task.settings.interface, robot, path, task=member or settings.task,
                  algorithm=settings.algorithm,
                  training={'seed': settings.seed, 'steps': checkpoint['steps'],
                            'minutes': round(checkpoint['seconds'] / 60, 3),
                            'mean_return': float(np.mean(returns)) if returns else None},
                  command_lower=lower, command_upper=upper, sample_states=states)
    return path


def run_members(run_folder: Path) -> list[str | None]:
    """The tasks that a run's policy does, each of which has a file of its own; [None] where it is only one."""
    return list(members_of(require_run(run_folder).settings().task)) or [None]


def _check_deployable(network: nn.Module, folder: RunFolder) -> None:
    if getattr(network, 'privileged', False):
        settings = folder.settings()
        raise PolicyError(f"'{folder.path}': this policy sees what a robot does not measure; distil it: train "
                          f'--algorithm dagger --teacher {folder.path} --robot {settings.robot} --task {settings.task}')


def _sample_states(world: World, network: nn.Module) -> RobotState:
    """States that the policy meets."""
    actor = Actor(network, world.num_robots)
    for _ in range(SAMPLE_STEPS):
        actor.forget(world.step(actor(world.observation)).done)
    return world.env.episodes.state

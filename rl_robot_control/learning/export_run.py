"""From a run's checkpoint to a policy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rl_robot_control.envs import RobotVectorEnv, make_backend
from rl_robot_control.learning.export import export_policy
from rl_robot_control.learning.ppo import Ppo
from rl_robot_control.learning.run_folder import require_run
from rl_robot_control.learning.settings import load_algorithm
from rl_robot_control.learning.symmetry import PhaseMirror
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.task import load_task
from rl_robot_control.types import RobotState

SAMPLES = 8  # robots, and so states for golden vectors
SAMPLE_STEPS = 25  # half a second into an episode, so that nothing in the states is zero


def export_run(run_folder: Path, out: Path | None = None) -> Path:
    """Write the policy of a run as ONNX with its manifest.

    Args:
        run_folder: Folder that ``train`` wrote.
        out: File to write; None: ``policy.onnx`` in the run's folder.

    Raises:
        ConfigurationError: The folder holds no checkpoint.
        PolicyError: The network cannot be exported, or ONNX Runtime disagrees with torch.
    """
    folder = require_run(run_folder)
    settings, checkpoint = folder.settings(), folder.load()
    robot = load_robot(settings.robot)
    task = load_task(settings.task, robot)
    env = RobotVectorEnv(make_backend(robot, task, SAMPLES), task, settings.seed)
    try:
        observation, info = env.reset(seed=settings.seed)
        interface = env.episodes.interface
        learner = Ppo(load_algorithm(settings.algorithm, settings.task), observation, info['privileged_observation'],
                      interface.num_actions, PhaseMirror.of(interface, task.settings.critic))
        learner.load(checkpoint['learner'])
        network = learner.policy()
        states = _sample_states(env, network, observation)
    finally:
        env.close()
    lower, upper = task.command_range()
    path = Path(out) if out is not None else folder.path / 'policy.onnx'
    returns = checkpoint['returns']
    export_policy(network, task.settings.interface, robot, path, task=settings.task, algorithm=settings.algorithm,
                  training={'seed': settings.seed, 'steps': checkpoint['steps'],
                            'minutes': round(checkpoint['seconds'] / 60, 3),
                            'mean_return': float(np.mean(returns)) if returns else None},
                  command_lower=lower, command_upper=upper, sample_states=states)
    return path


def _sample_states(env: RobotVectorEnv, network: torch.nn.Module, observation: np.ndarray) -> RobotState:
    """States that the policy meets."""
    for _ in range(SAMPLE_STEPS):
        with torch.inference_mode():
            action = network(torch.as_tensor(observation)).numpy()
        observation, *_ = env.step(action)
    return env.episodes.state

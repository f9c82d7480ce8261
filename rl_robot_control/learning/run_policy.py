"""The policy of a run's checkpoint."""

from __future__ import annotations

from typing import Any

from torch import nn

from rl_robot_control.envs import RobotVectorEnv
from rl_robot_control.learning.registry import find_method
from rl_robot_control.learning.settings import TrainingSettings, load_algorithm
from rl_robot_control.learning.world import World


def run_policy(settings: TrainingSettings, checkpoint: dict[str, Any], env: RobotVectorEnv,
               ) -> tuple[nn.Module, World]:
    """The policy that a run has learnt, and a world in which to let it act.

    Args:
        settings: What the run was started with.
        checkpoint: From ``RunFolder.load``.
        env: The run's task on the run's robot; it is reset.
    """
    method, rules = load_algorithm(settings.algorithm, settings.task)
    world = World(env, settings.seed)
    learner = find_method(method).make(rules, world)
    learner.load(checkpoint['learner'])
    return learner.policy(), world

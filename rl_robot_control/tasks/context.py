"""What a term may look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.types import FloatArray, RobotState


@dataclass(frozen=True, kw_only=True)
class Context:
    """One instant of N robots under a policy; A is the number of actions."""

    robot: RobotModel
    joints: np.ndarray  # (A,) indices of the joints that the policy moves
    state: RobotState
    command: FloatArray  # (N, 3) what the policy is asked for: vx, vy [m/s], wz [rad/s], or a target position [m]
    action: FloatArray  # (N, A) the policy's latest output
    previous_action: FloatArray  # (N, A) the one before
    phase: FloatArray  # (N,) of the gait clock, in [0, 1)
    gait: GaitSettings
    correction: FloatArray  # (N, J) what the shield changed of the latest targets [rad]; zero where it is not known

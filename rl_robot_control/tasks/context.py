"""What a term may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.motion import Tracked
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
    track: Callable[[], Tracked] | None = None  # works out ``tracked``; None: the policy tracks no motion

    @cached_property
    def tracked(self) -> Tracked | None:
        """A motion to track, beside the robot; None: the policy tracks none."""
        return None if self.track is None else self.track()

    @cached_property
    def heading(self) -> FloatArray:
        """The base's angle about the world's z axis (N,) [rad]; worked out once for all terms."""
        return rotations.yaw(self.state.base_quaternion)

    @cached_property
    def velocity(self) -> FloatArray:
        """Velocity of the base in the frame that only turns with its heading (N, 3) [m/s]."""
        world = rotations.rotate(self.state.base_quaternion, self.state.base_linear_velocity)
        return rotations.into_yaw_frame(self.heading, world)

    @cached_property
    def gravity(self) -> FloatArray:
        """Direction of gravity in the base frame (N, 3) [-]."""
        return rotations.projected_gravity(self.state.base_quaternion)

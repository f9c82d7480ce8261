"""Goal terms: ``(context, **parameters) -> (N, 3)`` what has been achieved, in the terms of the command."""

from __future__ import annotations

from rl_robot_control import rotations
from rl_robot_control.tasks.context import Context
from rl_robot_control.types import FloatArray


def frame_place(context: Context, *, frame: str) -> FloatArray:
    """Where a frame is, in the base frame [m]. Needs odometry where the base moves."""
    state = context.state
    relative = state.frame_position[:, context.robot.frame_indices([frame])[0]] - state.base_position
    return rotations.rotate_inverse(state.base_quaternion, relative)

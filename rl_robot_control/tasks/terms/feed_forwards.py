"""Feed-forward terms: ``(context) -> (N, A)`` joint offsets [rad] that a policy's action is added to."""

from __future__ import annotations

import numpy as np

from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.gait import leg_motion
from rl_robot_control.tasks.terms import observations
from rl_robot_control.types import FloatArray


def none(context: Context) -> FloatArray:
    """Nothing: the action is relative to the default pose."""
    return np.zeros_like(context.action)


def measured(context: Context) -> FloatArray:
    """Where the joints are: the action is an effort, stiffness · scale · action, less the drive's damping."""
    return observations.joint_position(context)


def walking(context: Context) -> FloatArray:
    """The gait's leg motion; the first twelve actions are the left and the right leg from hip pitch to ankle roll."""
    offset = np.zeros_like(context.action)
    offset[:, :12] = leg_motion(context.phase, context.command, context.gait).reshape(len(offset), 12)
    return offset

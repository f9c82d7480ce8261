"""Success terms: ``(context, **parameters) -> (N,)`` booleans, true where the task is done at this instant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.terms import observations, rewards
from rl_robot_control.types import BoolArray


def target_within(context: Context, *, frame: str, distance: float) -> BoolArray:
    """A frame is closer to the commanded target than a distance [m]."""
    return rewards.target_distance(context, frame=frame) < distance


def joints_within(context: Context, *, joints: Sequence[str], distance: float) -> BoolArray:
    """Joints are closer to their defaults than a distance [rad]."""
    return (np.abs(observations.joint_position(context, joints=joints)) < distance).all(axis=-1)

"""Success terms: ``(context, **parameters) -> (N,)`` booleans, true where the task is done at this instant."""

from __future__ import annotations

from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.terms import rewards
from rl_robot_control.types import BoolArray


def target_within(context: Context, *, frame: str, distance: float) -> BoolArray:
    """A frame is closer to the commanded target than a distance [m]."""
    return rewards.target_distance(context, frame=frame) < distance

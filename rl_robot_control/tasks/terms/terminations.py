"""Termination terms: ``(context, **parameters) -> (N,)`` booleans that end an episode as a failure."""

from __future__ import annotations

from rl_robot_control import rotations
from rl_robot_control.tasks.context import Context
from rl_robot_control.types import BoolArray


def base_below(context: Context, *, height: float) -> BoolArray:
    """The base is lower than a height [m], or its height is not known."""
    return ~(context.state.base_position[:, 2] >= height)


def base_tilted(context: Context, *, angle: float) -> BoolArray:
    """The base leans by more than an angle [rad], or its orientation is not known."""
    return ~(rotations.tilt(context.state.base_quaternion) <= angle)

"""Termination terms: ``(context, **parameters) -> (N,)`` booleans that end an episode as a failure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.terms import observations
from rl_robot_control.types import BoolArray


def base_below(context: Context, *, height: float) -> BoolArray:
    """The base is lower than a height [m], or its height is not known."""
    return ~(context.state.base_position[:, 2] >= height)


def joint_outside(context: Context, *, joints: Sequence[str], distance: float) -> BoolArray:
    """A joint is farther from its default than a distance [rad], or its position is not known."""
    return ~(np.abs(observations.joint_position(context, joints=joints)) <= distance).all(axis=-1)


def base_tilted(context: Context, *, angle: float) -> BoolArray:
    """The base leans by more than an angle [rad], or its orientation is not known."""
    return ~(rotations.tilt(context.state.base_quaternion) <= angle)


def motion_lost(context: Context, *, height: float, lean: float) -> BoolArray:
    """The anchor is not where the motion has it.

    It is higher or lower by more than ``height`` [m], or its "up" is off by more than ``lean`` [rad], or its pose is
    not known. Where the motion does not say its anchor's place, the lean alone counts.
    """
    tracked = context.tracked
    if tracked is None:
        raise ConfigurationError("motion_lost needs the interface's 'motion'.")
    unsaid = np.isnan(tracked.reference.anchor_position[:, 2])
    return ~((np.abs(tracked.height) <= height) | unsaid) | ~(tracked.lean <= lean)

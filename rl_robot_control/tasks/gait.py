"""A walking clock and the joint motion that goes with it.

The motion is a feed-forward: the policy learns what to add. Formulas and constants were found by trial on the Unitree
G1; see ``docs/walking.md``.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from rl_robot_control.config import settings
from rl_robot_control.types import FloatArray

_SIDE = np.array([1.0, -1.0])  # of the body that a leg is on: left, right


@settings
class GaitSettings:
    """Two legs in alternation, the second one half a period after the first."""

    period: Annotated[float, Field(gt=0)] = 0.8  # of one stride [s]
    swing_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.4  # of the period that a foot is in the air
    leg_length: Annotated[float, Field(gt=0)] = 0.62  # hip to ankle [m]
    hip_half_width: float = 0.12  # lateral distance of a hip from the middle [m]
    pause_below: Annotated[float, Field(ge=0)] = 0.0  # commanded speed [m/s] and turning [rad/s] below which the clock
    # waits at zero; 0: it always runs


def resting(command: FloatArray, gait: GaitSettings) -> np.ndarray:
    """Whether the clock waits, by the commands (N, 3) that the policy sees; (N,)."""
    return (np.linalg.norm(command[:, :2], axis=-1) < gait.pause_below) & (np.abs(command[:, 2]) < gait.pause_below)


def leg_phases(phase: FloatArray) -> FloatArray:
    """Phases (N, 2) of the left and the right leg from the clock's phase (N,)."""
    legs = np.empty((*np.shape(phase), 2))
    legs[..., 0], legs[..., 1] = phase, (phase + 0.5) % 1.0
    return legs


def swinging(phase: FloatArray, gait: GaitSettings) -> np.ndarray:
    """Whether each leg should be in the air, (N, 2)."""
    return leg_phases(phase) < gait.swing_fraction


def lift(phase: FloatArray, gait: GaitSettings) -> FloatArray:
    """How far each foot is through its arc: 0 on the ground, 1 at the top, (N, 2)."""
    return _lift(leg_phases(phase), gait)


def sweep(phase: FloatArray, gait: GaitSettings) -> FloatArray:
    """Fore-aft place of each foot: -1 behind, 1 in front, (N, 2)."""
    return _sweep(leg_phases(phase), gait)


def leg_motion(phase: FloatArray, command: FloatArray, gait: GaitSettings) -> FloatArray:
    """Joint offsets that walk at a commanded velocity.

    Args:
        phase: (N,) of the clock, in [0, 1).
        command: (N, 3) vx, vy [m/s], wz [rad/s].
        gait: The gait.

    Returns:
        (N, 2, 6) offsets [rad] of hip pitch, hip roll, hip yaw, knee, ankle pitch and ankle roll; left leg first.
    """
    legs = leg_phases(phase)
    b, c = _lift(legs, gait), _sweep(legs, gait)
    reach = gait.period * (1 - gait.swing_fraction) / 2  # half a stance's travel per unit of speed [s]
    vx, vy, wz = command[:, :1], command[:, 1:2], command[:, 2:3]
    lean = (vx - _SIDE * gait.hip_half_width * wz) * reach / gait.leg_length * c
    lifted, motion = 0.3 * b, np.empty((len(phase), 2, 6))
    motion[..., 0], motion[..., 3], motion[..., 4] = -lifted - lean, 0.6 * b, lean - lifted
    motion[..., 1] = roll = vy * reach * c + _SIDE * gait.hip_half_width * np.abs(vy)
    motion[..., 5] = -roll
    motion[..., 2] = 1.3 * wz * reach * c
    return motion


def _lift(legs: FloatArray, gait: GaitSettings) -> FloatArray:
    arc = 0.5 - 0.5 * np.cos(2 * np.pi * legs / gait.swing_fraction)
    return np.where(legs < gait.swing_fraction, arc, 0.0)


def _sweep(legs: FloatArray, gait: GaitSettings) -> FloatArray:
    swing = gait.swing_fraction
    return np.where(legs < swing, -np.cos(np.pi * legs / swing), np.cos(np.pi * (legs - swing) / (1 - swing)))

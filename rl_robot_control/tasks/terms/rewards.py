"""Reward terms: ``(context, **parameters) -> (N,)`` per second; a task's YAML gives their weights.

A term that is a cost is positive here and gets a negative weight there. Sources: the walking terms are those found by
trial on the Unitree G1 (``docs/walking.md``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.gait import lift, swinging
from rl_robot_control.tasks.terms import observations
from rl_robot_control.types import FloatArray


def alive(context: Context) -> FloatArray:
    """One while the episode lasts."""
    return np.ones(context.state.num_robots)


def track_linear_velocity(context: Context, *, variance: float) -> FloatArray:
    """exp(−|horizontal velocity error|² / variance [m²/s²])."""
    return np.exp(-np.square(observations.velocity_error(context)).sum(axis=-1) / variance)


def track_yaw_rate(context: Context, *, variance: float) -> FloatArray:
    """exp(−(yaw-rate error)² / variance [rad²/s²])."""
    error = context.command[:, 2] - context.state.base_angular_velocity[:, 2]
    return np.exp(-np.square(error) / variance)


def linear_velocity_error(context: Context) -> FloatArray:
    """Horizontal velocity error [m/s]."""
    return np.linalg.norm(observations.velocity_error(context), axis=-1)


def contact_schedule(context: Context, *, frames: Sequence[str], threshold: float = 1.0) -> FloatArray:
    """Share of the feet that touch the ground when the gait says so, and not when it does not."""
    touching = observations.contact(context, frames=frames, threshold=threshold) > 0
    return (touching != swinging(context.phase, context.gait)).mean(axis=-1)


def foot_lift(context: Context, *, frames: Sequence[str], height: float, variance: float) -> FloatArray:
    """Mean of exp(−(foot height − height · arc of the gait)² / variance [m²])."""
    target = height * lift(context.phase, context.gait)
    actual = observations.frame_height(context, frames=frames)
    return np.exp(-np.square(actual - target) / variance).mean(axis=-1)


def tilt(context: Context) -> FloatArray:
    """Squared horizontal part of gravity's direction in the base [-]."""
    return np.square(context.gravity[:, :2]).sum(axis=-1)


def height_error(context: Context) -> FloatArray:
    """Squared deviation of the base's height from its default [m²]."""
    return np.square(observations.base_height(context)[:, 0])


def vertical_velocity(context: Context) -> FloatArray:
    """Squared vertical velocity of the base [m²/s²]."""
    return np.square(observations.base_velocity(context)[:, 2])


def rolling(context: Context) -> FloatArray:
    """Squared roll and pitch rates of the base [rad²/s²]."""
    return np.square(context.state.base_angular_velocity[:, :2]).sum(axis=-1)


def slip(context: Context, *, frames: Sequence[str], threshold: float = 1.0) -> FloatArray:
    """Sum over the feet on the ground of their squared horizontal velocity [m²/s²]."""
    velocity = context.state.frame_velocity[:, context.robot.frame_indices(frames), :2]
    touching = observations.contact(context, frames=frames, threshold=threshold)
    return (np.square(velocity).sum(axis=-1) * touching).sum(axis=-1)


def foot_tilt(context: Context, *, frames: Sequence[str]) -> FloatArray:
    """Sum over the feet of the squared horizontal part of their z axis [-]."""
    return np.square(context.state.frame_axis_z[:, context.robot.frame_indices(frames), :2]).sum(axis=(-2, -1))


def foot_crossing(context: Context, *, frames: Sequence[str], distance: float) -> FloatArray:
    """How much closer than a distance the two feet are, side by side [m]."""
    relative = observations.frame_position(context, frames=frames)
    return np.maximum(0.0, distance - (relative[:, 1] - relative[:, 4]))


def action_rate(context: Context) -> FloatArray:
    """Squared change of the action [-]."""
    return np.square(context.action - context.previous_action).sum(axis=-1)


def effort(context: Context) -> FloatArray:
    """Squared joint efforts [N²·m²]."""
    return np.square(context.state.joint_effort).sum(axis=-1)


def joint_speed(context: Context) -> FloatArray:
    """Squared joint velocities [rad²/s²]."""
    return np.square(context.state.joint_velocity).sum(axis=-1)


def joint_deviation(context: Context, *, joints: Sequence[str]) -> FloatArray:
    """Squared distance of some joints from the default pose [rad²]."""
    return np.square(observations.joint_position(context, joints=joints)).sum(axis=-1)


def joint_limits(context: Context, *, margin: float) -> FloatArray:
    """How far joints are beyond their limits, drawn in by a margin [rad]."""
    robot, position = context.robot, context.state.joint_position
    return (np.maximum(0.0, position - (robot.position_upper - margin))
            + np.maximum(0.0, robot.position_lower + margin - position)).sum(axis=-1)


def shield_correction(context: Context) -> FloatArray:
    """Norm of what the shield changed of the latest targets [rad] (arXiv 2205.06750: it trains best with this cost)."""
    return np.linalg.norm(context.correction, axis=-1)


def reach_target(context: Context, *, frame: str, variance: float) -> FloatArray:
    """exp(−(distance between a frame and the target)² / variance [m²])."""
    return np.exp(-np.square(target_distance(context, frame=frame)) / variance)


def target_distance(context: Context, *, frame: str) -> FloatArray:
    """Distance between a frame and the target, which is given in the base frame [m]."""
    return np.linalg.norm(observations.target_offset(context, frame=frame), axis=-1)


def arc_error(context: Context, *, joint: str, center: Sequence[float]) -> FloatArray:
    """Size of the angle by which a joint has to turn to the target [rad]; see ``observations.arc_error``."""
    return np.abs(observations.arc_error(context, joint=joint, center=center)[:, 0])


def frames_apart(context: Context, *, frames: Sequence[str]) -> FloatArray:
    """Distance between two frames [m]."""
    first, second = context.robot.frame_indices(frames)
    position = context.state.frame_position
    return np.linalg.norm(position[:, first] - position[:, second], axis=-1)

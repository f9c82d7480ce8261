"""Observation terms: ``(context, **parameters) -> (N, D)``.

Those that a policy (not only its critic) uses are evaluated by the inference node with this same code. A term reads
only what it is for; a robot that does not measure it gives NaN, and the runner refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.gait import leg_phases, resting
from rl_robot_control.tasks.motion import Tracked
from rl_robot_control.tasks.terms import goals
from rl_robot_control.types import FloatArray


def base_angular_velocity(context: Context) -> FloatArray:
    """Angular velocity of the base in the base frame [rad/s], (N, 3)."""
    return context.state.base_angular_velocity


def projected_gravity(context: Context) -> FloatArray:
    """Direction of gravity in the base frame [-], (N, 3)."""
    return context.gravity


def command(context: Context) -> FloatArray:
    """What the policy is asked for, (N, 3)."""
    return context.command


def joint_position(context: Context, *, joints: Sequence[str] | None = None) -> FloatArray:
    """Joint positions relative to the default pose [rad]; by default of the joints that the policy moves."""
    index = _joints(context, joints)
    return context.state.joint_position[:, index] - context.robot.default_position[index]


def joint_velocity(context: Context, *, joints: Sequence[str] | None = None) -> FloatArray:
    """Joint velocities [rad/s]; by default of the joints that the policy moves."""
    return context.state.joint_velocity[:, _joints(context, joints)]


def last_action(context: Context) -> FloatArray:
    """The policy's latest output, (N, A)."""
    return context.action


def gait_phase(context: Context, *, zero_below: float = 0.0) -> FloatArray:
    """Sine and cosine of the gait clock, (N, 2); both zero under commands whose norm is below a threshold."""
    angle, phase = 2 * np.pi * context.phase, np.empty((len(context.phase), 2))
    phase[:, 0], phase[:, 1] = np.sin(angle), np.cos(angle)
    if zero_below:
        phase[np.linalg.norm(context.command, axis=-1) < zero_below] = 0.0
    return phase


def leg_phase_sine(context: Context) -> FloatArray:
    """Sine of the left and the right leg's phase, (N, 2)."""
    return np.sin(_leg_angles(context))


def leg_phase_cosine(context: Context) -> FloatArray:
    """Cosine of the left and the right leg's phase, (N, 2)."""
    return np.cos(_leg_angles(context))


def velocity_command(context: Context) -> FloatArray:
    """The linear part of the command [m/s], (N, 2)."""
    return context.command[:, :2]


def turn_command(context: Context) -> FloatArray:
    """The angular part of the command [rad/s], (N, 1)."""
    return context.command[:, 2:]


def base_linear_velocity(context: Context) -> FloatArray:
    """Velocity of the base in the base frame [m/s], (N, 3). Needs odometry."""
    return context.state.base_linear_velocity


def motion_joints(context: Context) -> FloatArray:
    """Joint positions [rad] and velocities [rad/s] of the motion to track, in the order of the action, (N, 2·A)."""
    reference = _tracked(context).reference
    return np.concatenate([reference.joint_position, reference.joint_velocity], axis=-1)


def motion_anchor_position(context: Context) -> FloatArray:
    """Where the motion's anchor is in the frame of the robot's [m], (N, 3). Needs odometry."""
    return _tracked(context).position


def motion_anchor_orientation(context: Context) -> FloatArray:
    """How the motion's anchor is turned against the robot's: two columns of the rotation, row by row, (N, 6)."""
    return _tracked(context).rotation[:, :, :2].reshape(-1, 6)


def base_velocity(context: Context) -> FloatArray:
    """Velocity of the base in the frame that only turns with its heading [m/s], (N, 3). Needs odometry."""
    return context.velocity


def velocity_error(context: Context) -> FloatArray:
    """Commanded minus measured horizontal velocity [m/s], (N, 2). Needs odometry."""
    return context.command[:, :2] - base_velocity(context)[:, :2]


def base_height(context: Context) -> FloatArray:
    """Height of the base above its default [m], (N, 1). Needs odometry."""
    return context.state.base_position[:, 2:] - context.robot.settings.base.height


def frame_height(context: Context, *, frames: Sequence[str]) -> FloatArray:
    """Heights of frames above the floor [m], (N, F). Needs odometry."""
    return context.state.frame_position[:, context.robot.frame_indices(frames), 2]


def contact(context: Context, *, frames: Sequence[str], threshold: float = 1.0) -> FloatArray:
    """Whether frames touch something (force above the threshold [N]): 0 or 1, NaN where it is not measured, (N, F)."""
    force = context.state.contact_force[:, context.robot.frame_indices(frames)]
    return np.where(np.isnan(force), np.nan, force > threshold)


def frame_position(context: Context, *, frames: Sequence[str]) -> FloatArray:
    """Positions of frames relative to the base, turned by its heading [m], (N, 3·F). Needs odometry."""
    state = context.state
    relative = state.frame_position[:, context.robot.frame_indices(frames)] - state.base_position[:, None]
    turned = rotations.into_yaw_frame(context.heading[:, None], relative)
    return turned.reshape(state.num_robots, -1)


def target_offset(context: Context, *, frame: str) -> FloatArray:
    """Vector from a frame to the commanded target, in the base frame [m], (N, 3). Needs odometry."""
    return context.command - goals.frame_place(context, frame=frame)


def arc_error(context: Context, *, joint: str, center: Sequence[float]) -> FloatArray:
    """By which angle a joint has to turn for what hangs from it to point at the target [rad], (N, 1).

    Args:
        context: The instant.
        joint: The joint; it turns about the base's y axis, and at zero its link hangs down.
        center: (3,) where it is, in the base frame [m].
    """
    away = context.command - center
    wanted = np.arctan2(-away[:, 0], -away[:, 2])
    position = context.state.joint_position[:, context.robot.joint_indices([joint])[0]]
    return rotations.wrap(wanted - position)[:, None]


def task_code(context: Context, *, code: Sequence[float]) -> FloatArray:
    """Which of several tasks the policy is to do: one number per task, 1 for it and 0 for the others, (N, K)."""
    return np.tile(np.asarray(code, dtype=np.float64), (context.state.num_robots, 1))


def _joints(context: Context, joints: Sequence[str] | None) -> np.ndarray:
    return context.joints if joints is None else context.robot.joint_indices(joints)


def _leg_angles(context: Context) -> FloatArray:
    """Phases (N, 2) of the legs [rad]; π for both while the clock waits."""
    waits = resting(context.command, context.gait)[:, None]
    return np.where(waits, np.pi, 2 * np.pi * leg_phases(context.phase))


def _tracked(context: Context) -> Tracked:
    if context.tracked is None:
        raise ConfigurationError("terms of a motion need the interface's 'motion'.")
    return context.tracked

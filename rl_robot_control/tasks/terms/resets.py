"""Reset terms: ``(initial, random, robot, command, **parameters) -> initial`` vary how episodes start."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray, InitialState


def joint_noise(initial: InitialState, random: np.random.Generator, robot: RobotModel, command: FloatArray, *,
                position: float, velocity: float, joints: Sequence[str] = ('.*',)) -> InitialState:
    """Vary joints evenly by ± position [rad], within their limits, and ± velocity [rad/s]."""
    index = robot.joint_indices(joints)
    shape = (len(initial.joint_position), len(index))
    moved, moving = initial.joint_position.copy(), initial.joint_velocity.copy()
    moved[:, index] += random.uniform(-position, position, shape)
    moving[:, index] += random.uniform(-velocity, velocity, shape)
    return dataclasses.replace(
        initial, joint_position=np.minimum(np.maximum(moved, robot.position_lower), robot.position_upper),
        joint_velocity=moving)


def base_tilt(initial: InitialState, random: np.random.Generator, robot: RobotModel, command: FloatArray, *,
              angle: float) -> InitialState:
    """Lean the base by ± angle [rad] in roll and pitch."""
    roll, pitch = random.uniform(-angle, angle, (2, len(initial.base_position)))
    return dataclasses.replace(initial, base_quaternion=rotations.from_euler(roll, pitch, np.zeros_like(roll)))


def forward_speed(initial: InitialState, random: np.random.Generator, robot: RobotModel,
                  command: FloatArray) -> InitialState:
    """Start with a share of the commanded forward speed."""
    velocity = initial.base_linear_velocity.copy()
    velocity[:, 0] += random.random(len(velocity)) * command[:, 0]
    return dataclasses.replace(initial, base_linear_velocity=velocity)

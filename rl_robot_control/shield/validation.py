"""Whether numbers are numbers."""

from __future__ import annotations

import numpy as np

from rl_robot_control.types import BoolArray, RobotState

QUATERNION_NORM = (0.8, 1.2)  # of the squared norm; a zero quaternion would read as upright


def finite_rows(array: np.ndarray) -> BoolArray:
    """Whether each row (N, ...) holds only finite numbers, (N,)."""
    return np.isfinite(array).reshape(len(array), -1).all(axis=1)


def right_shape(state: RobotState, num_robots: int, num_joints: int) -> bool:
    """Whether the arrays that the shield reads have the sizes of N robots with J joints."""
    joints = (num_robots, num_joints)
    return (state.joint_position.shape == joints and state.joint_velocity.shape == joints
            and state.time.shape == (num_robots,) and state.base_quaternion.shape == (num_robots, 4))


def valid_states(state: RobotState, squares: np.ndarray | None) -> BoolArray:
    """Whether each robot's state is usable, (N,): time, joints and, if needed, orientation are finite numbers.

    Args:
        state: Of N robots.
        squares: (N, 4) squared base quaternions, or None if the orientation is not needed.
    """
    valid = np.isfinite(state.time) & finite_rows(state.joint_position) & finite_rows(state.joint_velocity)
    return valid if squares is None else valid & _unit_length(squares)


def _unit_length(squares: np.ndarray) -> BoolArray:
    norm = np.add.reduce(squares, axis=1)
    return (norm > QUATERNION_NORM[0]) & (norm < QUATERNION_NORM[1])

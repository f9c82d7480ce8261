"""Rotations on batched arrays; quaternions are (x, y, z, w) and rotate from the body into the world (REP 103)."""

from __future__ import annotations

import numpy as np

from rl_robot_control.types import FloatArray


def rotate(quaternion: FloatArray, vector: FloatArray) -> FloatArray:
    """Rotate vectors from the body into the world.

    Args:
        quaternion: (..., 4) unit quaternions.
        vector: (..., 3).
    """
    axis, w = quaternion[..., :3], quaternion[..., 3:]
    t = 2.0 * _cross(axis, vector)
    return vector + w * t + _cross(axis, t)


def rotate_inverse(quaternion: FloatArray, vector: FloatArray) -> FloatArray:
    """Rotate vectors from the world into the body."""
    axis, w = -quaternion[..., :3], quaternion[..., 3:]
    t = 2.0 * _cross(axis, vector)
    return vector + w * t + _cross(axis, t)


def projected_gravity(quaternion: FloatArray) -> FloatArray:
    """Direction of gravity in the body frame, (..., 3); upright gives (0, 0, -1)."""
    x, y, z, w = quaternion[..., 0], quaternion[..., 1], quaternion[..., 2], quaternion[..., 3]
    down = np.empty((*x.shape, 3))
    down[..., 0], down[..., 1] = 2 * (w * y - x * z), -2 * (w * x + y * z)
    down[..., 2] = 2 * (x * x + y * y) - 1
    return down


def matrix(quaternion: FloatArray) -> FloatArray:
    """Rotation matrices (..., 3, 3) from the body into the world."""
    x, y, z, w = (quaternion[..., i] for i in range(4))
    rows = [[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def yaw(quaternion: FloatArray) -> FloatArray:
    """Heading, the angle about the world's z axis (...,) [rad]."""
    x, y, z, w = quaternion[..., 0], quaternion[..., 1], quaternion[..., 2], quaternion[..., 3]
    return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def tilt(quaternion: FloatArray) -> FloatArray:
    """Angle between the body's and the world's z axis (...,) [rad]."""
    x, y = quaternion[..., 0], quaternion[..., 1]
    return np.arccos(np.clip(1 - 2 * (x * x + y * y), -1.0, 1.0))


def into_yaw_frame(heading: FloatArray, vector: FloatArray) -> FloatArray:
    """Rotate world vectors (..., 3) by minus the heading (...,)."""
    c, s = np.cos(heading), np.sin(heading)
    return np.stack([c * vector[..., 0] + s * vector[..., 1], c * vector[..., 1] - s * vector[..., 0],
                     vector[..., 2]], axis=-1)


def from_euler(roll: FloatArray, pitch: FloatArray, heading: FloatArray) -> FloatArray:
    """Quaternion (..., 4) of a rotation about fixed x, then y, then z [rad]."""
    cr, sr, cp, sp = np.cos(roll / 2), np.sin(roll / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    cy, sy = np.cos(heading / 2), np.sin(heading / 2)
    return np.stack([sr * cp * cy - cr * sp * sy, cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy,
                     cr * cp * cy + sr * sp * sy], axis=-1)


def multiply(first: FloatArray, second: FloatArray) -> FloatArray:
    """The rotation (..., 4) that applies the second quaternion and then the first."""
    vector = (first[..., 3:] * second[..., :3] + second[..., 3:] * first[..., :3]
              + _cross(first[..., :3], second[..., :3]))
    scalar = first[..., 3] * second[..., 3] - (first[..., :3] * second[..., :3]).sum(axis=-1)
    return np.concatenate([vector, scalar[..., None]], axis=-1)


def wrap(angle: FloatArray) -> FloatArray:
    """Angle in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cross product along the last axis; ``np.cross`` costs several times more on small batches."""
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    x = ay * bz - az * by
    product = np.empty((*x.shape, 3))
    product[..., 0], product[..., 1], product[..., 2] = x, az * bx - ax * bz, ax * by - ay * bx
    return product

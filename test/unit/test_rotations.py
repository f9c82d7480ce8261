"""Rotations against values worked out by hand."""

import numpy as np

from rl_robot_control import rotations

QUARTER_TURN_LEFT = np.array([[0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]])  # 90° about z


def test_a_quarter_turn_takes_forward_to_left():
    np.testing.assert_allclose(rotations.rotate(QUARTER_TURN_LEFT, np.array([[1.0, 0.0, 0.0]])), [[0, 1, 0]],
                               atol=1e-15)
    np.testing.assert_allclose(rotations.rotate_inverse(QUARTER_TURN_LEFT, np.array([[0.0, 1.0, 0.0]])), [[1, 0, 0]],
                               atol=1e-15)
    np.testing.assert_allclose(rotations.yaw(QUARTER_TURN_LEFT), [np.pi / 2])


def test_gravity_points_down_when_upright_and_forward_when_face_down():
    np.testing.assert_allclose(rotations.projected_gravity(np.array([[0.0, 0, 0, 1]])), [[0, 0, -1]])
    # pitched forward by 90°, the body's x axis points to the ground
    face_down = rotations.from_euler(np.array([0.0]), np.array([np.pi / 2]), np.array([0.0]))
    np.testing.assert_allclose(rotations.projected_gravity(face_down), [[1, 0, 0]], atol=1e-15)
    np.testing.assert_allclose(rotations.tilt(face_down), [np.pi / 2])


def test_gravity_agrees_with_rotating_it():
    random = np.random.default_rng(0)
    quaternion = random.normal(size=(50, 4))
    quaternion /= np.linalg.norm(quaternion, axis=-1, keepdims=True)
    down = np.tile([0.0, 0.0, -1.0], (50, 1))
    np.testing.assert_allclose(rotations.projected_gravity(quaternion), rotations.rotate_inverse(quaternion, down),
                               atol=1e-12)


def test_euler_angles_come_back_as_yaw_and_tilt():
    angles = np.array([0.3])
    np.testing.assert_allclose(rotations.yaw(rotations.from_euler(0 * angles, 0 * angles, angles)), angles)
    np.testing.assert_allclose(rotations.tilt(rotations.from_euler(angles, 0 * angles, 2 * angles)), angles)


def test_wrap_keeps_angles_within_a_turn():
    # 3π/2 is a quarter turn the other way; π itself goes to −π
    np.testing.assert_allclose(rotations.wrap(np.array([1.5 * np.pi, -1.5 * np.pi, np.pi])),
                               [-0.5 * np.pi, 0.5 * np.pi, -np.pi])


def test_the_yaw_frame_turns_with_the_heading_only():
    np.testing.assert_allclose(rotations.into_yaw_frame(np.array([np.pi / 2]), np.array([[0.0, 1.0, 5.0]])),
                               [[1, 0, 5]], atol=1e-15)

"""The gait at instants that can be worked out by hand."""

import numpy as np

from rl_robot_control.tasks.gait import GaitSettings, leg_motion, leg_phases, lift, sweep, swinging

GAIT = GaitSettings()  # 0.8 s, 0.4 of it in the air


def test_the_right_leg_is_half_a_period_later():
    np.testing.assert_allclose(leg_phases(np.array([0.1, 0.7])), [[0.1, 0.6], [0.7, 0.2]])


def test_a_foot_is_in_the_air_for_the_first_part_of_its_period():
    np.testing.assert_array_equal(swinging(np.array([0.2, 0.45, 0.7]), GAIT),
                                  [[True, False], [False, False], [False, True]])


def test_the_arc_is_highest_in_the_middle_of_the_swing():
    np.testing.assert_allclose(lift(np.array([0.2, 0.0, 0.1]), GAIT)[:, 0], [1.0, 0.0, 0.5])


def test_a_foot_swings_from_behind_to_the_front_and_comes_back_on_the_ground():
    # swing: −cos(π·φ/0.4); stance: cos(π·(φ − 0.4)/0.6)
    np.testing.assert_allclose(sweep(np.array([0.0, 0.2, 0.4, 0.7, 1.0 - 1e-9]), GAIT)[:, 0], [-1, 0, 1, 0, -1],
                               atol=1e-6)


def test_walking_forward_moves_the_hip_by_half_a_stance():
    # at φ = 0.4 the foot is in front: A = v·0.8·0.6/2/0.62 = 0.6·0.24/0.62
    motion = leg_motion(np.array([0.4]), np.array([[0.6, 0.0, 0.0]]), GAIT)[0, 0]
    amplitude = 0.6 * 0.24 / 0.62
    np.testing.assert_allclose(motion, [-amplitude, 0, 0, 0, amplitude, 0], atol=1e-12)


def test_at_zero_command_only_the_feet_are_lifted():
    motion = leg_motion(np.array([0.2]), np.zeros((1, 3)), GAIT)[0]
    np.testing.assert_allclose(motion[0], [-0.3, 0, 0, 0.6, -0.3, 0], atol=1e-12)
    np.testing.assert_allclose(motion[1], 0.0, atol=1e-12)


def test_turning_left_takes_longer_steps_on_the_right():
    motion = leg_motion(np.array([0.4, 0.9]), np.array([[0.6, 0.0, 0.5]] * 2), GAIT)
    left, right = -motion[0, 0, 0], -motion[1, 1, 0]  # each leg in front
    assert right > left
    np.testing.assert_allclose(right - left, 2 * 0.12 * 0.5 * 0.24 / 0.62)

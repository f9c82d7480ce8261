"""Worlds in memory: physics that can be worked out by hand, determinism, and refusals."""

import dataclasses

import numpy as np
import pytest

from rl_robot_control.backends.kinematics import FrameKinematics
from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.errors import BackendError, ConfigurationError
from rl_robot_control.robots import load_robot
from rl_robot_control.types import JointCommand

WELDED_ARMS = PhysicsSettings(timestep=0.01, collisions='feet', welded_joints=['.*_(shoulder|elbow|wrist).*'])


@pytest.fixture(scope='module')
def g1():
    return load_robot('unitree_g1')


def hold(robot, state):
    return JointCommand(stamp=state.time, position=np.tile(robot.default_position, (state.num_robots, 1)))


def start(backend, **changes):
    initial = dataclasses.replace(backend.robot.default_state(backend.num_robots), **changes)
    return backend.reset(initial, np.arange(backend.num_robots))


def test_the_default_pose_stands_with_both_soles_on_the_floor(g1):
    backend = MujocoBackend(g1)
    state = start(backend)
    np.testing.assert_array_equal(state.joint_position[0], g1.default_position)
    feet = state.frame_position[0, g1.frame_indices(['left_foot', 'right_foot'])]
    np.testing.assert_allclose(feet[:, 2], 0.0, atol=5e-3)  # the frames lie at the soles
    for _ in range(5):
        state = backend.step(hold(g1, state))
    weight = 9.81 * backend.model.body_mass.sum()
    assert state.contact_force[0, :2].sum() == pytest.approx(weight, rel=0.4)  # it stands, rocking a little
    assert np.isnan(state.contact_force[0, 2])  # the hand has no contact sensor: unknown, not zero
    backend.close()


def test_a_body_in_the_air_falls_freely(g1):
    backend = MujocoBackend(g1, physics=PhysicsSettings(timestep=0.001))
    state = start(backend, base_position=np.array([[0.0, 0.0, 3.0]]))
    for _ in range(10):
        state = backend.step(hold(g1, state))
    # v = g·t after 0.2 s; the joints are held, so the base moves nearly as the centre of mass does
    assert state.base_linear_velocity[0, 2] == pytest.approx(-9.81 * 0.2, rel=0.02)
    np.testing.assert_allclose(state.base_linear_acceleration[0], 0.0, atol=1.5)  # an accelerometer in free fall
    assert state.time[0] == pytest.approx(0.2)
    backend.close()


def test_velocities_are_in_the_base_frame(g1):
    backend = MujocoBackend(g1)
    left = np.array([[0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]])
    state = start(backend, base_quaternion=left, base_linear_velocity=np.array([[1.0, 0.0, 0.0]]),
                  base_angular_velocity=np.array([[0.1, 0.2, 0.3]]))
    np.testing.assert_allclose(state.base_linear_velocity, [[1, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(state.base_angular_velocity, [[0.1, 0.2, 0.3]], atol=1e-12)
    backend.push(np.array([[0.0, 2.0, 0.0, 0.0, 0.0, 0.0]]), np.array([0]))  # world y is forward for it
    state = backend.reset(backend.robot.default_state(0), np.arange(0))
    np.testing.assert_allclose(state.base_linear_velocity, [[3, 0, 0]], atol=1e-12)
    backend.close()


@pytest.mark.parametrize('threads', [1, 2])
def test_the_same_commands_give_the_same_states_for_any_number_of_threads(g1, threads):
    def run(count):
        backend = MujocoBackend(g1, 3, physics=WELDED_ARMS, threads=count)
        random, state = np.random.default_rng(7), start(backend)
        for _ in range(20):
            command = hold(g1, state)
            position = command.position + random.normal(size=(3, 29)) / 20
            state = backend.step(dataclasses.replace(command, position=position))
        backend.close()
        return state

    one, other = run(1), run(threads)
    for field in dataclasses.fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_welded_joints_stay_at_the_default_pose_and_the_rest_agrees_with_the_whole_model(g1):
    welded, whole = MujocoBackend(g1, physics=WELDED_ARMS), MujocoBackend(g1)
    a, b = start(welded), start(whole)
    np.testing.assert_allclose(a.frame_position, b.frame_position, atol=1e-6)
    for _ in range(10):
        a = welded.step(hold(g1, a))
    elbow = g1.joint_indices(['left_elbow_joint'])
    assert a.joint_position[0, elbow] == g1.default_position[elbow] and a.joint_velocity[0, elbow] == 0
    welded.close(), whole.close()


def test_the_drive_pushes_no_harder_than_the_urdf_allows(g1):
    backend = MujocoBackend(g1)
    state = start(backend)
    far = JointCommand(stamp=state.time, position=state.joint_position + 10)
    for _ in range(5):
        state = backend.step(far)
        assert (np.abs(state.joint_effort[0]) <= g1.effort_limit + 1e-9).all()
    backend.close()


def test_a_held_base_does_not_move_and_a_damped_robot_sinks(g1):
    backend = MujocoBackend(g1)
    backend.hold_base(True)
    state = start(backend)
    for _ in range(20):
        state = backend.step(hold(g1, state))
    np.testing.assert_array_equal(state.base_position, [[0, 0, g1.settings.base.height]])
    assert state.base_linear_acceleration[0, 2] == pytest.approx(9.81, rel=0.01)  # hanging, not falling
    elbow = g1.joint_indices(['left_elbow_joint'])[0]
    assert abs(state.joint_effort[0, elbow]) > 0.5  # it carries the forearm: about 0.9 kg at 0.1 m
    backend.hold_base(False)
    backend.damp()
    for _ in range(100):
        state = backend.step(hold(g1, state))
    assert state.base_position[0, 2] < 0.5  # nothing carries it
    backend.close()


def test_kinematics_agree_with_the_simulation(g1):
    backend = MujocoBackend(g1)
    random = np.random.default_rng(1)
    state = start(backend, joint_position=g1.default_position + random.uniform(-0.05, 0.05, (1, 29)),
                  joint_velocity=random.normal(size=(1, 29)), base_angular_velocity=random.normal(size=(1, 3)))
    computed = FrameKinematics(g1).update(state)
    for name in ('frame_position', 'frame_velocity', 'frame_axis_z'):
        np.testing.assert_allclose(getattr(computed, name), getattr(state, name), atol=1e-9)
    lost = FrameKinematics(g1).update(dataclasses.replace(state, base_position=np.full((1, 3), np.nan)))
    assert np.isnan(lost.frame_position).all()  # without odometry: unknown
    backend.close()


@pytest.mark.parametrize('position', [np.full((1, 29), np.nan), np.zeros((1, 28)), np.full((1, 29), np.inf)])
def test_a_command_that_is_not_finite_or_of_the_wrong_size_is_refused(g1, position):
    backend = MujocoBackend(g1)
    with pytest.raises(BackendError, match='must be finite and of shape'):
        backend.step(JointCommand(stamp=np.zeros(1), position=position))
    backend.close()


def test_a_control_period_that_is_no_multiple_of_the_timestep_is_refused(g1):
    with pytest.raises(ConfigurationError, match='0.02 s is no multiple of the physics timestep 0.003 s'):
        MujocoBackend(g1, physics=PhysicsSettings(timestep=0.003))

"""A recording of a walking robot, replayed and put beside a simulation; then with a fault in a sensor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.errors import PolicyError
from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.report.parity import compare
from rl_robot_control.report.parity_tables import as_plain, tables
from rl_robot_control.report.recording import (
    BaseStates,
    ImuStates,
    JointStates,
    JointTargets,
    Recording,
    VelocityCommands,
)
from rl_robot_control.robots import load_robot

RAMP, STEPS = 25, 200  # control periods


@pytest.fixture(scope='module')
def robot():
    return load_robot('unitree_g1')


@pytest.fixture(scope='module')
def checked():
    return read_policy(find_policy('unitree_g1_walk'))


@pytest.fixture(scope='module')
def recording(robot, checked):
    """0.5 s of a ramp's commands, then 4 s of walking at 0.5 m/s; simulated, but written as a robot's topics are."""
    runner, world = PolicyRunner(checked, robot), MujocoBackend(robot, 1, 0.02, PhysicsSettings())
    state = world.reset(robot.default_state(1), np.arange(1))
    command, rows = np.array([[0.5, 0.0, 0.0]]), []
    for step in range(RAMP + STEPS):
        if step == RAMP:
            runner.reset(state)
        if step < RAMP:
            answer = dataclasses.replace(runner_target(robot, state), position=robot.default_position[None] + 0.1)
            rows.append((state, answer.position))
            continue
        answer = runner.step(state, command)
        rows.append((state, answer.position))
        state = world.step(answer)
    world.close()
    times = 10.0 + 0.02 * np.arange(len(rows))

    def column(name):
        return np.concatenate([getattr(state, name) for state, _ in rows])

    clock = {'sent': times, 'received': times + 0.001, 'stamp': times}
    return Recording(
        robot=robot.name, joint_names=robot.joint_names, origin=0.0,
        states=JointStates(**clock, position=column('joint_position'), velocity=column('joint_velocity'),
                           effort=column('joint_effort')),
        imu=ImuStates(**clock, quaternion=column('base_quaternion'), angular_velocity=column('base_angular_velocity')),
        base=BaseStates(**clock, position=column('base_position'), quaternion=column('base_quaternion'),
                        linear_velocity=column('base_linear_velocity'),
                        angular_velocity=column('base_angular_velocity')),
        requests=JointTargets(sent=times + 0.002, received=times + 0.003, stamp=times,
                              position=np.concatenate([target for _, target in rows])),
        velocity_commands=VelocityCommands(sent=times, received=times, velocity=np.tile(command, (len(rows), 1))))


def runner_target(robot, state):
    from rl_robot_control.types import JointCommand
    return JointCommand(stamp=state.time, position=robot.default_position[None])


def test_a_robot_that_is_as_in_training(robot, checked, recording):
    found = compare(checked, recording, robot)
    assert found.agrees and found.began == pytest.approx(10.0 + 0.02 * RAMP + 0.002) and found.periods == STEPS
    assert max(largest for _, largest in found.target_error.values()) < 1e-9
    assert not [value.name for value in found.values if value.differs]
    assert found.missing == []
    assert found.recorded.shape == (STEPS, len(found.values)) and found.times[0] == found.began
    assert found.simulated.shape == (STEPS, 8, len(found.values)) and np.isfinite(found.simulated).all()
    titles = [table[0] for table in tables(found)]
    assert titles == ['Targets, recorded against replayed', 'Observation, recorded against simulated',
                      'Values that differ']
    assert len(tables(found, all_values=True)[2][2]) == len(found.values)
    assert as_plain(found)['values'][0]['differs'] is False


def test_a_joint_with_an_offset_is_named(robot, checked, recording):
    knee = robot.joint_names.index('left_knee_joint')
    position = recording.states.position.copy()
    position[:, knee] += 1.0
    broken = dataclasses.replace(recording, states=dataclasses.replace(recording.states, position=position))
    found = compare(checked, broken, robot)
    different = [value.name for value in found.values if value.differs]
    moved = checked.manifest.action_joint_names.index('left_knee_joint')
    assert f'joint_position[{moved}]' in different and len(different) < 5
    assert not found.agrees  # the robot's own targets did not follow from such a state


def test_a_sensor_with_the_other_sign_is_named(robot, checked, recording):
    """Upside down, the IMU says that gravity points the other way."""
    quaternion = recording.imu.quaternion.copy()
    x, y, z, w = quaternion.T
    quaternion = np.stack([w, z, -y, -x], axis=1)  # q · (1, 0, 0, 0): half a turn about its x axis
    broken = dataclasses.replace(recording, imu=dataclasses.replace(recording.imu, quaternion=quaternion))
    found = {value.name: value for value in compare(checked, broken, robot).values}
    assert found['projected_gravity[2]'].differs and found['projected_gravity[2]'].opposite


def test_what_the_recording_lacks_is_said(robot, checked, recording):
    with pytest.raises(PolicyError, match='answers none of the recorded states|orientation of the base is not known'):
        compare(checked, dataclasses.replace(recording, imu=ImuStates()), robot)
    with pytest.raises(PolicyError, match='holds no commands of a policy'):
        compare(checked, dataclasses.replace(recording, requests=JointTargets()), robot)

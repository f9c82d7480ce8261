"""The checklist of a robot, from what was heard of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rl_robot_control.bringup.checklist import Heard, check  # noqa: E402
from rl_robot_control.policies import find_policy  # noqa: E402
from rl_robot_control.policies.gate import read_policy  # noqa: E402
from rl_robot_control.robots import load_robot  # noqa: E402

RATE, SECONDS = 200.0, 2.0
COUNT = int(RATE * SECONDS)
COMMANDS = 'joint_group_position_controller/commands'
NEEDED = {'joint_position', 'joint_velocity', 'base_quaternion', 'base_angular_velocity'}


@pytest.fixture(scope='module')
def robot():
    return load_robot('unitree_g1')


@pytest.fixture(scope='module')
def manifest():
    return read_policy(find_policy('unitree_g1_walk')).manifest


@pytest.fixture
def heard(robot):
    """A robot that is turned about its z axis at 0.5 rad/s while somebody swings its left knee."""
    time, zero = np.arange(COUNT) / RATE, np.zeros((COUNT, 3))
    position, velocity = np.tile(robot.default_position, (COUNT, 1)), np.zeros((COUNT, robot.num_joints))
    knee, angle = robot.joint_names.index('left_knee_joint'), 0.5 * time
    position[:, knee] += 0.1 * np.sin(2.0 * time)
    velocity[:, knee] = 0.2 * np.cos(2.0 * time)
    quaternion = np.stack([0 * time, 0 * time, np.sin(angle / 2), np.cos(angle / 2)], axis=1)
    topics = ('joint_states', 'imu')
    return Heard(
        seconds=SECONDS, joint_names=[list(robot.joint_names)] * COUNT,
        arrived={topic: list(100.0 + time) for topic in topics}, skew={topic: [0.002] * COUNT for topic in topics},
        position=position, velocity=velocity, time=time, quaternion=quaternion, imu_time=time,
        angular_velocity=zero + [0.0, 0.0, 0.5], specific_force=zero + [0.0, 0.0, 9.81],
        gains={'shield': {'stiffness': robot.stiffness, 'damping': robot.damping}},
        publishers={COMMANDS: ['/shield'], 'policy/command': []}, listeners={COMMANDS: ['/driver']},
        shield_mode='READY', supervisor='WATCHING')


def items(heard, robot, manifest, needed=NEEDED):
    return {item.name: item for item in check(heard, robot, manifest, needed)}


def test_a_robot_that_is_in_order(heard, robot, manifest):
    found = items(heard, robot, manifest)
    assert [item.name for item in found.values() if item.good is False] == []
    assert {name for name, item in found.items() if item.good is None} == {
        'rate of odom', 'way to the start pose', 'gains of the driver'}
    assert found['rate of joint_states'].detail == '200 Hz, longest gap 5 ms; the policy runs at 50 Hz'
    assert found['signs of joint velocities'].detail.startswith('agree with the change of position for the 1 joints')


def turned(quaternion):
    """Half a turn about x: upside down."""
    x, y, z, w = quaternion.T
    return np.stack([w, z, -y, -x], axis=1)


FAULTS = {
    'a joint is missing': (lambda h: dict(joint_names=[n[1:] for n in h.joint_names]), 'joint names',
                           'missing: left_hip_pitch_joint'),
    'a joint twice': (lambda h: dict(joint_names=[[*n, n[3]] for n in h.joint_names]), 'joint names',
                      'twice: left_knee_joint'),
    'silence': (lambda h: dict(joint_names=[], arrived={}, skew={}, position=h.position[:0],
                               quaternion=h.quaternion[:0]), 'joint names', 'nothing came on joint_states in 2 s'),
    'too slow': (lambda h: dict(arrived=h.arrived | {'imu': h.arrived['imu'][::5]}), 'rate of imu', '40 Hz'),
    'a gap': (lambda h: dict(arrived=h.arrived | {'imu': h.arrived['imu'][:100] + h.arrived['imu'][120:]}),
              'rate of imu', 'longest gap 105 ms'),
    'no velocity': (lambda h: dict(velocity=h.velocity * np.nan), 'joint velocities', 'joint_states lacks velocities'),
    'beyond its limits': (lambda h: dict(position=h.position - 3.0), 'joint positions', 'beyond its limits'),
    'not finite': (lambda h: dict(position=h.position * np.nan), 'joint positions', 'is not finite'),
    'velocity of the other sign': (lambda h: dict(velocity=-h.velocity), 'signs of joint velocities',
                                   'against the change of position: left_knee_joint'),
    'upside down': (lambda h: dict(quaternion=turned(h.quaternion)), 'orientation', 'tilted by 3.14 rad: upright is'),
    'no rotation': (lambda h: dict(quaternion=2.0 * h.quaternion), 'orientation', 'has the length 2, not 1'),
    'gravity left out': (lambda h: dict(specific_force=h.specific_force * 0.0), 'accelerometer', '9.8 m/s² from'),
    'gravity of the other sign': (lambda h: dict(specific_force=-h.specific_force), 'accelerometer', '20 m/s² from'),
    'in units of g': (lambda h: dict(specific_force=h.specific_force / 9.81), 'accelerometer', '8.8 m/s² from'),
    'gyroscope of the other sign': (lambda h: dict(angular_velocity=-h.angular_velocity), 'gyroscope', 'about z'),
    'no shield': (lambda h: dict(shield_mode=''), 'shield', 'is not heard: start it first of all'),
    'a latched shield': (lambda h: dict(shield_mode='LATCHED'), 'shield', 'is LATCHED'),
    'no gains': (lambda h: dict(gains={}), 'gains of the shield', "node 'shield' does not answer"),
    'gains of another robot': (lambda h: dict(gains={'shield': {'stiffness': np.ones(3), 'damping': np.ones(3)}}),
                               'gains of the shield', "'shield' has 3 values of 'stiffness' for 29 joints"),
    'another publisher': (lambda h: dict(publishers=h.publishers | {COMMANDS: ['/old_node', '/shield']}),
                          f'publishers of {COMMANDS}', '/old_node would go past the shield'),
    'nobody listens': (lambda h: dict(listeners={}), f'listeners of {COMMANDS}', 'no controller takes the commands'),
    'two policies': (lambda h: dict(publishers=h.publishers | {'policy/command': ['/a', '/b']}),
                     'publishers of policy/command', 'one policy at a time'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_a_fault_fails_its_item(heard, robot, manifest, fault):
    change, name, detail = FAULTS[fault]
    item = items(dataclasses.replace(heard, **change(heard)), robot, manifest)[name]
    assert item.good is False and detail in item.detail


@pytest.mark.parametrize(('change', 'name', 'detail'), [
    (lambda h: dict(velocity=h.velocity * 0, position=h.position[:1].repeat(COUNT, 0)), 'signs of joint velocities',
     'nothing moved'),
    (lambda h: dict(skew={'joint_states': [5.0], 'imu': [0.0]}), 'stamps of joint_states', '5 s from this clock'),
    (lambda h: dict(gains={'shield': {'stiffness': h.gains['shield']['stiffness'] * 1.1,
                                      'damping': h.gains['shield']['damping']}}), 'gains of the shield',
     "stiffness of 'left_hip_pitch_joint' is 44.198, the policy's 40.18"),
    (lambda h: dict(specific_force=h.specific_force * np.nan), 'accelerometer', 'not measured'),
    (lambda h: dict(supervisor=''), 'supervisor', 'nobody notices if the shield fails'),
])
def test_what_cannot_be_judged_is_a_note(heard, robot, manifest, change, name, detail):
    item = items(dataclasses.replace(heard, **change(heard)), robot, manifest)[name]
    assert item.good is None and detail in item.detail


def test_odometry_must_be_there_where_the_policy_needs_it(heard, robot, manifest):
    item = items(heard, robot, manifest, NEEDED | {'base_linear_velocity'})['rate of odom']
    assert item.good is False and item.detail == 'nothing came; the policy needs it'

"""Dialects beside the policy: Unitree's deploy.yaml, rl_sar's config.yaml, Isaac Lab's IO descriptors, plain YAML."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import read_policy

from .foreign_files import G1, NAMES, network, runner, save, standing

# Isaac Lab's order of the G1's joints (breadth first) as places in the SDK's, as in unitree_rl_lab's deploy.yaml.
ORDER = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 22, 4, 10, 16, 23, 5, 11, 17, 24, 18, 25, 19, 26, 20, 27, 21, 28]
POSE = [round(0.01 * i, 3) for i in range(29)]  # in the policy's order; inside every joint's limits but for the knees
POSE[9] = POSE[10] = 0.3


def dump(path, data, tail=''):
    path.write_text(yaml.dump(data, default_flow_style=None, sort_keys=False) + tail)


# Unitree

DEPLOY = {
    'joint_ids_map': ORDER, 'step_dt': 0.02, 'stiffness': [20.0 + i for i in range(29)],
    'damping': [1.0 + 0.1 * i for i in range(29)], 'default_joint_pos': POSE,
    'commands': {'base_velocity': {'ranges': {'lin_vel_x': [-0.5, 1.0], 'lin_vel_y': [-0.3, 0.3],
                                              'ang_vel_z': [-0.2, 0.2], 'heading': None}}},
    'actions': {'JointPositionAction': {'clip': None, 'joint_names': ['.*'], 'scale': [0.25] * 29, 'offset': POSE,
                                        'joint_ids': None}},
    'observations': {
        'base_ang_vel': {'params': {}, 'clip': [-0.25, 0.25], 'scale': [0.2] * 3, 'history_length': 2},
        'velocity_commands': {'params': {'command_name': 'base_velocity'}, 'clip': None, 'scale': [1.0] * 3,
                              'history_length': 1},
        'joint_pos_rel': {'params': {}, 'clip': None, 'scale': [1.0] * 29, 'history_length': 1},
        'last_action': {'params': {}, 'clip': None, 'scale': [1.0] * 29, 'history_length': 1}}}
SLICE = '!!python/object/apply:builtins.slice [null, null, null]'


def unitree(tmp_path, change=lambda data: None, place='deploy.yaml', width=6 + 3 + 29 + 29, **model):
    data = copy.deepcopy(DEPLOY)
    change(data)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    text = yaml.dump(data, default_flow_style=None, sort_keys=False).replace('joint_ids: null', f'joint_ids: {SLICE}')
    (tmp_path / place).write_text(text)
    return save(tmp_path / 'policy.onnx', network(width, model.pop('actions', 29), **model))


def test_unitree_as_published_lies_in_two_folders(tmp_path):
    path = unitree(tmp_path, place='params/deploy.yaml')
    (tmp_path / 'exported').mkdir()
    path = path.rename(tmp_path / 'exported' / 'policy.onnx')
    assert read_policy(path, robot='unitree_g1').manifest.origin.dialect == 'unitree_deploy'


@pytest.mark.parametrize('place', ['deploy.yaml', 'params/deploy.yaml'])
def test_unitree_gains_stand_in_the_sdks_order_and_poses_in_the_policys(tmp_path, place):
    bias = np.arange(29) / 100
    policy = runner(unitree(tmp_path, place=place, bias=bias), robot='unitree_g1')
    manifest = policy.manifest
    assert manifest.origin.dialect == 'unitree_deploy' and manifest.control_period == 0.02
    assert manifest.command_lower == (-0.5, -0.3, -0.2) and manifest.command_upper == (1.0, 0.3, 0.2)
    np.testing.assert_allclose(manifest.stiffness, [20.0 + i for i in range(29)])
    pose = np.empty(29)
    pose[ORDER] = POSE
    np.testing.assert_allclose(manifest.default_position, pose)
    assert not any('motors' in text for text in manifest.origin.assumptions)  # the robot's YAML has the SDK's order
    position = pose[None].copy()
    position[0, 6] += 0.05  # the SDK's motor 6 is the policy's joint 1
    state = standing(joint_position=position)
    policy.reset(state)
    seen = policy.interface.observe(state, np.array([[0.5, 0.0, 0.1]]))[0]
    # Clip to ±0.25 before the scale of 0.2; the history starts full of the first observation.
    np.testing.assert_allclose(seen[:6], [0.02, 0.04, 0.05, 0.02, 0.04, 0.05])
    np.testing.assert_allclose(seen[6:9], [0.5, 0.0, 0.1])
    np.testing.assert_allclose(seen[9:38], [0.0, 0.05] + [0.0] * 27, atol=1e-12)
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0]
    # Sum of the observation: 2 · 0.11 + 0.05 = 0.27
    np.testing.assert_allclose(target[ORDER], POSE + 0.25 * (bias + 0.27e-3), atol=1e-6)


def test_a_policy_of_the_sidecars_own_name_is_no_plain_one(tmp_path):
    path = unitree(tmp_path).rename(tmp_path / 'deploy.onnx')
    assert read_policy(path, robot='unitree_g1').manifest.origin.dialect == 'unitree_deploy'


def test_unitree_scales_and_offsets_are_those_of_each_joint(tmp_path):
    scales, offsets = [0.1 + 0.01 * i for i in range(29)], [0.02 * i for i in range(29)]
    seen_by = [1.0 + i for i in range(29)]

    def change(data):
        data['actions']['JointPositionAction'] |= {'scale': scales, 'offset': offsets}
        data['observations']['joint_pos_rel']['scale'] = seen_by
    policy = runner(unitree(tmp_path, change, bias=np.full(29, 2.0)), robot='unitree_g1')
    position = policy.robot.default_position[None].copy()
    position[0, 6] += 0.05  # the policy's joint 1, whose scale is 2: it sees 0.1
    state = standing(joint_position=position, base_angular_velocity=np.zeros((1, 3)))
    policy.reset(state)
    np.testing.assert_allclose(policy.interface.observe(state, np.zeros((1, 3)))[0, 9:12], [0.0, 0.1, 0.0], atol=1e-12)
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0]
    # Not the default pose, but the offset, is the target of an action of zero; the action is 2 + 0.001 · 0.1.
    np.testing.assert_allclose(target[ORDER], np.array(offsets) + np.array(scales) * 2.0001, atol=1e-6)


@pytest.mark.parametrize(('key', 'expected'), [
    ('clip', [0.05, 0.05, 0.05]),  # 0.1, 0.2 and 0.3 clipped to ±0.1, then scaled by 0.5
    ('scale', [0.05, 0.1, 0.1])])  # scaled by 0.5, then clipped
def test_unitree_scales_first_where_it_says_so(tmp_path, key, expected):
    def change(data):
        data['observations'] = {'base_ang_vel': {'params': {}, 'clip': [-0.1, 0.1], 'scale': [0.5] * 3,
                                                 'history_length': 1}, 'scale_first': key == 'scale'}
    policy = runner(unitree(tmp_path, change, width=3), robot='unitree_g1')
    state = standing()
    policy.reset(state)
    np.testing.assert_allclose(policy.interface.observe(state, np.zeros((1, 3)))[0], expected)


@pytest.mark.parametrize(('by_time', 'expected'), [
    # The angular velocity about x was 0.1, then 0.2; gravity stays. The oldest comes first.
    (False, [0.1, 0, 0, 0.2, 0, 0, 0, 0, -1, 0, 0, -1]), (True, [0.1, 0, 0, 0, 0, -1, 0.2, 0, 0, 0, 0, -1])])
def test_unitree_group_of_the_networks_input_by_time_or_term(tmp_path, by_time, expected):
    def change(data):
        term = {'params': {}, 'clip': None, 'scale': [1.0] * 3, 'history_length': 2}
        data['observations'] = {'policy': {'velocity_commands': term},
                                'obs': {'use_gym_history': by_time, 'base_ang_vel': term, 'projected_gravity': term}}
    policy = runner(unitree(tmp_path, change, width=12), robot='unitree_g1')  # its input is called obs
    states = [standing(base_angular_velocity=np.array([[x, 0.0, 0.0]])) for x in (0.1, 0.2)]
    policy.reset(states[0])
    policy.interface.observe(states[0], np.zeros((1, 3)))
    np.testing.assert_allclose(policy.interface.observe(states[1], np.zeros((1, 3)))[0], expected)


@pytest.mark.parametrize(('picked', 'expected'), [
    ([1, 0], [0.05, 0.0]), (slice(0, 3), [0.0, 0.05, 0.0]), (slice(2, 0, -1), [0.0, 0.05])])
def test_unitree_sees_the_joints_of_asset_cfg_in_its_order(tmp_path, picked, expected):
    def change(data):
        data['observations'] = {'joint_pos_rel': {'params': {'asset_cfg': {'name': 'robot', 'joint_ids': picked}},
                                                  'clip': None, 'scale': [1.0] * len(expected), 'history_length': 1}}
    policy = runner(unitree(tmp_path, change, width=len(expected)), robot='unitree_g1')
    position = policy.robot.default_position[None].copy()
    position[0, 6] += 0.05  # the policy's joint 1
    state = standing(joint_position=position)
    policy.reset(state)
    np.testing.assert_allclose(policy.interface.observe(state, np.zeros((1, 3)))[0], expected, atol=1e-12)


def test_unitree_moves_a_slice(tmp_path):
    def legs(data):
        data['actions']['JointPositionAction'] |= {'scale': [0.25] * 3, 'offset': [0.0] * 3}
        data['observations'] = {'last_action': {'scale': [1.0] * 3, 'history_length': 1, 'clip': None}}
    path = unitree(tmp_path, legs, width=3, actions=3)
    text = (tmp_path / 'deploy.yaml').read_text()
    (tmp_path / 'deploy.yaml').write_text(text.replace(SLICE, SLICE.replace('[null, null', '[null, 3')))
    names = read_policy(path, robot='unitree_g1').manifest.action_joint_names
    assert names == [NAMES[0], NAMES[6], NAMES[12]]  # motors of the policy's first three joints


@pytest.mark.parametrize(('tag', 'reason'), [
    ("!!python/object/apply:os.system ['true']", 'is <object/apply:os.system> of'),
    (SLICE.replace('builtins.slice', 'builtins.range'), 'is <object/apply:builtins.range> of'),
    (SLICE.replace('[null, null, null]', "['0', null, null]"), 'a list of numbers or a slice is needed'),
    (SLICE.replace('[null, null, null]', '[null, null, 0]'), 'a list of numbers or a slice is needed'),
    (SLICE.replace('[null, null, null]', '[0, 12, null]'), "'actions.scale' has 29 values for 12 joints")])
def test_unitree_objects_that_are_no_slice_over_its_joints_are_refused(tmp_path, tag, reason):
    path = unitree(tmp_path)
    text = (tmp_path / 'deploy.yaml').read_text()
    (tmp_path / 'deploy.yaml').write_text(text.replace(SLICE, tag))
    with pytest.raises(PolicyError, match=reason):
        read_policy(path, robot='unitree_g1')


def test_unitree_clips_the_target(tmp_path):
    def clip(data):
        data['actions']['JointPositionAction']['clip'] = [[-0.1, 0.4]] * 29
    policy = runner(unitree(tmp_path, clip, bias=np.full(29, 10.0)), robot='unitree_g1')
    state = standing()
    policy.reset(state)
    np.testing.assert_allclose(policy.step(state, np.zeros((1, 3))).position[0], 0.4)


def test_unitree_moves_some_joints_and_sees_all(tmp_path):
    def legs(data):
        data['actions']['JointPositionAction'] |= {'scale': [0.25] * 2, 'offset': [0.1, 0.2], 'joint_ids': [1, 3]}
        data['observations'] = {'joint_pos_rel': data['observations']['joint_pos_rel'],
                                'last_action': {'scale': [1.0] * 2, 'history_length': 1, 'clip': None}}
    manifest = read_policy(unitree(tmp_path, legs, width=31, actions=2), robot='unitree_g1').manifest
    assert manifest.action_joint_names == [NAMES[6], NAMES[1]]  # the policy's joints 1 and 3
    assert manifest.observation_sizes == {'joint_pos_rel': 29, 'last_action': 2}
    assert any('does not move 27 joints' in text for text in manifest.origin.assumptions)


def test_unitree_gait_phase(tmp_path):
    def phase(data):
        data['observations'] = {'gait_phase': {'params': {'period': 0.8, 'command_threshold': 0.1}, 'clip': None,
                                               'scale': [1.0, 1.0], 'history_length': 1}}
    policy = runner(unitree(tmp_path, phase, width=2), robot='unitree_g1')
    state, walk = standing(), np.array([[0.5, 0.0, 0.0]])
    policy.reset(state)
    policy.step(state, walk)
    # One period of 0.02 s of 0.8 s: 1/40 of a turn.
    angle = 2 * np.pi / 40
    np.testing.assert_allclose(policy.interface.observe(state, walk)[0], [np.sin(angle), np.cos(angle)])
    np.testing.assert_allclose(policy.interface.observe(state, 0.1 * walk)[0], 0.0)


def put(*keys):
    """A change of one value: ``put('a', 'b', 1)`` sets data['a']['b'] to 1; None as value removes it."""
    *path, last, value = keys

    def change(data):
        for key in path:
            data = data[key]
        if value is None:
            del data[last]
        else:
            data[last] = value
    return change


@pytest.mark.parametrize(('change', 'reason'), [
    (put('stiffness', None), "deploy.yaml: lacks 'stiffness'"),
    (put('stiffness', [20.0] * 12), "'stiffness' has 12 values in the SDK's order, none for motor 12"),
    (put('damping', [0.0] * 29), 'damping of joint .* is 0.0; it must be positive'),
    (put('default_joint_pos', [0.0] * 12), "'default_joint_pos' has 12 values for 29 joints"),
    (put('joint_ids_map', [*ORDER[:-1], 29]), 'none for motor 29'),
    (put('joint_ids_map', [*ORDER[:-1], 0]), 'stands twice'),
    (put('joint_ids_map', 'all'), "'joint_ids_map' is all; a list is needed"),
    (put('step_dt', 'fast'), "'step_dt' is fast; finite numbers are needed"),
    (put('step_dt', -0.02), 'its control period is -0.02 s'),
    (put('step_dt', 1e-9), 'its control period is 1e-09 s'),
    (put('commands', 'base_velocity', 'ranges', {'lin_vel_x': [1.0, -1.0], 'lin_vel_y': [0, 1], 'ang_vel_z': [0, 1]}),
     'exceeds command_upper'),
    (put('actions', {'JointVelocityAction': {}}), "'actions' holds .*JointVelocityAction.*; one JointPositionAction"),
    (put('actions', 'JointPositionAction', 'scale', [0.25] * 12), "'actions.scale' has 12 values for 29 joints"),
    (put('actions', 'JointPositionAction', 'offset', None), "lacks 'offset'"),
    (put('actions', 'JointPositionAction', 'joint_ids', [31]), "'actions.joint_ids' names joint 31 of 29"),
    (put('actions', 'JointPositionAction', 'scale', [0.25]), "'actions.scale' has 1 values for 29 joints"),
    (put('damping', [1.0] * 35), "'stiffness' has 29 values, 'damping' 35"),
    (lambda data: data.update(stiffness=[20.0] * 35, damping=[1.0] * 35),
     "counts 35 motors, robot 'unitree_g1' has 29 motors in its sdk_joints: which motor is which joint cannot be told"),
    (put('step_dt', [0.02, 5.0]), "'step_dt' is .0.02, 5.0.; one number is needed"),
    (put('observations', 'scale_first', 1), "'scale_first' is 1; true or false is needed"),
    (put('observations', 'use_gym_history', True), "with the layout 'time' all observation terms have the same ages"),
    (put('observations', {'critic': {'base_ang_vel': {}}}), "has the groups .'critic'., and none called obs"),
    (put('observations', 'base_ang_vel', 'params', [1]), "params of 'base_ang_vel' are .1.; a mapping"),
    (put('observations', 'joint_pos_rel', 'params', {'asset_cfg': {'joint_ids': [30]}}),
     "'joint_pos_rel.params.asset_cfg.joint_ids' names joint 30 of 29"),
    (put('observations', 'joint_pos_rel', 'params', {'asset_cfg': 'robot'}), "params of 'joint_pos_rel' are"),
    (put('observations', 'joint_pos_rel', 'scale', [0.5]), "'joint_pos_rel' has 29 values and 1 scales"),
    (put('observations', 'height_scan', {'scale': [1.0]}), "observation term 'height_scan' is not known"),
    (put('observations', 'base_ang_vel', 'history_length', 5), 'has 67 values, its terms make 76'),
    (put('observations', 'base_ang_vel', 'scale', [0.2] * 2), "'base_ang_vel' has 3 values and 2 scales"),
    (put('observations', 'base_ang_vel', 'clip', [1.0, -1.0]), "clip of 'base_ang_vel'"),
    (put('observations', {}), "'observations' holds no terms"),
    (put('commands', 'base_velocity', 'ranges', {'lin_vel_x': [0.0, 1.0]}), "'ranges.lin_vel_y' is None"),
])
def test_unitree_is_refused_with_the_reason(tmp_path, change, reason):
    with pytest.raises(PolicyError, match=reason):
        runner(unitree(tmp_path, change), robot='unitree_g1')


def test_unitree_names_no_joints_so_the_robot_must_be_said(tmp_path):
    with pytest.raises(PolicyError, match='counts motors and names no joints; say which robot it is for with --robot'):
        read_policy(unitree(tmp_path))


DOG = ('FL_hip', 'FR_hip', 'RL_hip', 'RR_hip')  # a dog of four joints that are described from the left


def dog(folder, sdk_joints=''):
    """A robot whose SDK counts its motors from the right, as that of Unitree's dogs does."""
    links = ''.join(f'<link name="{name}_link"/><joint name="{name}" type="revolute"><parent link="base"/>'
                    f'<child link="{name}_link"/><axis xyz="1 0 0"/>'
                    '<limit lower="-1" upper="1" velocity="20" effort="20"/></joint>' for name in DOG)
    (folder / 'dog.urdf').write_text(f'<robot name="dog"><link name="base"/>{links}</robot>')
    path = folder / 'dog.yaml'
    path.write_text('name: dog\nurdf: dog.urdf\nbase: {kind: floating, link: base}\njoints:\n'
                    f'  .*: {{stiffness: 1, damping: 1, acceleration_limit: 50}}\n{sdk_joints}')
    return str(path)


@pytest.mark.parametrize(('sdk_joints', 'stiffness', 'pose', 'assumed'), [
    ('sdk_joints: [FR_hip, FL_hip, RR_hip, RL_hip]\n', [20, 10, 40, 30], [0.2, 0.1, 0.4, 0.3], False),
    ('', [10, 20, 30, 40], [0.1, 0.2, 0.3, 0.4], True),  # the same numbers, left and right in the other place
])
def test_unitree_counts_motors_in_the_order_of_the_sdk(tmp_path, sdk_joints, stiffness, pose, assumed):
    def change(data):
        offset = [0.1, 0.2, 0.3, 0.4]  # of the policy's joints, which are motors 0 to 3
        data.update(joint_ids_map=[0, 1, 2, 3], stiffness=[10.0, 20.0, 30.0, 40.0], damping=[1.0, 2.0, 3.0, 4.0],
                    default_joint_pos=offset)
        data['actions']['JointPositionAction'].update(scale=[0.25] * 4, offset=offset)
        for name in ('joint_pos_rel', 'last_action'):
            data['observations'][name]['scale'] = [1.0] * 4

    path = unitree(tmp_path, change, width=6 + 3 + 4 + 4, actions=4)
    manifest = read_policy(path, robot=dog(tmp_path, sdk_joints)).manifest
    assert manifest.joint_names == list(DOG)
    assert manifest.stiffness == stiffness and manifest.damping == [value / 10 for value in stiffness]
    assert manifest.default_position == pose
    assert any('its motors are counted' in text for text in manifest.origin.assumptions) == assumed


# rl_sar

SAR = {'g1/walk': {
    'model_name': 'policy.onnx', 'num_observations': 9 + 87,
    'observations': ['ang_vel', 'gravity_vec', 'commands', 'dof_pos', 'dof_vel', 'actions'],
    'observations_history': [], 'observations_history_priority': 'time', 'clip_obs': 1.0,
    'clip_actions_lower': [-2.0] * 29, 'clip_actions_upper': [3.0] * 29, 'rl_kp': [50.0 + i for i in range(29)],
    'rl_kd': [2.0] * 29, 'action_scale': [0.25] * 29, 'wheel_indices': [], 'lin_vel_scale': 2.0, 'ang_vel_scale': 0.5,
    'dof_pos_scale': 1.0, 'dof_vel_scale': 0.05, 'commands_scale': [2.0, 2.0, 0.25], 'default_dof_pos': POSE,
    'joint_mapping': ORDER}}
BASE = {'g1': {'dt': 0.005, 'decimation': 4, 'num_of_dofs': 29, 'wheel_indices': [], 'joint_names': NAMES,
               'joint_mapping': list(range(29)), 'default_dof_pos': [0.0] * 29}}


def sar(tmp_path, change=lambda data: None, base=BASE, width=96, **model):
    data = copy.deepcopy(SAR)
    change(data['g1/walk'])
    folder = tmp_path / 'g1' / 'walk'
    folder.mkdir(parents=True)
    dump(folder / 'config.yaml', data)
    if base:
        dump(tmp_path / 'g1' / 'base.yaml', base)
    return save(folder / 'policy.onnx', network(width, 29, **model))


def test_rl_sar_stands_in_the_policys_order(tmp_path):
    policy = runner(sar(tmp_path, bias=np.full(29, 10.0)))
    manifest = policy.manifest
    assert manifest.origin.dialect == 'rl_sar' and manifest.control_period == pytest.approx(0.02)
    kp = np.empty(29)
    kp[ORDER] = [50.0 + i for i in range(29)]
    np.testing.assert_allclose(manifest.stiffness, kp)
    state = standing(joint_velocity=np.full((1, 29), 4.0), base_angular_velocity=np.array([[0.4, 3.0, -3.0]]),
                     joint_position=policy.robot.default_position[None])
    policy.reset(state)
    seen = policy.interface.observe(state, np.array([[0.6, 0.1, 0.4]]))[0]
    np.testing.assert_allclose(seen[:3], [0.2, 1.0, -1.0])  # scaled by 0.5, then clipped to ±1
    np.testing.assert_allclose(seen[3:6], [0.0, 0.0, -1.0])
    np.testing.assert_allclose(seen[6:9], [1.0, 0.2, 0.1])  # 2 · 0.6 is clipped
    np.testing.assert_allclose(seen[38:67], 0.2)
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0]
    np.testing.assert_allclose(target[ORDER], np.array(POSE) + 0.25 * 3.0)  # an action of 10 is clipped to 3


@pytest.mark.parametrize(('priority', 'expected'), [
    # Two periods: angular velocity about x was 0.1, then 0.2 (scaled by 0.5); 0 is the latest. Before the first: zeros.
    ('time', [0.1, 0, 0, 0, 0, -1, 0.05, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 0]),
    ('term', [0.1, 0, 0, 0.05, 0, 0, 0, 0, 0, 0, 0, -1, 0, 0, -1, 0, 0, 0]),
])
def test_rl_sar_histories(tmp_path, priority, expected):
    def change(data):
        data.update(observations=['ang_vel', 'gravity_vec'], observations_history=[0, 1, 2],
                    observations_history_priority=priority)
    policy = runner(sar(tmp_path, change, width=18))
    states = [standing(base_angular_velocity=np.array([[x, 0.0, 0.0]]), time=np.array([t]))
              for x, t in ((0.1, 1.0), (0.2, 1.02))]
    policy.reset(states[0])
    policy.interface.observe(states[0], np.zeros((1, 3)))
    np.testing.assert_allclose(policy.interface.observe(states[1], np.zeros((1, 3)))[0], expected, atol=1e-12)


def test_rl_sar_without_names_counts_motors(tmp_path):
    base = {'g1': {key: value for key, value in BASE['g1'].items() if key != 'joint_names'}}
    path = sar(tmp_path, base=base)
    with pytest.raises(PolicyError, match='counts motors'):
        read_policy(path)
    assert read_policy(path, robot='unitree_g1').manifest.stiffness[6] == 51.0  # motor 6 is the policy's joint 1


def test_rl_sar_says_what_it_takes_for_granted(tmp_path):
    def change(data):
        data['model_name'] = 'other.pt'
        del data['clip_actions_lower']
    manifest = read_policy(sar(tmp_path, change)).manifest
    assert "config.yaml is for 'other.pt'; it is taken to be for policy.onnx, too" in manifest.origin.assumptions
    assert "'clip_actions_upper' stands alone, so actions are not clipped" in manifest.origin.assumptions
    assert manifest.interface.action.clip is None


def test_rl_sar_names_the_file_with_another_ending(tmp_path):
    assumptions = read_policy(sar(tmp_path, put('model_name', 'policy.pt'))).manifest.origin.assumptions
    assert not any('policy.pt' in text for text in assumptions)


def test_rl_sar_observes_its_action_as_clipped(tmp_path):
    policy = runner(sar(tmp_path, bias=np.full(29, 10.0)))
    state = standing()
    policy.reset(state)
    policy.step(state, np.zeros((1, 3)))
    # 10 is clipped to 3, and as an observation to 1.
    np.testing.assert_allclose(policy.interface.action[0], 3.0)
    np.testing.assert_allclose(policy.interface.observe(state, np.zeros((1, 3)))[0, 67:], 1.0)


def test_rl_sar_takes_its_own_robot_from_the_base(tmp_path):
    both = {'go2': {**BASE['g1'], 'decimation': 8}, **BASE}
    assert read_policy(sar(tmp_path / 'both', base=both)).manifest.interface.control_period == pytest.approx(0.02)
    with pytest.raises(PolicyError, match=r"is for robot 'g1', of which base.yaml says nothing; it holds \['go2'\]"):
        read_policy(sar(tmp_path / 'other', base={'go2': BASE['g1']}))


@pytest.mark.parametrize(('change', 'reason'), [
    (put('rl_kp', None), "lacks 'action_scale'|lacks 'rl_kp'|is of a known dialect"),
    (put('rl_kd', [2.0] * 12), "'rl_kd' has 12 values for 29 joints"),
    (put('joint_mapping', [0, 1]), "'joint_mapping' has 2 values, 'rl_kp' 29"),
    (put('joint_mapping', [*ORDER[:-1], 40]), "'joint_mapping' names motor 40 of 29"),
    (put('wheel_indices', [3, 7]), 'are wheels, driven by velocity'),
    (put('observations', ['ang_vel', 'phase']), "observation term 'phase' is not known"),
    (put('ang_vel_scale', None), "lacks 'ang_vel_scale'"),
    (put('commands_scale', [2.0]), "'commands_scale' is .2.0.; 3 numbers are needed"),
    (put('commands_scale', 2.0), "'commands_scale' is 2.0; 3 numbers are needed"),
    (put('ang_vel_scale', [0.5, 0.5]), "'ang_vel_scale' is .0.5, 0.5.; one number is needed"),
    (put('action_scale', [0.25]), "'action_scale' has 1 values for 29 joints"),
    (put('clip_obs', None), "lacks 'clip_obs'"),
    (put('clip_obs', [1.0, 2.0]), "'clip_obs' is .1.0, 2.0.; one number is needed"),
    (put('clip_obs', -1.0), "'clip_obs' is -1; it must be positive"),
    (put('dt', [0.005]), "'dt' is .0.005.; one number is needed"),
    (put('num_of_dofs', 12), "'num_of_dofs' is 12, 'rl_kp' has 29 values"),
    (put('hip_scale_reduction', 0.5), "'hip_scale_reduction' is of an older rl_sar"),
    (put('state_mapping', ORDER), "'state_mapping' is of an older rl_sar"),
    (put('framework', 'isaacsim'), "'framework' is of an older rl_sar"),
    (put('observations_history', [200]), "'observations_history' is .200.; whole numbers from 0 to 199"),
    (put('observations_history', [0, -1]), "'observations_history' is"),
    (put('observations_history_priority', 'space'), "'observations_history_priority' is 'space'"),
    (put('clip_actions_lower', [-1.0]), "'clip_actions_lower' has 1 values for 29 joints"),
    (put('action_scale', 'large'), "'action_scale' is large"),
    (put('observations_history', [0, 1, 2]), 'has 96 values, its terms make 288'),
])
def test_rl_sar_is_refused_with_the_reason(tmp_path, change, reason):
    with pytest.raises(PolicyError, match=reason):
        runner(sar(tmp_path, change))


# Isaac Lab

ISAAC_NAMES = [NAMES[i] for i in ORDER]


def observed(name, width, joints=None, **overloads):
    entry = {'dtype': 'torch.float32', 'extras': {'description': name, 'modifiers': None, 'units': 'rad'},
             'full_path': f'isaaclab.envs.mdp.observations.{name}', 'mdp_type': 'Observation', 'name': name,
             'observation_type': 'JointState', 'shape': [width],
             'overloads': {'clip': None, 'flatten_history_dim': True, 'history_length': 0, 'scale': None} | overloads}
    return entry | ({'joint_names': joints} if joints else {})


ISAAC = {
    'actions': [{'action_type': 'JointAction', 'clip': None, 'dtype': 'torch.float32', 'extras': {'description': ''},
                 'full_path': 'isaaclab.envs.mdp.actions.joint_actions.JointPositionAction', 'mdp_type': 'Action',
                 'joint_names': ISAAC_NAMES, 'name': 'joint_position_action', 'offset': POSE, 'scale': 0.5,
                 'shape': [29]}],
    'articulations': {'robot': {'joint_names': ISAAC_NAMES, 'default_joint_pos': POSE,
                                'default_joint_stiffness': [30.0 + i for i in range(29)],
                                'default_joint_damping': [1.5] * 29}},
    'observations': {'policy': [
        observed('base_ang_vel', 3, scale=0.25, clip=[-0.25, 0.25]), observed('projected_gravity', 3, history_length=2),
        observed('generated_commands', 3), observed('joint_pos_rel', 29, ISAAC_NAMES), observed('last_action', 29)]},
    'scene': {'decimation': 4, 'dt': 0.02, 'physics_dt': 0.005}}


def isaac(tmp_path, change=lambda data: None, width=3 + 6 + 3 + 29 + 29, **model):
    data = copy.deepcopy(ISAAC)
    change(data)
    dump(tmp_path / 'IO_descriptors.yaml', data)
    return save(tmp_path / 'policy.onnx', network(width, 29, **model))


def test_isaac_lab_names_its_joints(tmp_path):
    bias = np.arange(29) / 100
    policy = runner(isaac(tmp_path, bias=bias))
    manifest = policy.manifest
    assert manifest.origin.dialect == 'isaac_lab_io' and manifest.control_period == 0.02
    kp = np.empty(29)
    kp[ORDER] = [30.0 + i for i in range(29)]
    np.testing.assert_allclose(manifest.stiffness, kp)
    position = policy.robot.default_position[None].copy()
    position[0, 12] += 0.1  # the waist's yaw is the policy's joint 2
    state = standing(joint_position=position)
    policy.reset(state)
    seen = policy.interface.observe(state, np.zeros((1, 3)))[0]
    np.testing.assert_allclose(seen[:3], [0.025, 0.05, 0.0625])
    np.testing.assert_allclose(seen[3:9], [0, 0, -1, 0, 0, -1])
    np.testing.assert_allclose(seen[12:41], [0.0, 0.0, 0.1] + [0.0] * 26, atol=1e-12)
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0]
    # Sum of the observation: 0.1375 − 2 + 0.1 = −1.7625
    np.testing.assert_allclose(target[ORDER], POSE + 0.5 * (bias - 1.7625e-3), atol=1e-6)


@pytest.mark.parametrize(('change', 'reason'), [
    (put('articulations', 'robot', 'default_joint_stiffness', [0.0] * 29), 'an explicit actuator has its gains in'),
    (put('articulations', 'robot', 'joint_names', ISAAC_NAMES[:3]), 'has 29 values for 3 joints'),
    (put('articulations', {}), "'articulations' holds no robot"),
    (put('articulations', {'a': {}, 'b': {}}), "'articulations' holds a, b; which of them is the robot is not said"),
    (put('actions', 0, 'full_path', 'x.JointVelocityAction'), 'the action is a JointVelocityAction'),
    (put('actions', 0, 'scale', [0.5] * 3), "'actions.scale' has 3 values for 29 joints"),
    (put('actions', []), "'actions' holds 0 terms; one is expected"),
    (put('observations', {'critic': []}), "'observations.policy' holds no terms"),
    (put('observations', 'policy', 0, 'name', 'height_scan'), "observation term 'height_scan' is not known"),
    (put('observations', 'policy', 0, 'extras', {'modifiers': ['bias']}), "'base_ang_vel' has modifiers"),
    (put('observations', 'policy', 1, 'overloads', 'flatten_history_dim', False), 'is not flattened'),
    (put('scene', 'dt', 0.005), 'scene.dt is 0.005 s, decimation · physics_dt 0.02 s'),
    (put('articulations', 'robot', 7), 'cannot be read as one|lacks'),
])
def test_isaac_lab_is_refused_with_the_reason(tmp_path, change, reason):
    with pytest.raises(PolicyError, match=reason):
        runner(isaac(tmp_path, change))


# A YAML file by hand

PLAIN = {'joints': NAMES, 'stiffness': 40, 'damping': 2.0, 'action': {'scale': 0.2}, 'control_rate': 100,
         'observations': ['projected_gravity', {'term': 'joint_position', 'scale': 0.5}]}


def plain(tmp_path, change=lambda data: None, model=None):
    data = copy.deepcopy(PLAIN)
    change(data)
    dump(tmp_path / 'walk.yaml', data)
    return save(tmp_path / 'walk.onnx', model or network(32, 29, inputs=('x',), outputs=('y',), bias=np.ones(29)))


def test_a_yaml_by_hand(tmp_path):
    policy = runner(plain(tmp_path))
    assert policy.manifest.control_period == 0.01 and policy.manifest.stiffness == [40.0] * 29
    state = standing()
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0]
    np.testing.assert_allclose(target, G1.default_position + 0.2 * (1 - 1e-3), atol=1e-6)


def recurrent():
    """h' = h + 1 for each value of the state; the action is the state that came in."""
    nodes = [helper.make_node('ReduceMean', ['h_in'], ['mean'], axes=[0], keepdims=0),
             helper.make_node('Add', ['h_in', 'one'], ['h_out']),
             helper.make_node('MatMul', ['obs', 'zeros'], ['nothing']),
             helper.make_node('Add', ['mean', 'nothing'], ['actions'])]

    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, 'policy', [value('obs', 1, 32), value('h_in', 2, 1, 29)],
                              [value('actions', 1, 29), value('h_out', 2, 1, 29)], initializer=[
        numpy_helper.from_array(np.array(1.0, dtype=np.float32), 'one'),
        numpy_helper.from_array(np.zeros((32, 29), dtype=np.float32), 'zeros')])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)


def test_a_recurrent_policy_remembers_until_it_is_reset(tmp_path):
    network = {'observation': 'obs', 'action': 'actions', 'states': {'h_in': 'h_out'}}
    policy = runner(plain(tmp_path, put('network', network), recurrent()))
    state = standing()
    policy.reset(state)
    for wanted in (0, 1, 2):
        target = policy.step(state, np.zeros((1, 3))).position[0]
        np.testing.assert_allclose(target, G1.default_position + 0.2 * wanted, atol=1e-6)
    with pytest.raises(PolicyError):  # a period that is not answered leaves the state as it was
        policy.step(standing(base_quaternion=np.full((1, 4), np.nan)), np.zeros((1, 3)))
    np.testing.assert_allclose(policy.step(state, np.zeros((1, 3))).position[0], G1.default_position + 0.6, atol=1e-6)
    policy.reset(state)
    np.testing.assert_allclose(policy.step(state, np.zeros((1, 3))).position[0], G1.default_position, atol=1e-6)


def test_a_recurrent_policy_serves_several_robots(tmp_path):
    from rl_robot_control.policies.runner import PolicyRunner
    network = {'observation': 'obs', 'action': 'actions', 'states': {'h_in': 'h_out'}}
    policy = PolicyRunner(read_policy(plain(tmp_path, put('network', network), recurrent())), G1, 2)
    both = standing()
    both = type(both)(**{name: np.repeat(value, 2, axis=0) for name, value in vars(both).items()})
    policy.reset(both)
    policy.step(both, np.zeros((2, 3)))
    policy.reset(both, np.array([1]))
    targets = policy.step(both, np.zeros((2, 3))).position
    np.testing.assert_allclose(targets[:, 0] - G1.default_position[0], [0.2, 0.0], atol=1e-6)


@pytest.mark.parametrize(('change', 'reason'), [
    (put('joints', None), "'joints' is missing"),
    (put('stiffness', None), "'stiffness' is missing"),
    (put('action', None), "'action.scale' is missing"),
    (put('stifness', 3), "unknown key 'stifness'; did you mean 'stiffness'"),
    (put('stiffness', {'elbow': 3.0}), "'stiffness' names 'elbow', which is none of the joints"),
    (put('stiffness', {NAMES[0]: 3.0}), f"'stiffness' says nothing of joint '{NAMES[1]}'"),
    (put('damping', [1.0] * 3), "'damping' has 3 values for 29 joints"),
    (put('control_rate', 0), "key 'control_rate' is 0"),
    (put('observations', ['gravity']), "unknown observation term 'gravity'"),
    (put('observations', ['projected_gravity'] * 2), "observation term 'projected_gravity' stands twice"),
    (put('observations', [{'term': 'projected_gravity', 'ages': []}]), 'at least 1 item'),
    (put('action', {'scale': -1}), "'action.scale' of joint '.*' is -1; it must be positive"),
    (put('action', {'scale': [0.2] * 3}), "'action.scale' has 3 values for 29 joints"),
    (put('network', {'observation': 'z', 'action': 'y'}), r"has the inputs \['x'\], expected \['z'\]"),
    (put('network', {'observation': 'x', 'action': 'z'}), r"has the outputs \['y'\], but not \['z'\]"),
    (put('anchor_link', 'torso_link'), 'a motion to track needs both'),
])
def test_a_yaml_by_hand_is_refused_with_the_reason(tmp_path, change, reason):
    with pytest.raises(PolicyError, match=reason):
        runner(plain(tmp_path, change))


# Hostile YAML

def test_python_objects_in_yaml_are_not_built(tmp_path):
    path = unitree(tmp_path)
    marker = tmp_path / 'built'
    text = (tmp_path / 'deploy.yaml').read_text()
    (tmp_path / 'deploy.yaml').write_text(text.replace(
        'step_dt: 0.02', f'step_dt: !!python/object/apply:pathlib.Path.touch [{marker}]'))
    with pytest.raises(PolicyError, match="'step_dt' is <object/apply:pathlib.Path.touch>"):
        read_policy(path, robot='unitree_g1')
    assert not marker.exists()


def test_yaml_that_grows_without_bound_is_refused(tmp_path):
    path = plain(tmp_path)
    lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x, x]']
    lines += [f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 10)}]' for i in range(1, 12)]  # 10¹² values
    (tmp_path / 'walk.yaml').write_text('\n'.join(lines))
    with pytest.raises(PolicyError, match='holds more than 20000 values, its aliases resolved'):
        read_policy(path)


@pytest.mark.parametrize(('text', 'reason'), [
    ('joints: [', 'is not valid YAML'), ('- 1', 'expected a mapping of settings, got list'), ('', 'expected a mapping'),
    ('x' * (2 ** 20 + 1), 'is larger than 1048576 bytes')])
def test_other_yaml_that_is_none(tmp_path, text, reason):
    path = plain(tmp_path)
    (tmp_path / 'walk.yaml').write_text(text)
    with pytest.raises(PolicyError, match=reason):
        read_policy(path)


def test_a_native_manifest_wins_over_what_lies_beside(tmp_path):
    from rl_robot_control.policies.importing import write_native
    path = plain(tmp_path)
    write_native(read_policy(path), tmp_path / 'native.onnx')
    (tmp_path / 'native.yaml').write_text('nonsense: true')
    again = read_policy(tmp_path / 'native.onnx')
    assert again.manifest.origin.dialect == 'plain_yaml' and again.manifest.stiffness == [40.0] * 29
    assert list(onnx.load(str(tmp_path / 'native.onnx')).metadata_props)[0].key == 'rl_robot_control.manifest'
    runner(tmp_path / 'native.onnx')

"""IO descriptors as Isaac Lab's ``export_IO_descriptors`` writes them, keys sorted, beside a policy of rsl_rl."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import yaml
from onnx import TensorProto, helper

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import read_policy

from .foreign_files import G1, NAMES, network, runner, save, standing

# Isaac Lab counts the G1's joints breadth first; these are their places in the robot's order.
ORDER = [0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 22, 4, 10, 16, 23, 5, 11, 17, 24, 18, 25, 19, 26, 20, 27, 21, 28]
JOINTS = [NAMES[i] for i in ORDER]
POSE = [float(np.float32(G1.default_position[i])) for i in ORDER]  # float32, as torch gives them
LEGS = JOINTS[0:2] + JOINTS[3:5]


def observed(name, width, **more):
    """One term: what its decorator says, and what its configuration overloads."""
    overloads = {'clip': None, 'flatten_history_dim': True, 'history_length': 0, 'scale': None} | {
        key: more.pop(key) for key in ('clip', 'flatten_history_dim', 'history_length', 'scale') if key in more}
    return {'dtype': 'torch.float32', 'extras': {'description': f'The {name}.', 'modifiers': None, 'units': 'rad'},
            'full_path': f'isaaclab.envs.mdp.observations.{name}', 'mdp_type': 'Observation', 'name': name,
            'observation_type': 'RootState', 'overloads': overloads, 'shape': [width]} | more


def action(**changes):
    return {'action_type': 'JointAction', 'clip': None, 'dtype': 'torch.float32',
            'extras': {'description': 'Joint action term that applies the processed actions to the joints.'},
            'full_path': 'isaaclab.envs.mdp.actions.joint_actions.JointPositionAction', 'joint_names': JOINTS,
            'mdp_type': 'Action', 'name': 'joint_position_action', 'offset': POSE, 'scale': 0.5,
            'shape': [29]} | changes


def velocity():
    """The velocity task's file: 3 + 3 + 3 + 3 + 29 + 29 + 29 = 99 values."""
    zeros = [0.0] * 29
    return {'actions': [action()],
            'articulations': {'robot': {
                'default_joint_armature': zeros, 'default_joint_damping': [1.5] * 29, 'default_joint_friction': zeros,
                'default_joint_pos': POSE, 'default_joint_pos_limits': [[-3.0, 3.0]] * 29,
                'default_joint_stiffness': [30.0 + i for i in range(29)], 'default_joint_vel': zeros,
                'joint_names': JOINTS}},
            'observations': {'policy': [
                observed('base_lin_vel', 3), observed('base_ang_vel', 3, scale=0.25, clip=[-0.25, 0.25]),
                observed('projected_gravity', 3), observed('generated_commands', 3, scale=[2.0, 2.0, 0.25]),
                observed('joint_pos_rel', 29, joint_names=JOINTS, joint_pos_offsets=POSE),
                observed('joint_vel_rel', 29, joint_names=JOINTS, joint_vel_offsets=zeros, scale=0.05),
                observed('last_action', 29)]},
            'scene': {'decimation': 4, 'dt': 0.02, 'physics_dt': 0.005}}


def write(tmp_path, data, width=99, actions=29, place='IO_descriptors.yaml', policy='policy.onnx', **model):
    path, sidecar = tmp_path / policy, tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    sidecar.parent.mkdir(parents=True, exist_ok=True)
    sidecar.write_text(yaml.safe_dump(data))
    return save(path, network(width, actions, opset=17, **model))


@pytest.mark.parametrize(('place', 'policy'), [
    ('run/io_descriptors/IO_descriptors.yaml', 'run/exported/policy.onnx'),  # where Isaac Lab and rsl_rl put them
    ('run/params/IO_descriptors.yaml', 'run/exported/policy.onnx'),
    ('IO_descriptors.yaml', 'policy.onnx'), ('io_descriptors.yaml', 'policy.onnx'),
    ('isaac_velocity_flat_g1_v0_IO_descriptors.yaml', 'isaac_velocity_flat_g1_v0.onnx'),  # of its script
])
def test_found_where_it_is_left(tmp_path, place, policy):
    manifest = read_policy(write(tmp_path, velocity(), place=place, policy=policy)).manifest
    assert manifest.origin.dialect == 'isaac_lab_io' and manifest.action_joint_names == JOINTS


def test_gains_pose_rate_and_targets_by_name(tmp_path):
    bias = np.arange(29) / 100
    policy = runner(write(tmp_path, velocity(), bias=bias))
    manifest = policy.manifest
    assert manifest.control_period == 0.02  # scene.dt is the environment's step: 4 of 0.005 s
    for place, stiffness in zip(ORDER, range(30, 59), strict=True):
        assert manifest.stiffness[place] == stiffness and manifest.damping[place] == 1.5
    assert len(manifest.origin.assumptions) == 1 and 'commands' in manifest.origin.assumptions[0]
    state = standing(base_linear_velocity=np.zeros((1, 3)), base_angular_velocity=np.zeros((1, 3)))
    policy.reset(state)
    # The sum of the observation is gravity's −1.
    target = policy.step(state, np.zeros((1, 3))).position[0]
    np.testing.assert_allclose(target[ORDER], POSE + 0.5 * (bias - 1e-3), atol=1e-5)


def test_values_land_in_their_places(tmp_path):
    policy = runner(write(tmp_path, velocity()))
    position, speed = policy.robot.default_position[None].copy(), np.zeros((1, 29))
    position[0, 6] += 0.1  # the right hip's pitch: Isaac Lab's joint 1
    speed[0, 12] = 2.0  # the waist's yaw: its joint 2
    state = standing(joint_position=position, joint_velocity=speed, base_linear_velocity=np.array([[0.4, 0.5, 0.6]]),
                     base_angular_velocity=np.array([[0.1, 0.2, 0.3]]))
    policy.reset(state)
    policy.interface.action = np.arange(29.0)[None]
    seen = policy.interface.observe(state, np.array([[0.5, 0.1, 0.4]]))[0]
    np.testing.assert_allclose(seen[:3], [0.4, 0.5, 0.6])
    np.testing.assert_allclose(seen[3:6], [0.025, 0.05, 0.0625])  # 0.3 is clipped to 0.25, then scaled
    np.testing.assert_allclose(seen[6:12], [0.0, 0.0, -1.0, 1.0, 0.2, 0.1])
    np.testing.assert_allclose(seen[12:41], [0.0, 0.1] + [0.0] * 27, atol=1e-9)
    np.testing.assert_allclose(seen[41:70], [0.0, 0.0, 0.1] + [0.0] * 26)
    np.testing.assert_allclose(seen[70:], np.arange(29.0))


def test_a_history_begins_full_and_has_the_oldest_first(tmp_path):
    data = velocity()
    data['observations']['policy'] = [observed('base_ang_vel', 3, history_length=3), observed('projected_gravity', 3)]
    policy = runner(write(tmp_path, data, width=12))
    for x, expected in ((0.1, [0.1, 0.1, 0.1]), (0.2, [0.1, 0.1, 0.2]), (0.3, [0.1, 0.2, 0.3])):
        state = standing(base_angular_velocity=np.array([[x, 0.0, 0.0]]))
        if x == 0.1:
            policy.reset(state)
        seen = policy.interface.observe(state, np.zeros((1, 3)))[0]
        np.testing.assert_allclose(seen[[0, 3, 6]], expected)
        np.testing.assert_allclose(seen[9:], [0.0, 0.0, -1.0])


def test_a_length_of_one_is_no_history(tmp_path):
    data = velocity()
    data['observations']['policy'] = [observed('projected_gravity', 3, history_length=1, flatten_history_dim=False)]
    assert read_policy(write(tmp_path, data, width=3)).manifest.observation_sizes == {'projected_gravity': 3}


def test_some_joints_move_and_others_are_seen(tmp_path):
    data = velocity()
    data['actions'] = [action(joint_names=LEGS, offset=0.0, scale=0.25, shape=[4])]
    data['observations']['policy'] = [
        observed('joint_pos_rel', 2, joint_names=LEGS[2:], joint_pos_offsets=[POSE[3], POSE[4]]),
        observed('joint_vel', 29), observed('last_action', 4)]
    policy = runner(write(tmp_path, data, width=35, actions=4, bias=[1.0, 2.0, 3.0, 4.0]))
    assert policy.manifest.action_joint_names == LEGS
    assert policy.manifest.origin.assumptions[0].startswith('it does not move 25 joints')
    state = standing(joint_velocity=np.arange(29.0)[None])
    policy.reset(state)
    seen = policy.interface.observe(state, np.zeros((1, 3)))[0]
    np.testing.assert_allclose(seen[2:31], ORDER)  # without names: all joints, in the robot's order there
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0]
    # The sum of the observation: 0 + 1 + … + 28 = 406. An offset of 0, not the default pose.
    np.testing.assert_allclose(target[[0, 6, 1, 7]], 0.25 * (np.array([1.0, 2.0, 3.0, 4.0]) + 0.406), atol=1e-5)


def test_a_clip_of_some_joints_is_of_the_target(tmp_path):
    data = velocity()
    free = [float('-inf'), float('inf')]  # what the exporter writes for joints that the clip does not name
    data['actions'] = [action(clip=[[-0.2, 0.3]] + [free] * 28)]
    policy = runner(write(tmp_path, data, bias=np.full(29, 10.0)))
    state = standing(base_linear_velocity=np.zeros((1, 3)), base_angular_velocity=np.zeros((1, 3)))
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0][ORDER]
    assert target[0] == pytest.approx(0.3)
    np.testing.assert_allclose(target[1:], np.array(POSE[1:]) + 0.5 * (10.0 - 1e-3), atol=1e-5)


def test_an_observation_clipped_on_one_side(tmp_path):
    data = velocity()
    data['observations']['policy'] = [observed('base_ang_vel', 3, clip=[float('-inf'), 0.15])]
    policy = runner(write(tmp_path, data, width=3))
    np.testing.assert_allclose(policy.interface.observe(standing(), np.zeros((1, 3)))[0], [0.1, 0.15, 0.15])


def put(*keys):
    """A change of one value: the last key's is set to what follows it; ``...`` removes it."""
    *path, last, value = keys

    def change(data):
        for key in path:
            data = data[key]
        if value is ...:
            del data[last]
        else:
            data[last] = value
    return change


TERM = ('observations', 'policy')


@pytest.mark.parametrize(('change', 'reason'), [
    (put('articulations', 'robot', 'default_joint_stiffness', ...), "lacks 'default_joint_stiffness'"),
    (put('articulations', 'robot', 'default_joint_damping', [0.0] * 29),
     'damping of joint .* are 30 and 0; they must be positive. an explicit actuator'),
    (put('articulations', 'robot', 'default_joint_pos', [0.0] * 28), "'default_joint_pos' has 28 values for 29 joints"),
    (put('articulations', 'robot', 'joint_names', [*JOINTS[:-1], 'tail']),
     f"'joint_pos_rel' observes joint '{JOINTS[-1]}', which is none of the robot's"),
    (put('actions', 0, 'joint_names', [*JOINTS[:-1], 'tail']), "action joint 'tail': robot 'unitree_g1' has none"),
    (put('articulations', 'robot', 'joint_names', [*JOINTS[:-1], JOINTS[0]]), 'stands twice'),
    (put('actions', [action(), action()]), "'actions' holds 2 terms; one is expected"),
    (put('actions', 0, 'full_path', 'isaaclab.envs.mdp.actions.joint_actions.RelativeJointPositionAction'),
     'the action is a RelativeJointPositionAction; joint positions are expected'),
    (put('actions', 0, 'scale', -0.5), "'actions.scale' holds -0.5; it must be positive"),
    (put('actions', 0, 'scale', [[0.5] * 29] * 2), r"'actions.scale' is \[\[0.5, .*; finite numbers are needed"),
    (put('actions', 0, 'offset', [0.0] * 28), "'actions.offset' has 28 values for 29 joints"),
    (put('actions', 0, 'clip', [[-1.0, 1.0]] * 28), "'actions.clip' has 28 entries; a pair for each of 29"),
    (put('actions', 0, 'clip', [[1.0, -1.0]] * 29), r"'actions.clip' holds \[1.0, -1.0\]; two numbers"),
    (put('actions', 0, 'clip', [[float('nan'), 1.0]] * 29), r"'actions.clip' holds \[nan, 1.0\]; two numbers"),
    (put(*TERM, 1, 'name', 'imu_ang_vel'), "observation term 'imu_ang_vel' is not known. Known are base_lin_vel"),
    (put(*TERM, 4, 'name', 'joint_pos'), "observation term 'joint_pos' is not known"),  # it is not relative
    (put(*TERM, 1, 'overloads', 'history_length', 10 ** 9),
     "history_length of 'base_ang_vel' is 1000000000, at most 200"),
    (put(*TERM, 1, 'overloads', 'history_length', -1), "history_length of 'base_ang_vel' is -1; a whole number"),
    (put(*TERM, 1, 'overloads', 'history_length', True), "history_length of 'base_ang_vel' is True"),
    (put(*TERM, 1, 'overloads', 'clip', 3.0), "'base_ang_vel.clip' holds 3.0; two numbers"),
    (put(*TERM, 1, 'overloads', 'scale', float('nan')), "'base_ang_vel.scale' is nan; finite numbers are needed"),
    (put(*TERM, 3, 'shape', [7]),  # a pose
     r"the shape of observation term 'generated_commands' is \[7\], expected \[3\]"),
    (put(*TERM, 6, 'shape', [12]), r"the shape of observation term 'last_action' is \[12\], expected \[29\]"),
    (put(*TERM, 4, 'joint_names', JOINTS[:3]), "joint_pos_offsets' has 29 values for 3 joints"),
    (put(*TERM, 4, 'joint_pos_offsets', [0.5] * 29),
     "joint_pos_offsets of 'joint_pos_rel' is 0.5 for joint .* expected"),
    (put(*TERM, 5, 'joint_vel_offsets', [0.1] * 29),
     "joint_vel_offsets of 'joint_vel_rel' is 0.1 for joint .* expected 0"),
    (lambda data: data['observations']['policy'].pop(0), 'has 99 values, its terms make 96'),  # one was left out
    (put('scene', 'decimation', 2), 'scene.dt is 0.02 s, decimation · physics_dt 0.01 s'),
    (put('scene', 'dt', 0.0), 'decimation · physics_dt|its control period is 0 s'),
])
def test_refused_with_the_reason(tmp_path, change, reason):
    data = copy.deepcopy(velocity())
    change(data)
    with pytest.raises(PolicyError, match=reason):
        runner(write(tmp_path, data), robot='unitree_g1')


def test_without_a_scene_the_rate_is_assumed_or_said(tmp_path):
    data = velocity()
    del data['scene']
    path = write(tmp_path, data)
    assert 'the control rate is not in the file: 50 Hz' in read_policy(path).manifest.origin.assumptions
    assert read_policy(path, rate=100.0).manifest.control_period == 0.01


def test_an_empty_file_is_not_taken_for_descriptors(tmp_path):
    """What the exporter leaves where it fails, e.g. at scales by joint."""
    path = write(tmp_path, velocity())
    (tmp_path / 'IO_descriptors.yaml').write_text('')
    with pytest.raises(PolicyError, match='neither has a manifest of rl_robot_control, nor is of a known dialect'):
        read_policy(path)


def test_several_inputs_are_refused(tmp_path):
    path, model = write(tmp_path, velocity()), network(99, 29)
    model.graph.input.append(helper.make_tensor_value_info('h_in', TensorProto.FLOAT, [1, 1, 64]))
    save(path, model)
    with pytest.raises(PolicyError, match='has the inputs obs, h_in .* one of each is expected'):
        read_policy(path)

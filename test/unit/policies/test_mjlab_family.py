"""mjlab, BeyondMimic and HoloMotion: metadata in CSV."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import read_policy

from .foreign_files import G1, NAMES, network, runner, save, standing, tracker

TERMS = ['base_lin_vel', 'base_ang_vel', 'projected_gravity', 'joint_pos', 'joint_vel', 'actions', 'command']
WIDTH = 3 + 3 + 3 + 29 + 29 + 29 + 3


def metadata(**changes):
    values = {'run_path': 'team/run', 'joint_names': NAMES, 'joint_stiffness': [40.0] * 29, 'joint_damping': [2.0] * 29,
              'default_joint_pos': [round(float(v), 3) for v in G1.default_position], 'command_names': ['twist'],
              'observation_names': TERMS, 'action_scale': [0.25] * 28 + [0.0745]}
    return {key: value for key, value in (values | changes).items() if value is not None}


def test_an_old_velocity_policy(tmp_path):
    """Its target is default + scale · action; its wrist's scale of 0.0745 has been rounded to 0.074."""
    bias = np.arange(29) / 10
    policy = runner(save(tmp_path / 'p.onnx', network(WIDTH, 29, bias=bias), metadata()))
    manifest = policy.manifest
    assert manifest.origin.dialect == 'mjlab' and manifest.control_period == 0.02
    assert manifest.stiffness == [40.0] * 29 and manifest.interface.action.scale[28] == 0.074
    assumed = [text.split()[0] for text in manifest.origin.assumptions]
    assert assumed == ['gains,', 'the', 'the']  # digits, rate, commands
    state = standing(base_linear_velocity=np.array([[0.5, 0.0, 0.0]]))
    policy.reset(state)
    # The observation's sum: 0.5 + (0.1 + 0.2 + 0.3) + (−1) + 0 + 0 + 0 + (0.2 + 0.1 + 0.3) = 0.7
    target = policy.step(state, np.array([[0.2, 0.1, 0.3]])).position[0]
    scale = np.array([0.25] * 28 + [0.074])
    np.testing.assert_allclose(target, np.round(G1.default_position, 3) + scale * (bias + 0.7e-3), atol=2e-4)


def test_newer_keys_give_each_term_its_scale_clip_and_history(tmp_path):
    terms = ['base_ang_vel', 'joint_vel', 'command']
    data = metadata(observation_names=terms, observation_terms_scale=[0.25, 0.05, 1.0],
                    observation_terms_clip=['-0.15;0.15', '-inf;inf', '-inf;inf'],
                    observation_terms_history_length=[2, 0, 1], action_scale=0.5,
                    observation_terms_flatten_history_dim=[True, True, True])
    policy = runner(save(tmp_path / 'p.onnx', network(2 * 3 + 29 + 3, 29), data))
    assert policy.manifest.interface.action.scale == 0.5  # a bare float
    state = standing(joint_velocity=np.full((1, 29), 2.0))
    policy.reset(state)
    policy.step(state, np.zeros((1, 3)))
    later = dataclasses.replace(state, time=np.array([1.02]), base_angular_velocity=np.array([[0.0, 0.0, -0.1]]))
    seen = policy.interface.observe(later, np.array([[0.1, 0.2, 0.3]]))[0]
    # Oldest first; clipped to ±0.15, then scaled by 0.25: (0.1, 0.15, 0.15)/4 and (0, 0, −0.1)/4.
    np.testing.assert_allclose(seen[:6], [0.025, 0.0375, 0.0375, 0.0, 0.0, -0.025])
    np.testing.assert_allclose(seen[6:35], 0.1)  # 0.05 · 2
    np.testing.assert_allclose(seen[35:], [0.1, 0.2, 0.3])


def test_the_first_form_of_clips_has_brackets(tmp_path):
    terms = ['base_ang_vel', 'projected_gravity']
    data = metadata(observation_names=terms, observation_terms_clip='[-inf, inf],[-0.5, 0.5]')
    entries = read_policy(save(tmp_path / 'p.onnx', network(6, 29), data)).manifest.interface.observations
    assert [entry.clip for entry in entries] == [None, (-0.5, 0.5)]


def test_another_joint_order_is_matched_by_name(tmp_path):
    order = NAMES[::-1]
    data = metadata(joint_names=order, joint_stiffness=[10.0 + i for i in range(29)], observation_names=['joint_pos'],
                    default_joint_pos=[0.0] * 29, action_scale=0.1)
    policy = runner(save(tmp_path / 'p.onnx', network(29, 29, bias=np.arange(29)), data))
    assert policy.manifest.stiffness[0] == 38.0 and policy.manifest.stiffness[28] == 10.0  # the robot's order
    position = np.zeros((1, 29))
    position[0, 0] = 0.3  # the last one of the policy's
    state = standing(joint_position=position)
    policy.reset(state)
    np.testing.assert_allclose(policy.interface.observe(state, np.zeros((1, 3)))[0], [0.0] * 28 + [0.3])
    policy.reset(state)
    target = policy.step(state, np.zeros((1, 3))).position[0]
    np.testing.assert_allclose(target, 0.1 * (np.arange(29)[::-1] + 0.3e-3), atol=1e-6)


def motion():
    """Three instants; the torso (the second body) turns by 0.2 rad about z in each, in w, x, y, z."""
    angles = 0.5 + 0.2 * np.arange(3)
    quaternions = np.zeros((3, 2, 4))
    quaternions[:, 0, 0] = 1.0
    quaternions[:, 1, 0], quaternions[:, 1, 3] = np.cos(angles / 2), np.sin(angles / 2)
    positions = np.zeros((3, 2, 3))
    positions[:, 1] = [[1.0, 2.0, 0.8], [1.1, 2.0, 0.8], [1.2, 2.0, 0.8]]
    joints = np.tile(G1.default_position, (3, 1)) + np.arange(3)[:, None] * 0.1
    return {'joint_pos': joints, 'joint_vel': np.full((3, 29), 0.5), 'body_pos_w': positions,
            'body_quat_w': quaternions, 'body_lin_vel_w': positions * 0, 'body_ang_vel_w': positions * 0}


TRACKED = ['command', 'motion_anchor_pos_b', 'motion_anchor_ori_b', 'base_lin_vel', 'base_ang_vel', 'joint_pos',
           'joint_vel', 'actions']


def track(tmp_path, terms=TRACKED, width=160, **changes):
    data = metadata(command_names=['motion'], observation_names=terms, observation_history_lengths=[1] * len(terms),
                    anchor_body_name='torso_link', body_names=['pelvis', 'torso_link'], action_scale=[0.1] * 29)
    given = {key: value for key, value in (data | changes).items() if value is not None}
    return save(tmp_path / 'p.onnx', tracker(width, motion()), given)


def test_a_tracker_follows_its_motion_from_where_the_robot_is(tmp_path):
    policy = runner(track(tmp_path))
    manifest = policy.manifest
    assert manifest.origin.dialect == 'beyond_mimic' and manifest.interface.motion.length == 3
    np.testing.assert_allclose(policy.start_pose, G1.default_position, atol=1e-6)
    yaw = np.array([[0.0, 0.0, np.sin(0.5), np.cos(0.5)]])  # the robot faces 1 rad elsewhere
    place = np.array([[4.0, 5.0, 0.757]])
    state = standing(base_quaternion=yaw, base_position=place, base_linear_velocity=np.zeros((1, 3)))
    policy.reset(state)
    seen = policy._follow_motion(state) or policy.interface.observe(state, np.zeros((1, 3)))[0]
    np.testing.assert_allclose(seen[:58], [*G1.default_position, *[0.5] * 29], atol=1e-6)
    # The motion has been turned and moved onto the robot: only the heights differ; the torso of a G1 whose waist is
    # straight stands above the pelvis, so x and y are zero.
    np.testing.assert_allclose(seen[58:60], 0.0, atol=1e-6)
    np.testing.assert_allclose(seen[61:67], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0], atol=1e-6)  # two columns, row by row
    policy.reset(state)
    policy.step(state, np.zeros((1, 3)))
    policy._follow_motion(state)
    seen = policy.interface.observe(state, np.zeros((1, 3)))[0]
    np.testing.assert_allclose(seen[:29], G1.default_position + 0.1, atol=1e-6)  # the second instant
    # The motion went 0.1 m along its x, which is turned by 1 − 0.5 = 0.5 rad in the world and by −0.5 rad in the robot.
    np.testing.assert_allclose(seen[58:60], [0.1 * np.cos(-0.5), 0.1 * np.sin(-0.5)], atol=1e-6)
    np.testing.assert_allclose(seen[61:67], [np.cos(0.2), -np.sin(0.2), np.sin(0.2), np.cos(0.2), 0, 0], atol=1e-6)
    assert not policy.finished[0]
    for _ in range(3):
        policy.step(state, np.zeros((1, 3)))
    assert policy.finished[0]
    held = policy.interface.reference.joint_position[0]
    np.testing.assert_allclose(held, G1.default_position + 0.2, atol=1e-6)


def test_a_tracker_without_state_estimation_needs_no_odometry(tmp_path):
    terms = [name for name in TRACKED if name not in ('motion_anchor_pos_b', 'base_lin_vel')]
    policy = runner(track(tmp_path, terms, 154))
    state = standing()  # neither position nor velocity of the base
    policy.reset(state)
    assert np.isfinite(policy.step(state, np.zeros((1, 3))).position).all()


def test_a_motion_begins_anew_where_it_is_told_to(tmp_path):
    from rl_robot_control.policies.runner import PolicyRunner
    policy = PolicyRunner(read_policy(track(tmp_path)), G1, loop=True)
    state = standing(base_position=np.zeros((1, 3)), base_linear_velocity=np.zeros((1, 3)))
    policy.reset(state)
    for wanted in (0.0, 0.1, 0.2, 0.0, 0.1):
        policy.step(state, np.zeros((1, 3)))
        found = policy.interface.reference.joint_position[0]
        np.testing.assert_allclose(found, G1.default_position + wanted, atol=1e-6)
    assert not policy.finished[0]


@pytest.mark.parametrize(('changes', 'reason'), [
    (dict(joint_damping=None), "lacks 'joint_damping'"),
    (dict(joint_stiffness=[40.0] * 28), 'names 29 joints, and gains for 28: which of them have a drive is not in'),
    (dict(joint_damping=[2.0] * 28), "'joint_damping' has 28 values for 29 joints"),
    (dict(default_joint_pos=[0.0] * 30), "'default_joint_pos' has 30 values for 29 joints"),
    (dict(action_scale=[0.25] * 12), "'action_scale' has 12 values for 29 joints"),
    (dict(action_scale='None'), "'action_scale' holds 'None'"),
    (dict(action_scale=[-0.25] * 29), "'action_scale' holds -0.25; it must be positive"),
    (dict(joint_stiffness=[0.0] * 29), "stiffness of joint 'left_hip_pitch_joint' is 0.0; it must be positive"),
    (dict(joint_stiffness=[4000.0] * 29), 'more than a factor 20 apart'),
    (dict(joint_names=[*NAMES[:28], 'tail_joint']), "joint 'tail_joint': robot 'unitree_g1' has none"),
    (dict(joint_names=[*NAMES[:28], NAMES[0]]), 'stands twice'),
    (dict(observation_names=[*TERMS, 'height_scan']), "observation term 'height_scan' is not known"),
    (dict(observation_names=TERMS[:-1]), "'obs' has 99 values, its terms make 96"),
    (dict(observation_terms_scale=[1.0] * 3), "'observation_terms_scale' has 3 entries for 7 observation terms"),
    (dict(observation_terms_history_length=[1.5] * 7), "'observation_terms_history_length' holds 1.5"),
    (dict(observation_terms_history_length=[2] * 7, observation_terms_flatten_history_dim=[0] * 7), 'is not flattened'),
    (dict(observation_terms_clip=['3;-3'] * 7), "'observation_terms_clip' holds '3;-3'"),
    (dict(default_joint_pos=[9.0] * 29), 'lies outside'),
])
def test_refused_with_the_reason(tmp_path, changes, reason):
    path = save(tmp_path / 'p.onnx', network(WIDTH, 29), metadata(**changes))
    with pytest.raises(PolicyError, match=reason):
        runner(path, robot='unitree_g1')


@pytest.mark.parametrize(('changes', 'reason'), [
    (dict(anchor_body_name=None), "lacks 'anchor_body_name'"),
    (dict(anchor_body_name='head_link'), "the anchor 'head_link' is none of the bodies"),
    (dict(observation_history_lengths=[1, 1]), "'observation_history_lengths' has 2 entries for 8 observation terms"),
    (dict(anchor_body_name='tail', body_names=['pelvis', 'tail']), "unknown link of unitree_g1 'tail'"),
])
def test_a_tracker_is_refused_with_the_reason(tmp_path, changes, reason):
    with pytest.raises(PolicyError, match=reason):
        runner(track(tmp_path, **changes))


def test_a_rate_may_be_given_where_the_file_has_none(tmp_path):
    path = save(tmp_path / 'p.onnx', network(WIDTH, 29), metadata())
    assert read_policy(path, rate=100.0).manifest.control_period == 0.01


HOLOMOTION = {'observation_names': None, 'command_names': None}


def test_holomotion_does_not_say_what_it_observes(tmp_path):
    path = save(tmp_path / 'walk.onnx', network(32, 29), metadata(**HOLOMOTION))
    with pytest.raises(PolicyError, match=r'walk.onnx: its metadata \(HoloMotion\) name joints and gains, but not what '
                                          'it observes. Write walk.yaml beside it'):
        read_policy(path)


def test_holomotion_with_a_yaml_that_says_it(tmp_path):
    path = save(tmp_path / 'walk.onnx', network(32, 29), metadata(**HOLOMOTION))
    (tmp_path / 'walk.yaml').write_text('observations: [projected_gravity, joint_position]\ncontrol_rate: 50\n')
    manifest = read_policy(path).manifest
    assert manifest.stiffness == [40.0] * 29 and manifest.interface.action.scale[28] == 0.074
    assert list(manifest.observation_sizes) == ['projected_gravity', 'joint_position']

"""holosoma: metadata in JSON, terms in the order of their names."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from rl_robot_control.errors import PolicyError
from rl_robot_control.learning.evaluation import policy_task
from rl_robot_control.policies.gate import read_policy

from .foreign_files import G1, NAMES, network, runner, save_json, standing, tracker

WIDTH = 29 + 3 + 1 + 2 + 2 + 29 + 29 + 3 + 2
RANGES = {'lin_vel_x': [-1.0, 1.0], 'lin_vel_y': [-0.8, 0.8], 'ang_vel_yaw': [-0.6, 0.6], 'heading': [-3.14, 3.14]}


def metadata(**changes):
    values = {'dof_names': NAMES, 'kp': [40.0 + i for i in range(29)], 'kd': [2.0] * 29, 'command_ranges': RANGES,
              'robot_urdf': '<robot name="g1"/>', 'robot_urdf_path': '/home/someone/g1.urdf'}
    return {key: value for key, value in (values | changes).items() if value is not ...}


def walker(tmp_path, bias=None, width=WIDTH, **changes):
    model = network(width, 29, inputs=('actor_obs',), outputs=('action',), bias=bias, opset=13)
    return save_json(tmp_path / 'walk.onnx', model, metadata(**changes))


def test_a_walker_sees_its_terms_in_the_order_of_their_names(tmp_path):
    policy = runner(walker(tmp_path, bias=np.full(29, 0.4)))
    assert policy.manifest.origin.dialect == 'holosoma' and policy.manifest.stiffness == [40.0 + i for i in range(29)]
    assert policy.manifest.command_upper == (1.0, 0.8, 0.6)
    state, command = standing(joint_velocity=np.full((1, 29), 2.0)), np.array([[0.5, 0.1, 0.2]])
    policy.reset(state)
    target = policy.step(state, command).position[0]
    # The sum: base_ang_vel 0.25 · 0.6, commands 0.8, cos (1, −1), dof_vel 0.05 · 58, gravity −1, sin 0
    np.testing.assert_allclose(target, G1.default_position + 0.25 * (0.4 + 2.85e-3), atol=1e-6)
    seen = policy.interface.observe(state, command)[0]
    np.testing.assert_allclose(seen[:29], 0.40285, atol=1e-6)  # the latest action, unscaled
    np.testing.assert_allclose(seen[29:32], [0.025, 0.05, 0.075])
    np.testing.assert_allclose(seen[32:35], [0.2, 0.5, 0.1])  # ang_vel before lin_vel
    # The clock has gone on by 0.02 s of 1 s; the right leg is half a turn later.
    angle = 2 * np.pi * 0.02
    np.testing.assert_allclose(seen[35:37], [np.cos(angle), -np.cos(angle)])
    np.testing.assert_allclose(seen[37:66], 0.0, atol=1e-9)
    np.testing.assert_allclose(seen[66:95], 0.1)
    np.testing.assert_allclose(seen[95:98], [0.0, 0.0, -1.0])
    np.testing.assert_allclose(seen[98:], [np.sin(angle), -np.sin(angle)])


def test_its_clock_waits_while_it_is_to_stand_and_then_begins_anew(tmp_path):
    policy = runner(walker(tmp_path))
    state, stand, walk = standing(), np.zeros((1, 3)), np.array([[0.5, 0.0, 0.0]])
    policy.reset(state)
    for _ in range(7):
        policy.step(state, walk)
    for _ in range(2):
        policy.step(state, stand)
    seen = policy.interface.observe(state, stand)[0]
    np.testing.assert_allclose(seen[35:37], [-1.0, -1.0])  # both legs at π
    np.testing.assert_allclose(seen[98:], 0.0, atol=1e-12)
    np.testing.assert_allclose(policy.interface.observe(state, walk)[0][35:37], [1.0, -1.0])  # 0 and π


def experiment(**control):
    return {'simulator': {'config': {'sim': {'fps': 200, 'control_decimation': 5}}},
            'robot': {'control': {'action_scale': 0.5} | control, 'dof_effort_limit_list': [80.0] * 29,
                      'init_state': {'default_joint_angles': dict.fromkeys(NAMES, 0.1)}}}


def test_a_newer_file_says_scale_pose_and_rate(tmp_path):
    manifest = read_policy(walker(tmp_path, experiment_config=experiment())).manifest
    assert manifest.interface.action.scale == 0.5 and manifest.control_period == 0.025  # 5 / 200 s
    assert manifest.default_position == [0.1] * 29
    assert manifest.origin.assumptions == []


def test_a_scale_by_effort_over_stiffness(tmp_path):
    data = experiment(action_scales_by_effort_limit_over_p_gain=True)
    scale = read_policy(walker(tmp_path, experiment_config=data)).manifest.interface.action.scale
    np.testing.assert_allclose(scale, [0.5 * 80.0 / (40.0 + i) for i in range(29)])


@pytest.mark.parametrize('said', [0.3, [0.3] * 29])
def test_a_scale_in_the_metadata_comes_first(tmp_path, said):
    manifest = read_policy(walker(tmp_path, action_scale=said, experiment_config=experiment())).manifest
    assert manifest.interface.action.scale == said


def clip():
    """A network that tracks five instants; each joint moves by 0.1 rad from one to the next."""
    joints = np.tile(G1.default_position, (5, 1)) + 0.1 * np.arange(5)[:, None]
    return tracker(154, {'joint_pos': joints, 'joint_vel': np.zeros((5, 29)), 'ref_pos_xyz': np.zeros((5, 3)),
                         'ref_quat_xyzw': np.tile([0.0, 0.0, 0.0, 1.0], (5, 1))})


def dance(tmp_path, model=None, **changes):
    return save_json(tmp_path / 'dance.onnx', model or clip(), metadata(command_ranges=None, **changes))


LOWER, UPPER = -0.5, 2.0
URDF = '<robot name="g1">' + ''.join(
    f'<joint name="{name}" type="revolute"><limit effort="{50 + i}" lower="{LOWER}" upper="{UPPER}"/></joint>'
    for i, name in enumerate(NAMES)) + '</robot>'


def squashed(scale):
    """A tracker of FastSAC, all of whose actions stand at their upper bounds: tanh(20) = 1."""
    model, reach = clip(), np.maximum(UPPER - G1.default_position, G1.default_position - LOWER)
    model.graph.node[0].output[0] = 'mean'
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == 'bias')
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(29, 20.0, dtype=np.float32), 'bias'))
    bounds = (reach / scale).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(bounds, 'actor.action_scale'))
    model.graph.node.extend([onnx.helper.make_node('Tanh', ['mean'], ['share']),
                             onnx.helper.make_node('Mul', ['share', 'actor.action_scale'], ['actions'])])
    return model


def test_a_tracker_that_does_not_say_its_scale_has_it_in_the_bounds_of_its_network(tmp_path):
    policy = runner(dance(tmp_path, squashed(1.0), robot_urdf=URDF))
    assert policy.manifest.interface.action.scale == 1.0
    assert "the action's scale is not in the file: 1 rad, by the bounds of its network" in (
        policy.manifest.origin.assumptions)
    state = standing()
    policy.reset(state)
    # The bounds reach from the default pose to the farther limit, which is the upper one: −0.312 + 1.0 · 2.312 = 2
    # for a hip, 0.669 + 1.0 · 1.331 = 2 for a knee.
    np.testing.assert_allclose(policy.step(state, np.zeros((1, 3))).position[0], 2.0, atol=1e-6)


def test_a_tracker_of_a_quarter_takes_its_efforts_from_the_urdf_that_it_holds(tmp_path):
    policy = runner(dance(tmp_path, squashed(0.25), robot_urdf=URDF))
    manifest = policy.manifest
    np.testing.assert_allclose(manifest.interface.action.scale, [0.25 * (50 + i) / (40 + i) for i in range(29)])
    assert ("the action's scale is not in the file: 0.25 · effort / stiffness of each joint, by the bounds of its "
            'network') in manifest.origin.assumptions


@pytest.mark.parametrize(('model', 'urdf', 'reason'), [
    (clip, URDF, 'does not say the scale of its action. .* the wrong one makes the robot fall'),
    (lambda: squashed(0.5), URDF, 'would mean 0.5 rad, with which no tracker of holosoma was trained'),
    (lambda: squashed(np.inf), URDF, 'would mean inf rad'),
    (lambda: squashed(1.0), '<robot name="g1"/>', "its 'robot_urdf' does not say that of every joint"),
])
def test_a_tracker_whose_scale_cannot_be_told_is_refused(tmp_path, model, urdf, reason):
    with pytest.raises(PolicyError, match=reason):
        read_policy(dance(tmp_path, model(), robot_urdf=urdf))


def test_a_tracker_of_an_older_file(tmp_path):
    policy = runner(dance(tmp_path, action_scale=0.25))
    manifest = policy.manifest
    assert manifest.interface.motion.length == 5 and manifest.interface.command.kind == 'none'
    assert "the motion's anchor is not in the file: torso_link" in manifest.origin.assumptions
    state = standing()
    policy.reset(state)
    policy.step(state, np.zeros((1, 3)))
    policy.step(state, np.zeros((1, 3)))
    # actions, base_ang_vel, dof_pos, dof_vel, then the motion: its second instant
    seen = policy.interface.past[4][0, 0]
    np.testing.assert_allclose(seen[:29], G1.default_position + 0.1, atol=1e-6)


def test_a_tracker_holds_the_last_instant_of_its_clip(tmp_path):
    policy = runner(dance(tmp_path, action_scale=0.25))
    state = standing()
    policy.reset(state)
    for step in range(7):
        policy.step(state, np.zeros((1, 3)))
        # The clip moves each joint by 0.1 rad per step; it has the steps 0 … 4.
        np.testing.assert_allclose(policy.interface.past[4][0, 0, :29], G1.default_position + 0.1 * min(step, 4),
                                   atol=1e-6)
        assert policy.finished[0] == (step >= 4)


def test_a_tracker_fails_where_it_loses_its_motion_not_where_a_walk_has_fallen(tmp_path):
    policy = runner(dance(tmp_path, action_scale=0.25))
    task = policy_task(policy.manifest, G1)
    # The clip's torso is on the floor; that of an upright G1 is 0.04 m above its pelvis.
    for height, lost in ((0.05, False), (0.15, False), (0.3, True), (0.757, True)):
        state = standing(base_position=np.array([[0.0, 0.0, height]]), base_linear_velocity=np.zeros((1, 3)))
        policy.reset(state)
        assert task.terminated(policy.interface.view(state)) == lost


def test_joints_are_matched_by_name_in_any_order(tmp_path):
    names = NAMES[::-1]
    bias = np.arange(29) / 10
    policy = runner(walker(tmp_path, bias=bias, dof_names=names, action_scale=[0.1 + 0.01 * i for i in range(29)]))
    assert policy.manifest.action_joint_names == names
    assert policy.manifest.stiffness == [40.0 + i for i in range(29)][::-1]  # in the robot's order
    position = G1.default_position[None].copy()
    position[0, 0] += 0.3  # the file's last joint
    state, command = standing(joint_position=position, base_angular_velocity=np.zeros((1, 3))), np.zeros((1, 3))
    policy.reset(state)
    assert policy.interface.observe(state, command)[0, 37 + 28] == pytest.approx(0.3)
    policy.reset(state)
    target = policy.step(state, command).position[0][::-1]
    # The sum: cosine −1 − 1 while it stands, 0.3 of the joint, gravity −1
    np.testing.assert_allclose(target, G1.default_position[::-1] + (0.1 + 0.01 * np.arange(29)) * (bias - 2.7e-3),
                               atol=1e-5)


def test_a_history_begins_with_zeros_and_has_the_oldest_first(tmp_path):
    data = {'observation': {'groups': {'actor_obs': {'history_length': 2, 'terms': {
        'projected_gravity': {'scale': 1.0}, 'base_ang_vel': {'scale': 0.5}}}}}}
    policy = runner(walker(tmp_path, width=12, experiment_config=data))
    state = standing()
    policy.reset(state)
    seen = policy.interface.observe(state, np.zeros((1, 3)))[0]
    # base_ang_vel comes first, by its name: zeros, then 0.5 · (0.1, 0.2, 0.3); then gravity, zeros and −1
    np.testing.assert_allclose(seen, [0, 0, 0, 0.05, 0.1, 0.15, 0, 0, 0, 0, 0, -1])
    seen = policy.interface.observe(state, np.zeros((1, 3)))[0]
    np.testing.assert_allclose(seen, [0.05, 0.1, 0.15, 0.05, 0.1, 0.15, 0, 0, -1, 0, 0, -1])


@pytest.mark.parametrize(('changes', 'reason'), [
    (dict(kp=[40.0] * 12), "'kp' has 12 values for 29 joints"),
    (dict(kd=None), "lacks 'kd'"),
    (dict(kd=[float('nan')] * 29), "'kd' is .*finite numbers are needed"),
    (dict(kp=[-40.0] * 29), 'stiffness of joint .* is -40.0; it must be positive'),
    (dict(command_ranges={'lin_vel_x': [0.0]}), "'command_ranges"),
    (dict(action_scale=[0.1] * 3), "'action_scale' has 3 values for 29 joints"),
    (dict(experiment_config={'robot': {'control': {
        'action_scale': 1.0, 'action_scales_by_effort_limit_over_p_gain': True}}}), "its 'robot_urdf' does not say"),
    (dict(experiment_config={'observation': {'groups': {'actor_obs': {'terms': {'heights': {}}}}}}),
     "observation term 'heights' of holosoma is not known"),
    (dict(dof_names=[*NAMES[:-1], 'tail']), "joint 'tail': robot 'unitree_g1' has none"),
    (dict(dof_names='all of them'), 'cannot be read as one|values for'),
])
def test_refused_with_the_reason(tmp_path, changes, reason):
    with pytest.raises(PolicyError, match=reason):
        runner(walker(tmp_path, **changes), robot='unitree_g1')


def test_a_robot_that_nobody_knows(tmp_path):
    with pytest.raises(PolicyError, match=r'its 29 joints \(a0, …\) fit no known robot; say which with --robot'):
        read_policy(walker(tmp_path, dof_names=[f'a{i}' for i in range(29)]))


def test_metadata_that_are_no_json(tmp_path):
    path = walker(tmp_path)
    model = onnx.load(str(path))
    next(entry for entry in model.metadata_props if entry.key == 'kp').value = '[1.0, 2.0'
    onnx.save(model, str(path))
    with pytest.raises(PolicyError, match="the metadata 'kp' is not JSON"):
        read_policy(path)

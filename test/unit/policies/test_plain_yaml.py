"""A plain ONNX file and a YAML file that a person has written for it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.runner import PolicyRunner

from .conftest import BIAS, WEIGHTS, linear_model, make_robot, make_state
from .foreign_files import csv

FLOAT = TensorProto.FLOAT
SHORT = """
joints: [elbow, shoulder]
stiffness: 25
damping: {shoulder: 2, elbow: 1}
action: {scale: 0.5}
observations: [joint_position, base_angular_velocity, command]
"""


@pytest.fixture
def arm(tmp_path):
    return make_robot(tmp_path / 'robot')


def write(tmp_path, text, model=None, metadata=None):
    """A model and, where there is a text, its YAML; metadata in the mjlab family's way."""
    model = model or linear_model()
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=csv(value) if isinstance(value, list) else str(value))
    onnx.save(model, str(tmp_path / 'walk.onnx'))
    if text is not None:
        (tmp_path / 'walk.yaml').write_text(text if isinstance(text, str) else yaml.safe_dump(text))
    return tmp_path / 'walk.onnx'


def read(tmp_path, text=SHORT, model=None, metadata=None, **options):
    path = write(tmp_path, text, model, metadata)
    return read_policy(path, robot=str(tmp_path / 'robot' / 'arm.yaml'), **options)


def changed(**changes):
    """The short file with other values; ``...`` removes a key."""
    return {key: value for key, value in (yaml.safe_load(SHORT) | changes).items() if value is not ...}


def test_five_lines_are_enough(tmp_path, arm):
    checked = read(tmp_path)
    manifest = checked.manifest
    assert manifest.origin.dialect == 'plain_yaml' and manifest.action_joint_names == ['elbow', 'shoulder']
    assert manifest.stiffness == [25.0, 25.0] and manifest.damping == [2.0, 1.0]  # shoulder, elbow: the robot's order
    policy, state, command = PolicyRunner(checked, arm), make_state(arm), np.array([[0.5, 0.0, -0.2]])
    policy.reset(state)
    # Elbow first: −0.1 − 0.2 = −0.3, then the shoulder: 0.3 − 0.1 = 0.2
    seen = policy.interface.observe(state, command)[0]
    np.testing.assert_allclose(seen, [-0.3, 0.2, 0.1, 0.2, -0.4, 0.5, 0.0, -0.2])
    policy.reset(state)
    # Elbow: −0.3 + 0.5 · (−0.4) + 0.5 + 0.5 = 0.5, target 0.2 + 0.5 · 0.5. Shoulder: −0.2 + 0.4 − 0.05 − 1 = −0.85,
    # target 0.1 − 0.5 · 0.85.
    np.testing.assert_allclose(policy.step(state, command).position, [[-0.325, 0.45]], atol=1e-6)


def test_what_was_assumed_is_said(tmp_path, arm):
    assumptions = read(tmp_path).manifest.origin.assumptions
    assert [text.partition(':')[0] for text in assumptions] == [
        'the default pose is not in the file', 'the control rate is not in the file',
        'the commands that it was trained for are not in the file']
    full = changed(default_position=[0.0, 0.1], control_rate=100, command_lower=[-1, 0, -1], command_upper=[1, 0, 1])
    manifest = read(tmp_path, full).manifest
    assert manifest.origin.assumptions == [] and manifest.control_period == 0.01
    assert manifest.command_lower == (-1.0, 0.0, -1.0) and manifest.default_position == [0.1, 0.0]


def test_a_pose_of_some_joints_says_which_are_missing(tmp_path, arm):
    manifest = read(tmp_path, changed(default_position={'elbow': 0.7})).manifest
    assert manifest.default_position == [0.1, 0.7]  # the shoulder's is the robot's
    assert manifest.origin.assumptions[0].endswith("taken from the robot's description for shoulder")


@pytest.mark.parametrize(('given', 'shoulder', 'elbow'), [
    (40, 40.0, 40.0), ([30, 20], 20.0, 30.0), ({'elbow': 30, 'shoulder': 20}, 20.0, 30.0),
    ({'.*': 20}, 20.0, 20.0), ({'shou.*': 20, 'e[a-o]+w': 30}, 20.0, 30.0),
    ({'.*': 20, 'elbow': 30}, 20.0, 30.0), ({'elbow': 30, '.*': 20}, 20.0, 30.0),  # a name counts for more
])
def test_values_by_joint(tmp_path, arm, given, shoulder, elbow):
    said = changed(stiffness=given, action={'scale': given})
    manifest = read(tmp_path, said).manifest
    assert manifest.stiffness == [shoulder, elbow]
    scale = manifest.interface.action.scale
    assert (scale if isinstance(scale, list) else [scale] * 2) == [elbow, shoulder]  # in the action's order


def test_clip_offset_and_limits_of_the_target(tmp_path, arm):
    said = changed(action={'scale': 0.5, 'clip': 2, 'offset': {'shoulder': -0.4, 'elbow': 0.3},
                           'target_limits': [[-0.5, -1.2], [0.9, 1.2]]})
    policy, state = PolicyRunner(read(tmp_path, said), arm), make_state(arm)
    policy.reset(state)
    # Elbow: an action of 10 + 0.3 is clipped to 2, 0.3 + 1 to 0.9. Shoulder: −0.2 + 0.4 − 1 = −0.8, −0.4 − 0.4.
    np.testing.assert_allclose(policy.step(state, np.array([[10.0, 0.0, 0.0]])).position, [[-0.8, 0.9]], atol=1e-6)


def test_bounds_may_be_infinite(tmp_path, arm):
    entry = {'term': 'command', 'clip': [float('-inf'), 0.25]}
    said = changed(observations=['joint_position', 'base_angular_velocity', entry],
                   action={'scale': 0.5, 'target_limits': [[float('-inf'), 0.0], [float('inf'), 0.0]]})
    policy, state = PolicyRunner(read(tmp_path, said), arm), make_state(arm)
    policy.reset(state)
    seen = policy.interface.observe(state, np.array([[-900.0, 0.0, 900.0]]))[0]
    np.testing.assert_allclose(seen[5:], [-900.0, 0.0, 0.25])
    np.testing.assert_allclose(policy.interface.act(state, np.array([[1e6, 1e6]])), [[0.0, 5e5 + 0.2]])


def test_entries_scale_look_back_and_observe_other_joints(tmp_path, arm):
    said = changed(observations=[{'term': 'joint_position', 'scale': [10, 100], 'ages': [1, 0]},
                                 {'term': 'joint_velocity', 'params': {'joints': ['shoulder']}},
                                 {'term': 'base_angular_velocity', 'clip': [-0.1, 0.15], 'scale': 2}],
                   history={'fill': 'zero'})
    policy = PolicyRunner(read(tmp_path, said), arm)
    first, second = make_state(arm), make_state(arm, joint_position=np.array([[0.2, 0.3]]),
                                                joint_velocity=np.array([[3.0, 4.0]]))
    policy.reset(first)
    # Elbow −0.3 · 10, shoulder 0.2 · 100; before it nothing. Clipped to −0.1 … 0.15, then doubled.
    np.testing.assert_allclose(policy.interface.observe(first, np.zeros((1, 3)))[0],
                               [0.0, 0.0, -3.0, 20.0, 0.0, 0.2, 0.3, -0.2])
    np.testing.assert_allclose(policy.interface.observe(second, np.zeros((1, 3)))[0],
                               [-3.0, 20.0, 1.0, 10.0, 3.0, 0.2, 0.3, -0.2])


def test_metadata_of_the_mjlab_family_fill_in(tmp_path, arm):
    metadata = {'joint_names': ['shoulder', 'elbow'], 'joint_stiffness': [20.0, 30.0], 'joint_damping': [2.0, 1.0],
                'default_joint_pos': [0.05, 0.15], 'action_scale': [0.0745, 0.25]}
    text = 'observations: [joint_position, base_angular_velocity, command]'
    manifest = read(tmp_path, text, metadata=metadata).manifest
    assert manifest.origin.dialect == 'plain_yaml' and manifest.stiffness == [20.0, 30.0]
    assert manifest.interface.action.scale == [0.074, 0.25]  # three decimals: 0.0745 as Python rounds it
    assert manifest.default_position == [0.05, 0.15]
    assert manifest.origin.assumptions[0] == 'gains, pose and scales have three decimals, as the format writes them'
    manifest = read(tmp_path, f'{text}\nstiffness: 21', metadata=metadata).manifest
    assert manifest.stiffness == [21.0, 21.0]  # what the YAML says comes first


def test_a_yaml_by_hand_wins_over_what_an_exporter_left(tmp_path, arm):
    path = write(tmp_path, SHORT)
    (tmp_path / 'deploy.yaml').write_text('joint_ids_map: [0, 1]')
    (tmp_path / 'IO_descriptors.yaml').write_text('actions: []\narticulations: {}')
    assert read_policy(path, robot=str(tmp_path / 'robot' / 'arm.yaml')).manifest.origin.dialect == 'plain_yaml'


# Recurrent networks, as exporters of PyTorch write them: (layers, batch, units), zero at the start


def port(name, *shape):
    return helper.make_tensor_value_info(name, FLOAT, list(shape))


def recurrent(kind, weights):
    """obs → LSTM or GRU of two units → actions: the units themselves; states ``h_in``, ``c_in``."""
    cell = kind == 'LSTM'
    more, following = (['c_in'], ['c_out']) if cell else ([], [])
    nodes = [helper.make_node('Unsqueeze', ['obs', 'axis'], ['sequence']),
             helper.make_node(kind, ['sequence', 'w', 'r', 'b', '', 'h_in', *more], ['', 'h_out', *following],
                              hidden_size=2, **({} if cell else {'linear_before_reset': 1})),
             helper.make_node('Squeeze', ['h_out', 'axis'], ['actions'])]
    states = [port(name, 1, 1, 2) for name in ('h_in', *more)]
    graph = helper.make_graph(
        nodes, 'policy', [port('obs', 1, 8), *states],
        [port('actions', 1, 2), *(port(name, 1, 1, 2) for name in ('h_out', *following))],
        [numpy_helper.from_array(np.array([0], dtype=np.int64), 'axis'),
         *(numpy_helper.from_array(value[None].astype(np.float32), name) for name, value in weights.items())])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm(weights, x, h, c):
    """ONNX's order of the gates: input, output, forget, cell."""
    i, o, f, g = np.split(weights['w'] @ x + weights['r'] @ h + weights['b'][:8] + weights['b'][8:], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(weights, x, h, c):
    """ONNX's order of the gates: update, reset, hidden; the reset gate acts on the product, as in PyTorch."""
    z, r, n = np.split(weights['w'] @ x + weights['b'][:6], 3)
    hz, hr, hn = np.split(weights['r'] @ h + weights['b'][6:], 3)
    z = sigmoid(z + hz)
    return (1 - z) * np.tanh(n + sigmoid(r + hr) * hn) + z * h, c


@pytest.mark.parametrize(('kind', 'formula', 'gates'), [('LSTM', lstm, 4), ('GRU', gru, 3)])
def test_a_recurrent_network_remembers_until_it_is_reset(tmp_path, arm, kind, formula, gates):
    random = np.random.default_rng(5)
    weights = {'w': random.normal(size=(2 * gates, 8)), 'r': random.normal(size=(2 * gates, 2)),
               'b': random.normal(size=4 * gates)}
    states = {'h_in': 'h_out', 'c_in': 'c_out'} if kind == 'LSTM' else {'h_in': 'h_out'}
    said = changed(network={'states': states})  # the input and the output that are left are the usual ones
    policy, state = PolicyRunner(read(tmp_path, said, recurrent(kind, weights)), arm), make_state(arm)
    for _ in range(2):
        policy.reset(state)
        h, c = np.zeros(2), np.zeros(2)
        for command in ([0.5, 0.0, -0.2], [0.1, 0.2, 0.3], [0.0, 0.0, 0.0]):
            x = np.array([-0.3, 0.2, 0.1, 0.2, -0.4, *command])
            h, c = formula(weights, x, h, c)
            policy.rehearse(state, np.ones((1, 3)))  # which must not count
            # The action is the two units: elbow, shoulder.
            target = policy.step(state, np.array([command])).position[0]
            np.testing.assert_allclose(target, [0.1 + 0.5 * h[1], 0.2 + 0.5 * h[0]], atol=1e-5)


def test_a_state_that_nobody_named_is_none_to_guess(tmp_path, arm):
    weights = {'w': np.zeros((8, 8)), 'r': np.zeros((8, 2)), 'b': np.zeros(16)}
    with pytest.raises(PolicyError, match="inputs obs, h_in, c_in .* 'network.observation' must say which"):
        read(tmp_path, changed(network={'states': {'h_in': 'h_out'}}), recurrent('LSTM', weights))
    with pytest.raises(PolicyError, match=r"has the inputs \['c_in', 'h_in', 'obs'\], expected \['h_in', 'obs'\]"):
        read(tmp_path, changed(network={'observation': 'obs', 'action': 'actions', 'states': {'h_in': 'h_out'}}),
             recurrent('LSTM', weights))


def test_robots_of_a_recurrent_network_remember_apart(tmp_path, arm):
    random = np.random.default_rng(6)
    weights = {'w': random.normal(size=(6, 8)), 'r': random.normal(size=(6, 2)), 'b': random.normal(size=12)}
    said = changed(network={'observation': 'obs', 'action': 'actions', 'states': {'h_in': 'h_out'}})
    checked = read(tmp_path, said, recurrent('GRU', weights))
    both, single = PolicyRunner(checked, arm, 2), PolicyRunner(checked, arm)
    states, state, command = make_state(arm, 2), make_state(arm), np.array([[0.3, 0.0, 0.1]])
    both.reset(states)
    both.step(states, np.tile(command, (2, 1)))
    both.reset(states, np.array([1]))
    targets = both.step(states, np.tile(command, (2, 1))).position
    single.reset(state)
    first = single.step(state, command).position[0]
    second = single.step(state, command).position[0]
    np.testing.assert_allclose(targets, [second, first], atol=1e-6)
    assert np.abs(first - second).max() > 1e-3


# A motion: three instants, looked up by a time step without axes


def tracker():
    model = linear_model(input_shape=[1, 8], output_shape=[1, 2])
    graph = model.graph
    graph.input.append(port('time'))
    values = {'q': [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], 'v': [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
              'turns': np.tile([[1.0, 0.0, 0.0, 0.0]], (3, 2, 1))}  # of two bodies, w first
    graph.initializer.extend([numpy_helper.from_array(np.array([-1], dtype=np.int64), 'row'),
                              numpy_helper.from_array(np.array(0.0, dtype=np.float32), 'first'),
                              numpy_helper.from_array(np.array(2.0, dtype=np.float32), 'last')])
    graph.node.extend([helper.make_node('Reshape', ['time', 'row'], ['flat']),
                       helper.make_node('Clip', ['flat', 'first', 'last'], ['clamped']),
                       helper.make_node('Cast', ['clamped'], ['index'], to=TensorProto.INT64)])
    for name, value in values.items():
        value = np.asarray(value, dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(value, f'{name}_values'))
        graph.node.append(helper.make_node('Gather', [f'{name}_values', 'index'], [name], axis=0))
        graph.output.append(port(name, 1, *value.shape[1:]))
    return model


def test_a_motion_is_followed_to_its_end(tmp_path, arm):
    said = changed(observations=['motion_joints', 'joint_position', 'joint_velocity'], anchor_link='upper', network={
        'observation': 'observation', 'action': 'action', 'time_step': 'time', 'anchor': 1, 'quaternions': 'wxyz',
        'reference': {'joint_position': 'q', 'joint_velocity': 'v', 'anchor_quaternion': 'turns'}})
    checked = read(tmp_path, said, tracker())
    assert checked.manifest.interface.motion.length == 3 and checked.manifest.interface.command.kind == 'none'
    policy, state = PolicyRunner(checked, arm), make_state(arm)
    policy.reset(state)
    np.testing.assert_allclose(policy.start_pose, [0.2, 0.1], atol=1e-6)  # its joints are elbow, shoulder
    for seen in ([0.1, 0.2, 1, 2], [0.3, 0.4, 3, 4], [0.5, 0.6, 5, 6], [0.5, 0.6, 5, 6]):
        policy.step(state, np.zeros((1, 3)))
        np.testing.assert_allclose(policy.observation[0], [*seen, -0.3, 0.2, 0.0, 0.0], atol=1e-6)
    assert policy.finished.all()


# Refused; more of them in test_refused_files.py


@pytest.mark.parametrize(('said', 'reason'), [
    (changed(default_position={'elbo': 0.1}),
     "walk.yaml: 'default_position' names 'elbo', which is none of the joints"),
    (changed(stiffness={'s.*': 20}), "walk.yaml: 'stiffness' says nothing of joint 'elbow'"),
    (changed(action={'scale': {'elbow': 0.1}}), "'action.scale' says nothing of joint 'shoulder'"),
    (changed(action={'scale': 0.1, 'clip': -1}), "'action.clip' is -1; it must be positive"),
    (changed(damping={'.*.*.*': 1}), 'may take too long to match'),
    (changed(damping={'(a{9}){9}|.*': 1}), 'may take too long to match'),
    (changed(damping={f'{"x" * 101}': 1}), 'may take too long to match'),
    (changed(joints=[f'joint{i}' for i in range(501)]), "'joints' names 501 joints, at most 500 are read"),
    (changed(observations=[{'term': 'joint_position', 'nam': 'x'}]),
     "unknown key 'observations.0.nam'; did you mean 'name'"),
])
def test_refused_with_the_reason(tmp_path, arm, said, reason):
    with pytest.raises(PolicyError, match=reason):
        read(tmp_path, said)


def test_weights_are_those_of_the_conftest():
    """The expectations above are derived from them."""
    assert WEIGHTS.tolist() == [[1, 0, 0, 0, 0.5, 1, 0, 0], [0, -1, 0, 2, 0, 0, 0, 0.25]] and BIAS.tolist() == [0.5, -1]

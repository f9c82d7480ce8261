"""Policy files of other projects, written as their exporters do."""

from __future__ import annotations

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rl_robot_control.policies.gate import read_policy
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.robots import load_robot
from rl_robot_control.types import RobotState

G1 = load_robot('unitree_g1')
NAMES = list(G1.joint_names)


def network(width, actions, *, inputs=('obs',), outputs=('actions',), bias=None, batch=1, opset=11):
    """actions = bias + 0.001 · the sum of the observation, so that what came in can be told from what comes out."""
    bias = np.zeros(actions) if bias is None else np.asarray(bias)
    weights = numpy_helper.from_array(np.full((width, actions), 1e-3, dtype=np.float32), 'weights')
    start = numpy_helper.from_array(bias.astype(np.float32), 'bias')
    nodes = [helper.make_node('Gemm', [inputs[0], 'weights', 'bias'], [outputs[0]])]
    ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])]
             for name, size in ((inputs[0], width), (outputs[0], actions))]
    graph = helper.make_graph(nodes, 'policy', *ports, initializer=[weights, start])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', opset)], ir_version=8)


def tracker(width, motion, *, bodies=None, action='actions'):
    """Like ``network``, and a motion: output name → (T, ...) values, looked up by a time step that is clamped."""
    model = network(width, len(NAMES), outputs=(action,))
    graph, last = model.graph, len(next(iter(motion.values()))) - 1
    graph.input.append(helper.make_tensor_value_info('time_step', TensorProto.FLOAT, [1, 1]))
    graph.initializer.extend([numpy_helper.from_array(np.array([1], dtype=np.int64), 'axis_shape'),
                              numpy_helper.from_array(np.array(last, dtype=np.float32), 'last'),
                              numpy_helper.from_array(np.array(0, dtype=np.float32), 'none')])
    graph.node.extend([helper.make_node('Reshape', ['time_step', 'axis_shape'], ['flat']),
                       helper.make_node('Clip', ['flat', 'none', 'last'], ['clamped']),
                       helper.make_node('Cast', ['clamped'], ['index'], to=TensorProto.INT64)])
    for name, values in motion.items():
        values = np.asarray(values, dtype=np.float32)
        graph.initializer.append(numpy_helper.from_array(values, f'{name}_values'))
        graph.node.append(helper.make_node('Gather', [f'{name}_values', 'index'], [name], axis=0))
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *values.shape[1:]]))
    return model


def csv(values):
    """A list as mjlab and whole_body_tracking write it: numbers with three decimals, the rest as it is."""
    return ','.join(f'{v:.3f}' if isinstance(v, (int, float)) else str(v) for v in values)


def save(path, model, metadata=None):
    """Write a model with its metadata, lists as CSV."""
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=csv(value) if isinstance(value, list) else str(value))
    onnx.save(model, str(path))
    return path


def save_json(path, model, metadata):
    """Write a model whose metadata are JSON, as holosoma does."""
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=json.dumps(value))
    onnx.save(model, str(path))
    return path


def standing(**changes):
    """The G1 in its default pose, upright, turning and moving a little."""
    unknown = RobotState.unknown(1, G1.num_joints, len(G1.frame_names))
    values = dict(vars(unknown)) | {
        'time': np.array([1.0]), 'joint_position': G1.default_position[None].copy(),
        'joint_velocity': np.zeros((1, 29)), 'base_quaternion': np.array([[0.0, 0.0, 0.0, 1.0]]),
        'base_angular_velocity': np.array([[0.1, 0.2, 0.3]])}
    return RobotState(**(values | changes))


def runner(path, robot=None, **options):
    """Read a file and build its runner."""
    return PolicyRunner(read_policy(path, robot=robot, **options), load_robot(robot or 'unitree_g1'))

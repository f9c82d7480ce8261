"""A two-joint robot, a small policy for it, and ways to spoil the policy's file."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rl_robot_control.policies.gate import graph_sha256
from rl_robot_control.policies.golden import GoldenVectors, record_state
from rl_robot_control.policies.manifest import FORMAT_VERSION, MANIFEST_KEY, Manifest, manifest_to_json
from rl_robot_control.robots import load_robot
from rl_robot_control.tasks.interface import (
    ActionSettings,
    CommandSettings,
    InterfaceSettings,
    ObservationSettings,
    PolicyInterface,
)
from rl_robot_control.types import RobotState

URDF = """
<robot name="arm">
  <link name="base"/><link name="upper"/><link name="lower"/>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/><axis xyz="0 0 1"/>
    <limit lower="-1.5" upper="1.5" velocity="2" effort="10"/></joint>
  <joint name="elbow" type="continuous"><parent link="upper"/><child link="lower"/><axis xyz="0 0 1"/>
    <limit velocity="3" effort="5"/></joint>
</robot>
"""
ROBOT = """
name: {name}
urdf: {urdf}
base: {{kind: floating, link: base, height: 0.5}}
joints:
  shoulder: {{stiffness: {stiffness}, damping: 2, default_position: 0.1, acceleration_limit: 10}}
  elbow: {{stiffness: 30, damping: 1, default_position: 0.2, acceleration_limit: 10}}
frames:
  tip: {{link: lower}}
{extra}
"""
# (2, 8) weights on the observation [position (2) · 2, angular velocity (3), command (3)] and a bias
WEIGHTS = np.array([[1, 0, 0, 0, 0.5, 1, 0, 0], [0, -1, 0, 2, 0, 0, 0, 0.25]], dtype=np.float32)
BIAS = np.array([0.5, -1.0], dtype=np.float32)


def make_robot(folder, name='arm', stiffness=20, extra='', urdf=URDF):
    """Write and load the two-joint robot."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'arm.urdf').write_text(urdf)
    text = ROBOT.format(name=name, urdf=folder / 'arm.urdf', stiffness=stiffness, extra=extra)
    (folder / 'arm.yaml').write_text(text)
    return load_robot(str(folder / 'arm.yaml'))


def make_interface(**changes):
    """Observations of 8 values, actions for shoulder and elbow."""
    values = dict(control_period=0.02, action=ActionSettings(joints=['shoulder', 'elbow'], scale=0.25, clip=2.0),
                  command=CommandSettings(),
                  observations=[ObservationSettings(term='joint_position', scale=2.0),
                                ObservationSettings(term='base_angular_velocity', clip=(-3, 3)),
                                ObservationSettings(term='command')])
    return InterfaceSettings(**(values | changes))


def make_state(robot, num_robots=1, **changes):
    """A state in which joints, IMU and base orientation are measured and the rest is unknown."""
    n, state = num_robots, RobotState.unknown(num_robots, robot.num_joints, len(robot.frame_names))
    values = {name: getattr(state, name) for name in state.__dataclass_fields__}
    values |= dict(time=np.arange(n) + 7.0, joint_position=np.tile([0.3, -0.1], (n, 1)),
                   joint_velocity=np.zeros((n, 2)), base_quaternion=np.tile([0.0, 0.0, 0.0, 1.0], (n, 1)),
                   base_angular_velocity=np.tile([0.1, 0.2, -0.4], (n, 1)))
    return RobotState(**(values | changes))


def linear_model(weights=WEIGHTS, bias=BIAS, nodes=None, initializers=(), opset=20, domain='', **ports):
    """An ONNX model action = weights · observation + bias, or one with other nodes."""
    nodes = nodes or [helper.make_node('Gemm', ['observation', 'weights', 'bias'], ['action'], transB=1)]
    tensors = [numpy_helper.from_array(weights, 'weights'), numpy_helper.from_array(bias, 'bias'), *initializers]
    observation = helper.make_tensor_value_info('observation', ports.get('input_type', TensorProto.FLOAT),
                                                ports.get('input_shape', ['batch', 8]))
    action = helper.make_tensor_value_info('action', TensorProto.FLOAT, ports.get('output_shape', ['batch', 2]))
    graph = helper.make_graph(nodes, 'policy', [observation], [action], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=9)


def make_manifest(robot, model, interface=None, **changes):
    """The manifest of a linear model; golden actions are computed with NumPy."""
    interface = interface or make_interface()
    policy = PolicyInterface(interface, robot, 1)
    policy.action = np.array([[0.1, 0.2]])
    golden = record_state(policy, make_state(robot), np.array([[0.5, 0.0, -0.2]]))
    observation = np.array(golden.observation, dtype=np.float32)
    values = dict(
        format_version=FORMAT_VERSION, robot=robot.name, task='hold', algorithm='ppo',
        created='2025-01-02T03:04:05+00:00', interface=interface,
        joint_names=['shoulder', 'elbow'], action_joint_names=['shoulder', 'elbow'],
        default_position=[0.1, 0.2], stiffness=[20.0, 30.0], damping=[2.0, 1.0], effort_limit=[10.0, 5.0],
        position_lower=[-1.5, None], position_upper=[1.5, None], observation_sizes=policy.observation_sizes,
        command_lower=(-1.0, -0.5, -0.3), command_upper=(1.0, 0.5, 0.3), training={'seed': 1, 'steps': 1000},
        weights_sha256=graph_sha256(model),
        golden=GoldenVectors(observations=[observation.tolist()], actions=[(WEIGHTS @ observation + BIAS).tolist()],
                             frame_names=['tip'], states=[golden]))
    return Manifest(**(values | changes))


def write_policy(path, model, manifest):
    """Write model and manifest; the manifest may be an object, a dictionary or text."""
    if isinstance(manifest, Manifest):
        manifest = manifest_to_json(manifest)
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.metadata_props.add(key=MANIFEST_KEY, value=text)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def robot(tmp_path):
    return make_robot(tmp_path / 'robot')


@pytest.fixture
def policy_path(tmp_path, robot):
    """A valid policy file for the two-joint robot."""
    model = linear_model()
    return write_policy(tmp_path / 'policy.onnx', model, make_manifest(robot, model))

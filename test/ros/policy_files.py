"""Small policy files for tests, made by the real exporter."""

from __future__ import annotations

import atexit
import dataclasses
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from rl_robot_control.learning.export import export_policy
from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import graph_sha256, read_policy
from rl_robot_control.policies.manifest import MANIFEST_KEY, manifest_to_json
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.tasks.interface import (
    ActionSettings,
    CommandSettings,
    InterfaceSettings,
    ObservationSettings,
    PolicyInterface,
)
from rl_robot_control.types import RobotState

LEGS = ['.*_hip_.*_joint', '.*_knee_joint', '.*_ankle_.*_joint']


class Zeros(torch.nn.Module):
    """A linear network without weight: every action is the same, zero as a rule: the targets are the default pose."""

    def __init__(self, observations: int, actions: int, action: float = 0.0) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(observations, actions)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.constant_(self.layer.bias, action)

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Zeros."""
        return self.layer(observation)


def standing_states(robot: RobotModel) -> RobotState:
    """Two robots in the default pose, upright; everything is known."""
    unknown = RobotState.unknown(2, robot.num_joints, len(robot.frame_names))
    zeros = {field.name: np.zeros_like(getattr(unknown, field.name)) for field in dataclasses.fields(unknown)}
    return RobotState(**{**zeros, 'base_quaternion': np.tile([0.0, 0.0, 0.0, 1.0], (2, 1)),
                         'joint_position': np.tile(robot.default_position, (2, 1))})


def standing_interface() -> InterfaceSettings:
    """50 Hz, twelve leg joints, no gait, no odometry."""
    terms = ['base_angular_velocity', 'projected_gravity', 'command', 'joint_position', 'joint_velocity']
    return InterfaceSettings(control_period=0.02, action=ActionSettings(joints=LEGS), command=CommandSettings(),
                             observations=[ObservationSettings(term=term) for term in terms])


class Fragile(Zeros):
    """Answers NaN to a forward velocity of more than 0.79 m/s, where the joints are near the default pose.

    The observation: angular velocity and gravity, 3 each, the command, 3, and 12 joint positions.
    """

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Zeros or NaN."""
        fast, near = observation[:, 6:7] > 0.79, observation[:, 9:21].square().sum(dim=1, keepdim=True) < 1.0
        return self.layer(observation) + 0.0 * torch.log(1.0 - 2.0 * (fast & near).float())


def write_standing_policy(path: Path, robot: RobotModel | None = None, kind: type = Zeros, action: float = 0.0) -> Path:
    """A policy that holds one pose whatever it sees; the default pose, or with every leg joint beside it."""
    robot, interface = robot or load_robot('unitree_g1'), standing_interface()
    sizes = PolicyInterface(interface, robot, 1)
    export_policy(kind(sizes.num_observations, sizes.num_actions, action), interface, robot, path, task='stand',
                  algorithm='none', training={'seed': 0}, command_lower=(-0.5, 0.0, -0.5),
                  command_upper=(0.8, 0.0, 0.5), sample_states=standing_states(robot))
    return path


@functools.cache
def standing_policy() -> Path:
    """The standing policy for the G1, exported once per test run."""
    folder = Path(tempfile.mkdtemp(prefix='rl_robot_control_test_'))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write_standing_policy(folder / 'stand.onnx')


def write_walking_policy_that_fails(path: Path, above: float) -> Path:
    """The bundled walk, which answers NaN to a forward velocity above a bound [m/s]: action + 0 · log(bound − vx)."""
    source = find_policy('unitree_g1_walk')
    manifest, model = read_policy(source).manifest, onnx.load(str(source))
    graph, column = model.graph, 6  # of vx, after angular velocity and gravity, 3 each
    action = graph.output[0].name
    for node in graph.node:
        node.output[:] = ['sound' if name == action else name for name in node.output]
    for name, value in {'begin': [column], 'end': [column + 1], 'axis': [1]}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    for name, value in {'bound': above, 'zero': 0.0}.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
    graph.node.extend([
        helper.make_node('Slice', [graph.input[0].name, 'begin', 'end', 'axis'], ['vx']),
        helper.make_node('Sub', ['bound', 'vx'], ['room']), helper.make_node('Log', ['room'], ['log']),
        helper.make_node('Mul', ['log', 'zero'], ['poison']), helper.make_node('Add', ['sound', 'poison'], [action])])
    golden = manifest.golden
    pairs = [pair for pair in zip(golden.observations, golden.actions) if pair[0][column] < above]
    golden = dataclasses.replace(golden, observations=[pair[0] for pair in pairs], actions=[pair[1] for pair in pairs])
    entry = next(entry for entry in model.metadata_props if entry.key == MANIFEST_KEY)
    entry.value = manifest_to_json(dataclasses.replace(manifest, weights_sha256=graph_sha256(model), golden=golden))
    onnx.save(model, str(path))
    return path

"""Turns a trained network into a policy file: ONNX with the manifest, checked before it gets its name."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from pydantic import ValidationError
from torch import nn

from rl_robot_control.errors import PolicyError
from rl_robot_control.files import replacing
from rl_robot_control.learning.networks import Actor, state_sizes
from rl_robot_control.policies.gate import INPUT, OUTPUT, graph_sha256, read_policy
from rl_robot_control.policies.golden import GoldenState, GoldenVectors, record_state
from rl_robot_control.policies.manifest import (
    FORMAT_VERSION,
    MANIFEST_KEY,
    Manifest,
    NetworkSettings,
    manifest_to_json,
    nullable,
)
from rl_robot_control.policies.runner import PolicyRunner
from rl_robot_control.policies.session import PolicySession
from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.interface import InterfaceSettings, PolicyInterface
from rl_robot_control.types import RobotState

OPSET = 20  # of the ONNX operators
GOLDEN_STATES = 8
AGREEMENT = 1e-5  # between torch and ONNX Runtime, relative above 1
RANDOM_OBSERVATIONS = 256


def export_policy(network: nn.Module, interface: InterfaceSettings, robot: RobotModel, path: Path | str, *, task: str,
                  algorithm: str, training: dict[str, Any], command_lower: Sequence[float],
                  command_upper: Sequence[float], sample_states: RobotState) -> Manifest:
    """Write a policy file and prove it: it passes the gate and the runner, and torch and ONNX Runtime agree.

    Args:
        network: Maps observations (N, D) float32 to actions (N, A) float32; neither moved nor changed.
        interface: The settings that it was trained with.
        robot: The robot that it was trained on.
        path: File to write; replaced only once the new one is proven.
        task: The task's name.
        algorithm: The algorithm's name.
        training: Plain data about the run (seed, steps, return, ...).
        command_lower: Smallest command trained for, (3,).
        command_upper: Largest command trained for, (3,).
        sample_states: States that the policy met, of one or more robots; up to eight become golden vectors.

    Returns:
        The manifest in the file.

    Raises:
        PolicyError: The network does not fit the interface, cannot be exported, or the runtimes disagree.
    """
    path = Path(path)
    network = copy.deepcopy(network).cpu().float().eval()
    plain = _plain_interface(interface, robot)
    limits = tuple(map(float, command_lower)), tuple(map(float, command_upper))
    states = _golden_states(plain, robot, sample_states, limits)
    observations = np.array([state.observation for state in states], dtype=np.float32)
    actions = _torch_actions(network, observations)
    if not np.isfinite(actions).all():
        raise PolicyError('the network answers sample states with values that are not finite: the training diverged.')
    model = _to_onnx(network, observations.shape[1])
    try:
        manifest = _manifest(plain, robot, model, states, observations, actions, limits, task=task,
                             algorithm=algorithm, training=training, memory=_states(network))
    except ValidationError as error:
        raise PolicyError(f'the policy cannot be described: {error}') from None
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest_to_json(manifest))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        _prove(temporary, network, robot, observations)
    return manifest


def _plain_interface(interface: InterfaceSettings, robot: RobotModel) -> InterfaceSettings:
    """The same settings with names in place of patterns, so that the file does not depend on what a pattern matches."""
    joints = [re.escape(robot.joint_names[i]) for i in robot.joint_indices(interface.action.joints)]
    resolve = {'joints': lambda patterns: [robot.joint_names[i] for i in robot.joint_indices(patterns)],
               'frames': lambda patterns: [robot.frame_names[i] for i in robot.frame_indices(patterns)]}
    observations = []
    for entry in interface.observations:
        params = {key: [re.escape(name) for name in resolve[key](value)] if key in resolve and value is not None
                  else value for key, value in entry.params.items()}
        observations.append(dataclasses.replace(entry, params=params))
    return dataclasses.replace(interface, action=dataclasses.replace(interface.action, joints=joints),
                               observations=observations)


def _golden_states(settings: InterfaceSettings, robot: RobotModel, states: RobotState,
                   limits: tuple[Sequence[float], Sequence[float]]) -> list[GoldenState]:
    """Sample states, each under a random command and with a random memory, so that every term shows itself."""
    random = np.random.default_rng(0)
    recorded = []
    for i in range(min(states.num_robots, GOLDEN_STATES)):
        interface = PolicyInterface(settings, robot, 1)
        state = states.select([i])
        interface.reset(state, phase=random.random())
        interface.heading = np.nan_to_num(interface.heading) + random.uniform(-0.2, 0.2)
        interface.action, interface.previous_action = random.uniform(-1, 1, (2, *interface.action.shape))
        interface.command = random.uniform(*limits)[None]
        golden = record_state(interface, state, random.uniform(*limits)[None])
        _check_measured(golden, interface, i)
        recorded.append(golden)
    if not recorded:
        raise PolicyError('a policy needs at least one sample state for its golden vectors, got none.')
    return recorded


def _check_measured(golden: GoldenState, interface: PolicyInterface, index: int) -> None:
    start = 0
    for term, size in interface.observation_sizes.items():
        if not np.isfinite(golden.observation[start:start + size]).all():
            raise PolicyError(f"sample state {index}: observation term '{term}' is not finite; give states in which "
                              'everything that the policy observes is measured.')
        start += size


def _torch_actions(network: nn.Module, observations: np.ndarray) -> np.ndarray:
    """Actions (N, A) with no past."""
    try:
        return Actor(network, len(observations))(observations)
    except Exception as error:  # a module of the caller's may fail in any way
        width = observations.shape[1]
        raise PolicyError(f'the network does not take observations of {width} values: {error}') from error


def _states(network: nn.Module) -> dict[str, str]:
    """Inputs of a recurrent network's states, and the outputs that become them."""
    return {f'state_{i}': f'next_state_{i}' for i in range(len(state_sizes(network)))}


def _to_onnx(network: nn.Module, num_observations: int) -> onnx.ModelProto:
    """The network with a symbolic batch axis and without the exporter's notes about source files."""
    robots = 2  # an axis of length 1 would be taken for fixed
    sample = tuple(torch.zeros(robots, size) for size in (num_observations, *state_sizes(network)))
    batch, states = torch.export.Dim('batch'), _states(network)
    try:
        with _quiet():
            program = torch.onnx.export(network, sample, dynamo=True, input_names=[INPUT, *states],
                                        output_names=[OUTPUT, *states.values()], opset_version=OPSET, verbose=False,
                                        dynamic_shapes=tuple({0: batch} for _ in sample))
    except Exception as error:  # the exporter's own exceptions wrap whatever failed
        raise PolicyError(f'the network cannot be exported to ONNX: {error}') from error
    model = program.model_proto
    _strip(model)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Remove stack traces and notes; they hold the paths of the machine that exported."""
    graph = model.graph
    for item in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del item.metadata_props[:]
        item.ClearField('doc_string')
    used = {'', *(node.domain for node in graph.node)}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _manifest(interface: InterfaceSettings, robot: RobotModel, model: onnx.ModelProto, states: list[GoldenState],
              observations: np.ndarray, actions: np.ndarray, limits: tuple[Any, Any], *, task: str, algorithm: str,
              training: dict[str, Any], memory: dict[str, str]) -> Manifest:
    policy = PolicyInterface(interface, robot, 1)
    return Manifest(
        format_version=FORMAT_VERSION, robot=robot.name, task=task, algorithm=algorithm,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'), interface=interface,
        network=NetworkSettings(states=memory),
        joint_names=list(robot.joint_names), action_joint_names=[robot.joint_names[i] for i in policy.joints],
        default_position=robot.default_position.tolist(), stiffness=robot.stiffness.tolist(),
        damping=robot.damping.tolist(), effort_limit=robot.effort_limit.tolist(),
        position_lower=nullable(robot.position_lower), position_upper=nullable(robot.position_upper),
        observation_sizes=policy.observation_sizes, command_lower=limits[0], command_upper=limits[1],
        training=_plain(training), weights_sha256=graph_sha256(model),
        golden=GoldenVectors(observations=observations.tolist(), actions=actions.tolist(),
                             frame_names=list(robot.frame_names), states=states))


def _prove(path: Path, network: nn.Module, robot: RobotModel, observations: np.ndarray) -> None:
    checked = read_policy(path)
    PolicyRunner(checked, robot)
    center, spread = observations.mean(axis=0), observations.std(axis=0) + 1.0
    random = np.random.default_rng(1).normal(center, spread, (RANDOM_OBSERVATIONS, len(center))).astype(np.float32)
    expected = _torch_actions(network, random)
    found = PolicySession(checked, RANDOM_OBSERVATIONS)(random)
    error = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    if not error.max() <= AGREEMENT:
        raise PolicyError(f'torch and ONNX Runtime differ by {error.max():.3g} on random observations, at most '
                          f'{AGREEMENT} is allowed. The exporter mistranslates an operator of this network.')


def _plain(value: Any) -> Any:
    """The value as JSON knows it; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter: it warns about its own internals and about packages that no policy needs."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)

"""The manifest: everything that a policy needs beside its network, as JSON inside the ONNX file."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rl_robot_control.config import parse_settings, settings
from rl_robot_control.errors import ConfigurationError, PolicyError
from rl_robot_control.policies.golden import GoldenVectors, shape_fault
from rl_robot_control.tasks.interface import InterfaceSettings
from rl_robot_control.types import FloatArray

MANIFEST_KEY = 'rl_robot_control.manifest'  # in the ONNX file's metadata_props
FORMAT_VERSION = 2  # 2 knows other networks, histories, motions and where a file comes from; 1 is read, too
MAX_MESSAGE = 2000  # characters; a hostile manifest may hold megabytes that a message would repeat

Vector3 = tuple[float, float, float]
Quantity = Literal['joint_position', 'joint_velocity', 'anchor_position', 'anchor_quaternion']  # of a reference
REFERENCE_NEEDS = ('joint_position', 'joint_velocity', 'anchor_quaternion')  # what a reference must say


@settings
class NetworkSettings:
    """Names of the graph's inputs and outputs."""

    observation: str = 'observation'  # input (batch, D)
    action: str = 'action'  # output (batch, A)
    time_step: str | None = None  # input (batch, 1): control periods since the motion began; null: none
    states: dict[str, str] = Field(default_factory=dict)  # input → the output that is its next value; zero at first
    reference: dict[Quantity, str] = Field(default_factory=dict)  # field of ``motion.Reference`` → output
    anchor: int | None = None  # which body of those outputs is the anchor; null: they hold one body only
    quaternions: Literal['xyzw', 'wxyz'] = 'xyzw'  # order of the reference's


@settings
class OriginSettings:
    """Where a file comes from that was not exported here."""

    dialect: str  # that it was written in
    file: str  # its name
    sha256: str  # of that file
    assumptions: list[str] = Field(default_factory=list)  # what the file does not say and was taken to be so


@settings
class Manifest:
    """What a policy was trained for and how to run it.

    Joint lists stand in the order of ``joint_names``; a null limit is none (a continuous joint).
    """

    format_version: int
    robot: Annotated[str, Field(pattern=r'^[\w-]+$')]  # a name, never a path: tools load the robot by it
    task: str
    algorithm: str
    created: str  # date and time, ISO 8601
    interface: InterfaceSettings
    joint_names: list[str]  # (J,)
    action_joint_names: list[str]  # (A,) in the order of the action
    default_position: list[float]  # (J,) [rad]
    stiffness: list[float]  # (J,) [N·m/rad]
    damping: list[float]  # (J,) [N·m·s/rad]
    effort_limit: list[float]  # (J,) [N·m]
    position_lower: list[float | None]  # (J,) [rad]
    position_upper: list[float | None]  # (J,) [rad]
    observation_sizes: dict[str, Annotated[int, Field(gt=0)]]  # term → length, in the order of the observation
    command_lower: Vector3  # smallest command trained for; units of the command
    command_upper: Vector3
    training: dict[str, Any] = Field(default_factory=dict)  # seed, steps, return, ...: for people
    weights_sha256: Annotated[str, Field(pattern='^[0-9a-f]{64}$')]  # of the ONNX graph, weights included
    golden: GoldenVectors
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    origin: OriginSettings | None = None  # null: exported by rl_robot_control

    @property
    def control_period(self) -> float:
        """Time between two actions [s]."""
        return self.interface.control_period

    @property
    def num_observations(self) -> int:
        """D."""
        return sum(self.observation_sizes.values())

    @property
    def num_actions(self) -> int:
        """A."""
        return len(self.action_joint_names)


def manifest_to_json(manifest: Manifest) -> str:
    """JSON text that ``parse_manifest`` turns into an equal manifest; floats keep every digit.

    Raises:
        PolicyError: A value has no JSON form, e.g. NaN.
    """
    try:
        return json.dumps(dataclasses.asdict(manifest), allow_nan=False, ensure_ascii=False)
    except (ValueError, TypeError) as error:
        raise PolicyError(f'the manifest cannot be written as JSON: {error}. Give plain, finite values.') from error


def parse_manifest(text: str, where: str) -> Manifest:
    """Read and check a manifest.

    Args:
        text: JSON.
        where: Name of the source, for messages.

    Raises:
        PolicyError: The text is not JSON, of a newer format, or contradicts itself.
    """
    data = _load_json(text, where)
    _check_version(data, where)
    try:
        manifest = parse_settings(data, Manifest, where)
    except (ConfigurationError, OverflowError, RecursionError) as error:
        raise PolicyError(shortened(str(error))) from None
    fault = _contradiction(manifest)
    if fault:
        raise PolicyError(shortened(f'{where}: the manifest contradicts itself: {fault}. Export the policy again.'))
    return manifest


def nullable(limits: FloatArray) -> list[float | None]:
    """Limits (J,) as a manifest has them; null where there is none."""
    return [float(limit) if np.isfinite(limit) else None for limit in limits]


def is_literal(pattern: str) -> bool:
    """Whether a regular expression stands for exactly one name; others could be made to run for hours."""
    return re.escape(re.sub(r'\\(.)', r'\1', pattern)) == pattern


def _load_json(text: str, where: str) -> dict[str, Any]:
    try:
        data = json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise PolicyError(shortened(f'{where}: the manifest is not valid JSON: {error}.')) from None
    if not isinstance(data, dict):
        raise PolicyError(f'{where}: the manifest is a JSON {type(data).__name__}, expected an object.')
    return data


def _check_version(data: dict[str, Any], where: str) -> None:
    version = data.get('format_version')
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PolicyError(shortened(f"{where}: the manifest's format_version is {version!r}, expected "
                                     f'{FORMAT_VERSION}.'))
    if version > FORMAT_VERSION:
        raise PolicyError(shortened(f'{where}: the manifest has format {version}, this rl_robot_control reads up to '
                                     f'{FORMAT_VERSION}. Update rl_robot_control.'))


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{text[:40]} is not a finite number')
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        repeated = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise ValueError(f"key '{repeated}' stands twice in one object")
    return data


def shortened(message: str) -> str:
    """A message without the megabytes that a hostile file would have it repeat."""
    return message if len(message) <= MAX_MESSAGE else message[:MAX_MESSAGE] + ' …'


def _contradiction(manifest: Manifest) -> str | None:
    """The first contradiction between two fields, or None."""
    for check in (_joint_fault, _interface_fault, _command_fault, _golden_fault):
        fault = check(manifest)
        if fault:
            return fault
    return None


def _joint_fault(m: Manifest) -> str | None:
    names = m.joint_names
    if not names or not m.action_joint_names:
        return 'joint_names or action_joint_names is empty'
    for key in ('joint_names', 'action_joint_names'):
        repeated = [name for i, name in enumerate(getattr(m, key)) if name in getattr(m, key)[:i]]
        if repeated:
            return f"joint '{repeated[0]}' stands twice in {key}"
    for key in ('default_position', 'stiffness', 'damping', 'effort_limit', 'position_lower', 'position_upper'):
        if len(getattr(m, key)) != len(names):
            return f'{key} has {len(getattr(m, key))} values for {len(names)} joints'
    for name in m.action_joint_names:
        if name not in names:
            return f"action joint '{name}' is not in joint_names"
    for i, name in enumerate(names):
        for key in ('stiffness', 'damping', 'effort_limit'):
            if not getattr(m, key)[i] > 0:
                return f"{key} of joint '{name}' is {getattr(m, key)[i]}, it must be positive"
        lower = -math.inf if m.position_lower[i] is None else m.position_lower[i]
        upper = math.inf if m.position_upper[i] is None else m.position_upper[i]
        if not lower <= m.default_position[i] <= upper:
            return f"default position {m.default_position[i]} rad of joint '{name}' lies outside [{lower}, {upper}] rad"
    return None


def _interface_fault(m: Manifest) -> str | None:
    if m.interface.action.joints != [re.escape(name) for name in m.action_joint_names]:
        return f'interface.action.joints is {m.interface.action.joints}, expected the action_joint_names'
    terms = [entry.label for entry in m.interface.observations]
    if terms != list(m.observation_sizes):
        return f'observation_sizes names {list(m.observation_sizes)}, the interface observes {terms}'
    for entry in m.interface.observations:
        patterns = [p for p in _strings(entry.params) if not is_literal(p)]
        if patterns:
            return f"parameter '{patterns[0]}' of observation term '{entry.term}' is a pattern, expected plain names"
    return _motion_fault(m)


def _motion_fault(m: Manifest) -> str | None:
    wanted, given = m.interface.motion is not None, bool(m.network.reference)
    if wanted != given:
        return ('the interface tracks a motion, the network gives none' if wanted else
                'the network gives a motion, the interface tracks none')
    if given and not set(REFERENCE_NEEDS) <= set(m.network.reference):
        return f'the network gives only {sorted(m.network.reference)} of a motion'
    if given and m.network.time_step is None:
        return 'the network gives a motion, but network.time_step names no input'
    if given and m.interface.motion.length < 1:
        return f'interface.motion.length is {m.interface.motion.length}, it must be positive'
    return None


def _command_fault(m: Manifest) -> str | None:
    for lower, upper in zip(m.command_lower, m.command_upper):
        if not lower <= upper:
            return f'command_lower {m.command_lower} exceeds command_upper {m.command_upper}'
    return None


def _golden_fault(m: Manifest) -> str | None:
    golden, sizes = m.golden, (m.num_observations, m.num_actions)
    if not golden.observations or not golden.states:
        return 'it holds no golden vectors'
    if len(golden.observations) != len(golden.actions):
        return f'{len(golden.observations)} golden observations for {len(golden.actions)} golden actions'
    for observation, action in zip(golden.observations, golden.actions):
        if (len(observation), len(action)) != sizes:
            return f'a golden vector has the sizes {(len(observation), len(action))}, expected {sizes}'
    for i, state in enumerate(golden.states):
        memory = state.memory
        if (len(state.observation), len(memory.action), len(memory.previous_action)) != (*sizes, sizes[1]):
            return f'golden state {i} has an observation or action of the wrong size, expected {sizes}'
        fault = shape_fault(state, len(m.joint_names), len(golden.frame_names))
        if fault:
            return f'golden state {i} {fault}'
    return None


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in items for text in _strings(item)]

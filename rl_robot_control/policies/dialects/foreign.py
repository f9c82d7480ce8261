"""What a foreign policy file says, in one form for all dialects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import onnx
import yaml

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.manifest import NetworkSettings
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.interface import ActionSettings, CommandSettings
from rl_robot_control.tasks.observation_group import MAX_AGE, HistorySettings, ObservationSettings

MAX_SIDECAR_BYTES = 2 ** 20
MAX_SIDECAR_VALUES = 20000
USUAL_RATE = 50.0  # of nearly all published policies, where the file does not say it [Hz]

Shape = list[int | str]  # a name stands for a free length
Term = TypeVar('Term')  # what a dialect's table has for a term


@dataclass(frozen=True)
class ForeignFile:
    """A policy file from elsewhere.

    Args:
        path: Where it lies.
        model: Its ONNX model.
    """

    path: Path
    model: onnx.ModelProto

    @property
    def where(self) -> str:
        """Its name, for messages."""
        return self.path.name

    @property
    def metadata(self) -> dict[str, str]:
        """Its metadata, as texts."""
        # str(): protobuf gives bytes for text that is not UTF-8
        return {str(entry.key): str(entry.value) for entry in self.model.metadata_props}

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shapes of the inputs."""
        weights = {tensor.name for tensor in self.model.graph.initializer}
        return _shapes(value for value in self.model.graph.input if value.name not in weights)

    @property
    def outputs(self) -> dict[str, Shape]:
        """Shapes of the outputs."""
        return _shapes(self.model.graph.output)

    def sidecar(self, *names: str) -> tuple[Path, Any] | None:
        """The first of some YAML files that lies beside the policy, with its contents; None if there is none.

        Args:
            names: Paths relative to the policy's folder, with ``{stem}`` for the policy's own name.

        Raises:
            PolicyError: It is too large, or no YAML.
        """
        for name in names:
            path = self.path.parent / name.format(stem=self.path.stem)
            if path.is_file():
                if path.stat().st_size > MAX_SIDECAR_BYTES:
                    raise PolicyError(f'{path}: is larger than {MAX_SIDECAR_BYTES} bytes, the most that is read.')
                return path, _load(path)
        return None


@dataclass(kw_only=True)
class Description:
    """What a dialect found out; what is None or missing is taken from the robot, and said to be so."""

    dialect: str
    joint_names: list[str]  # (P,) that the file speaks of
    action_joint_names: list[str]  # (A,) in the order of the action
    stiffness: dict[str, float]  # [N·m/rad] by joint
    damping: dict[str, float]  # [N·m·s/rad] by joint
    default_position: dict[str, float]  # [rad] by joint
    action: ActionSettings  # its ``joints`` are ignored: ``action_joint_names`` say it
    observations: list[ObservationSettings]
    network: NetworkSettings
    control_period: float | None = None  # [s]
    command: CommandSettings = field(default_factory=CommandSettings)
    command_lower: tuple[float, float, float] | None = None
    command_upper: tuple[float, float, float] | None = None
    gait: GaitSettings = field(default_factory=GaitSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    anchor_link: str | None = None  # of a motion to track
    task: str = ''
    training: dict[str, Any] = field(default_factory=dict)  # for people
    assumptions: list[str] = field(default_factory=list)
    by_motor: bool = False  # the joints are called ``motor(i)``, by their place in the order of the vendor's SDK
    num_motors: int | None = None  # that the SDK counts, where the file says it


def motor(index: int) -> str:
    """What stands for the name of a joint in a file that only counts motors."""
    return f'#{index}'


def by_joint(names: list[str], values: list[float], key: str, where: str) -> dict[str, float]:
    """Values by joint.

    Raises:
        PolicyError: Their number differs.
    """
    if len(names) != len(values):
        raise PolicyError(f"{where}: '{key}' has {len(values)} values for {len(names)} joints.")
    return dict(zip(names, values, strict=True))


def as_floats(value: Any, key: str, where: str) -> list[float]:
    """A list of finite numbers.

    Raises:
        PolicyError: It is something else.
    """
    items = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item) for item in items):
        raise PolicyError(f"{where}: '{key}' is {str(value)[:200]}; finite numbers are needed.")
    return [float(item) for item in items]


def as_float(value: Any, key: str, where: str) -> float:
    """One finite number.

    Raises:
        PolicyError: It is something else, a list of one number included.
    """
    if isinstance(value, (list, tuple)):
        raise PolicyError(f"{where}: '{key}' is {str(value)[:200]}; one number is needed.")
    return as_floats(value, key, where)[0]


def required(data: dict[str, Any], keys: tuple[str, ...], where: str) -> list[Any]:
    """Values of keys that must be there.

    Raises:
        PolicyError: Names the ones that are missing.
    """
    missing = [key for key in keys if data.get(key) is None]
    if missing:
        raise PolicyError(f"{where}: lacks {', '.join(repr(key) for key in missing)}. A policy cannot run without it: "
                          'add it to the file, or write a YAML file beside it.')
    return [data[key] for key in keys]


def ages(length: float, key: str, where: str) -> list[int]:
    """Of a history of so many values, the oldest first; 0 is none.

    Raises:
        PolicyError: It is no whole number, or longer than what is kept.
    """
    if isinstance(length, bool) or not isinstance(length, (int, float)) or not 0 <= length <= MAX_AGE + 1 \
            or length != int(length):
        raise PolicyError(f"{where}: '{key}' is {str(length)[:50]}; a whole number, at most {MAX_AGE + 1}, is needed.")
    return list(range(max(int(length), 1) - 1, -1, -1))


def only_ports(file: ForeignFile, beside: str) -> NetworkSettings:
    """The one input and the one output of a network; what stands beside it names none.

    Raises:
        PolicyError: It has more of them.
    """
    if len(file.inputs) != 1 or len(file.outputs) != 1:
        raise PolicyError(f"{file.where}: has the inputs {', '.join(file.inputs)} and the outputs "
                          f"{', '.join(file.outputs)}; beside {beside} one of each is expected.")
    return NetworkSettings(observation=next(iter(file.inputs)), action=next(iter(file.outputs)))


def known_term(name: Any, terms: dict[str, Term], where: str) -> Term:
    """What a dialect's table says of an observation term.

    Raises:
        PolicyError: The term is not known.
    """
    if name not in terms:
        raise PolicyError(f"{where}: observation term '{name}' is not known. Known are {', '.join(terms)}.")
    return terms[name]


def check_positive(values: list[float], key: str, where: str) -> None:
    """Refuse scales that are zero or turn the sign.

    Raises:
        PolicyError: One is not positive.
    """
    if any(value <= 0 for value in values):
        raise PolicyError(f"{where}: '{key}' holds {min(values):g}; it must be positive.")


def target_limits(pairs: list[Sequence[float]], joints: list[str], key: str,
                  where: str) -> tuple[list[float], list[float]]:
    """Least and greatest targets [rad], from a pair for each joint.

    Raises:
        PolicyError: They are not as many as the joints, or one is no pair.
    """
    if len(pairs) != len(joints) or any(len(pair) != 2 for pair in pairs):
        raise PolicyError(f"{where}: '{key}' has {len(pairs)} entries; a pair for each of {len(joints)} joints is "
                          'needed.')
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


class Inert:
    """What stands for a Python object that a YAML file wants built: nothing is built.

    Args:
        tag: Of the object.
        arguments: That a list gives to its constructor.
    """

    def __init__(self, tag: str, arguments: list[Any]) -> None:
        self.tag, self.arguments = tag, arguments

    def __repr__(self) -> str:
        return f'<{self.tag}>'


class _Loader(yaml.SafeLoader):
    """Builds no objects; exporters dump NumPy scalars and slices as such. No key may stand twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for i, key in enumerate(keys) if key in keys[:i] and key != '<<'), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"key '{twice}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _inert(loader: _Loader, suffix: str, node: yaml.Node) -> Inert:
    return Inert(suffix, loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else [])


_Loader.add_multi_constructor('tag:yaml.org,2002:python/', _inert)


def _load(path: Path) -> Any:
    try:
        data = yaml.load(path.read_text(), _Loader)
        if _size(data, MAX_SIDECAR_VALUES) < 0:
            raise PolicyError(f'{path}: holds more than {MAX_SIDECAR_VALUES} values, its aliases resolved.')
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise PolicyError(f'{path}: is not valid YAML: {str(error)[:500]}') from None
    return data


def _size(data: Any, left: int) -> int:
    """How many values may still come after this one; negative where there are too many."""
    left -= 1
    for item in (*data.keys(), *data.values()) if isinstance(data, dict) else data if isinstance(data, list) else ():
        if left < 0:
            break
        left = _size(item, left)
    return left


def _shapes(values: Any) -> dict[str, Shape]:
    return {str(value.name): [d.dim_value if d.HasField('dim_value') else str(d.dim_param or '?')
                         for d in value.type.tensor_type.shape.dim] for value in values}

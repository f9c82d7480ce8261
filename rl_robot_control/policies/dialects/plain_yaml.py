"""A plain ONNX file with a YAML file beside it that a person has written: ``<policy>.yaml``.

What the YAML leaves out and the metadata of the mjlab family say (joints, gains, pose, scale) is taken from there.
Values by joint may name several joints by one regular expression, as long as each joint is named once.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Annotated, Any

from pydantic import Field

from rl_robot_control.config import parse_settings, settings
from rl_robot_control.errors import ConfigurationError, PolicyError
from rl_robot_control.policies.dialects import csv_metadata as csv
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile, by_joint
from rl_robot_control.policies.manifest import NetworkSettings, is_literal
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.interface import ActionSettings, CommandSettings
from rl_robot_control.tasks.observation_group import HistorySettings, ObservationSettings

NAME = 'plain_yaml'
OTHERS = ('deploy', 'config', 'base', 'IO_descriptors', 'io_descriptors')  # names of other dialects' files
Vector3 = tuple[float, float, float]
ByJoint = float | list[float] | dict[str, float]  # for all, in the order of the joints, or by name or pattern
MAX_JOINTS = 500
# Patterns come from a file: these bounds keep matching from taking for ever.
MAX_PATTERNS, MAX_PATTERN = 100, 100
_REPETITION, _REPEATED_GROUP = re.compile(r'[*+?{]'), re.compile(r'\)[*+?{]')


@settings
class PlainAction:
    """How the network's output becomes targets; see ``ActionSettings``."""

    scale: ByJoint | None = None  # [rad]
    clip: float | tuple[list[float], list[float]] | None = None
    offset: ByJoint | None = None  # [rad]; null: the default pose
    target_limits: tuple[list[float], list[float]] | None = None


@settings
class PlainPolicy:
    """The file ``<policy>.yaml``."""

    joints: list[str] = Field(default_factory=list)  # in the order of the action
    stiffness: ByJoint | None = None  # [N·m/rad]
    damping: ByJoint | None = None  # [N·m·s/rad]
    default_position: ByJoint | None = None  # [rad]; null: the robot's
    control_rate: Annotated[float, Field(gt=0)] | None = None  # [Hz]
    action: PlainAction = Field(default_factory=PlainAction)
    observations: list[ObservationSettings]  # the name of a term stands for an entry with nothing but that
    history: HistorySettings = Field(default_factory=HistorySettings)
    command: CommandSettings | None = None
    command_lower: Vector3 | None = None
    command_upper: Vector3 | None = None
    gait: GaitSettings = Field(default_factory=GaitSettings)
    network: NetworkSettings | None = None  # what it leaves out is the only input or output that is left
    anchor_link: str | None = None  # of a motion to track
    task: str = ''


def recognises(file: ForeignFile) -> bool:
    """Whether a YAML file of the policy's own name lies beside it."""
    return file.path.stem not in OTHERS and file.sidecar('{stem}.yaml') is not None


def read(file: ForeignFile) -> Description:
    """What the two files say.

    Raises:
        PolicyError: They lack something or contradict each other.
    """
    path, data = file.sidecar('{stem}.yaml')
    try:
        said = parse_settings(in_full(data), PlainPolicy, str(path))
    except ConfigurationError as error:
        raise PolicyError(str(error)) from None
    where, network = path.name, _network(file, said.network, data.get('network') or {}, path.name)
    known = csv.joints(file, network.action) if set(csv.JOINT_KEYS) <= set(file.metadata) else {}
    names = said.joints or known.get('joint_names', [])
    _check_names(names, where)
    _check_params(said.observations, where)
    assumptions = [csv.ROUNDED] if known else []
    pose = _by_joint(said.default_position, known.get('default_position') or {}, names, 'default_position', where)
    unsaid = [name for name in names if name not in pose]
    if unsaid:
        assumptions.append("the default pose is not in the file: taken from the robot's description"
                           + ('' if len(unsaid) == len(names) else f' for {", ".join(unsaid)}'))
    tracks = bool(network.reference)
    return Description(
        dialect=NAME, joint_names=names, action_joint_names=names, network=network,
        action=_action(said.action, known, names, where),
        stiffness=_by_joint(said.stiffness, known.get('stiffness'), names, 'stiffness', where),
        damping=_by_joint(said.damping, known.get('damping'), names, 'damping', where),
        default_position=pose,
        observations=said.observations,
        control_period=None if said.control_rate is None else 1.0 / said.control_rate, history=said.history,
        command=said.command or CommandSettings(kind='none' if tracks else 'velocity'),
        command_lower=said.command_lower, command_upper=said.command_upper, gait=said.gait,
        anchor_link=said.anchor_link, task=said.task, assumptions=assumptions)


def in_full(data: Any) -> Any:
    """The same with an entry for each observation that is but a name."""
    if not isinstance(data, dict) or not isinstance(data.get('observations'), list):
        return data
    return data | {'observations': [{'term': entry} if isinstance(entry, str) else entry
                                    for entry in data['observations']]}


def _network(file: ForeignFile, said: NetworkSettings | None, given: dict[str, Any], where: str) -> NetworkSettings:
    """Names of all inputs and outputs; those that are not given are the only ones that are left."""
    said = said or NetworkSettings()
    taken = {*said.states, said.time_step}, {*said.states.values(), *said.reference.values()}
    left = {}
    for key, ports, others in zip(('observation', 'action'), (file.inputs, file.outputs), taken, strict=True):
        names = [name for name in ports if name not in others]
        if key not in given and len(names) != 1:
            raise PolicyError(f"{where}: the network has the inputs {', '.join(file.inputs)} and the outputs "
                              f"{', '.join(file.outputs)}; 'network.{key}' must say which of them is the {key}.")
        left[key] = getattr(said, key) if key in given else names[0]
    return dataclasses.replace(said, **left)


def _check_names(names: list[str], where: str) -> None:
    if not names:
        raise PolicyError(f"{where}: 'joints' is missing; name the joints in the order of the action.")
    if len(names) > MAX_JOINTS:
        raise PolicyError(f"{where}: 'joints' names {len(names)} joints, at most {MAX_JOINTS} are read.")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise PolicyError(f"{where}: 'joints' names '{twice}' twice; name each joint once, in the order of the action.")


def _check_params(observations: list[ObservationSettings], where: str) -> None:
    """Observed joints are named one by one: their order is that of the observation."""
    for entry in observations:
        for key in ('joints', 'frames'):
            names = entry.params.get(key, [])
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise PolicyError(f"{where}: '{key}' of observation term '{entry.label}' is {str(names)[:100]}; a list "
                                  'of names is needed.')
            pattern = next((name for name in names if not is_literal(name)), None)
            if pattern is not None:
                raise PolicyError(f"{where}: '{key}' of observation term '{entry.label}' holds the pattern "
                                  f"'{pattern[:100]}'; name each one, in the order of the observation.")


def _action(said: PlainAction, known: dict[str, Any], names: list[str], where: str) -> ActionSettings:
    scale = said.scale
    if scale is None and 'action' in known:
        scale = known['action'].scale
    if scale is None:
        raise PolicyError(f"{where}: 'action.scale' is missing; say by how many rad an action of 1 moves the target.")
    scales = _by_joint(scale, None, names, 'action.scale', where)
    wrong = next((name for name, value in scales.items() if not 0 < value < math.inf), None)
    if wrong is not None:
        raise PolicyError(f"{where}: 'action.scale' of joint '{wrong}' is {scales[wrong]:g}; it must be positive.")
    if isinstance(said.clip, float) and not said.clip > 0:
        raise PolicyError(f"{where}: 'action.clip' is {said.clip:g}; it must be positive.")
    offset = None if said.offset is None else _by_joint(said.offset, None, names, 'action.offset', where)
    return ActionSettings(joints=[], scale=scale if isinstance(scale, float) else [scales[name] for name in names],
                          clip=said.clip, target_limits=said.target_limits,
                          offset=None if offset is None else [offset[name] for name in names])


def _by_joint(given: ByJoint | None, known: dict[str, float] | None, names: list[str], key: str,
              where: str) -> dict[str, float]:
    if given is None:
        if known is None:
            raise PolicyError(f"{where}: '{key}' is missing; a policy cannot run with gains that it does not know.")
        return {name: value for name, value in known.items() if name in names}
    if not isinstance(given, dict):
        return by_joint(names, [given] * len(names) if isinstance(given, float) else given, key, where)
    found: dict[str, str] = {}  # joint → the key that names it
    for pattern in given:
        for name in _named(pattern, names, sum(p not in names for p in given), key, where):
            if name in found and pattern not in names and found[name] not in names:
                raise PolicyError(f"{where}: '{key}' names joint '{name}' by '{found[name]}' and by '{pattern}'; name "
                                  'each joint once.')
            if found.get(name) not in names:  # a name counts for more than a pattern
                found[name] = pattern
    missing = next((name for name in names if name not in found), None)
    if missing is not None and key != 'default_position':
        raise PolicyError(f"{where}: '{key}' says nothing of joint '{missing}'.")
    return {name: given[found[name]] for name in names if name in found}


def _named(pattern: str, names: list[str], patterns: int, key: str, where: str) -> list[str]:
    """The joints that a key stands for."""
    if pattern in names:
        return [pattern]
    if (patterns > MAX_PATTERNS or len(pattern) > MAX_PATTERN or len(_REPETITION.findall(pattern)) > 2
            or _REPEATED_GROUP.search(pattern)):
        raise PolicyError(f"{where}: '{key}' holds the pattern '{pattern[:MAX_PATTERN]}', which may take too long to "
                          'match: repeat single characters, twice at most, or name the joints.')
    try:
        found = [name for name in names if len(name) <= MAX_PATTERN and re.fullmatch(pattern, name)]
    except re.error as error:
        raise PolicyError(f"{where}: '{key}' names '{pattern}', which is neither a joint nor a regular expression: "
                          f'{error}.') from None
    if not found:
        raise PolicyError(f"{where}: '{key}' names '{pattern}', which is none of the joints.")
    return found

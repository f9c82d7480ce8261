"""A plain ONNX file with a YAML file beside it that a person has written: ``<policy>.yaml``.

What the YAML leaves out and the metadata of the mjlab family say (joints, gains, pose, scale) is taken from there.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from rl_robot_control.config import parse_settings, settings
from rl_robot_control.errors import ConfigurationError, PolicyError
from rl_robot_control.policies.dialects import csv_metadata as csv
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile, by_joint
from rl_robot_control.policies.manifest import NetworkSettings
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.interface import ActionSettings, CommandSettings
from rl_robot_control.tasks.observation_group import HistorySettings, ObservationSettings

NAME = 'plain_yaml'
Vector3 = tuple[float, float, float]
ByJoint = float | list[float] | dict[str, float]  # for all, in the order of the joints, or by name


@settings
class PlainAction:
    """How the network's output becomes targets; see ``ActionSettings``."""

    scale: Any = None  # a number, or one for each joint
    clip: float | tuple[list[float], list[float]] | None = None
    offset: list[float] | None = None
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
    observations: list[str | ObservationSettings]
    history: HistorySettings = Field(default_factory=HistorySettings)
    command: CommandSettings | None = None
    command_lower: Vector3 | None = None
    command_upper: Vector3 | None = None
    gait: GaitSettings = Field(default_factory=GaitSettings)
    network: NetworkSettings | None = None  # null: the only input and the only output
    anchor_link: str | None = None  # of a motion to track
    task: str = ''


def recognises(file: ForeignFile) -> bool:
    """Whether a YAML file of the policy's own name lies beside it."""
    return file.sidecar('{stem}.yaml') is not None


def read(file: ForeignFile) -> Description:
    """What the two files say.

    Raises:
        PolicyError: They lack something or contradict each other.
    """
    path, data = file.sidecar('{stem}.yaml')
    try:
        said = parse_settings(data, PlainPolicy, str(path))
    except ConfigurationError as error:
        raise PolicyError(str(error)) from None
    network, where = _network(file, said, path.name), path.name
    known = csv.joints(file, network.action) if set(csv.JOINT_KEYS) <= set(file.metadata) else {}
    names = said.joints or known.get('joint_names', [])
    if not names:
        raise PolicyError(f"{where}: 'joints' is missing; name the joints in the order of the action.")
    scale = said.action.scale
    if scale is None and 'action' in known:
        scale = known['action'].scale
    if scale is None:
        raise PolicyError(f"{where}: 'action.scale' is missing; say by how many rad an action of 1 moves the target.")
    try:
        action = ActionSettings(joints=[], scale=scale, clip=said.action.clip, offset=said.action.offset,
                                target_limits=said.action.target_limits)
    except ValueError as error:
        raise PolicyError(f"{where}: 'action' is wrong: {error}") from None
    tracks = bool(network.reference)
    return Description(
        dialect=NAME, joint_names=names, action_joint_names=names, action=action, network=network,
        stiffness=_by_joint(said.stiffness, known.get('stiffness'), names, 'stiffness', where),
        damping=_by_joint(said.damping, known.get('damping'), names, 'damping', where),
        default_position=_by_joint(said.default_position, known.get('default_position') or {}, names,
                                   'default_position', where),
        observations=[ObservationSettings(term=entry) if isinstance(entry, str) else entry
                      for entry in said.observations],
        control_period=None if said.control_rate is None else 1.0 / said.control_rate, history=said.history,
        command=said.command or CommandSettings(kind='none' if tracks else 'velocity'),
        command_lower=said.command_lower, command_upper=said.command_upper, gait=said.gait,
        anchor_link=said.anchor_link, task=said.task, assumptions=[csv.ROUNDED] if known else [])


def _network(file: ForeignFile, said: PlainPolicy, where: str) -> NetworkSettings:
    if said.network is not None:
        return said.network
    if len(file.inputs) != 1 or len(file.outputs) != 1:
        raise PolicyError(f"{where}: the network has the inputs {', '.join(file.inputs)} and the outputs "
                          f"{', '.join(file.outputs)}; 'network' must say what they are.")
    return NetworkSettings(observation=next(iter(file.inputs)), action=next(iter(file.outputs)))


def _by_joint(given: ByJoint | None, known: dict[str, float] | None, names: list[str], key: str,
              where: str) -> dict[str, float]:
    if given is None:
        if known is None:
            raise PolicyError(f"{where}: '{key}' is missing; a policy cannot run with gains that it does not know.")
        return {name: value for name, value in known.items() if name in names}
    if isinstance(given, dict):
        unknown = [name for name in given if name not in names]
        missing = [name for name in names if name not in given] if key != 'default_position' else []
        if unknown or missing:
            raise PolicyError(f"{where}: '{key}' " + (f"names '{unknown[0]}', which is none of the joints." if unknown
                                                      else f"says nothing of joint '{missing[0]}'."))
        return given
    return by_joint(names, [given] * len(names) if isinstance(given, float) else given, key, where)

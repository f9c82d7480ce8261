"""Metadata of the mjlab family: every value is text, a list is separated by commas, a number has three decimals.

mjlab, whole_body_tracking (BeyondMimic) and HoloMotion share the keys for joints, gains, pose and scale, and most names
of observation terms. A whole number and a truth value stand there as ``1.000``.
"""

from __future__ import annotations

import math
import re
from typing import Any

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import (
    Description,
    ForeignFile,
    ages,
    by_joint,
    check_positive,
    known_term,
    required,
)
from rl_robot_control.policies.manifest import NetworkSettings
from rl_robot_control.tasks.interface import ActionSettings, CommandSettings
from rl_robot_control.tasks.observation_group import ObservationSettings

JOINT_KEYS = ('joint_names', 'joint_stiffness', 'joint_damping', 'default_joint_pos', 'action_scale')
ROUNDED = 'gains, pose and scales have three decimals, as the format writes them'
MOTION_OUTPUTS = ('joint_pos', 'joint_vel', 'body_pos_w', 'body_quat_w')
TERMS = {
    'base_lin_vel': 'base_linear_velocity', 'base_ang_vel': 'base_angular_velocity',
    'projected_gravity': 'projected_gravity', 'joint_pos': 'joint_position', 'joint_vel': 'joint_velocity',
    'actions': 'last_action', 'command': 'command', 'motion_anchor_pos_b': 'motion_anchor_position',
    'motion_anchor_ori_b': 'motion_anchor_orientation', 'motion_ref_pos_b': 'motion_anchor_position',
    'motion_ref_ori_b': 'motion_anchor_orientation'}
_BRACKETS = re.compile(r'\[([^\]]*)\]')


def names(text: str) -> list[str]:
    """A list of names."""
    return [part.strip() for part in text.split(',') if part.strip()]


def numbers(text: str, key: str, where: str, infinite: bool = False) -> list[float]:
    """A list of numbers.

    Raises:
        PolicyError: One is none, or not finite.
    """
    found = []
    for part in text.split(','):
        try:
            value = float(part)
        except ValueError:
            value = math.nan
        if math.isnan(value) or (math.isinf(value) and not infinite):
            raise PolicyError(f"{where}: '{key}' holds '{part.strip()[:50]}'; finite numbers are needed.")
        found.append(value)
    return found


def whole(value: float, key: str, where: str) -> int:
    """A number that must be whole and not negative.

    Raises:
        PolicyError: It is not.
    """
    if value != int(value) or value < 0:
        raise PolicyError(f"{where}: '{key}' holds {value:g}; whole numbers, 0 or more, are needed.")
    return int(value)


def history(text: str, key: str, where: str) -> list[int]:
    """Ages of the values of a term whose history has the written length, the oldest first.

    Raises:
        PolicyError: The length is no whole number, or more than is kept.
    """
    return ages(whole(numbers(text, key, where)[0], key, where), key, where)


def elements(text: str) -> list[str]:
    """One text for each term: newer files separate values of a term by semicolons, older ones by commas in brackets."""
    return _BRACKETS.findall(text) if '[' in text else [part.strip() for part in text.split(',')]


def pair(text: str, key: str, where: str) -> tuple[float, float] | None:
    """Least and greatest value of a term; None where neither bounds it."""
    if text.lower() in ('', 'none'):
        return None
    values = numbers(text.replace(';', ','), key, where, infinite=True)
    if len(values) != 2 or not values[0] < values[1]:
        raise PolicyError(f"{where}: '{key}' holds '{text}'; two numbers, the smaller one first, are needed.")
    return None if values == [-math.inf, math.inf] else (values[0], values[1])


def per_term(metadata: dict[str, str], key: str, terms: list[str], where: str) -> list[str] | None:
    """One text for each observation term; None where the key is missing.

    Raises:
        PolicyError: Their number differs.
    """
    if key not in metadata:
        return None
    found = elements(metadata[key])
    if len(found) != len(terms):
        raise PolicyError(f"{where}: '{key}' has {len(found)} entries for {len(terms)} observation terms.")
    return found


def joints(file: ForeignFile, actions: str) -> dict[str, Any]:
    """What the joint keys say, as fields of ``Description``.

    Args:
        file: The file.
        actions: Name of the output with the actions.

    Raises:
        PolicyError: A key is missing, or their numbers do not fit each other.
    """
    where, metadata = file.where, file.metadata
    joint_names, stiffness, damping, pose, scale = required(metadata, JOINT_KEYS, where)
    listed, kp = names(joint_names), numbers(stiffness, 'joint_stiffness', where)
    if len(kp) < len(listed):
        raise PolicyError(f'{where}: names {len(listed)} joints, and gains for {len(kp)}: which of them have a drive '
                          'is not in the file. Write a YAML file beside it that names the joints of the action.')
    width = file.outputs.get(actions, ['?', '?'])[-1]
    if width not in (len(listed), '?') and isinstance(width, int):
        raise PolicyError(f"{where}: its output '{actions}' has {width} values for {len(listed)} joints; which of them "
                          'it moves is not in the file. Write a YAML file beside it that names those joints.')
    scales = numbers(scale, 'action_scale', where)
    if len(scales) > 1:
        by_joint(listed, scales, 'action_scale', where)
    check_positive(scales, 'action_scale', where)
    return {'joint_names': listed, 'action_joint_names': listed,
            'stiffness': by_joint(listed, kp, 'joint_stiffness', where),
            'damping': by_joint(listed, numbers(damping, 'joint_damping', where), 'joint_damping', where),
            'default_position': by_joint(listed, numbers(pose, 'default_joint_pos', where), 'default_joint_pos', where),
            'action': ActionSettings(joints=[], scale=scales[0] if len(scales) == 1 else scales, clip=None)}


def motion(file: ForeignFile) -> dict[str, Any]:
    """What the file says of a motion to track, as fields of ``Description``; of a velocity policy without one.

    Raises:
        PolicyError: The anchor is missing, or none of the bodies.
    """
    if 'time_step' not in file.inputs:
        return {'network': NetworkSettings(observation='obs', action='actions'), 'task': 'velocity'}
    where, (anchor, bodies) = file.where, required(file.metadata, ('anchor_body_name', 'body_names'), file.where)
    if anchor not in names(bodies):
        raise PolicyError(f"{where}: the anchor '{anchor}' is none of the bodies {bodies}.")
    missing = [name for name in MOTION_OUTPUTS if name not in file.outputs]
    if missing:
        raise PolicyError(f'{where}: tracks a motion, but has no output {", ".join(missing)}.')
    reference = dict(zip(('joint_position', 'joint_velocity', 'anchor_position', 'anchor_quaternion'), MOTION_OUTPUTS,
                         strict=True))
    return {'anchor_link': anchor, 'command': CommandSettings(kind='none'), 'task': 'tracking',
            'network': NetworkSettings(observation='obs', action='actions', time_step='time_step', quaternions='wxyz',
                                       reference=reference, anchor=names(bodies).index(anchor))}


def observation(name: str, tracks: bool, where: str, **more: Any) -> ObservationSettings:
    """One entry of the observation.

    Raises:
        PolicyError: The term is not known.
    """
    term = known_term(name, TERMS, where)
    return ObservationSettings(term='motion_joints' if name == 'command' and tracks else term, name=name, **more)


def description(dialect: str, file: ForeignFile, observations: list[ObservationSettings]) -> Description:
    """Everything together."""
    run = file.metadata.get('run_path')
    return Description(dialect=dialect, observations=observations, training={'run_path': run} if run else {},
                       assumptions=[ROUNDED], **joints(file, 'actions'), **motion(file))

"""holosoma (``agents/ppo/ppo.py``): every metadata value is JSON; the observation's terms are sorted by name.

Locomotion (``actor_obs`` → ``action``) and whole-body tracking (``obs``, ``time_step`` → ``actions`` and the motion).
Older files lack the action's scale and the default pose. The pose and the scale for locomotion are those of holosoma's
configuration. Its trackers were trained with two different scales, so there the network must tell which.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
from onnx import numpy_helper

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import (
    Description,
    ForeignFile,
    ages,
    as_floats,
    by_joint,
    check_positive,
    required,
)
from rl_robot_control.policies.manifest import NetworkSettings
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.interface import ActionSettings, CommandSettings
from rl_robot_control.tasks.observation_group import HistorySettings, ObservationSettings

NAME = 'holosoma'
USUAL_SCALE = 0.25  # [rad]
TRACKING_SCALES = {1.0: False, USUAL_SCALE: True}  # [rad] that trackers were trained with: times effort / stiffness?
CLIP = 100.0  # of the policy's output
GAIT_PERIOD = 1.0  # [s]
STANDS_BELOW = 0.01  # [m/s] and [rad/s]
VELOCITY_SCALES = {'t1': {'base_ang_vel': 1.0, 'dof_vel': 0.1}, '': {'base_ang_vel': 0.25, 'dof_vel': 0.05}}
TERMS = {  # holosoma's name: ours; in the order of the observation
    'actions': 'last_action', 'base_ang_vel': 'base_angular_velocity', 'command_ang_vel': 'turn_command',
    'command_lin_vel': 'velocity_command', 'cos_phase': 'leg_phase_cosine', 'dof_pos': 'joint_position',
    'dof_vel': 'joint_velocity', 'motion_command': 'motion_joints', 'motion_ref_ori_b': 'motion_anchor_orientation',
    'motion_ref_pos_b': 'motion_anchor_position', 'base_lin_vel': 'base_linear_velocity',
    'projected_gravity': 'projected_gravity', 'sin_phase': 'leg_phase_sine'}
LOCOMOTION = ('actions', 'base_ang_vel', 'command_ang_vel', 'command_lin_vel', 'cos_phase', 'dof_pos', 'dof_vel',
              'projected_gravity', 'sin_phase')
TRACKING = ('actions', 'base_ang_vel', 'dof_pos', 'dof_vel', 'motion_command', 'motion_ref_ori_b')


def recognises(file: ForeignFile) -> bool:
    """Whether a file is of this dialect."""
    return len({'dof_names', 'kp', 'kd'} & set(file.metadata)) >= 2  # one that is missing is named by ``read``


def read(file: ForeignFile) -> Description:
    """What a file says.

    Raises:
        PolicyError: It lacks something or contradicts itself.
    """
    where, data = file.where, {key: _json(text, key, file.where) for key, text in file.metadata.items()}
    joints, kp, kd = required(data, ('dof_names', 'kp', 'kd'), where)
    experiment, assumptions = data.get('experiment_config') or {}, []
    tracks = 'time_step' in file.inputs
    pose = _find(experiment, 'robot', 'init_state', 'default_joint_angles')
    if pose is None:
        assumptions.append("the default pose is not in the file: taken from the robot's description")
    elif not set(joints) <= set(pose):
        raise PolicyError(f"{where}: 'default_joint_angles' says nothing of joint "
                          f"'{next(name for name in joints if name not in pose)}'.")
    rate = _rate(experiment)
    names = _terms(experiment, TRACKING if tracks else LOCOMOTION)
    lower, upper = _ranges(data.get('command_ranges'), where)
    return Description(
        dialect=NAME, joint_names=joints, action_joint_names=joints, control_period=rate,
        stiffness=by_joint(joints, as_floats(kp, 'kp', where), 'kp', where),
        damping=by_joint(joints, as_floats(kd, 'kd', where), 'kd', where),
        default_position={} if pose is None else {name: pose[name] for name in joints},
        action=ActionSettings(joints=[], scale=_scale(file, data, experiment, joints, kp, tracks, assumptions),
                              clip=CLIP),
        observations=_observations(names, experiment, joints, tracks, where),
        network=_network(tracks), history=HistorySettings(fill='zero'),
        command=CommandSettings(kind='none' if tracks else 'velocity'), command_lower=lower, command_upper=upper,
        gait=GaitSettings(period=GAIT_PERIOD, pause_below=STANDS_BELOW),
        anchor_link=_anchor(experiment, assumptions) if tracks else None,
        task='whole_body_tracking' if tracks else 'locomotion',
        training={key: data[key] for key in ('wandb_run_path', 'iteration') if data.get(key) is not None},
        assumptions=assumptions)


def _json(text: str, key: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if key in ('dof_names', 'kp', 'kd', 'command_ranges', 'action_scale'):
            raise PolicyError(f"{where}: the metadata '{key}' is not JSON: {text[:100]!r}.") from None
        return None


def _find(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _rate(experiment: Any) -> float | None:
    simulation = _find(experiment, 'simulator', 'config', 'sim') or {}
    fps, decimation = simulation.get('fps'), simulation.get('control_decimation')
    return decimation / fps if fps and decimation else None


def _network(tracks: bool) -> NetworkSettings:
    if not tracks:
        return NetworkSettings(observation='actor_obs', action='action')
    return NetworkSettings(observation='obs', action='actions', time_step='time_step', quaternions='xyzw', reference={
        'joint_position': 'joint_pos', 'joint_velocity': 'joint_vel', 'anchor_position': 'ref_pos_xyz',
        'anchor_quaternion': 'ref_quat_xyzw'})


def _scale(file: ForeignFile, data: dict[str, Any], experiment: Any, joints: list[str], kp: list[float], tracks: bool,
           assumptions: list[str]) -> float | list[float]:
    """Of the action [rad]; where the file does not say it, what its network or holosoma's own runner does."""
    where = file.where
    if data.get('action_scale') is not None:
        values = as_floats(data['action_scale'], 'action_scale', where)
        check_positive(values, 'action_scale', where)
        return values[0] if len(values) == 1 else list(by_joint(joints, values, 'action_scale', where).values())
    control = _find(experiment, 'robot', 'control') or {}
    scale, divided = control.get('action_scale'), control.get('action_scales_by_effort_limit_over_p_gain')
    if scale is None and tracks:
        scale, divided = _tracking_scale(file, data, joints)
        assumptions.append(f"the action's scale is not in the file: {scale:g}" + (
            ' · effort / stiffness of each joint' if divided else ' rad') + ', by the bounds of its network')
    elif scale is None:
        scale, divided = USUAL_SCALE, False
        assumptions.append(f"the action's scale is not in the file: {USUAL_SCALE} rad")
    if not divided:
        return scale
    efforts = _find(experiment, 'robot', 'dof_effort_limit_list') or _urdf_limits(data, joints, ('effort',), where)[0]
    by_joint(joints, efforts, 'dof_effort_limit_list', where)
    return [scale * effort / gain for effort, gain in zip(efforts, kp, strict=True)]


def _tracking_scale(file: ForeignFile, data: dict[str, Any], joints: list[str]) -> tuple[float, bool]:
    """Scale of a tracker that does not say it [rad], and whether it counts times effort over stiffness.

    An actor of FastSAC bounds its actions to ±(way from the default pose to the farther limit) / scale, by joint, and
    has these bounds among its weights (``_compute_action_boundaries`` and ``Actor`` in holosoma's ``agents/fast_sac``).
    Most joints' default is zero, so the median over the joints is not disturbed by the others.
    """
    bounds = next((numpy_helper.to_array(tensor).ravel() for tensor in file.model.graph.initializer
                   if tensor.name.rpartition('.')[2] == 'action_scale'), None)
    if bounds is None or len(bounds) != len(joints):
        raise PolicyError(f"{file.where}: does not say the scale of its action. holosoma's trackers were trained with "
                          f"1 rad and with {USUAL_SCALE} · effort / stiffness; the wrong one makes the robot fall. Add "
                          "'action_scale' [rad] to its metadata.")
    reach = np.abs(_urdf_limits(data, joints, ('lower', 'upper'), file.where)).max(axis=0)
    with np.errstate(divide='ignore', invalid='ignore'):
        scale = float(f'{np.median(reach / bounds):.3g}')
    if scale not in TRACKING_SCALES:
        raise PolicyError(f'{file.where}: does not say the scale of its action, and the bounds of its network would '
                          f'mean {scale:g} rad, with which no tracker of holosoma was trained. Add '
                          "'action_scale' [rad] to its metadata.")
    return scale, TRACKING_SCALES[scale]


def _urdf_limits(data: dict[str, Any], joints: list[str], keys: tuple[str, ...], where: str) -> list[list[float]]:
    """For each of some keys (``lower``, ``upper``, ``effort``) the joints' values in the URDF that the file holds."""
    key = keys[0]
    try:
        root = ElementTree.fromstring(data.get('robot_urdf') or '')
        limits = {joint.get('name'): joint.find('limit') for joint in root.iter('joint')}
        rows = []
        for key in keys:
            rows.append([float(limits[name].get(key)) for name in joints])
        return rows
    except (ElementTree.ParseError, KeyError, AttributeError, TypeError, ValueError):
        raise PolicyError(f"{where}: the scale of its action depends on the '{key}' of its joints, but its "
                          "'robot_urdf' does not say that of every joint. Add 'action_scale' to its "
                          'metadata.') from None


def _terms(experiment: Any, usual: tuple[str, ...]) -> list[str]:
    groups = _find(experiment, 'observation', 'groups')
    terms = _find(groups, 'actor_obs', 'terms')
    return sorted(terms) if isinstance(terms, dict) else list(usual)


def _observations(names: list[str], experiment: Any, joints: list[str], tracks: bool,
                  where: str) -> list[ObservationSettings]:
    group = _find(experiment, 'observation', 'groups', 'actor_obs') or {}
    kept = ages(group.get('history_length') or 0, 'history_length', where)
    usual = {} if tracks else VELOCITY_SCALES['t1' if any(name.startswith('AAHead') for name in joints) else '']
    entries = []
    for name in names:
        if name not in TERMS:
            raise PolicyError(f"{where}: observation term '{name}' of holosoma is not known; known are "
                              f"{', '.join(TERMS)}.")
        said = _find(group, 'terms', name, 'scale')
        entries.append(ObservationSettings(
            term=TERMS[name], name=name, scale=usual.get(name, 1.0) if said is None else said,
            ages=kept))
    return entries


def _ranges(ranges: Any, where: str) -> tuple[Any, Any]:
    if not ranges:
        return None, None
    keys = ('lin_vel_x', 'lin_vel_y', 'ang_vel_yaw')
    pairs = [as_floats(ranges.get(key), f'command_ranges.{key}', where) for key in keys]
    if any(len(pair) != 2 for pair in pairs):
        raise PolicyError(f"{where}: 'command_ranges' is {str(ranges)[:200]}; two numbers for each axis are needed.")
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _anchor(experiment: Any, assumptions: list[str]) -> str:
    names = _find(experiment, 'command', 'setup_terms', 'motion_command', 'params', 'motion_config', 'body_name_ref')
    if names:
        return names[0]
    assumptions.append("the motion's anchor is not in the file: torso_link")
    return 'torso_link'

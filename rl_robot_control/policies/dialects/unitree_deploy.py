"""Unitree's ``deploy.yaml`` beside the policy (unitree_rl_lab and unitree_rl_mjlab, ``export_deploy_cfg.py``).

It names no joints: ``joint_ids_map`` gives for each joint of the policy its motor in the SDK's order. Gains stand in
the SDK's order, the default pose and the action's offset in the policy's. Numbers have three digits. A group of
observations may say ``scale_first`` (scale before clip) and ``use_gym_history`` (all terms of one period together).
"""

from __future__ import annotations

from typing import Any

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import (
    Description,
    ForeignFile,
    Inert,
    ages,
    as_float,
    as_floats,
    by_joint,
    check_positive,
    known_term,
    motor,
    only_ports,
    required,
    target_limits,
)
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.interface import ActionSettings
from rl_robot_control.tasks.observation_group import HistorySettings, ObservationSettings

NAME = 'unitree_deploy'
PLACES = ('deploy.yaml', 'params/deploy.yaml', '../params/deploy.yaml')
ACTION = 'JointPositionAction'
TERMS = {'base_lin_vel': 'base_linear_velocity', 'base_ang_vel': 'base_angular_velocity',
         'projected_gravity': 'projected_gravity', 'velocity_commands': 'command', 'joint_pos_rel': 'joint_position',
         'joint_vel_rel': 'joint_velocity', 'last_action': 'last_action', 'gait_phase': 'gait_phase',
         'phase': 'gait_phase'}
OBSERVED = ('joint_pos_rel', 'joint_vel_rel')  # all joints of the policy, whichever the action moves
PHASES = ('gait_phase', 'phase')
FLAGS = ('scale_first', 'use_gym_history')  # of a group, among its terms
TERM_KEYS = {'params', 'scale', 'history_length', 'clip'}
SLICE = 'object/apply:builtins.slice'  # how exporters dump it


def recognises(file: ForeignFile) -> bool:
    """Whether such a file lies beside the policy."""
    found = file.sidecar(*PLACES)
    return found is not None and isinstance(found[1], dict) and 'joint_ids_map' in found[1]


def read(file: ForeignFile) -> Description:
    """What the two files say.

    Raises:
        PolicyError: They lack something or contradict each other.
    """
    path, data = file.sidecar(*PLACES)
    where = path.name
    keys = ('joint_ids_map', 'step_dt', 'stiffness', 'damping', 'default_joint_pos', 'actions', 'observations')
    order, period, stiffness, damping, pose, actions, observations = required(data, keys, where)
    joints = [motor(_index(value, where)) for value in _list(order, 'joint_ids_map', where)]
    gains = {key: _gains(_list(value, key, where), joints, key, where)
             for key, value in (('stiffness', stiffness), ('damping', damping))}
    if len(stiffness) != len(damping):
        raise PolicyError(f"{where}: 'stiffness' has {len(stiffness)} values, 'damping' {len(damping)}.")
    network = only_ports(file, 'a deploy.yaml')
    action, moved = _action(actions, joints, where)
    terms, scale_first, by_time = _terms(observations, network.observation, where)
    lower, upper = _ranges(data, where)
    return Description(
        dialect=NAME, by_motor=True, num_motors=len(stiffness), joint_names=joints, action_joint_names=moved,
        default_position=by_joint(joints, as_floats(pose, 'default_joint_pos', where), 'default_joint_pos', where),
        action=action, network=network, control_period=as_float(period, 'step_dt', where), command_lower=lower,
        observations=[_observation(name, said, joints, scale_first, where) for name, said in terms.items()],
        history=HistorySettings(layout='time' if by_time else 'term'), command_upper=upper, gait=_gait(terms, where),
        task='velocity', **gains,
        assumptions=['gains, pose and scales have three digits, as the format writes them'])


def _gains(value: Any, joints: list[str], key: str, where: str) -> dict[str, float]:
    """By motor; motors that no joint of the policy has stand there as zero."""
    by_motor = {motor(i): gain for i, gain in enumerate(as_floats(value, key, where))}
    missing = [name for name in joints if name not in by_motor]
    if missing:
        raise PolicyError(f"{where}: '{key}' has {len(by_motor)} values in the SDK's order, none for motor "
                          f'{missing[0][1:]} of joint_ids_map.')
    return {name: by_motor[name] for name in joints}


def _action(actions: Any, joints: list[str], where: str) -> tuple[ActionSettings, list[str]]:
    if not isinstance(actions, dict) or list(actions) != [ACTION] or not isinstance(actions[ACTION], dict):
        raise PolicyError(f"{where}: 'actions' holds {list(actions) if isinstance(actions, dict) else actions}; one "
                          f'{ACTION} is expected.')
    said = actions[ACTION]
    moved = _picked(said.get('joint_ids'), joints, 'actions.joint_ids', where)
    scale, offset = (as_floats(value, f'actions.{key}', where) for key, value in zip(
        ('scale', 'offset'), required(said, ('scale', 'offset'), where), strict=True))
    if isinstance(said['scale'], list):
        by_joint(moved, scale, 'actions.scale', where)
    by_joint(moved, offset, 'actions.offset', where)
    check_positive(scale, 'actions.scale', where)
    limits = None
    if said.get('clip') is not None:
        pairs = [as_floats(pair, 'actions.clip', where) for pair in _list(said['clip'], 'actions.clip', where)]
        limits = target_limits(pairs, moved, 'actions.clip', where)
    return ActionSettings(joints=[], scale=_as_said(said['scale'], scale), clip=None, offset=offset,
                          target_limits=limits), moved


def _terms(observations: Any, entry: str, where: str) -> tuple[dict[str, dict[str, Any]], bool, bool]:
    """Terms of the group that the network's input is called by, and its flags; older files have no groups."""
    if not isinstance(observations, dict) or not set(observations) - set(FLAGS):
        raise PolicyError(f"{where}: 'observations' holds no terms.")
    first = next(value for name, value in observations.items() if name not in FLAGS)
    if isinstance(first, dict) and not TERM_KEYS & set(first) and any(isinstance(v, dict) for v in first.values()):
        group = next((name for name in (entry, 'policy', 'actor', 'obs') if name in observations), None)
        if group is None or not isinstance(observations[group], dict):
            raise PolicyError(f"{where}: 'observations' has the groups {list(observations)}, and none called {entry}, "
                              'as the network has it, or policy.')
        observations = observations[group]
    flags = [observations.get(name, False) for name in FLAGS]
    for name, flag in zip(FLAGS, flags, strict=True):
        if not isinstance(flag, bool):
            raise PolicyError(f"{where}: '{name}' is {str(flag)[:50]}; true or false is needed.")
    observations = {name: said for name, said in observations.items() if name not in FLAGS}
    wrong = [name for name, said in observations.items() if not isinstance(said, dict)]
    if wrong:
        raise PolicyError(f"{where}: observation term '{wrong[0]}' is no mapping.")
    return observations, flags[0], flags[1]


def _observation(name: str, said: dict[str, Any], joints: list[str], scale_first: bool,
                 where: str) -> ObservationSettings:
    term = known_term(name, TERMS, where)
    length = said.get('history_length') or 1
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise PolicyError(f"{where}: history_length of '{name}' is {length!r}; a whole number is needed.")
    scale = as_floats(1.0 if said.get('scale') is None else said['scale'], f'{name}.scale', where)
    clip = None if said.get('clip') is None else as_floats(said['clip'], f'{name}.clip', where)
    if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
        raise PolicyError(f"{where}: clip of '{name}' is {clip}; two numbers, the smaller one first, are needed.")
    given, params = _params(name, said, where), {}
    if name in OBSERVED:
        picked = (given.get('asset_cfg') or {}).get('joint_ids')
        params['joints'] = _picked(picked, joints, f'{name}.params.asset_cfg.joint_ids', where)
    threshold = given.get('command_threshold') if name in PHASES else None
    if threshold:
        params['zero_below'] = as_float(threshold, f'{name}.command_threshold', where)
    bounds = None if clip is None else tuple(clip)
    return ObservationSettings(term=term, name=name, params=params, clip=None if scale_first else bounds,
                               clip_scaled=bounds if scale_first else None, scale=_as_said(said.get('scale'), scale),
                               ages=ages(length, f'{name}.history_length', where))


def _params(name: str, said: dict[str, Any], where: str) -> dict[str, Any]:
    params = said.get('params') or {}
    if not isinstance(params, dict) or not isinstance(params.get('asset_cfg') or {}, dict):
        raise PolicyError(f"{where}: params of '{name}' are {str(params)[:100]}; a mapping is needed.")
    return params


def _gait(terms: dict[str, dict[str, Any]], where: str) -> GaitSettings:
    said = next((terms[name] for name in PHASES if name in terms), None)
    if said is None:
        return GaitSettings()
    period = _params('phase', said, where).get('period')
    if period is None:
        raise PolicyError(f"{where}: the gait's phase is observed, but its params say no 'period'.")
    return GaitSettings(period=as_float(period, 'period', where))


def _ranges(data: dict[str, Any], where: str) -> tuple[Any, Any]:
    command = (data.get('commands') or {}).get('base_velocity') or {}
    ranges = command.get('ranges')
    if not ranges:
        return None, None
    pairs = [as_floats(ranges.get(key), f'ranges.{key}', where) for key in ('lin_vel_x', 'lin_vel_y', 'ang_vel_z')]
    if any(len(pair) != 2 for pair in pairs):
        raise PolicyError(f"{where}: 'ranges' needs two numbers for each axis.")
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def _list(value: Any, key: str, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PolicyError(f"{where}: '{key}' is {str(value)[:100]}; a list is needed.")
    return value


def _as_said(said: Any, values: list[float]) -> float | list[float]:
    """A number counts for all; a list, be it of one, for as many as it has."""
    return values if isinstance(said, list) else values[0]


def _picked(said: Any, joints: list[str], key: str, where: str) -> list[str]:
    """Joints that indices or a slice mean; all of them where nothing is said. No other object is understood."""
    if said is None:
        return joints
    if not isinstance(said, Inert):
        return [_pick(joints, _index(value, where), key, where) for value in _list(said, key, where)]
    bounds = said.arguments
    if said.tag != SLICE or len(bounds) != 3 or bounds[2] == 0 or any(
            value is not None and type(value) is not int for value in bounds):
        raise PolicyError(f"{where}: '{key}' is {said!r} of {str(bounds)[:100]}; null, a list of numbers or a slice is "
                          'needed.')
    return joints[slice(*bounds)]


def _index(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise PolicyError(f"{where}: '{str(value)[:50]}' is no number of a motor or joint.")
    return value


def _pick(joints: list[str], index: int, key: str, where: str) -> str:
    if index >= len(joints):
        raise PolicyError(f"{where}: '{key}' names joint {index} of {len(joints)}, counted from 0.")
    return joints[index]

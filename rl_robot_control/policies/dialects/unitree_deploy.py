"""Unitree's ``deploy.yaml`` beside the policy (unitree_rl_lab and unitree_rl_mjlab, ``export_deploy_cfg.py``).

It names no joints: ``joint_ids_map`` gives for each joint of the policy its motor in the SDK's order. Gains stand in
the SDK's order, the default pose and the action's offset in the policy's. Numbers have three digits.
"""

from __future__ import annotations

from typing import Any

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import (
    Description,
    ForeignFile,
    Inert,
    ages,
    as_floats,
    by_joint,
    motor,
    required,
)
from rl_robot_control.policies.manifest import NetworkSettings
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.interface import ActionSettings
from rl_robot_control.tasks.observation_group import ObservationSettings

NAME = 'unitree_deploy'
PLACES = ('deploy.yaml', 'params/deploy.yaml', '../params/deploy.yaml')
ACTION = 'JointPositionAction'
TERMS = {'base_lin_vel': 'base_linear_velocity', 'base_ang_vel': 'base_angular_velocity',
         'projected_gravity': 'projected_gravity', 'velocity_commands': 'command', 'joint_pos_rel': 'joint_position',
         'joint_vel_rel': 'joint_velocity', 'last_action': 'last_action', 'gait_phase': 'gait_phase',
         'phase': 'gait_phase'}
OBSERVED = ('joint_pos_rel', 'joint_vel_rel')  # all joints of the policy, whichever the action moves
PHASES = ('gait_phase', 'phase')


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
    action, moved = _action(actions, joints, where)
    terms = _terms(observations, where)
    lower, upper = _ranges(data, where)
    return Description(
        dialect=NAME, by_motor=True, joint_names=joints, action_joint_names=moved,
        stiffness=_gains(stiffness, joints, 'stiffness', where), damping=_gains(damping, joints, 'damping', where),
        default_position=by_joint(joints, as_floats(pose, 'default_joint_pos', where), 'default_joint_pos', where),
        action=action, observations=[_observation(name, said, joints, where) for name, said in terms.items()],
        network=_network(file), control_period=as_floats(period, 'step_dt', where)[0], command_lower=lower,
        command_upper=upper, gait=_gait(terms, where), task='velocity',
        assumptions=['gains, pose and scales have three digits, as the format writes them'])


def _network(file: ForeignFile) -> NetworkSettings:
    if len(file.inputs) != 1 or len(file.outputs) != 1:
        raise PolicyError(f"{file.where}: has the inputs {', '.join(file.inputs)} and the outputs "
                          f"{', '.join(file.outputs)}; beside a deploy.yaml one of each is expected.")
    return NetworkSettings(observation=next(iter(file.inputs)), action=next(iter(file.outputs)))


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
    said, picked = actions[ACTION], actions[ACTION].get('joint_ids')
    # A slice over everything is dumped as a Python object; it means that all joints are moved.
    moved = joints if picked is None or isinstance(picked, Inert) else [
        _pick(joints, _index(value, where), where) for value in _list(picked, 'joint_ids', where)]
    scale, offset = (as_floats(value, f'actions.{key}', where) for key, value in zip(
        ('scale', 'offset'), required(said, ('scale', 'offset'), where), strict=True))
    by_joint(moved, scale * len(moved) if len(scale) == 1 else scale, 'actions.scale', where)
    by_joint(moved, offset, 'actions.offset', where)
    if any(value <= 0 for value in scale):
        raise PolicyError(f"{where}: 'actions.scale' holds {min(scale):g}; it must be positive.")
    limits = None
    if said.get('clip') is not None:
        pairs = [as_floats(pair, 'actions.clip', where) for pair in _list(said['clip'], 'actions.clip', where)]
        if len(pairs) != len(moved) or any(len(pair) != 2 for pair in pairs):
            raise PolicyError(f"{where}: 'actions.clip' has {len(pairs)} entries; a pair for each of {len(moved)} "
                              'joints is needed.')
        limits = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return ActionSettings(joints=[], scale=scale[0] if len(scale) == 1 else scale, clip=None, offset=offset,
                          target_limits=limits), moved


def _terms(observations: Any, where: str) -> dict[str, dict[str, Any]]:
    """Terms of the policy's group; newer files have groups."""
    if not isinstance(observations, dict) or not observations:
        raise PolicyError(f"{where}: 'observations' holds no terms.")
    first = next(iter(observations.values()))
    if isinstance(first, dict) and first and all(isinstance(value, dict) for value in first.values()) and not (
            {'scale', 'history_length', 'clip'} & set(first)):
        group = next((name for name in ('policy', 'actor', 'obs') if name in observations), None)
        if group is None:
            raise PolicyError(f"{where}: 'observations' has the groups {list(observations)}, and none called policy.")
        observations = observations[group]
    wrong = [name for name, said in observations.items() if not isinstance(said, dict)]
    if wrong:
        raise PolicyError(f"{where}: observation term '{wrong[0]}' is no mapping.")
    return observations


def _observation(name: str, said: dict[str, Any], joints: list[str], where: str) -> ObservationSettings:
    if name not in TERMS:
        raise PolicyError(f"{where}: observation term '{name}' is not known. Known are {', '.join(TERMS)}.")
    length = said.get('history_length') or 1
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise PolicyError(f"{where}: history_length of '{name}' is {length!r}; a whole number is needed.")
    scale = as_floats(1.0 if said.get('scale') is None else said['scale'], f'{name}.scale', where)
    clip = None if said.get('clip') is None else as_floats(said['clip'], f'{name}.clip', where)
    if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
        raise PolicyError(f"{where}: clip of '{name}' is {clip}; two numbers, the smaller one first, are needed.")
    params: dict[str, Any] = {'joints': joints} if name in OBSERVED else {}
    threshold = (said.get('params') or {}).get('command_threshold') if name in PHASES else None
    if threshold:
        params['zero_below'] = as_floats(threshold, f'{name}.command_threshold', where)[0]
    return ObservationSettings(term=TERMS[name], name=name, params=params, clip=None if clip is None else tuple(clip),
                               scale=scale[0] if len(scale) == 1 else scale,
                               ages=ages(length, f'{name}.history_length', where))


def _gait(terms: dict[str, dict[str, Any]], where: str) -> GaitSettings:
    said = next((terms[name] for name in PHASES if name in terms), None)
    if said is None:
        return GaitSettings()
    period = (said.get('params') or {}).get('period')
    if period is None:
        raise PolicyError(f"{where}: the gait's phase is observed, but its params say no 'period'.")
    return GaitSettings(period=as_floats(period, 'period', where)[0])


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


def _index(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise PolicyError(f"{where}: '{str(value)[:50]}' is no number of a motor or joint.")
    return value


def _pick(joints: list[str], index: int, where: str) -> str:
    if index >= len(joints):
        raise PolicyError(f"{where}: 'joint_ids' names joint {index} of {len(joints)}, counted from 0.")
    return joints[index]

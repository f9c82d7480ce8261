"""rl_sar's ``config.yaml`` beside the policy, over the ``base.yaml`` of its robot.

Everything stands in the policy's order; ``joint_mapping`` gives for each joint of the policy its place among the
robot's motors, whose names ``base.yaml`` has. ``clip_obs`` comes after the scales, once over the whole observation.
"""

from __future__ import annotations

from typing import Any

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import (
    Description,
    ForeignFile,
    as_floats,
    by_joint,
    motor,
    required,
)
from rl_robot_control.policies.manifest import NetworkSettings
from rl_robot_control.tasks.interface import ActionSettings
from rl_robot_control.tasks.observation_group import HistorySettings, ObservationSettings

NAME = 'rl_sar'
TERMS = {'lin_vel': ('base_linear_velocity', 'lin_vel_scale'), 'ang_vel': ('base_angular_velocity', 'ang_vel_scale'),
         'gravity_vec': ('projected_gravity', None), 'commands': ('command', 'commands_scale'),
         'dof_pos': ('joint_position', 'dof_pos_scale'), 'dof_vel': ('joint_velocity', 'dof_vel_scale'),
         'actions': ('last_action', None)}
_BASES = ('base.yaml', '../base.yaml', '../../base.yaml', '../../../base.yaml')


def recognises(file: ForeignFile) -> bool:
    """Whether such a file lies beside the policy."""
    found = file.sidecar('config.yaml')
    return found is not None and 'observations' in _inner(found[1]) and 'rl_kp' in _inner(found[1])


def read(file: ForeignFile) -> Description:
    """What the files say.

    Raises:
        PolicyError: They lack something or contradict each other.
    """
    path, data = file.sidecar('config.yaml')
    base = file.sidecar(*_BASES)
    own, where = _inner(data), path.name
    said = {**(_inner(base[1]) if base else {}), **own}
    wheels = said.get('wheel_indices')
    if wheels:
        raise PolicyError(f"{where}: the joints {wheels} are wheels, driven by velocity; only position targets are.")
    terms, kp, kd, scale, pose = required(said, ('observations', 'rl_kp', 'rl_kd', 'action_scale', 'default_dof_pos'),
                                          where)
    joints, counted = _joints(said, len(as_floats(kp, 'rl_kp', where)), where)
    scales = as_floats(scale, 'action_scale', where)
    by_joint(joints, scales * len(joints) if len(scales) == 1 else scales, 'action_scale', where)
    if any(value <= 0 for value in scales):
        raise PolicyError(f"{where}: 'action_scale' holds {min(scales):g}; it must be positive.")
    ages = _ages(said, where)
    return Description(
        dialect=NAME, by_motor=counted, joint_names=joints, action_joint_names=joints,
        stiffness=by_joint(joints, as_floats(kp, 'rl_kp', where), 'rl_kp', where),
        damping=by_joint(joints, as_floats(kd, 'rl_kd', where), 'rl_kd', where),
        default_position=by_joint(joints, as_floats(pose, 'default_dof_pos', where), 'default_dof_pos', where),
        action=ActionSettings(joints=[], scale=scales[0] if len(set(scales)) == 1 else scales,
                              clip=_clip(said, len(joints), where)),
        observations=[_observation(name, said, ages, where) for name in terms],
        network=_network(file), control_period=_period(said, where), task='velocity',
        history=HistorySettings(layout=_layout(said, where), fill='zero'))


def _inner(data: Any) -> dict[str, Any]:
    """The settings below the one key that names robot and policy."""
    if isinstance(data, dict) and len(data) == 1:
        inner = next(iter(data.values()))
        return inner if isinstance(inner, dict) else {}
    return data if isinstance(data, dict) else {}


def _joints(said: dict[str, Any], count: int, where: str) -> tuple[list[str], bool]:
    """Names in the policy's order, or numbers of motors where there are no names; and which of the two."""
    order, names = said.get('joint_mapping'), said.get('joint_names')
    order = list(range(count)) if order is None else order
    if not isinstance(order, list) or any(isinstance(i, bool) or not isinstance(i, int) or i < 0 for i in order):
        raise PolicyError(f"{where}: 'joint_mapping' is {str(order)[:100]}; numbers of motors are needed.")
    if len(order) != count:
        raise PolicyError(f"{where}: 'joint_mapping' has {len(order)} values, 'rl_kp' {count}.")
    if names is None:
        return [motor(i) for i in order], True
    if max(order, default=0) >= len(names):
        raise PolicyError(f"{where}: 'joint_mapping' names motor {max(order)} of {len(names)}, counted from 0.")
    return [str(names[i]) for i in order], False


def _ages(said: dict[str, Any], where: str) -> list[int]:
    ages = said.get('observations_history') or [0]
    if not isinstance(ages, list) or any(isinstance(a, bool) or not isinstance(a, int) or a < 0 for a in ages):
        raise PolicyError(f"{where}: 'observations_history' is {str(ages)[:100]}; whole numbers are needed.")
    return ages


def _layout(said: dict[str, Any], where: str) -> str:
    layout = said.get('observations_history_priority', 'time')
    if layout not in ('time', 'term'):
        raise PolicyError(f"{where}: 'observations_history_priority' is {layout!r}; time or term is needed.")
    return layout


def _observation(name: Any, said: dict[str, Any], ages: list[int], where: str) -> ObservationSettings:
    if name not in TERMS:
        raise PolicyError(f"{where}: observation term '{name}' is not known. Known are {', '.join(TERMS)}.")
    term, key = TERMS[name]
    scale = [1.0] if key is None else as_floats(required(said, (key,), where)[0], key, where)
    bound = said.get('clip_obs')
    clip = None
    if bound is not None:
        value = as_floats(bound, 'clip_obs', where)[0]
        clip = -value, value
    return ObservationSettings(term=term, name=name, scale=scale[0] if len(set(scale)) == 1 else scale,
                               clip_scaled=clip, ages=ages)


def _clip(said: dict[str, Any], count: int, where: str) -> tuple[list[float], list[float]] | None:
    keys = ('clip_actions_lower', 'clip_actions_upper')
    if not all(said.get(key) for key in keys):
        return None
    bounds = tuple(as_floats(said[key], key, where) for key in keys)
    for key, values in zip(keys, bounds, strict=True):
        if len(values) != count:
            raise PolicyError(f"{where}: '{key}' has {len(values)} values for {count} joints.")
    return bounds


def _period(said: dict[str, Any], where: str) -> float | None:
    if said.get('dt') is None or said.get('decimation') is None:
        return None
    return as_floats(said['dt'], 'dt', where)[0] * as_floats(said['decimation'], 'decimation', where)[0]


def _network(file: ForeignFile) -> NetworkSettings:
    if len(file.inputs) != 1 or len(file.outputs) != 1:
        raise PolicyError(f"{file.where}: has the inputs {', '.join(file.inputs)} and the outputs "
                          f"{', '.join(file.outputs)}; beside rl_sar's config.yaml one of each is expected.")
    return NetworkSettings(observation=next(iter(file.inputs)), action=next(iter(file.outputs)))

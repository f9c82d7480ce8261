"""rl_sar's ``config.yaml`` beside the policy, over the ``base.yaml`` of its robot.

Everything stands in the policy's order; ``joint_mapping`` gives for each joint of the policy its place among the
robot's motors, whose names ``base.yaml`` has. ``clip_obs`` comes after the scales, once over the whole observation.
Actions are clipped only where both bounds are there, and are observed as clipped.
"""

from __future__ import annotations

from typing import Any

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import (
    Description,
    ForeignFile,
    as_float,
    as_floats,
    by_joint,
    check_positive,
    known_term,
    motor,
    only_ports,
    required,
)
from rl_robot_control.tasks.interface import ActionSettings
from rl_robot_control.tasks.observation_group import MAX_AGE, HistorySettings, ObservationSettings

NAME = 'rl_sar'
TERMS = {'lin_vel': ('base_linear_velocity', 'lin_vel_scale'), 'ang_vel': ('base_angular_velocity', 'ang_vel_scale'),
         'gravity_vec': ('projected_gravity', None), 'commands': ('command', 'commands_scale'),
         'dof_pos': ('joint_position', 'dof_pos_scale'), 'dof_vel': ('joint_velocity', 'dof_vel_scale'),
         'actions': ('last_action', None)}
CLIPS = ('clip_actions_lower', 'clip_actions_upper')
COUNTS = {'commands': 3}  # values of a scale that is a list; the others are single numbers
# Keys of versions that turn them into another scale or order than what is written.
OLD = ('hip_scale_reduction', 'action_scale_wheel', 'state_mapping', 'command_mapping')
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
    said = {**_base(base, data, where), **own}
    _check_version(said, where)
    wheels = said.get('wheel_indices')
    if wheels:
        raise PolicyError(f'{where}: the joints {wheels} are wheels, driven by velocity; only position targets are.')
    keys = ('observations', 'rl_kp', 'rl_kd', 'action_scale', 'default_dof_pos', 'joint_mapping', 'clip_obs')
    terms, kp, kd, scale, pose, _, clip = required(said, keys, where)
    count = len(as_floats(kp, 'rl_kp', where))
    if said.get('num_of_dofs', count) != count:
        raise PolicyError(f"{where}: 'num_of_dofs' is {str(said['num_of_dofs'])[:50]}, 'rl_kp' has {count} values.")
    joints, counted = _joints(said, count, where)
    scales = as_floats(scale, 'action_scale', where)
    if isinstance(scale, list):
        by_joint(joints, scales, 'action_scale', where)
    check_positive(scales, 'action_scale', where)
    ages, bound = _ages(said, where), _bound(clip, where)
    return Description(
        dialect=NAME, by_motor=counted, joint_names=joints, action_joint_names=joints,
        stiffness=by_joint(joints, as_floats(kp, 'rl_kp', where), 'rl_kp', where),
        damping=by_joint(joints, as_floats(kd, 'rl_kd', where), 'rl_kd', where),
        default_position=by_joint(joints, as_floats(pose, 'default_dof_pos', where), 'default_dof_pos', where),
        action=ActionSettings(joints=[], scale=scales[0] if len(set(scales)) == 1 else scales,
                              clip=_clip(said, len(joints), where)),
        observations=[_observation(name, said, bound, ages, where) for name in terms],
        network=only_ports(file, "rl_sar's config.yaml"), control_period=_period(said, where), task='velocity',
        history=HistorySettings(layout=_layout(said, where), fill='zero'), assumptions=_assumptions(said, file, where))


def _inner(data: Any) -> dict[str, Any]:
    """The settings below the one key that names robot and policy."""
    if isinstance(data, dict) and len(data) == 1:
        inner = next(iter(data.values()))
        return inner if isinstance(inner, dict) else {}
    return data if isinstance(data, dict) else {}


def _base(base: tuple[Any, Any] | None, data: Any, where: str) -> dict[str, Any]:
    """Settings of the robot that ``robot/policy``, the one key of the policy's file, names."""
    if base is None:
        return {}
    robot = str(next(iter(data))).split('/')[0] if _inner(data) is not data else None
    if robot is None:
        return _inner(base[1])
    found = base[1].get(robot) if isinstance(base[1], dict) else None
    if not isinstance(found, dict):
        raise PolicyError(f"{where}: is for robot '{robot}', of which {base[0].name} says nothing; it holds "
                          f'{str(list(base[1]) if isinstance(base[1], dict) else base[1])[:200]}.')
    return found


def _check_version(said: dict[str, Any], where: str) -> None:
    old = [key for key in OLD if said.get(key) is not None]
    if old or said.get('framework') == 'isaacsim':  # there, lists were turned from leg-major into another order
        raise PolicyError(f"{where}: '{old[0] if old else 'framework'}' is of an older rl_sar, which gave lists "
                          "another scale or order. Write 'action_scale' for each joint and 'joint_mapping' "
                          'in its place.')


def _assumptions(said: dict[str, Any], file: ForeignFile, where: str) -> list[str]:
    found, named = [], said.get('model_name')
    if named is not None and str(named).rpartition('.')[0] != file.path.stem:
        found.append(f"{where} is for '{str(named)[:100]}'; it is taken to be for {file.where}, too")
    bounds = [key for key in CLIPS if said.get(key)]
    if len(bounds) == 1:
        found.append(f"'{bounds[0]}' stands alone, so actions are not clipped")
    return found


def _joints(said: dict[str, Any], count: int, where: str) -> tuple[list[str], bool]:
    """Names in the policy's order, or numbers of motors where there are no names; and which of the two."""
    order, names = said.get('joint_mapping'), said.get('joint_names')
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
    if not isinstance(ages, list) or any(type(age) is not int or not 0 <= age <= MAX_AGE for age in ages):
        raise PolicyError(f"{where}: 'observations_history' is {str(ages)[:100]}; whole numbers from 0 to {MAX_AGE} "
                          'are needed.')
    return ages


def _layout(said: dict[str, Any], where: str) -> str:
    layout = said.get('observations_history_priority', 'time')
    if layout not in ('time', 'term'):
        raise PolicyError(f"{where}: 'observations_history_priority' is {layout!r}; time or term is needed.")
    return layout


def _bound(clip: Any, where: str) -> float:
    """By which every scaled value of the observation is clipped."""
    bound = as_float(clip, 'clip_obs', where)
    if bound <= 0:
        raise PolicyError(f"{where}: 'clip_obs' is {bound:g}; it must be positive.")
    return bound


def _observation(name: Any, said: dict[str, Any], bound: float, ages: list[int], where: str) -> ObservationSettings:
    term, key = known_term(name, TERMS, where)
    return ObservationSettings(term=term, name=name, scale=_scale(name, key, said, where), clip_scaled=(-bound, bound),
                               ages=ages)


def _scale(name: str, key: str | None, said: dict[str, Any], where: str) -> float | list[float]:
    if key is None:
        return 1.0
    value = required(said, (key,), where)[0]
    if name not in COUNTS:
        return as_float(value, key, where)
    if not isinstance(value, list) or len(value) != COUNTS[name]:
        raise PolicyError(f"{where}: '{key}' is {str(value)[:100]}; {COUNTS[name]} numbers are needed.")
    return as_floats(value, key, where)


def _clip(said: dict[str, Any], count: int, where: str) -> tuple[list[float], list[float]] | None:
    if not all(said.get(key) for key in CLIPS):
        return None
    bounds = tuple(as_floats(said[key], key, where) for key in CLIPS)
    for key, values in zip(CLIPS, bounds, strict=True):
        if len(values) != count:
            raise PolicyError(f"{where}: '{key}' has {len(values)} values for {count} joints.")
    return bounds


def _period(said: dict[str, Any], where: str) -> float | None:
    if said.get('dt') is None or said.get('decimation') is None:
        return None
    return as_float(said['dt'], 'dt', where) * as_float(said['decimation'], 'decimation', where)

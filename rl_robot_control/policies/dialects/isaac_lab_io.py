"""Isaac Lab's IO descriptors (``IO_descriptors.yaml``) beside the policy: joints by name, everything in full digits.

``export_IO_descriptors`` writes them below the run's folder, ``io_descriptors/``; the policy lies in ``exported/``. The
exporter leaves out terms that have no descriptor, with a line on its console only: the network's width tells.
"""

from __future__ import annotations

import re
from typing import Any

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import (
    Description,
    ForeignFile,
    ages,
    as_floats,
    by_joint,
    check_positive,
    known_term,
    only_ports,
    required,
    target_limits,
)
from rl_robot_control.tasks.interface import ActionSettings
from rl_robot_control.tasks.observation_group import MAX_AGE, ObservationSettings

NAME = 'isaac_lab_io'
PLACES = ('IO_descriptors.yaml', 'io_descriptors.yaml', '{stem}_IO_descriptors.yaml',
          '../io_descriptors/IO_descriptors.yaml', 'io_descriptors/IO_descriptors.yaml',
          '../params/IO_descriptors.yaml', 'params/IO_descriptors.yaml')
POSITION_ACTIONS = ('JointPositionAction',)
TERMS = {'base_lin_vel': 'base_linear_velocity', 'base_ang_vel': 'base_angular_velocity',
         'projected_gravity': 'projected_gravity', 'generated_commands': 'command', 'joint_pos_rel': 'joint_position',
         'joint_vel_rel': 'joint_velocity', 'joint_vel': 'joint_velocity', 'last_action': 'last_action'}
WIDTHS = {'base_lin_vel': 3, 'base_ang_vel': 3, 'projected_gravity': 3, 'generated_commands': 3}
EXPLICIT = ('an explicit actuator has its gains in its own configuration, and the descriptors show zero: write a YAML '
            'file beside the policy that has them')


def recognises(file: ForeignFile) -> bool:
    """Whether such a file lies beside the policy."""
    found = file.sidecar(*PLACES)
    return found is not None and isinstance(found[1], dict) and {'actions', 'articulations'} <= set(found[1])


def read(file: ForeignFile) -> Description:
    """What the two files say.

    Raises:
        PolicyError: They lack something or contradict each other.
    """
    path, data = file.sidecar(*PLACES)
    where = path.name
    actions, articulations, observations = required(data, ('actions', 'articulations', 'observations'), where)
    robot = _only(articulations, 'articulations', where)
    names, pose, stiffness, damping = required(
        robot, ('joint_names', 'default_joint_pos', 'default_joint_stiffness', 'default_joint_damping'), where)
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise PolicyError(f"{where}: joint '{twice}' of the robot stands twice.")
    kp = by_joint(names, as_floats(stiffness, 'default_joint_stiffness', where), 'default_joint_stiffness', where)
    kd = by_joint(names, as_floats(damping, 'default_joint_damping', where), 'default_joint_damping', where)
    zero = next((name for name in names if kp[name] <= 0 or kd[name] <= 0), None)
    if zero is not None:
        raise PolicyError(f"{where}: stiffness and damping of joint '{zero}' are {kp[zero]:g} and {kd[zero]:g}; they "
                          f'must be positive. {EXPLICIT}.')
    action, moved = _action(actions, where)
    poses = by_joint(names, as_floats(pose, 'default_joint_pos', where), 'default_joint_pos', where)
    group = observations.get('policy') if isinstance(observations, dict) else None
    if not isinstance(group, list) or not group:
        raise PolicyError(f"{where}: 'observations.policy' holds no terms.")
    network = only_ports(file, 'IO descriptors')
    return Description(
        dialect=NAME, joint_names=names, action_joint_names=moved, stiffness=kp, damping=kd,
        default_position=poses, action=action,
        observations=[_observation(said, poses, len(moved), where) for said in group],
        network=network, control_period=_period(data.get('scene') or {}, where))


def _only(articulations: Any, key: str, where: str) -> dict[str, Any]:
    if not isinstance(articulations, dict) or not articulations:
        raise PolicyError(f"{where}: '{key}' holds no robot.")
    if 'robot' in articulations or len(articulations) == 1:
        return articulations.get('robot') or next(iter(articulations.values()))
    raise PolicyError(f"{where}: '{key}' holds {', '.join(articulations)}; which of them is the robot is not said.")


def _action(actions: Any, where: str) -> tuple[ActionSettings, list[str]]:
    if not isinstance(actions, list) or len(actions) != 1 or not isinstance(actions[0], dict):
        raise PolicyError(f"{where}: 'actions' holds {len(actions) if isinstance(actions, list) else 'no'} terms; one "
                          'is expected.')
    said = actions[0]
    kind = str(said.get('full_path', '')).rpartition('.')[2]
    if kind not in POSITION_ACTIONS:
        raise PolicyError(f"{where}: the action is a {kind or said.get('action_type')}; joint positions are expected.")
    names, scale = required(said, ('joint_names', 'scale'), where)
    values = {key: as_floats(said[key], f'actions.{key}', where) if said.get(key) is not None else [0.0]
              for key in ('scale', 'offset')}
    for key, value in values.items():
        values[key] = value * len(names) if len(value) == 1 else list(
            by_joint(names, value, f'actions.{key}', where).values())
    check_positive(values['scale'], 'actions.scale', where)
    limits = None
    if said.get('clip') is not None:
        pairs = [_bounds(pair, 'actions.clip', where) for pair in said['clip']]
        limits = target_limits(pairs, names, 'actions.clip', where)
    return ActionSettings(joints=[], scale=values['scale'], clip=None, offset=values['offset'],
                          target_limits=limits), names


def _bounds(pair: Any, key: str, where: str) -> tuple[float, float]:
    """Least and greatest value; infinity stands where the exporter was given none."""
    if not (isinstance(pair, list) and len(pair) == 2 and all(
            isinstance(bound, (int, float)) and not isinstance(bound, bool) for bound in pair) and pair[0] < pair[1]):
        raise PolicyError(f"{where}: '{key}' holds {str(pair)[:100]}; two numbers, the smaller one first, are needed.")
    return float(pair[0]), float(pair[1])


def _observation(said: Any, pose: dict[str, float], moved: int, where: str) -> ObservationSettings:
    name = said.get('name') if isinstance(said, dict) else None
    term = known_term(name, TERMS, where)
    extra = said.get('overloads') or {}
    if (said.get('extras') or {}).get('modifiers'):
        raise PolicyError(f"{where}: observation term '{name}' has modifiers, which are not supported.")
    length = extra.get('history_length') or 0
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise PolicyError(f"{where}: history_length of '{name}' is {length!r}; a whole number is needed.")
    if length > MAX_AGE + 1:
        raise PolicyError(f"{where}: history_length of '{name}' is {length}, at most {MAX_AGE + 1} is kept.")
    if length > 1 and extra.get('flatten_history_dim') is False:
        raise PolicyError(f"{where}: the history of observation term '{name}' is not flattened; a policy here takes "
                          'one row of values.')
    scale = as_floats(1.0 if extra.get('scale') is None else extra['scale'], f'{name}.scale', where)
    clip = None if extra.get('clip') is None else _bounds(extra['clip'], f'{name}.clip', where)
    joints = said.get('joint_names') or []
    stranger = next((joint for joint in joints if joint not in pose), None)
    if stranger is not None:
        raise PolicyError(f"{where}: '{name}' observes joint '{stranger}', which is none of the robot's.")
    _check_offsets(said, joints, pose, where)
    _check_shape(said, WIDTHS.get(name, moved if name == 'last_action' else len(joints or pose)), where)
    # Without names all joints of the robot are meant, in its order.
    observed = list(joints or pose) if name.startswith('joint_') else []
    params = {'joints': [re.escape(joint) for joint in observed]} if observed else {}
    return ObservationSettings(term=term, name=name, params=params, scale=scale[0] if len(scale) == 1 else scale,
                               clip=clip, ages=ages(length, f'{name}.history_length', where))


def _check_offsets(said: dict[str, Any], joints: list[str], pose: dict[str, float], where: str) -> None:
    """What the term subtracts must be what is subtracted here: the default pose, and no velocity."""
    for key, usual in (('joint_pos_offsets', pose), ('joint_vel_offsets', dict.fromkeys(pose, 0.0))):
        if said.get(key) is None or not joints:
            continue
        given = by_joint(joints, as_floats(said[key], key, where), key, where)
        wrong = next((name for name in joints if abs(given[name] - usual[name]) > 1e-6), None)
        if wrong is not None:
            raise PolicyError(f"{where}: {key} of '{said['name']}' is {given[wrong]:g} for joint '{wrong}', expected "
                              f'{usual[wrong]:g}.')


def _check_shape(said: dict[str, Any], width: int, where: str) -> None:
    shape = said.get('shape')
    if shape is not None and shape != [width]:
        raise PolicyError(f"{where}: the shape of observation term '{said['name']}' is {str(shape)[:100]}, expected "
                          f'[{width}].')


def _period(scene: dict[str, Any], where: str) -> float | None:
    """``dt`` is the environment's step, ``decimation`` steps of ``physics_dt``."""
    if scene.get('dt') is None:
        return None
    period = as_floats(scene['dt'], 'scene.dt', where)[0]
    if scene.get('physics_dt') is not None and scene.get('decimation') is not None:
        product = as_floats(scene['physics_dt'], 'scene.physics_dt', where)[0] * scene['decimation']
        if abs(product - period) > 1e-6:
            raise PolicyError(f'{where}: scene.dt is {period:g} s, decimation · physics_dt {product:g} s; which is the '
                              "policy's period is not clear.")
    return period

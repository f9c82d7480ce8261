"""Isaac Lab's IO descriptors (``IO_descriptors.yaml``) beside the policy: joints by name, everything in full digits."""

from __future__ import annotations

import re
from typing import Any

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile, as_floats, by_joint, required
from rl_robot_control.policies.manifest import NetworkSettings
from rl_robot_control.tasks.interface import ActionSettings
from rl_robot_control.tasks.observation_group import ObservationSettings

NAME = 'isaac_lab_io'
PLACES = ('IO_descriptors.yaml', 'io_descriptors.yaml', '{stem}_IO_descriptors.yaml', '../params/IO_descriptors.yaml',
          'params/IO_descriptors.yaml')
POSITION_ACTIONS = ('JointPositionAction',)
TERMS = {'base_lin_vel': 'base_linear_velocity', 'base_ang_vel': 'base_angular_velocity',
         'projected_gravity': 'projected_gravity', 'generated_commands': 'command', 'joint_pos_rel': 'joint_position',
         'joint_vel_rel': 'joint_velocity', 'last_action': 'last_action'}
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
    kp = by_joint(names, as_floats(stiffness, 'default_joint_stiffness', where), 'default_joint_stiffness', where)
    kd = by_joint(names, as_floats(damping, 'default_joint_damping', where), 'default_joint_damping', where)
    zero = next((name for name in names if kp[name] <= 0 or kd[name] <= 0), None)
    if zero is not None:
        raise PolicyError(f"{where}: stiffness and damping of joint '{zero}' are {kp[zero]:g} and {kd[zero]:g}; they "
                          f'must be positive. {EXPLICIT}.')
    action, moved = _action(actions, where)
    group = observations.get('policy') if isinstance(observations, dict) else None
    if not isinstance(group, list) or not group:
        raise PolicyError(f"{where}: 'observations.policy' holds no terms.")
    if len(file.inputs) != 1 or len(file.outputs) != 1:
        raise PolicyError(f"{file.where}: has the inputs {', '.join(file.inputs)} and the outputs "
                          f"{', '.join(file.outputs)}; beside IO descriptors one of each is expected.")
    return Description(
        dialect=NAME, joint_names=names, action_joint_names=moved, stiffness=kp, damping=kd,
        default_position=by_joint(names, as_floats(pose, 'default_joint_pos', where), 'default_joint_pos', where),
        action=action, observations=[_observation(said, where) for said in group],
        network=NetworkSettings(observation=next(iter(file.inputs)), action=next(iter(file.outputs))),
        control_period=_period(data.get('scene') or {}, where))


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
    if any(value <= 0 for value in values['scale']):
        raise PolicyError(f"{where}: 'actions.scale' holds {min(values['scale']):g}; it must be positive.")
    limits = None
    if said.get('clip') is not None:
        pairs = [as_floats(pair, 'actions.clip', where) for pair in said['clip']]
        if len(pairs) != len(names) or any(len(pair) != 2 for pair in pairs):
            raise PolicyError(f"{where}: 'actions.clip' needs a pair for each of {len(names)} joints.")
        limits = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return ActionSettings(joints=[], scale=values['scale'], clip=None, offset=values['offset'],
                          target_limits=limits), names


def _observation(said: Any, where: str) -> ObservationSettings:
    name = said.get('name') if isinstance(said, dict) else None
    if name not in TERMS:
        raise PolicyError(f"{where}: observation term '{name}' is not known. Known are {', '.join(TERMS)}.")
    extra = said.get('overloads') or {}
    if (said.get('extras') or {}).get('modifiers'):
        raise PolicyError(f"{where}: observation term '{name}' has modifiers, which are not supported.")
    length = extra.get('history_length') or 0
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise PolicyError(f"{where}: history_length of '{name}' is {length!r}; a whole number is needed.")
    if length > 1 and extra.get('flatten_history_dim') is False:
        raise PolicyError(f"{where}: the history of observation term '{name}' is not flattened; a policy here takes "
                          'one row of values.')
    scale = as_floats(1.0 if extra.get('scale') is None else extra['scale'], f'{name}.scale', where)
    clip = None if extra.get('clip') is None else as_floats(extra['clip'], f'{name}.clip', where)
    if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
        raise PolicyError(f"{where}: clip of '{name}' is {clip}; two numbers, the smaller one first, are needed.")
    params = {'joints': [re.escape(joint) for joint in said['joint_names']]} if said.get('joint_names') else {}
    return ObservationSettings(term=TERMS[name], name=name, params=params, scale=scale[0] if len(scale) == 1 else scale,
                               clip=None if clip is None else tuple(clip),
                               ages=list(range(max(length, 1) - 1, -1, -1)))


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

"""Turns what a foreign file says into a manifest for one robot, and proves that it runs."""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rl_robot_control.config import config_names
from rl_robot_control.errors import PolicyError, RobotControlError
from rl_robot_control.files import write_whole
from rl_robot_control.policies.dialects import Description, ForeignFile, describe_foreign
from rl_robot_control.policies.dialects.foreign import USUAL_RATE, motor
from rl_robot_control.policies.gate import CheckedModel, check_network, graph_sha256
from rl_robot_control.policies.golden import GoldenVectors, record_state
from rl_robot_control.policies.manifest import (
    FORMAT_VERSION,
    MANIFEST_KEY,
    Manifest,
    OriginSettings,
    manifest_to_json,
    nullable,
    parse_manifest,
    shortened,
)
from rl_robot_control.policies.matching import policy_robot
from rl_robot_control.policies.session import PolicySession
from rl_robot_control.robots import RobotModel, load_robot
from rl_robot_control.tasks.interface import InterfaceSettings, PolicyInterface, probe
from rl_robot_control.tasks.motion import MotionSettings

NO_COMMAND = (0.0, 0.0, 0.0)
USUAL_COMMAND = (0.5, 0.3, 0.5)  # where the file does not say what it was trained for [m/s, m/s, rad/s]
LONGEST_MOTION = 2 ** 20  # control periods
READ_MOTION = 2 ** 16  # control periods of a motion that are looked at before it may move a robot
GREATEST = float(np.finfo(np.float32).max)
GOLDEN_OBSERVATIONS = 4
SHORTEST_PERIOD, LONGEST_PERIOD = 0.001, 1.0  # [s]


def import_policy(file: ForeignFile, sha256: str, robot: str | None = None, rate: float | None = None) -> CheckedModel:
    """Read a foreign policy for a robot.

    Args:
        file: The file; its contents have passed ``graph.check_contents``.
        sha256: Of the whole file.
        robot: Name in ``config/robots`` or path of a YAML file; None: the one robot that has all its joints.
        rate: Control rate where the file does not say it [Hz]; None: 50 Hz.

    Returns:
        The file with the manifest that follows from it.

    Raises:
        PolicyError: It is of no known dialect, lacks something, or does not fit the robot.
    """
    try:
        return _import(file, sha256, robot, rate)
    except PolicyError as error:
        raise PolicyError(shortened(str(error))) from None
    except ValueError as error:  # pydantic: a value that no dialect looked at, but that cannot be
        raise PolicyError(f'{file.where}: says something that cannot be: {str(error)[:500]}') from None


def _import(file: ForeignFile, sha256: str, robot: str | None, rate: float | None) -> CheckedModel:
    said = describe_foreign(file)
    model = _robot(said, robot, file.where)
    if said.by_motor:
        said = _named(said, model, file.where)
    manifest = _manifest(file, said, model, sha256, rate)
    batch = check_network(file.model, manifest, file.where)
    checked = CheckedModel(path=file.path, content=file.model.SerializeToString(), sha256=sha256, manifest=manifest,
                           batch=batch)
    manifest = _prove(checked, model)
    try:
        text = manifest_to_json(manifest)
    except PolicyError as error:
        raise PolicyError(f'{file.where}: {error}') from None
    return dataclasses.replace(checked, manifest=parse_manifest(text, file.where))


def write_native(checked: CheckedModel, path: Path) -> None:
    """Write the same network as a file of our own: a manifest replaces what metadata it had.

    Args:
        checked: The policy.
        path: File to write; replaced only once the new one is complete.
    """
    model = onnx.ModelProto.FromString(checked.content)
    del model.metadata_props[:]
    model.metadata_props.add(key=MANIFEST_KEY, value=manifest_to_json(checked.manifest))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, model.SerializeToString())


def _robot(said: Description, robot: str | None, where: str) -> RobotModel:
    """The robot that was asked for, or the only one that has all the joints."""
    if robot is not None:
        return load_robot(robot)
    if said.by_motor:
        raise PolicyError(f'{where}: counts motors and names no joints; say which robot it is for with --robot (a '
                          'name, or the path of a robot YAML file).')
    found = []
    for name in config_names('robots'):
        try:
            model = load_robot(name)
        except RobotControlError:
            continue  # its description is not installed
        if set(said.joint_names) <= set(model.joint_names):
            found.append(model)
    if len(found) != 1:
        fits = f'fit the robots {", ".join(model.name for model in found)}' if found else 'fit no known robot'
        raise PolicyError(f'{where}: its {len(said.joint_names)} joints ({said.joint_names[0]}, …) {fits}; say which '
                          'with --robot (a name, or the path of a robot YAML file).')
    return found[0]


def _named(said: Description, robot: RobotModel, where: str) -> Description:
    """Names in place of the numbers of motors: by the robot's ``sdk_joints``, else in the order of its joints."""
    known, count = robot.settings.sdk_joints, robot.num_joints
    order = robot.joint_names if known is None else known
    if said.num_motors not in (None, len(order)):
        has = f'{count} joints' if known is None else f'{len(order)} motors in its sdk_joints'
        raise PolicyError(f"{where}: counts {said.num_motors} motors, robot '{robot.name}' has {has}: which motor is "
                          "which joint cannot be told. Give --robot a robot YAML file whose sdk_joints are the SDK's "
                          'motors, in its order.')
    names = {motor(i): name for i, name in enumerate(order) if name is not None}
    beyond = [name for name in said.joint_names if name not in names]
    if beyond:
        raise PolicyError(f"{where}: moves motor {beyond[0][1:]}; robot '{robot.name}' has {count} joints and none "
                          'there, counted from 0.')
    values = {key: {names[name]: value for name, value in getattr(said, key).items() if name in names}
              for key in ('stiffness', 'damping', 'default_position')}
    observations = [dataclasses.replace(entry, params={
        **entry.params, 'joints': [re.escape(names[name]) for name in entry.params['joints']]})
        if 'joints' in entry.params else entry for entry in said.observations]
    note = [f"its motors are counted; their order is taken to be that of the joints of '{robot.name}'"]
    return dataclasses.replace(said, joint_names=[names[name] for name in said.joint_names], observations=observations,
                               action_joint_names=[names[name] for name in said.action_joint_names],
                               assumptions=said.assumptions + (note if known is None else []), by_motor=False, **values)


def _manifest(file: ForeignFile, said: Description, robot: RobotModel, sha256: str, rate: float | None) -> Manifest:
    where, assumptions = file.where, list(said.assumptions)
    _check_joints(said, robot, where)
    said = _finite_bounds(said)
    _check_numbers(said, where)
    if (said.anchor_link is None) != (not said.network.reference):
        raise PolicyError(f"{where}: a motion to track needs both the link that it is compared by ('anchor_link') and "
                          "the outputs that give it ('network.reference'); only one is there.")
    period = _period(said, rate, where, assumptions)
    values = {'default_position': said.default_position, 'stiffness': said.stiffness, 'damping': said.damping}
    lists = {key: [given.get(name, float(own)) for name, own in
                   zip(robot.joint_names, getattr(robot, key), strict=True)] for key, given in values.items()}
    held = [name for name in robot.joint_names if name not in said.action_joint_names]
    if held:
        assumptions.append(f'it does not move {len(held)} joints of the robot, which hold their default pose: '
                           + ', '.join(held))
    interface = InterfaceSettings(
        control_period=period, observations=said.observations, command=said.command, gait=said.gait,
        action=dataclasses.replace(said.action, joints=[re.escape(name) for name in said.action_joint_names]),
        history=said.history,
        motion=None if said.anchor_link is None else MotionSettings(anchor_link=said.anchor_link, length=1))
    model = dataclasses.replace(robot, **{key: np.array(value) for key, value in lists.items()})
    try:
        sizes = probe(interface, model, where).observation_sizes
    except Exception as error:  # terms get parameters from the file, and may fail on them in any way
        raise PolicyError(f'{where}: its observations or actions do not fit {robot.name}: {error}') from None
    lower, upper = said.command_lower, said.command_upper
    if said.command.kind == 'none':
        lower = upper = NO_COMMAND
    elif lower is None or upper is None:
        upper = USUAL_COMMAND
        lower = tuple(-value for value in upper)
        assumptions.append(f'the commands that it was trained for are not in the file: at most ±{upper} m/s, m/s, '
                           'rad/s are passed on')
    return Manifest(
        format_version=FORMAT_VERSION, robot=robot.name, task=said.task or 'unknown', algorithm='unknown',
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'), interface=interface,
        joint_names=list(robot.joint_names), action_joint_names=said.action_joint_names,
        effort_limit=robot.effort_limit.tolist(), position_lower=nullable(robot.position_lower),
        position_upper=nullable(robot.position_upper), observation_sizes=sizes, command_lower=lower,
        command_upper=upper, training=said.training, weights_sha256=graph_sha256(file.model),
        golden=GoldenVectors(observations=[], actions=[], frame_names=list(robot.frame_names), states=[]),
        network=said.network,
        origin=OriginSettings(dialect=said.dialect, file=where, sha256=sha256, assumptions=assumptions), **lists)


def _check_joints(said: Description, robot: RobotModel, where: str) -> None:
    for kind, names in (('joint', said.joint_names), ('action joint', said.action_joint_names)):
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise PolicyError(f'{where}: the names of its {kind}s are {str(names)[:200]}; a list of names is needed.')
        for i, name in enumerate(names):
            if name in names[:i]:
                raise PolicyError(f"{where}: {kind} '{name}' stands twice.")
            if name not in robot.joint_names:
                raise PolicyError(f"{where}: {kind} '{name}': robot '{robot.name}' has none. It was trained for "
                                  "another robot, or the robot's YAML leaves the joint out.")
    for key in ('stiffness', 'damping'):
        for name, value in getattr(said, key).items():
            if not (math.isfinite(value) and value > 0):
                raise PolicyError(f"{where}: {key} of joint '{name}' is {value}; it must be positive.")


def _finite_bounds(said: Description) -> Description:
    """The same, a bound of infinity replaced by the greatest float32: JSON has no infinity."""
    def finite(bounds: Any) -> Any:
        if isinstance(bounds, (tuple, list)):
            return type(bounds)(finite(bound) for bound in bounds)
        return bounds if bounds is None or math.isnan(bounds) else min(max(bounds, -GREATEST), GREATEST)

    action = dataclasses.replace(said.action, clip=finite(said.action.clip),
                                 target_limits=finite(said.action.target_limits))
    entries = [dataclasses.replace(entry, clip=finite(entry.clip), clip_scaled=finite(entry.clip_scaled))
               for entry in said.observations]
    return dataclasses.replace(said, action=action, observations=entries)


def _check_numbers(said: Description, where: str) -> None:
    """Refuse values that are not finite, and bounds whose smaller one comes last."""
    action, command = said.action, said.command
    numbers = {'default_position': said.default_position, 'command_lower': said.command_lower,
               'command_upper': said.command_upper, 'action.scale': action.scale, 'action.clip': action.clip,
               'action.offset': action.offset, 'action.target_limits': action.target_limits,
               'command.slew': command.slew, 'command.heading_gain': command.heading_gain,
               'command.heading_limit': command.heading_limit}
    bounds = {'action.clip': action.clip, 'action.target_limits': action.target_limits}
    for entry in said.observations:
        for key in ('scale', 'clip', 'clip_scaled'):
            numbers[f'{key} of observation term {entry.label}'] = getattr(entry, key)
        bounds |= {f'{key} of observation term {entry.label}': getattr(entry, key) for key in ('clip', 'clip_scaled')}
    for key, value in numbers.items():
        wrong = [number for number in _flat(value) if not isinstance(number, (int, float)) or not math.isfinite(number)]
        if wrong:
            raise PolicyError(f"{where}: '{key}' holds {str(wrong[0])[:50]}; finite numbers are needed.")
    for key, pair in bounds.items():
        if isinstance(pair, tuple) and any(low > high for low, high in zip(*map(_flat, pair))):
            raise PolicyError(f"{where}: '{key}' is {list(pair)}; each smaller bound comes first.")


def _flat(value: Any) -> list[Any]:
    """The single values of something nested; none of nothing."""
    if isinstance(value, dict):
        value = list(value.values())
    return [] if value is None else [item for part in value for item in _flat(part)] if isinstance(
        value, (list, tuple)) else [value]


def _period(said: Description, rate: float | None, where: str, assumptions: list[str]) -> float:
    if rate is not None and not 1.0 / LONGEST_PERIOD <= rate <= 1.0 / SHORTEST_PERIOD:
        raise PolicyError(f'{where}: a control rate of {rate:g} Hz was asked for; {1.0 / LONGEST_PERIOD:g} to '
                          f'{1.0 / SHORTEST_PERIOD:g} Hz are possible.')
    if said.control_period is not None:
        if not SHORTEST_PERIOD <= said.control_period <= LONGEST_PERIOD:
            raise PolicyError(f'{where}: its control period is {said.control_period:g} s; {SHORTEST_PERIOD} to '
                              f'{LONGEST_PERIOD} s are possible.')
        if rate is not None and not math.isclose(rate * said.control_period, 1.0, rel_tol=1e-6):
            raise PolicyError(f'{where}: was trained at {1 / said.control_period:g} Hz, not at {rate:g} Hz.')
        return said.control_period
    if rate is None:
        rate = USUAL_RATE
        assumptions.append(f'the control rate is not in the file: {rate:g} Hz')
    return 1.0 / rate


def _prove(checked: CheckedModel, robot: RobotModel) -> Manifest:
    """Run it on states of the standing robot and keep what comes out: golden vectors, and how long its motion is."""
    manifest, where = checked.manifest, checked.path.name
    session = PolicySession(checked, 1)
    if manifest.interface.motion is not None:
        length = _motion_length(session, where)
        _check_motion(session, min(length, READ_MOTION), set(manifest.network.reference), where)
        motion = dataclasses.replace(manifest.interface.motion, length=length)
        manifest = dataclasses.replace(manifest, interface=dataclasses.replace(manifest.interface, motion=motion))
    model, states = policy_robot(manifest, robot), []
    for command in (NO_COMMAND, manifest.command_upper):
        interface, state = PolicyInterface(manifest.interface, model, 1, where), model.standing_state(1)
        if interface.reference is not None:
            interface.reference = session.reference(0)
        interface.reset(state)
        states.append(record_state(interface, state, np.array([command])))
    first = np.array(states[0].observation)
    rng = np.random.default_rng(0)
    observations = [first, *(np.float64(np.float32(first + rng.normal(0.0, 0.1, len(first))))
                             for _ in range(GOLDEN_OBSERVATIONS - 1))]
    actions = [session(observation[None])[0].astype(np.float64) for observation in observations]
    if not np.isfinite(actions).all():
        raise PolicyError(f'{where}: it answers the standing robot with values that are not finite. Do not use it.')
    golden = GoldenVectors(observations=[o.tolist() for o in observations], actions=[a.tolist() for a in actions],
                           frame_names=list(robot.frame_names), states=states)
    return dataclasses.replace(manifest, golden=golden)


def _motion_length(session: PolicySession, where: str) -> int:
    """Control periods after which the motion no longer changes: files do not say how long their motion is."""
    def joints(step: int) -> np.ndarray | None:
        try:
            reference = session.reference(step)
        except PolicyError:
            return None  # beyond the end, in a network that does not clamp the step
        return np.concatenate([reference.joint_position[0], reference.joint_velocity[0],
                               reference.anchor_quaternion[0]])

    if joints(0) is None or not np.isfinite(joints(0)).all():
        raise PolicyError(f'{where}: the motion that it tracks is not finite, or cannot be read.')
    last = joints(LONGEST_MOTION)
    low, high = 0, LONGEST_MOTION  # the motion goes on at low, or is all of one instant; it has ended at high
    while high - low > 1:
        middle = (low + high) // 2
        found = joints(middle)
        ended = found is None or (last is not None and np.array_equal(found, last))
        low, high = (low, middle) if ended else (middle, high)
    return high + 1 if last is not None and high < LONGEST_MOTION else high


def _check_motion(session: PolicySession, length: int, given: set[str], where: str) -> None:
    """Refuse a motion that is somewhere no pose."""
    for step in range(length):
        reference = session.reference(step)
        for name, value in vars(reference).items():
            if name in given and not np.isfinite(value).all():
                raise PolicyError(f'{where}: the motion that it tracks has a {name} that is not finite, {step} control '
                                  'periods after its beginning.')
        norm = float(np.linalg.norm(reference.anchor_quaternion))
        if abs(norm - 1.0) > 0.1:
            raise PolicyError(f'{where}: the motion that it tracks has an anchor_quaternion of length {norm:g}, {step} '
                              'control periods after its beginning; it must be 1.')

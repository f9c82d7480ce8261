"""Checks of an installation, and the limits in force for a robot."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rl_robot_control.errors import RobotControlError

PACKAGES = ('numpy', 'numba', 'daqp', 'mujoco', 'gymnasium', 'torch', 'onnx', 'onnxscript', 'onnxruntime', 'pydantic',
            'PyYAML', 'typer', 'rich', 'mcap', 'matplotlib', 'pillow', 'tensorboard', 'example-robot-data')
DRAW = 'import mujoco; c = mujoco.GLContext(64, 64); c.make_current(); c.free()'


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check."""

    name: str
    good: bool | None  # None: something optional is missing
    detail: str
    advice: str = ''

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table for people."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def check_python() -> list[Finding]:
    """The interpreter and its processors."""
    good = sys.version_info >= (3, 10)
    return [Finding(name='Python', good=good, detail=f'{platform.python_version()} at {sys.executable}',
                    advice='' if good else 'Python 3.10 or newer is needed.'),
            Finding(name='processors', good=True, detail=f'{_processors()} for this process')]


def check_packages() -> list[Finding]:
    """The Python packages and their versions."""
    findings = []
    for name in PACKAGES:
        try:
            findings.append(Finding(name=name, good=True, detail=importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name=name, good=False, detail='not installed', advice=f'pip install {name}'))
    return findings


def check_torch() -> list[Finding]:
    """PyTorch's threads and GPU."""
    if importlib.util.find_spec('torch') is None:
        return []
    import torch
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU only'
    return [Finding(name='torch device', good=True, detail=f'{device}, {torch.get_num_threads()} threads')]


def check_ros() -> list[Finding]:
    """The ROS 2 client library, where it comes from, and whether a message travels over DDS."""
    from rl_robot_control.ros.processes import require_rclpy
    try:
        require_rclpy()
    except RobotControlError as error:
        return [Finding(name='ROS 2', good=None, detail='rclpy not found', advice=str(error))]
    origin = importlib.util.find_spec('rclpy').origin
    wheel = 'from pip' if _is_installed('ros-rclpy') else "the system's"
    findings = [Finding(name='ROS 2', good=True, detail=f'rclpy {wheel}, {os.path.dirname(str(origin))}')]
    missing = [name for name in ('launch', 'launch_ros') if not _is_package(name)]
    if missing:
        findings.append(Finding(name='ROS 2 launch', good=None, detail='not found: ' + ', '.join(missing),
                                advice='Only the launch files need it; it comes with a ROS 2 installation.'))
    return [*findings, _loopback()]


def check_graphics() -> list[Finding]:
    """Whether MuJoCo can draw without a window."""
    if importlib.util.find_spec('mujoco') is None:
        return []
    from rl_robot_control.report.video import DRIVERS, INSTALL
    for driver in DRIVERS:
        if _draws(driver):
            return [Finding(name='pictures', good=True, detail=f'MUJOCO_GL={driver}')]
    return [Finding(name='pictures', good=None, advice=INSTALL,
                    detail='no off-screen OpenGL; reports come without pictures of the robot')]


def check_robots() -> list[Finding]:
    """Whether the robots' descriptions load."""
    from rl_robot_control.robots import list_robots, load_robot
    findings = []
    for name in list_robots():
        try:
            robot = load_robot(name)
            findings.append(Finding(name=name, good=True, detail=f'{robot.num_joints} joints, {robot.urdf_path}'))
        except RobotControlError as error:
            findings.append(Finding(name=name, good=False, detail='does not load', advice=str(error)))
    return findings


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    check_python, check_packages, check_torch, check_ros, check_graphics, check_robots)


# Column → field of ``ShieldLimits`` and of a joint's YAML, if a joint can have its own.
_COMMANDED = {'lower [rad]': ('position_lower', 'position_margin'),
              'upper [rad]': ('position_upper', 'position_margin'),
              'overshoot [rad]': ('overshoot', 'overshoot'), 'velocity [rad/s]': ('velocity', 'velocity_limit'),
              'acceleration [rad/s²]': ('acceleration', 'acceleration_limit'), 'jerk [rad/s³]': ('jerk', 'jerk_limit'),
              'effort [N·m]': ('effort', 'effort_limit'), 'torque rate [N·m/s]': ('torque_rate', 'torque_rate_limit'),
              'stiffness [N·m/rad]': ('stiffness', 'stiffness'), 'damping [N·m·s/rad]': ('damping', 'damping')}
_MEASURED = {'stop below [rad]': ('stops', None), 'stop above [rad]': ('stops', None),
             'margin [rad]': ('stop_margin', 'stop_margin'),
             'velocity [rad/s]': ('measured_velocity', 'measured_velocity_limit'),
             'fault [rad/s]': ('measured_velocity_fault', None),
             'braking share [-]': ('braking_share', 'braking_share')}
_OTHERS = {'tilt': 'rad', 'turn': 'rad/s', 'height': 'm', 'contact_force': 'N', 'unloaded': 's', 'tilt_duration': 's',
           'measured_position_fault': 'rad beyond the stop', 'command_timeout': 's', 'command_damping_timeout': 's',
           'state_timeout': 's', 'max_rejected': 'in a row', 'rest_velocity': 'rad/s', 'require_measurements': ''}


def limits_tables(robot: str) -> list[Table]:
    """What the shield lets the robot do, and where each number comes from.

    Args:
        robot: Name or file.

    Raises:
        RobotControlError: The robot is unknown or wrong.
    """
    from rl_robot_control.robots import load_robot
    from rl_robot_control.shield.limits import ShieldLimits
    model = load_robot(robot)
    limits = ShieldLimits.from_robot(model)
    why = (f'why: {model.settings.shield.why}',) if model.settings.shield.why else ()
    guarded = () if model.mass > 0 else (
        'not watched: the URDF gives no link a mass, so where the joints will go cannot be predicted.',)
    others = [(name, _plain(getattr(limits, name)), unit, limits.sources[name]) for name, unit in _OTHERS.items()]
    return [_joint_table(f'{model.name}: commanded joints', model, limits, _COMMANDED, why),
            _joint_table(f'{model.name}: measured joints', model, limits, _MEASURED, guarded),
            Table(title=f'{model.name}: body, faults and time', columns=('limit', 'value', 'unit', 'from'), rows=others,
                  notes=('–: not checked.',)),
            _separation_table(model)]


def _joint_table(title: str, model: Any, limits: Any, columns: dict[str, tuple[str, str | None]],
                 notes: tuple[str, ...]) -> Table:
    values = {}
    for column, (name, _) in columns.items():
        value = getattr(limits, name)
        value = value['above' in column] if name == 'stops' else value
        values[column] = [None] * model.num_joints if value is None else _each(value, model.num_joints)
    rows = [(joint, *(values[column][i] for column in columns)) for i, joint in enumerate(model.joint_names)]
    origins = [f'{column}: {limits.sources[name]}' + _exceptions(model, own) for column, (name, own) in columns.items()]
    return Table(title=title, columns=('joint', *columns), rows=rows, notes=(*origins, *notes))


def _each(value: Any, joints: int) -> list[float | None]:
    import numpy as np
    return [number if np.isfinite(number) else None for number in np.broadcast_to(value, joints).tolist()]


def _exceptions(model: Any, own: str | None) -> str:
    """The joints whose YAML says something else than the robot's rule."""
    if own in (None, 'stiffness', 'damping', 'acceleration_limit'):  # those are the joints' own in any case
        return ''
    patterns = [pattern for pattern, joint in model.settings.joints.items() if getattr(joint, own) not in (None, 0.0)]
    return f'; robot YAML ({model.name}) for {", ".join(patterns)}' if patterns else ''


def _separation_table(model: Any) -> Table:
    """Links that must keep apart, and frames with a workspace."""
    from rl_robot_control.shield.clearance import make_clearance
    from rl_robot_control.shield.link_tree import LinkTree
    source = f'robot YAML ({model.name})'
    apart, space = model.settings.self_collision, model.settings.workspace
    if model.mass <= 0 or (apart is None and space is None):
        return Table(title=f'{model.name}: distances', columns=(), rows=[],
                     notes=('self-collision and workspace: not checked; self_collision and workspace in the YAML set '
                            'them.',))
    clearance = make_clearance(model, LinkTree(model))
    rows = [(name, float(distance)) for name, distance in zip(clearance.names, clearance.minimum, strict=True)]
    notes = [f'self-collision: {source}' + (', pairs: all that could meet (default)' if apart.pairs is None else '')
             if apart else 'self-collision: not checked', f'workspace: {source}' if space else 'workspace: not checked']
    return Table(title=f'{model.name}: distances', columns=('what', 'least [m]'), rows=rows, notes=tuple(notes))


def _plain(value: Any) -> Any:
    return ' to '.join(f'{number:g}' for number in value) if isinstance(value, tuple) else value


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
        return True
    except importlib.metadata.PackageNotFoundError:
        return False


def _is_package(name: str) -> bool:
    """Whether a real package can be imported; a mere folder of that name has no origin."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


def _loopback() -> Finding:
    from rl_robot_control.ros.loopback import round_trip
    try:
        seconds = round_trip()
    except RobotControlError as error:
        return Finding(name='DDS', good=False, detail='no message came through', advice=str(error))
    middleware = os.environ.get('RMW_IMPLEMENTATION', 'default middleware')
    return Finding(name='DDS', good=True, detail=f'{middleware}, a message came through in {1e3 * seconds:.1f} ms')


def _draws(driver: str) -> bool:
    """Whether a child process can make a context: a broken driver may end the process that tries."""
    try:
        return subprocess.run([sys.executable, '-c', DRAW], env={**os.environ, 'MUJOCO_GL': driver}, timeout=30,
                              stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    except subprocess.TimeoutExpired:
        return False

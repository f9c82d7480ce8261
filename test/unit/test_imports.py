"""Rooms import in one direction, and only the rooms of ROS import ROS."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'rl_robot_control'
BASE = {'types', 'errors', 'config', 'files', 'rotations'}
ROOMS = {  # room: the rooms that it may import
    'robots': BASE,
    'shield': BASE | {'robots'},
    'tasks': BASE | {'robots'},
    'backends': BASE | {'robots'},
    'policies': BASE | {'robots', 'tasks'},
    'envs': BASE | {'robots', 'tasks', 'shield', 'backends'},
    'learning': BASE | {'robots', 'tasks', 'shield', 'backends', 'envs', 'policies'},
    'report': BASE | {'robots', 'backends', 'shield', 'tasks', 'envs', 'policies'},
    'ros': BASE | {'robots', 'tasks', 'shield', 'backends', 'envs', 'policies', 'learning', 'report'},
    'bringup': BASE | {'robots', 'tasks', 'backends', 'policies', 'ros'},
}
SETTINGS_ONLY = {'rl_robot_control.backends.physics'}  # a task's YAML says how its world is simulated; data, no engine
ROS_ROOMS = {'ros', 'nodes', 'bringup'}
ROS_MODULES = ('rclpy', 'ament_index_python', 'launch', 'launch_ros', 'builtin_interfaces', 'std_srvs')
LEARNING_MODULES = ('torch', 'stable_baselines3')


def imports(path, package='rl_robot_control'):
    """Fully written names of everything that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(PACKAGE.parent).parent.parts
            base = '.'.join(above[:len(above) - node.level + 1]) + '.' if node.level else ''
            module = f'{base}{node.module or ""}'.strip('.')
            yield module
            yield from (f'{module}.{alias.name}' for alias in node.names)


def files(room):
    return sorted((PACKAGE / room).rglob('*.py'))


def is_ros(name):
    top = name.partition('.')[0]
    return top in ROS_MODULES or top.endswith(('_msgs', '_interfaces'))


def room_of(name):
    parts = name.split('.')
    return parts[1] if parts[0] == 'rl_robot_control' and len(parts) > 1 else None


def known_rooms():
    return set(ROOMS) | BASE | ROS_ROOMS


def test_the_walk_sees_imports_inside_functions_and_relative_ones(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), 'PACKAGE', tmp_path / 'rl_robot_control')
    path = tmp_path / 'rl_robot_control' / 'shield' / 'x.py'
    path.parent.mkdir(parents=True)
    path.write_text('def f():\n    import rclpy.node\n    from . import limits\n    from ..ros import backend\n')
    found = list(imports(path))
    assert 'rclpy.node' in found and is_ros('rclpy.node') and is_ros('sensor_msgs.msg')
    assert 'rl_robot_control.shield.limits' in found
    assert room_of('rl_robot_control.ros.backend') == 'ros' and 'rl_robot_control.ros.backend' in found


@pytest.mark.parametrize('path', [p for p in sorted(PACKAGE.rglob('*.py'))
                                  if p.relative_to(PACKAGE).parts[0] not in ROS_ROOMS],
                         ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_rooms_of_ros_import_ros(path):
    assert [name for name in imports(path) if is_ros(name)] == []


@pytest.mark.parametrize('room', ROOMS)
def test_rooms_import_in_one_direction(room):
    allowed = ROOMS[room] | {room}
    wrong = [(path.name, name) for path in files(room) for name in imports(path)
             if room_of(name) in known_rooms() and room_of(name) not in allowed
             and not any(name.startswith(module) for module in SETTINGS_ONLY)]
    assert wrong == []


@pytest.mark.parametrize('name', sorted(BASE))
def test_the_base_imports_no_room(name):
    assert [found for found in imports(PACKAGE / f'{name}.py')
            if room_of(found) in set(ROOMS) | ROS_ROOMS] == []


@pytest.mark.parametrize('path', list(itertools.chain.from_iterable(
    files(room) for room in ('robots', 'shield', 'tasks', 'backends', 'policies', 'envs'))),
    ids=lambda p: str(p.relative_to(PACKAGE)))
def test_torch_stays_with_learning(path):
    assert [name for name in imports(path) if name.partition('.')[0] in LEARNING_MODULES] == []


@pytest.mark.parametrize('module', ['ros/processes.py', 'bringup/node_spec.py', 'bringup/compositions.py',
                                    'bringup/launch_arguments.py'])
def test_importable_without_ros(module):
    """The command line says how to install rclpy; it can only do that where these work without."""
    tree = ast.parse((PACKAGE / module).read_text())
    top = [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    top += [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert not any(is_ros(name) for name in top)


@pytest.mark.parametrize('node', ['supervisor', 'monitor', 'unitree'])
def test_what_only_watches_loads_no_compiled_kernel(node):
    """The supervisor is to be there before the shield is, whose kernel takes a second to load."""
    pytest.importorskip('rclpy')
    code = f'import rl_robot_control.nodes.{node}, sys; print([m for m in ("numba", "mujoco") if m in sys.modules])'
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == '[]'

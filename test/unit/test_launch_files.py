"""The launch files as text: names, arguments that are declared and used, files that exist. Needs no launch."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from rl_robot_control.bringup.launch_arguments import ARGUMENTS, table
from rl_robot_control.errors import UnknownNameError

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
COMMON = [ROOT / 'rl_robot_control' / 'bringup' / f'{name}.py' for name in ('launching', 'gazebo', 'ros2_control')]
READERS = ('text', 'flag', 'number', 'file')
NODES = {'simulation', 'shield', 'supervisor', 'inference', 'training', 'monitor', 'unitree'}


def declared(path: Path) -> tuple[str, ...]:
    """The file's ARGUMENTS."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == 'ARGUMENTS':
            return ast.literal_eval(node.value)
    raise AssertionError(f'{path.name} has no ARGUMENTS')


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


def read(path: Path) -> set[str]:
    """Names of the arguments that a file asks for."""
    found = set()
    for call in calls(path):
        if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name):
            texts = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
            if call.func.value.id == 'given' and call.func.attr in (*READERS, 'passed_on'):
                found |= set(texts)
    for node in ast.walk(ast.parse(path.read_text())):  # ... for name in ('a', 'b')
        if isinstance(node, ast.comprehension) and isinstance(node.iter, ast.Tuple):
            found |= {item.value for item in node.iter.elts if isinstance(item, ast.Constant)}
    return found


def indirect(path: Path) -> set[str]:
    """Names of the arguments that the helpers ask for on behalf of a file."""
    text = path.read_text()
    names = {'namespace', 'use_sim_time', 'secure'}
    if 'given.robot(' in text:
        names |= {'robot', 'hardware'}
    if 'launching.rviz(' in text:
        names.add('rviz')
    if 'gazebo.' in text:
        names |= {'world', 'gui', 'hold'}
    if 'ros2_control.' in text:
        names.add('controllers')
    if 'given.passed_on' in text:
        names.add('unitree_parameters')
    return names | {f'{node}_parameters' for node in NODES}


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_arguments(path):
    names = declared(path)
    assert len(set(names)) == len(names)
    assert {'namespace', 'use_sim_time'} <= set(names)
    for name, row in table(names).items():
        assert row.description and row.description[0].isupper(), name
        assert not row.choices or row.default in row.choices, name
    assert read(path) <= set(names), 'asks for an argument that it does not declare'
    assert set(names) <= read(path) | indirect(path), 'declares an argument that it does not use'


@pytest.mark.parametrize('path', COMMON, ids=lambda path: path.name)
def test_the_helpers_ask_for_arguments_that_there_are(path):
    assert read(path) - {'--controller-manager'} <= set(ARGUMENTS)


def test_every_argument_is_some_file_s():
    assert set().union(*map(declared, FILES)) == set(ARGUMENTS)


def test_unknown_argument():
    with pytest.raises(UnknownNameError, match=r"unknown launch argument 'robto'; did you mean 'robot'\?"):
        table(('robto',))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_shape(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) and f'ros2 launch rl_robot_control {path.name}' in ast.get_docstring(tree)
    assert any(isinstance(node, ast.FunctionDef) and node.name == 'generate_launch_description' for node in tree.body)
    for call in calls(path):
        if isinstance(call.func, ast.Attribute) and call.func.attr == 'include':
            assert (ROOT / 'launch' / f'{call.args[0].value}.launch.py').is_file()


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_the_file_s_own_commands(path):
    """Arguments in its docstring are declared."""
    for line in ast.get_docstring(ast.parse(path.read_text())).splitlines():
        words = line.split()
        if words[:3] == ['ros2', 'launch', 'rl_robot_control']:
            target = declared(ROOT / 'launch' / words[3])
            assert {word.partition(':=')[0] for word in words[4:]} <= set(target), line


def packages() -> set[str]:
    """Other packages whose executables or launch files are started."""
    found = set()
    for path in [*FILES, *COMMON, ROOT / 'rl_robot_control' / 'bringup' / 'compositions.py']:
        for call in calls(path):
            names = [keyword.value for keyword in call.keywords if keyword.arg == 'package']
            if isinstance(call.func, ast.Name) and call.func.id == 'FindPackageShare':
                names += call.args
            found |= {name.value for name in names if isinstance(name, ast.Constant)}
    return found


def test_every_package_that_is_started_is_declared_or_named():
    """In package.xml, or in README's table of what is installed when it is wanted."""
    declared_there = {element.text for element in ElementTree.parse(ROOT / 'package.xml').getroot()}
    table = (ROOT / 'README.md').read_text().partition('| what | pip alone |')[2].partition('\n\n')[0]
    parts = {'ros_gz_sim': 'ros-gz', 'ros_gz_bridge': 'ros-gz', 'controller_manager': 'ros2-control'}
    assert {'robot_state_publisher', 'controller_manager', 'ros_gz_sim', 'rviz2'} <= packages()
    for name in packages():
        assert name in declared_there or f'-{parts.get(name, name.replace("_", "-"))}' in table, name

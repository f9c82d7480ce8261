"""The package as ROS 2 and pip see it."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
NODES = ('inference', 'monitor', 'shield', 'simulation', 'supervisor', 'training', 'unitree')
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
LEFT_OUT = shutil.ignore_patterns('.*', 'runs', 'build', 'install', 'log', 'dist', '*.egg-info', '__pycache__', 'test')


@pytest.fixture(scope='module')
def manifest():
    return ElementTree.parse(ROOT / 'package.xml').getroot()


@pytest.fixture(scope='module')
def setup_arguments():
    """What setup.py hands to setuptools."""
    import setuptools
    found = {}
    original, setuptools.setup = setuptools.setup, lambda **arguments: found.update(arguments)
    try:
        source = (ROOT / 'setup.py').read_text()
        folder = os.getcwd()
        os.chdir(ROOT)
        exec(compile(source, 'setup.py', 'exec'), {'__file__': str(ROOT / 'setup.py'), '__name__': 'setup'})
    finally:
        setuptools.setup = original
        os.chdir(folder)
    return found


@pytest.fixture(scope='module')
def pins():
    lines = (ROOT / 'constraints.txt').read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith('#')]
    return {_key(r.name): str(r.specifier).removeprefix('==') for r in requirements}


def _key(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()


def _ros_imports() -> set[str]:
    """Top-level ROS packages that the sources and launch files import."""
    names = set()
    for path in [*(ROOT / 'rl_robot_control').rglob('*.py'), *LAUNCH_FILES]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module or ''] if isinstance(node, ast.ImportFrom) and not node.level else \
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names |= {module.partition('.')[0] for module in modules}
    pattern = re.compile(r'rclpy|launch\w*|\w+_(msgs|srvs|interfaces)|ament_index_python')
    return {name for name in names if pattern.fullmatch(name)}


def test_manifest_is_one_that_ros_accepts(manifest, setup_arguments):
    """catkin_pkg's rules; a package.xml that breaks one makes colcon treat the package as plain Python, silently."""
    assert manifest.get('format') == '3'
    for tag in ('name', 'version', 'description', 'maintainer', 'license'):
        assert manifest.findtext(tag).strip()
    assert re.fullmatch(r'[a-zA-Z0-9._%+-]+@[a-zA-Z0-9._%+-]+\.[a-zA-Z]{2,6}', manifest.find('maintainer').get('email'))
    assert re.fullmatch(r'\d+\.\d+\.\d+', manifest.findtext('version'))
    assert manifest.findtext('export/build_type') == 'ament_python'
    assert manifest.findtext('name') == setup_arguments['name'] == 'rl_robot_control'
    assert manifest.findtext('version') == setup_arguments['version']
    assert manifest.findtext('license') == setup_arguments['license']
    assert manifest.find('maintainer').get('email') == setup_arguments['maintainer_email']
    depends = [element.text for element in manifest if element.tag.endswith('depend')]
    assert len(depends) == len(set(depends))


def test_every_ros_import_is_declared(manifest, setup_arguments):
    declared = {element.text for element in manifest.findall('exec_depend')}
    wheels = {name.removeprefix('ros-').replace('-', '_') for name in setup_arguments['extras_require']['ros']}
    imported = _ros_imports()
    assert {'rclpy', 'sensor_msgs', 'launch'} <= imported
    assert imported <= declared
    assert imported - wheels == {'launch', 'launch_ros'}  # of these two there is no wheel


def test_every_import_is_required(setup_arguments):
    required = {Requirement(text).name for text in setup_arguments['install_requires']}
    provided = {'numpy': 'numpy', 'yaml': 'PyYAML', 'PIL': 'pillow', 'google': 'protobuf', 'rsl_rl': 'rsl-rl-lib',
                'stable_baselines3': 'stable-baselines3', 'sb3_contrib': 'sb3-contrib'}
    known = {*sys.stdlib_module_names, 'rl_robot_control', *_ros_imports()}
    for path in (ROOT / 'rl_robot_control').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else \
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in {name.partition('.')[0] for name in modules}:
                if module in known:
                    continue
                assert provided.get(module, module) in required, f'{path.name} imports {module}'


def test_constraints_pin_what_setup_asks_for(setup_arguments, pins):
    wanted = [*setup_arguments['install_requires'], *setup_arguments['extras_require']['ros'],
              *setup_arguments['extras_require']['test']]
    for text in wanted:
        requirement = Requirement(text)
        assert _key(requirement.name) in pins, f'{requirement.name} has no line in constraints.txt'
        assert requirement.specifier.contains(pins[_key(requirement.name)]), text


def test_constraints_are_plain_versions(pins):
    for name, version in pins.items():
        assert re.fullmatch(r'[0-9.]+', version), f'{name}{version}'


def test_setup_cfg_sends_executables_where_ros2_run_looks():
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg')
    assert parser['develop']['script_dir'] == parser['install']['install_scripts'] == '$base/lib/rl_robot_control'


@pytest.mark.parametrize('node', NODES)
def test_executable(node):
    path = ROOT / 'scripts' / f'{node}_node'
    assert os.access(path, os.X_OK)
    lines = path.read_text().splitlines()
    assert lines[0] == '#!/usr/bin/env python3'
    assert f'from rl_robot_control.nodes.{node} import main' in lines
    assert (ROOT / 'rl_robot_control' / 'nodes' / f'{node}.py').is_file()
    assert (ROOT / 'config' / 'nodes' / f'{node}.yaml').is_file()


def test_wheel_holds_everything(tmp_path):
    """What `pip install .` installs: executables with their bit, index, settings, launch files."""
    source = tmp_path / 'source'
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    subprocess.run([sys.executable, '-m', 'pip', '--disable-pip-version-check', 'wheel', '-qq', '--no-deps',
                    '--no-build-isolation', '--no-index', '-w', str(tmp_path), str(source)], check=True, timeout=100,
                   stdin=subprocess.DEVNULL)
    with zipfile.ZipFile(next(tmp_path.glob('*.whl'))) as wheel:
        data = {name.partition('.data/data/')[2]: info for name, info in wheel.NameToInfo.items() if '.data/' in name}
        packaged = set(wheel.namelist())
        scripts = wheel.read(next(name for name in packaged if name.endswith('entry_points.txt'))).decode()
    for node in NODES:
        assert data[f'lib/rl_robot_control/{node}_node'].external_attr >> 16 & 0o111, node
    assert 'share/ament_index/resource_index/packages/rl_robot_control' in data
    assert 'share/rl_robot_control/package.xml' in data
    for folder in ('config', 'launch', 'benchmarks', 'pretrained'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts and not path.name.startswith('.'):
                assert f'share/rl_robot_control/{path.relative_to(ROOT)}' in data
    for path in (ROOT / 'rl_robot_control').rglob('*.py'):
        assert str(path.relative_to(ROOT)) in packaged
    assert 'rl_robot_control = rl_robot_control.__main__:main' in scripts
    assert not [name for name in packaged if name.startswith(('test/', 'tools/'))]


def test_source_distribution_holds_what_setup_reads():
    lines = (ROOT / 'MANIFEST.in').read_text()
    for folder in ('config', 'launch', 'benchmarks', 'pretrained', 'resource', 'scripts'):
        assert not (ROOT / folder).is_dir() or f'recursive-include {folder} ' in lines, folder


def test_python_too_old_is_refused(tmp_path):
    """The Makefile's own message, from an interpreter that says it is Python 3.8."""
    old = tmp_path / 'old_python'
    old.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.8.1; exit 0; fi\nexit 1\n')
    old.chmod(0o755)
    shutil.copytree(ROOT, tmp_path / 'source', ignore=LEFT_OUT)
    result = subprocess.run(['make', 'setup', f'PYTHON={old}'], cwd=tmp_path / 'source', capture_output=True, text=True,
                            timeout=60, stdin=subprocess.DEVNULL)
    assert result.returncode != 0
    assert 'needs Python 3.10 to 3.13' in result.stdout
    assert 'Python 3.8.1' in result.stdout
    assert not (tmp_path / 'source' / '.venv').exists()

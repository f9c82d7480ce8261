"""Every command and example of the README is run, or where that would take long or need a robot, parsed."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from rl_robot_control.bringup.launch_arguments import table
from rl_robot_control.cli import app
from rl_robot_control.config import parse_settings
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.model import RobotSettings

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
README = PAGES[0].read_text()


def blocks(text: str, language: str = '') -> list[str]:
    """The fenced blocks of a language."""
    return [body for found, body in re.findall(r'```(\w*)\n(.*?)```', text, re.DOTALL) if found == language]


def commands(start: str) -> list[str]:
    """Lines of the pages' blocks that begin with a word."""
    lines = [line.strip() for page in PAGES for block in blocks(page.read_text()) + blocks(page.read_text(), 'bash')
             for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith(f'{start} ')})


def parse(words: list[str]) -> None:
    """Let the command line read the arguments, without running the command; it exits where they are wrong."""
    group = get_command(app)
    name, command, rest = group.resolve_command(group.make_context('rl_robot_control', words), words)
    command.make_context(name, rest)


@pytest.mark.parametrize('line', commands('rl_robot_control'))
def test_command_line(line):
    parse(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize('words', [['train', '--no-such-option'], ['evaluate', 'p.onnx', '--episodes', '0']])
def test_the_parser_would_notice(words):
    with pytest.raises(Exception, match='(?i)no such option|greater than'):
        parse(words)


def test_the_readme_shows_the_command_line():
    shown = {shlex.split(line)[1] for line in commands('rl_robot_control')}
    assert {'train', 'evaluate', 'export', 'inspect', 'deploy', 'list', 'bench', 'doctor'} <= shown


@pytest.mark.parametrize('line', commands('make'))
def test_make_target(line):
    targets = re.findall(r'^([a-z]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    variables = re.findall(r'^(\w+) *\?=', (ROOT / 'Makefile').read_text(), re.MULTILINE)
    target, *settings = line.split('<')[0].split()[1:]
    assert target in targets
    assert all(setting.partition('=')[0] in variables for setting in settings)


@pytest.mark.parametrize('line', commands('ros2 launch rl_robot_control'))
def test_launch_command(line):
    name, *arguments = line.split()[3:]
    module = ast.parse((ROOT / 'launch' / name).read_text())
    declared = next(ast.literal_eval(node.value) for node in module.body if isinstance(node, ast.Assign))
    for argument in arguments:
        given, _, value = argument.partition(':=')
        row = table(declared)[given]
        assert not row.choices or value in row.choices


@pytest.mark.parametrize('line', commands('ros2 run rl_robot_control'))
def test_run_command(line):
    assert (ROOT / 'scripts' / line.split()[3]).is_file()


def test_topic_table():
    """Each topic and service of the interface stands in the table, and no other one."""
    interface = pytest.importorskip('rl_robot_control.ros.interface', reason='needs rclpy')
    entries = [value for value in vars(interface).values() if isinstance(value, (interface.Topic, interface.Service))]
    table = re.findall(r'^\| (`[^|]+`) \| (\w+)/(\w+) \|', README, re.MULTILINE)
    shown = {name: f'{package}.{kind}' for cell, package, kind in table for name in re.findall('`([^`]+)`', cell)}
    for entry in entries:
        if entry is interface.SHIELD_RESET:  # between the package's own nodes
            continue
        package = entry.type.__module__.partition('.')[0]
        assert shown.pop(entry.name) == f'{package}.{entry.type.__name__}', entry.name
    assert set(shown) == {'contacts/<frame>', '<controller>/commands', 'inference/use/<policy>'}


def test_robot_example():
    example = next(yaml.safe_load(text) for text in blocks(README, 'yaml') if 'urdf:' in text)
    assert parse_settings(example, RobotSettings, 'README').name == 'my_arm'


def test_policy_example():
    from rl_robot_control.policies.dialects.plain_yaml import PlainPolicy, in_full
    text = next(text for text in blocks((ROOT / 'docs' / 'policies.md').read_text(), 'yaml') if 'observations:' in text)
    said = parse_settings(in_full(yaml.safe_load(text)), PlainPolicy, 'policies.md')
    assert said.network.states == {'h_in': 'h_out'} and said.observations[2].ages == [2, 1, 0]


def test_task_example(tmp_path):
    from rl_robot_control.tasks.task import load_task
    text = next(text for text in blocks(README, 'yaml') if 'rewards:' in text)
    (tmp_path / 'touch.yaml').write_text(text)
    task = load_task(str(tmp_path / 'touch.yaml'), load_robot('unitree_g1'))
    assert task.name == 'touch'


def test_python_example(capsys):
    for text in blocks(README, 'python'):
        exec(compile(ast.parse(text), 'README.md', 'exec'), {})


def test_paths_that_are_named_exist():
    for path in re.findall(r'\]\(([\w/.]+)\)', README):
        assert (ROOT / path).exists(), path

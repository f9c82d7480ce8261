"""The command line: exit codes, one message on stderr, JSON alone on stdout."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from rl_robot_control import cli, demo_stages, doctor
from rl_robot_control.cli import KINDS, app
from rl_robot_control.config import config_directory
from rl_robot_control.robots import load_robot

COMMANDS = ('train', 'tune', 'rollouts', 'evaluate', 'export', 'inspect', 'deploy', 'demo', 'list', 'bench', 'doctor')
HEAVY = ('torch', 'mujoco', 'onnxruntime', 'rclpy', 'matplotlib', 'pydantic')


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the command line in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('COLUMNS', '200')
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_help_names_the_commands(run):
    result = run('--help')
    assert result.exit_code == 0
    for command in COMMANDS:
        assert re.search(rf'\b{command}\b', result.stdout)


@pytest.mark.parametrize('command', COMMANDS)
def test_help_of_each_command(run, command):
    assert run(command, '--help').exit_code == 0


def test_help_imports_nothing_heavy():
    code = ('import sys\nfrom rl_robot_control.cli import app\n'
            'try: app(["--help"])\nexcept SystemExit: pass\n'
            f'print("loaded:", [name for name in {HEAVY} if name in sys.modules])')
    output = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert output.splitlines()[-1] == 'loaded: []'


@pytest.mark.parametrize(('words', 'message'), [
    ('train', '--robot is missing; give one of: '),
    ('train --robot unitree_g1', '--task is missing; give one of: '),
    ('train --robot unitree_g2 --task walk', "unknown robot 'unitree_g2'; did you mean 'unitree_g1'?"),
    ('train --robot unitree_g1 --task wlak', "unknown task 'wlak'; did you mean 'walk'?"),
    ('train --robot unitree_g1 --task walk --algorithm pp', "unknown algorithm 'pp'; did you mean 'ppo'?"),
    ('train --robot unitree_g1 --task walk --backend ros --num-envs 3', '--num-envs is 3; over topics there is one'),
    ('train --robot servo --task joint_servo --backend realtime --budget simulation',
     "--budget is 'simulation'; in real time no robot can be put where an episode starts"),
    ('train --robot servo --task joint_servo --backend realtime --num-envs 2',
     "--num-envs is 2; the budget 'hardware' is for one robot"),
    ('train --resume', '--out is missing; give the folder of the run to resume'),
    ('train --resume --out nothing', "'nothing' holds no run to resume"),
    ('evaluate nothing.onnx', "policy file 'nothing.onnx' does not exist"),
    ('evaluate nothing', "unknown policy 'nothing'"),
    ('inspect nothing.onnx', "policy file 'nothing.onnx' does not exist"),
    ('deploy nothing.onnx', "policy file 'nothing.onnx' does not exist"),
    ('export nothing', "'nothing' holds no checkpoint"),
    ('export . --out policy.pt', "--out is 'policy.pt'; the name of a policy file ends in .onnx"),
    ('parity p.onnx r.mcap --plot terms.jpg', "--plot is 'terms.jpg'; the name of a picture ends in .png"),
    ('list robts', "unknown kind 'robts'; did you mean 'robots'?"),
    ('bench sheild', "unknown benchmark 'sheild'; did you mean 'shield'?"),
    ('doctor --robot unitree', "unknown robot 'unitree'; did you mean 'unitree_g1'?"),
    ('demo --resume', '--out is missing; give the folder of the demo to resume'),
])
def test_mendable_error(run, words, message):
    result = run(*words.split())
    assert result.exit_code == 2
    assert message in ' '.join(result.stderr.split())
    assert 'Traceback' not in result.output
    assert result.stdout == ''


@pytest.mark.parametrize('words', [
    'evaluate p.onnx --episodes 0', 'evaluate p.onnx --episodes -3', 'evaluate p.onnx --episodes many',
    'evaluate p.onnx --seed -1', 'evaluate p.onnx --seed 4294967296', 'evaluate p.onnx --backend gazebo',
    'evaluate p.onnx --speed fast', 'evaluate p.onnx --duration 0', 'evaluate', 'train --num-envs 0', 'train --steps 0',
    'train --minutes -1', 'train --minutes 0', 'demo --episodes 0', 'nonsense', 'train --nonsense', 'list', 'bench'])
def test_nonsense_arguments(run, words):
    result = run(*words.split())
    assert result.exit_code == 2
    assert 'Error' in result.stderr
    assert 'Traceback' not in result.output


def test_occupied_folder(run, tmp_path):
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').touch()
    result = run('demo', '--out', 'full')
    assert result.exit_code == 2
    assert "'full' is not empty; go on with it with --resume, or give another folder" in result.stderr


def test_truncated_policy(run, tmp_path):
    (tmp_path / 'cut.onnx').write_bytes(b'\x08\x0a\x12')
    for command in ('inspect', 'evaluate', 'deploy'):
        result = run(command, 'cut.onnx')
        assert result.exit_code == 2, command
        assert 'cut.onnx' in result.stderr


@pytest.mark.parametrize('kind', KINDS)
def test_list_as_json(run, kind):
    result = run('list', kind, '--json')
    names = json.loads(result.stdout)
    assert result.exit_code == 0
    assert names == sorted(names)
    if kind != 'policies':
        assert {'robots': 'unitree_g1', 'tasks': 'walk', 'algorithms': 'ppo'}[kind] in names


def test_bench_as_json(run):
    result = run('bench', 'shield', '--json')
    found = json.loads(result.stdout)
    assert found['ratio'] == pytest.approx(found['measured'] / found['reference'])
    assert any('unit' in key for key in found)


def test_bench_says_what_runs_on_its_own(run):
    result = run('bench', 'fault_matrix')
    assert result.exit_code == 2
    assert "benchmark 'fault_matrix' runs on its own: it wants to know trials" in result.stderr


def test_doctor_shows_limits(run):
    commanded, measured, others, distances = json.loads(run('doctor', '--robot', 'unitree_g1', '--json').stdout)
    g1 = load_robot('unitree_g1')
    knee = dict(zip(commanded['columns'], commanded['rows'][3]))
    assert knee['joint'] == 'left_knee_joint'
    assert knee['effort [N·m]'] == pytest.approx(0.9 * g1.effort_limit[3])  # the default fraction
    assert knee['jerk [rad/s³]'] is None  # not limited
    notes = {note.partition(':')[0]: note for note in commanded['notes'] + measured['notes']}
    assert notes['effort [N·m]'] == 'effort [N·m]: URDF × 0.9 (default)'
    assert notes['margin [rad]'].startswith('margin [rad]: default; robot YAML (unitree_g1) for ')
    assert 'waist_roll_joint' in notes['margin [rad]']
    stops = dict(zip(measured['columns'], measured['rows'][3]))
    assert stops['stop above [rad]'] == pytest.approx(g1.position_upper[3])
    assert ['height', '0.35 to 1.2', 'm', 'robot YAML (unitree_g1)'] in others['rows']
    assert ['left_wrist_yaw_link – pelvis', 0.01] in distances['rows']


def test_doctor_says_what_is_not_watched(run, tmp_path):
    settings = tmp_path / 'g1.yaml'
    text = (config_directory() / 'robots' / 'unitree_g1.yaml').read_text()
    settings.write_text(re.sub(r'(?ms)^self_collision:.*?^(?=topics)', '', text))
    tables = json.loads(run('doctor', '--robot', str(settings), '--json').stdout)
    assert tables[3]['rows'] == [] and 'not checked' in tables[3]['notes'][0]


def test_doctor_finds_what_is_missing(run, monkeypatch):
    good = doctor.Finding(name='a', good=True, detail='')
    bad = doctor.Finding(name='b', good=False, detail='', advice='c')
    monkeypatch.setattr(doctor, 'CHECKS', (lambda: [good],))
    assert run('doctor', '--json').exit_code == 0
    monkeypatch.setattr(doctor, 'CHECKS', (lambda: [good, bad],))
    result = run('doctor', '--json')
    assert result.exit_code == 1
    assert [finding['good'] for finding in json.loads(result.stdout)] == [True, False]


def test_doctor_checks_that_need_no_processes():
    findings = [*doctor.check_python(), *doctor.check_packages(), *doctor.check_robots()]
    assert {'Python', 'mujoco', 'unitree_g1'} <= {finding.name for finding in findings}
    assert all(finding.good for finding in findings)


def test_the_demo_drives_what_deploy_drives():
    assert cli.PROFILE == demo_stages.PROFILE  # written twice, because importing the demo would slow --help down


def test_an_interrupt_ends_with_one_line(run, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(doctor, 'CHECKS', (interrupted,))
    try:
        result = run('doctor')
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.exit_code, result.stdout, result.stderr) == (130, '', 'interrupted.\n')


def test_markup_in_an_error_is_printed_as_it_is(run):
    result = run('list', '[red]x[/red]')
    assert "unknown kind '[red]x[/red]'" in result.stderr


def test_train_export_evaluate(run):
    """The path that a person goes, on the quick task, with far too few steps to learn anything."""
    words = 'train --robot unitree_g1 --task reach --seed 3 --num-envs 16 --out run'
    result = run(*f'{words} --steps 1000 --json'.split())
    assert result.exit_code == 0, result.output
    first = json.loads(result.stdout)
    assert first['finished'] and first['steps'] >= 1000
    again = run(*f'{words} --steps 1000'.split())
    assert again.exit_code == 2
    assert "'run' already holds a run; continue it with --resume" in again.stderr
    resumed = run('train', '--resume', '--out', 'run', '--steps', 2 * first['steps'], '--json')
    assert json.loads(resumed.stdout)['steps'] == 2 * first['steps']  # whole iterations fit exactly
    assert json.loads(run('export', 'run', '--json').stdout)['policy'] == 'run/policy.onnx'
    tables = json.loads(run('inspect', 'run/policy.onnx', '--json').stdout)
    assert ['seed', 3] in tables['Origin']['rows']
    result = json.loads(run(*'evaluate run/policy.onnx --episodes 2 --duration 0.5 --seed 7 --json'.split()).stdout)
    assert (result['episodes'], result['seed']) == (2, 7)
    assert {'falls', 'success_rate', 'mean_speed_error', 'mean_yaw_error', 'shield_correction_rate'} <= set(result)


def test_interrupted_training_keeps_its_checkpoint(tmp_path):
    command = [sys.executable, '-m', 'rl_robot_control', 'train', '--robot', 'unitree_g1', '--task', 'reach',
               '--num-envs', '16', '--steps', '100000000', '--out', str(tmp_path / 'run')]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        metrics = tmp_path / 'run' / 'metrics.jsonl'
        while not (metrics.is_file() and metrics.stat().st_size) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130
    assert 'go on with: rl_robot_control train --resume' in errors
    assert 'Traceback' not in errors
    assert (tmp_path / 'run' / 'checkpoint.pt').is_file()

"""A policy trained elsewhere, unmodified, walks the G1 over ROS: the one that holosoma ships on PyPI."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from rl_robot_control.bringup.deployment import deploy
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.ros.command_profile import parse_profile

pytestmark = pytest.mark.realtime

WHEEL, POLICY = 'holosoma-inference==0.1.3', 'holosoma_inference/models/loco/g1_29dof/ppo_g1_29dof.onnx'


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    command = [sys.executable, '-m', 'pip', '--disable-pip-version-check', 'download', '--no-deps', '-q', '-d',
               str(folder), WHEEL]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f'{WHEEL} cannot be fetched: {error}')
    zipfile.ZipFile(next(folder.glob('*.whl'))).extract(POLICY, folder)
    return folder / POLICY


def test_walks_follows_a_change_of_speed_and_stops(policy, tmp_path, monkeypatch):
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    checked = read_policy(policy)
    result = deploy(checked, profile=parse_profile('stand:1 forward:5@0.5 forward:4@0.8 stop:3'), out=tmp_path)
    assert result.interruption == '' and result.duration > 12.9
    from rl_robot_control.policies.matching import policy_robot
    from rl_robot_control.report.checks import summarise
    from rl_robot_control.robots import load_robot
    from rl_robot_control.ros.read_recording import read_recording
    from rl_robot_control.shield.limits import ShieldLimits
    robot = policy_robot(checked.manifest, load_robot('unitree_g1'))
    recording = read_recording(result.recording, robot)
    found = summarise(recording, robot, ShieldLimits.from_robot(robot), 0.02, 1.0)
    assert not found['fell'] and found['max_tilt'] < 0.3
    slow, fast = (segment['mean_velocity'][0] for segment in found['segments'] if segment['command'][0] > 0)
    assert 0.25 < slow < fast < 0.9  # it is slower than it is asked to be, in its own authors' words and in MuJoCo, too
    assert abs(recording.base.linear_velocity[-100:, 0].mean()) < 0.1  # it stands again

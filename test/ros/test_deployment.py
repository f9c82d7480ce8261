"""Bringing up and driving a robot's processes, and leaving nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from policy_files import standing_policy, write_walking_policy_that_fails

from rl_robot_control.bringup.deployment import bring_up_lockstep, deploy
from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.report.checks import summarise
from rl_robot_control.robots import load_robot
from rl_robot_control.ros.command_profile import parse_profile
from rl_robot_control.ros.read_recording import read_recording
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import JointCommand

TIMEOUT = 60.0  # [s]
pytestmark = [pytest.mark.realtime, pytest.mark.skipif(not Path('/proc/self/stat').exists(),
                                                       reason='it looks for orphans in /proc')]


def test_drives_the_robot_and_stops_everything(tmp_path):
    seen = []
    result = deploy(read_policy(standing_policy()), profile=parse_profile('stand:1 forward:30@0.1'), out=tmp_path,
                    progress=lambda what, share: seen.append((what, share)))
    # A biped that holds one pose does not stand for long: it tips over, the shield latches, and the drive ends early.
    assert result.interruption.startswith('shield: LATCHED')
    assert 0 < result.duration < 31
    assert result.recording.stat().st_size > 10_000
    assert result.inference['phase'] == 'running' and float(result.inference['rate [Hz]']) > 0
    assert int(result.shield['commands']) > 10
    assert [what for what, _ in seen if 'stand' in what] and seen[-1] == ('stopping the processes', 1.0)
    assert not children(os.getpid())


def test_a_walking_robot_is_switched_and_survives_a_policy_that_fails(tmp_path):
    # The bundled walk does not always stop: of 16 drives with stops from 0.5 and 0.6 m/s on a busy machine two ended in
    # a fall, of 20 with these speeds none.
    failing = write_walking_policy_that_fails(tmp_path / 'hasty.onnx', above=0.35)
    result = deploy(read_policy(failing), also=['steady=unitree_g1_walk'], fallback='steady', out=tmp_path, record=True,
                    profile=parse_profile('stand:1 forward:2@0.3 use_steady:2 use_hasty:1 forward:1@0.3 forward:2@0.4 '
                                          'use_steady:0.5 forward:2.5@0.3 stop:1'))
    assert result.interruption == ''
    log = (result.log_directory / 'inference.log').read_text()
    assert "policy 'hasty' failed, 'steady' took over" in log
    robot = load_robot('unitree_g1')
    recording = read_recording(result.recording, robot)
    found = summarise(recording, robot, ShieldLimits.from_robot(robot), 0.02, 1.0)
    assert not found['fell'] and found['max_tilt'] < 0.5
    last = [segment for segment in found['segments'] if segment['command'][0] == 0.3][-1]
    assert last['mean_velocity'][0] > 0.15  # it walks on, once somebody has chosen


def test_a_refusal_comes_with_its_reason(tmp_path):
    with pytest.raises(PolicyError, match='refuses to configure') as error:
        deploy(read_policy(standing_policy()), robot=str(_robot_with_other_gains(tmp_path)),
               profile=parse_profile('stand:1'), out=tmp_path / 'out', record=False)
    assert "stiffness of joint 'left_hip_pitch_joint' is 40.18 N·m/rad in the policy and 2000" in str(error.value)
    assert not children(os.getpid())


def _robot_with_other_gains(folder: Path) -> Path:
    from rl_robot_control.config import find_config
    text = find_config('robots', 'unitree_g1').read_text()
    path = folder / 'g1.yaml'
    path.write_text(text.replace('.*_hip_pitch_joint: {stiffness: 40.18', '.*_hip_pitch_joint: {stiffness: 2000'))
    return path


def test_ctrl_c_leaves_no_process_behind(tmp_path):
    script = ('import sys\nfrom pathlib import Path\nfrom rl_robot_control.ros.command_profile import parse_profile\n'
              'from rl_robot_control.policies.gate import read_policy\n'
              'from rl_robot_control.bringup.deployment import deploy\n'
              f'deploy(read_policy({str(standing_policy())!r}), out=Path({str(tmp_path)!r}), '
              'profile=parse_profile("stand:60"))\n')
    process = subprocess.Popen([sys.executable, '-c', script], stderr=subprocess.PIPE, text=True)
    try:
        started = _wait_for_children(process.pid, 5)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    assert process.returncode != 0 and 'KeyboardInterrupt' in error
    # One that was just being started ends on its own as soon as it finds its parent gone.
    deadline = time.monotonic() + TIMEOUT
    while left := [pid for pid in started if Path(f'/proc/{pid}').exists()]:
        assert time.monotonic() < deadline, f'left behind: {left}'
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """Processes that a process has started and that are still there."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            parent = int(path.read_text().rpartition(')')[2].split()[1])
        except OSError:  # it has ended in the meantime
            continue
        if parent == pid:
            found.append(int(path.parent.name))
    return found


def _wait_for_children(pid: int, count: int) -> list[int]:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        found = children(pid)
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f'{count} processes did not start within {TIMEOUT} s')


def test_lock_step_gives_a_backend_and_ends_with_the_block(tmp_path):
    with bring_up_lockstep('unitree_g1', control_period=0.02, log_directory=tmp_path) as backend:
        initial = backend.robot.default_state(1)
        state = backend.reset(initial, np.array([0]))
        np.testing.assert_allclose(state.joint_position, initial.joint_position, atol=1e-12)
        for step in range(1, 6):
            state = backend.step(JointCommand(stamp=state.time, position=initial.joint_position))
            assert state.time[0] == pytest.approx(0.02 * step)
    assert not children(os.getpid())

"""The training node as a process, with the simulation and the shield in lock-step."""

import json
import signal

import pytest
from diagnostic_msgs.msg import DiagnosticArray

from rl_robot_control.ros import interface
from rl_robot_control.ros.processes import NodeGroup
from rl_robot_control.ros.robot_operator import Operator

TIMEOUT = 60.0  # [s]


@pytest.fixture
def lockstep(tmp_path):
    with NodeGroup(tmp_path / 'logs') as group:
        for name in ('simulation', 'shield'):
            group.start(name, {'robot': 'unitree_g1', 'mode': 'lockstep'})
        yield group


def start(group, out, **parameters):
    return group.start('training', {'robot': 'unitree_g1', 'task': 'walk', 'out': str(out), **parameters})


def test_learns_reports_and_resumes_after_sigterm(lockstep, tmp_path):
    out, reports = tmp_path / 'run', []
    with Operator(lockstep.domain.id) as operator:
        def on_status(message: DiagnosticArray) -> None:
            reports.append({pair.key: pair.value for pair in message.status[0].values})

        interface.TRAINING_STATUS.subscription(operator.node, on_status)
        node = start(lockstep, out, steps=100_000)
        operator.wait_until(lambda: len(reports) >= 2 or not node.running(), 'training reports', TIMEOUT)
        assert node.running(), node.last_words()
        node.signal(signal.SIGTERM)
        operator.wait_until(lambda: not node.running(), 'training ends', TIMEOUT)
    assert node.process.returncode == 0, node.last_words()
    assert int(reports[1]['steps']) > int(reports[0]['steps']) > 0
    steps = _steps(out)
    assert steps >= int(reports[1]['steps'])

    again = start(lockstep, out, steps=steps + 1, resume=True)
    again.process.wait(TIMEOUT)
    assert again.process.returncode == 0, again.last_words()
    assert _steps(out) > steps


def _steps(run):
    assert (run / 'checkpoint.pt').is_file()
    return json.loads((run / 'metrics.jsonl').read_text().splitlines()[-1])['steps']


def test_a_silent_simulation_ends_with_the_reason(tmp_path):
    with NodeGroup(tmp_path / 'logs') as group:
        node = start(group, tmp_path / 'run', connect_timeout=0.5)
        node.process.wait(TIMEOUT)
        assert node.process.returncode == 1
        log = node.log.read_text()
        assert 'is the simulation node running in this ROS domain?' in log and 'Traceback' not in log


def test_a_target_is_shown(tmp_path):
    """reach: the goal is published in the base's frame, within the range that the task draws from."""
    from rl_robot_control.bringup.compositions import training
    from rl_robot_control.bringup.deployment import start_nodes
    goals = []
    with NodeGroup(tmp_path / 'logs') as group, Operator(group.domain.id, watch=group.check) as operator:
        interface.GOAL.subscription(operator.node, goals.append)
        start_nodes(group, training('unitree_g1', 'reach', {'out': str(tmp_path / 'run'), 'steps': 100_000}))
        operator.wait_until(lambda: len(goals) >= 2, 'two goals are shown', TIMEOUT)
    for goal in goals:  # the range is the one of config/tasks/reach.yaml
        point = goal.pose.position
        assert goal.header.frame_id == 'pelvis'
        assert 0.15 <= point.x <= 0.35 and -0.35 <= point.y <= -0.05 and 0.0 <= point.z <= 0.3
    assert goals[0].pose.position.x != goals[1].pose.position.x

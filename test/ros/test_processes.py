"""Node processes end with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rl_robot_control.errors import BackendError, BackendTimeoutError, ConfigurationError
from rl_robot_control.ros.processes import Domain, Graph, NodeGroup, deferred_interrupt, yaml_value

PARENT = '''
import sys, time
from rl_robot_control.ros.processes import Graph, NodeGroup
with NodeGroup(sys.argv[1]) as group:
    for name in ('simulation', 'shield'):
        group.start(name, {'robot': 'unitree_g1'})
    with Graph(group.domain.id) as graph:
        group.wait_until(lambda: graph.has_topic('joint_states') and graph.has_topic('shield/status'), 'both run')
    print(*(node.pid for node in group.nodes.values()), flush=True)
    time.sleep(60)
'''


def alive(pid):
    """Whether a process runs; one that has ended and only waits to be collected does not."""
    try:
        os.kill(pid, 0)
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='a child can follow its parent on Linux only')
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_orphans(tmp_path, number):
    environment = {k: v for k, v in os.environ.items() if k != 'ROS_DOMAIN_ID'}
    parent = subprocess.Popen([sys.executable, '-c', PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.DEVNULL, env=environment)
    try:
        children = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(children) == 2 and all(alive(pid) for pid in children)
        parent.send_signal(number)
        parent.wait(15)
        deadline = time.monotonic() + 5.0
        while any(alive(pid) for pid in children) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(alive(pid) for pid in children)
    finally:
        parent.kill()
        parent.wait()


def test_a_node_that_ends_early_is_reported_with_its_log(group):
    group.start('simulation', {'robot': 'nobody'})
    with pytest.raises(BackendError, match=r"(?s)'simulation' has ended with code 1.*unknown robot 'nobody'"):
        group.wait_until(lambda: False, 'never')


def test_a_condition_that_never_holds_is_named(group):
    with pytest.raises(BackendTimeoutError, match='pigs fly: not so after 0.1 s'):
        group.wait_until(lambda: False, 'pigs fly', timeout=0.1)


def running_shield(group):
    node = group.start('shield', {'robot': 'unitree_g1'})
    with Graph(group.domain.id) as graph:
        group.wait_until(lambda: graph.has_topic('shield/status'), 'the shield runs')
    return node


def test_a_node_that_was_stopped_in_its_tracks_is_still_ended(group):
    node = running_shield(group)
    node.signal(signal.SIGSTOP)
    assert group.stop('shield') == 0


def test_a_hail_of_interrupts_disturbs_no_end(group):
    node = running_shield(group)
    deadline = time.monotonic() + 10.0
    while node.running() and time.monotonic() < deadline:
        node.signal(signal.SIGINT)
        time.sleep(0.001)
    assert node.process.returncode == 0, node.log.read_text()


def test_two_runs_get_two_domains(monkeypatch):
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    first, second = Domain(), Domain()
    assert first.id != second.id
    first.release(), second.release()


def test_a_given_domain_is_taken(monkeypatch):
    monkeypatch.setenv('ROS_DOMAIN_ID', '42')
    assert Domain().id == 42
    monkeypatch.setenv('ROS_DOMAIN_ID', 'home')
    with pytest.raises(ConfigurationError, match="ROS_DOMAIN_ID is 'home'"):
        Domain()


def test_values_on_the_command_line():
    assert [yaml_value(v) for v in (True, 3, 0.5, "it's", [1.0, 2.0], ('a', 'b'))] == [
        'true', '3', '0.5', "'it''s'", '[1.0, 2.0]', "['a', 'b']"]


def test_a_group_may_be_closed_twice(tmp_path, monkeypatch):
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    group = NodeGroup(tmp_path)
    group.close()
    group.close()


def test_a_ctrl_c_while_a_process_starts_comes_after_it():
    reached = []
    with pytest.raises(KeyboardInterrupt):
        with deferred_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(subprocess.run([sys.executable, '-c', CHILD], timeout=20).returncode)
        reached.append('after')
    assert reached == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# a child hears its own Ctrl-C: nothing was blocked on its behalf
CHILD = '''
import os, signal, sys
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 5)
except KeyboardInterrupt:
    sys.exit(0)
sys.exit(1)
'''


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='threads are named in /proc')
def test_nodes_do_without_shared_memory(group, operator):
    """Opening a shared-memory port can keep Fast DDS's receiving thread from hearing anyone for 333 ms."""
    node = group.start('shield', {'robot': 'panda', 'distances': False})
    operator.wait_until(lambda: operator.status('shield') is not None, 'the shield is heard', 20.0)
    threads = [path.read_text().strip() for path in Path(f'/proc/{node.pid}/task').glob('*/comm')]
    assert any(name.startswith('dds.udp') for name in threads), threads
    assert not any(name.startswith('dds.shm') for name in threads), threads

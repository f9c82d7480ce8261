"""The launch files started for real, with the nodes that they start, and ended by Ctrl-C."""

from __future__ import annotations

import importlib.util
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from rl_robot_control.bringup.launch_arguments import ARGUMENTS

from .conftest import ros2

pytest.importorskip('rclpy', reason='needs rclpy')
from rl_robot_control.learning.run_folder import RunFolder  # noqa: E402
from rl_robot_control.policies import find_policy  # noqa: E402
from rl_robot_control.ros import interface  # noqa: E402
from rl_robot_control.ros.robot_operator import Operator  # noqa: E402

FILES = sorted(path.name for path in (Path(__file__).resolve().parents[2] / 'launch').glob('*.launch.py'))
TIMEOUT = 60.0  # for anything that must happen, on a loaded machine [s]
pytestmark = [pytest.mark.realtime, pytest.mark.timeout(240)]


def nodes(operator: Operator) -> set[str]:
    """Fully qualified names of all nodes but this one."""
    found = operator.node.get_node_names_and_namespaces()
    return {f'{namespace.rstrip("/")}/{name}' for name, namespace in found} - {'/operator'}


def stamps(operator: Operator, topic: interface.Topic, count: int) -> np.ndarray:
    """Stamps [s] of so many messages in a row."""
    heard: list[float] = []
    subscription = topic.subscription(operator.node, lambda message: heard.append(
        message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec), best_effort=True)
    operator.wait_until(lambda: len(heard) >= count, f'{count} messages on {topic.name}', TIMEOUT)
    operator.node.destroy_subscription(subscription)
    return np.array(heard)


def parameter(operator: Operator, node: str, name: str) -> object:
    return operator.parameters(node, [name])[name]


@pytest.mark.parametrize('name', FILES)
def test_arguments_are_listed(name, domain):
    shown = subprocess.run(ros2('launch', 'rl_robot_control', name, '--show-args'), capture_output=True, text=True,
                           timeout=TIMEOUT, check=True).stdout
    listed = {line.strip().strip("':") for line in shown.splitlines() if line.startswith("    '")}
    assert {'namespace', 'use_sim_time'} <= listed <= set(ARGUMENTS)
    assert all(' '.join(ARGUMENTS[argument].description.split())[:40] in ' '.join(shown.split()) for argument in listed)


@pytest.mark.parametrize('given', [('sim:=unity',), ('robot:=unitree_g2',), ('shield_parameters:=nowhere.yaml',)])
def test_wrong_argument_ends_at_once(launch, given):
    wrong = launch('simulation', *given)
    assert wrong.process.wait(TIMEOUT) != 0 or 'error' in wrong.output().lower()
    assert given[0].partition(':=')[2].removesuffix('.yaml') in wrong.output()
    assert wrong.survivors() == []


def test_simulation(launch, domain):
    started = launch('simulation', 'robot:=unitree_g1', 'hold:=true')
    with Operator(domain, watch=started.running) as operator:
        operator.wait_until(lambda: operator.value('shield', 'mode') == 'READY', 'the shield is ready', TIMEOUT)
        assert nodes(operator) == {'/simulation', '/shield'}
        types = dict(operator.node.get_topic_names_and_types())
        for topic in (interface.JOINT_STATES, interface.IMU, interface.ODOM, interface.CLOCK, interface.SHIELD_STATUS):
            package, kind = topic.type.__module__.partition('.')[0], topic.type.__name__
            assert types['/' + topic.name.lstrip('/')] == [f'{package}/msg/{kind}']
        period = np.diff(stamps(operator, interface.JOINT_STATES, 100))
        assert np.median(period) == pytest.approx(0.005, abs=1e-6)  # publish_period of config/nodes/simulation.yaml
        assert parameter(operator, 'simulation', 'robot') == 'unitree_g1'
        assert parameter(operator, 'simulation', 'hold_until_command') is True
        assert parameter(operator, 'shield', 'use_sim_time') is True
        assert parameter(operator, 'shield', 'supervisor_timeout') == 1.5  # of config/nodes/shield.yaml
    assert started.interrupt() == 0
    assert started.survivors() == []
    assert 'Traceback' not in started.output() and 'escalating' not in started.output()


def test_training_ends_with_its_budget(launch, tmp_path):
    started = launch('training', 'task:=reach', f'out:={tmp_path / "run"}', 'steps:=2048')
    assert started.process.wait(180) == 0, started.output()
    assert 'finished after' in started.output()
    assert (tmp_path / 'run' / 'checkpoint.pt').is_file()
    assert started.survivors() == []


def test_training_in_real_time(launch, domain, tmp_path):
    started = launch('training', 'mode:=realtime', 'task:=reach', 'algorithm:=sac_robot', f'out:={tmp_path / "run"}')
    with Operator(domain, watch=started.running) as operator:
        heard = []
        interface.TRAINING_STATUS.subscription(operator.node, heard.append)
        operator.wait_until(lambda: heard, 'the training tells of its progress', 120)
        assert nodes(operator) >= {'/training', '/simulation', '/shield', '/supervisor'}
        assert operator.value('shield', 'mode') == 'ACTIVE'
        assert parameter(operator, 'shield', 'check_unloaded') is False
    assert started.interrupt() == 0, started.output()
    assert started.survivors() == []
    assert RunFolder(tmp_path / 'run').settings().budget == 'hardware'


def test_training_keeps_its_checkpoint_at_ctrl_c(launch, domain, tmp_path):
    started = launch('training', 'task:=reach', f'out:={tmp_path / "run"}', 'seed:=3')
    with Operator(domain, watch=started.running) as operator:
        heard = []
        interface.TRAINING_STATUS.subscription(operator.node, heard.append)
        operator.wait_until(lambda: heard, 'the training tells of its progress', 120)
        assert nodes(operator) >= {'/training', '/simulation', '/shield'}
        assert parameter(operator, 'simulation', 'mode') == 'lockstep'
        assert parameter(operator, 'simulation', 'hold_until_command') is True  # of the task: base: held
    assert started.interrupt() == 0, started.output()
    assert started.survivors() == []
    assert (tmp_path / 'run' / 'checkpoint.pt').is_file()
    assert RunFolder(tmp_path / 'run').settings().seed == 3


def test_deployment(launch, domain):
    """The lifecycle is brought up in order, the policy walks, and Ctrl-C leaves nothing behind."""
    started = launch('deployment', 'policy:=unitree_g1_walk', 'autostart:=true')
    with Operator(domain, watch=started.running) as operator:
        operator.wait_until(lambda: operator.value('inference', 'phase') == 'running', 'the policy runs', TIMEOUT)
        assert nodes(operator) >= {'/simulation', '/shield', '/supervisor', '/inference'}
        assert operator.value('shield', 'mode') == 'ACTIVE'
        assert operator.value('supervisor', 'state') == 'WATCHING'
        assert operator.lifecycle_state('inference') == 'active'
        assert parameter(operator, 'inference', 'policy') == str(find_policy('unitree_g1_walk'))
        start = time.monotonic()
        operator.trigger(interface.SIMULATION_RELEASE)
        operator.wait_until(lambda: time.monotonic() - start > 3.0, 'it stands', TIMEOUT)
        assert operator.value('shield', 'mode') == 'ACTIVE'
    assert started.interrupt() == 0, started.output()
    assert started.survivors() == []
    assert 'Traceback' not in started.output()


def test_deployment_says_why_not(launch, tmp_path):
    (tmp_path / 'broken.onnx').write_bytes(b'nothing')
    started = launch('deployment', f'policy:={tmp_path / "broken.onnx"}')
    assert started.process.wait(TIMEOUT) != 0
    assert 'broken.onnx' in started.output()
    assert started.survivors() == []


def installed(package: str) -> bool:
    from ament_index_python.packages import PackageNotFoundError, get_package_prefix
    try:
        get_package_prefix(package)
    except (PackageNotFoundError, LookupError, OSError):  # OSError: no AMENT_PREFIX_PATH
        return False
    return True


@pytest.mark.skipif(not installed('robot_state_publisher') or importlib.util.find_spec('tf2_msgs') is None,
                    reason='robot_state_publisher and tf2_msgs come with a ROS 2 installation')
def test_monitoring(launch, domain):
    """A namespaced robot: one tree of frames from the world to its links, markers, and nothing that moves it."""
    from tf2_msgs.msg import TFMessage

    from rl_robot_control.ros.transforms import WORLD_QOS
    robot = launch('simulation', 'namespace:=left', 'hold:=true')
    watcher = launch('monitoring', 'namespace:=left', 'world_frame:=world', 'y:=1.0', 'rviz:=false')
    above, markers = {}, []
    with Operator(domain, 'left', watch=lambda: (robot.running(), watcher.running())) as operator:
        def keep(message: TFMessage) -> None:
            above.update({each.child_frame_id: each.header.frame_id for each in message.transforms})

        operator.node.create_subscription(TFMessage, '/tf', keep, 100)
        operator.node.create_subscription(TFMessage, '/tf_static', keep, WORLD_QOS)
        interface.MARKERS.subscription(operator.node, markers.append)
        wanted = {'left/left_knee_link', 'left/pelvis', 'left/odom'}
        operator.wait_until(lambda: wanted <= set(above) and markers, 'frames and markers come', TIMEOUT)
        frame, way = 'left/left_knee_link', []
        while frame in above:
            frame = above[frame]
            way.append(frame)
        assert way[-3:] == ['left/pelvis', 'left/odom', 'world']
        operator.wait_until(lambda: any(m.ns == 'text' for m in markers[-1].markers), 'the text is drawn', TIMEOUT)
        assert all(marker.header.frame_id.startswith('left/') for marker in markers[-1].markers)
        command = '/left/joint_group_position_controller/commands'
        operator.wait_until(lambda: operator.node.count_publishers(command) > 0, 'the shield is known', TIMEOUT)
        assert [info.node_name for info in operator.node.get_publishers_info_by_topic(command)] == ['shield']
    for started in (watcher, robot):
        assert started.interrupt() == 0, started.output()
        assert started.survivors() == []


def test_two_robots(launch, domain):
    """Two launches in two namespaces; each has its own nodes and topics, and one clock is published."""
    left = launch('simulation', 'namespace:=left', 'hold:=true')
    right = launch('simulation', 'namespace:=right', 'hold:=true', 'clock:=false')
    with Operator(domain, watch=lambda: (left.running(), right.running())) as operator:
        wanted = {f'/{name}/{node}' for name in ('left', 'right') for node in ('simulation', 'shield')}
        operator.wait_until(lambda: nodes(operator) == wanted, 'all nodes are there', TIMEOUT)
        operator.wait_until(lambda: operator.node.count_publishers('/clock') == 1, 'one clock', TIMEOUT)
        for name in ('left', 'right'):
            topic = f'/{name}/joint_states'
            operator.wait_until(lambda t=topic: operator.node.count_publishers(t) > 0, f'{topic} is seen', TIMEOUT)
            assert [info.node_namespace for info in operator.node.get_publishers_info_by_topic(topic)] == [f'/{name}']
        assert parameter(operator, '/right/shield', 'use_sim_time') is False
    for started in (left, right):
        assert started.interrupt() == 0, started.output()
        assert started.survivors() == []

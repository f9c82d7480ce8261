"""The recorder as a process of its own, on real DDS."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='needs the ROS 2 client library: pip install "rl_robot_control[ros]"')
pytest.importorskip('mcap', reason='needs mcap: pip install mcap')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue  # noqa: E402
from geometry_msgs.msg import Twist  # noqa: E402
from mcap.reader import make_reader  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray  # noqa: E402

from rl_robot_control.errors import RobotControlError  # noqa: E402
from rl_robot_control.robots import load_robot  # noqa: E402
from rl_robot_control.ros import interface  # noqa: E402
from rl_robot_control.ros.conversions import seconds_to_time  # noqa: E402
from rl_robot_control.ros.message_text import definition  # noqa: E402
from rl_robot_control.ros.processes import NodeGroup  # noqa: E402
from rl_robot_control.ros.read_recording import read_recording  # noqa: E402

ROBOT = load_robot('unitree_g1')


@pytest.fixture
def group(tmp_path):
    with NodeGroup(tmp_path / 'logs') as nodes:
        yield nodes


@pytest.fixture
def node(group):
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=group.domain.id)
    made = rclpy.create_node('test_robot', context=context)
    yield made
    made.destroy_node()
    context.try_shutdown()


def start(group, node, out: Path, **parameters):
    """Start the recorder and wait until it hears every topic of the loop."""
    recorder = group.start('recorder', {'robot': 'unitree_g1', 'out': str(out), **parameters},
                           module='rl_robot_control.ros.recorder')
    topics = [interface.JOINT_STATES, interface.ODOM, interface.CMD_VEL, interface.POLICY_COMMAND,
              interface.SHIELD_STATUS, interface.controller_commands(ROBOT.settings.topics)]
    publishers = [topic.publisher(node) for topic in topics]
    names = [publisher.topic_name for publisher in publishers]
    group.wait_until(lambda: all(f'hears {name}\n' in recorder.log.read_text() for name in names),
                     'the recorder listens')
    return publishers


def joints(stamp: float, offset: float, names: list[str]) -> JointState:
    message = JointState(name=names, position=[offset + ROBOT.joint_names.index(n) for n in names],
                         velocity=[0.5] * len(names))
    message.header.stamp = seconds_to_time(stamp)
    return message


def play(publishers, count: int = 10) -> None:
    """One message of each topic, several times; joints in reverse order, as a robot may send them."""
    states, odom, cmd_vel, requests, status, commands = publishers
    names = list(ROBOT.joint_names)[::-1]
    for i in range(count):
        states.publish(joints(i * 0.02, 100.0 * i, names))
        base = Odometry()
        base.pose.pose.orientation.w, base.pose.pose.position.z, base.twist.twist.linear.x = 1.0, 0.7, 0.1 * i
        odom.publish(base)
        walk = Twist()
        walk.linear.x, walk.angular.z = 0.6, 0.4
        cmd_vel.publish(walk)
        requests.publish(joints(i * 0.02, 1000.0, names))
        commands.publish(Float64MultiArray(data=[2.0 * i] * ROBOT.num_joints))
        values = [KeyValue(key='mode', value='READY' if i < 5 else 'ACTIVE')]
        status.publish(DiagnosticArray(status=[DiagnosticStatus(name='shield', message='text', values=values)]))
        time.sleep(0.02)


def recorded_commands(path: Path) -> int:
    try:
        return len(read_recording(path, ROBOT).commands)
    except RobotControlError:
        return 0


def test_what_is_published_is_read_back(group, node, tmp_path):
    path = tmp_path / 'folder' / 'run.mcap'
    play(start(group, node, path, flush_period=0.05))
    group.wait_until(lambda: recorded_commands(path) == 10, 'all commands are in the file')
    assert group.stop('recorder') == 0

    recording = read_recording(path, ROBOT)
    assert recording.complete
    assert recording.metadata['robot'] == 'unitree_g1'
    # Joint j of state i was published as 100 i + j, whatever its place in the message.
    expected = 100.0 * np.arange(10)[:, None] + np.arange(ROBOT.num_joints)
    np.testing.assert_array_equal(recording.states.position, expected)
    assert np.isnan(recording.states.effort).all()  # the messages held no effort
    np.testing.assert_allclose(recording.states.stamp, 0.02 * np.arange(10))
    np.testing.assert_allclose(recording.requests.stamp, 0.02 * np.arange(10))
    np.testing.assert_array_equal(recording.commands.position[:, 0], 2.0 * np.arange(10))
    np.testing.assert_allclose(recording.base.linear_velocity[:, 0], 0.1 * np.arange(10))
    np.testing.assert_array_equal(recording.velocity_commands.velocity, np.tile([0.6, 0.0, 0.4], (10, 1)))
    assert [mode for _, mode in recording.transitions()] == ['READY', 'ACTIVE']
    assert (recording.states.received >= recording.states.sent).all()
    assert abs(recording.origin - time.time()) < 600  # log times are the wall clock's
    assert sum(recording.lost.values()) == 0


def test_other_tools_can_read_the_file(group, node, tmp_path):
    path = tmp_path / 'run.mcap'
    play(start(group, node, path, flush_period=0.05), count=2)
    group.wait_until(lambda: recorded_commands(path) == 2, 'all commands are in the file')
    group.stop('recorder')
    with path.open('rb') as stream:
        reader = make_reader(stream)
        assert reader.get_header().profile == 'ros2'
        summary = reader.get_summary()
    schemas = {schema.name: schema for schema in summary.schemas.values()}
    joint_state = schemas['sensor_msgs/msg/JointState']
    assert joint_state.encoding == 'ros2msg'
    # JointState holds a std_msgs/Header, which holds a builtin_interfaces/Time: both texts must be there.
    assert re.findall(r'^MSG: (\S+)$', joint_state.data.decode(), re.MULTILINE) == [
        'std_msgs/Header', 'builtin_interfaces/Time']
    assert all(channel.message_encoding == 'cdr' for channel in summary.channels.values())
    assert '/joint_group_position_controller/commands' in {c.topic for c in summary.channels.values()}


def test_a_kill_leaves_a_readable_recording(group, node, tmp_path):
    path = tmp_path / 'run.mcap'
    publishers = start(group, node, path, flush_period=0.05)
    play(publishers)
    group.wait_until(lambda: recorded_commands(path) == 10, 'all commands are in the file')
    group.nodes['recorder'].signal(signal.SIGKILL)
    group.nodes.pop('recorder').process.wait(10)

    recording = read_recording(path, ROBOT)
    assert not recording.complete
    assert len(recording.commands) == 10
    # A kill in the middle of a write: the last block is cut, the ones before it stay.
    cut = tmp_path / 'cut.mcap'
    cut.write_bytes(path.read_bytes()[:-40])
    recording = read_recording(cut, ROBOT)
    assert not recording.complete
    assert 0 < len(recording.states) <= 10


def test_refusals(group, node, tmp_path):
    path = tmp_path / 'run.mcap'
    path.write_bytes(b'something else')
    recorder = group.start('recorder', {'robot': 'unitree_g1', 'out': str(path)},
                           module='rl_robot_control.ros.recorder')
    assert recorder.process.wait(30) == 2
    assert f"recording '{path}' exists already; choose another name or remove it." in recorder.last_words()
    assert path.read_bytes() == b'something else'
    with pytest.raises(RobotControlError, match='is no MCAP recording'):
        read_recording(path, ROBOT)
    with pytest.raises(RobotControlError, match='cannot be read: No such file'):
        read_recording(tmp_path / 'missing.mcap', ROBOT)


def test_definition_lists_each_held_type_once():
    held = re.findall(r'^MSG: (\S+)$', definition(Odometry), re.MULTILINE)
    assert len(held) == len(set(held))
    assert {'geometry_msgs/Pose', 'geometry_msgs/Twist', 'std_msgs/Header'} <= set(held)

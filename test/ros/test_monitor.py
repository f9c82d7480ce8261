"""What the monitor draws, from made-up scenes and from a robot that is corrected, stopped and lost."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import yaml
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseStamped, Twist
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from rl_robot_control.config import config_directory
from rl_robot_control.ros import interface
from rl_robot_control.ros.conversions import CommandCodec
from rl_robot_control.ros.markers import ABOVE, LIFETIME, MODES, Scene, SceneMarkers
from rl_robot_control.shield import ShieldMode

pytestmark = pytest.mark.realtime

TIMEOUT = 20.0  # for anything that must happen, on a loaded machine [s]


@pytest.fixture
def markers(g1):
    return SceneMarkers(g1, 'left/')


def drawn(markers, **scene):
    return markers.draw(Scene(**scene), Time(sec=3)).markers


def test_nothing_is_known(markers):
    assert drawn(markers) == []


def test_velocities(markers):
    commanded, measured = drawn(markers, commanded=np.array([1.0, 0.5, 0.3]), measured=np.array([0.5, 0.0, 0.0]))
    assert (commanded.ns, measured.ns) == ('commanded', 'measured')
    start, tip = commanded.points
    assert (start.x, start.y, start.z) == (0.0, 0.0, ABOVE)
    assert (tip.x, tip.y, tip.z) == pytest.approx((0.6, 0.3, ABOVE))  # 0.6 m per m/s
    assert commanded.header.frame_id == 'left/pelvis' and commanded.header.stamp.sec == 3
    assert commanded.lifetime.sec + 1e-9 * commanded.lifetime.nanosec == LIFETIME  # goes away with its sender
    assert commanded.type == Marker.ARROW and commanded.frame_locked


def test_what_is_not_finite_is_not_drawn(markers):
    assert drawn(markers, commanded=np.array([np.nan, 0.0, 0.0]), contacts={'left_foot': np.nan},
                 corrections={'waist_yaw_joint': np.nan, 'no_such_joint': 1.0}) == []


@pytest.mark.parametrize('mode', [mode.name for mode in ShieldMode])
def test_the_text_has_the_mode_s_colour(markers, mode):
    text, = drawn(markers, mode=mode, text=f'shield: {mode}')
    assert text.text == f'shield: {mode}' and text.type == Marker.TEXT_VIEW_FACING
    assert (text.color.r, text.color.g, text.color.b) == pytest.approx(MODES[mode])


def test_corrections_grow(markers):
    small, large, largest = drawn(markers, corrections={'left_elbow_joint': 0.05, 'left_knee_joint': -0.5,
                                                        'waist_yaw_joint': 2.0})
    assert [marker.header.frame_id for marker in (small, large, largest)] == [
        'left/left_elbow_link', 'left/left_knee_link', 'left/waist_yaw_link']  # the links that the joints move
    assert small.scale.x == pytest.approx(0.052)  # 0.04 + 0.12 · 0.05 / 0.5
    assert large.scale.x == largest.scale.x == pytest.approx(0.16)
    assert len({marker.id for marker in (small, large, largest)}) == 3


def test_contacts_and_objects(markers, g1):
    pose = Pose()
    pose.position.x = 0.4
    foot, box = drawn(markers, contacts={'left_foot': g1.mass * 9.81, 'right_foot': 0.0},
                      objects={'box': ('odom', pose)})
    assert foot.header.frame_id == 'left/left_ankle_roll_link'
    assert foot.points[1].z - foot.points[0].z == pytest.approx(0.4)  # one weight
    assert box.header.frame_id == 'left/odom' and box.pose.position.x == 0.4 and box.text == 'box'


def test_a_robot_is_shown(group, operator, g1):
    """Real processes: velocities, mode, corrections and contacts arrive as markers, at a bounded rate."""
    heard: list[list[Marker]] = []
    interface.MARKERS.subscription(operator.node, lambda message: heard.append(message.markers))
    group.start('simulation', {'robot': g1.name, 'hold_until_command': True})
    group.start('shield', {'robot': g1.name})
    group.start('monitor', {'robot': g1.name, 'frame_prefix': 'a/', 'objects': ['box'], 'rate': 10.0})

    def see(name, what=lambda marker: True):
        def seen():
            return bool(heard) and any(marker.ns == name and what(marker) for marker in heard[-1])
        operator.wait_until(seen, f'{name} is drawn', TIMEOUT)
        return next(marker for marker in heard[-1] if marker.ns == name and what(marker))

    assert see('measured').header.frame_id == 'a/pelvis'
    assert 'READY' in see('text', lambda marker: 'READY' in marker.text).text
    codec, policy = CommandCodec(g1), interface.POLICY_COMMAND.publisher(operator.node)
    velocity, box = interface.CMD_VEL.publisher(operator.node), interface.object_pose('box').publisher(operator.node)
    goal, count = interface.GOAL.publisher(operator.node), 0

    def on_state(message):
        nonlocal count
        count += 1
        if count % 4 == 0:
            far = g1.default_position + 2.0 * (count % 8 == 0)  # now here, now there: the shield has to correct it
            policy.publish(codec.encode(far, message.header.stamp))
            twist, pose = Twist(), PoseStamped()
            twist.linear.x, pose.header.frame_id = 0.5, 'odom'
            velocity.publish(twist)
            box.publish(pose)
            goal.publish(pose)

    interface.JOINT_STATES.subscription(operator.node, on_state)
    see('text', lambda marker: 'ACTIVE' in marker.text or 'BRAKING' in marker.text)
    see('commanded', lambda marker: marker.points[1].x == pytest.approx(0.3))
    see('corrections')
    assert {marker.text for marker in heard[-1] if marker.ns == 'objects'} <= {'box', 'goal'}
    see('objects', lambda marker: marker.text == 'goal')
    assert operator.call(Trigger, interface.EMERGENCY_STOP.name, Trigger.Request(), 5.0).success
    text = see('text', lambda marker: 'LATCHED' in marker.text)
    assert (text.color.r, text.color.g, text.color.b) == pytest.approx(MODES['LATCHED'])
    group.stop('simulation')
    operator.wait_until(lambda: not any(marker.ns == 'measured' for marker in heard[-1]), 'it is not known any more',
                        TIMEOUT)


@pytest.mark.skipif(importlib.util.find_spec('tf2_msgs') is None,
                    reason="tf2_msgs comes with a system's ROS 2; pip has no wheel of it")
def test_transforms(group, operator, g1):
    from rclpy.qos import QoSProfile
    from tf2_msgs.msg import TFMessage

    from rl_robot_control.ros.transforms import WORLD_QOS
    found = {}

    def keep(message):
        for transform in message.transforms:
            found[transform.header.frame_id, transform.child_frame_id] = transform

    operator.node.create_subscription(TFMessage, '/tf', keep, QoSProfile(depth=10))
    operator.node.create_subscription(TFMessage, '/tf_static', keep, WORLD_QOS)
    group.start('simulation', {'robot': g1.name, 'hold_until_command': True})
    group.start('monitor', {'robot': g1.name, 'frame_prefix': 'a/', 'world_frame': 'world',
                            'world_origin': [1.0, 2.0, 0.0]})
    operator.wait_until(lambda: len(found) >= 2, 'transforms come', TIMEOUT)
    assert found['world', 'a/odom'].transform.translation.y == 2.0
    base = found['a/odom', 'a/pelvis'].transform
    assert base.translation.z == pytest.approx(g1.settings.base.height, abs=0.02) and base.rotation.w > 0.99


@pytest.mark.parametrize('path', sorted((config_directory() / 'rviz').glob('*.rviz')), ids=lambda path: path.stem)
def test_rviz_shows_topics_that_there_are(path):
    content = yaml.safe_load(path.read_text())
    known = {interface.MARKERS.name, interface.ODOM.name, 'robot_description'}
    displays = content['Visualization Manager']['Displays']
    assert {'rviz_default_plugins/RobotModel', 'rviz_default_plugins/MarkerArray', 'rviz_default_plugins/TF'} <= {
        display['Class'] for display in displays}
    for display in displays:
        for key in ('Topic', 'Description Topic'):
            name = display.get(key, {}).get('Value')
            if name is not None:
                own = name.removeprefix('/left/').removeprefix('/right/')
                assert own in known and (own == name) == (path.stem != 'several_robots')
        assert set(display.get('Namespaces') or ()) <= {'commanded', 'measured', 'text', 'corrections', 'contacts',
                                                        'objects'}

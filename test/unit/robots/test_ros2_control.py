"""A robot's URDF, controllers.yaml and Gazebo description name only joints, links and topics that there are."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from rl_robot_control.config import config_directory
from rl_robot_control.errors import ConfigurationError, RobotDescriptionError, UnknownNameError
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.gazebo import bridge, controller_manager, description, gazebo_name, world_name
from rl_robot_control.robots.hardware import ControllerManagerSettings
from rl_robot_control.robots.ros2_control import (
    FORWARD,
    TRAJECTORY,
    as_text,
    check_controllers,
    controllers_file,
    spawn_order,
    topic_hardware,
    with_interfaces,
)

ROBOTS = ('unitree_g1', 'panda')
MOCK = ControllerManagerSettings(plugin='mock_components/GenericSystem', imu='imu')
GZ = shutil.which('gz') or shutil.which('ign')


@pytest.fixture(scope='module', params=ROBOTS)
def robot(request):
    return load_robot(request.param)


def test_every_joint_has_its_interfaces(robot):
    system = with_interfaces(robot, MOCK).find('ros2_control')
    assert [joint.get('name') for joint in system.findall('joint')] == list(robot.joint_names)
    for joint, start in zip(system.findall('joint'), robot.default_position, strict=True):
        assert [one.get('name') for one in joint.findall('command_interface')] == ['position']
        assert [one.get('name') for one in joint.findall('state_interface')] == ['position', 'velocity', 'effort']
        assert float(joint.find("state_interface/param[@name='initial_value']").text) == pytest.approx(start, abs=1e-5)
    assert system.findtext('hardware/plugin') == 'mock_components/GenericSystem'
    assert len(system.find("sensor[@name='imu']")) == 10  # a quaternion, an angular velocity, an acceleration


def test_the_description_is_still_the_robot(robot):
    before, after = ElementTree.fromstring(robot.urdf), ElementTree.fromstring(as_text(with_interfaces(robot, MOCK)))
    names = [[link.get('name') for link in root.findall('link')] for root in (before, after)]
    assert names[0] == names[1]
    meshes = [mesh.get('filename') for mesh in after.iter('mesh')]
    assert meshes and all(name.startswith('file:///') for name in meshes)


def test_tags_that_were_there_are_replaced(robot):
    import dataclasses
    twice = dataclasses.replace(robot, urdf=as_text(with_interfaces(robot, MOCK)))
    assert len(with_interfaces(twice, MOCK).findall('ros2_control')) == 1


def test_controllers_file(robot):
    content = yaml.safe_load(yaml.safe_dump(controllers_file(robot, MOCK)))
    name = robot.settings.topics.controller
    manager = content['/**/controller_manager']['ros__parameters']
    assert manager['update_rate'] == 500 and manager[name] == {'type': FORWARD}
    assert content[f'/**/{name}']['ros__parameters'] == {'joints': list(robot.joint_names),
                                                         'interface_name': 'position'}
    assert content['/**/imu_sensor_broadcaster']['ros__parameters'] == {'sensor_name': 'imu',
                                                                        'frame_id': robot.settings.base.link}
    assert spawn_order(robot, MOCK) == ('joint_state_broadcaster', 'imu_sensor_broadcaster', name)
    assert set(spawn_order(robot, MOCK)) == {key for key, value in manager.items() if isinstance(value, dict)}
    check_controllers(content, robot, 'it')


@pytest.mark.parametrize(('kind', 'interface', 'controller'), [('effort', 'effort', FORWARD),
                                                               ('trajectory', 'position', TRAJECTORY)])
def test_other_controllers(kind, interface, controller):
    robot = load_robot('panda').with_controller('arm', kind)
    content = controllers_file(robot, topic_hardware('states', 'commands'))
    assert content['/**/controller_manager']['ros__parameters']['arm'] == {'type': controller}
    command = with_interfaces(robot, MOCK).find('ros2_control/joint/command_interface')
    assert command.get('name') == interface
    check_controllers(content, robot, 'it')


def test_no_controller_takes_drives():
    with pytest.raises(ConfigurationError, match="'arm' is of type 'drive', which no controller of ros2_control takes"):
        controllers_file(load_robot('panda').with_controller('arm', 'drive'), MOCK)


def test_the_controller_s_own_order():
    backwards = list(reversed(load_robot('panda').joint_names))
    robot = load_robot('panda').with_controller(joints=backwards)
    content = controllers_file(robot, MOCK)
    assert content['/**/joint_group_position_controller']['ros__parameters']['joints'] == backwards


@pytest.mark.parametrize(('change', 'error', 'reason'), [
    (lambda own: own['joints'].reverse(), RobotDescriptionError,
     "arm.yaml, joint_group_position_controller, joints: joint 0 is 'panda_joint7', and the shield sends the value of "
     "'panda_joint1' there"),
    (lambda own: own['joints'].pop(), RobotDescriptionError, "joint 'panda_joint7' is missing"),
    (lambda own: own['joints'].append('panda_joint1'), RobotDescriptionError, "'panda_joint1' stands there twice"),
    (lambda own: own['joints'].append('elbow'), UnknownNameError, "unknown joint 'elbow' in arm.yaml"),
    (lambda own: own.update(interface_name='velocity'), ConfigurationError, "commands 'velocity'; the shield sends"),
    (lambda own: own.clear(), RobotDescriptionError, r"joint 'panda_joint1' \(and 6 more\) is missing"),
])
def test_a_wrong_controllers_file_is_refused(change, error, reason):
    robot = load_robot('panda')
    content = controllers_file(robot, MOCK)
    change(content['/**/joint_group_position_controller']['ros__parameters'])
    with pytest.raises(error, match=reason):
        check_controllers(content, robot, 'arm.yaml')


@pytest.mark.parametrize('content', [{}, {'other': {'ros__parameters': {}}}, None])
def test_a_controllers_file_without_the_controller(content):
    with pytest.raises(ConfigurationError, match="the robot's controller 'joint_group_position_controller' is not"):
        check_controllers(content, load_robot('panda'), 'arm.yaml')


@pytest.mark.parametrize('held', [False, True])
@pytest.mark.parametrize('namespace', ['', 'left/gazebo'])
def test_gazebo_description(robot, held, namespace):
    root = description(robot, controller_manager(robot), '/tmp/controllers.yaml', 'here', namespace, held)
    links = {link.get('name') for link in root.findall('link')}
    plugin = root.find("gazebo/plugin[@filename='gz_ros2_control-system']")
    assert plugin.findtext('parameters') == '/tmp/controllers.yaml'
    assert float(plugin.findtext('position_proportional_gain')) == pytest.approx(0.1)  # 50 per second at 500 Hz
    assert plugin.findtext('ros/namespace') == (f'/{namespace}' if namespace else None)
    assert root.findtext('ros2_control/hardware/plugin') == 'gz_ros2_control/GazeboSimSystem'
    fixed = [joint for joint in root.findall('joint') if joint.find('parent').get('link') == 'world']
    assert len(fixed) == (1 if held or not robot.floating else 0) and ('world' in links) == bool(fixed)
    for tag in root.findall('gazebo'):
        assert tag.get('reference', robot.settings.base.link) in links
    assert (root.find('gazebo/sensor') is not None) == robot.floating
    children = [joint.find('child').get('link') for joint in root.findall('joint')]
    assert len(children) == len(set(children)) == len(links) - 1  # one tree


def test_bridge_passes_on_what_the_robot_has_there(robot):
    root = description(robot, controller_manager(robot), 'c.yaml', gazebo_name(robot))
    there = {root.findtext('gazebo/sensor/topic'), root.findtext('gazebo/plugin/odom_topic'), '/clock'} - {None}
    rows = bridge(gazebo_name(robot), robot.floating)
    assert {row['gz_topic_name'] for row in rows} == there
    ros = {row['ros_topic_name']: row['ros_type_name'] for row in rows}
    expected = {'/clock': 'rosgraph_msgs/msg/Clock', 'imu': 'sensor_msgs/msg/Imu', 'odom': 'nav_msgs/msg/Odometry'}
    assert ros == {name: expected[name] for name in (expected if robot.floating else ['/clock'])}
    assert all(row['direction'] == 'GZ_TO_ROS' for row in rows)
    assert [row['ros_topic_name'] for row in bridge('it', True, clock=False)] == ['imu', 'odom']


def test_two_robots_have_topics_of_their_own():
    names = [gazebo_name(load_robot('unitree_g1'), namespace) for namespace in ('left', 'a/right')]
    assert names == ['left', 'a_right']
    assert not {row['gz_topic_name'] for row in bridge('left', True, clock=False)} & {
        row['gz_topic_name'] for row in bridge('a_right', True, clock=False)}


def test_world_has_what_lock_step_needs():
    root = ElementTree.parse(config_directory() / 'gazebo' / 'world.sdf').getroot()
    world = root.find('world')
    assert world.get('name') == world_name(config_directory() / 'gazebo' / 'world.sdf') == 'rl_robot_control'
    assert float(world.findtext('physics/max_step_size')) == 0.001
    systems = {plugin.get('name').rpartition('::')[2] for plugin in world.findall('plugin')}
    assert {'Physics', 'UserCommands', 'Imu'} <= systems  # advance, spawn and place, measure


@pytest.mark.parametrize(('content', 'reason'), [('<sdf><model/></sdf>', 'holds no <world> with a name'),
                                                 ('world', 'cannot be read as SDF'), (None, 'cannot be read as SDF')])
def test_a_file_without_a_world(content, reason, tmp_path):
    path = tmp_path / 'my.sdf'
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=reason):
        world_name(path)


@pytest.mark.skipif(GZ is None, reason="Gazebo's command `gz` (or `ign`) is not installed")
def test_gazebo_s_own_parser_takes_world_and_robot(robot, tmp_path):
    path = tmp_path / 'robot.urdf'
    path.write_text(as_text(description(robot, controller_manager(robot), 'c.yaml', gazebo_name(robot), held=True)))
    for file in (config_directory() / 'gazebo' / 'world.sdf', path):
        result = subprocess.run([GZ, 'sdf', '--check', str(file)], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0 and 'Valid' in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize('rate', [0, 20_000])
def test_update_rate_out_of_range(rate, tmp_path):
    from rl_robot_control.robots.hardware import load_hardware
    path = tmp_path / 'arm.yaml'
    path.write_text(f'robot: panda\ndriver: ros2_control\ncontroller: arm\n'
                    f'controller_manager: {{plugin: x/Y, update_rate: {rate}}}\n')
    with pytest.raises(ConfigurationError, match='update_rate'):
        load_hardware(str(path))


def test_update_rate_of_a_humanoid_is_of_the_500_hz_class():
    assert controller_manager(load_robot('unitree_g1')).update_rate == 500

"""Every node that a composition names exists, and every parameter that it gives is one of that node's."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from rl_robot_control.bringup import compositions
from rl_robot_control.bringup.deployment import running_lockstep, start_nodes
from rl_robot_control.bringup.node_spec import NodeSpec
from rl_robot_control.config import config_directory, parse_settings
from rl_robot_control.errors import ConfigurationError, PolicyError, RobotDescriptionError
from rl_robot_control.policies import find_policy
from rl_robot_control.policies.gate import read_policy
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.hardware import HardwareSettings, RobotChoice, list_hardware, load_hardware
from rl_robot_control.types import JointCommand

ROOT = Path(__file__).resolve().parents[2]
G1 = RobotChoice(robot='unitree_g1')
NODES = sorted(path.stem for path in (config_directory() / 'nodes').glob('*.yaml'))


@pytest.fixture(scope='module')
def walk():
    return read_policy(find_policy('unitree_g1_walk'))


@pytest.fixture(scope='module')
def tables(g1):
    """Each node's parameters, by the node's name."""
    found = {}
    for name in NODES:
        module = importlib.import_module(f'rl_robot_control.nodes.{name}')
        found[name] = set((module.PARAMETERS if hasattr(module, 'PARAMETERS') else module.parameter_table(g1)).rows)
    return found


def check(specs: list[NodeSpec], tables: dict[str, set[str]]) -> None:
    for spec in specs:
        assert (ROOT / 'scripts' / spec.program).is_file() and spec.defaults.is_file()
        assert importlib.util.find_spec(spec.module) is not None
        assert set(spec.parameters) <= tables[spec.name], spec.name


@pytest.mark.parametrize('sim', ['mujoco', 'gazebo', 'none'])
@pytest.mark.parametrize('ros2_control', [False, True])
@pytest.mark.parametrize('hardware', ['', 'unitree_g1', 'unitree_g1_ros2_control'])
def test_deployment(walk, tables, sim, ros2_control, hardware):
    choice = RobotChoice(robot='unitree_g1', hardware=hardware)
    specs = compositions.deployment(walk, choice, {'autostart': True}, sim=sim, ros2_control=ros2_control)
    check(specs, tables)
    names = [spec.name for spec in specs]
    assert names == (['simulation'] if sim == 'mujoco' else []) + ['shield', 'supervisor', 'inference']
    shield, supervisor, inference = specs[-3:]
    assert inference.lifecycle and inference.parameters['driver'] == ('simulation' if sim == 'mujoco' else '')
    assert shield.parameters['control_period'] == walk.manifest.control_period
    managed = ros2_control or sim == 'gazebo' or hardware == 'unitree_g1_ros2_control'
    assert supervisor.parameters.get('robot_side') == ('ros2_control' if managed else None)
    if hardware == 'unitree_g1' and not managed:
        assert supervisor.parameters['robot_node'] == 'unitree'


def test_behind_ros2_control_the_simulation_is_the_hardware(walk):
    simulation = compositions.deployment(walk, G1, ros2_control=True)[0]
    assert simulation.parameters['controller_type'] == 'joint_state'
    assert simulation.parameters['controller'] == compositions.SIMULATED_COMMANDS
    assert simulation.remappings == {'joint_states': compositions.SIMULATED_STATES}


@pytest.mark.parametrize('hold', [True, False])
def test_the_robot_hangs_if_it_is_asked_to(walk, hold):
    simulation = compositions.deployment(walk, G1, hold=hold)[0]
    assert simulation.parameters['hold_until_command'] is hold


def test_a_policy_of_another_robot_is_refused_before_anything_starts(walk):
    with pytest.raises(PolicyError, match="was trained for the robot 'unitree_g1', not for 'panda'"):
        compositions.deployment(walk, RobotChoice(robot='panda'))


def test_efforts_need_faster_states_and_nothing_else_overrides_the_parameter_file(walk):
    effort = compositions.deployment(walk, RobotChoice(robot='unitree_g1', controller_type='effort'))[0].parameters
    assert effort['timestep'] == effort['publish_period'] == 0.002
    assert not {'timestep', 'publish_period', 'collisions'} & set(compositions.deployment(walk, G1)[0].parameters)


def test_training_simulates_as_the_task_says(tables):
    specs = compositions.training('unitree_g1', 'reach', {'out': 'run'})
    check(specs, tables)
    simulation, shield, training = specs
    assert simulation.parameters['hold_until_command'] is True  # reach: base is held
    assert simulation.parameters['control_period'] == shield.parameters['control_period'] == 0.02
    assert training.parameters == {'robot': 'unitree_g1', 'task': 'reach', 'out': 'run'}


@pytest.mark.parametrize(('sim', 'hardware'), [('mujoco', ''), ('none', ''), ('none', 'unitree_g1_ros2_control')])
def test_training_in_real_time(tables, sim, hardware):
    """The shield as for a task whose robot hangs; who reads the robot's state knows where the hardware has it."""
    choice = RobotChoice(robot='unitree_g1', hardware=hardware)
    specs = compositions.training_in_real_time(choice, 'reach', {'out': 'run', 'budget': 'simulation'}, sim=sim)
    check(specs, tables)
    assert [spec.name for spec in specs] == [*(['simulation'] if sim == 'mujoco' else []), 'shield', 'supervisor',
                                             'training']
    shield, _, training = specs[-3:]
    assert shield.parameters['check_unloaded'] is False and shield.parameters['control_period'] == 0.02
    assert shield.parameters['mode'] == training.parameters['mode'] == 'realtime'
    assert training.parameters['budget'] == 'hardware'
    assert training.remappings == shield.remappings == ({'imu': 'imu_sensor_broadcaster/imu'} if hardware else {})


def test_other_nodes(tables):
    unitree = RobotChoice(robot='unitree_g1', hardware='unitree_g1')
    check([*compositions.driver(unitree), compositions.monitor(unitree), compositions.supervisor(unitree)], tables)
    assert compositions.driver(unitree)[0].remappings == {'lowcmd': '/lowcmd', 'lowstate': '/lowstate'}
    assert compositions.driver(G1) == compositions.driver(RobotChoice(robot='panda', hardware='panda')) == []


def test_a_state_topic_of_another_name_is_renamed():
    choice = RobotChoice(robot='unitree_g1', hardware='unitree_g1_ros2_control')
    assert compositions.shield(choice).remappings == {'imu': 'imu_sensor_broadcaster/imu'}


@pytest.mark.parametrize('name', NODES)
def test_parameter_file(name, tables):
    content = yaml.safe_load((config_directory() / 'nodes' / f'{name}.yaml').read_text())
    assert list(content) == [f'/**/{name}'] and list(content[f'/**/{name}']) == ['ros__parameters']
    assert set(content[f'/**/{name}']['ros__parameters']) <= tables[name]


@pytest.mark.parametrize('name', list_hardware())
def test_hardware_file(name):
    hardware = load_hardware(name)
    robot = RobotChoice(robot=hardware.robot, hardware=name).load()
    assert robot.settings.topics.controller == hardware.controller
    assert robot.settings.topics.controller_type == hardware.controller_type


def test_hardware_of_another_robot():
    with pytest.raises(ConfigurationError, match="the hardware is for robot 'panda', and the robot is 'unitree_g1'"):
        RobotChoice(robot='unitree_g1', hardware='panda').load()


def test_order_of_the_hardware_s_controller(tmp_path):
    robot = load_robot('panda')
    path = tmp_path / 'arm.yaml'
    backwards = list(reversed(robot.joint_names))
    path.write_text(f'robot: panda\ndriver: other\ncontroller: arm\njoints: {backwards}\n')
    assert RobotChoice(robot='panda', hardware=str(path)).load().controller_joints == tuple(backwards)
    path.write_text(f'robot: panda\ndriver: other\ncontroller: arm\njoints: {backwards[:-1]}\n')
    with pytest.raises(RobotDescriptionError, match=r"joints of panda's controller: joint 'panda_joint1' is missing"):
        RobotChoice(robot='panda', hardware=str(path)).load()


def test_example_of_a_hardware_file():
    page = (ROOT / 'docs' / 'ros2_control.md').read_text()
    text, = re.findall(r'```yaml\n(.*?)```', page, re.S)
    said = parse_settings(yaml.safe_load(text), HardwareSettings, 'ros2_control.md')
    assert said.controller_manager.parameters == {'robot_ip': '172.16.0.2', 'arm_id': 'panda'}


def test_a_simulation_that_runs_already(group, monkeypatch, walk):
    """``evaluate --backend running``: whoever simulates, it gets the policy's gains and is reset and stepped."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(group.domain.id))
    start_nodes(group, compositions.simulated_robot(G1, mode='lockstep', hold=True))
    with running_lockstep('unitree_g1', control_period=0.02, gains=walk.manifest) as backend:
        robot = backend.robot
        assert np.array_equal(robot.stiffness, np.array(walk.manifest.stiffness))
        state = backend.reset(robot.default_state(1), np.array([0]))
        after = backend.step(JointCommand(stamp=state.time, position=robot.default_position[None]))
        assert after.time[0] == pytest.approx(0.02)
        group.check()


def test_a_driver_behind_ros2_control_needs_its_plugin(tmp_path):
    path = tmp_path / 'arm.yaml'
    path.write_text('robot: panda\ndriver: ros2_control\ncontroller: arm\n')
    with pytest.raises(ConfigurationError, match="driver is 'ros2_control', and there is no 'controller_manager'"):
        load_hardware(str(path))

"""The real controller manager: a simulated G1 and mock hardware behind ros2_control's controllers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy', reason='needs rclpy')
pytest.importorskip('controller_manager_msgs', reason='ros2_control comes with a ROS 2 installation, and not from pip')
from controller_manager_msgs.srv import ListControllers  # noqa: E402

from rl_robot_control.robots import load_robot  # noqa: E402
from rl_robot_control.robots.hardware import ControllerManagerSettings  # noqa: E402
from rl_robot_control.robots.ros2_control import controllers_file  # noqa: E402
from rl_robot_control.ros import interface  # noqa: E402
from rl_robot_control.ros.conversions import CommandCodec  # noqa: E402
from rl_robot_control.ros.robot_operator import Operator  # noqa: E402

TIMEOUT = 60.0  # for anything that must happen, on a loaded machine [s]
CONTROLLER = 'joint_group_position_controller'
pytestmark = [pytest.mark.realtime, pytest.mark.timeout(240)]


def states(operator: Operator) -> dict[str, str]:
    """The controllers' states, by name."""
    answer = operator.call(ListControllers, 'controller_manager/list_controllers', ListControllers.Request(), TIMEOUT)
    return {controller.name: controller.state for controller in answer.controller}


def wait(operator: Operator, name: str, key: str, value: str) -> None:
    operator.wait_until(lambda: operator.value(name, key) == value, f'{name}: {key} is {value}', TIMEOUT)


def pid_of(node: str, session: int) -> int:
    """Process of one of our nodes in a launch's session."""
    for entry in Path('/proc').glob('[0-9]*'):
        try:
            fields = (entry / 'stat').read_text().rpartition(')')[2].split()
            if int(fields[3]) == session and f'{node}_node' in (entry / 'cmdline').read_text():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f'no process of {node}')


def test_the_g1_walks_behind_a_controller_manager(launch, domain):
    """29 joints: controllers found, order checked, commands arrive; a dead shield ends in deactivation and damping."""
    started = launch('deployment', 'policy:=unitree_g1_walk', 'ros2_control:=true', 'autostart:=true')
    with Operator(domain, watch=started.running) as operator:
        wait(operator, 'inference', 'phase', 'running')
        wait(operator, 'links', 'controller', 'joints and their order are right')
        assert states(operator) == {'joint_state_broadcaster': 'active', CONTROLLER: 'active'}
        wait(operator, 'simulation', 'drives', 'following')
        operator.trigger(interface.SIMULATION_RELEASE)
        end = time.monotonic() + 5.0

        def walks() -> bool:
            operator.command((0.4, 0.0, 0.0))
            return time.monotonic() > end

        operator.wait_until(walks, 'it walks', TIMEOUT)
        assert operator.value('shield', 'mode') == 'ACTIVE', operator.value('shield', 'reason')
        os.kill(pid_of('shield', started.process.pid), signal.SIGKILL)
        wait(operator, 'supervisor', 'state', 'TRIPPED')
        wait(operator, 'supervisor', 'robot safe', 'yes')
        assert states(operator)[CONTROLLER] == 'inactive'
        wait(operator, 'simulation', 'drives', 'damped')
    assert started.interrupt() in (0, 1)  # 1: launch says that a node had died
    assert started.survivors() == []


def test_an_arm_on_mock_hardware(launch, domain):
    robot = load_robot('panda')
    started = launch('hardware', 'robot:=panda', 'hardware:=panda')
    with Operator(domain, watch=started.running) as operator:
        heard = []
        interface.JOINT_STATES.subscription(operator.node, heard.append)
        wait(operator, 'links', 'controller', 'joints and their order are right')
        wait(operator, 'shield', 'mode', 'READY')
        assert states(operator)[CONTROLLER] == 'active'
        codec, policy = CommandCodec(robot), interface.POLICY_COMMAND.publisher(operator.node)
        goal = robot.default_position + 0.1
        spoken = 0.0

        def there() -> bool:
            nonlocal spoken
            if time.monotonic() - spoken > 0.02:
                spoken = time.monotonic()
                policy.publish(codec.encode(goal, heard[-1].header.stamp))
            latest = dict(zip(heard[-1].name, heard[-1].position))
            return all(abs(latest[name] - value) < 0.005 for name, value in zip(robot.joint_names, goal))

        operator.wait_until(there, 'the joints are where the policy wants them', TIMEOUT)
    assert started.interrupt() == 0, started.output()
    assert started.survivors() == []


def test_a_controllers_file_in_another_order_is_refused(launch, tmp_path):
    content = controllers_file(load_robot('panda'), ControllerManagerSettings(plugin='mock_components/GenericSystem'))
    content[f'/**/{CONTROLLER}']['ros__parameters']['joints'].reverse()
    path = tmp_path / 'controllers.yaml'
    path.write_text(yaml.safe_dump(content))
    started = launch('hardware', 'robot:=panda', 'hardware:=panda', f'controllers:={path}')
    assert started.process.wait(TIMEOUT) != 0
    assert "joint 0 is 'panda_joint7', and the shield sends the value of 'panda_joint1' there" in started.output()
    assert started.survivors() == []


def test_another_order_in_the_running_controller_latches(launch, domain, tmp_path):
    """The file is right, but somebody has loaded another one: the controller itself says so."""
    started = launch('hardware', 'robot:=panda', 'hardware:=panda', 'shield:=false')
    backwards = tmp_path / 'arm.yaml'
    backwards.write_text(yaml.safe_dump({
        'robot': 'panda', 'driver': 'other', 'controller': CONTROLLER,
        'joints': list(reversed(load_robot('panda').joint_names))}))
    with Operator(domain, watch=started.running) as operator:
        operator.wait_until(lambda: states(operator).get(CONTROLLER) == 'active', 'the controller is active', TIMEOUT)
        from rl_robot_control.ros.processes import NodeGroup
        os.environ['ROS_DOMAIN_ID'] = str(domain)
        try:
            with NodeGroup(tmp_path / 'logs') as group:
                group.start('shield', {'robot': 'panda', 'hardware': str(backwards)})
                wait(operator, 'shield', 'mode', 'LATCHED')
                assert "joint 0 is 'panda_joint1', and the shield sends the value of 'panda_joint7' there" in \
                    operator.value('shield', 'reason')
        finally:
            del os.environ['ROS_DOMAIN_ID']
    assert started.interrupt() == 0, started.output()
    assert started.survivors() == []

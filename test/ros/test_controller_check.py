"""The shield asks a controller of ros2_control for its joints; here this process answers in its place."""

from __future__ import annotations

import time

import pytest
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from rl_robot_control.errors import BackendError
from rl_robot_control.ros import interface
from rl_robot_control.ros.controller_check import ControllerCheck
from rl_robot_control.ros.conversions import CommandCodec

TIMEOUT = 20.0  # for anything that must happen, on a loaded machine [s]


class Rig:
    """A simulated arm behind its shield; this process is the policy and the controller's node."""

    def __init__(self, group, operator, g1):
        self.group, self.operator, self.robot, self.commands = group, operator, g1, []
        self._codec, self._policy = CommandCodec(g1), interface.POLICY_COMMAND.publisher(operator.node)
        interface.JOINT_STATES.subscription(operator.node, self._on_state)
        interface.controller_commands(g1.settings.topics).subscription(operator.node, self.commands.append)
        self.count = 0

    def _on_state(self, message):
        self.count += 1
        if self.count % 4 == 0:  # 200 Hz → 50 Hz
            self._policy.publish(self._codec.encode(self.robot.default_position, message.header.stamp))

    def start(self, **shield):
        self.group.start('simulation', {'robot': self.robot.name, 'hold_until_command': True})
        self.group.start('shield', {'robot': self.robot.name, **shield})

    def serve(self, joints, forwards='position'):
        """The controller's parameters."""
        def answer(request, response):
            values = {'joints': list(joints), 'interface_name': forwards}
            response.values = [Parameter(name, value=values[name]).get_parameter_value() for name in request.names]
            return response

        name = f'{self.robot.settings.topics.controller}/get_parameters'
        return self.operator.node.create_service(GetParameters, name, answer)

    def wait(self, name, key, value):
        self.operator.wait_until(lambda: self.operator.value(name, key) == value, f'{name}: {key} is {value}', TIMEOUT)

    def listen(self, seconds):
        end = time.monotonic() + seconds
        self.operator.wait_until(lambda: time.monotonic() > end, 'time passes', seconds + TIMEOUT)


@pytest.fixture
def rig(group, operator, g1):
    return Rig(group, operator, g1)


def test_right_order(rig, g1):
    rig.serve(g1.joint_names)
    rig.start()
    rig.wait('links', 'controller', 'joints and their order are right')
    rig.wait('shield', 'mode', 'ACTIVE')
    rig.operator.wait_until(lambda: rig.commands, 'commands come', TIMEOUT)


def test_wrong_joints_latch(rig, g1):
    names = g1.joint_names
    rig.serve([names[1], names[0], *names[2:]])
    rig.start()
    rig.wait('shield', 'mode', 'LATCHED')
    with pytest.raises(BackendError, match="joint 0 is 'left_hip_roll_joint', and the shield"):
        rig.operator.trigger(interface.REARM)
    assert rig.commands == []


@pytest.mark.parametrize(('joints', 'forwards', 'fault'), [
    (lambda names: names, 'position', ''),
    (lambda names: names, '', ''),  # a trajectory controller has no interface_name
    (lambda names: names[:-1], 'position', "joint 'right_wrist_yaw_joint' is missing"),
    (lambda names: [], 'position', "joint 'left_hip_pitch_joint' (and 28 more) is missing"),
    (lambda names: names, 'effort', "forwards values for 'effort', and is sent them for 'position'"),
])
def test_what_a_controller_may_say(operator, g1, joints, forwards, fault):
    """In one process: this node asks itself."""
    def answer(request, response):
        values = {'joints': list(joints(g1.joint_names)), 'interface_name': forwards}
        response.values = [Parameter(name, value=values[name]).get_parameter_value() if values[name] else
                           ParameterValue() for name in request.names]
        return response

    check = ControllerCheck(operator.node, g1, required=True)
    assert not check.cleared and check.describe() == 'not heard yet'
    operator.node.create_service(GetParameters, f'{g1.settings.topics.controller}/get_parameters', answer)

    def known():
        check.look(time.monotonic())
        return check.describe() != 'not heard yet'

    operator.wait_until(known, 'the answer comes', TIMEOUT)
    assert fault in check.fault and check.cleared == (not fault)


def test_a_required_controller_that_is_not_there_is_sent_nothing(rig, g1):
    rig.start(require_controller=True)
    rig.wait('shield', 'mode', 'ACTIVE')
    assert rig.operator.value('links', 'controller') == 'not heard yet'
    rig.listen(1.0)
    assert rig.commands == []
    service = rig.serve(g1.joint_names)
    rig.operator.wait_until(lambda: rig.commands, 'commands come', TIMEOUT)
    rig.wait('links', 'controller', 'joints and their order are right')
    rig.operator.node.destroy_service(service)  # it is gone, and whoever comes next is asked again
    rig.wait('links', 'controller', 'not heard yet')
    rig.listen(0.2)
    rig.commands.clear()
    rig.listen(0.5)
    assert rig.commands == []
    assert rig.operator.call(Trigger, interface.EMERGENCY_STOP.name, Trigger.Request(), 5.0).success

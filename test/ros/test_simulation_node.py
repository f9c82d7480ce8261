"""The simulation node alone, as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from ear import Ear
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool

from rl_robot_control.ros import interface
from rl_robot_control.ros.controllers import Aim, make_controller
from rl_robot_control.ros.conversions import to_nanoseconds

pytestmark = pytest.mark.realtime

PERIOD = 20_000_000  # one control period [ns]


class Rig:
    """A simulation process, its commands and its joint states."""

    def __init__(self, group, operator, robot, **parameters):
        group.start('simulation', {'robot': robot.name, **parameters})
        topic = interface.controller_commands(robot.settings.topics)
        self.operator, self.node = operator, group.nodes['simulation']
        self.commands, self.controller = topic.publisher(operator.node), make_controller(robot, 0.02)
        self.ear = Ear(operator, interface.JOINT_STATES)
        operator.wait_until(lambda: self.ear.connected and self.commands.get_subscription_count() > 0, 'connected',
                            30.0)

    def command(self, position, answers=None):
        self.commands.publish(self.controller.encode(Aim(position=position, answers=answers)))

    def reset(self):
        """Reset until the state is heard here: at first the simulation may not know its listener yet."""
        for _ in range(20):
            answer = self.operator.call(interface.SIMULATION_RESET.type, 'simulation/reset',
                                        interface.SIMULATION_RESET.type.Request(), 10.0)
            if self.hears(int(answer.message), time.monotonic() + 0.5):
                return int(answer.message)
        raise AssertionError('no state arrived after 20 resets')

    def hears(self, stamp, deadline):
        self.operator.wait_until(lambda: self.heard(stamp) or time.monotonic() > deadline, 'a state', 5.0)
        return self.heard(stamp)

    def heard(self, stamp):
        return bool(self.ear.messages) and to_nanoseconds(self.ear.latest.header.stamp) == stamp

    def refused(self):
        return 'command refused' in self.node.log.read_text()

    def set(self, **values):
        messages = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParametersAtomically.Request(parameters=messages)
        return self.operator.call(SetParametersAtomically, 'simulation/set_parameters_atomically', request, 10.0).result


@pytest.mark.parametrize(('data', 'answers', 'why'), [
    ([0.0] * 28, None, 'the command holds 28 values; the robot has 29 joints.'),
    ([float('nan')] * 29, None, 'the command holds nan at index 0; finite values are needed.'),
    ([0.0] * 29, 7, 'the command answers the state of 7 ns; the latest is of 20000000 ns.'),
])
def test_a_bad_command_is_refused_without_a_step(group, operator, g1, data, answers, why):
    rig = Rig(group, operator, g1, mode='lockstep')
    stamp = rig.reset()
    if answers:
        rig.command(np.array(data), answers)
    else:
        rig.commands.publish(Float64MultiArray(data=data))
    operator.wait_until(rig.refused, 'the command is refused', 5.0)
    assert why.replace('20000000', str(stamp)) in rig.node.log.read_text()
    rig.command(g1.default_position, stamp)
    operator.wait_until(lambda: rig.heard(stamp + PERIOD), 'the good command makes exactly one step', 5.0)


def test_a_paused_world_answers_when_it_goes_on(group, operator, g1):
    rig = Rig(group, operator, g1, mode='lockstep')
    stamp = rig.reset()
    operator.call(SetBool, 'simulation/pause', SetBool.Request(data=True), 5.0)
    rig.command(g1.default_position, stamp)
    begin = time.monotonic()
    operator.wait_until(lambda: time.monotonic() > begin + 0.2, 'time passes', 1.0)
    assert rig.heard(stamp)
    operator.call(SetBool, 'simulation/pause', SetBool.Request(data=False), 5.0)
    operator.wait_until(lambda: rig.heard(stamp + PERIOD), 'the waiting command is answered', 5.0)


def test_a_reset_follows_its_parameters(group, operator, g1):
    rig = Rig(group, operator, g1, mode='lockstep')

    def pose(**values):
        assert rig.set(**values).successful
        rig.reset()
        return np.array(rig.ear.latest.position)

    np.testing.assert_array_equal(pose(), g1.default_position)
    first = pose(**{'seed': 1, 'reset.noise': 0.01})
    assert 0 < np.abs(first - g1.default_position).max() <= 0.01
    assert (pose(seed=2) != first).any()
    np.testing.assert_array_equal(pose(seed=1), first)
    result = rig.set(**{'reset.joint_position': [0.0, 1.0]})
    assert result.reason == "parameter 'reset.joint_position' holds 2 numbers; 0 or 29 are needed."


def test_an_abandoned_robot_is_damped_and_a_commanded_one_is_not(group, operator, g1):
    """A damped drive gives −3 N·m·s/rad times its speed; one with stiffness pulls toward its target."""
    rig = Rig(group, operator, g1, mode='realtime', hold_until_command=True)

    def damped():
        state = rig.ear.latest
        return np.allclose(state.effort, -3.0 * np.array(state.velocity), atol=0.2)

    def commanded():
        rig.command(g1.default_position + 0.2)
        return bool(rig.ear.messages) and not damped()

    operator.wait_until(commanded, 'the robot follows', 10.0)
    operator.wait_until(lambda: len(rig.ear.messages) > 0 and damped(), 'the robot is damped', 5.0)
    assert 'no command for 0.1 s: damping the robot' in rig.node.log.read_text()
    operator.wait_until(commanded, 'the robot follows again', 10.0)


def test_the_gains_are_live(group, operator, g1):
    rig = Rig(group, operator, g1, mode='lockstep', hold_until_command=True)

    def effort():
        stamp = rig.reset()
        rig.command(g1.default_position + 0.1, stamp)
        operator.wait_until(lambda: rig.heard(stamp + PERIOD), 'a step', 5.0)
        return np.abs(rig.ear.latest.effort)

    normal = effort()
    assert rig.set(stiffness=[0.0] * 29, damping=[0.0] * 29).successful
    assert normal.max() > 0.5
    np.testing.assert_array_equal(effort(), 0.0)  # no gains, no effort
    assert not rig.set(stiffness=[-1.0] * 29).successful


@pytest.mark.parametrize(('parameters', 'text'), [
    ({}, "error: parameter 'robot' is not set."),
    ({'robot': 'unitree_g2'}, "error: unknown robot 'unitree_g2'; did you mean 'unitree_g1'?"),
    ({'robot': 'unitree_g1', 'timestep': '7.0'}, "error: parameter 'timestep' is 7.0 s; it must be at most 0.02 s."),
    ({'robot': 'unitree_g1', 'timestep': '0.003'}, 'error: the control period 0.005 s is no multiple of the physics'),
])
def test_a_bad_parameter_ends_the_node_with_one_clear_line(group, parameters, text):
    overrides = [word for name, value in parameters.items() for word in ('-p', f'{name}:={value}')]
    result = subprocess.run([sys.executable, '-m', 'rl_robot_control.nodes.simulation', '--ros-args', *overrides],
                            env=group.environment | {'RL_ROBOT_CONTROL_PARENT_PID': ''}, capture_output=True, text=True,
                            timeout=30)
    assert result.returncode == 1
    assert text in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_in_order(group, operator, g1, number):
    rig = Rig(group, operator, g1, mode='realtime')
    rig.node.signal(number)
    assert rig.node.process.wait(10) == 0
    assert 'Traceback' not in rig.node.log.read_text()

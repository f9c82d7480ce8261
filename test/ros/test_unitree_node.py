"""The Unitree driver as a process, with a stand-in of the robot behind it and everything else over DDS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from ear import Ear
from std_msgs.msg import Float64MultiArray, String

from rl_robot_control.ros import interface
from rl_robot_control.ros.drive_codec import DriveCodec

pytestmark = pytest.mark.realtime

TIMEOUT = 20.0  # for anything that must happen, on a loaded machine [s]
STIFF, DAMP = 80.0, 4.0
FOLDER = str(Path(__file__).parent)


class Rig:
    """The driver and its robot in one process; this process is the shield and the robot's surroundings."""

    def __init__(self, group, operator, robot, **parameters):
        self.operator, self.robot, self.group = operator, robot, group
        # The time-outs are long: what matters here is what they lead to, on a machine that is busy with other things.
        parameters = {'robot': robot.name, 'command_timeout': 1.0, 'state_timeout': 1.0, **parameters}
        self.node = group.start('unitree', parameters, module='unitree_robot', environment={
            'PYTHONPATH': ':'.join([FOLDER, *filter(None, [group.environment.get('PYTHONPATH')])])})
        topic = interface.controller_commands(robot.settings.topics)
        self.commands, self.codec = topic.publisher(operator.node), DriveCodec(robot)
        self.do_publisher = operator.node.create_publisher(String, 'stand_in/do', 10)
        self.joints, self.imus = Ear(operator, interface.JOINT_STATES), Ear(operator, interface.IMU)
        self.seen = {}
        operator.node.create_subscription(String, 'stand_in/seen', lambda m: self.seen.update(json.loads(m.data)), 10)
        self.wait(lambda: self.joints.connected and self.commands.get_subscription_count() > 0
                  and self.do_publisher.get_subscription_count() > 0 and self.seen, 'connected')
        self.target = np.linspace(-0.3, 0.3, robot.num_joints)

    def do(self, **what):
        self.do_publisher.publish(String(data=json.dumps(what)))

    def wake(self):
        """Let the robot send its states."""
        self.do(silent=False)
        self.wait(lambda: self.joints.messages, 'a state')
        return self

    def wait(self, condition, what):
        self.operator.wait_until(condition, what, TIMEOUT)

    def command(self, target=None, stiffness=STIFF):
        values = np.zeros((self.robot.num_joints, 5))
        values[:, 0], values[:, 3], values[:, 4] = self.target if target is None else target, stiffness, DAMP
        self.commands.publish(self.codec.encode(values))
        return True

    def follow(self):
        """Command until the robot is where it is told to be."""
        self.wait(lambda: self.command() and self.drives == 'following' and np.allclose(
            self.joints.latest.position, self.target, atol=1e-3), 'the robot follows')
        return self

    def damped(self):
        values = np.array(self.seen['values'])[:29]
        return bool((values[:, 3] == 0).all() and (values[:, 4] == 3).all())

    @property
    def drives(self):
        return self.operator.value('unitree', 'drives')

    @property
    def message(self):
        return self.operator.status('unitree').message

    @property
    def level(self):
        return self.operator.status('unitree').level

    def value(self, key):
        return int(self.operator.value('unitree', key) or 0)


def test_nothing_is_sent_before_a_state_nor_before_a_command(group, operator, g1):
    rig = Rig(group, operator, g1)
    rig.wait(lambda: rig.command() and rig.value('commands refused') > 0, 'a command is refused')
    assert 'command refused: no lowstate has been received.' in rig.node.log.read_text()
    assert rig.drives == 'holding' and rig.seen['sent'] == 0
    rig.wake()
    rig.wait(lambda: 'nothing is sent before the first command' in rig.message, 'heard')
    assert rig.drives == 'holding' and rig.seen['sent'] == 0 and rig.level == DiagnosticStatus.OK
    rig.follow()
    assert rig.seen['accepted'] > 0


def test_commands_are_followed_and_states_are_published(group, operator, g1):
    rig = Rig(group, operator, g1).wake().follow()
    assert list(rig.joints.latest.name) == list(g1.joint_names)
    rig.wait(lambda: rig.imus.messages, 'an imu')
    assert rig.imus.latest.header.frame_id == 'pelvis'
    assert rig.imus.latest.orientation.w == 1.0 and rig.imus.latest.linear_acceleration.z == pytest.approx(9.81)
    stamps = {(m.header.stamp.sec, m.header.stamp.nanosec) for m in rig.joints.messages}
    assert stamps & {(m.header.stamp.sec, m.header.stamp.nanosec) for m in rig.imus.messages}
    assert rig.seen['enabled'] == [True] * 29 + [False] * 6
    np.testing.assert_allclose(np.array(rig.seen['values'])[:29, 0], rig.target.astype(np.float32))
    rig.do(mode_machine=6)  # another robot answers: its number is echoed, or it would not listen
    accepted = rig.seen['accepted']
    rig.wait(lambda: rig.command() and rig.value('mode_machine') == 6 and rig.seen['accepted'] > accepted + 100,
             'the new number is echoed')
    assert rig.seen['wrong_crc'] == 0
    assert rig.seen['wrong_mode'] < 500  # only until its next state came


def test_silence_damps_until_the_next_command(group, operator, g1):
    rig = Rig(group, operator, g1, command_timeout=0.1).wake().follow()
    rig.wait(lambda: rig.drives == 'damped' and rig.damped(), 'damped')
    assert rig.level == DiagnosticStatus.WARN and rig.message == 'drives: damped; no command for 0.1 s'
    assert 'no command for 0.1 s: damping the robot.' in rig.node.log.read_text()
    sent = rig.seen['sent']
    rig.wait(lambda: rig.seen['sent'] > sent + 50, 'it goes on damping')
    rig.follow()


def test_a_robot_that_falls_silent_is_damped_and_not_spoken_for(group, operator, g1):
    rig = Rig(group, operator, g1).wake().follow()
    rig.do(silent=True)
    rig.wait(lambda: rig.command() and rig.drives == 'damped' and rig.damped(), 'damped')
    assert rig.level == DiagnosticStatus.ERROR and 'no lowstate for 1 s' in rig.message
    count, sent = len(rig.joints.messages), rig.seen['sent']
    rig.wait(lambda: rig.command() and rig.seen['sent'] > sent + 100, 'time passes')
    assert len(rig.joints.messages) == count
    rig.do(silent=False)
    rig.follow()


def test_a_state_with_a_wrong_crc_is_dropped_and_counted(group, operator, g1):
    rig = Rig(group, operator, g1).wake()
    rig.do(spoiled=10 ** 9)
    rig.wait(lambda: rig.value('lowstates dropped') > 10, 'dropped')
    assert "lowstate dropped: a LowState's CRC is" in rig.node.log.read_text()
    rig.wait(lambda: rig.level == DiagnosticStatus.ERROR and 'the robot is not heard' in rig.message, 'said')
    rig.do(spoiled=0)
    rig.follow()


def test_a_bad_command_is_refused(group, operator, g1):
    rig = Rig(group, operator, g1).wake().follow()
    refused = rig.value('commands refused')
    rig.commands.publish(Float64MultiArray(data=[0.0] * 29))  # the style of a position controller
    rig.wait(lambda: rig.value('commands refused') == refused + 1, 'counted')
    assert 'the command holds 29 values; 145 are needed' in rig.node.log.read_text()


def test_the_remote_damps_for_good(group, operator, g1):
    rig = Rig(group, operator, g1, command_timeout=0.2).wake().follow()
    rig.wait(lambda: rig.drives == 'damped', 'damped by silence, for a while')
    rig.follow()
    rig.do(remote='L2')
    rig.do(remote='L2+B+R1')
    rig.wait(lambda: rig.command() and rig.drives == 'damped' and rig.damped(), 'damped')
    assert 'L2+B on the remote; start this node again to go on: damping the robot.' in rig.node.log.read_text()
    rig.do(remote='')
    sent = rig.seen['sent']
    rig.wait(lambda: rig.command() and rig.seen['sent'] > sent + 200, 'commands go on')
    assert rig.damped() and rig.drives == 'damped' and rig.level == DiagnosticStatus.ERROR


def test_faults_heat_and_a_lost_orientation_are_told(group, operator, g1):
    rig = Rig(group, operator, g1).wake().follow()
    rig.do(motor={'temperature': [90, 60]}, quaternion=[0.0] * 4)
    hot = 'motor 3 (left_knee_joint) has 90 °C at its casing, above 85 °C'
    rig.wait(lambda: rig.command() and hot in rig.message, 'hot')
    assert rig.level == DiagnosticStatus.WARN and rig.drives == 'following'
    rig.wait(lambda: rig.imus.latest.orientation_covariance[0] == -1.0, 'not measured')
    rig.do(motor={'motorstate': 1})
    rig.wait(lambda: rig.command() and 'motor 3 (left_knee_joint) reports fault 0x1' in rig.message, 'faulty')
    assert rig.level == DiagnosticStatus.ERROR


def test_hold_damped_and_an_orderly_end(group, operator, g1):
    rig = Rig(group, operator, g1, hold_damped=True).wake()
    rig.wait(lambda: rig.drives == 'damped' and rig.seen['accepted'] > 0 and rig.damped(), 'damped')
    rig.follow()
    assert group.stop('unitree') == 0, rig.node.last_words(40)
    assert 'this node ends: damping the robot.' in rig.node.log.read_text()


def test_the_supervisor_sees_the_driver_damp(group, operator, g1):
    rig = Rig(group, operator, g1, command_timeout=0.2).wake().follow()
    group.start('supervisor', {'robot': g1.name, 'robot_side': 'own_timeout', 'robot_node': 'unitree'})
    group.start('shield', {'robot': g1.name})  # whatever it commands: here it only has a heart

    def wait(key, value):
        rig.wait(lambda: rig.command() and operator.value('supervisor', key) == value, f'{key} is {value}')

    wait('state', 'WATCHING')
    wait('robot', 'drives: following')
    group.nodes.pop('shield').signal(signal.SIGKILL)
    wait('state', 'TRIPPED')
    assert operator.value('supervisor', 'robot safe') == 'no'  # this process goes on commanding
    rig.wait(lambda: operator.value('supervisor', 'robot safe') == 'yes', 'its silence leads to damping')
    assert operator.value('supervisor', 'robot') == 'drives: damped'


@pytest.mark.parametrize(('parameters', 'text'), [
    ({}, "error: parameter 'robot' is not set."),
    ({'robot': 'panda'}, "error: robot 'panda' has no sdk_joints; add to its YAML the list of its joints"),
    ({'robot': 'unitree_g1'}, "error: Unitree's messages 'unitree_hg' are not installed for this Python"),
    ({'robot': 'unitree_g1', 'stop_buttons': "['L2+Z']"}, "error: unknown button of Unitree's remote 'Z'"),
    ({'robot': 'unitree_g1', 'state_timeout': '0.01', 'state_rate': '100.0'},
     "error: parameter 'state_timeout' is 0.01 s; at a state_rate of 100 Hz it must be at least 0.02 s."),
])
def test_a_start_that_cannot_work_says_why(group, parameters, text):
    arguments = [part for key, value in parameters.items() for part in ('-p', f'{key}:={value}')]
    run = subprocess.run([sys.executable, '-m', 'rl_robot_control.nodes.unitree', '--ros-args', *arguments],
                         capture_output=True, text=True, timeout=60, env=group.environment, stdin=subprocess.DEVNULL)
    assert run.returncode == 1 and text in run.stderr and 'Traceback' not in run.stderr

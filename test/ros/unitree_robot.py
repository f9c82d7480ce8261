"""A stand-in of a Unitree G1 on its own topics, with the driver in one process: run as a module in place of the node.

Message classes have the fields of the .msg files of unitree_hg. ``lowcmd`` and ``lowstate`` are carried by hand, what
the driver says to the rest of the world goes over DDS. The topic ``stand_in/do`` tells the robot what is to go wrong,
``stand_in/seen`` says what it has seen.
"""

from __future__ import annotations

import json
import struct
import sys
from types import ModuleType

import numpy as np
from std_msgs.msg import String

from rl_robot_control.nodes.unitree import UnitreeNode, run
from rl_robot_control.ros.runtime import run_node
from rl_robot_control.ros.unitree_hg import combination, crc32
from rl_robot_control.ros.unitree_link import unitree_messages

PERIOD = 0.002  # [s]
SEEN_PERIOD = 0.02  # [s]
INERTIA = 0.05  # of each joint [kg·m²]
MODE_MACHINE = 5  # a G1 with 29 joints
MOTORS = 35
# The C structs of the two messages as in unitree_sdk2_python's utils/crc.py.
# and a LowState in CDR, with the middleware's header: every value at a multiple of its own size.
CDR_LOW_STATE = '<4s' + '2I2B2xI' + '13fh' + 'Bx4f2hf7I' + 'B3x4f2hf7I' * 34 + '40B5I'
LOW_CMD, LOW_STATE = '<2B2x' + 'B3x5fI' * 35 + '5I', '<2I2B2xI' + '13fh2x' + 'B3x4f2hf7I' * 35 + '40B5I'


def message_type(name, **fields):
    """A class with these fields; a callable makes the first value."""

    def start(self):
        for field, value in fields.items():
            setattr(self, field, value() if callable(value) else value)

    return type(name, (), {'__init__': start, '__slots__': tuple(fields)})


MotorCmd = message_type('MotorCmd', mode=0, q=0.0, dq=0.0, tau=0.0, kp=0.0, kd=0.0, reserve=0)
LowCmd = message_type('LowCmd', mode_pr=0, mode_machine=0, motor_cmd=lambda: [MotorCmd() for _ in range(MOTORS)],
                      reserve=lambda: [0] * 4, crc=0)
IMUState = message_type('IMUState', quaternion=lambda: [1.0, 0.0, 0.0, 0.0], gyroscope=lambda: [0.0] * 3,
                        accelerometer=lambda: [0.0, 0.0, 9.81], rpy=lambda: [0.0] * 3, temperature=40)
MotorState = message_type('MotorState', mode=1, q=0.0, dq=0.0, ddq=0.0, tau_est=0.0, temperature=lambda: [45, 60],
                          vol=48.0, sensor=lambda: [0] * 2, motorstate=0, reserve=lambda: [0] * 4)
LowState = message_type('LowState', version=lambda: [1, 0], mode_pr=0, mode_machine=MODE_MACHINE, tick=0,
                        imu_state=IMUState, motor_state=lambda: [MotorState() for _ in range(MOTORS)],
                        wireless_remote=lambda: [0] * 40, reserve=lambda: [0] * 4, crc=0)


def pretend_installed():
    """Put the classes where unitree_hg would be."""
    module = ModuleType('unitree_hg.msg')
    module.LowCmd, module.LowState = LowCmd, LowState
    sys.modules['unitree_hg'], sys.modules['unitree_hg.msg'] = ModuleType('unitree_hg'), module


def low_cmd_bytes(message):
    """The C struct; floats become single here, as on their way to the robot."""
    values = [message.mode_pr, message.mode_machine]
    for motor in message.motor_cmd:
        values += [motor.mode, motor.q, motor.dq, motor.tau, motor.kp, motor.kd, motor.reserve]
    return struct.pack(LOW_CMD, *values, *message.reserve, message.crc)


def low_state_bytes(message, layout=LOW_STATE, head=()):
    """The C struct, or CDR; floats become single here."""
    imu = message.imu_state
    values = [*message.version, message.mode_pr, message.mode_machine, message.tick, *imu.quaternion, *imu.gyroscope,
              *imu.accelerometer, *imu.rpy, imu.temperature]
    for motor in message.motor_state:
        values += [motor.mode, motor.q, motor.dq, motor.ddq, motor.tau_est, *motor.temperature, motor.vol,
                   *motor.sensor, motor.motorstate, *motor.reserve]
    return struct.pack(layout, *head, *values, *message.wireless_remote, *message.reserve, message.crc)


def unitree_crc32(words):
    """Unitree's crc32_core, word by word and bit by bit."""
    crc = 0xFFFFFFFF
    for (data,) in struct.iter_unpack('<I', words):
        bit = 1 << 31
        for _ in range(32):
            if crc & 0x80000000:
                crc = ((crc << 1) & 0xFFFFFFFF) ^ 0x04C11DB7
            else:
                crc = (crc << 1) & 0xFFFFFFFF
            if data & bit:
                crc ^= 0x04C11DB7
            bit >>= 1
    return crc


class Robot:
    """35 motors: a mass each, moved by what LowCmd asks for, as long as its CRC and its mode_machine are right."""

    def __init__(self):
        self.state = LowState()
        self.position, self.velocity = np.zeros(MOTORS), np.zeros(MOTORS)
        self.values = np.zeros((MOTORS, 5))  # q dq tau kp kd
        self.enabled = np.zeros(MOTORS, dtype=bool)
        self.accepted = self.wrong_crc = self.wrong_mode = 0
        self._known = b''  # the latest message with a right CRC

    def receive(self, message):
        """What the robot does with a LowCmd."""
        content = low_cmd_bytes(message)
        if content != self._known and unitree_crc32(content[:-4]) != message.crc:
            self.wrong_crc += 1
        elif message.mode_machine != self.state.mode_machine or message.mode_pr != 0:
            self.wrong_mode += 1
        else:
            self._known, self.accepted = content, self.accepted + 1
            motors = message.motor_cmd
            self.enabled = np.array([m.mode == 1 for m in motors])
            self.values = np.array([[m.q, m.dq, m.tau, m.kp, m.kd] for m in motors])

    def step(self):
        """One period of the world, and the state at its end."""
        q, dq, tau, kp, kd = self.values.T
        effort = np.where(self.enabled, tau + kp * (q - self.position) + kd * (dq - self.velocity), 0.0)
        self.velocity += effort / INERTIA * PERIOD
        self.position += self.velocity * PERIOD
        for motor, *values in zip(self.state.motor_state, *np.float32([self.position, self.velocity, effort]).tolist()):
            motor.q, motor.dq, motor.tau_est = values
        self.state.tick += 1
        self.state.crc = crc32(low_state_bytes(self.state)[:-4])
        return self.state


class LoopBack:
    """Carries the two messages by hand, and obeys ``stand_in/do``."""

    def __init__(self, node, on_state):
        self._type, self._on_state = unitree_messages().LowCmd, on_state
        self.robot, self.others = Robot(), 0
        self.silent, self.spoiled, self.sent = True, 0, 0
        node.create_subscription(String, 'stand_in/do', self._obey, 10)
        self._seen = node.create_publisher(String, 'stand_in/seen', 10)
        node.create_timer(PERIOD, self._step)
        node.create_timer(SEEN_PERIOD, self._tell)

    def new_command(self):
        return self._type()

    def other_publishers(self):
        return self.others

    def send(self, message):
        self.sent += 1
        self.robot.receive(message)

    def _step(self):
        state = self.robot.step()
        if self.spoiled > 0:
            self.spoiled -= 1
            state.crc ^= 1
        if not self.silent:
            self._on_state(state)

    def _obey(self, message):
        for what, value in json.loads(message.data).items():
            if what == 'remote':
                buttons = combination(value) if value else 0
                self.robot.state.wireless_remote[2:4] = [buttons & 255, buttons >> 8]
            elif what == 'motor':
                for field, number in value.items():
                    setattr(self.robot.state.motor_state[3], field, number)
            elif what == 'quaternion':
                self.robot.state.imu_state.quaternion[:] = value
            elif what == 'mode_machine':
                self.robot.state.mode_machine = value
            else:
                setattr(self, what, value)

    def _tell(self):
        robot = self.robot
        self._seen.publish(String(data=json.dumps({
            'sent': self.sent, 'accepted': robot.accepted, 'wrong_crc': robot.wrong_crc, 'wrong_mode': robot.wrong_mode,
            'enabled': robot.enabled.tolist(), 'values': robot.values.tolist(), 'position': robot.position.tolist(),
            'silent': self.silent})))


def main():
    """The node, with its robot."""
    pretend_installed()
    sys.exit(run_node(lambda: UnitreeNode(LoopBack), run))


if __name__ == '__main__':
    main()

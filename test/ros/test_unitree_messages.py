"""Unitree's messages: layouts and CRC beside a literal transcription of Unitree's own, and what is read from them."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import rclpy
import unitree_robot as stand_in
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Float64MultiArray, String

from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.nodes.unitree import motors_of
from rl_robot_control.ros import drive_codec, unitree_hg
from rl_robot_control.ros.conversions import MessageError, to_time
from rl_robot_control.ros.drive_codec import DriveCodec
from rl_robot_control.ros.middleware import keep_to_this_machine
from rl_robot_control.ros.processes import Domain
from rl_robot_control.ros.unitree_hg import CrcError, LowCmdWriter, LowStateReader, combination, crc32, pressed
from rl_robot_control.ros.unitree_link import TopicLink, unitree_messages
from rl_robot_control.ros.unitree_states import MotorHealth, UnitreeStates


def random_state(seed=1):
    """A LowState with all fields set, and its right CRC."""
    random, state = np.random.default_rng(seed), stand_in.LowState()
    state.version[:], state.mode_pr, state.tick, state.reserve[:] = [1, 2], 0, 123456, [9, 8, 7, 6]
    angle = random.normal(size=4)
    state.imu_state.quaternion[:] = (angle / np.linalg.norm(angle)).astype(np.float32).tolist()
    for field in ('gyroscope', 'accelerometer', 'rpy'):
        getattr(state.imu_state, field)[:] = random.normal(size=3).astype(np.float32).tolist()
    for i, motor in enumerate(state.motor_state):
        motor.q, motor.dq, motor.ddq, motor.tau_est, motor.vol = random.normal(size=5).astype(np.float32).tolist()
        motor.temperature[:], motor.sensor[:], motor.reserve[:] = [i - 10, 2 * i], [i, 2 ** 32 - 1], [i, 1, 2, 3]
    state.wireless_remote[:] = random.integers(0, 256, 40).tolist()
    state.crc = stand_in.unitree_crc32(stand_in.low_state_bytes(state)[:-4])
    return state


def test_the_crc_is_unitrees():
    assert crc32(b'') == stand_in.unitree_crc32(b'') == 0xFFFFFFFF
    # CRC-32/MPEG-2 of '123456789' is 0x0376e6e7, a catalogue's check value; of '12345678', word by word:
    assert crc32(b'43218765') == stand_in.unitree_crc32(b'43218765')
    random = np.random.default_rng(1)
    for words in (1, 2, 250, 522):
        content = random.bytes(4 * words)
        assert crc32(content) == stand_in.unitree_crc32(content)


def test_the_layouts_have_unitrees_sizes():
    assert unitree_hg.LOW_CMD.itemsize == 1004 and unitree_hg.LOW_STATE.itemsize == 2092  # as its crc.py says
    assert len(stand_in.low_cmd_bytes(stand_in.LowCmd())) == 1004
    assert len(stand_in.low_state_bytes(stand_in.LowState())) == 2092


def test_a_command_goes_to_the_joints_motors_with_the_right_crc():
    message, motors = stand_in.LowCmd(), np.array([2, 0])
    writer, values = LowCmdWriter(message, motors), np.arange(10.0).reshape(2, 5) + 0.1
    assert writer.fill(values, 5) is message
    assert (message.mode_pr, message.mode_machine) == (0, 5)
    assert [motor.mode for motor in message.motor_cmd] == [1, 0, 1] + [0] * 32
    joint = message.motor_cmd[2]  # the first joint is motor 2
    sent = np.array([joint.q, joint.dq, joint.tau, joint.kp, joint.kd])
    np.testing.assert_array_equal(sent, values[0].astype(np.float32))
    assert message.crc == stand_in.unitree_crc32(stand_in.low_cmd_bytes(message)[:-4])
    before = message.crc
    writer.fill(values, 6)
    assert message.mode_machine == 6 and message.crc != before
    assert message.crc == stand_in.unitree_crc32(stand_in.low_cmd_bytes(message)[:-4])


def test_a_state_is_read_where_its_crc_is_right():
    message, reader = random_state(), LowStateReader(np.arange(29))
    state = reader.read(message)
    assert (state['mode_machine'], state['tick']) == (5, 123456)
    np.testing.assert_array_equal(state['motor_state']['tau_est'], [motor.tau_est for motor in message.motor_state])
    np.testing.assert_array_equal(state['motor_state']['temperature'][34], [24, 68])
    np.testing.assert_array_equal(state['wireless_remote'], message.wireless_remote)
    right = message.crc
    message.motor_state[34].reserve[3] += 1
    with pytest.raises(CrcError, match=f"a LowState's CRC is {right:#010x}; that of its contents is 0x"):
        reader.read(message)
    assert LowStateReader(np.arange(29), check=False).read(message)['tick'] == 123456


def test_a_state_is_read_as_it_comes_from_the_middleware():
    message, reader = random_state(), LowStateReader(np.arange(29))
    expected = reader.read(message).copy()
    head = b'\x00\x01\x00\x00'
    content = bytearray(stand_in.low_state_bytes(message, stand_in.CDR_LOW_STATE, (head,)))
    assert unitree_hg.readable(bytes(content))
    assert reader.read(bytes(content)) == expected
    content[4 + 10] = content[4 + 71] = content[4 + 72 - 1 + 56] = 0xAA  # padding, where anything may stand
    assert reader.read(bytes(content)) == expected
    content[4 + 72] ^= 1
    with pytest.raises(CrcError):
        reader.read(bytes(content))
    assert not unitree_hg.readable(b'\x00\x00' + bytes(content[2:]))  # big-endian
    assert not unitree_hg.readable(bytes(content[:-4]))


def test_a_state_becomes_joint_states_and_imu(g1):
    message, motors = random_state(), np.arange(29)[::-1].copy()
    states, reader = UnitreeStates(g1, motors), LowStateReader(motors)
    position = states.encode(reader.read(message), to_time(7))
    assert list(states.joints.name) == list(g1.joint_names) and states.imu.header.frame_id == 'pelvis'
    assert states.joints.header.stamp == states.imu.header.stamp == to_time(7)
    expected = [message.motor_state[m].q for m in motors]
    np.testing.assert_array_equal(states.joints.position, expected)
    np.testing.assert_array_equal(position, expected)
    np.testing.assert_array_equal(states.joints.effort, [message.motor_state[m].tau_est for m in motors])
    o, imu = states.imu.orientation, message.imu_state
    assert [o.w, o.x, o.y, o.z] == imu.quaternion and states.imu.orientation_covariance[0] == 0.0
    assert [states.imu.angular_velocity.y, states.imu.linear_acceleration.z] == [imu.gyroscope[1],
                                                                                 imu.accelerometer[2]]


@pytest.mark.parametrize('quaternion', [[0.0] * 4, [1.0, 0.2, 0.0, 0.0], [float('nan'), 0.0, 0.0, 1.0]])
def test_a_quaternion_of_another_length_is_not_measured(g1, quaternion):
    message, states = random_state(), UnitreeStates(g1, np.arange(29))
    message.imu_state.quaternion[:] = quaternion
    states.encode(LowStateReader(np.arange(29), check=False).read(message), to_time(7))
    assert states.imu.orientation_covariance[0] == -1.0
    states.encode(LowStateReader(np.arange(29)).read(random_state()), to_time(8))
    assert states.imu.orientation_covariance[0] == 0.0


def test_hot_and_faulty_motors_are_named():
    message, health = stand_in.LowState(), MotorHealth(['hip', 'knee'], np.array([4, 2]), (85.0, 120.0))
    reader = LowStateReader(np.array([4, 2]), check=False)

    def judge():
        health.look(reader.read(message))
        return health.judge()

    message.motor_state[7].motorstate = 1  # of no joint of this robot
    assert judge() == (DiagnosticStatus.OK, '')
    message.motor_state[2].temperature[:] = [85, 121]
    assert judge() == (DiagnosticStatus.WARN, 'motor 2 (knee) has 121 °C at its winding, above 120 °C')
    message.motor_state[4].temperature[0] = 86
    assert judge() == (DiagnosticStatus.WARN, 'motor 4 (hip) (and 1 more) has 86 °C at its casing, above 85 °C')
    message.motor_state[2].motorstate = 0x10
    assert judge() == (DiagnosticStatus.ERROR, 'motor 2 (knee) reports fault 0x10')


def test_the_remotes_buttons():
    remote = [0, 0, 0b00100000, 0b00000010] + [0] * 36  # L2 is bit 5 of byte 2, B bit 1 of byte 3
    assert pressed(remote) == combination('L2+B') == combination('B+L2')
    assert combination('left') == 1 << 15
    with pytest.raises(UnknownNameError, match=r"unknown button of Unitree's remote 'L3'; did you mean"):
        combination('L3+B')


def test_the_drives_columns_are_the_motors():
    assert dict(zip(unitree_hg.VALUES, drive_codec.FIELDS)) == {
        'q': 'position', 'dq': 'velocity', 'tau': 'effort', 'kp': 'stiffness', 'kd': 'damping'}
    assert (unitree_hg.POSITION, unitree_hg.DAMPING) == (drive_codec.POSITION, drive_codec.DAMPING)


def test_a_drive_command_there_and_back(g1):
    values = np.random.default_rng(1).uniform(0.0, 10.0, (29, 5))
    message = DriveCodec(g1).encode(values)
    assert list(message.data[5:10]) == values[1].tolist()  # all of a joint together
    np.testing.assert_array_equal(DriveCodec(g1).decode(message), values)


@pytest.mark.parametrize(('index', 'value', 'why'), [
    (None, None, 'the command holds 29 values; 145 are needed, 5 for each of 29 joints.'),
    (1, float('nan'), "velocity of joint 'left_hip_pitch_joint' is nan in the command; finite values are needed."),
    (2, 1e39, "effort of joint 'left_hip_pitch_joint' is 1e\\+39 in the command; finite values are needed."),
    (8, -1.0, "stiffness of joint 'left_hip_roll_joint' is -1 in the command; a gain must not be negative."),
    (9, -0.5, "damping of joint 'left_hip_roll_joint' is -0.5 in the command; a gain must not be negative."),
])
def test_a_bad_drive_command_is_refused(g1, index, value, why):
    data = np.zeros(29 if index is None else 145)
    if index is not None:
        data[index] = value
    with pytest.raises(MessageError, match=why):
        DriveCodec(g1).decode(Float64MultiArray(data=data.tolist()))


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, 'unitree_hg.msg', None)
    with pytest.raises(ConfigurationError, match="Unitree's messages 'unitree_hg' are not installed .* colcon build"):
        unitree_messages()


def test_a_robot_without_motors_is_refused(g1):
    import dataclasses

    def robot(sdk_joints):
        return dataclasses.replace(g1, settings=dataclasses.replace(g1.settings, sdk_joints=sdk_joints))

    with pytest.raises(ConfigurationError, match="robot 'unitree_g1' has no sdk_joints; add to its YAML"):
        motors_of(robot(None))
    with pytest.raises(ConfigurationError, match='holds 39 motors; the messages of unitree_hg hold 35'):
        motors_of(robot([None] * 10 + list(g1.joint_names)))


def test_the_topics_of_the_robot(monkeypatch):
    """Over DDS, with texts in the place of Unitree's types."""
    module = ModuleType('unitree_hg.msg')
    module.LowCmd = module.LowState = String
    monkeypatch.setitem(sys.modules, 'unitree_hg', ModuleType('unitree_hg'))
    monkeypatch.setitem(sys.modules, 'unitree_hg.msg', module)
    keep_to_this_machine()
    domain, context, heard, states = Domain(), rclpy.Context(), [], []
    rclpy.init(context=context, domain_id=domain.id)
    try:
        driver, robot = (rclpy.create_node(name, context=context, enable_rosout=False) for name in ('driver', 'robot'))
        link = TopicLink(driver, states.append)
        robot.create_subscription(String, 'lowcmd', heard.append, 1)
        publisher = robot.create_publisher(String, 'lowstate', 1)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(driver), executor.add_node(robot)
        message = link.new_command()
        message.data = 'command'
        for _ in range(200):
            link.send(message)
            publisher.publish(String(data='state'))
            executor.spin_once(timeout_sec=0.05)
            if heard and states:
                break
        assert (heard[0].data, states[0].data, link.other_publishers()) == ('command', 'state', 0)
    finally:
        context.try_shutdown()
        domain.release()

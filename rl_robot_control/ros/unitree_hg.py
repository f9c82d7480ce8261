"""Unitree's LowCmd and LowState (message package ``unitree_hg``: G1, H1-2), without ROS.

Works on any object with the messages' fields, and reads a LowState as it comes from the middleware, too: to make the
objects of 35 motors takes rclpy longer than all that is done with them here. Motors are counted from 0 in the SDK's
order; arrays over joints are in the robot's joint order.

Both messages end with a CRC over the C struct that they have in the robot; the robot ignores a LowCmd with a wrong one.
Sources: layouts, ``unitree_sdk2py/utils/crc.py`` in unitree_sdk2_python; CRC, ``Crc32Core`` in unitree_sdk2's
``example/g1/low_level/g1_ankle_swing_example.cpp``, which checks each LowState by it; buttons, ``gamepad.hpp`` beside
it; temperatures, ``include/unitree/robot/g1/common/terminations.hpp``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rl_robot_control.errors import RobotControlError, UnknownNameError
from rl_robot_control.types import FloatArray

NUM_MOTORS = 35  # places in the messages; a G1 uses 29 of them
SERIAL = 0  # mode_pr: pitch and roll of ankles and waist, which the robot turns into its parallel motors A and B
ENABLED = 1  # mode of a motor that is driven
VALUES = ('q', 'dq', 'tau', 'kp', 'kd')  # of a motor's command: rad, rad/s, N·m, N·m/rad, N·m·s/rad
POSITION, DAMPING = VALUES.index('q'), VALUES.index('kd')
BUTTONS = ('R1', 'L1', 'start', 'select', 'R2', 'L2', 'F1', 'F2', 'A', 'B', 'X', 'Y', 'up', 'right', 'down', 'left')

PLAIN = b'\x00\x01'  # begin of a serialized message: plain CDR, little-endian
SERIALIZED = 2092  # bytes of a LowState
_REVERSED = bytes(int(f'{byte:08b}'[::-1], 2) for byte in range(256))  # each byte's bits the other way round
_HEAD = struct.Struct('<2I2B2xI13fh2x')
_MOTOR = struct.Struct('<B3x4f2hf7I')
_TAIL = struct.Struct('<40B5I')


def _layout(size: int, **fields: tuple[int, Any]) -> np.dtype:
    """A C struct: each field's offset and type, and the size of the whole."""
    return np.dtype({'names': list(fields), 'offsets': [offset for offset, _ in fields.values()],
                     'formats': [kind for _, kind in fields.values()], 'itemsize': size})


_MOTOR_CMD = _layout(28, mode=(0, 'u1'), values=(4, ('<f4', len(VALUES))))
_MOTOR_STATE = _layout(_MOTOR.size, mode=(0, 'u1'), q=(4, '<f4'), dq=(8, '<f4'), ddq=(12, '<f4'), tau_est=(16, '<f4'),
                       temperature=(20, ('<i2', 2)), motorstate=(36, '<u4'))
LOW_CMD = _layout(1004, mode_pr=(0, 'u1'), mode_machine=(1, 'u1'), motor_cmd=(4, (_MOTOR_CMD, NUM_MOTORS)),
                  crc=(1000, '<u4'))
LOW_STATE = _layout(2092, mode_machine=(9, 'u1'), tick=(12, '<u4'), quaternion=(16, ('<f4', 4)),
                    gyroscope=(32, ('<f4', 3)), accelerometer=(44, ('<f4', 3)),
                    motor_state=(72, (_MOTOR_STATE, NUM_MOTORS)), wireless_remote=(2032, ('u1', 40)),
                    crc=(2088, '<u4'))


class CrcError(RobotControlError):
    """A message's CRC is not that of its contents."""


def crc32(words: bytes) -> int:
    """Unitree's CRC: polynomial 0x04c11db7 from 0xffffffff, over little-endian 32-bit words, highest bit first.

    That is CRC-32/MPEG-2 over the bytes of each word from the highest on, and zlib's CRC but for the order of bits.
    """
    swapped = np.frombuffer(words, dtype='<u4').byteswap().tobytes().translate(_REVERSED)
    value = zlib.crc32(swapped) ^ 0xFFFFFFFF
    return int.from_bytes(value.to_bytes(4, 'little').translate(_REVERSED), 'big')


class LowCmdWriter:
    """Fills one LowCmd, which is reused.

    Args:
        message: An empty LowCmd.
        motors: (J,) each joint's motor; the others get mode 0 and zeros.
    """

    def __init__(self, message: Any, motors: np.ndarray) -> None:
        self._message, self._motors = message, motors
        self._record = np.zeros(1, dtype=LOW_CMD)
        message.mode_pr = self._record['mode_pr'][0] = SERIAL
        self._record['motor_cmd']['mode'][0, motors] = ENABLED
        self._commands = [message.motor_cmd[i] for i in motors.tolist()]
        for command in self._commands:
            command.mode = ENABLED
        self._filled: tuple[Any, int] = None, 0

    def fill(self, values: FloatArray, mode_machine: int) -> Any:
        """The message for what the drives are to do.

        Args:
            values: (J, 5), columns as ``VALUES``; not to be changed afterwards.
            mode_machine: As in the latest LowState.
        """
        if values is not self._filled[0] or mode_machine != self._filled[1]:
            self._fill(values, mode_machine)
            self._filled = values, mode_machine
        return self._message

    def _fill(self, values: FloatArray, mode_machine: int) -> None:
        record, message = self._record, self._message
        message.mode_machine = record['mode_machine'][0] = mode_machine
        single = values.astype(np.float32)  # what is sent is what the CRC was made of
        record['motor_cmd']['values'][0, self._motors] = single
        for command, row in zip(self._commands, single.tolist(), strict=True):
            command.q, command.dq, command.tau, command.kp, command.kd = row
        message.crc = crc32(record.tobytes()[:-4])


class LowStateReader:
    """Reads LowStates.

    Args:
        motors: (J,) each joint's motor.
        check: Whether a LowState with a wrong CRC is refused.
    """

    def __init__(self, motors: np.ndarray, check: bool = True) -> None:
        self.motors, self._check = motors, check
        self._bytes = bytearray(LOW_STATE.itemsize)
        self._record = np.frombuffer(self._bytes, dtype=LOW_STATE)
        start = LOW_STATE.fields['motor_state'][1]
        motor_bytes = np.frombuffer(self._bytes, dtype=np.uint8, count=_MOTOR.size * NUM_MOTORS, offset=start)
        self._padding = motor_bytes.reshape(NUM_MOTORS, _MOTOR.size)[:, 1:4]  # behind each motor's mode

    def read(self, message: Any) -> np.void:
        """The message as a record of ``LOW_STATE``; the next ``read`` overwrites it.

        Args:
            message: A LowState, or its bytes where ``readable`` says so.

        Raises:
            CrcError: The CRC is wrong; what was read before is gone, too.
        """
        if isinstance(message, bytes):
            self._unpack(message)
        else:
            self._pack(message)
        record = self._record[0]
        if self._check:
            right = crc32(self._bytes[:-4])
            if right != record['crc']:
                raise CrcError(f"a LowState's CRC is {record['crc']:#010x}; that of its contents is {right:#010x}.")
        return record

    def _pack(self, message: Any) -> None:
        imu, buffer = message.imu_state, self._bytes
        _HEAD.pack_into(buffer, 0, *message.version, message.mode_pr, message.mode_machine, message.tick,
                        *imu.quaternion, *imu.gyroscope, *imu.accelerometer, *imu.rpy, imu.temperature)
        offset, size = _HEAD.size, _MOTOR.size
        for motor in message.motor_state:
            _MOTOR.pack_into(buffer, offset, motor.mode, motor.q, motor.dq, motor.ddq, motor.tau_est,
                             *motor.temperature, motor.vol, *motor.sensor, motor.motorstate, *motor.reserve)
            offset += size
        _TAIL.pack_into(buffer, offset, *message.wireless_remote, *message.reserve, message.crc)

    def _unpack(self, message: bytes) -> None:
        """CDR puts the first motor's mode right behind the IMU's temperature; all else lies as in the C struct."""
        buffer, body = self._bytes, memoryview(message)[4:SERIALIZED]
        buffer[:70], buffer[72:73], buffer[76:] = body[:70], body[70:71], body[72:]
        buffer[10:12] = buffer[70:72] = bytes(2)  # padding, in which anything may stand
        self._padding[:] = 0


def readable(message: bytes) -> bool:
    """Whether ``LowStateReader`` reads these bytes of a LowState from the middleware."""
    return message[:2] == PLAIN and len(message) == SERIALIZED


def pressed(wireless_remote: Sequence[int]) -> int:
    """The remote's buttons as bits, in the order of ``BUTTONS``: bytes 2 and 3 of its 40."""
    return int(wireless_remote[2]) | int(wireless_remote[3]) << 8


def combination(names: str) -> int:
    """Bits of buttons that are pressed together, e.g. ``L2+B``.

    Raises:
        UnknownNameError: The remote has no such button.
    """
    bits = 0
    for name in names.split('+'):
        if name not in BUTTONS:
            raise UnknownNameError("button of Unitree's remote", name, BUTTONS)
        bits |= 1 << BUTTONS.index(name)
    return bits

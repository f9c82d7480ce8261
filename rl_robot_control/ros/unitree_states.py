"""A LowState as the messages that every robot has, and what is wrong with its motors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Imu, JointState

from rl_robot_control.robots import RobotModel
from rl_robot_control.ros.conversions import doubles
from rl_robot_control.ros.wire import QUATERNION_TOLERANCE
from rl_robot_control.types import FloatArray

CASING, WINDING = 0, 1  # of a motor's two temperatures


class UnitreeStates:
    """Fills ``joint_states`` and ``imu``; they are reused.

    Args:
        robot: The robot; its base link carries the IMU.
        motors: (J,) each joint's motor.
    """

    def __init__(self, robot: RobotModel, motors: np.ndarray) -> None:
        self._motors = motors
        self.joints, self.imu = JointState(name=list(robot.joint_names)), Imu()
        self.imu.header.frame_id = robot.settings.base.link

    def encode(self, state: np.void, stamp: Time) -> FloatArray:
        """Write a record of ``unitree_hg.LOW_STATE`` into the messages, and return the joints' positions (J,) [rad]."""
        motors, joints = state['motor_state'][self._motors], self.joints
        position = motors['q'].astype(np.float64)
        joints.header.stamp = self.imu.header.stamp = stamp
        joints.position, joints.velocity = doubles(position), doubles(motors['dq'])
        joints.effort = doubles(motors['tau_est'])
        self._encode_imu(state)
        return position

    def _encode_imu(self, state: np.void) -> None:
        w, x, y, z = state['quaternion'].tolist()
        measured = abs((w * w + x * x + y * y + z * z) ** 0.5 - 1.0) < QUATERNION_TOLERANCE  # false for NaN
        orientation = self.imu.orientation
        orientation.x, orientation.y, orientation.z, orientation.w = (x, y, z, w) if measured else (0.0, 0.0, 0.0, 0.0)
        self.imu.orientation_covariance[0] = 0.0 if measured else -1.0
        turn, force = self.imu.angular_velocity, self.imu.linear_acceleration
        turn.x, turn.y, turn.z = state['gyroscope'].tolist()
        force.x, force.y, force.z = state['accelerometer'].tolist()


class MotorHealth:
    """Looks at the motors' faults and temperatures.

    Args:
        names: The robot's joints.
        motors: (J,) each joint's motor.
        limits: Highest temperatures of casing and winding that are in order [°C].
    """

    def __init__(self, names: Sequence[str], motors: np.ndarray, limits: tuple[float, float]) -> None:
        self._names, self._motors, self._limits = names, motors, np.array(limits)
        self._faults = np.zeros(len(names), dtype=np.uint32)
        self.temperature = np.zeros((len(names), 2), dtype=np.int16)  # [°C]

    def look(self, state: np.void) -> None:
        """Take over what a record of ``unitree_hg.LOW_STATE`` says."""
        motors = state['motor_state'][self._motors]
        self._faults, self.temperature = motors['motorstate'], motors['temperature']

    def judge(self) -> tuple[bytes, str]:
        """The gravest finding: a level of diagnostics, and it in words or an empty text."""
        faulty = np.flatnonzero(self._faults)
        if faulty.size:
            return DiagnosticStatus.ERROR, self._words(faulty, lambda i: f'reports fault {self._faults[i]:#x}')
        hot = np.argwhere(self.temperature > self._limits)
        if hot.size:
            kind = hot[0, 1]
            place = ('casing', 'winding')[kind]
            return DiagnosticStatus.WARN, self._words(np.unique(hot[:, 0]), lambda i: (
                f'has {self.temperature[i, kind]} °C at its {place}, above {self._limits[kind]:g} °C'))
        return DiagnosticStatus.OK, ''

    def _words(self, joints: np.ndarray, say) -> str:
        first = joints[0]
        more = f' (and {joints.size - 1} more)' if joints.size > 1 else ''
        return f'motor {self._motors[first]} ({self._names[first]}){more} {say(first)}'

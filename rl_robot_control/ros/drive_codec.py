"""``<controller>/commands`` in the drive style: what a drive needs, joint by joint, gains included."""

from __future__ import annotations

import numpy as np
from std_msgs.msg import Float64MultiArray

from rl_robot_control.robots import RobotModel
from rl_robot_control.ros.conversions import MessageError, doubles
from rl_robot_control.types import FloatArray

# Columns of a command: rad, rad/s, N·m, N·m/rad, N·m·s/rad.
FIELDS = ('position', 'velocity', 'effort', 'stiffness', 'damping')
POSITION, VELOCITY, EFFORT, STIFFNESS, DAMPING = range(len(FIELDS))


class DriveCodec:
    """Five values for each joint, in the robot's joint order, all of a joint together; 5·J in all.

    A drive makes of them the torque ``effort + stiffness · (position - measured) + damping · (velocity - measured)``.
    Labels of the message's layout are not looked at.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._names = robot.joint_names
        self._message = Float64MultiArray()

    def encode(self, values: FloatArray) -> Float64MultiArray:
        """The message (reused) for values (J, 5), columns as ``FIELDS``."""
        self._message.data = doubles(values.ravel())
        return self._message

    def decode(self, message: Float64MultiArray) -> FloatArray:
        """Values (J, 5), columns as ``FIELDS``.

        Raises:
            MessageError: The size is wrong, a value is not finite in single precision, or a gain is negative.
        """
        joints, size = len(self._names), len(self._names) * len(FIELDS)
        if len(message.data) != size:
            raise MessageError(f'the command holds {len(message.data)} values; {size} are needed, {len(FIELDS)} for '
                               f'each of {joints} joints.')
        values = np.array(message.data, dtype=np.float64).reshape(joints, len(FIELDS))
        with np.errstate(over='ignore'):
            finite = np.isfinite(values.astype(np.float32))  # drives take single precision, and 1e39 is infinite there
        if not finite.all():
            raise MessageError(f'{self._first(~finite, values)}; finite values are needed.')
        negative = values[:, STIFFNESS:] < 0
        if negative.any():
            wrong = np.zeros_like(finite)
            wrong[:, STIFFNESS:] = negative
            raise MessageError(f'{self._first(wrong, values)}; a gain must not be negative.')
        return values

    def _first(self, wrong: np.ndarray, values: FloatArray) -> str:
        joint, field = np.argwhere(wrong)[0]
        return f"{FIELDS[field]} of joint '{self._names[joint]}' is {values[joint, field]:g} in the command"

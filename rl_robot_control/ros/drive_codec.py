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


def controller_order(robot: RobotModel) -> tuple[np.ndarray, np.ndarray]:
    """Where the robot's joints go to, and where they come from.

    Returns:
        Index (J,) by which values of the robot's order get the controller's, and the one for the way back.
    """
    there = np.array([robot.joint_names.index(name) for name in robot.controller_joints], dtype=np.intp)
    return there, np.argsort(there)


class DriveCodec:
    """Five values for each joint, in the controller's joint order, all of a joint together; 5·J in all.

    A drive makes of them the torque ``effort + stiffness · (position - measured) + damping · (velocity - measured)``.
    Labels of the message's layout are not looked at.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._names = robot.controller_joints
        self._there, self._here = controller_order(robot)
        self._message = Float64MultiArray()

    def encode(self, values: FloatArray) -> Float64MultiArray:
        """The message (reused) for values (J, 5), columns as ``FIELDS``."""
        self._message.data = doubles(values[self._there].ravel())
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
        return values[self._here]

    def _first(self, wrong: np.ndarray, values: FloatArray) -> str:
        joint, field = np.argwhere(wrong)[0]
        return f"{FIELDS[field]} of joint '{self._names[joint]}' is {values[joint, field]:g} in the command"

"""A recording made by hand, in which everything is in order, to be spoilt in one place."""

from __future__ import annotations

import dataclasses

import numpy as np

from rl_robot_control.report.recording import (
    BaseStates,
    ImuStates,
    JointStates,
    JointTargets,
    Recording,
    ShieldStatus,
    VelocityCommands,
)
from rl_robot_control.robots import RobotModel

PERIOD = 0.02  # [s]
LEAD = 0.001  # of the commanded before the measured position, as a joint under load sags [rad]


def make_recording(robot: RobotModel, seconds: float = 10.0, speed: float = 0.5, yaw_rate: float = 0.1) -> Recording:
    """A robot in its default pose that glides at a constant speed [m/s] and yaw rate [rad/s].

    Asked to stand for 2 s and then to go at 0.6 m/s. States at k·20 ms; the policy answers 1 ms later, the shield 1 ms
    after that; each arrives at the recorder 0.2 ms after it was sent.
    """
    count = round(seconds / PERIOD)
    stamp = PERIOD * np.arange(count)
    pose, zeros = np.tile(robot.default_position, (count, 1)), np.zeros((count, robot.num_joints))
    heading = yaw_rate * stamp
    quaternion = np.stack([0 * heading, 0 * heading, np.sin(heading / 2), np.cos(heading / 2)], axis=-1)
    turning = np.tile([0.0, 0.0, yaw_rate], (count, 1))
    position = np.tile([0.0, 0.0, robot.settings.base.height], (count, 1))
    asked = np.where(stamp[:, None] < 2.0, 0.0, [0.6, 0.0, 0.0])
    return Recording(
        robot=robot.name, joint_names=robot.joint_names,
        states=JointStates(**_times(stamp), stamp=stamp, position=pose, velocity=zeros, effort=zeros),
        base=BaseStates(**_times(stamp), stamp=stamp, position=position, quaternion=quaternion,
                        linear_velocity=np.tile([speed, 0.0, 0.0], (count, 1)), angular_velocity=turning),
        imu=ImuStates(**_times(stamp), stamp=stamp, quaternion=quaternion, angular_velocity=turning),
        requests=JointTargets(**_times(stamp + 0.001), stamp=stamp, position=pose + LEAD),
        commands=JointTargets(**_times(stamp + 0.002), stamp=np.full(count, np.nan), position=pose + LEAD),
        velocity_commands=VelocityCommands(**_times(stamp), velocity=asked),
        status=ShieldStatus(**_times(stamp[:2]), mode=('READY', 'ACTIVE'), values=({}, {})))


def spoil(recording: Recording, stream: str, field: str, row: int, column: int, value: float) -> Recording:
    """The recording with one number of one message replaced."""
    part = getattr(recording, stream)
    values = getattr(part, field).copy()
    values[row, column] = value
    return dataclasses.replace(recording, **{stream: dataclasses.replace(part, **{field: values})})


def _times(sent: np.ndarray) -> dict[str, np.ndarray]:
    return {'sent': sent, 'received': sent + 0.0002}

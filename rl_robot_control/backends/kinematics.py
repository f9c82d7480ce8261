"""Forward kinematics of a robot's frames, for states that come without them (over topics)."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np

from rl_robot_control.backends.mujoco_model import build_model
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.robots import RobotModel
from rl_robot_control.types import RobotState


class FrameKinematics:
    """Computes ``frame_position``, ``frame_velocity`` and ``frame_axis_z`` from the joints and the base.

    Args:
        robot: The robot.
    """

    def __init__(self, robot: RobotModel) -> None:
        self._robot = robot
        self._model = build_model(robot, PhysicsSettings())
        self._data = mujoco.MjData(self._model)
        joints = [self._model.joint(name) for name in robot.joint_names]
        self._qpos = np.array([joint.qposadr[0] for joint in joints])
        self._qvel = np.array([joint.dofadr[0] for joint in joints])
        self._sites = [self._model.site(name).id for name in robot.frame_names]

    def update(self, state: RobotState) -> RobotState:
        """The state with its frames filled in; they stay NaN for a robot whose base is not known."""
        position, velocity = np.full_like(state.frame_position, np.nan), np.full_like(state.frame_velocity, np.nan)
        axis = np.full_like(state.frame_axis_z, np.nan)
        for i in range(state.num_robots):
            if self._place(state, i):
                position[i], velocity[i], axis[i] = self._frames()
        return dataclasses.replace(state, frame_position=position, frame_velocity=velocity, frame_axis_z=axis)

    def _place(self, state: RobotState, i: int) -> bool:
        """Put the model into the state; False where the state is not known well enough."""
        data = self._data
        data.qpos[self._qpos], data.qvel[self._qvel] = state.joint_position[i], state.joint_velocity[i]
        if self._robot.floating:
            data.qpos[:3], data.qpos[3:7] = state.base_position[i], state.base_quaternion[i, [3, 0, 1, 2]]
            mujoco.mju_rotVecQuat(data.qvel[:3], state.base_linear_velocity[i], data.qpos[3:7])
            data.qvel[3:6] = state.base_angular_velocity[i]
        if not (np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all()):
            return False
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_comPos(self._model, data)
        mujoco.mj_comVel(self._model, data)
        return True

    def _frames(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        velocity, twist = np.empty((len(self._sites), 3)), np.empty(6)
        for k, site in enumerate(self._sites):
            mujoco.mj_objectVelocity(self._model, self._data, mujoco.mjtObj.mjOBJ_SITE, site, twist, 0)
            velocity[k] = twist[3:]
        return self._data.site_xpos[self._sites], velocity, self._data.site_xmat[self._sites][:, [2, 5, 8]]

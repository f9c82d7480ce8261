"""N MuJoCo worlds in memory, stepped in C threads."""

from __future__ import annotations

import os

import mujoco
import numpy as np
from mujoco.rollout import Rollout

from rl_robot_control import rotations
from rl_robot_control.backends.mujoco_model import build_model, free_joints, sensor_layout
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.backends.variation import VariedModels
from rl_robot_control.errors import BackendError, ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState, Variation

DAMPING_WHEN_STOPPED = 3.0  # [N·m·s/rad], with no stiffness: what a damped humanoid drive does
GANTRY_INERTIA = 1e5  # of a held base [kg] and [kg·m²]
_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS


class MujocoBackend:
    """N independent worlds with one robot each; implements ``Backend``.

    Joint and base states are exact at the end of a step. Sensors (specific force, effort, frames, contacts) are those
    of the last physics step's beginning, as MuJoCo computes them. The same seeds and commands give the same states, bit
    for bit, for any number of threads.

    Args:
        robot: The robot.
        num_robots: N.
        control_period: Time between two commands [s], a multiple of the physics timestep.
        physics: How the robot is simulated.
        threads: Number of C threads; None: one per core, at most N.

    Raises:
        ConfigurationError: The control period is no multiple of the timestep.
        RobotDescriptionError: MuJoCo refuses the robot.
    """

    def __init__(self, robot: RobotModel, num_robots: int = 1, control_period: float = 0.02,
                 physics: PhysicsSettings | None = None, threads: int | None = None) -> None:
        physics = physics or PhysicsSettings()
        self.robot, self.num_robots, self.control_period = robot, num_robots, control_period
        self.applied: FloatArray | None = None
        self.substeps = _substeps(control_period, physics.timestep)
        self.model = build_model(robot, physics)
        free = free_joints(robot, physics)
        self._free = np.array([robot.joint_names.index(name) for name in free], dtype=np.intp)
        self._all_free = len(free) == robot.num_joints
        base_q, base_v = (7, 6) if robot.floating else (0, 0)
        self._qpos = _addresses(self.model.joint(name).qposadr[0] for name in free) + 1  # the state begins with time
        self._qvel = _addresses(self.model.joint(name).dofadr[0] for name in free) + 1 + self.model.nq
        self._base_q, self._base_v = slice(1, 1 + base_q), slice(1 + self.model.nq, 1 + self.model.nq + base_v)
        self._sensors = sensor_layout(robot, len(free))
        self._contact_frames = [i for i, f in enumerate(robot.settings.frames.values()) if f.contact is not None]
        self.threads = min(threads or len(os.sched_getaffinity(0)), num_robots)
        self._allocate(self.threads)
        self._held_base: FloatArray | None = None
        self._varied: VariedModels | None = None
        self.reset(robot.default_state(num_robots), np.arange(num_robots))

    @property
    def time(self) -> FloatArray:
        """Simulated time since each world's reset (N,) [s]."""
        return self._state[:, 0]

    def qpos(self) -> FloatArray:
        """MuJoCo's generalised positions (N, nq), for pictures."""
        return self._state[:, 1:1 + self.model.nq].copy()

    def physics_state(self) -> FloatArray:
        """MuJoCo's full physics state (N, S), for benchmarks."""
        return self._state.copy()

    def control(self) -> FloatArray:
        """The latest targets of the simulated joints (N, nu) [rad]."""
        return self._control[:, -1].copy()

    def reset(self, initial: InitialState, index: np.ndarray) -> RobotState:
        """See ``Backend.reset``; the clocks of these worlds start at zero."""
        rows = np.zeros((len(index), self._state.shape[1]))
        rows[:, self._qpos] = initial.joint_position[:, self._free]
        rows[:, self._qvel] = initial.joint_velocity[:, self._free]
        if self.robot.floating:
            rows[:, 1:4], rows[:, 4:8] = initial.base_position, initial.base_quaternion[:, [3, 0, 1, 2]]
            rows[:, self._base_v] = np.concatenate(
                [rotations.rotate(initial.base_quaternion, initial.base_linear_velocity),
                 initial.base_angular_velocity], axis=-1)
        self._state[index] = rows
        self._sensor[index] = self._measure(rows, initial)
        if self._held_base is not None:
            self._held_base[index] = rows[:, self._base_q]
        return self._read()

    def step(self, command: JointCommand) -> RobotState:
        """See ``Backend.step``.

        Raises:
            BackendError: The command has the wrong shape or is not finite.
        """
        position = command.position
        if position.shape != (self.num_robots, self.robot.num_joints) or not np.isfinite(position).all():
            raise BackendError(f'a command must be finite and of shape {(self.num_robots, self.robot.num_joints)}; got '
                               f'shape {position.shape} with {np.count_nonzero(~np.isfinite(position))} values not '
                               'finite.')
        self.applied = position
        self._control[:] = (position if self._all_free else position[:, self._free])[:, None]
        chunk = max(1, self.num_robots // 16)
        self._rollout.rollout(self._models, self._data, self._state, self._control, skip_checks=True,
                              nstep=self.substeps, state=self._states, sensordata=self._sensor_steps,
                              chunk_size=chunk)
        self._state[:] = self._states[:, -1]
        self._sensor = self._sensor_steps[:, -1]
        if self._held_base is not None:
            self._state[:, self._base_q], self._state[:, self._base_v] = self._held_base, 0.0
        return self._read()

    def push(self, velocity: FloatArray, index: np.ndarray) -> None:
        """See ``Backend.push``; a fixed base ignores it."""
        if self.robot.floating:
            quaternion = self._state[index][:, [5, 6, 7, 4]]
            start = self._base_v.start
            self._state[index, start:start + 3] += velocity[:, :3]
            self._state[index, start + 3:start + 6] += rotations.rotate_inverse(quaternion, velocity[:, 3:])

    def vary(self, variation: Variation, index: np.ndarray, random: np.random.Generator) -> None:
        """Let some worlds differ from the model until they are varied again.

        Args:
            variation: For M worlds.
            index: (M,) which worlds.
            random: Chooses, where models are too large for one per world, from a stock of them.
        """
        if self._varied is None:
            self._varied = VariedModels(self.model, self.robot, self._free, self.num_robots)
        for row, world in enumerate(index):
            self._models[world] = self._varied.vary(world, variation, row, random)

    def hold_base(self, on: bool) -> None:
        """Hang the base from a gantry where it is now, or let it go.

        A held base is put back after every step; the inertia keeps it from falling within the step, so that the joints
        carry their links' weight as they would below a real gantry.
        """
        if self.robot.floating:
            self._held_base = self._state[:, self._base_q].copy() if on else None
            self.model.dof_armature[:6] = GANTRY_INERTIA if on else 0.0

    def set_gains(self, stiffness: FloatArray, damping: FloatArray, effort: FloatArray | float = 0.0) -> None:
        """Set the drives' gains (J,) [N·m/rad], [N·m·s/rad] in all worlds, and an effort (J,) [N·m] that they add."""
        self.model.actuator_gainprm[:, 0] = stiffness[self._free]
        self.model.actuator_biasprm[:, 0] = np.broadcast_to(effort, stiffness.shape)[self._free]
        self.model.actuator_biasprm[:, 1] = -stiffness[self._free]
        self.model.actuator_biasprm[:, 2] = -damping[self._free]

    def damp(self) -> None:
        """Take the stiffness from every drive and leave it damped, until ``set_gains``."""
        joints = self.robot.num_joints
        self.set_gains(np.zeros(joints), np.full(joints, DAMPING_WHEN_STOPPED))

    def close(self) -> None:
        """Stop the threads."""
        self._rollout.close()

    def _allocate(self, threads: int) -> None:
        n, model, steps = self.num_robots, self.model, self.substeps
        size = mujoco.mj_stateSize(model, _STATE)
        self._state = np.zeros((n, size))
        self._states = np.zeros((n, steps, size))
        self._sensor_steps = np.zeros((n, steps, model.nsensordata))
        self._sensor = self._sensor_steps[:, -1]
        self._control = np.zeros((n, steps, model.nu))
        self._models = [model] * n
        self._data = [mujoco.MjData(model) for _ in range(threads)]
        self._rollout = Rollout(nthread=threads if threads > 1 else 0)

    def _measure(self, rows: FloatArray, initial: InitialState) -> FloatArray:
        """Sensors (M, S) of configurations, with the drives' targets at the initial pose."""
        data, values = self._data[0], np.empty((len(rows), self.model.nsensordata))
        for i, row in enumerate(rows):
            mujoco.mj_setState(self.model, data, row, _STATE)
            data.ctrl[:] = initial.joint_position[i, self._free]
            mujoco.mj_forward(self.model, data)
            values[i] = data.sensordata
        return values

    def _read(self) -> RobotState:
        n, state, layout = self.num_robots, self._state, self._sensors
        frames, sensor = len(self.robot.frame_names), self._sensor.copy()
        contact = np.full((n, frames), np.nan)
        contact[:, self._contact_frames] = sensor[:, layout['contact']]
        quaternion, linear, angular, position = self._base()
        return RobotState(
            time=state[:, 0].copy(), joint_position=self._spread(state[:, self._qpos], self.robot.default_position),
            joint_velocity=self._spread(state[:, self._qvel], 0.0),
            joint_effort=self._spread(sensor[:, layout['effort']], 0.0), base_quaternion=quaternion,
            base_angular_velocity=angular, base_linear_acceleration=sensor[:, layout['acceleration']],
            base_position=position, base_linear_velocity=rotations.rotate_inverse(quaternion, linear),
            frame_position=sensor[:, layout['position']].reshape(n, frames, 3),
            frame_velocity=sensor[:, layout['velocity']].reshape(n, frames, 3),
            frame_axis_z=sensor[:, layout['axis_z']].reshape(n, frames, 3), contact_force=contact)

    def _base(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Orientation, linear velocity in the world, angular velocity in the base, and position."""
        n, state, start = self.num_robots, self._state, self._base_v.start
        if not self.robot.floating:
            return np.tile([0.0, 0.0, 0.0, 1.0], (n, 1)), np.zeros((n, 3)), np.zeros((n, 3)), np.zeros((n, 3))
        return (state[:, [5, 6, 7, 4]], state[:, start:start + 3].copy(), state[:, start + 3:start + 6].copy(),
                state[:, 1:4].copy())

    def _spread(self, values: FloatArray, elsewhere: FloatArray | float) -> FloatArray:
        """Values of the simulated joints among all joints."""
        if self._all_free:
            return values.copy()
        full = np.empty((self.num_robots, self.robot.num_joints))
        full[:] = elsewhere
        full[:, self._free] = values
        return full


def _substeps(control_period: float, timestep: float) -> int:
    steps = round(control_period / timestep)
    if steps < 1 or abs(steps * timestep - control_period) > 1e-9:
        raise ConfigurationError(f'the control period {control_period} s is no multiple of the physics timestep '
                                 f'{timestep} s; choose a timestep that divides it.')
    return steps


def _addresses(values) -> np.ndarray:
    return np.array(list(values), dtype=np.intp)

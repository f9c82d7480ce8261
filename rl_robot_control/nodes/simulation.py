"""Simulation node: one robot in MuJoCo, behind the topics that a real robot has.

``mode: lockstep``: the world advances by exactly one control period per command and answers with the state at its
end; it waits as long as it takes for the next command. ``mode: realtime``: the world follows the monotonic clock, and a
robot that gets no command for ``command_timeout`` is damped.
One that hangs from the gantry (``hold_until_command``) holds its pose until the first command.

Publishes: ``joint_states``, ``imu``, ``odom``, ``contacts/<frame>``, ``/clock``; in real time ``diagnostics`` (once a
second and at every change: whether the drives follow commands, hold a pose or are damped).
Subscribes: what the robot's controller takes, as a rule ``<controller>/commands`` (one of the wrong size or with NaN is
refused, and so is one that says that it answers another state than the latest).
Serves: ``simulation/reset`` (applies ``seed`` and ``reset.*``; its message is the new state's stamp [ns]),
``simulation/pause``, ``simulation/release`` (lets go of the base that ``hold_until_command`` holds).
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from rl_robot_control.backends.mujoco import MujocoBackend
from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.errors import BackendError, ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.controllers import DriveTargets, make_controller
from rl_robot_control.ros.conversions import MessageError
from rl_robot_control.ros.diagnostics import own_status
from rl_robot_control.ros.gazebo.world import GazeboWorld
from rl_robot_control.ros.parameters import (
    ROBOT_ROWS,
    Parameter,
    ParameterTable,
    check_length,
    declare_robot,
    gains,
)
from rl_robot_control.ros.runtime import LONGEST_WAIT, run_node, spin
from rl_robot_control.ros.state_publisher import StatePublisher
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState

LARGEST_BACKLOG = 0.1  # simulated time that a late loop catches up on [s]; older time is dropped
WARNING_PERIOD = 5.0  # [s]
STATUS_PERIOD = 1.0  # [s]
STATE_DEADLINE = 0.05  # that the states keep in real time [s]


def parameter_table(robot: RobotModel) -> ParameterTable:
    """The node's parameters; the gains' defaults are the robot's."""
    def start(name: str, meaning: str, unit: str) -> Parameter:
        return Parameter(name=f'reset.{name}', default=(), unit=unit, read_only=False,
                         description=f'{meaning} after a reset; empty: that of the default pose at rest')

    return ParameterTable('Simulation', [
        *ROBOT_ROWS,
        Parameter(name='mode', default='realtime', choices=('lockstep', 'realtime'),
                  description='One control period per command, or the pace of the clock'),
        Parameter(name='simulator', default='mujoco', choices=('mujoco', 'gazebo'),
                  description='What moves the robot: MuJoCo in this process, or a Gazebo that runs, in lock-step'),
        Parameter(name='gazebo.step', default=0.001, unit='s', minimum=0.0001, maximum=0.02,
                  description="Gazebo's max_step_size"),
        Parameter(name='timestep', default=0.005, unit='s', minimum=0.0001, maximum=0.02,
                  description='Physics timestep'),
        Parameter(name='collisions', default='full', choices=('full', 'feet'),
                  description='All links collide, or only those of frames with a contact box'),
        Parameter(name='welded_joints', default=(), strings=True,
                  description='Joints held rigidly at the default pose; regular expressions'),
        Parameter(name='friction', default=1.0, minimum=0.01, maximum=10.0,
                  description='Sliding friction of the floor'),
        Parameter(name='solver_iterations', default=10, minimum=1, maximum=1000, description='Of the contact solver'),
        Parameter(name='control_period', default=0.02, unit='s', minimum=0.001, maximum=1.0,
                  description='Simulated time per command, in lock-step'),
        Parameter(name='publish_period', default=0.005, unit='s', minimum=0.001, maximum=1.0,
                  description='Time between two states, in real time'),
        Parameter(name='command_timeout', default=0.1, unit='s', minimum=0.01, maximum=10.0, read_only=False,
                  description='Without a command for this long the robot is damped, in real time'),
        Parameter(name='hold_until_command', default=False,
                  description='Hold the base after a reset until simulation/release is called, as a gantry would'),
        Parameter(name='publish_clock', default=True,
                  description="Publish /clock, which is the whole graph's; one robot's simulation at most"),
        *gains(robot),
        Parameter(name='seed', default=0, minimum=0, read_only=False, description='Of the noise of a reset'),
        Parameter(name='reset.noise', default=0.0, unit='rad', minimum=0.0, maximum=1.0, read_only=False,
                  description='Half width of the uniform noise on the joint positions after a reset'),
        start('joint_position', 'Joint positions', 'rad'), start('joint_velocity', 'Joint velocities', 'rad/s'),
        start('base_position', 'Position of the base in the world', 'm'),
        start('base_quaternion', 'Orientation of the base, x y z w', '-'),
        start('base_linear_velocity', 'Velocity of the base in its own frame', 'm/s'),
        start('base_angular_velocity', 'Angular velocity of the base in its own frame', 'rad/s'),
        Parameter(name='push_velocity', default=(), unit='m/s, rad/s', read_only=False,
                  description="Setting it adds these 6 numbers to the base's velocity in the world, at once"),
    ])


def initial_state(robot: RobotModel, settings: Any) -> InitialState:
    """Where a reset puts the robot: ``reset.*``, the default pose where they are empty, and the noise."""
    default = robot.default_state(1)
    values = {}
    for name in InitialState.__dataclass_fields__:
        given = getattr(settings, f'reset_{name}')
        values[name] = np.array([given]) if given else getattr(default, name).copy()
    if settings.reset_noise:
        noise = np.random.default_rng(settings.seed).uniform(-1.0, 1.0, (1, robot.num_joints)) * settings.reset_noise
        values['joint_position'] = np.clip(values['joint_position'] + noise, robot.position_lower, robot.position_upper)
    return InitialState(**values)


class SimulationNode(Node):
    """See the module's description."""

    def __init__(self) -> None:
        super().__init__('simulation')
        self.robot = robot = declare_robot(self)
        self.table = parameter_table(robot)
        self.settings = settings = self.table.declare(self)
        self.lockstep = settings.mode == 'lockstep'
        self._check(vars(settings))
        self.period = settings.control_period if self.lockstep else settings.publish_period
        self.world = self._gazebo() if settings.simulator == 'gazebo' else self._mujoco()
        self._period = round(self.period * 1e9)
        self.stamp = 0  # of the latest state [ns]; it never goes back, and 0 is the stamp that nobody sets
        self.paused, self._paused_at, self.overruns, self.refused = False, 0.0, 0, 0
        self._controller = make_controller(robot, settings.control_period, self.lockstep)
        # An effort answers one state; steps made up for at once would go on with an old one, and shake the robot.
        self.largest_backlog = 0.0 if self._controller.follows_state else LARGEST_BACKLOG
        self._publisher = StatePublisher(self, robot, None if self.lockstep else STATE_DEADLINE,
                                         settings.publish_clock)
        self._diagnostics, self._reported = interface.DIAGNOSTICS.publisher(self), ''
        self._told: DriveTargets | None = None  # what the drives follow
        self._from = robot.default_position  # (J,) targets when that came [rad]
        self._received = 0.0  # when, by the monotonic clock [s]
        self._reset()
        topic = interface.controller_commands(robot.settings.topics)
        topic.subscription(self, self._on_command)
        interface.SIMULATION_RESET.server(self, self._on_reset)
        interface.SIMULATION_PAUSE.server(self, self._on_pause)
        interface.SIMULATION_RELEASE.server(self, self._on_release)
        self.table.on_change(self, self._on_change)
        if not self.lockstep:
            self.create_timer(STATUS_PERIOD, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _mujoco(self) -> MujocoBackend:
        given = self.settings
        physics = PhysicsSettings(timestep=given.timestep, collisions=given.collisions, friction=given.friction,
                                  welded_joints=list(given.welded_joints), solver_iterations=given.solver_iterations)
        return MujocoBackend(self.robot, 1, self.period, physics, threads=1)

    def _gazebo(self) -> GazeboWorld:
        """A Gazebo that runs.

        Raises:
            ConfigurationError: This node is not in lock-step.
        """
        if not self.lockstep:
            raise ConfigurationError("parameter 'simulator' is 'gazebo' and 'mode' is not 'lockstep'. In real time "
                                     'Gazebo needs no simulation node: ros2 launch rl_robot_control '
                                     'simulation.launch.py sim:=gazebo')
        given = self.settings
        world = GazeboWorld(self.robot, self.period, step=given.gazebo_step, held=given.hold_until_command,
                            namespace=self.get_namespace())
        self.get_logger().info(f"Gazebo is advanced by '{world.stepper}'. Its own position interface moves the joints: "
                               'stiffness and damping are not used.')
        return world

    def _on_command(self, message: Float64MultiArray) -> None:
        try:
            told = self._controller.decode(message)
        except MessageError as error:
            return self._refuse(str(error))
        if told.answers is not None and told.answers != self.stamp:
            return self._refuse(f'the command answers the state of {told.answers} ns; the latest is of '
                                f'{self.stamp} ns.')
        self._from = self._target(time.monotonic())
        self._told, self._received = told, time.monotonic()
        if not self.lockstep:
            self._set_gains(damped=False)
        elif not self.paused:
            self._step(told.position)
        return None

    def _target(self, now: float) -> FloatArray:
        """Where the drives are to be now (J,) [rad]: on the way to what they were told, where that takes time."""
        told = self._told
        if told is None or told.position is None:
            return self.robot.default_position
        share = min((now - self._received) / told.duration, 1.0) if told.duration > 0.0 else 1.0
        return told.position if share == 1.0 else self._from + share * (told.position - self._from)

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self.get_logger().warning(f'command refused: {why}', throttle_duration_sec=WARNING_PERIOD)

    def _step(self, position: FloatArray) -> None:
        self._show(self.world.step(JointCommand(stamp=np.array([self.stamp * 1e-9]), position=position[None])))

    def _show(self, state: RobotState) -> None:
        self.state = state
        self.stamp += self._period
        self._publisher.publish(state, self.stamp)

    def _reset(self) -> None:
        self.settings = self.table.read(self)
        self._told = None
        self.world.hold_base(False)
        state = self.world.reset(initial_state(self.robot, self.settings), np.array([0]))
        self.world.hold_base(self.settings.hold_until_command)
        self._set_gains(damped=not self.lockstep and self._silent())
        self._show(state)

    def _set_gains(self, damped: bool) -> None:
        self.damped = damped
        if damped:
            self.world.damp()
        else:
            stiffness, damping = np.array(self.settings.stiffness), np.array(self.settings.damping)
            told = self._told
            if told is not None and told.stiffness is not None:
                stiffness, damping = told.stiffness, told.damping
            self.world.set_gains(stiffness, damping, 0.0 if told is None else told.feed_forward(damping))

    def advance(self) -> None:
        """One period of real time."""
        silent = self._silent()
        if silent != self.damped:
            self._set_gains(damped=silent)
            if silent:
                self.get_logger().warning(f'no command for {self.settings.command_timeout} s: damping the robot.')
        self._step(self._target(time.monotonic()))
        if self.drives != self._reported:
            self._report()

    @property
    def drives(self) -> str:
        """What the drives do: ``damped``, ``holding`` a pose before the first command, or ``following`` commands."""
        return 'damped' if self.damped else 'holding' if self._told is None else 'following'

    def _report(self) -> None:
        self._reported = self.drives
        values = {'drives': self.drives, 'late periods': self.overruns, 'commands refused': self.refused}
        level = DiagnosticStatus.WARN if self.damped else DiagnosticStatus.OK
        self._diagnostics.publish(own_status(self, level, f'drives: {self.drives}', values))

    def _silent(self) -> bool:
        """Whether commands have ceased; a robot hung up in its pose holds it until the first one."""
        if self._told is None:
            return not self.settings.hold_until_command
        return time.monotonic() - self._received > self.settings.command_timeout

    def _on_reset(self, _: Any, response: Any) -> Any:
        try:
            self._reset()
        except BackendError as error:
            response.success, response.message = False, str(error)
            self.get_logger().error(f'reset: {error}')
        else:
            response.success, response.message = True, str(self.stamp)
        return response

    def _on_pause(self, request: Any, response: Any) -> Any:
        waiting = self.lockstep and self.paused and not request.data and self._received > self._paused_at
        self.paused, self._paused_at = request.data, time.monotonic()
        response.success, response.message = True, 'paused' if self.paused else 'running'
        if waiting and self._told is not None:  # a command came in the meantime, and its sender waits for the answer
            self._step(self._told.position)
        return response

    def _on_release(self, _: Any, response: Any) -> Any:
        self.world.hold_base(False)
        response.success = True
        return response

    def _on_change(self, changes: dict[str, Any]) -> None:
        self._check({name.replace('.', '_'): value for name, value in changes.items()})
        push = changes.get('push_velocity')
        if push:
            self.world.push(np.array([push]), np.array([0]))
        live = {name: value for name, value in changes.items() if name in ('stiffness', 'damping', 'command_timeout')}
        if live:
            self.settings = self.settings.__class__(**{**vars(self.settings), **live})
            if not self.damped:
                self._set_gains(damped=False)

    def _check(self, values: dict[str, Any]) -> None:
        """Check lengths, which the table cannot know.

        Raises:
            ConfigurationError: A list has the wrong length, or a quaternion is none.
        """
        joints = self.robot.num_joints
        lengths = {'stiffness': (joints,), 'damping': (joints,), 'push_velocity': (0, 6),
                   'reset_joint_position': (0, joints), 'reset_joint_velocity': (0, joints),
                   'reset_base_position': (0, 3), 'reset_base_quaternion': (0, 4), 'reset_base_linear_velocity': (0, 3),
                   'reset_base_angular_velocity': (0, 3)}
        for name, allowed in lengths.items():
            if name in values:
                check_length(name.replace('reset_', 'reset.'), values[name], *allowed)
        quaternion = values.get('reset_base_quaternion')
        if quaternion and abs(np.linalg.norm(quaternion) - 1.0) > 1e-3:
            raise ConfigurationError(f"parameter 'reset.base_quaternion' is {quaternion}, of length "
                                     f'{np.linalg.norm(quaternion):.4g}; a rotation has length 1.')


def run_realtime(node: SimulationNode, executor: Any) -> None:
    """Advance by one period whenever the monotonic clock says so, and serve commands in between."""
    due = time.monotonic()
    while node.context.ok():
        rest = due - time.monotonic()
        if rest > 0:
            executor.spin_once(timeout_sec=min(rest, LONGEST_WAIT))
            continue
        executor.spin_once(timeout_sec=0.0)  # a late loop must still hear its commands
        if not node.paused:
            node.advance()
        due += node.period
        late = time.monotonic() - due
        if late > node.period:
            node.overruns += 1
            node.get_logger().warning(f'the simulation is {late:.3f} s late ({node.overruns} late periods so far).',
                                      throttle_duration_sec=WARNING_PERIOD)
        if late > node.largest_backlog:
            due = time.monotonic()


def run(node: SimulationNode, executor: Any) -> None:
    """The loop of the node's mode."""
    (spin if node.lockstep else run_realtime)(node, executor)


def main() -> None:
    """Run the node."""
    sys.exit(run_node(SimulationNode, run))


if __name__ == '__main__':
    main()

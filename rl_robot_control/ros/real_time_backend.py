"""A robot over topics that goes on whether or not anyone answers it: implements ``Backend`` for N = 1."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.signals import SignalHandlerOptions

from rl_robot_control.backends.kinematics import FrameKinematics
from rl_robot_control.errors import BackendError, BackendTimeoutError, ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.controllers import make_controller
from rl_robot_control.ros.conversions import CommandCodec, to_pose
from rl_robot_control.ros.pacing import Pace
from rl_robot_control.ros.robot_listener import RobotListener
from rl_robot_control.ros.runtime import LONGEST_WAIT, make_executor
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState


class RealTimeBackend:
    """Each ``step`` lasts one control period of the robot's own time; in between, the robot is held.

    A thread listens. With the first complete state of a period it wakes ``step``; where no command was given in the
    whole period before, because the learner learns, saves or waits, it repeats the latest target, so that the shield
    does not take the learner for dead. Once the shield has latched or a step has failed, it repeats nothing. An
    observation that has grown old meanwhile is not acted on at once: the command goes out with the next period, and
    lasts a whole one. If this process dies, commands cease, and the shield brakes.

    A free base must be held, as by a gantry: it counts as resting where it hangs, so that no odometry is needed.

    Args:
        robot: The robot that the shield was started with.
        control_period: Time between two commands [s].
        domain_id: ROS domain; None: that of the environment.
        namespace: The robot's namespace, or empty.
        remappings: Other names of the robot's topics, by name.
        timeout: How long the robot's states may stay away [s].
        connect_timeout: How long robot and shield may take to appear [s].
        watch: Called a few times per second while waiting; raises to end the wait (a process has died).

    Raises:
        ConfigurationError: The robot's controller takes efforts, from which nobody reads what the shield changed.

    Attributes:
        applied: (1, J) what the shield let through most recently [rad].
        paced: Always true: the robot does not wait.
        late: How many steps found that their observation had grown old.
    """

    paced = True

    def __init__(self, robot: RobotModel, control_period: float = 0.02, *, domain_id: int | None = None,
                 namespace: str = '', remappings: Mapping[str, str] | None = None, timeout: float = 0.5,
                 connect_timeout: float = 60.0, watch: Callable[[], None] = lambda: None) -> None:
        if robot.settings.topics.controller_type == 'effort':
            raise ConfigurationError(f"the controller of '{robot.name}' takes efforts; to learn in real time, the "
                                     'shield must send it positions. Choose another controller_type.')
        self.robot, self.num_robots, self.control_period = robot, 1, control_period
        self.applied: FloatArray | None = None
        self.late = 0
        self._timeout, self._connect_timeout, self._watch = timeout, connect_timeout, watch
        self._kinematics, self._codec = FrameKinematics(robot), CommandCodec(robot)
        self._controller, self._pace = make_controller(robot, control_period, lockstep=False), Pace(control_period)
        start = robot.default_state(1)
        self._rest = {'base_position': start.base_position, 'base_linear_velocity': np.zeros((1, 3))
                      } if robot.floating else {}
        # What the listening thread and the one that steps share, guarded by the condition.
        self._news = threading.Condition()
        self._period = 0  # complete periods so far
        self._stamp, self._began = 0, 0  # of the latest period's state, and of the first one's [ns]
        self._state: RobotState | None = None
        self._told: FloatArray | None = None  # (1, J) what the shield sent last [rad]
        self._passed = 0  # how often it has sent something
        self._target: FloatArray | None = None  # (1, J) the latest command [rad]; None: the robot is left alone
        self._commanded = self._given = 0  # the period in which it was given, and whose state the caller has
        self._waiting = False  # for a fresh period, to command in it
        self._mode, self._shield_says = '', ''
        self._failure: Exception | None = None  # of the listening thread
        self._closing = threading.Event()
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        renamed = [word for old, new in (remappings or {}).items() for word in ('-r', f'{old}:={new}')]
        self._node = rclpy.create_node('environment', context=self._context, namespace=namespace or None,
                                       use_global_arguments=False, start_parameter_services=False, enable_rosout=False,
                                       cli_args=['--ros-args', *renamed] if renamed else None)
        self._connect()
        self._executor = make_executor(self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._listen, name='robot', daemon=True)
        self._thread.start()

    def reset(self, initial: InitialState, index: np.ndarray) -> RobotState:
        """Wait for the robot and its shield. Nobody puts a robot anywhere: it stays where it is.

        Raises:
            BackendTimeoutError: The robot or the shield is silent; the message names the topic.
            BackendError: The shield has latched.
        """
        deadline = time.monotonic() + self._connect_timeout
        with self._news:
            self._wait(lambda: self._period > 0 and self._mode not in ('', 'STARTING') and self._heard_by_shield(),
                       deadline, self._silence)
            self._check_shield()
            self._given = self._period
            return self._state

    def step(self, command: JointCommand) -> RobotState:
        """See ``Backend.step``.

        Raises:
            BackendTimeoutError: The robot's states stay away, or the shield does; the message names the topics.
            BackendError: The shield has latched, the robot's clock went back, or a joint's position is not finite.
        """
        with self._news:
            if self._state is None:
                raise RuntimeError('reset() comes before step()')
            try:
                return self._step(command)
            except BaseException:
                self._target = None  # who sees to what went wrong must not find the robot on its way
                raise

    def push(self, velocity: FloatArray, index: np.ndarray) -> None:
        """Nobody pushes a robot that is real."""

    def show_target(self, position: FloatArray) -> None:
        """Publish where the task wants the robot's hand (3,), in the frame of the base [m]; only people look at it."""
        self._goal.publish(to_pose(position, self.robot.settings.base.link))

    def close(self) -> None:
        """Let go of the robot: commands cease, and the shield brakes it. A second call does nothing."""
        if not self._closing.is_set():
            self._closing.set()
            self._thread.join()
            self._executor.shutdown()
            self._node.destroy_node()
            self._context.try_shutdown()

    def _connect(self) -> None:
        node = self._node
        self._commands = interface.POLICY_COMMAND.publisher(node)
        self._goal = interface.GOAL.publisher(node)
        self._listener = RobotListener(node, self.robot, (), on_message=self._on_message)
        self._echo = interface.controller_commands(self.robot.settings.topics)
        self._echo.subscription(node, self._on_echo)
        interface.SHIELD_STATUS.subscription(node, self._on_status)

    # the listening thread

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                self._executor.spin_once(timeout_sec=LONGEST_WAIT)
            except Exception as error:  # it is the stepping thread's to raise
                with self._news:
                    self._failure, self._target = error, None
                    self._news.notify_all()

    def _on_message(self) -> None:
        if not self._listener.complete():
            return
        now = time.monotonic()
        self._pace.hear(now)
        if self._pace.due(now, complete=True):
            self._pace.begin(now, complete=True)
            state = self._listener.state()
            with self._news:
                self._begin_period(self._listener.stamp, state)

    def _begin_period(self, stamp: int, state: RobotState) -> None:
        if self._period and stamp <= self._stamp:
            raise BackendError(f"{interface.JOINT_STATES.name} went from {self._stamp * 1e-9:.3f} s to "
                               f'{stamp * 1e-9:.3f} s: the robot was started anew, or two of them publish.')
        if not np.isfinite(state.joint_position).all():
            raise BackendError(f'{interface.JOINT_STATES.name} holds a position that is not finite.')
        self._began, self._stamp = self._began or stamp, stamp
        time_since = np.array([(stamp - self._began) * 1e-9])
        self._state = self._kinematics.update(dataclasses.replace(state, time=time_since, **self._rest))
        self._period += 1
        if self._target is not None and not self._waiting and self._commanded < self._period - 1:
            self._publish()
        self._news.notify_all()

    def _on_echo(self, message: Any) -> None:
        told = self._controller.decode(message).position
        if told is not None and np.isfinite(told).all():  # else the drives are told to damp
            with self._news:
                self._told, self._passed = told[None], self._passed + 1
                self._news.notify_all()

    def _on_status(self, message: DiagnosticArray) -> None:
        mode = {pair.key: pair.value for status in message.status[:1] for pair in status.values}.get('mode')
        if mode is None:
            return
        with self._news:
            self._mode, self._shield_says = mode, message.status[0].message
            if mode == 'LATCHED':
                self._target = None  # who re-arms it must not find the robot on its way again
            self._news.notify_all()

    # both

    def _publish(self) -> None:
        """Send the target as the answer to the latest state; each state is answered once at most."""
        self._commands.publish(self._codec.serialize(self._target[0], self._stamp))

    # the thread that steps

    def _step(self, command: JointCommand) -> RobotState:
        self._check_shield()
        if self._period != self._given:
            self.late += 1
            self._await_period()
        self._target, passed = command.position.copy(), self._passed
        self._publish()
        self._commanded = self._period
        self._await_period()
        self._check_shield()
        self._wait(lambda: self._passed > passed, time.monotonic() + self._timeout, lambda: (
            f'the shield has sent nothing on {self._echo.name} for {self._timeout:g} s after a command. It said last: '
            f'{self._shield_says}.'))
        self._given, self.applied = self._period, self._told
        return self._state

    def _await_period(self) -> None:
        """Wait for the next period to begin."""
        following, self._waiting = self._period + 1, True
        try:
            self._wait(lambda: self._period >= following, time.monotonic() + self._timeout, lambda: (
                f'{self._topics()} has been silent for {self._timeout:g} s. The shield says: {self._shield_says}.'))
        finally:
            self._waiting = False

    def _wait(self, condition: Callable[[], bool], deadline: float, why: Callable[[], str]) -> None:
        while not self._news.wait_for(lambda: self._failure is not None or condition(), LONGEST_WAIT):
            if time.monotonic() > deadline:
                raise BackendTimeoutError(why())
            self._watch()
        if self._failure is not None:
            raise self._failure

    def _check_shield(self) -> None:
        if self._mode == 'LATCHED':
            raise BackendError(f'the shield has stopped the robot ({self._shield_says}). See to the robot, call '
                               f'{interface.REARM.name}, and go on with the run.')

    def _heard_by_shield(self) -> bool:
        return self._commands.get_subscription_count() > 0

    def _topics(self) -> str:
        return ', '.join(self._listener.missing() or self._listener.topics.values())

    def _silence(self) -> str:
        """Who has not been heard yet."""
        if self._listener.missing():
            return f'nothing came on {", ".join(self._listener.missing())}; is the robot running in this ROS domain?'
        if not self._period:
            return f'the messages on {self._topics()} never have the same stamp; they must be of one instant.'
        if not self._heard_by_shield():
            return f"nobody listens to '{self._commands.topic_name}'; is the shield running?"
        return f'the shield does not see the robot ({interface.SHIELD_STATUS.name}: {self._shield_says or "silent"}).'


def renamed_topics(arguments: Sequence[str]) -> dict[str, str]:
    """New names of topics by old ones, from a process's ROS arguments (``-r old:=new``).

    Raises:
        ConfigurationError: An argument has no value.
    """
    found = {}
    for flag, rule in zip(arguments, arguments[1:], strict=False):
        if flag in ('-r', '--remap') and not rule.startswith('__'):
            old, mark, new = rule.partition(':=')
            if not mark:
                raise ConfigurationError(f"'{rule}' after {flag} is no remapping; it looks like old:=new.")
            found[old] = new
    return found

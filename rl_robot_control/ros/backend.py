"""A simulated robot in other processes, over topics, in lock-step: implements ``Backend`` for N = 1."""

from __future__ import annotations

import array
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float64MultiArray

from rl_robot_control.backends.kinematics import FrameKinematics
from rl_robot_control.errors import BackendError, BackendTimeoutError
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros import interface
from rl_robot_control.ros.controllers import make_controller
from rl_robot_control.ros.conversions import CommandCodec, StateDecoder, to_pose
from rl_robot_control.ros.lockstep import Instant
from rl_robot_control.ros.runtime import LONGEST_WAIT, make_executor
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState

RETRY_PERIOD = 0.2  # while the other processes appear [s]


class RosBackend:
    """Commands go to ``policy/command``; each state that comes back answers the command before it.

    Everything happens in the calling thread. The only wall-clock limit is the transport's: between two calls the world
    waits as long as it takes. ``RobotState.time`` counts from the latest reset, as it does in memory.

    Args:
        robot: The robot that the simulation and the shield were started with.
        control_period: Simulated time per command [s], as the simulation has it.
        domain_id: ROS domain; None: that of the environment.
        namespace: The robot's namespace, or empty.
        timeout: How long an answer may take [s].
        connect_timeout: How long the other processes may take to appear [s].
        watch: Called a few times per second while waiting; raises to end the wait (a process has died).

    Attributes:
        applied: (1, J) what the shield made of the latest command [rad].
    """

    def __init__(self, robot: RobotModel, control_period: float = 0.02, *, domain_id: int | None = None,
                 namespace: str = '', timeout: float = 10.0, connect_timeout: float = 60.0,
                 watch: Callable[[], None] = lambda: None) -> None:
        self.robot, self.num_robots, self.control_period = robot, 1, control_period
        self.applied: FloatArray | None = None
        self._timeout, self._connect_timeout, self._watch = timeout, connect_timeout, watch
        self._period = round(control_period * 1e9)
        self._stamp: int | None = None  # of the latest state [ns]
        self._start = 0  # stamp of the latest reset's state [ns]
        self._time = np.nan  # of the latest state, since the reset [s]
        self._connected = False
        self._decoder, self._codec = StateDecoder(robot), CommandCodec(robot)
        self._controller = make_controller(robot, control_period, lockstep=True)
        self._kinematics = FrameKinematics(robot)
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        self._node = rclpy.create_node('environment', context=self._context, namespace=namespace or None,
                                       use_global_arguments=False, start_parameter_services=False, enable_rosout=False)
        self._connect(robot)
        self._executor = make_executor(self._context)
        self._executor.add_node(self._node)

    def reset(self, initial: InitialState, index: np.ndarray) -> RobotState:
        """See ``Backend.reset``; the shield forgets the past, too.

        Raises:
            BackendTimeoutError: A service or topic is silent; the message names it.
            BackendError: The simulation or the shield refuses.
        """
        if not len(index):
            return self._state()
        values = {f'reset.{f.name}': array.array('d', getattr(initial, f.name)[0].tolist())
                  for f in dataclasses.fields(InitialState)}
        deadline = time.monotonic() + (self._timeout if self._connected else self._connect_timeout)
        self._wait_for_peers(deadline)
        self._set_parameters(values)
        while not self._try_reset():
            # Until the other processes know of each other, the state may reach only some of them.
            if self._connected or time.monotonic() > deadline:
                raise BackendTimeoutError(f'after a reset no state arrived on {self._silent()}; do the simulation and '
                                          'the shield run in lock-step, with the same robot and ROS domain?')
        self._connected, self._start = True, self._stamp
        return self._state()

    def step(self, command: JointCommand) -> RobotState:
        """See ``Backend.step``.

        Raises:
            BackendTimeoutError: No state came back; the message names the topics.
            BackendError: Someone else moves the simulation.
        """
        if self._stamp is None:
            raise RuntimeError('reset() comes before step()')
        answers, expected = self._answered(command), self._stamp + self._period
        self._commands.publish(self._codec.serialize(command.position[0], answers))
        if not self._wait(lambda: self._arrived(expected), self._timeout):
            topics = ', '.join(self._sensors.missing(expected) or [self._echo_topic])
            raise BackendTimeoutError(
                f'no answer on {topics} within {self._timeout:g} s after the command for the state of '
                f'{self._stamp * 1e-9:.3f} s. Does the simulation run in lock-step with a control period of '
                f'{self.control_period} s? What does {interface.SHIELD_STATUS.name} say?')
        self._stamp = expected
        return self._state()

    def push(self, velocity: FloatArray, index: np.ndarray) -> None:
        """See ``Backend.push``."""
        if len(index):
            self._set_parameters({'push_velocity': array.array('d', velocity[0].tolist())})

    def show_target(self, position: FloatArray) -> None:
        """Publish where the task wants the robot's hand (3,), in the frame of the base [m]; only people look at it."""
        self._goal.publish(to_pose(position, self.robot.settings.base.link))

    def close(self) -> None:
        """See ``Backend.close``."""
        if self._context.ok():
            self._executor.shutdown()
            self._node.destroy_node()
            self._context.try_shutdown()

    def _connect(self, robot: RobotModel) -> None:
        node = self._node
        self._commands = interface.POLICY_COMMAND.publisher(node)
        self._goal = interface.GOAL.publisher(node)
        topics = {'joints': interface.JOINT_STATES}
        if robot.floating:
            topics |= {'imu': interface.IMU, 'odom': interface.ODOM}
        frames = [name for name in robot.frame_names if robot.settings.frames[name].contact]
        self._contacts = {name: interface.contact(name) for name in frames}
        everything = {topic.name: topic for topic in (*topics.values(), *self._contacts.values())}
        self._sensors = Instant(everything)
        self._subscriptions = [topic.samples(node, self._sensors.receiver(name))
                               for name, topic in everything.items()]
        echo = interface.controller_commands(robot.settings.topics)
        self._echo_topic, self._echoed = echo.name, -1  # stamp [ns] that the latest applied command answers
        self._subscriptions.append(echo.subscription(node, self._on_echo))
        services = (interface.SIMULATION_RESET, interface.SHIELD_RESET,
                    interface.Service('simulation/set_parameters_atomically', SetParametersAtomically, ''))
        self._clients = {service.name: service.client(node) for service in services}

    def _on_echo(self, message: Float64MultiArray) -> None:
        told = self._controller.decode(message)
        self.applied, self._echoed = told.position[None], -1 if told.answers is None else told.answers

    def _arrived(self, stamp: int) -> bool:
        """Whether the whole state of an instant is there, and the command that led to it.

        Raises:
            BackendError: A later state is there already.
        """
        seen = self._sensors.stamps[interface.JOINT_STATES.name]
        if seen is not None and seen > stamp:
            raise BackendError(f'{interface.JOINT_STATES.name} is {(seen - stamp) * 1e-9:.3f} s ahead of the answer '
                               'that was waited for: something else commands or resets this simulation, or its control '
                               f'period is not {self.control_period} s.')
        return seen == stamp == self._sensors.stamp and self._echoed == self._stamp

    def _answered(self, command: JointCommand) -> int:
        """Stamp [ns] of the observation that a command answers."""
        since = float(command.stamp[0])
        if since == self._time:
            return self._stamp
        return max(0, self._start + round(since * 1e9)) if np.isfinite(since) else 0

    def _state(self) -> RobotState:
        messages = self._sensors.messages
        contacts = {name: messages[topic.name] for name, topic in self._contacts.items()}
        state = self._decoder.decode(messages[interface.JOINT_STATES.name], messages.get(interface.IMU.name),
                                     messages.get(interface.ODOM.name), contacts)
        self._time = (self._stamp - self._start) * 1e-9
        return self._kinematics.update(dataclasses.replace(state, time=np.array([self._time])))

    def _try_reset(self) -> bool:
        """One reset; False where the state did not reach this process and the shield."""
        stamp = self._trigger(interface.SIMULATION_RESET)
        if not stamp.isdecimal():
            return False
        self._stamp = int(stamp)
        patience = self._timeout if self._connected else RETRY_PERIOD
        if not self._wait(lambda: self._sensors.stamp == self._stamp, patience):
            return False
        deadline = time.monotonic() + patience
        while self._trigger(interface.SHIELD_RESET) != stamp:
            if time.monotonic() > deadline:
                return False
            self._executor.spin_once(timeout_sec=0.001)
        return True

    def _silent(self) -> str:
        return ', '.join(self._sensors.missing(self._stamp or 0) or ['the shield'])

    def _wait_for_peers(self, deadline: float) -> None:
        for name, client in self._clients.items():
            if not self._wait(client.service_is_ready, deadline - time.monotonic()):
                raise BackendTimeoutError(f"service '{name}' is not offered; is the {name.partition('/')[0]} node "
                                          'running in this ROS domain?')
        for subscription in self._subscriptions:
            if not self._wait(lambda s=subscription: s.get_publisher_count() > 0, deadline - time.monotonic()):
                raise BackendTimeoutError(f"topic '{subscription.topic_name}' has no publisher; is it the same robot "
                                          f"('{self.robot.name}') everywhere?")
        if not self._wait(lambda: self._commands.get_subscription_count() > 0, deadline - time.monotonic()):
            raise BackendTimeoutError(f"nobody listens to '{self._commands.topic_name}'; is the shield running?")

    def _trigger(self, service: interface.Service) -> str:
        """Call a ``Trigger`` service; its message, or empty where it refuses for now."""
        answer = self._call(service.name, service.type.Request())
        if not answer.success and self._connected:
            raise BackendError(f"service '{service.name}' refuses: {answer.message}")
        return answer.message if answer.success else ''

    def _set_parameters(self, values: dict[str, Any]) -> None:
        messages = [Parameter(name, Parameter.Type.DOUBLE_ARRAY, value).to_parameter_msg()
                    for name, value in values.items()]
        request = SetParametersAtomically.Request(parameters=messages)
        answer = self._call('simulation/set_parameters_atomically', request)
        if not answer.result.successful:
            raise BackendError(f'the simulation refuses its parameters: {answer.result.reason}')

    def _call(self, name: str, request: Any) -> Any:
        future = self._clients[name].call_async(request)
        if not self._wait(future.done, self._timeout):
            raise BackendTimeoutError(f"service '{name}' did not answer within {self._timeout:g} s.")
        return future.result()

    def _wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Serve callbacks until a condition holds; False where the time is over."""
        deadline = time.monotonic() + timeout
        while not condition():
            rest = deadline - time.monotonic()
            if rest <= 0:
                return False
            self._executor.spin_once(timeout_sec=min(rest, LONGEST_WAIT))
            if rest < timeout - LONGEST_WAIT:
                self._watch()
        return True

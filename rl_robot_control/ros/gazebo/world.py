"""A robot in a Gazebo that waits: one control period per command, through gz_ros2_control's controllers in Gazebo.

What is Gazebo's own lies in the namespace ``gazebo`` of the robot: ``joint_states``, ``imu`` and ``odom`` come from
there, targets go to its position controller. The stamps that Gazebo gives its states say how far it has come, so an
answer that comes late, twice or never cannot pass for a step.
"""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np
from geometry_msgs.msg import Pose
from rclpy.duration import Duration

from rl_robot_control.errors import BackendError, BackendTimeoutError
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.gazebo import gazebo_name
from rl_robot_control.ros import interface
from rl_robot_control.ros.controllers import Aim, make_controller
from rl_robot_control.ros.conversions import StateDecoder
from rl_robot_control.ros.gazebo.calls import Calls
from rl_robot_control.ros.gazebo.stepping import find_stepper, service_type
from rl_robot_control.ros.wire import stamp_of
from rl_robot_control.types import FloatArray, InitialState, JointCommand, RobotState

NAMESPACE = 'gazebo'  # below the robot's
SET_POSE = 'ros_gz_interfaces/srv/SetEntityPose'
LIFT = 1.0  # of a floating base while its joints are brought to their pose, so that they meet nothing [m]
POSE_TOLERANCE = 0.01  # of each joint after a reset [rad]
SPEED_TOLERANCE = 0.1  # likewise [rad/s]
LONGEST_WAY = 5.0  # simulated time until the joints must be there [s]
# The broadcaster stamps by /clock, which comes to it over a bridge and lags; two samples are 10 ms apart.
JITTER = 5_000_000  # [ns]
PATIENCE = 0.25  # with the last sample of a control period [s]
QUIET = 0.1  # without a newer state that counts as quiet [s]
BEST_EFFORT, STRICT = 1, 2  # SwitchController's strictness: what can be done, or all or nothing


class GazeboWorld:
    """One robot; the interface of ``MujocoBackend``, as far as the simulation node uses it.

    Gains are Gazebo's own: its position interface turns an error into a velocity, whatever the drives' gains say. What
    is not measured (contacts, accelerations without an IMU) is NaN.

    Args:
        robot: The robot that is in Gazebo.
        control_period: Simulated time per command [s].
        step: Gazebo's ``max_step_size`` [s].
        held: Whether the base is fixed in the world, as it was spawned.
        namespace: The robot's namespace.
        timeout: For one answer, and for the states of one period [s].
        connect_timeout: Until Gazebo, its bridge and its controllers are there [s].

    Attributes:
        dropped: Control periods whose last sample never came, so that the one before it was taken.

    Raises:
        BackendError: The control period is no multiple of the step, or Gazebo is not there.
    """

    def __init__(self, robot: RobotModel, control_period: float, *, step: float = 0.001, held: bool = False,
                 namespace: str = '/', timeout: float = 10.0, connect_timeout: float = 60.0) -> None:
        self._robot, self._held, self._timeout = robot, held or not robot.floating, timeout
        self._steps = round(control_period / step)
        if self._steps < 1 or not math.isclose(self._steps * step, control_period, rel_tol=1e-6):
            raise BackendError(f"the control period of {control_period} s is no multiple of Gazebo's step of {step} s.")
        self._period, self._slack = round(control_period * 1e9), round(0.5 * control_period * 1e9)
        self._step_ns = round(step * 1e9)
        self._name = gazebo_name(robot, namespace.strip('/'))
        self._calls = Calls('simulation_gazebo', f'{namespace.rstrip("/")}/{NAMESPACE}', timeout)
        self._decoder, self._controller = StateDecoder(robot), make_controller(robot, control_period)
        self._messages: dict[str, Any] = {}
        self._due: dict[str, int] = {}  # stamp of the latest state, by topic [ns]
        self.dropped = 0
        topics = {'joint_states': interface.JOINT_STATES}
        if robot.floating:
            topics |= {'imu': interface.IMU, 'odom': interface.ODOM}
        self._topics = {key: topic.samples(self._calls.node, self._keep(key)) for key, topic in topics.items()}
        self._commands = interface.controller_commands(robot.settings.topics).publisher(self._calls.node)
        self._connect(connect_timeout)

    def step(self, command: JointCommand) -> RobotState:
        """Advance by one control period.

        Raises:
            BackendTimeoutError: Gazebo does not answer, or its states do not come; the message names who is silent.
            BackendError: Gazebo refuses, or has moved by another time.
        """
        self._tell(command.position[0])
        return self._advance()

    def reset(self, initial: InitialState, index: np.ndarray) -> RobotState:
        """Bring the robot to a pose at rest.

        Its controller is deactivated first, which makes it forget its last command; then the base is put where it is to
        be, and the joints are driven to their positions. A reset of Gazebo's world is not used: it would remove what
        was spawned, the controllers with it. Velocities other than zero cannot be set.

        Raises:
            BackendError: The joints do not get there, or Gazebo does not answer.
        """
        wanted = initial.joint_position[0]
        self._switch(deactivate=True)
        self._place(initial, LIFT)
        self._switch(deactivate=False)
        for _ in range(max(1, round(LONGEST_WAY * 1e9 / self._period))):
            self._tell(wanted)
            state = self._advance()
            away = np.abs(state.joint_position[0] - wanted)
            if (away <= POSE_TOLERANCE).all() and (np.abs(state.joint_velocity[0]) <= SPEED_TOLERANCE).all():
                break
            self._place(initial, LIFT)
        else:
            worst = int(np.argmax(away))
            raise BackendError(f"joint '{self._robot.joint_names[worst]}' is {away[worst]:.3f} rad away from where the "
                               f'reset wants it, after {LONGEST_WAY:g} s; does something block it?')
        self._place(initial, 0.0)
        return self._advance()

    def hold_base(self, held: bool) -> None:
        """Nothing: whether the base is fixed was decided when the robot was spawned."""

    def set_gains(self, stiffness: FloatArray, damping: FloatArray, feed_forward: FloatArray | float = 0.0) -> None:
        """Nothing: see the class."""

    def push(self, velocity: FloatArray, index: np.ndarray) -> None:
        """Not possible here.

        Raises:
            BackendError: Always.
        """
        raise BackendError('in Gazebo the base cannot be pushed by a velocity; leave pushes out of the task.')

    @property
    def stepper(self) -> str:
        """Name of the service by which Gazebo is advanced."""
        return self._stepper.name

    def close(self) -> None:
        """Leave; a second call does nothing."""
        self._calls.close()

    def _connect(self, timeout: float) -> None:
        self._stepper = find_stepper(self._calls, timeout)
        # Controllers become active in the controller manager's update, so Gazebo must move while they are spawned.
        controller, deadline = self._robot.settings.topics.controller, time.monotonic() + timeout
        while (state := self._controllers().get(controller, 'not loaded')) != 'active':
            if time.monotonic() > deadline:
                raise BackendTimeoutError(f"controller '{controller}' in Gazebo is {state} after {timeout:g} s; have "
                                          'the controllers been spawned there?')
            self._move()
        if not self._calls.wait(lambda: self._commands.get_subscription_count() > 0, timeout):
            raise BackendTimeoutError(f"nobody listens to '{self._commands.topic_name}'; has the controller in Gazebo "
                                      'another type or namespace?')
        self._settle(timeout)

    def _controllers(self) -> dict[str, str]:
        """States of the controllers in Gazebo, by name."""
        kind = service_type('controller_manager_msgs/srv/ListControllers')
        answer = self._calls.call(kind, 'controller_manager/list_controllers', kind.Request(), meanwhile=self._move)
        return {controller.name: controller.state for controller in answer.controller}

    def _move(self) -> None:
        """Advance for whoever waits for Gazebo's time."""
        self._stepper.step(self._steps)
        self._calls.wait(lambda: False, QUIET)

    def _settle(self, timeout: float) -> None:
        """Advance once, and take Gazebo's time from the newest state as soon as no newer one comes."""
        self._messages.clear()
        self._stepper.step(self._steps)
        if not self._calls.wait(lambda: len(self._messages) == len(self._topics), timeout):
            raise BackendTimeoutError(f"after a step by '{self._stepper.name}' nothing came on {self._missing()}; are "
                                      'the broadcasters active, and is it bridged?')
        newest: dict[str, int] = {}
        while newest != self._stamps():
            newest = self._stamps()
            self._calls.wait(lambda: False, QUIET)
        self._due = newest

    def _missing(self) -> str:
        return ', '.join(topic.topic_name for key, topic in self._topics.items() if key not in self._messages)

    def _stamps(self) -> dict[str, int]:
        """Stamps of the latest messages [ns]."""
        return {key: stamp_of(message) for key, message in self._messages.items()}

    def _keep(self, key: str) -> Any:
        def keep(message: Any) -> None:
            self._messages[key] = message

        return keep

    def _tell(self, position: FloatArray) -> None:
        """Send targets, and wait until the controller's reader has them: the step must not overtake them."""
        self._commands.publish(self._controller.encode(Aim(position=position)))
        if not self._commands.wait_for_all_acked(Duration(seconds=self._timeout)):
            raise BackendTimeoutError(f"'{self._commands.topic_name}' was not received within {self._timeout:g} s.")

    def _advance(self) -> RobotState:
        """One control period. Each topic's rate divides it, so its next stamp is known but for ``JITTER``."""
        self._due = {key: stamp + self._period for key, stamp in self._due.items()}
        self._stepper.step(self._steps)
        if not self._calls.wait(lambda: not self._silent(JITTER), PATIENCE):
            # A broadcaster drops a sample when its publisher is busy; then the one before it has to do.
            if not self._calls.wait(lambda: not self._silent(self._slack), self._timeout):
                raise BackendTimeoutError(
                    f"'{self._stepper.name}' was asked for {self._steps} steps, and no state of "
                    f'{self._due["joint_states"] * 1e-9:.3f} s came on {self._silent(self._slack)} within '
                    f'{self._timeout:g} s. Is the physics step {self._step_ns * 1e-9} s, and does each publish at '
                    'least once per control period?')
            self.dropped += 1
        ahead = max(stamp - self._due[key] for key, stamp in self._stamps().items())
        if ahead > self._slack:
            raise BackendError(f"Gazebo is {ahead * 1e-9:.3f} s ahead of the step that was asked for: something else "
                               'advances it, or it is not paused.')
        return self._state()

    def _silent(self, slack: int) -> str:
        """Topics whose latest message is older than what is due by more than a slack [ns]."""
        stamps = self._stamps()
        return ', '.join(topic.topic_name for key, topic in self._topics.items()
                         if stamps.get(key, -1) < self._due.get(key, 0) - slack)

    def _state(self) -> RobotState:
        messages = self._messages
        state = self._decoder.decode(messages['joint_states'], messages.get('imu'), messages.get('odom'))
        return dataclasses.replace(state, time=np.array([self._due['joint_states'] * 1e-9]))

    def _switch(self, deactivate: bool) -> None:
        kind = service_type('controller_manager_msgs/srv/SwitchController')
        controller = self._robot.settings.topics.controller
        # After a reset that failed it is inactive already.
        request = kind.Request(strictness=BEST_EFFORT if deactivate else STRICT, activate_asap=True)
        (request.deactivate_controllers if deactivate else request.activate_controllers).append(controller)
        request.timeout.sec = math.ceil(self._timeout)
        # It is made in the controller manager's update, so Gazebo must move for it.
        answer = self._calls.call(kind, 'controller_manager/switch_controller', request, meanwhile=self._move)
        if not answer.ok:
            raise BackendError(f"the controller manager in Gazebo refuses to {'de' if deactivate else ''}activate "
                               f"'{controller}'. See: ros2 control list_controllers -c "
                               f'{self._calls.node.get_namespace()}/controller_manager')
        self._settle(self._timeout)

    def _place(self, initial: InitialState, lift: float) -> None:
        """Put a floating base somewhere."""
        if self._held:
            return
        kind, offered = service_type(SET_POSE), self._calls.services(SET_POSE)
        if not offered:
            raise BackendError(f"nobody offers '{SET_POSE}', so '{self._name}' cannot be placed; bridge "
                               '/world/<name>/set_pose (docs/gazebo.md).')
        request = kind.Request()
        request.entity.name, request.entity.type = self._name, request.entity.MODEL
        request.pose = _pose(initial.base_position[0] + [0.0, 0.0, lift], initial.base_quaternion[0])
        if not self._calls.call(kind, offered[0], request).success:
            raise BackendError(f"Gazebo refuses to place '{self._name}'; was the robot spawned under this name?")


def _pose(position: FloatArray, quaternion: FloatArray) -> Pose:
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = map(float, position)
    turn = pose.orientation
    turn.x, turn.y, turn.z, turn.w = map(float, quaternion)
    return pose

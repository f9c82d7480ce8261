"""What a person at a terminal does to a running robot: change lifecycle states, call services, give velocities."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import Twist
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.signals import SignalHandlerOptions

from rl_robot_control.errors import BackendError, BackendTimeoutError
from rl_robot_control.ros import interface
from rl_robot_control.ros.command_profile import CommandProfile, Segment

COMMAND_RATE = 20.0  # of cmd_vel [Hz]
AGAIN = 2.0  # [s]
TRANSITIONS = {'configure': Transition.TRANSITION_CONFIGURE, 'activate': Transition.TRANSITION_ACTIVATE,
               'deactivate': Transition.TRANSITION_DEACTIVATE, 'cleanup': Transition.TRANSITION_CLEANUP}


class Operator:
    """One participant beside the robot's nodes; a context manager. It works only within its own calls: no threads.

    Args:
        domain_id: Of the robot's nodes.
        namespace: Of the robot's nodes, or empty.
        watch: Called every few milliseconds while waiting; raises to end the wait (a node has died).
    """

    def __init__(self, domain_id: int, namespace: str = '', watch: Callable[[], None] = lambda: None) -> None:
        self._watch = watch
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain_id, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node('operator', context=self._context, namespace=namespace or None,
                                      start_parameter_services=False, enable_rosout=False, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._velocity = interface.CMD_VEL.publisher(self.node)
        self._clients: dict[tuple[type, str], Client] = {}
        self._status: dict[str, DiagnosticStatus] = {}
        interface.DIAGNOSTICS.subscription(self.node, self._on_status)
        interface.SHIELD_STATUS.subscription(self.node, self._on_status)
        interface.SUPERVISOR_STATUS.subscription(self.node, self._on_status)

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def status(self, name: str) -> DiagnosticStatus | None:
        """The latest diagnostic status whose name ends with ``name``, or None."""
        return next((status for key, status in self._status.items() if key.endswith(name)), None)

    def value(self, name: str, key: str) -> str:
        """One value of a diagnostic status, empty where there is none."""
        return self.values(name).get(key, '')

    def values(self, name: str) -> dict[str, str]:
        """All values of a diagnostic status; none where there is none."""
        status = self.status(name)
        return {pair.key: pair.value for pair in status.values} if status else {}

    def forget(self, name: str) -> None:
        """Drop a diagnostic status, to wait for the next one."""
        self._status = {key: status for key, status in self._status.items() if not key.endswith(name)}

    def change_state(self, node: str, transition: str, timeout: float = 30.0) -> bool:
        """Ask a lifecycle node for a transition.

        Args:
            node: The node's name.
            transition: configure, activate, deactivate or cleanup.
            timeout: [s]

        Returns:
            Whether the node made it.
        """
        # A node of that name that was killed is believed to be there for a while, and a request to it is lost; this one
        # must not be sent twice, so first whoever lives has to answer something that may.
        self.lifecycle_state(node, timeout)
        request = ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        return self.call(ChangeState, f'{node}/change_state', request, timeout).success

    def lifecycle_state(self, node: str, timeout: float = 10.0) -> str:
        """Label of a lifecycle node's state: unconfigured, inactive, active or finalized."""
        return self.call(GetState, f'{node}/get_state', GetState.Request(), timeout, again=AGAIN).current_state.label

    def parameters(self, node: str, names: Sequence[str], timeout: float = 30.0) -> dict[str, Any]:
        """Values of a node's parameters, by name."""
        answer = self.call(GetParameters, f'{node}/get_parameters', GetParameters.Request(names=list(names)), timeout,
                           again=AGAIN)
        return {name: parameter_value_to_python(value) for name, value in zip(names, answer.values, strict=True)}

    def set_parameters(self, node: str, values: Mapping[str, Any], timeout: float = 30.0) -> None:
        """Set parameters of a node, all or none.

        Args:
            node: The node's name.
            values: By parameter; a list of numbers as ``array.array``.
            timeout: [s]

        Raises:
            BackendError: The node refuses them.
        """
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        result = self.call(SetParametersAtomically, f'{node}/set_parameters_atomically',
                           SetParametersAtomically.Request(parameters=parameters), timeout, again=AGAIN).result
        if not result.successful:
            raise BackendError(f"node '{node}' refused parameters: {result.reason}")

    def trigger(self, service: interface.Service, timeout: float = 10.0) -> None:
        """Call a ``Trigger`` service.

        Raises:
            BackendError: It answers that it did not succeed.
        """
        answer = self.call(service.type, service.name, service.type.Request(), timeout)
        if not answer.success:
            raise BackendError(f"service '{service.name}' refused: {answer.message}")

    def call(self, kind: type, name: str, request: Any, timeout: float, again: float = math.inf) -> Any:
        """Call any service.

        Args:
            kind: The service's type.
            name: The service's name.
            request: What is asked.
            timeout: To be offered, and to answer [s].
            again: Ask anew after so long without an answer [s], where asking twice does no harm: Fast DDS drops the
                answer of a node that has not discovered this client within 0.1 s.

        Raises:
            BackendTimeoutError: No answer.
        """
        key = (kind, name)
        client = self._clients[key] = self._clients.get(key) or self.node.create_client(kind, name)
        self.wait_until(client.service_is_ready, f"service '{name}' is offered", timeout)
        futures, asked = [], -math.inf

        def answered() -> bool:
            nonlocal asked
            if time.monotonic() - asked > again or not futures:
                futures.append(client.call_async(request))
                asked = time.monotonic()
            return any(future.done() for future in futures)

        self.wait_until(answered, f"service '{name}' answers", timeout)
        return next(future for future in futures if future.done()).result()

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float) -> None:
        """Listen until a condition holds.

        Raises:
            BackendTimeoutError: The time is over.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            self._watch()
            if time.monotonic() > deadline:
                raise BackendTimeoutError(f'{what}: not so after {timeout:g} s.')
            self._executor.spin_once(timeout_sec=0.02)

    def command(self, velocity: tuple[float, float, float]) -> None:
        """Publish one velocity command vx, vy [m/s], wz [rad/s]."""
        message = Twist()
        message.linear.x, message.linear.y, message.angular.z = map(float, velocity)
        self._velocity.publish(message)

    def drive(self, profile: CommandProfile, on_tick: Callable[[float, Segment], bool] = lambda elapsed, segment: True
              ) -> float:
        """Publish a schedule of velocity commands in real time.

        Args:
            profile: The schedule.
            on_tick: Called after each command with the elapsed time [s]; False ends the drive.

        Returns:
            The time that it took [s].
        """
        begin = time.monotonic()
        while (segment := profile.segment_at(elapsed := time.monotonic() - begin)) is not None:
            self.command(segment.velocity)
            self._watch()
            if not on_tick(elapsed, segment):
                break
            self._listen_until(begin + (int(elapsed * COMMAND_RATE) + 1) / COMMAND_RATE)
        return min(elapsed, profile.duration)

    def _listen_until(self, deadline: float) -> None:
        while (rest := deadline - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=rest)

    def close(self) -> None:
        """Leave; a second call does nothing."""
        if self._context.ok():
            self._executor.shutdown()
            self.node.destroy_node()
            self._context.try_shutdown()

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._status[status.name] = status

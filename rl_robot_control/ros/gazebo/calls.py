"""Service calls that block, from a node of their own, so that they work within another node's callback."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.signals import SignalHandlerOptions

from rl_robot_control.errors import BackendTimeoutError
from rl_robot_control.ros.runtime import LONGEST_WAIT, make_executor

MEANWHILE = 0.05  # between two calls of ``meanwhile`` [s]


class Calls:
    """A participant that calls services and waits; a context manager.

    Args:
        name: Of its node.
        namespace: Of its node.
        timeout: For one answer [s].

    Attributes:
        node: For subscriptions and publishers; its callbacks are served while something is waited for.
    """

    def __init__(self, name: str, namespace: str, timeout: float) -> None:
        self._timeout = timeout
        self._context = rclpy.Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = rclpy.create_node(name, context=self._context, namespace=namespace, use_global_arguments=False,
                                      start_parameter_services=False, enable_rosout=False)
        self._executor = make_executor(self._context)
        self._executor.add_node(self.node)
        self._clients: dict[tuple[type, str], Any] = {}

    def services(self, kind: str) -> list[str]:
        """Full names of the services of a type, e.g. ``simulation_interfaces/srv/StepSimulation``, that are offered."""
        return sorted(name for name, kinds in self.node.get_service_names_and_types() if kind in kinds)

    def call(self, kind: type, name: str, request: Any, meanwhile: Callable[[], None] = lambda: None) -> Any:
        """Call a service and wait for its own answer; one that comes later is nobody's.

        Args:
            kind: The service's type.
            name: Its name.
            request: What is asked.
            meanwhile: Called again and again while the answer is waited for.

        Raises:
            BackendTimeoutError: The service is not offered, or does not answer in time; the message names it.
        """
        deadline, name = time.monotonic() + self._timeout, self.node.resolve_service_name(name)
        client = self._clients.get((kind, name))
        if client is None:
            client = self._clients[kind, name] = self.node.create_client(kind, name)
        if not self.wait(client.service_is_ready, self._timeout):
            raise BackendTimeoutError(f"service '{name}' is not offered; is Gazebo running in this ROS "
                                      'domain, with its bridge?')
        future = client.call_async(request)
        while not self.wait(future.done, min(MEANWHILE, max(deadline - time.monotonic(), 0.0))):
            if time.monotonic() >= deadline:
                client.remove_pending_request(future)
                raise BackendTimeoutError(f"service '{name}' did not answer within {self._timeout:g} s.")
            meanwhile()
        return future.result()

    def wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Serve callbacks until a condition holds; False where the time is over."""
        deadline = time.monotonic() + timeout
        while not condition():
            rest = deadline - time.monotonic()
            if rest <= 0 or not self._context.ok():
                return False
            self._executor.spin_once(timeout_sec=min(rest, LONGEST_WAIT))
        return True

    def close(self) -> None:
        """Leave; a second call does nothing."""
        if self._context.ok():
            self._executor.shutdown()
            self.node.destroy_node()
            self._context.try_shutdown()

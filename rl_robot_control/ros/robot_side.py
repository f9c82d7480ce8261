"""How a supervisor makes the robot itself safe when the shield is gone.

``OwnTimeout``: the robot damps its joints when commands cease, as the simulation node does and a good driver should;
the supervisor only looks whether it has. ``ControllerSwitch``: ros2_control's controllers hold the last command for
ever, so the controller manager is told to deactivate the one that takes commands, and to activate one that damps if
there is.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from rclpy.node import Node

from rl_robot_control.errors import ConfigurationError

BEST_EFFORT = 1  # SwitchController's strictness: stop what can be stopped, whatever else fails


class RobotSide(Protocol):
    """Whoever can make a robot safe."""

    def make_safe(self, now: float) -> None:
        """Begin to."""

    def restore(self, now: float) -> None:
        """Begin to let commands through again."""

    def tick(self, now: float) -> None:
        """Go on with what was begun."""

    def confirmed(self) -> bool:
        """Whether what was begun is done."""

    def describe(self) -> str:
        """For people."""


class OwnTimeout:
    """A robot that damps itself when commands cease.

    Attributes:
        drives: What the robot's diagnostics say that its drives do; empty where they say nothing.
    """

    def __init__(self) -> None:
        self.drives, self._wanted = '', False

    def make_safe(self, now: float) -> None:
        """Expect the robot to damp itself."""
        self._wanted = True

    def restore(self, now: float) -> None:
        """Expect nothing more."""
        self._wanted = False

    def tick(self, now: float) -> None:
        """Nothing to do."""

    def confirmed(self) -> bool:
        """Whether the robot says that its drives are damped."""
        return not self._wanted or self.drives == 'damped'

    def describe(self) -> str:
        """For people."""
        return f'drives: {self.drives}' if self.drives else "the robot's own time-out; it does not say what it does"


class ControllerSwitch:
    """A robot behind ros2_control.

    Args:
        client: Of the controller manager's ``switch_controller``.
        request_type: Its request.
        controllers: Controllers that take commands.
        damping: Controller that damps the joints, or empty.
        timeout: For one answer [s]; without it the request is sent again.
    """

    def __init__(self, client: Any, request_type: type, controllers: Sequence[str], damping: str,
                 timeout: float) -> None:
        self._client, self._request_type = client, request_type
        self._commanding, self._damping, self._timeout = list(controllers), damping, timeout
        self._goal: tuple[list[str], list[str]] | None = None  # controllers to activate and to deactivate
        self._future: Any = None
        self._sent = 0.0
        self._done, self.problem = True, ''

    def make_safe(self, now: float) -> None:
        """Begin to deactivate the controllers."""
        self._begin([self._damping] if self._damping else [], self._commanding, now)

    def restore(self, now: float) -> None:
        """Begin to activate the controllers."""
        self._begin(self._commanding, [self._damping] if self._damping else [], now)

    def confirmed(self) -> bool:
        """Whether the controller manager has done what was asked last."""
        return self._done

    def describe(self) -> str:
        """For people."""
        if self.problem:
            return self.problem
        if self._goal is None:
            ready = self._client.service_is_ready()
            return 'controller manager found' if ready else 'no controller manager: the robot cannot be made safe'
        activate, deactivate = self._goal
        what = '; '.join(f'{verb} {", ".join(names)}' for verb, names in (('deactivate', deactivate),
                                                                          ('activate', activate)) if names)
        return f'{what}: {"done" if self._done else "under way"}'

    def tick(self, now: float) -> None:
        """Send the request as soon as it can be sent, and again until it is granted."""
        if self._done or self._goal is None:
            return
        if self._future is not None and self._future.done():
            self._judge(now)
        elif self._future is not None and now - self._sent > self._timeout:
            self._forget(f'the controller manager has not answered within {self._timeout:g} s')
        if self._future is None and not self._done:
            self._send(now)

    def request(self, activate: Sequence[str], deactivate: Sequence[str]) -> Any:
        """The request to switch controllers."""
        message = self._request_type()
        message.activate_controllers, message.deactivate_controllers = list(activate), list(deactivate)
        message.strictness, message.activate_asap = BEST_EFFORT, True
        message.timeout.sec, message.timeout.nanosec = divmod(round(self._timeout * 1e9), 1_000_000_000)
        return message

    def _begin(self, activate: list[str], deactivate: list[str], now: float) -> None:
        self._goal, self._done, self.problem = (activate, deactivate), False, ''
        if self._future is not None:
            self._forget('')
        self.tick(now)

    def _send(self, now: float) -> None:
        if not self._client.service_is_ready():
            self.problem = 'no controller manager: the robot cannot be made safe'
            return
        self._future, self._sent = self._client.call_async(self.request(*self._goal)), now

    def _judge(self, now: float) -> None:
        answer, self._future = self._future.result(), None
        self._done = bool(answer is not None and answer.ok)
        self.problem = '' if self._done else 'the controller manager refused to switch'
        activate, deactivate = self._goal
        if not self._done and activate and deactivate == self._commanding:
            self._goal = [], deactivate  # without its damping twin a controller must stop all the same

    def _forget(self, problem: str) -> None:
        self._client.remove_pending_request(self._future)
        self._future, self.problem = None, problem


def controller_switch(node: Node, manager: str, controllers: Sequence[str], damping: str,
                      timeout: float) -> ControllerSwitch:
    """Connect to a controller manager.

    Args:
        node: Owner of the client.
        manager: The controller manager's name.
        controllers: Controllers that take commands.
        damping: Controller that damps the joints, or empty.
        timeout: For one answer [s].

    Raises:
        ConfigurationError: The messages of ros2_control are not installed.
    """
    try:
        # by name: it comes with ros2_control and only where that is used
        service = importlib.import_module('controller_manager_msgs.srv').SwitchController
    except ImportError:
        raise ConfigurationError(
            "parameter 'robot_side' is 'ros2_control', and controller_manager_msgs is not installed for this Python. "
            'Install it (sudo apt install ros-$ROS_DISTRO-controller-manager-msgs) and source your ROS 2, or set '
            "robot_side to 'own_timeout' if the robot's driver damps the joints itself when commands cease.") from None
    client = node.create_client(service, f'{manager}/switch_controller')
    return ControllerSwitch(client, service.Request, controllers, damping, timeout)

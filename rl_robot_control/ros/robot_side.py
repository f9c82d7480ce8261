"""How a supervisor makes the robot itself safe when the shield is gone.

``OwnTimeout``: the robot damps its joints when commands cease, as the simulation node does and a good driver should;
the supervisor only looks whether it has. ``ControllerSwitch``: ros2_control's controllers hold the last command for
ever, so the controller manager is told to deactivate the one that takes commands, and to activate one that damps if
there is. The hardware still gets the last values then, as the controller manager writes them while it is active: its
component can be deactivated, too, where it damps by itself without commands.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Step:
    """One request to the controller manager; ``otherwise`` is asked where it is refused."""

    client: Any
    request: Any
    text: str
    otherwise: _Step | None = None


class ControllerSwitch:
    """A robot behind ros2_control.

    Args:
        client: Of the controller manager's ``switch_controller``.
        request_type: Its request.
        controllers: Controllers that take commands.
        damping: Controller that damps the joints, or empty.
        timeout: For one answer [s]; without it the request is sent again.
        component: Of the hardware, to be deactivated after the controllers; None: none.
    """

    def __init__(self, client: Any, request_type: type, controllers: Sequence[str], damping: str, timeout: float,
                 component: HardwareComponent | None = None) -> None:
        self._client, self._request_type, self._timeout = client, request_type, timeout
        self._commanding, self._damping = list(controllers), [damping] if damping else []
        self._component = component
        self._steps: list[_Step] = []  # still to be done
        self._asked = ''  # what was asked last
        self._future: Any = None
        self._sent = 0.0
        self.problem = ''

    def make_safe(self, now: float) -> None:
        """Begin to deactivate the controllers, and then the hardware's component."""
        stop = self._switch([], self._commanding)
        # Without its damping twin a controller must stop all the same.
        first = self._switch(self._damping, self._commanding, stop) if self._damping else stop
        self._begin([first, *([] if self._component is None else [self._component.step(active=False)])], now)

    def restore(self, now: float) -> None:
        """Begin to activate the hardware's component, and then the controllers."""
        last = self._switch(self._commanding, self._damping)
        self._begin([*([] if self._component is None else [self._component.step(active=True)]), last], now)

    def confirmed(self) -> bool:
        """Whether the controller manager has done what was asked last."""
        return not self._steps

    def describe(self) -> str:
        """For people."""
        if self.problem:
            return self.problem
        if not self._asked:
            ready = self._client.service_is_ready()
            return 'controller manager found' if ready else 'no controller manager: the robot cannot be made safe'
        return f'{self._asked}: {"under way" if self._steps else "done"}'

    def tick(self, now: float) -> None:
        """Send the next request as soon as it can be sent, and again until it is granted."""
        if not self._steps:
            return
        if self._future is not None and self._future.done():
            self._judge()
        elif self._future is not None and now - self._sent > self._timeout:
            self._forget(f'the controller manager has not answered within {self._timeout:g} s')
        if self._future is None and self._steps:
            self._send(now)

    def _switch(self, activate: Sequence[str], deactivate: Sequence[str], otherwise: _Step | None = None) -> _Step:
        message = self._request_type()
        message.activate_controllers, message.deactivate_controllers = list(activate), list(deactivate)
        message.strictness, message.activate_asap = BEST_EFFORT, True
        message.timeout.sec, message.timeout.nanosec = divmod(round(self._timeout * 1e9), 1_000_000_000)
        named = (('deactivate', deactivate), ('activate', activate))
        text = '; '.join(f'{verb} {", ".join(names)}' for verb, names in named if names)
        return _Step(self._client, message, text, otherwise)

    def _begin(self, steps: list[_Step], now: float) -> None:
        if self._future is not None:
            self._forget('')
        self._steps, self._asked, self.problem = steps, '; '.join(step.text for step in steps), ''
        self.tick(now)

    def _send(self, now: float) -> None:
        step = self._steps[0]
        if not step.client.service_is_ready():
            self.problem = 'no controller manager: the robot cannot be made safe'
            return
        self._future, self._sent = step.client.call_async(step.request), now

    def _judge(self) -> None:
        answer, self._future = self._future.result(), None
        step = self._steps[0]
        if answer is not None and answer.ok:
            self.problem = ''
            self._steps.pop(0)
        else:
            self.problem = f'the controller manager refused to {step.text}'
            self._steps[0] = step.otherwise or step

    def _forget(self, problem: str) -> None:
        self._steps[0].client.remove_pending_request(self._future)
        self._future, self.problem = None, problem


class HardwareComponent:
    """A component of ros2_control's hardware; while it is inactive nothing is written to it.

    Args:
        client: Of the controller manager's ``set_hardware_component_state``.
        request_type: Its request.
        name: Of the component: the name of ``<ros2_control>`` in the URDF.
    """

    def __init__(self, client: Any, request_type: type, name: str) -> None:
        self._client, self._request_type, self._name = client, request_type, name

    def step(self, active: bool) -> _Step:
        """Make it active or inactive."""
        message = self._request_type()
        message.name, message.target_state.label = self._name, 'active' if active else 'inactive'
        return _Step(self._client, message, f'{"" if active else "de"}activate hardware {self._name}')


def controller_switch(node: Node, manager: str, controllers: Sequence[str], damping: str, timeout: float,
                      component: str = '') -> ControllerSwitch:
    """Connect to a controller manager.

    Args:
        node: Owner of the clients.
        manager: The controller manager's name.
        controllers: Controllers that take commands.
        damping: Controller that damps the joints, or empty.
        timeout: For one answer [s].
        component: Of the hardware, to be deactivated, too; empty: none.

    Raises:
        ConfigurationError: The messages of ros2_control are not installed.
    """
    try:
        # by name: it comes with ros2_control and only where that is used
        services = importlib.import_module('controller_manager_msgs.srv')
    except ImportError:
        raise ConfigurationError(
            "parameter 'robot_side' is 'ros2_control', and controller_manager_msgs is not installed for this Python. "
            'Install it (sudo apt install ros-$ROS_DISTRO-controller-manager-msgs) and source your ROS 2, or set '
            "robot_side to 'own_timeout' if the robot's driver damps the joints itself when commands cease.") from None
    switch, hardware = services.SwitchController, None
    if component:
        kind = services.SetHardwareComponentState
        client = node.create_client(kind, f'{manager}/set_hardware_component_state')
        hardware = HardwareComponent(client, kind.Request, component)
    client = node.create_client(switch, f'{manager}/switch_controller')
    return ControllerSwitch(client, switch.Request, controllers, damping, timeout, hardware)

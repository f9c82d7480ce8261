"""How a paused simulator is advanced: by the standard services of ``simulation_interfaces``, or by ros_gz's own one.

Which, is found out by asking who offers what. Their message packages come with a system's ROS 2 and are imported when
needed.
"""

from __future__ import annotations

import importlib
import time
from typing import Any, Protocol

from rl_robot_control.errors import BackendError, BackendTimeoutError

STEP_SIMULATION = 'simulation_interfaces/srv/StepSimulation'
CONTROL_WORLD = 'ros_gz_interfaces/srv/ControlWorld'
RESULT_OK = 1  # simulation_interfaces/msg/Result
LOOK_PERIOD = 0.2  # between two looks at who offers what [s]


class Caller(Protocol):
    """What a stepper needs of ``Calls``."""

    def call(self, kind: type, name: str, request: Any) -> Any:
        """Call a service and wait for the answer."""


class Stepper:
    """Whoever can advance a paused simulator.

    Args:
        calls: By which it is called.
        name: Of the service.
        kind: Its type.
    """

    def __init__(self, calls: Caller, name: str, kind: type) -> None:
        self._calls, self.name, self._kind = calls, name, kind

    def step(self, steps: int) -> None:
        """Advance by so many physics steps; that they are done, only the new states say.

        Raises:
            BackendError: The simulator refuses, or does not answer.
        """
        raise NotImplementedError


class StandardStepper(Stepper):
    """``StepSimulation`` of simulation_interfaces."""

    def step(self, steps: int) -> None:
        """See ``Stepper.step``."""
        answer = self._calls.call(self._kind, self.name, self._kind.Request(steps=steps))
        if answer.result.result != RESULT_OK:
            raise BackendError(f"service '{self.name}' refuses {steps} steps: result {answer.result.result}"
                               f'{", " + answer.result.error_message if answer.result.error_message else ""}.')


class WorldStepper(Stepper):
    """``ControlWorld`` of ros_gz_interfaces, with ``multi_step``."""

    def step(self, steps: int) -> None:
        """See ``Stepper.step``."""
        request = self._kind.Request()
        request.world_control.pause, request.world_control.multi_step = True, steps
        if not self._calls.call(self._kind, self.name, request).success:
            raise BackendError(f"service '{self.name}' refuses {steps} steps. Is it Gazebo's world that the name says?")


def find_stepper(calls: Any, timeout: float) -> Stepper:
    """The way by which the simulator in this ROS domain is advanced; the standard one where there are both.

    Args:
        calls: From ``Calls``.
        timeout: How long to look for one [s].

    Raises:
        BackendTimeoutError: Nobody offers either, or several do.
        BackendError: The messages of the one that is offered are not installed.
    """
    deadline = time.monotonic() + timeout
    while True:
        for kind, make in ((STEP_SIMULATION, StandardStepper), (CONTROL_WORLD, WorldStepper)):
            names = calls.services(kind)
            if len(names) > 1:
                raise BackendTimeoutError(f"several simulators offer '{kind}': {', '.join(names)}. Give each its own "
                                          'ROS_DOMAIN_ID.')
            if names:
                return make(calls, names[0], service_type(kind))
        if time.monotonic() > deadline:
            raise BackendTimeoutError(
                f"nobody offers '{STEP_SIMULATION}' or '{CONTROL_WORLD}' within {timeout:g} s, so no simulator can be "
                'advanced. Is Gazebo running, and ros_gz_bridge with /world/<name>/control? (docs/gazebo.md)')
        calls.wait(lambda: False, LOOK_PERIOD)


def service_type(kind: str) -> type:
    """A service's type by its full name.

    Raises:
        BackendError: Its package is not installed for this Python.
    """
    package, _, name = kind.partition('/srv/')
    try:
        return getattr(importlib.import_module(f'{package}.srv'), name)
    except ImportError:
        debian = package.replace('_', '-')
        raise BackendError(f"the messages '{package}' are not installed for this Python. Install them (sudo apt "
                           f'install ros-$ROS_DISTRO-{debian}) and source your ROS 2.') from None

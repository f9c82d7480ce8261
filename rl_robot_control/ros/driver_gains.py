"""The drives' gains belong to the robot's driver; a policy may only run with those that it was trained with."""

from __future__ import annotations

import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from rl_robot_control.errors import PolicyError

NAMES = ('stiffness', 'damping')
TOLERANCE = 1e-6  # relative: more than a decimal that was written twice, less than any real change


class DriverGains:
    """Compares the gains in a driver's parameters with a policy's, and sets them where they differ.

    Its calls block, and work within a callback of ``node``: it talks to the driver through a node and an executor of
    its own, which it keeps, so that a later call takes no longer than the driver's answer.

    Args:
        node: Whose context and namespace are used.
        driver: Name of the driver's node, relative to the namespace.
        joint_names: (J,) the order of the gains.
        stiffness: (J,) the policy's [N·m/rad].
        damping: (J,) the policy's [N·m·s/rad].
        timeout: For each answer [s].
    """

    def __init__(self, node: Node, driver: str, joint_names: Sequence[str], stiffness: Sequence[float],
                 damping: Sequence[float], timeout: float) -> None:
        self._driver, self._joint_names, self._timeout = driver, list(joint_names), timeout
        self._wanted = dict(zip(NAMES, (np.asarray(stiffness, dtype=float), np.asarray(damping, dtype=float))))
        self._node = rclpy.create_node(f'{node.get_name()}_gains', context=node.context, namespace=node.get_namespace(),
                                       use_global_arguments=False, start_parameter_services=False, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._client = AsyncParameterClient(self._node, driver)

    def ensure(self) -> bool:
        """Make the driver's gains the policy's.

        Returns:
            Whether they had to be set.

        Raises:
            PolicyError: The driver does not answer, offers no gains, or refuses to change them.
        """
        if not self._client.wait_for_services(timeout_sec=self._timeout):
            raise PolicyError(
                f"the driver node '{self._driver}' did not offer its parameters within {self._timeout} s, so its gains "
                "cannot be compared with the policy's. Start the driver, correct the parameter 'driver', or set it to "
                'an empty text and answer for the gains yourself.')
        answer = self._wait(self._client.get_parameters(list(NAMES)))
        present = {name: np.array(value.double_array_value) for name, value in zip(NAMES, answer.values)}
        difference = _difference(self._driver, self._joint_names, self._wanted, present)
        if difference:
            self._set(difference)
        return bool(difference)

    def close(self) -> None:
        """Drop the node; a second call does nothing."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _set(self, difference: str) -> None:
        parameters = [Parameter(name, value=array.array('d', values)) for name, values in self._wanted.items()]
        result = self._wait(self._client.set_parameters_atomically(parameters)).result
        if not result.successful:
            raise PolicyError(f"{difference}, and the driver refuses the policy's gains: {result.reason} Set them in "
                              'the driver, or train a policy with the gains that it has.')

    def _wait(self, future: Any) -> Any:
        self._executor.spin_until_future_complete(future, timeout_sec=self._timeout)
        if not future.done():
            raise PolicyError(f"the driver node '{self._driver}' did not answer about its gains within {self._timeout} "
                              's.')
        return future.result()


def _difference(driver: str, joint_names: Sequence[str], wanted: dict[str, Any], present: dict[str, Any]) -> str:
    """The first difference in words, or empty.

    Raises:
        PolicyError: The driver offers another number of gains, or none.
    """
    for name in NAMES:
        if len(present[name]) != len(wanted[name]):
            raise PolicyError(f"the driver node '{driver}' offers {len(present[name])} values of '{name}' for "
                              f"{len(joint_names)} joints. Give it its gains as parameters, or set the parameter "
                              "'driver' to an empty text and answer for the gains yourself.")
        different = np.flatnonzero(~np.isclose(present[name], wanted[name], rtol=TOLERANCE, atol=0))
        if different.size:
            i = different[0]
            return (f"{name} of joint '{joint_names[i]}' is {present[name][i]:g} in the driver '{driver}' and "
                    f'{wanted[name][i]:g} in the policy')
    return ''

"""Gains belong to the robot's driver, and the shield bounds torques by them; a policy runs only with its own.

Each of these nodes holds them in its parameters ``stiffness`` and ``damping``.
"""

from __future__ import annotations

import array
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from rl_robot_control.errors import PeerTimeoutError, PolicyError
from rl_robot_control.policies.matching import first_difference

NAMES = ('stiffness', 'damping')


class Gains:
    """Compares the gains in other nodes' parameters with a policy's, and sets them where they differ.

    Its calls block, and work within a callback of ``node``: it talks to the others through a node and an executor of
    its own, which it keeps, so that a later call takes no longer than their answers.

    Args:
        node: Whose context and namespace are used.
        holders: Parameter of ``node`` → name of the node that it names, relative to the namespace, in the order in
            which they are set: the shield before the driver, so that it never bounds torques by gains that are gone.
        joint_names: (J,) the order of the gains.
        timeout: For each answer [s].
    """

    def __init__(self, node: Node, holders: Mapping[str, str], joint_names: Sequence[str], timeout: float) -> None:
        self._joint_names, self._timeout = list(joint_names), timeout
        self._node = rclpy.create_node(f'{node.get_name()}_gains', context=node.context, namespace=node.get_namespace(),
                                       use_global_arguments=False, start_parameter_services=False, enable_rosout=False)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._clients = {name: (parameter, AsyncParameterClient(self._node, name)) for parameter, name in
                         holders.items()}

    def ensure(self, stiffness: Sequence[float], damping: Sequence[float]) -> list[str]:
        """Make their gains a policy's.

        Args:
            stiffness: (J,) the policy's [N·m/rad].
            damping: (J,) the policy's [N·m·s/rad].

        Returns:
            The nodes in which they had to be set.

        Raises:
            PolicyError: A node offers no gains, or refuses to change them; the others keep what they had.
            PeerTimeoutError: A node does not answer; likewise.
        """
        wanted, before = dict(zip(NAMES, map(np.asarray, (stiffness, damping)), strict=True)), {}
        try:
            for name in self._clients:
                present = self._read(name)
                difference = _difference(name, self._joint_names, wanted, present)
                if difference:
                    self._set(name, wanted, difference)
                    before[name] = present
        except PolicyError:
            for name, values in before.items():
                with contextlib.suppress(PolicyError):
                    self._set(name, values, '')
            raise
        return list(before)

    def close(self) -> None:
        """Drop the node; a second call does nothing."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _read(self, name: str) -> dict[str, np.ndarray]:
        parameter, client = self._clients[name]
        if not client.wait_for_services(timeout_sec=self._timeout):
            raise PeerTimeoutError(
                f"the {parameter} node '{name}' did not offer its parameters within {self._timeout} s, so its gains "
                f"cannot be compared with the policy's. Start it, correct the parameter '{parameter}', or set that to "
                'an empty text and answer for the gains yourself.')
        answer = self._wait(name, client.get_parameters(list(NAMES)))
        present = {key: np.array(value.double_array_value) for key, value in zip(NAMES, answer.values, strict=True)}
        for key, values in present.items():
            if len(values) != len(self._joint_names):
                raise PolicyError(f"the {parameter} node '{name}' offers {len(values)} values of '{key}' for "
                                  f'{len(self._joint_names)} joints. Give it its gains as parameters, or set the '
                                  f"parameter '{parameter}' to an empty text and answer for the gains yourself.")
        return present

    def _set(self, name: str, gains: Mapping[str, np.ndarray], difference: str) -> None:
        parameter, client = self._clients[name]
        parameters = [Parameter(key, value=array.array('d', values)) for key, values in gains.items()]
        result = self._wait(name, client.set_parameters_atomically(parameters)).result
        if not result.successful:
            raise PolicyError(f"{difference}, and the {parameter} refuses the policy's gains: {result.reason} Set them "
                              'there, or run a policy with the gains that it has.')

    def _wait(self, name: str, future: Any) -> Any:
        self._executor.spin_until_future_complete(future, timeout_sec=self._timeout)
        if not future.done():
            raise PeerTimeoutError(f"the {self._clients[name][0]} node '{name}' did not answer about its gains within "
                                   f'{self._timeout} s.')
        return future.result()


def _difference(holder: str, joint_names: Sequence[str], wanted: Mapping[str, np.ndarray],
                present: Mapping[str, np.ndarray]) -> str:
    """The first difference in words, or empty."""
    for name in NAMES:
        i = first_difference(present[name], wanted[name])
        if i is not None:
            return (f"{name} of joint '{joint_names[i]}' is {present[name][i]:g} in '{holder}' and "
                    f'{wanted[name][i]:g} in the policy')
    return ''

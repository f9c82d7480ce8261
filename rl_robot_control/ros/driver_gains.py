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


def ensure_gains(node: Node, driver: str, joint_names: Sequence[str], stiffness: Sequence[float],
                 damping: Sequence[float], timeout: float) -> bool:
    """Compare the driver's gains with a policy's, and set them where they differ.

    It blocks, and works within a callback of ``node``: it talks to the driver through a node and executor of its own.

    Args:
        node: Whose context and namespace are used.
        driver: Name of the driver's node, relative to the namespace.
        joint_names: (J,) the order of the gains.
        stiffness: (J,) [N·m/rad].
        damping: (J,) [N·m·s/rad].
        timeout: For each answer [s].

    Returns:
        Whether they had to be set.

    Raises:
        PolicyError: The driver does not answer, offers no gains, or refuses to change them.
    """
    wanted = dict(zip(NAMES, (np.asarray(stiffness, dtype=float), np.asarray(damping, dtype=float))))
    helper = rclpy.create_node(f'{node.get_name()}_gains', context=node.context, namespace=node.get_namespace(),
                               use_global_arguments=False, start_parameter_services=False, enable_rosout=False)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(helper)
    try:
        client = AsyncParameterClient(helper, driver)
        if not client.wait_for_services(timeout_sec=timeout):
            raise PolicyError(f"the driver node '{driver}' did not offer its parameters within {timeout} s, so its gains "
                              "cannot be compared with the policy's. Start the driver, correct the parameter 'driver', or "
                              'set it to an empty text and answer for the gains yourself.')
        answer = _wait(executor, client.get_parameters(list(NAMES)), driver, timeout)
        present = {name: np.array(value.double_array_value) for name, value in zip(NAMES, answer.values)}
        difference = _difference(driver, joint_names, wanted, present)
        if not difference:
            return False
        parameters = [Parameter(name, value=array.array('d', values)) for name, values in wanted.items()]
        result = _wait(executor, client.set_parameters_atomically(parameters), driver, timeout).result
        if not result.successful:
            raise PolicyError(f"{difference}, and the driver refuses the policy's gains: {result.reason} Set them in the "
                              'driver, or train a policy with the gains that it has.')
        return True
    finally:
        executor.shutdown()
        helper.destroy_node()


def _wait(executor: SingleThreadedExecutor, future: Any, driver: str, timeout: float) -> Any:
    executor.spin_until_future_complete(future, timeout_sec=timeout)
    if not future.done():
        raise PolicyError(f"the driver node '{driver}' did not answer about its gains within {timeout} s.")
    return future.result()


def _difference(driver: str, joint_names: Sequence[str], wanted: dict[str, Any], present: dict[str, Any]) -> str:
    """The first difference in words, or empty."""
    for name in NAMES:
        if len(present[name]) != len(wanted[name]):
            raise PolicyError(f"the driver node '{driver}' offers {len(present[name])} values of '{name}' for "
                              f"{len(joint_names)} joints. Give it its gains as parameters, or set the parameter 'driver' "
                              'to an empty text and answer for the gains yourself.')
        different = np.flatnonzero(~np.isclose(present[name], wanted[name], rtol=TOLERANCE, atol=0))
        if different.size:
            i = different[0]
            return (f"{name} of joint '{joint_names[i]}' is {present[name][i]:g} in the driver '{driver}' and "
                    f'{wanted[name][i]:g} in the policy')
    return ''

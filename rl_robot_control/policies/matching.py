"""Compares what a policy was trained for with the robot it shall move."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.manifest import Manifest
from rl_robot_control.robots import RobotModel

TOLERANCE = 1e-6  # relative, and absolute near zero: more than a decimal written twice, less than any real change
_VALUES = (('effort_limit', 'N·m'), ('position_lower', 'rad'), ('position_upper', 'rad'))
GAIN_FACTOR = 20.0  # by which a policy's gain may differ from the robot's: beyond it a unit or an order is wrong


def first_difference(values: Sequence[float], others: Sequence[float], atol: float = 0.0) -> int | None:
    """Index of the first two values that are not the same, None where all are.

    Args:
        values: (J,)
        others: (J,)
        atol: Difference that does not count near zero; elsewhere it is ``TOLERANCE``, relative.
    """
    different = np.flatnonzero(~np.isclose(values, others, rtol=TOLERANCE, atol=atol))
    return int(different[0]) if different.size else None


def policy_robot(manifest: Manifest, robot: RobotModel) -> RobotModel:
    """The robot as a policy knows it: with the pose and the gains that it was trained with."""
    return dataclasses.replace(robot, **{name: np.array(getattr(manifest, name)) for name in (
        'default_position', 'stiffness', 'damping')})


def check_robot(manifest: Manifest, robot: RobotModel, where: str, control_period: float | None = None) -> None:
    """Refuse a robot or a loop other than the one that a policy was trained for.

    Args:
        manifest: The policy's.
        robot: The robot to move.
        where: Name of the policy file, for messages.
        control_period: Of the loop that will call the policy [s], where it is known.

    Raises:
        PolicyError: Names the joint, both values, the file and what to do.
    """
    if robot.name != manifest.robot:
        raise PolicyError(f"{where}: was trained for the robot '{manifest.robot}', not for '{robot.name}'. Choose that "
                          'robot or train a policy for this one.')
    _check_joints(manifest, robot, where)
    for key, unit in _VALUES:
        _check_values(manifest, robot, key, unit, where)
    for key, unit in (('stiffness', 'N·m/rad'), ('damping', 'N·m·s/rad')):
        _check_gains(manifest, robot, key, unit, where)
    if control_period is not None and not math.isclose(control_period, manifest.control_period, rel_tol=TOLERANCE):
        raise PolicyError(f'{where}: was trained at {1 / manifest.control_period:g} Hz (a control period of '
                          f'{manifest.control_period} s), the loop runs at {1 / control_period:g} Hz ({control_period} '
                          "s). Set the loop to the policy's rate.")


def _check_joints(manifest: Manifest, robot: RobotModel, where: str) -> None:
    trained, found = manifest.joint_names, list(robot.joint_names)
    for names, others, fault in ((trained, found, f"robot '{robot.name}' has none"),
                                 (found, trained, 'the policy does not know it')):
        missing = [name for name in names if name not in others]
        if missing:
            raise PolicyError(f"{where}: joint '{missing[0]}': {fault}. Use the robot's description that the policy "
                              'was trained with.')
    for i, (name, other) in enumerate(zip(trained, found)):
        if name != other:
            raise PolicyError(f"{where}: joint {i} is '{name}' in the policy and '{other}' in robot '{robot.name}': "
                              "the order differs. Use the robot's description that the policy was trained with.")


def _check_values(manifest: Manifest, robot: RobotModel, key: str, unit: str, where: str) -> None:
    unlimited = -np.inf if key == 'position_lower' else np.inf
    trained = np.array([unlimited if value is None else value for value in getattr(manifest, key)])
    found = getattr(robot, key)
    i = first_difference(trained, found, atol=TOLERANCE)
    if i is not None:
        raise PolicyError(f"{where}: {key} of joint '{manifest.joint_names[i]}' is {trained[i]} {unit} in the policy "
                          f"and {found[i]} {unit} in robot '{robot.name}'. Set the robot's value to the policy's, or "
                          'train and export a policy with the new one.')


def _check_gains(manifest: Manifest, robot: RobotModel, key: str, unit: str, where: str) -> None:
    """A policy brings its gains; ones that are far from the robot's are a mistake in the file."""
    trained, found = np.array(getattr(manifest, key)), getattr(robot, key)
    wrong = np.flatnonzero((trained > GAIN_FACTOR * found) | (trained * GAIN_FACTOR < found))
    if wrong.size:
        i = wrong[0]
        raise PolicyError(f"{where}: {key} of joint '{manifest.joint_names[i]}' is {trained[i]:g} {unit} in the policy "
                          f"and {found[i]:g} {unit} in robot '{robot.name}', more than a factor {GAIN_FACTOR:g} apart. "
                          "Correct the gain in the file, or the robot's.")

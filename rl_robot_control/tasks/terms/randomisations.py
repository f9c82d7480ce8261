"""Randomisation terms: ``(random, count, robot, **parameters) -> Draw`` what differs between M worlds.

Each gives some of the quantities of ``tasks.randomisation.Draw``; several terms are multiplied or added up there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rl_robot_control.robots import RobotModel

Range = tuple[float, float]


def friction(random: np.random.Generator, count: int, robot: RobotModel, *, factor: Range) -> dict[str, Any]:
    """Sliding friction of all surfaces, as a factor."""
    return {'friction': random.uniform(*factor, count)}


def link_mass(random: np.random.Generator, count: int, robot: RobotModel, *, factor: Range) -> dict[str, Any]:
    """Mass and inertia of all links, as a factor."""
    return {'mass': random.uniform(*factor, count)}


def payload(random: np.random.Generator, count: int, robot: RobotModel, *, mass: Range) -> dict[str, Any]:
    """A load on the base's link [kg]."""
    return {'payload': random.uniform(*mass, count)}


def gains(random: np.random.Generator, count: int, robot: RobotModel, *, stiffness: Range = (1.0, 1.0),
          damping: Range = (1.0, 1.0)) -> dict[str, Any]:
    """Gains of each drive, as factors."""
    shape = (count, robot.num_joints)
    return {'stiffness': random.uniform(*stiffness, shape), 'damping': random.uniform(*damping, shape)}


def motor_strength(random: np.random.Generator, count: int, robot: RobotModel, *, factor: Range) -> dict[str, Any]:
    """Torque that each drive can give, as a factor."""
    return {'strength': random.uniform(*factor, (count, robot.num_joints))}


def latency(random: np.random.Generator, count: int, robot: RobotModel, *, delay: Range) -> dict[str, Any]:
    """Time from a command to its effect, in whole control periods [s]."""
    return {'delay': random.uniform(*delay, count)}


def sensor_noise(random: np.random.Generator, count: int, robot: RobotModel, *, joint_position: float = 0.0,
                 joint_velocity: float = 0.0, angular_velocity: float = 0.0, tilt: float = 0.0,
                 joint_offset: float = 0.0) -> dict[str, Any]:
    """What a policy measures wrongly; rewards and the shield see the truth.

    Args:
        random: Source of randomness.
        count: M.
        robot: The robot.
        joint_position: Deviation of each measurement [rad].
        joint_velocity: Likewise [rad/s].
        angular_velocity: Of the base, likewise [rad/s].
        tilt: Of the base's orientation, likewise [rad].
        joint_offset: Greatest constant error of a joint's zero [rad].
    """
    noise = np.tile([joint_position, joint_velocity, angular_velocity, tilt], (count, 1))
    return {'noise': noise, 'offset': random.uniform(-joint_offset, joint_offset, (count, robot.num_joints))}

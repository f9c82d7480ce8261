"""Where a link is, from the positions of the joints between it and the base."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np

from rl_robot_control.errors import UnknownNameError
from rl_robot_control.robots.model import RobotModel
from rl_robot_control.types import FloatArray


@dataclass(frozen=True)
class _Joint:
    place: FloatArray  # (3,) of the joint in its parent's frame [m]
    turn: FloatArray  # (3, 3)
    axis: FloatArray  # (3,)
    index: int | None  # among the robot's joints; None: it does not move
    slides: bool


class Chain:
    """The joints from a robot's base to one of its links; those that are not controlled are taken where they are zero.

    Args:
        robot: The robot.
        link: Name of the link.

    Raises:
        UnknownNameError: The robot has no such link, or it does not hang on the base.
    """

    def __init__(self, robot: RobotModel, link: str) -> None:
        root = ElementTree.fromstring(robot.urdf)
        parents = {joint.find('child').get('link'): joint for joint in root.findall('joint')}
        self._joints: list[_Joint] = []
        base, name = robot.settings.base.link, link
        while name != base:
            if name not in parents:
                raise UnknownNameError(f'link of {robot.name}', link, [base, *parents])
            joint = parents[name]
            self._joints.insert(0, _read(joint, robot))
            name = joint.find('parent').get('link')

    def pose(self, position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Places (N, 3) [m] and rotations (N, 3, 3) of the link in the frame of the base.

        Args:
            position: (N, J) of the robot's joints [rad].
        """
        place, turn = np.zeros((len(position), 3)), np.tile(np.eye(3), (len(position), 1, 1))
        for joint in self._joints:
            place = place + turn @ joint.place
            turn = turn @ joint.turn
            if joint.index is None:
                continue
            moved = position[:, joint.index]
            if joint.slides:
                place = place + (turn @ joint.axis) * moved[:, None]
            else:
                turn = turn @ _about(joint.axis, moved)
        return place, turn


def _read(joint: ElementTree.Element, robot: RobotModel) -> _Joint:
    origin, axis = joint.find('origin'), joint.find('axis')
    place = _vector(None if origin is None else origin.get('xyz'), '0 0 0')
    roll, pitch, yaw = _vector(None if origin is None else origin.get('rpy'), '0 0 0')
    along = _vector(None if axis is None else axis.get('xyz'), '1 0 0')
    name = joint.get('name')
    x, y, z = (_about(unit, np.array([angle]))[0] for unit, angle in zip(np.eye(3), (roll, pitch, yaw), strict=True))
    index = robot.joint_names.index(name) if name in robot.joint_names else None
    return _Joint(place, z @ y @ x, along / np.linalg.norm(along), index, joint.get('type') == 'prismatic')


def _vector(text: str | None, default: str) -> FloatArray:
    return np.array([float(value) for value in (text or default).split()])


def _about(axis: FloatArray, angle: FloatArray) -> FloatArray:
    """Rotations (N, 3, 3) about an axis (3,) by angles (N,) [rad]; Rodrigues' formula."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    s, c = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.eye(3) + s * cross + (1.0 - c) * (cross @ cross)

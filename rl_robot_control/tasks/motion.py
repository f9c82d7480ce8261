"""A motion that a policy tracks, and where the robot is against it.

A motion was recorded somewhere in its own world. When a robot begins to track it, the motion is turned about the
vertical and moved so that its anchor (a link, mostly the torso) stands where the robot's does; heights stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.config import settings
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.chain import Chain
from rl_robot_control.types import FloatArray, RobotState


@settings
class MotionSettings:
    """What is known of a motion to track."""

    anchor_link: str  # whose pose is compared
    length: int  # control periods until it ends


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One instant of the motions of N robots, in the motion's world."""

    joint_position: FloatArray  # (N, A) in the order of the action [rad]
    joint_velocity: FloatArray  # (N, A) [rad/s]
    anchor_position: FloatArray  # (N, 3) [m]; NaN where the policy does not say it
    anchor_quaternion: FloatArray  # (N, 4) x, y, z, w

    @classmethod
    def unknown(cls, num_robots: int, num_actions: int) -> Reference:
        """Everything NaN."""
        widths = {'joint_position': num_actions, 'joint_velocity': num_actions, 'anchor_position': 3,
                  'anchor_quaternion': 4}
        return cls(**{name: np.full((num_robots, width), np.nan) for name, width in widths.items()})

    @classmethod
    def upright(cls, num_robots: int, num_actions: int) -> Reference:
        """Joints at zero, the anchor upright at the origin."""
        unknown = cls.unknown(num_robots, num_actions)
        values = {name: np.zeros_like(value) for name, value in vars(unknown).items()}
        values['anchor_quaternion'][:, 3] = 1.0
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """A motion beside N robots."""

    reference: Reference
    position: FloatArray  # (N, 3) of the motion's anchor in the frame of the robot's [m]
    rotation: FloatArray  # (N, 3, 3) of the motion's anchor in the frame of the robot's
    height: FloatArray  # (N,) of the motion's anchor above the robot's [m]
    lean: FloatArray  # (N,) angle between "up" as the motion's anchor and as the robot's see it [rad]

    @classmethod
    def of(cls, reference: Reference, start: FloatArray, position: FloatArray, rotation: FloatArray) -> Tracked:
        """Compare.

        Args:
            reference: The motion.
            start: (N, 4) from ``alignment``.
            position: (N, 3) of the robots' anchors in the world [m].
            rotation: (N, 3, 3) of the robots' anchors.
        """
        turn = _about_z(start[:, 3])
        goal_position = np.einsum('nij,nj->ni', turn, reference.anchor_position) + start[:, :3]
        goal_rotation = turn @ rotations.matrix(reference.anchor_quaternion)
        back = np.swapaxes(rotation, 1, 2)
        cosine = np.einsum('ni,ni->n', goal_rotation[:, 2], rotation[:, 2])  # of the world's z in both anchors
        return cls(reference=reference, position=np.einsum('nij,nj->ni', back, goal_position - position),
                   rotation=back @ goal_rotation, height=goal_position[:, 2] - position[:, 2],
                   lean=np.arccos(np.clip(cosine, -1.0, 1.0)))


class Anchor:
    """Pose of a link, from joint positions and the base.

    Args:
        robot: The robot.
        link: Its name.

    Raises:
        UnknownNameError: The robot has no such link.
    """

    def __init__(self, robot: RobotModel, link: str) -> None:
        self._chain = Chain(robot, link)

    def pose(self, state: RobotState) -> tuple[FloatArray, FloatArray]:
        """Positions (N, 3) [m] and rotations (N, 3, 3) in the world; NaN where they are not measured."""
        base, (offset, turn) = rotations.matrix(state.base_quaternion), self._chain.pose(state.joint_position)
        return state.base_position + np.einsum('nij,nj->ni', base, offset), base @ turn


def alignment(position: FloatArray, rotation: FloatArray, reference: Reference) -> FloatArray:
    """How motions are moved (x, y, z [m]) and turned ([rad]) onto robots that begin to track them, (N, 4).

    Args:
        position: (N, 3) of the robots' anchors in the world [m].
        rotation: (N, 3, 3) of the robots' anchors.
        reference: Where the motions begin.
    """
    turn = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0]) - rotations.yaw(reference.anchor_quaternion)
    moved = position - np.einsum('nij,nj->ni', _about_z(turn), reference.anchor_position)
    moved[:, 2] = 0.0
    return np.concatenate([moved, rotations.wrap(turn)[:, None]], axis=-1)


def _about_z(angle: FloatArray) -> FloatArray:
    c, s, zero = np.cos(angle), np.sin(angle), np.zeros_like(angle)
    return np.stack([np.stack([c, -s, zero], -1), np.stack([s, c, zero], -1), np.stack([zero, zero, zero + 1], -1)], -2)

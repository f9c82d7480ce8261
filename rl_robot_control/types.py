"""The arrays that every room exchanges.

Arrays are batched: the leading axis N is the robot (or the simulated world), and one real robot is a batch of one.
J joints stand in the order of ``RobotModel.joint_names``, K frames in that of ``RobotModel.frames``. Units and frames
follow REP 103 and REP 105; quaternions are (x, y, z, w) as in ``geometry_msgs``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class RobotState:
    """What is known of N robots at one instant each.

    A quantity that the robot does not measure is NaN, never zero: a term that needs it must refuse.
    """

    time: FloatArray  # (N,) time of the measurement [s]
    joint_position: FloatArray  # (N, J) [rad]
    joint_velocity: FloatArray  # (N, J) [rad/s]
    joint_effort: FloatArray  # (N, J) [N·m]
    base_quaternion: FloatArray  # (N, 4) orientation of the base in the world, x y z w
    base_angular_velocity: FloatArray  # (N, 3) in the base frame [rad/s]
    base_linear_acceleration: FloatArray  # (N, 3) specific force in the base frame [m/s²]
    base_position: FloatArray  # (N, 3) in the world [m]
    base_linear_velocity: FloatArray  # (N, 3) in the base frame [m/s]
    frame_position: FloatArray  # (N, K, 3) in the world [m]
    frame_velocity: FloatArray  # (N, K, 3) in the world [m/s]
    frame_axis_z: FloatArray  # (N, K, 3) the frame's z axis in the world [-]
    contact_force: FloatArray  # (N, K) magnitude of the contact force on the frame [N]

    @property
    def num_robots(self) -> int:
        """N."""
        return self.joint_position.shape[0]

    def select(self, index) -> RobotState:
        """The state of some of the robots.

        Args:
            index: Anything that selects along the leading axis and keeps it (slice, mask or integer array).
        """
        return RobotState(**{f.name: getattr(self, f.name)[index] for f in dataclasses.fields(self)})

    @classmethod
    def unknown(cls, num_robots: int, num_joints: int, num_frames: int) -> RobotState:
        """A state in which nothing is known: every entry is NaN."""
        n, j, k = num_robots, num_joints, num_frames

        def nan(*shape: int) -> FloatArray:
            return np.full(shape, np.nan)

        return cls(time=nan(n), joint_position=nan(n, j), joint_velocity=nan(n, j), joint_effort=nan(n, j),
                   base_quaternion=nan(n, 4), base_angular_velocity=nan(n, 3), base_linear_acceleration=nan(n, 3),
                   base_position=nan(n, 3), base_linear_velocity=nan(n, 3), frame_position=nan(n, k, 3),
                   frame_velocity=nan(n, k, 3), frame_axis_z=nan(n, k, 3), contact_force=nan(n, k))


@dataclass(frozen=True, kw_only=True)
class JointCommand:
    """Position targets for N robots."""

    stamp: FloatArray  # (N,) time of the observation that this command answers [s]
    position: FloatArray  # (N, J) [rad]

    @property
    def num_robots(self) -> int:
        """N."""
        return self.position.shape[0]


@dataclass(frozen=True, kw_only=True)
class InitialState:
    """The configuration from which M robots start."""

    joint_position: FloatArray  # (M, J) [rad]
    joint_velocity: FloatArray  # (M, J) [rad/s]
    base_position: FloatArray  # (M, 3) in the world [m]
    base_quaternion: FloatArray  # (M, 4) x y z w
    base_linear_velocity: FloatArray  # (M, 3) in the base frame [m/s]
    base_angular_velocity: FloatArray  # (M, 3) in the base frame [rad/s]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How M worlds differ from the robot's model: factors, of which one is the model itself."""

    friction: FloatArray  # (M,) of all surfaces
    mass: FloatArray  # (M,) of all links, their inertia included
    payload: FloatArray  # (M,) added to the base's link, at its centre of mass [kg]
    stiffness: FloatArray  # (M, J) of the drives
    damping: FloatArray  # (M, J) of the drives
    strength: FloatArray  # (M, J) of the torque that the drives can give

    @classmethod
    def none(cls, count: int, num_joints: int) -> Variation:
        """M worlds that are like the model."""
        joints = np.ones((count, num_joints))
        return cls(friction=np.ones(count), mass=np.ones(count), payload=np.zeros(count), stiffness=joints,
                   damping=joints, strength=joints)

"""A loaded policy, and from where it may take over a moving robot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.types import FloatArray, JointCommand, RobotState


class Policy(Protocol):
    """A policy for one robot, as ``policies.runner.PolicyRunner`` offers it."""

    @property
    def finished(self) -> np.ndarray:
        """Whether its motion has ended (1,)."""

    @property
    def phase(self) -> float:
        """Of its gait clock, in [0, 1); 0 where it has none."""

    @property
    def command(self) -> FloatArray:
        """The velocity command (1, 3) that it follows at present."""

    def reset(self, state: RobotState, *, phase: float = 0.0, target: FloatArray | None = None,
              command: FloatArray | None = None) -> None:
        """Forget the past; begin at a phase, and as if a target (1, J) [rad] and a command (1, 3) had been its own."""

    def step(self, state: RobotState, command: FloatArray) -> JointCommand:
        """Answer a state under a command (1, 3); raises ``PolicyError`` on values that are not finite."""

    def rehearse(self, state: RobotState, command: FloatArray) -> None:
        """Do the work of ``step``, and change nothing."""


@dataclass(frozen=True, kw_only=True)
class StartRegion:
    """States from which a policy may take over a robot that moves."""

    distance: float = 1.0  # of each joint from the start pose [rad]
    speed: float = 8.0  # of each joint [rad/s]
    tilt: float = 0.35  # of the base [rad]; not checked where its orientation is not measured and the base is fixed
    turn: float = 2.0  # angular velocity of the base [rad/s]

    def outside(self, state: RobotState, pose: FloatArray, joint_names: tuple[str, ...], floating: bool) -> str:
        """Why a state lies outside, or empty.

        Args:
            state: Of one robot.
            pose: (J,) start pose [rad].
            joint_names: (J,)
            floating: Whether the base moves, and so must be known.
        """
        for what, values, bound, unit in (('from its start', state.joint_position[0] - pose, self.distance, 'rad'),
                                          ('fast', state.joint_velocity[0], self.speed, 'rad/s')):
            i = int(np.argmax(np.where(np.isnan(values), np.inf, np.abs(values))))
            if not abs(values[i]) <= bound:
                return f"joint '{joint_names[i]}' is {abs(values[i]):.3g} {unit} {what}, at most {bound:g} is allowed"
        if floating:
            tilt = float(rotations.tilt(state.base_quaternion)[0])
            turn = float(np.linalg.norm(state.base_angular_velocity[0]))
            if not tilt <= self.tilt:
                return f'the base is tilted by {tilt:.3g} rad, at most {self.tilt:g} is allowed'
            if not turn <= self.turn:
                return f'the base turns at {turn:.3g} rad/s, at most {self.turn:g} is allowed'
        return ''


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One of the policies that a node has loaded."""

    policy: Policy
    start_pose: FloatArray  # (J,) from which it starts, and which is held after it [rad]
    required: tuple[str, ...]  # fields of the state that must be finite
    joint_names: tuple[str, ...]  # (J,)
    floating: bool  # whether the robot's base moves

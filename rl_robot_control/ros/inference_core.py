"""What the inference node does in each control period, without ROS: ramp, policy, hold, or silence.

Every method takes the time as an argument; nothing here reads a clock.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rl_robot_control.errors import PolicyError
from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.interface import InterfaceSettings, PolicyInterface
from rl_robot_control.types import FloatArray, JointCommand, RobotState

JOINT_QUANTITIES = ('joint_position', 'joint_velocity')
IMU_QUANTITIES = ('base_quaternion', 'base_angular_velocity')
ODOMETRY_QUANTITIES = ('base_position', 'base_linear_velocity')
OTHER_QUANTITIES = ('joint_effort', 'base_linear_acceleration', 'frame_position', 'frame_velocity', 'frame_axis_z',
                    'contact_force')


class Policy(Protocol):
    """A policy for one robot, as ``policies.runner.PolicyRunner`` offers it."""

    def reset(self, state: RobotState) -> None:
        """Forget the past."""

    def step(self, state: RobotState, command: FloatArray) -> JointCommand:
        """Answer a state under a command (1, 3); raises ``PolicyError`` on values that are not finite."""


class Phase(enum.Enum):
    """What the node publishes."""

    IDLE = 'idle'  # nothing: not yet activated
    RAMPING = 'ramping'  # the way from the measured pose to the policy's start pose
    RUNNING = 'running'  # the policy's commands
    HOLDING = 'holding'  # the way to the default pose, then the default pose
    SILENT = 'silent'  # nothing, because the state is lost or wrong: the shield brakes the robot
    STOPPED = 'stopped'  # nothing, until activated again


@dataclass(frozen=True, kw_only=True)
class CoreSettings:
    """Times and speeds of the core."""

    ramp_speed: float = 1.0  # bound on every joint's reference during a ramp [rad/s]
    ramp_min_duration: float = 0.2  # [s]
    state_timeout: float = 0.1  # age from which a state is not answered [s]
    give_up_time: float = 0.5  # of silence after which only a new activation helps [s]


def needed_quantities(interface: InterfaceSettings, robot: RobotModel) -> set[str]:
    """Fields of the robot's state that a policy's observation or joint targets depend on.

    Each field in turn is left unknown (NaN); the policy needs it if anything that it computes changes by that.
    """
    known = _standing(robot)
    reference = _computed(interface, robot, known)
    return {name for name in (*JOINT_QUANTITIES, *IMU_QUANTITIES, *ODOMETRY_QUANTITIES, *OTHER_QUANTITIES)
            if not np.array_equal(reference, _computed(interface, robot, _without(known, name)))}


class Ramp:
    """A joint motion between two poses that starts and ends at rest.

    The profile is half a cosine; its peak speed is π/2 times the mean one, so a distance d at a speed bound v takes
    π·d/(2·v).

    Args:
        start: (1, J) pose at ``now`` [rad].
        goal: (1, J) pose at the end [rad].
        now: Start [s].
        speed: Bound on every joint's speed [rad/s].
        min_duration: Shortest duration [s].
    """

    def __init__(self, start: FloatArray, goal: FloatArray, now: float, speed: float, min_duration: float) -> None:
        self._start, self._distance, self._begin = start.copy(), goal - start, now
        self.duration = max(min_duration, math.pi / 2 * float(np.max(np.abs(self._distance))) / speed)

    def at(self, now: float) -> FloatArray:
        """Pose (1, J) at a time [rad]; the goal from the end on."""
        progress = min(max((now - self._begin) / self.duration, 0.0), 1.0)
        return self._start + (0.5 - 0.5 * math.cos(math.pi * progress)) * self._distance

    def finished(self, now: float) -> bool:
        """Whether the goal is reached."""
        return now - self._begin >= self.duration


class InferenceCore:
    """Ramps one robot into the policy's start pose, runs the policy, and ramps back to hold.

    Args:
        policy: The policy.
        start_pose: (J,) joint positions from which the policy starts, and which are held after it [rad].
        settings: Times and speeds.
        required: Fields of the state that must be finite.

    Attributes:
        phase: What is published at present.
        problem: Why nothing is published, or empty.
        repeated: In how many control periods no new state had come.
    """

    def __init__(self, policy: Policy, start_pose: FloatArray, settings: CoreSettings,
                 required: Sequence[str] = JOINT_QUANTITIES) -> None:
        self._policy, self._settings, self._required = policy, settings, tuple(required)
        self._pose = np.array(start_pose, dtype=np.float64)[None]
        self._ramp: Ramp | None = None
        self._latest: FloatArray | None = None  # (1, J) the last position that was commanded
        self._silent_since: float | None = None  # None: the last period was answered
        self._interrupted = Phase.IDLE
        self._answered: float | None = None  # time of the last state that was answered [s]
        self.repeated = 0
        self.phase, self.problem = Phase.IDLE, ''

    def start(self, state: RobotState | None, age: float, now: float) -> str | None:
        """Begin the ramp from the measured pose.

        Args:
            state: Latest state, None if there never was one.
            age: Its age [s].
            now: [s].

        Returns:
            None, or why the policy cannot start.
        """
        problem = self._check(state, age)
        if problem:
            return problem
        self._silent_since = None
        self._begin_ramp(state.joint_position, now, Phase.RAMPING)
        return None

    def restart(self, state: RobotState, now: float) -> None:
        """The robot is suddenly elsewhere (a simulation was reset): begin anew with a ramp from the measured pose."""
        if self.phase in (Phase.RAMPING, Phase.RUNNING):
            self._begin_ramp(state.joint_position, now, Phase.RAMPING)
        elif self.phase is Phase.HOLDING:
            self._begin_ramp(state.joint_position, now, Phase.HOLDING)
        elif self.phase is Phase.SILENT and self._interrupted is Phase.RUNNING:
            self._interrupted = Phase.RAMPING

    def hold(self, now: float) -> None:
        """Begin the ramp from the last commanded to the default pose; without a running motion, go silent."""
        if self.phase in (Phase.RAMPING, Phase.RUNNING) and self._latest is not None:
            self._begin_ramp(self._latest, now, Phase.HOLDING)
        elif self.phase is not Phase.HOLDING:
            self.phase = Phase.STOPPED

    def step(self, state: RobotState | None, age: float, command: FloatArray, now: float) -> JointCommand | None:
        """One control period.

        Args:
            state: Latest state (N = 1), None if there never was one.
            age: Its age [s].
            command: (1, 3) for the policy.
            now: [s].

        Returns:
            What to publish, stamped with the state's time; None: nothing, also where no new state has come.
        """
        if self.phase in (Phase.IDLE, Phase.STOPPED):
            return None
        problem = self._check(state, age)
        if problem:
            return self.refuse(problem, now)
        if state.time[0] == self._answered:  # a second answer to one observation would be taken for a replay
            self.repeated += 1
            return None
        if self.phase is Phase.SILENT:
            self._resume(state, now)
        try:
            position = self._position(state, command, now)
        except PolicyError as error:
            return self.refuse(str(error), now)
        self._latest, self._silent_since, self._answered = position, None, state.time[0]
        return JointCommand(stamp=state.time, position=position)

    def refuse(self, problem: str, now: float) -> None:
        """Answer nothing in this control period; for good when it has been so for the give-up time."""
        if self.phase in (Phase.IDLE, Phase.STOPPED):
            return
        if self.phase is not Phase.SILENT:
            self._interrupted, self.phase = self.phase, Phase.SILENT
        if self._silent_since is None:
            self._silent_since = now
        if now - self._silent_since >= self._settings.give_up_time:
            self.phase = Phase.STOPPED
        self.problem = problem

    def _position(self, state: RobotState, command: FloatArray, now: float) -> FloatArray:
        if self.phase is Phase.RAMPING and self._ramp.finished(now):
            self._policy.reset(state)
            self.phase = Phase.RUNNING
        if self.phase is Phase.RUNNING:
            return self._policy.step(state, command).position
        return self._ramp.at(now)

    def _resume(self, state: RobotState, now: float) -> None:
        self.phase, self.problem = self._interrupted, ''
        if self.phase is not Phase.RUNNING:  # the robot moved meanwhile: the old ramp would jump
            self._begin_ramp(state.joint_position, now, self.phase)

    def _begin_ramp(self, start: FloatArray, now: float, phase: Phase) -> None:
        settings = self._settings
        self._ramp = Ramp(start, self._pose, now, settings.ramp_speed, settings.ramp_min_duration)
        self.phase, self.problem = phase, ''
        if phase is Phase.RAMPING:
            self._latest = None

    def _check(self, state: RobotState | None, age: float) -> str:
        if state is None:
            return 'no state of the robot has arrived yet.'
        if age > self._settings.state_timeout:
            return f'the latest state is {age:.3f} s old, more than {self._settings.state_timeout} s.'
        for name in self._required:
            if not np.isfinite(getattr(state, name)).all():
                return f'{name.replace("_", " ")} in the latest state is not finite.'
        return ''


def _standing(robot: RobotModel) -> RobotState:
    """The default pose at rest with every quantity known, and 100 N on every frame."""
    state = RobotState.unknown(1, robot.num_joints, len(robot.frame_names))
    zeros = {field.name: np.zeros_like(getattr(state, field.name)) for field in dataclasses.fields(state)}
    return RobotState(**{**zeros, 'base_quaternion': np.array([[0.0, 0.0, 0.0, 1.0]]),
                         'joint_position': robot.default_position[None].copy(),
                         'contact_force': np.full_like(state.contact_force, 100.0)})


def _without(state: RobotState, name: str) -> RobotState:
    return dataclasses.replace(state, **{name: np.full_like(getattr(state, name), np.nan)})


def _computed(interface: InterfaceSettings, robot: RobotModel, state: RobotState) -> FloatArray:
    policy = PolicyInterface(interface, robot, 1)
    policy.reset(state)
    observation = policy.observe(state, np.zeros((1, 3)))
    return np.concatenate([observation, policy.act(state, np.zeros_like(policy.action))], axis=-1)

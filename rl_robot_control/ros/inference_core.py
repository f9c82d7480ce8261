"""What the inference node does in each control period, without ROS: ramp, policy, hold, or silence.

Every method takes the time as an argument; nothing here reads a clock.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from rl_robot_control.errors import PolicyError
from rl_robot_control.robots import RobotModel
from rl_robot_control.ros.candidate import Candidate, Policy, StartRegion
from rl_robot_control.tasks.interface import InterfaceSettings, probe
from rl_robot_control.types import FloatArray, JointCommand, RobotState

JOINT_QUANTITIES = ('joint_position', 'joint_velocity')
IMU_QUANTITIES = ('base_quaternion', 'base_angular_velocity')
ODOMETRY_QUANTITIES = ('base_position', 'base_linear_velocity')
OTHER_QUANTITIES = ('joint_effort', 'base_linear_acceleration', 'frame_position', 'frame_velocity', 'frame_axis_z',
                    'contact_force')


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
    blend_time: float = 0.3  # over which one policy takes over from another [s]
    region: StartRegion = field(default_factory=StartRegion)  # from which it may


def needed_quantities(interface: InterfaceSettings, robot: RobotModel) -> set[str]:
    """Fields of the robot's state that a policy's observation or joint targets depend on.

    Each field in turn is left unknown (NaN); the policy needs it if anything that it computes changes by that.
    """
    known = robot.standing_state(1)
    known = dataclasses.replace(known, contact_force=np.full_like(known.contact_force, 100.0))  # [N], on every frame
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
        return self._start + _eased(now - self._begin, self.duration) * self._distance

    def finished(self, now: float) -> bool:
        """Whether the goal is reached."""
        return now - self._begin >= self.duration


class Blend:
    """The way from one policy to the next: half a cosine from the old one's targets to the new one's.

    Args:
        old: The policy that gives way; None: its last target stays.
        latest: (1, J) last target [rad].
        now: Start [s].
        duration: [s]
    """

    def __init__(self, old: Policy | None, latest: FloatArray, now: float, duration: float) -> None:
        self._old, self._latest, self._begin, self._duration = old, latest, now, duration

    def finished(self, now: float) -> bool:
        """Whether the new policy acts alone."""
        return now - self._begin >= self._duration

    def mix(self, new: FloatArray, state: RobotState, command: FloatArray, now: float) -> FloatArray:
        """Targets (1, J) [rad] of both."""
        if self._old is not None:
            try:
                self._latest = self._old.step(state, command).position
            except PolicyError:
                self._old = None  # its last target stays
        return self._latest + _eased(now - self._begin, self._duration) * (new - self._latest)


class InferenceCore:
    """Ramps one robot into a policy's start pose, runs the policy, changes policies, and ramps back to hold.

    Args:
        candidates: The loaded policies, by name.
        active: The one that runs first.
        settings: Times and speeds.
        fallback: The one that takes over, with a command of zero, where the active one fails; empty: none.
        after_motion: The one that takes over where the active one's motion has ended; empty: that one goes on.

    Attributes:
        active: Name of the policy that runs, or will.
        phase: What is published at present.
        problem: Why nothing is published, or empty.
        note: What happened to the policy that ran before, or empty.
        repeated: In how many control periods no new state had come.
    """

    def __init__(self, candidates: Mapping[str, Candidate], active: str, settings: CoreSettings, fallback: str = '',
                 after_motion: str = '') -> None:
        self._candidates, self._settings = dict(candidates), settings
        self._fallback, self._after_motion = fallback, after_motion
        self.active, self.note = active, ''
        self._fell_back = False  # commands count as zero until a policy is chosen
        self._blend: Blend | None = None
        self._ramp: Ramp | None = None
        self._latest: FloatArray | None = None  # (1, J) the last position that was commanded
        self._silent_since: float | None = None  # None: the last period was answered
        self._interrupted = Phase.IDLE
        self._answered: float | None = None  # time of the last state that was answered [s]
        self.repeated = 0
        self.phase, self.problem = Phase.IDLE, ''

    @property
    def _policy(self) -> Policy:
        return self._candidates[self.active].policy

    def switch(self, name: str, state: RobotState | None, age: float, now: float) -> str:
        """Let another policy take over.

        Args:
            name: Its name.
            state: Latest state, None if there never was one.
            age: Its age [s].
            now: [s].

        Returns:
            Empty, or why it cannot: then the active one goes on.
        """
        if self.phase is Phase.RUNNING and name != self.active:
            problem = self._obstacle(name, state, age)
            if problem:
                return f"policy '{name}' cannot take over: {problem}."
            self._take_over(name, state, self._policy, now)
        elif name != self.active:
            self.active = name
            if self.phase is Phase.RAMPING and (self._latest is not None or state is not None):
                self._begin_ramp(state.joint_position if self._latest is None else self._latest, now, Phase.RAMPING)
        self._fell_back, self.note = False, ''
        return ''

    def start(self, state: RobotState | None, age: float, now: float) -> str | None:
        """Begin the ramp from the measured pose.

        Args:
            state: Latest state, None if there never was one.
            age: Its age [s].
            now: [s].

        Returns:
            None, or why the policy cannot start.
        """
        problem = self._check(state, age, self._candidates[self.active])
        if problem:
            return problem
        self._silent_since, self._blend, self._fell_back, self.note = None, None, False, ''
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
        problem = self._check(state, age, self._candidates[self.active])
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

    def rehearse(self, state: RobotState | None, command: FloatArray) -> None:
        """Shortly before a period: do the policy's work once, in vain, so that it takes less time then."""
        if self.phase is Phase.RUNNING and state is not None:
            self._policy.rehearse(state, command)

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
            self.phase, self._blend = Phase.RUNNING, None
        if self.phase is not Phase.RUNNING:
            return self._ramp.at(now)
        try:
            position = self._run(state, command, now)
        except PolicyError as error:
            if not self._fallback or self.active == self._fallback:
                raise
            failed = self.active
            self._take_over(self._fallback, state, None, now)
            self._fell_back, self.note = True, f"policy '{failed}' failed, '{self.active}' took over: {error}"
            position = self._run(state, command, now)
        if self._after_motion not in ('', self.active) and self._policy.finished[0]:
            self._hand_over(state, now)
        return position

    def _run(self, state: RobotState, command: FloatArray, now: float) -> FloatArray:
        if self._fell_back:
            command = np.zeros_like(command)
        position = self._policy.step(state, command).position
        if self._blend is not None:
            position = self._blend.mix(position, state, command, now)
            if self._blend.finished(now):
                self._blend = None
        return position

    def _hand_over(self, state: RobotState, now: float) -> None:
        """The motion has ended: until the next policy can take over, the last instant of the motion is held."""
        name = self._after_motion
        problem = self._obstacle(name, state, 0.0)
        if problem:
            self.note = f"the motion has ended, policy '{name}' cannot take over yet: {problem}"
        else:
            self.note = f"the motion of '{self.active}' has ended, '{name}' took over"
            self._take_over(name, state, self._policy, now)

    def _obstacle(self, name: str, state: RobotState | None, age: float) -> str:
        """Why a policy cannot take over from a state of an age [s], without a full stop; or empty."""
        candidate = self._candidates[name]
        problem = self._check(state, age, candidate) or self._settings.region.outside(
            state, candidate.start_pose, candidate.joint_names, candidate.floating)
        return problem.rstrip('.')

    def _take_over(self, name: str, state: RobotState, old: Policy | None, now: float) -> None:
        """Begin to blend into another policy, from the old one or from the last target."""
        latest = state.joint_position if self._latest is None else self._latest
        phase, command = self._policy.phase, self._policy.command  # in mid-stride, with the same leg and speed
        self.active = name
        self._policy.reset(state, phase=phase, target=latest, command=command)
        self._blend = Blend(old, latest, now, self._settings.blend_time)

    def _resume(self, state: RobotState, now: float) -> None:
        self.phase, self.problem = self._interrupted, ''
        if self.phase is not Phase.RUNNING:  # the robot moved meanwhile: the old ramp would jump
            self._begin_ramp(state.joint_position, now, self.phase)

    def _begin_ramp(self, start: FloatArray, now: float, phase: Phase) -> None:
        settings = self._settings
        goal = self._candidates[self.active].start_pose[None]
        self._ramp = Ramp(start, goal, now, settings.ramp_speed, settings.ramp_min_duration)
        self.phase, self.problem = phase, ''
        if phase is Phase.RAMPING:
            self._latest = None

    def _check(self, state: RobotState | None, age: float, candidate: Candidate) -> str:
        if state is None:
            return 'no state of the robot has arrived yet.'
        if age > self._settings.state_timeout:
            return f'the latest state is {age:.3f} s old, more than {self._settings.state_timeout} s.'
        for name in candidate.required:
            if not np.isfinite(getattr(state, name)).all():
                return f'{name.replace("_", " ")} in the latest state is not finite.'
        return ''


def _eased(elapsed: float, duration: float) -> float:
    """Half a cosine from 0 to 1 over a duration [s]; 1 at once where there is none."""
    progress = min(max(elapsed / duration, 0.0), 1.0) if duration > 0.0 else 1.0
    return 0.5 - 0.5 * math.cos(math.pi * progress)


def _without(state: RobotState, name: str) -> RobotState:
    return dataclasses.replace(state, **{name: np.full_like(getattr(state, name), np.nan)})


def _computed(interface: InterfaceSettings, robot: RobotModel, state: RobotState) -> FloatArray:
    policy = probe(interface, robot)
    policy.reset(state)
    observation = policy.observe(state, np.zeros((1, 3)))
    return np.concatenate([observation, policy.act(state, np.zeros_like(policy.action))], axis=-1)

"""The safety shield: composes the checks, one robot over DDS or thousands in memory."""

from __future__ import annotations

import math

import numpy as np

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.body import BodyMonitor
from rl_robot_control.shield.freshness import CommandLog, Timing
from rl_robot_control.shield.joints import JointBounds
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.shield.measured import MeasuredGuard, make_guard
from rl_robot_control.shield.output import CHECKS, Reason, ShieldOutput
from rl_robot_control.shield.prediction import attitude
from rl_robot_control.shield.quick import nothing_wrong, quick_bounds
from rl_robot_control.shield.state_machine import Event, ShieldMode, follows_reference, next_mode
from rl_robot_control.shield.tilt import TiltMonitor
from rl_robot_control.shield.validation import right_shape, valid_states
from rl_robot_control.types import BoolArray, FloatArray, JointCommand, RobotState

COUNTERS = ('commands', 'corrected', 'rejected', 'conflicts', 'stale', 'state_lost', 'latched', 'overruns',
            'held', 'unmeasured')


class Shield:
    """Lets commands through unchanged where they are safe, and changes, brakes or damps where they are not.

    It reads no clock: the caller says what time it is, in real time by a monotonic clock, in lock-step by the simulated
    one. It never raises on a command or state, however malformed.

    Args:
        limits: The bounds.
        control_period: Time between two cycles [s].
        num_robots: N.
        max_period: Longest time between two cycles [s]; a longer one latches. None: lock-step, where every cycle is
            exactly one control period.
        guard: Keeps the measured robot from its stops, from itself and in its workspace; None: it is not watched.

    Attributes:
        mode: (N,) of ``ShieldMode``.
        counters: Name in ``COUNTERS`` → (N,) count since construction.

    Raises:
        ConfigurationError: A period is not positive, or ``max_period`` is shorter than ``control_period``.
    """

    def __init__(self, limits: ShieldLimits, control_period: float, num_robots: int = 1,
                 max_period: float | None = None, guard: MeasuredGuard | None = None) -> None:
        if not 0 < control_period < math.inf or not (max_period is None or control_period <= max_period < math.inf):
            raise ConfigurationError(f'shield: control_period is {control_period} s and max_period {max_period} s; the '
                                     'first must be above 0 and the second not shorter.')
        n, j = num_robots, limits.num_joints
        self.limits, self.control_period, self.num_robots, self.num_joints = limits, control_period, n, j
        self.mode = np.full(n, ShieldMode.STARTING, dtype=np.int64)
        self.counters = {name: np.zeros(n, dtype=np.int64) for name in COUNTERS}
        self._joints = JointBounds(limits, control_period, n)
        self._guard = guard
        self._log = CommandLog(n, j, max_lag=limits.command_timeout, max_lead=limits.state_timeout)
        self._tilt = None if limits.tilt is None else TiltMonitor(n, limits.tilt, limits.tilt_duration)
        self._body = BodyMonitor(limits, n)
        self._quick, self._frames = quick_bounds(limits), np.array(limits.contact_frames, dtype=np.int64)
        self._nobody, self._all = np.zeros((n, 0)), np.ones(n, dtype=bool)
        self._timing = Timing(control_period, max_period)
        self._latch_reason = np.zeros(n, dtype=np.int64)
        self._all_active = False

    def reset(self, state: RobotState, index=slice(None)) -> None:
        """Forget the past of some robots and clear their latches; for robots that a simulation has put elsewhere.

        Args:
            state: State of all N robots; the references start at its pose.
            index: Which robots.
        """
        self._all_active = False
        self._log.clear(index)
        if self._tilt is not None:
            self._tilt.clear(index)
        self._body.clear(index)
        self._latch_reason[index] = Reason.NONE
        usable = valid_states(state, self._squares(state))
        self.mode[index] = np.where(usable, ShieldMode.READY, ShieldMode.STARTING)[index]
        measured = np.where(usable[:, None], state.joint_position, 0.0)
        self._joints.restart(measured[index], index)
        if len(self.mode[index]) == self.num_robots:
            self._timing.restart()

    def retune(self, limits: ShieldLimits) -> None:
        """Take limits that differ in the drives' gains and the default pose, while no robot follows commands.

        Args:
            limits: The new ones.

        Raises:
            ConfigurationError: A robot follows commands: its targets would mean other torques from one cycle to the
                next.
        """
        if follows_reference(self.mode).any():
            raise ConfigurationError('the gains cannot change while commands are followed; stop the policy first.')
        reference = self._joints.reference.copy()
        self.limits, self._all_active = limits, False
        self._joints = JointBounds(limits, self.control_period, self.num_robots)
        self._joints.restart(reference, slice(None))
        if self._guard is not None:
            self._guard.retune(limits)

    def step(self, state: RobotState | None, command: JointCommand | None, *, now: float, state_age: float = 0.0,
             command_age: float = 0.0) -> ShieldOutput:
        """Check one cycle.

        Args:
            state: The latest state, None if there never was one.
            command: A command that arrived since the last cycle, else None: the latest accepted one stays in force
                until it is too old. Passing the same one again does no harm and does not renew it.
            now: The caller's clock [s].
            state_age: Time since the state was received [s].
            command_age: Time since the command was received [s].
        """
        elapsed, late, backwards = self._timing.advance(now)
        if backwards:
            self._clear_durations(now)
        if not math.isfinite(now):
            now, state_age = math.nan, math.inf
        if state is not None and not self._right_shape(state):
            state = None
        if not late and self._undisturbed(state, command, state_age, command_age):
            return self._follow(state, command, now - max(command_age, 0.0), elapsed)
        return self._decide(state, command, now, state_age, command_age, elapsed, late)

    def sound(self, state: RobotState) -> bool:
        """Whether a state alone gives no cause to act; else its cycle need not wait for the next command.

        Args:
            state: State of all N robots.
        """
        if not self._right_shape(state):
            return False
        squares = self._squares(state)
        return bool(valid_states(state, squares).all()
                    and not (squares is not None and self._tilt.tilted(squares).any()))

    def emergency_stop(self) -> None:
        """Latch every robot now; only ``rearm`` releases them."""
        self._latch(np.ones(self.num_robots, dtype=bool), Reason.EMERGENCY_STOP)

    def rearm(self, state: RobotState | None) -> str | None:
        """Release latched robots that stand still and upright; they wait for the next command.

        Args:
            state: A fresh state of all N robots.

        Returns:
            None if all are released, else why none is.
        """
        latched = self.mode == ShieldMode.LATCHED
        if not latched.any():
            return 'nothing is latched.'
        refusal = self._refusal(state, latched)
        if refusal is None:
            self.reset(state, np.flatnonzero(latched))
        return refusal

    def _undisturbed(self, state: RobotState | None, command: JointCommand | None, state_age: float,
                     command_age: float) -> bool:
        """Whether every robot is active and everything is in order, so that only the limits need applying."""
        limits = self.limits
        if not (self._all_active and state is not None and command is not None and state_age <= limits.state_timeout
                and command_age <= limits.command_timeout and self._command_fits(command)):
            return False
        quick, nobody = self._quick[0], self._nobody
        return nothing_wrong(
            self._quick, self._joints.constants, _floats(command.position), _floats(command.stamp), self._log.stamp,
            _floats(state.time), _floats(state.joint_position), _floats(state.joint_velocity),
            _floats(state.base_quaternion) if quick['oriented'] else nobody,
            _floats(state.base_angular_velocity) if quick['turning'] else nobody,
            _floats(state.base_position) if quick['height'] else nobody,
            _floats(state.contact_force) if quick['contacts'] else nobody, self._frames, self._body.seen)

    def _follow(self, state: RobotState, command: JointCommand, received: float, elapsed: float) -> ShieldOutput:
        """The usual cycle: all robots follow their commands."""
        self._log.accept_all(command, received)
        self.counters['commands'] += 1
        if self._tilt is not None:
            self._tilt.forgive()
        self._body.forgive()
        if self._body.some_unmeasured:
            self.counters['unmeasured'] += self._body.unmeasured
        target, every = self._log.target, self._all
        position, active = self._limit(state, _floats(state.joint_position), _floats(state.joint_velocity), elapsed,
                                       every, every, every)
        correction = position - target
        corrected = np.logical_or.reduce(correction, axis=1)
        self.counters['corrected'] += corrected
        n = self.num_robots
        return ShieldOutput(command=JointCommand(stamp=command.stamp, position=position), valid=np.ones(n, dtype=bool),
                            mode=self.mode.copy(), correction=correction, active=active, corrected=corrected,
                            reason=np.zeros(n, dtype=np.int64), constraints=self._constraints())

    def _decide(self, state: RobotState | None, command: JointCommand | None, now: float, state_age: float,
                command_age: float, elapsed: float, late: bool) -> ShieldOutput:
        """The general cycle, in which robots may be in different modes."""
        squares = self._squares(state)
        usable, reason = self._judge_state(state, squares, state_age)
        event = np.where(usable, Event.NOMINAL, Event.STATE_LOST)
        requested = self._judge_command(command, state, usable, now, command_age, event, reason)
        self._judge_age(now, command_age if command is None else 0.0, event, reason)
        self._judge_faults(state, squares, usable, now, late, event)
        before, self.mode = self.mode, next_mode(self.mode, event)
        self._all_active = bool((self.mode == ShieldMode.ACTIVE).all())
        reason = np.where(self.mode == ShieldMode.LATCHED, self._latch_reason, reason)
        return self._apply(state, command, usable, requested, before, reason, elapsed)

    def _apply(self, state: RobotState | None, command: JointCommand | None, usable: BoolArray, requested: BoolArray,
               before: np.ndarray, reason: np.ndarray, elapsed: float) -> ShieldOutput:
        following, known = follows_reference(self.mode), usable[:, None]
        measured, speed = self._joints.reference.copy(), np.zeros((self.num_robots, self.num_joints))
        if state is not None:
            np.copyto(measured, state.joint_position, where=known)
            np.copyto(speed, state.joint_velocity, where=known)
        begins = ~follows_reference(before) & usable
        self._joints.restart(measured[begins], begins)
        position, active = self._limit(state, measured, speed, elapsed, self.mode == ShieldMode.ACTIVE, following,
                                       usable)
        valid = usable & (self.mode != ShieldMode.STARTING)
        position[~valid] = np.nan
        correction = self._correction(position, command, requested & valid)
        corrected = correction.any(axis=1)
        self.counters['corrected'] += corrected
        stamp = np.where(usable, np.nan if state is None else state.time, np.nan)
        if command is not None and self._command_fits(command):
            stamp = np.where(requested, command.stamp, stamp)
        return ShieldOutput(command=JointCommand(stamp=stamp, position=position), valid=valid, mode=self.mode.copy(),
                            correction=correction, active=active, corrected=corrected, reason=reason,
                            constraints=self._constraints())

    def _correction(self, position: FloatArray, command: JointCommand | None, requested: BoolArray) -> FloatArray:
        wish = self._log.target if command is None or not self._command_fits(command) else command.position
        return np.subtract(position, wish, out=np.zeros_like(position), where=requested[:, None])

    def _limit(self, state: RobotState | None, position: FloatArray, velocity: FloatArray, elapsed: float,
               active: BoolArray, following: BoolArray, usable: BoolArray) -> tuple[FloatArray, dict[str, BoolArray]]:
        """Apply the limits and move the references.

        Args:
            state: The latest state.
            position: (N, J) measured; the reference where unknown [rad].
            velocity: (N, J) measured; 0 where unknown [rad/s].
            elapsed: Time that this cycle counts as [s].
            active: (N,) robots that follow the latest accepted command.
            following: (N,) these and the ones that brake; the others' target is the measured pose.
            usable: (N,) robots whose state is known.

        Returns:
            Targets (N, J) [rad], and which checks acted where.
        """
        flags = np.zeros((len(CHECKS), self.num_robots, self.num_joints), dtype=bool)
        named = dict(zip(CHECKS, flags))
        output, conflicts = self._joints.limit(self._log.target, position, velocity, active, following, usable, elapsed,
                                               flags)
        self.counters['conflicts'] += conflicts
        if self._guard is not None and state is not None:
            named['measured'][:], near = self._guard.keep(output, position, velocity, *_attitude(state, usable), usable,
                                                          following)
            for check, joints in near.items():
                named[check][:] = joints
            self.counters['held'] += named['measured'].any(axis=1)
        return output, named

    def _constraints(self) -> dict[int, tuple[str, ...]]:
        return {} if self._guard is None else self._guard.acted

    def _judge_state(self, state: RobotState | None, squares: FloatArray | None,
                     state_age: float) -> tuple[BoolArray, np.ndarray]:
        """Which robots' states are usable (N,), and the reasons (N,) where not."""
        n = self.num_robots
        if state is None:
            usable, reason = np.zeros(n, dtype=bool), np.full(n, Reason.STATE_MISSING, dtype=np.int64)
        elif not state_age <= self.limits.state_timeout:
            usable, reason = np.zeros(n, dtype=bool), np.full(n, Reason.STATE_STALE, dtype=np.int64)
        else:
            usable = valid_states(state, squares)
            usable &= self._body.usable(state)
            self.counters['unmeasured'] += self._body.unmeasured
            reason = np.where(usable, Reason.NONE, Reason.STATE_INVALID)
        self.counters['state_lost'] += ~usable
        return usable, reason

    def _judge_command(self, command: JointCommand | None, state: RobotState | None, usable: BoolArray, now: float,
                       command_age: float, event: np.ndarray, reason: np.ndarray) -> BoolArray:
        """Accept or reject each robot's command; tells which robots have a request that a correction refers to."""
        if command is None:
            return (self.mode == ShieldMode.ACTIVE) & np.isfinite(self._log.received)
        if self._command_fits(command):
            time = np.full(self.num_robots, np.nan) if state is None else state.time
            verdict, repeated = self._log.judge(command, time)
        else:
            verdict = np.full(self.num_robots, Reason.COMMAND_SHAPE, dtype=np.int64)
            repeated = np.zeros(self.num_robots, dtype=bool)
        rejected = usable & (verdict != Reason.NONE)  # without a state there is nothing to judge a stamp by
        accepted = usable & ~rejected & ~repeated
        if accepted.any():
            self._log.accept(command, accepted, now - max(command_age, 0.0))
        self._log.reject(rejected)
        self.counters['commands'] += ~repeated
        self.counters['rejected'] += rejected
        event[rejected] = np.minimum(event, Event.COMMAND_UNUSABLE)[rejected]
        reason[rejected] = verdict[rejected]
        return usable & ~rejected

    def _judge_age(self, now: float, command_age: float, event: np.ndarray, reason: np.ndarray) -> None:
        """Find commands that are too old, by the shield's own record: a repeated message must not renew one."""
        limits = self.limits
        age = self._log.age(now)
        if not math.isnan(command_age):
            age = np.maximum(age, command_age)
        stale, lost = ~(age <= limits.command_timeout), ~(age <= limits.command_damping_timeout)
        unnamed = reason == Reason.NONE
        reason[unnamed & stale] = Reason.COMMAND_STALE
        reason[unnamed & lost] = Reason.COMMAND_LOST
        reason[unnamed & np.isinf(age)] = Reason.NO_COMMAND
        np.minimum(event, np.where(lost, Event.COMMAND_LOST, np.where(stale, Event.COMMAND_UNUSABLE, Event.NOMINAL)),
                   out=event)
        self.counters['stale'] += stale & np.isfinite(age)

    def _judge_faults(self, state: RobotState | None, squares: FloatArray | None, usable: BoolArray, now: float,
                      late: bool, event: np.ndarray) -> None:
        """Latch robots that fell, that get one bad command after the other, or that were left alone too long."""
        if self._tilt is not None and squares is not None:
            self._latch(self._tilt.update(squares, usable, now), Reason.TILT)
        if state is not None:
            faults = self._body.faults(state, usable, follows_reference(self.mode), now)
            for reason, mask in faults.items():
                self._latch(mask, reason)
            far, fast = self._joints.faults(state.joint_position, state.joint_velocity)
            self._latch(far & usable, Reason.JOINT_POSITION)
            self._latch(fast & usable, Reason.JOINT_VELOCITY)
        self._latch(self._log.rejected_in_row >= self.limits.max_rejected, Reason.REJECTED_TOO_OFTEN)
        if late:
            self.counters['overruns'] += 1
            # before the first command nothing is published that could have gone on unchecked
            self._latch((self.mode != ShieldMode.STARTING) & (self.mode != ShieldMode.READY), Reason.OVERRUN)
        event[self.mode == ShieldMode.LATCHED] = Event.FAULT

    def _latch(self, mask: BoolArray, reason: Reason) -> None:
        new = mask & (self.mode != ShieldMode.LATCHED)
        if new.any():
            self.mode[new] = next_mode(self.mode[new], np.full(int(new.sum()), Event.FAULT))
            self._latch_reason[new] = reason
            self.counters['latched'] += new
            self._all_active = False

    def _squares(self, state: RobotState | None) -> FloatArray | None:
        return None if self._tilt is None or state is None else np.square(state.base_quaternion)

    def _right_shape(self, state: RobotState) -> bool:
        return right_shape(state, self.num_robots, self.num_joints) and self._body.right_shape(state)

    def _command_fits(self, command: JointCommand) -> bool:
        return (command.position.shape == (self.num_robots, self.num_joints)
                and command.stamp.shape == (self.num_robots,))

    def _clear_durations(self, now: float) -> None:
        """The caller's clock ran backwards (a simulation began anew): no duration may reach across that."""
        np.minimum(self._log.received, now, out=self._log.received)
        if self._tilt is not None:
            self._tilt.clear(slice(None))
        self._body.restart(slice(None))

    def _refusal(self, state: RobotState | None, latched: BoolArray) -> str | None:
        if state is None or not self._right_shape(state):
            return 'no state has been received; is the robot publishing joint_states?'
        squares = self._squares(state)
        usable = valid_states(state, squares)
        for i in np.flatnonzero(latched):
            if not usable[i]:
                return f'robot {i}: the state holds NaN or infinity.'
            fastest = np.abs(state.joint_velocity[i]).max()
            if fastest > self.limits.rest_velocity:
                return (f'robot {i}: a joint still moves at {fastest:.3g} rad/s; to re-arm every joint must be slower '
                        f'than {self.limits.rest_velocity} rad/s.')
            if squares is not None and self._tilt.tilted(squares[i:i + 1])[0]:
                return f'robot {i}: the base is tilted by more than {self.limits.tilt} rad; set it upright.'
            if (refusal := self._body.refusal(state, i)) is not None:
                return refusal
        return None


def _floats(array: np.ndarray) -> FloatArray:
    """As the compiled code takes it."""
    return np.ascontiguousarray(array, dtype=np.float64)


def _attitude(state: RobotState, usable: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Angular velocity and direction of gravity (N, 3) in the base; at rest and upright where they are not measured."""
    turn, down = np.empty((len(usable), 3)), np.empty((len(usable), 3))
    attitude(_floats(state.base_quaternion), _floats(state.base_angular_velocity), usable, turn, down)
    return turn, down


def make_shield(robot: RobotModel, control_period: float, num_robots: int = 1, max_period: float | None = None,
                limits: ShieldLimits | None = None, distances: bool = True) -> Shield:
    """The shield that a robot's URDF and YAML ask for.

    Args:
        robot: The robot.
        control_period: Time between two cycles [s].
        num_robots: N.
        max_period: See ``Shield``.
        limits: Other limits than the robot's.
        distances: Whether to keep what its YAML says of self-collision and workspace.

    Raises:
        ConfigurationError: The settings make no sense.
    """
    limits = limits or ShieldLimits.from_robot(robot)
    guard = make_guard(robot, limits, control_period, num_robots, distances)
    return Shield(limits, control_period, num_robots, max_period, guard)

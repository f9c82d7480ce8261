"""Did every command and every joint stay inside its bounds? Answered from the recorded topics alone.

The shield's own counters are not asked: this is the check of the shield, by other code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rl_robot_control.report.recording import Recording, latest
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.kernel import OVERSHOOT_SLOPE
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import FloatArray

TOLERANCE = 1e-6  # [rad, rad/s, N·m] what rounding may add


@dataclass(frozen=True, kw_only=True)
class BoundCheck:
    """How many values lay outside one kind of bound, and the worst of them."""

    name: str
    unit: str
    samples: int  # number of messages that were judged
    violations: int  # number of single values (message and joint) outside
    worst_excess: float | None  # farthest beyond the bound; negative: the smallest distance that was kept [unit]
    worst_joint: str
    worst_time: float | None  # [s]


def check_bounds(recording: Recording, robot: RobotModel, limits: ShieldLimits, control_period: float
                 ) -> list[BoundCheck]:
    """Compare every recorded command and state with the bounds.

    Args:
        recording: What was recorded.
        robot: The robot, for the limits of its URDF.
        limits: The shield's limits.
        control_period: Time between two commands [s].
    """
    states, efforts = recording.states, recording.efforts
    told = _check_targets(recording, robot, limits, control_period) if not len(efforts) else [
        _judge('commanded effort', 'N·m', robot, efforts.received, np.abs(efforts.effort) - robot.effort_limit)]
    return [
        *told,
        _judge('measured position', 'rad', robot, states.received,
               outside(states.position, robot.position_lower, robot.position_upper)),
        _judge('measured velocity', 'rad/s', robot, states.received, np.abs(states.velocity) - robot.velocity_limit),
    ]


def _check_targets(recording: Recording, robot: RobotModel, limits: ShieldLimits, control_period: float
                   ) -> list[BoundCheck]:
    commands = recording.commands
    seen, led = _seen(recording), ~damped(recording)
    return [
        _judge('commanded position', 'rad', robot, commands.received, position_excess(recording, limits), led),
        _judge('commanded overshoot', 'rad', robot, commands.received, overshoot_excess(recording, limits), seen & led),
        _judge('reference velocity', 'rad/s', robot, commands.received[1:],
               np.abs(reference_velocity(recording, control_period)) - limits.velocity),
        _judge('implied torque', 'N·m', robot, commands.received, torque_excess(recording, limits), seen),
    ]


def _seen(recording: Recording) -> np.ndarray:
    """Which commands (C,) came after a first state."""
    return latest(recording.states.received, recording.commands.sent) >= 0


def damped(recording: Recording) -> np.ndarray:
    """Which commands (C,) are the measured pose itself: the shield's damping, which leads nowhere."""
    position = recording.commands.position

    def distance(index: np.ndarray) -> FloatArray:
        return np.abs(position - recording.states.position[index])

    excess = _kinder(recording, distance)
    return np.all(excess == 0, axis=1) if len(excess) else np.zeros(len(position), dtype=bool)


def outside(value: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """How far each value lies beyond the nearer bound; negative inside."""
    return np.maximum(lower - value, value - upper)


def reference_velocity(recording: Recording, control_period: float) -> FloatArray:
    """Velocity (C-1, J) [rad/s] of the commanded position from one command to the next.

    A step counts as one control period, however long it took: that is what the shield allows one command to move by.
    """
    return np.diff(recording.commands.position, axis=0) / control_period


def torque_excess(recording: Recording, limits: ShieldLimits) -> FloatArray:
    """Torque beyond the bound (C, J) [N·m] that each command asks of the drives: kp (q_cmd - q) - kd q̇."""
    command = recording.commands.position

    def excess(index: np.ndarray) -> FloatArray:
        q, v = recording.states.position[index], recording.states.velocity[index]
        return np.abs(limits.stiffness * (command - q) - limits.damping * v) - limits.effort

    return _kinder(recording, excess)


def position_excess(recording: Recording, limits: ShieldLimits) -> FloatArray:
    """How far (C, J) [rad] each command lies beyond the position limits and what a target may overshoot them by.

    A measured joint that is beyond them itself may be drawn back less than all the way, where its swing would drive
    another joint into its stop: it is held against where it was measured.
    """
    command = recording.commands.position
    lower, upper = limits.position_lower - limits.overshoot, limits.position_upper + limits.overshoot

    def excess(index: np.ndarray) -> FloatArray:
        q = recording.states.position[index]
        return outside(command, np.fmin(lower, q), np.fmax(upper, q))

    plain, told = outside(command, lower, upper), _kinder(recording, excess)
    return np.where(_seen(recording)[:, None], told, plain) if len(told) else plain


def overshoot_excess(recording: Recording, limits: ShieldLimits) -> FloatArray:
    """How far (C, J) [rad] each command lies beyond what the measured joint's distance from its limit allows.

    Where a robot's targets may overshoot a limit at all, they may by ``OVERSHOOT_SLOPE`` times that distance, so that
    a joint at its limit is not pushed into it, and one beyond it not farther (see ``position_excess``).
    """
    command, lower, upper = recording.commands.position, limits.position_lower, limits.position_upper

    def excess(index: np.ndarray) -> FloatArray:
        q = recording.states.position[index]
        return outside(command, np.fmin(lower - OVERSHOOT_SLOPE * np.maximum(q - lower, 0.0), q),
                       np.fmax(upper + OVERSHOOT_SLOPE * np.maximum(upper - q, 0.0), q))

    return np.where(np.asarray(limits.overshoot) > 0, _kinder(recording, excess), -np.inf)


def _kinder(recording: Recording, excess: Callable[[np.ndarray], FloatArray]) -> FloatArray:
    """An excess (C, J) that depends on the state which the shield held when it commanded.

    That is the one that the command says it answers. Where it does not say (real time), it is the one that was current
    when the command was published: shield and recorder get a message up to a millisecond apart, so it is not certain
    which of the two latest states the shield held, and the one with the smaller excess counts.

    Args:
        recording: What was recorded.
        excess: Takes the index of each command's state (C,), gives the excess (C, J).
    """
    commands, states = recording.commands, recording.states
    if not len(commands) or not len(states):
        return np.zeros((0, 1))
    told = np.isfinite(commands.stamp)
    newest = np.where(told, np.searchsorted(states.stamp, commands.stamp + 1e-7) - 1,
                      latest(states.received, commands.sent))
    before = np.where(told, newest, newest - 1)
    return np.fmin(excess(np.maximum(newest, 0)), excess(np.maximum(before, 0)))


def _judge(name: str, unit: str, robot: RobotModel, times: FloatArray, excess: FloatArray,
           known: np.ndarray | slice = slice(None)) -> BoundCheck:
    """Sum up excesses (M, J) in the known rows; what is not a number there counts as outside."""
    if len(excess):
        times, excess = times[known], excess[known]
    if not len(excess):
        return BoundCheck(name=name, unit=unit, samples=0, violations=0, worst_excess=None, worst_joint='',
                          worst_time=None)
    ranked = np.where(np.isnan(excess), np.inf, excess)
    row, joint = np.unravel_index(np.argmax(ranked), ranked.shape)
    return BoundCheck(name=name, unit=unit, samples=len(excess), violations=int((ranked > TOLERANCE).sum()),
                      worst_excess=float(ranked[row, joint]), worst_joint=robot.joint_names[joint],
                      worst_time=float(times[row]))

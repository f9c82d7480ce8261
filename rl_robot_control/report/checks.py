"""Did the robot walk as it was told, what did the shield change, and how long did answers take?

Answered from the recorded topics alone, as are the bounds (``bounds``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rl_robot_control import rotations
from rl_robot_control.report.bounds import check_bounds, damped
from rl_robot_control.report.recording import BaseStates, Recording, latest
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import FloatArray

SETTLING = 1.0  # [s] after a change of command that is not judged
FALL_TILT = 0.72  # [rad] beyond which a standing robot does not come back: its gravity's z component is 0.75
FALL_HEIGHT = 0.65  # of the base's height in the default pose


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of constant velocity command, and what the robot did in it. The first second is not judged."""

    start: float  # [s]
    end: float  # [s]
    command: tuple[float, float, float]  # vx, vy [m/s], wz [rad/s]
    mean_velocity: tuple[float, float]  # along the heading and to its left [m/s]
    mean_yaw_rate: float  # [rad/s]
    speed_error: float  # |mean forward speed - commanded| [m/s]
    cycle_speed_error: float  # mean |gait-cycle average - commanded| [m/s]
    yaw_error: float  # |mean yaw rate - commanded| [rad/s]
    cycle_yaw_error: float  # mean |gait-cycle average - commanded| [rad/s]

    @property
    def forward(self) -> bool:
        """Whether the robot was asked to walk straight ahead."""
        return self.command[0] > 0.05 and abs(self.command[1]) < 1e-6 and abs(self.command[2]) < 1e-6


def find_fall(recording: Recording, robot: RobotModel) -> float | None:
    """When the robot fell while it was driven: tilted or sunk too far.

    Returns:
        Time received [s]; None: it did not, or its base is fixed.
    """
    if not robot.floating:
        return None
    start, end = recording.driven
    base, imu = recording.base, recording.imu
    low = base.position[:, 2] < FALL_HEIGHT * robot.settings.base.height
    fallen = [base.received[low | (rotations.tilt(base.quaternion) > FALL_TILT)],
              imu.received[rotations.tilt(imu.quaternion) > FALL_TILT]]
    times = np.concatenate(fallen)
    times = times[_within(times, start, end)]
    return float(times.min()) if times.size else None


def heading_velocity(base: BaseStates) -> FloatArray:
    """Velocity (M, 3) of the base along its heading, to the left, and up [m/s]."""
    world = rotations.rotate(base.quaternion, base.linear_velocity)
    return rotations.into_yaw_frame(rotations.yaw(base.quaternion), world)


def yaw_rate(base: BaseStates) -> FloatArray:
    """Angular velocity (M,) about the world's z axis [rad/s]."""
    return rotations.rotate(base.quaternion, base.angular_velocity)[:, 2]


def moving_average(times: FloatArray, values: FloatArray, width: float) -> FloatArray:
    """Average over the ``width`` seconds around each time, as long as both halves are there; else NaN.

    Args:
        times: (M,) ascending [s].
        values: (M,).
        width: [s].
    """
    if len(times) < 2:
        return np.full(len(times), np.nan)
    integral = np.concatenate([[0.0], np.cumsum(np.diff(times) * (values[1:] + values[:-1]) / 2)])
    lower, upper = times - width / 2, times + width / 2
    average = (np.interp(upper, times, integral) - np.interp(lower, times, integral)) / width
    inside = (lower >= times[0] - 1e-9) & (upper <= times[-1] + 1e-9)
    return np.where(inside, average, np.nan)


def find_segments(recording: Recording) -> list[tuple[float, float, tuple[float, float, float]]]:
    """Stretches (start [s], end [s], command) of constant velocity command, up to the last state."""
    commands = recording.velocity_commands
    if not len(commands) or not len(recording.base):
        return []
    changed = np.flatnonzero(np.any(np.diff(commands.velocity, axis=0) != 0, axis=1)) + 1
    starts = [0, *changed]
    last = min(recording.base.received[-1], recording.driven[1])  # a command that is not renewed is forgotten
    ends = [*commands.received[changed], last]
    return [(float(commands.received[i]), float(end), tuple(float(v) for v in commands.velocity[i]))
            for i, end in zip(starts, ends)]


def judge_segments(recording: Recording, gait_period: float = 0.8) -> list[Segment]:
    """How well the robot followed each velocity command; left out are segments without a stride of states to judge.

    Args:
        recording: What was recorded.
        gait_period: Length of a stride [s], over which velocity is averaged.
    """
    base = recording.base
    velocity, rate = heading_velocity(base), yaw_rate(base)
    judged = []
    for start, end, command in find_segments(recording):
        inside = (base.received >= start + SETTLING) & (base.received <= end)
        times = base.received[inside]
        if not len(times) or times[-1] - times[0] < gait_period:
            continue
        mean_x, mean_y, mean_rate = (_mean(times, v[inside]) for v in (velocity[:, 0], velocity[:, 1], rate))
        cycle_x = moving_average(times, velocity[inside, 0], gait_period)
        cycle_rate = moving_average(times, rate[inside], gait_period)
        judged.append(Segment(
            start=start, end=end, command=command, mean_velocity=(mean_x, mean_y), mean_yaw_rate=mean_rate,
            speed_error=abs(mean_x - command[0]), cycle_speed_error=float(np.nanmean(np.abs(cycle_x - command[0]))),
            yaw_error=abs(mean_rate - command[2]),
            cycle_yaw_error=float(np.nanmean(np.abs(cycle_rate - command[2])))))
    return judged


def _mean(times: FloatArray, values: FloatArray) -> float:
    """Average over time of samples that need not be equally spaced."""
    return float(np.sum(np.diff(times) * (values[1:] + values[:-1]) / 2) / (times[-1] - times[0]))


def corrections(recording: Recording) -> tuple[FloatArray, FloatArray]:
    """What the shield changed: times (C',) [s] and commanded minus requested position (C', J) [rad].

    A command answers the newest request that was published before it, so the shield's time-outs (commands without a
    fresh request) show as corrections too.
    """
    index = latest(recording.requests.sent, recording.commands.sent)
    answered = index >= 0
    change = recording.commands.position[answered] - recording.requests.position[index[answered]]
    return recording.commands.received[answered], change


def command_intervals(recording: Recording) -> FloatArray:
    """Time between consecutive commands to the robot (C-1,) [s]."""
    return np.diff(recording.commands.sent)


def observation_ages(recording: Recording) -> tuple[FloatArray, FloatArray]:
    """How old an observation was when it was answered [s].

    Returns:
        From the publication of the joint states to that of the policy's command that bears their stamp (R',), and to
        that of the shield's next command after it (C',).
    """
    states, requests, commands = recording.states, recording.requests, recording.commands
    order = np.argsort(states.stamp, kind='stable')
    if not len(order) or not len(requests):
        return np.zeros(0), np.zeros(0)
    place = np.clip(np.searchsorted(states.stamp[order], requests.stamp - 1e-7), 0, len(order) - 1)
    match = order[place]
    known = np.abs(states.stamp[match] - requests.stamp) < 1e-6
    observed = states.sent[match]
    index = latest(requests.sent, commands.sent)
    first = np.flatnonzero(np.diff(index, prepend=-1) > 0)  # the first command after each request
    first = first[known[index[first]]]
    return (requests.sent - observed)[known], commands.sent[first] - observed[index[first]]


def summarise(recording: Recording, robot: RobotModel, limits: ShieldLimits, control_period: float,
              gait_period: float = 0.8) -> dict[str, Any]:
    """Every number of a recorded run, as plain data for ``report.json``."""
    segments = judge_segments(recording, gait_period)
    forward = [s for s in segments if s.forward]
    times, change = corrections(recording)
    intervals, (to_policy, to_command) = command_intervals(recording), observation_ages(recording)
    fall = find_fall(recording, robot)
    start, end = recording.driven
    followed = min(end, recording.base.received[-1]) - start if len(recording.base) and np.isfinite(start) else 0.0
    return {
        'duration': recording.duration, 'commanded_duration': float(followed), 'complete': recording.complete,
        'messages_lost': recording.lost,
        'fell': fall is not None, 'fall_time': fall,
        'max_tilt': _max(rotations.tilt(recording.base.quaternion[_within(recording.base.received, start, end)])),
        # as `evaluate` means it: distance of the average over a stride from the command
        'mean_speed_error': _mean_of([s.cycle_speed_error for s in forward]),
        'mean_yaw_error': _mean_of([s.cycle_yaw_error for s in segments]),
        'speed_error_of_mean': _mean_of([s.speed_error for s in forward]),
        'segments': [asdict(s) for s in segments],
        'bounds': [asdict(check) for check in check_bounds(recording, robot, limits, control_period)],
        'shield_correction_rate': float(np.mean(np.any(np.abs(change) > 1e-6, axis=1))) if len(times) else None,
        'max_correction': _max(np.abs(change)), 'damped_commands': int(damped(recording).sum()),
        'shield_transitions': [{'time': t, 'mode': mode} for t, mode in recording.transitions()],
        'command_interval': _spread(intervals), 'observation_age_at_policy': _spread(to_policy),
        'observation_age_at_command': _spread(to_command),
        'messages': {name: len(getattr(recording, name)) for name in (
            'states', 'imu', 'base', 'requests', 'commands', 'velocity_commands', 'status')},
    }


def _within(times: FloatArray, start: float, end: float) -> np.ndarray:
    return (times >= start) & (times <= end)


def _max(values: FloatArray) -> float | None:
    return float(np.nanmax(values)) if values.size else None


def _mean_of(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _spread(values: FloatArray) -> dict[str, float] | None:
    """Median and tail [s]."""
    if not values.size:
        return None
    median, p99 = np.percentile(values, [50, 99])
    return {'median': float(median), 'p99': float(p99), 'min': float(values.min()), 'max': float(values.max())}

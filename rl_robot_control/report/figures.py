"""The figures of a report. Each function draws one file; what is not there to be drawn raises ``ValueError``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from rl_robot_control.report import checks
from rl_robot_control.report.recording import Recording
from rl_robot_control.report.style import BLUE, FAINT, GREEN, GREY, INK, ORANGE, RED, SKY, figure
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.limits import ShieldLimits
from rl_robot_control.types import FloatArray


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Return of training episodes over the steps taken."""

    label: str
    steps: FloatArray  # (M,)
    returns: FloatArray  # (M,)


def learning_curve(path: Path, curves: Sequence[Curve], before: float | None = None, after: float | None = None
                   ) -> None:
    """Return over environment steps, one colour per stage.

    Args:
        path: PNG to write.
        curves: The stages, in order; steps of each start where the one before ended.
        before, after: Return of the policy over topics before and after the stage that trained there.
    """
    curves = [curve for curve in curves if len(curve.steps)]
    if not curves:
        raise ValueError('no training progress was recorded')
    with figure(path, 9.0, 3.6) as drawn:
        widths = [3, 1] if before is not None and after is not None else [1]
        axes = drawn.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        start = 0.0
        for curve, colour in zip(curves, (BLUE, ORANGE, GREEN)):
            steps = (start + curve.steps) / 1e6
            axes[0].plot(steps, curve.returns, color=colour, alpha=0.25, linewidth=1)
            axes[0].plot(steps, smooth(curve.returns), color=colour, label=curve.label)
            if start:
                axes[0].axvline(start / 1e6, color=GREY, linewidth=1, linestyle=':')
            start += float(curve.steps[-1])
        axes[0].set(xlabel='environment steps [million]', ylabel='return per episode [-]', title='Learning')
        axes[0].legend(loc='lower right')
        if len(widths) > 1:
            _bars(axes[1], before, after)


def _bars(axes: Axes, before: float, after: float) -> None:
    bars = axes.bar(['before', 'after'], [before, after], color=[SKY, ORANGE], width=0.6)
    axes.bar_label(bars, fmt='%.1f', padding=2)
    axes.margins(y=0.15)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set(title='Over topics', ylabel='return in 20 s [-]')
    axes.grid(axis='x', visible=False)


def smooth(values: FloatArray, share: float = 0.05) -> FloatArray:
    """Centred moving average over a share of the values; shorter toward both ends."""
    half = max(1, round(len(values) * share / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    low, high = np.maximum(place - half, 0), np.minimum(place + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def velocity(path: Path, recording: Recording, gait_period: float = 0.8) -> None:
    """Commanded and measured velocity: forward, and about the vertical axis."""
    base, asked = recording.base, recording.velocity_commands
    if not len(base):
        raise ValueError('no odometry was recorded')
    times = base.received
    rows = [('forward [m/s]', checks.heading_velocity(base)[:, 0], 0), ('turning [rad/s]', checks.yaw_rate(base), 2)]
    with figure(path, 9.0, 4.6) as drawn:
        panels = drawn.subplots(2, 1, sharex=True)
        for axes, (label, measured, column) in zip(panels, rows):
            axes.plot(times, measured, color=SKY, alpha=0.55, linewidth=0.9, label='measured')
            axes.plot(times, checks.moving_average(times, measured, gait_period), color=BLUE,
                      label=f'measured, average of one stride ({gait_period:g} s)')
            if len(asked):
                axes.step(asked.received, asked.velocity[:, column], where='post', color=INK, linestyle='--',
                          linewidth=1.4, label='commanded')
            axes.set_ylabel(label)
        for start, _, command in checks.find_segments(recording):
            for axes in panels:
                axes.axvline(start, color=GREY, linewidth=0.8, linestyle=':')
            panels[0].annotate(name_of(command), (start, 1.0), xycoords=('data', 'axes fraction'), xytext=(4, 2),
                               textcoords='offset points', fontsize=9, color=GREY, annotation_clip=False)
        panels[1].set_xlabel('time [s]')
        start, end = recording.driven
        panels[1].set_xlim(max(times[0], start - 1.0), min(times[-1], end + 1.0))
        drawn.legend(*panels[0].get_legend_handles_labels(), loc='outside upper right', ncols=3)


def name_of(command: Sequence[float]) -> str:
    """A velocity command in one word."""
    if not any(command):
        return 'stand'
    if command[2]:
        return 'turn'
    return 'forward' if command[0] > 0 else 'backward' if command[0] < 0 else 'sideways'


def joint_ranges(path: Path, recording: Recording, robot: RobotModel, limits: ShieldLimits) -> None:
    """Where each joint went and was sent, on a scale from its lower to its upper limit."""
    measured, commanded = recording.states.position, recording.commands.position
    if not len(measured):
        raise ValueError('no joint states were recorded')
    bounded = np.flatnonzero(np.isfinite(robot.position_lower) & np.isfinite(robot.position_upper))
    low, span = robot.position_lower[bounded], (robot.position_upper - robot.position_lower)[bounded]

    def share(position: FloatArray) -> FloatArray:
        return 100 * (position - low) / span

    rows = np.arange(len(bounded))[::-1]
    with figure(path, 9.0, 0.235 * len(bounded) + 1.2) as drawn:
        axes = drawn.subplots()
        axes.barh(rows, 100, height=0.72, color=FAINT, label='limits of the URDF')
        inside = share(limits.position_lower[bounded]), share(limits.position_upper[bounded])
        axes.barh(rows, inside[1] - inside[0], left=inside[0], height=0.72, color='#cbd2d9',
                  label='limits of the shield')
        reach = [-2.0, 102.0]  # a target may lie beyond a limit
        if len(commanded):
            ends = share(np.nanmin(commanded[:, bounded], axis=0)), share(np.nanmax(commanded[:, bounded], axis=0))
            axes.barh(rows, ends[1] - ends[0], left=ends[0], height=0.5, color=ORANGE, label='commanded')
            reach = [min(-2.0, float(ends[0].min()) - 2), max(102.0, float(ends[1].max()) + 2)]
        ends = share(np.nanmin(measured[:, bounded], axis=0)), share(np.nanmax(measured[:, bounded], axis=0))
        axes.barh(rows, ends[1] - ends[0], left=ends[0], height=0.24, color=BLUE, label='measured')
        axes.plot(share(robot.default_position[bounded]), rows, '|', color=INK, markersize=7, markeredgewidth=1.4,
                  label='default pose')
        axes.set_yticks(rows, [plain(robot.joint_names[i]) for i in bounded], fontsize=8.5)
        axes.set(xlabel="share of the joint's range [%]", xlim=reach, ylim=(-0.7, len(bounded) - 0.3))
        axes.grid(axis='y', visible=False)
        drawn.legend(loc='outside upper center', ncols=5)


def plain(joint: str) -> str:
    """A joint's name without the word that all share."""
    return joint.removesuffix('_joint').replace('_', ' ')


def shield_corrections(path: Path, recording: Recording, robot: RobotModel) -> None:
    """By how much the shield changed each joint's command, over time, and in how many commands."""
    times, change = checks.corrections(recording)
    if not len(times):
        raise ValueError('no commands of the policy were recorded')
    size, rate = np.abs(change), 100 * (np.abs(change) > 1e-6).mean(axis=0)
    edges = np.linspace(times[0], times[-1], min(200, len(times)) + 1)
    binned = np.zeros((robot.num_joints, len(edges) - 1))
    place = np.clip(np.searchsorted(edges, times, side='right') - 1, 0, len(edges) - 2)
    np.maximum.at(binned.T, place, np.nan_to_num(size))
    with figure(path, 9.0, 0.18 * robot.num_joints + 1.3) as drawn:
        heat, bars = drawn.subplots(1, 2, width_ratios=[3, 1], sharey=True)
        top = max(float(binned.max()), 1e-3)
        image = heat.pcolormesh(edges, np.arange(robot.num_joints + 1) - 0.5, np.ma.masked_less(binned, 1e-6),
                                cmap='cividis_r', norm=LogNorm(vmin=min(1e-4, top / 10), vmax=top))
        heat.set_yticks(np.arange(robot.num_joints), [plain(name) for name in robot.joint_names], fontsize=8)
        heat.set(xlabel='time [s]', title='Size of the correction', ylim=(robot.num_joints - 0.5, -0.5))
        if not binned.max() > 1e-6:
            heat.text(0.5, 0.5, 'no command was corrected', transform=heat.transAxes, ha='center', color=GREY)
        for time, mode in recording.transitions():
            if times[0] <= time <= times[-1]:
                heat.axvline(time, color=RED, linewidth=1, linestyle=':')
                heat.annotate(mode.lower(), (time, 0.0), xycoords=('data', 'axes fraction'), xytext=(3, 3),
                              textcoords='offset points', color=RED, fontsize=8)
        drawn.colorbar(image, ax=heat, label='largest |applied − requested| [rad]', pad=0.01)
        bars.barh(np.arange(robot.num_joints), rate, color=BLUE, height=0.7)
        bars.set(xlabel='commands corrected [%]', title='How often', xlim=(0, max(1.0, float(rate.max()) * 1.1)))
        bars.tick_params(labelleft=False)


def loop_timing(path: Path, recording: Recording, control_period: float) -> None:
    """Regularity of the commands, and how old the observation was that a command answered."""
    intervals = 1e3 * checks.command_intervals(recording)
    if len(intervals) < 2:
        raise ValueError('no commands were recorded')
    period = 1e3 * control_period
    with figure(path, 9.0, 3.4) as drawn:
        left, right = drawn.subplots(1, 2)
        reach = max(float(np.percentile(np.abs(intervals - period), 99.5)), 0.5) * 1.2
        left.hist(np.clip(intervals, period - reach, period + reach), bins=60, color=BLUE)
        left.axvline(period, color=INK, linestyle='--', linewidth=1.2, label=f'control period, {period:g} ms')
        left.set(xlabel='time between commands to the robot [ms]', ylabel='commands [-]', yscale='log',
                 title='Regularity')
        left.legend(loc='upper right')
        for ages, colour, label in zip(checks.observation_ages(recording), (SKY, ORANGE),
                                       ('answered by the policy', 'passed on by the shield')):
            if ages.size:
                right.plot(np.sort(1e3 * ages), 100 * (np.arange(ages.size) + 1) / ages.size, color=colour, label=label)
        right.set(xlabel='age of the observation [ms]', ylabel='commands at most this old [%]', title='Reaction',
                  ylim=(0, 101))
        right.set_xlim(left=0)
        if right.lines:
            right.legend(loc='lower right')

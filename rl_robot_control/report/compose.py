"""Fills a report's pictures from a recording and from training progress."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rl_robot_control.report import figures, video
from rl_robot_control.report.figures import Curve
from rl_robot_control.report.page import Picture, Report
from rl_robot_control.report.recording import Recording
from rl_robot_control.robots import RobotModel
from rl_robot_control.shield.limits import ShieldLimits


def add_run_figures(report: Report, recording: Recording, robot: RobotModel, limits: ShieldLimits,
                    control_period: float, gait_period: float = 0.8) -> None:
    """Draw what a recording shows; a figure for which data are missing becomes a note."""
    _add(report, 'velocity.png', 'Velocity', 'Dashed: what cmd_vel asked for. Dark: the average over one stride, since '
         'a walking body sways within each.', lambda path: figures.velocity(path, recording, gait_period))
    _add(report, 'joint_ranges.png', 'Joint positions inside their limits', 'Each bar is a joint’s whole range; the '
         'robot moved within the blue part and was sent to the orange one. A leg’s target may lie beyond a limit: it '
         'is a handle on torque, and the shield draws it in as the joint comes near.',
         lambda path: figures.joint_ranges(path, recording, robot, limits))
    _add(report, 'shield_corrections.png', 'Shield corrections', 'Where the command to the robot differs from what the '
         'policy asked for. Dotted: the shield’s changes of mode.',
         lambda path: figures.shield_corrections(path, recording, robot))
    _add(report, 'loop_timing.png', 'Loop timing', 'Left: time between commands (bars at the ends hold what lies '
         'beyond). Right: time from the publication of an observation to that of its answer.',
         lambda path: figures.loop_timing(path, recording, control_period))


def add_learning_curve(report: Report, curves: list[Curve], before: float | None, after: float | None) -> None:
    """Draw the learning curve, and the return before and after training over topics."""
    _add(report, 'learning_curve.png', 'Learning curve', 'Return per episode while learning in memory and then over '
         'topics (right of the dotted line).' + (' Bars: evaluated over topics before and after that stage.'
                                                 if before is not None and after is not None else ''),
         lambda path: figures.learning_curve(path, curves, before, after))


def add_pictures(report: Report, recording: Recording, robot: RobotModel) -> None:
    """Draw the robot itself; where no OpenGL is found, say what to install and go on."""
    try:
        video.render(recording, robot, report.folder)
    except video.RenderingError as error:
        report.note(str(error))
        return
    report.add_figure(Picture(file=video.ANIMATION, title='Recorded run', caption='The recorded joint states and '
                              'odometry of the deployed policy, drawn by MuJoCo.'))
    report.add_figure(Picture(file=video.STRIP, title='Moments of the run',
                              caption='The same at equally spaced times.'))


def read_curve(path: Path, label: str, steps: str, value: str) -> Curve:
    """A learning curve from a file of one JSON object per line; lines without the value are left out.

    Args:
        path: ``metrics.jsonl`` of a run; one that is missing gives an empty curve.
        label: Name for the legend.
        steps, value: Keys of the number of environment steps and of the return.
    """
    rows: list[dict[str, Any]] = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:  # the last line of a run that was killed
            continue
        if np.isfinite([row.get(steps, np.nan), row.get(value, np.nan)]).all():
            rows.append(row)
    return Curve(label=label, steps=np.array([row[steps] for row in rows], dtype=np.float64),
                 returns=np.array([row[value] for row in rows], dtype=np.float64))


def _add(report: Report, file: str, title: str, caption: str, draw: Callable[[Path], None]) -> None:
    report.folder.mkdir(parents=True, exist_ok=True)
    try:
        draw(report.folder / file)
    except ValueError as error:
        report.note(f'{title}: {error}.')
        return
    report.add_figure(Picture(file=file, title=title, caption=caption))

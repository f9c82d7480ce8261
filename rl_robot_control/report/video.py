"""Pictures of the robot from a recorded run: a strip of single moments and a short animation.

Drawing needs OpenGL without a window. A missing or broken driver can end the whole process, so drawing is done by a
child process, which tries one driver after the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rl_robot_control.errors import RobotControlError
from rl_robot_control.report import checks
from rl_robot_control.report.recording import Recording
from rl_robot_control.robots import RobotModel
from rl_robot_control.types import FloatArray

STRIP, ANIMATION = 'robot_strip.png', 'robot.webp'
SIZE = (480, 360)  # of one picture [pixel]
RATE = 10.0  # of the animation [1/s]
MOMENTS = 8  # in the strip
DRIVERS = ('egl', 'osmesa')
INSTALL = 'apt-get install libegl1 libgl1-mesa-dri (or libosmesa6)'


class RenderingError(RobotControlError):
    """No picture could be drawn; the message says what to install."""


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Where the robot was at F moments."""

    time: FloatArray  # (F,) [s]
    joints: FloatArray  # (F, J) [rad]
    position: FloatArray  # (F, 3) of the base in the world [m]
    quaternion: FloatArray  # (F, 4) x y z w
    label: np.ndarray  # (F,) text to show


def trajectory(recording: Recording, robot: RobotModel, rate: float = RATE) -> Trajectory:
    """The robot's motion at equally spaced times, from its joint states and odometry.

    Raises:
        RenderingError: One of the two is missing.
    """
    states, base = recording.states, recording.base
    if len(states) < 2 or (robot.floating and len(base) < 2):
        raise RenderingError('the recording holds no joint states or no odometry, so there is nothing to draw.')
    start, end = states.received[0], states.received[-1]
    if robot.floating:
        start, end = max(start, base.received[0]), min(end, base.received[-1])
    first, last = recording.driven
    times = np.arange(max(start, first), min(end, last + 0.5), 1 / rate)
    if len(times) < 2:
        raise RenderingError('the recording is too short to be drawn.')
    known = np.where(np.isnan(states.position), robot.default_position, states.position)
    joints = np.column_stack([np.interp(times, states.received, column) for column in known.T])
    position, quaternion = np.zeros((len(times), 3)), np.tile([0.0, 0.0, 0.0, 1.0], (len(times), 1))
    if robot.floating:
        position = np.column_stack([np.interp(times, base.received, column) for column in base.position.T])
        quaternion = _interpolate(times, base.received, base.quaternion)
    return Trajectory(time=times, joints=joints, position=position, quaternion=quaternion,
                      label=_labels(recording, times))


def render(recording: Recording, robot: RobotModel, folder: Path, timeout: float = 180.0) -> list[Path]:
    """Draw the strip and the animation into a folder.

    Args:
        recording: What was recorded.
        robot: The robot.
        folder: Where ``robot_strip.png`` and ``robot.webp`` are written.
        timeout: How long one driver may take [s].

    Raises:
        RenderingError: No driver works; the message says what to install.
    """
    motion, causes = trajectory(recording, robot), []
    chosen = os.environ.get('MUJOCO_GL')
    for driver in (chosen,) if chosen else DRIVERS:
        cause = _render_with(driver, motion, robot, folder, timeout)
        if cause is None:
            return [folder / STRIP, folder / ANIMATION]
        causes.append(f'{driver}: {cause}')
    raise RenderingError(f'no picture of the robot: MuJoCo found no OpenGL to draw without a window '
                         f'({"; ".join(causes)}). Install it, e.g. with: {INSTALL}')


def _render_with(driver: str, motion: Trajectory, robot: RobotModel, folder: Path, timeout: float) -> str | None:
    """Draw in a child process; None if it worked, else why not."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / 'trajectory.npz'
        np.savez(source, **vars(motion))
        command = [sys.executable, '-m', 'rl_robot_control.report.video', _reference(robot), str(source), str(folder)]
        environment = {**os.environ, 'MUJOCO_GL': driver, 'PYOPENGL_PLATFORM': driver}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return f'took longer than {timeout:g} s'
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f'the process ended with code {done.returncode}'


def _reference(robot: RobotModel) -> str:
    """What ``load_robot`` takes for this robot."""
    return robot.settings.name


def _labels(recording: Recording, times: FloatArray) -> np.ndarray:
    labels = [f'{time - times[0]:.1f} s' for time in times]
    for start, end, (vx, vy, wz) in checks.find_segments(recording):
        for i in np.flatnonzero((times >= start) & (times < end)):
            turn = f', {wz:g} rad/s' if wz else ''
            aside = f', {vy:g} m/s aside' if vy else ''
            labels[i] += f'   asked: {vx:g} m/s{aside}{turn}'
    return np.array(labels)


def _interpolate(times: FloatArray, known: FloatArray, quaternion: FloatArray) -> FloatArray:
    """Orientation between neighbouring samples, by normalised linear interpolation."""
    flips = np.sum(quaternion[1:] * quaternion[:-1], axis=1) < 0
    continuous = quaternion * np.concatenate([[1.0], np.cumprod(np.where(flips, -1.0, 1.0))])[:, None]
    mixed = np.column_stack([np.interp(times, known, column) for column in continuous.T])
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def _draw(robot_name: str, source: Path, folder: Path) -> None:
    """The child process's work."""
    from PIL import Image

    from rl_robot_control.report.scene import Camera
    from rl_robot_control.robots import load_robot

    motion = Trajectory(**np.load(source))
    robot = load_robot(robot_name)
    camera = Camera(robot, *SIZE)
    look_at = _steady(motion, 0.86 * robot.settings.base.height)
    pictures = [_labelled(Image.fromarray(camera.draw(q, p, o, at)), str(label)) for q, p, o, at, label in zip(
        motion.joints, motion.position, motion.quaternion, look_at, motion.label)]
    folder.mkdir(parents=True, exist_ok=True)
    pictures[0].save(folder / ANIMATION, save_all=True, append_images=pictures[1:], duration=round(1000 / RATE), loop=0,
                     quality=70, method=2)
    _strip([pictures[i] for i in np.linspace(0, len(pictures) - 1, MOMENTS).round().astype(int)], folder / STRIP)


def _steady(motion: Trajectory, height: float) -> FloatArray:
    """Points to look at (F, 3): the base's place without its sway."""
    padded = np.pad(motion.position, ((5, 5), (0, 0)), mode='edge')
    smooth = np.stack([np.convolve(column, np.full(11, 1 / 11), mode='valid') for column in padded.T], axis=-1)
    smooth[:, 2] = height
    return smooth


def _labelled(picture, text: str):
    from PIL import ImageDraw, ImageFont
    ImageDraw.Draw(picture).text((10, SIZE[1] - 28), text, fill=(31, 41, 51), font=ImageFont.load_default(size=18))
    return picture


def _strip(pictures: list, path: Path) -> None:
    """Two rows of pictures."""
    from PIL import Image
    columns, gap = (len(pictures) + 1) // 2, 4
    sheet = Image.new('RGB', (columns * (SIZE[0] + gap) - gap, 2 * SIZE[1] + gap), 'white')
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * (SIZE[0] + gap), i // columns * (SIZE[1] + gap)))
    sheet.save(path)


if __name__ == '__main__':
    _draw(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))

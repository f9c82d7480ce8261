"""A schedule of velocity commands, and the small driver that publishes it on ``cmd_vel``.

A schedule is text: pieces separated by blanks, each ``SECONDS:VX,VY,WZ`` or ``NAME:SECONDS[@VALUE]``, e.g.
``4:0,0,0 8:0.6,0,0`` or ``stand:4 forward:8@0.6 left:4@0.5 stop:4``. ``use_POLICY:SECONDS`` lets a loaded policy take
over, with a velocity of zero for so long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rl_robot_control.errors import ConfigurationError, UnknownNameError

FORM = "'SECONDS:VX,VY,WZ' (e.g. 8:0.6,0,0) or 'NAME:SECONDS[@VALUE]' (e.g. forward:8@0.6)"

# name → (direction vx, vy, wz; value where none is given [m/s] or [rad/s])
NAMED = {
    'stand': ((0, 0, 0), 0.0), 'stop': ((0, 0, 0), 0.0), 'forward': ((1, 0, 0), 0.6), 'backward': ((-1, 0, 0), 0.3),
    'left': ((0, 1, 0), 0.2), 'right': ((0, -1, 0), 0.2),
    'turn_left': ((0, 0, 1), 0.5), 'turn_right': ((0, 0, -1), 0.5),
}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One constant velocity command."""

    duration: float  # [s]
    velocity: tuple[float, float, float]  # vx, vy [m/s], wz [rad/s]
    name: str = ''
    policy: str = ''  # that takes over when the segment begins; empty: none


class CommandProfile:
    """Velocity commands one after the other.

    Args:
        segments: At least one.
    """

    def __init__(self, segments: list[Segment]) -> None:
        self.segments = tuple(segments)

    @property
    def duration(self) -> float:
        """Of the whole schedule [s]."""
        return sum(segment.duration for segment in self.segments)

    def segment_at(self, elapsed: float) -> Segment | None:
        """The segment in force after ``elapsed`` seconds; None after the end."""
        for segment in self.segments:
            if elapsed < segment.duration:
                return segment
            elapsed -= segment.duration
        return None


def parse_profile(text: str) -> CommandProfile:
    """Read a schedule.

    Args:
        text: Pieces separated by blanks, semicolons, or (between named pieces) commas.

    Raises:
        ConfigurationError: A piece is malformed; the message names it.
    """
    pieces = _pieces(text)
    if not pieces:
        raise ConfigurationError(f'the command profile {text!r} is empty; give pieces of the form {FORM}.')
    return CommandProfile([_segment(piece) for piece in pieces])


def _pieces(text: str) -> list[str]:
    """Split at blanks and semicolons, and at a comma after which a new 'NAME:' or 'SECONDS:' begins."""
    joined: list[str] = []
    for word in text.replace(';', ' ').split():
        for part in word.split(','):
            if ':' in part or not joined or joined[-1].endswith(' '):
                joined.append(part)
            else:
                joined[-1] += f',{part}'
        joined[-1] += ' '
    return [piece.strip() for piece in joined if piece.strip()]


def _segment(piece: str) -> Segment:
    head, colon, tail = piece.partition(':')
    if not colon:
        raise ConfigurationError(f"command profile: piece '{piece}' has no ':'; the form is {FORM}.")
    if _is_number(head):
        values = [_number(part, piece) for part in tail.split(',')]
        if len(values) != 3:
            raise ConfigurationError(f"command profile: piece '{piece}' gives {len(values)} velocities; three are "
                                     'needed: vx, vy [m/s] and wz [rad/s].')
        return Segment(duration=_duration(head, piece), velocity=(values[0], values[1], values[2]))
    if head.startswith('use_') and len(head) > 4:
        return Segment(duration=_duration(tail, piece), velocity=(0.0, 0.0, 0.0), name=head, policy=head[4:])
    if head not in NAMED:
        raise UnknownNameError('command', head, NAMED, where=f"command profile, piece '{piece}'")
    seconds, at, value = tail.partition('@')
    direction, default = NAMED[head]
    size = _number(value, piece) if at else default
    velocity = (float(size * direction[0]), float(size * direction[1]), float(size * direction[2]))
    return Segment(duration=_duration(seconds, piece), velocity=velocity, name=head)


def _duration(text: str, piece: str) -> float:
    seconds = _number(text, piece)
    if seconds <= 0:
        raise ConfigurationError(f"command profile: piece '{piece}' lasts {seconds:g} s; a duration must be positive.")
    return seconds


def _number(text: str, piece: str) -> float:
    if not _is_number(text) or not math.isfinite(float(text)):
        raise ConfigurationError(f"command profile: '{text}' in piece '{piece}' is no finite number; the form is "
                                 f'{FORM}.')
    return float(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

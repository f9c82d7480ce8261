"""The numbers that the shield enforces, each with the place that it comes from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.robots.model import ShieldSettings
from rl_robot_control.types import FloatArray

LARGEST_MARGIN = 0.05  # [rad]
MARGIN_FRACTION = 0.02  # of the joint's range


@dataclass(frozen=True, kw_only=True)
class ShieldLimits:
    """Bounds on the commanded references and on the ages of messages. Joint arrays have shape (J,).

    Raises:
        ConfigurationError: A bound is not positive or not finite, or a joint's lower limit is not below its upper one.
    """

    position_lower: FloatArray  # of the measured joint [rad], -inf where continuous; the margin is already inside
    position_upper: FloatArray  # of the measured joint [rad], +inf where continuous
    velocity: FloatArray  # of the reference [rad/s]
    acceleration: FloatArray  # of the reference [rad/s²]
    effort: FloatArray  # that the drive's gains may ask for [N·m]
    stiffness: FloatArray  # of the drive [N·m/rad]
    damping: FloatArray  # of the drive [N·m·s/rad]
    default_position: FloatArray  # [rad]
    overshoot: FloatArray | float = 0.0  # of the reference beyond the limits, while the joint is far from them [rad]
    tilt: float | None = 1.0  # of the base [rad]; None: not checked
    tilt_duration: float = 0.04  # that the tilt may be exceeded for [s]
    command_timeout: float = 0.1  # an older command makes the reference brake [s]
    command_damping_timeout: float = 0.5  # an older command leads to damping [s]
    state_timeout: float = 0.05  # an older state leads to damping [s]
    max_rejected: int = 10  # rejected commands in a row that latch
    rest_velocity: float = 0.1  # every joint must be slower than this to re-arm [rad/s]
    sources: dict[str, str] = field(default_factory=dict)  # field → where its value comes from

    def __post_init__(self) -> None:
        for name in ('velocity', 'acceleration', 'effort', 'stiffness'):
            _check_each(name, getattr(self, name), minimum='above 0', good=getattr(self, name) > 0)
        _check_each('damping', self.damping, minimum='0 or more', good=self.damping >= 0)
        wrong = np.flatnonzero(~(self.position_lower < self.position_upper))
        if wrong.size:
            i = wrong[0]
            raise ConfigurationError(f'shield limits: joint {i} may move from {self.position_lower[i]} to '
                                     f'{self.position_upper[i]} rad; the lower limit must be below the upper one. '
                                     'Reduce position_margin.')
        for name in ('tilt', 'tilt_duration', 'command_timeout', 'command_damping_timeout', 'state_timeout',
                     'max_rejected', 'rest_velocity'):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                raise ConfigurationError(f'shield limits: {name} is {value}; it must be a finite number, 0 or more.')

    @property
    def num_joints(self) -> int:
        """J."""
        return len(self.velocity)

    @classmethod
    def from_robot(cls, robot: RobotModel) -> ShieldLimits:
        """Limits of a robot: its URDF's, reduced by the margins and fractions of its YAML or by the defaults."""
        rules, span = robot.settings.shield, robot.position_upper - robot.position_lower
        margin = np.minimum(LARGEST_MARGIN, MARGIN_FRACTION * span)
        if rules.position_margin is not None:
            if not rules.position_margin >= 0:
                raise ConfigurationError(f'{robot.name}: shield position_margin is {rules.position_margin} rad; it '
                                         'must be 0 or more.')
            margin = np.full(span.shape, rules.position_margin)
        return cls(position_lower=robot.position_lower + margin, position_upper=robot.position_upper - margin,
                   velocity=robot.reference_velocity_limit, acceleration=robot.acceleration_limit,
                   effort=rules.effort_fraction * robot.effort_limit, stiffness=robot.stiffness, damping=robot.damping,
                   default_position=robot.default_position, overshoot=robot.overshoot,
                   tilt=rules.tilt_limit if robot.floating else None,
                   tilt_duration=rules.tilt_duration, sources=_sources(robot))


def _sources(robot: RobotModel) -> dict[str, str]:
    """Where each limit comes from, by field name."""
    rules, default, yaml = robot.settings.shield, ShieldSettings(), f'robot YAML ({robot.name})'

    def of(name: str) -> str:
        return 'default' if getattr(rules, name) == getattr(default, name) else yaml

    margin = 'default: 0.05 rad or 2 % of the range' if rules.position_margin is None else yaml
    own = {field.name: 'default' for field in dataclasses.fields(ShieldLimits) if field.name != 'sources'}
    return own | dict.fromkeys(('acceleration', 'stiffness', 'damping', 'default_position', 'overshoot'), yaml) | {
        'position_lower': f'URDF + margin ({margin})', 'position_upper': f'URDF - margin ({margin})',
        'velocity': f'URDF × {rules.velocity_fraction} ({of("velocity_fraction")})'
        + (f', or {yaml}' if any(joint.velocity_limit for joint in robot.settings.joints.values()) else ''),
        'effort': f'URDF × {rules.effort_fraction} ({of("effort_fraction")})',
        'tilt': of('tilt_limit') if robot.floating else 'fixed base', 'tilt_duration': of('tilt_duration')}


def _check_each(name: str, values: FloatArray, minimum: str, good: np.ndarray) -> None:
    wrong = np.flatnonzero(~(good & np.isfinite(values)))
    if wrong.size:
        raise ConfigurationError(f'shield limits: {name} of joint {wrong[0]} is {values[wrong[0]]}; it must be finite '
                                 f'and {minimum}.')

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
GRAVITY = 9.81  # [m/s²]
MARGIN_FRACTION = 0.02  # of the joint's range
IMPOSSIBLE = 2.0  # of the URDF's velocity: no drive turns so fast, so it is a wrong measurement or a broken robot


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
    jerk: FloatArray | None = None  # of the reference [rad/s³], inf where unset; None: nowhere
    torque_rate: FloatArray | None = None  # of what the gains ask for [N·m/s], inf where unset; None: nowhere
    stops: tuple[FloatArray, FloatArray] | None = None  # where the joints really end [rad]; None: measured joints are
    # not watched
    measured_velocity: FloatArray | None = None  # of the measured joint [rad/s]; given with the stops
    measured_velocity_fault: FloatArray | None = None  # at which it is a fault [rad/s]; given with the stops
    stop_margin: FloatArray | float = 0.05  # that measured joints keep from their stops [rad]
    braking_share: FloatArray | float = 0.25  # of the effort that gravity leaves, on which stopping them counts [-]
    measured_position_fault: float = 0.2  # beyond the stop, at which the measurement is a fault [rad]
    overshoot: FloatArray | float = 0.0  # of the reference beyond the limits, while the joint is far from them [rad]
    tilt: float | None = 1.0  # of the base [rad]; None: not checked
    tilt_duration: float = 0.04  # that tilt, turning, height and contact force may be out of bounds for [s]
    turn: float | None = None  # angular velocity of the base [rad/s]; None: not checked
    height: tuple[float, float] | None = None  # of the base in the world [m]; None: not checked
    contact_force: float | None = None  # on one of the contact frames [N]; None: not checked
    unloaded: float | None = None  # time for which no contact frame may be loaded while commands are followed [s]
    contact_frames: tuple[int, ...] = ()  # indices of the frames whose contacts are checked
    require_measurements: bool = False  # whether a state without the measurements of a check is no state
    command_timeout: float = 0.1  # an older command makes the reference brake [s]
    command_damping_timeout: float = 0.5  # an older command leads to damping [s]
    state_timeout: float = 0.05  # an older state leads to damping [s]
    max_rejected: int = 10  # rejected commands in a row that latch
    rest_velocity: float = 0.1  # every joint must be slower than this to re-arm [rad/s]
    sources: dict[str, str] = field(default_factory=dict)  # field → where its value comes from

    def __post_init__(self) -> None:
        for name in ('velocity', 'acceleration', 'effort', 'stiffness'):
            _check_each(name, getattr(self, name), minimum='above 0', good=getattr(self, name) > 0)
        for name, values in [('jerk', self.jerk), ('torque_rate', self.torque_rate)]:
            if values is not None:
                _check_each(name, np.where(np.isposinf(values), 1.0, values), 'above 0', values > 0)
        self._check_measured()
        _check_each('damping', self.damping, minimum='0 or more', good=self.damping >= 0)
        wrong = np.flatnonzero(~(self.position_lower < self.position_upper))
        if wrong.size:
            i = wrong[0]
            raise ConfigurationError(f'shield limits: joint {i} may move from {self.position_lower[i]} to '
                                     f'{self.position_upper[i]} rad; the lower limit must be below the upper one. '
                                     'Reduce position_margin.')
        for name in ('tilt', 'tilt_duration', 'turn', 'contact_force', 'unloaded', 'command_timeout',
                     'command_damping_timeout', 'state_timeout', 'max_rejected', 'rest_velocity',
                     'measured_position_fault'):
            value = getattr(self, name)
            if value is not None and not 0 <= value < np.inf:
                raise ConfigurationError(f'shield limits: {name} is {value}; it must be a finite number, 0 or more.')

    def _check_measured(self) -> None:
        needed = {name: getattr(self, name) for name in ('stops', 'measured_velocity', 'measured_velocity_fault')}
        missing = [name for name, value in needed.items() if value is None]
        if 0 < len(missing) < len(needed):
            raise ConfigurationError(f'shield limits: to watch the measured joints {", ".join(needed)} are needed; '
                                     f'{", ".join(missing)} is not given.')
        if not missing:
            for name in ('measured_velocity', 'measured_velocity_fault'):
                _check_each(name, needed[name], 'above 0', np.asarray(needed[name]) > 0)
            margin = np.broadcast_to(self.stop_margin, self.velocity.shape)
            _check_each('stop_margin', margin, 'between 0 and half the range', (margin >= 0) & (
                2 * margin < self.stops[1] - self.stops[0]))
        if self.height is not None and not self.height[0] < self.height[1]:
            raise ConfigurationError(f'shield limits: height is {self.height}; the lower limit must be below the upper '
                                     'one.')

    @property
    def watches_contacts(self) -> bool:
        """Whether any check of contacts is configured."""
        return bool(self.contact_frames) and not (self.contact_force is self.unloaded is None)

    def hanging(self) -> ShieldLimits:
        """The same for a robot that hangs: its feet touch nothing, and nothing is wrong."""
        return dataclasses.replace(self, unloaded=None)

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
        margin = np.where(np.isnan(robot.position_margin), margin, robot.position_margin)
        contacts = tuple(i for i, f in enumerate(robot.settings.frames.values()) if f.contact is not None)
        weight = GRAVITY * robot.mass
        return cls(position_lower=robot.position_lower + margin, position_upper=robot.position_upper - margin,
                   velocity=robot.reference_velocity_limit, acceleration=robot.acceleration_limit,
                   effort=robot.reference_effort_limit, stiffness=robot.stiffness, damping=robot.damping,
                   default_position=robot.default_position, overshoot=robot.overshoot,
                   jerk=_where_set(robot.jerk_limit), torque_rate=_where_set(robot.torque_rate_limit),
                   stops=(robot.position_lower, robot.position_upper), measured_velocity=robot.measured_velocity_limit,
                   measured_velocity_fault=IMPOSSIBLE * robot.velocity_limit, stop_margin=robot.stop_margin,
                   braking_share=robot.braking_share,
                   tilt=rules.tilt_limit if robot.floating else None,
                   tilt_duration=rules.tilt_duration, turn=rules.turn_limit if robot.floating else None,
                   height=rules.height_limits if robot.floating else None, contact_frames=contacts,
                   contact_force=rules.contact_limit * weight if rules.contact_limit and contacts else None,
                   unloaded=rules.unloaded_limit if contacts else None,
                   require_measurements=rules.require_measurements, sources=_sources(robot))


def _where_set(values: FloatArray) -> FloatArray | None:
    """Bounds, or None if none is finite: what is set nowhere must cost nothing."""
    return values if np.isfinite(values).any() else None


def _sources(robot: RobotModel) -> dict[str, str]:
    """Where each limit comes from, by field name."""
    rules, default, yaml = robot.settings.shield, ShieldSettings(), f'robot YAML ({robot.name})'

    def of(name: str) -> str:
        return 'default' if getattr(rules, name) == getattr(default, name) else yaml

    margin = 'default: 0.05 rad or 2 % of the range' if rules.position_margin is None else yaml
    own = {field.name: 'default' for field in dataclasses.fields(ShieldLimits) if field.name != 'sources'}
    return own | dict.fromkeys(('acceleration', 'stiffness', 'damping', 'default_position', 'overshoot'), yaml) | {
        'position_lower': f'URDF + margin ({margin})', 'position_upper': f'URDF - margin ({margin})',
        'velocity': f'URDF × {rules.velocity_fraction} ({of("velocity_fraction")})',
        'effort': f'URDF × {rules.effort_fraction} ({of("effort_fraction")})',
        'tilt': of('tilt_limit') if robot.floating else 'fixed base', 'tilt_duration': of('tilt_duration'),
        'turn': of('turn_limit') if robot.floating else 'fixed base',
        'jerk': 'not limited', 'torque_rate': 'not limited',
        'height': of('height_limits') if robot.floating else 'fixed base', 'stops': 'URDF',
        'stop_margin': of('stop_margin'), 'braking_share': of('braking_share'),
        'measured_velocity': f'URDF × {rules.measured_velocity_fraction} ({of("measured_velocity_fraction")})',
        'measured_velocity_fault': f'URDF × {IMPOSSIBLE}',
        'contact_force': f'{of("contact_limit")} × weight from URDF', 'unloaded': of('unloaded_limit'),
        'require_measurements': of('require_measurements'), 'contact_frames': yaml}


def _check_each(name: str, values: FloatArray, minimum: str, good: np.ndarray) -> None:
    wrong = np.flatnonzero(~(good & np.isfinite(values)))
    if wrong.size:
        raise ConfigurationError(f'shield limits: {name} of joint {wrong[0]} is {values[wrong[0]]}; it must be finite '
                                 f'and {minimum}.')

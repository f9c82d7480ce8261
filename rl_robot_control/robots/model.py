"""What a robot is: joints and limits from its URDF, and what a URDF lacks from ``config/robots/<name>.yaml``."""

from __future__ import annotations

import dataclasses
import functools
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np
from pydantic import Field

from rl_robot_control.config import config_names, find_config, load_settings, settings
from rl_robot_control.errors import ConfigurationError, RobotDescriptionError, UnknownNameError
from rl_robot_control.robots.geometry_settings import SelfCollisionSettings, WorkspaceSettings
from rl_robot_control.robots.joint_order import check_same_joints
from rl_robot_control.robots.urdf import UrdfJoint, load_urdf, movable_joints, resolve_uri
from rl_robot_control.types import BoolArray, FloatArray, InitialState, RobotState

if TYPE_CHECKING:
    from rl_robot_control.robots.hardware import HardwareSettings

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]
Vector3 = tuple[float, float, float]
ControllerType = Literal['position', 'effort', 'trajectory', 'joint_state', 'drive']
CONTROLLER_TYPES: tuple[str, ...] = get_args(ControllerType)
TOPIC_NAME = r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*'


@settings
class JointSettings:
    """What the URDF does not say about the joints that a pattern matches."""

    default_position: float = 0.0  # [rad]
    stiffness: Positive  # proportional gain of the position drive [N·m/rad]
    damping: Positive  # derivative gain of the position drive [N·m·s/rad]
    armature: Annotated[float, Field(ge=0)] = 0.0  # reflected rotor inertia [kg·m²]
    acceleration_limit: Positive  # bound on the commanded reference [rad/s²]
    velocity_limit: Positive | None = None  # bound on the commanded reference [rad/s]; null: the shield's fraction of
    # the URDF's. A leg's target jumps every period, as a handle on torque, and may move faster than the joint can.
    position_margin: Annotated[float, Field(ge=0)] | None = None  # inside the URDF's limits [rad]; null: the robot's
    stop_margin: Annotated[float, Field(ge=0)] | None = None  # that the measured joint keeps from them [rad]; likewise
    measured_velocity_limit: Positive | None = None  # of the measured joint [rad/s]; null: the shield's fraction of
    # the URDF's
    braking_share: Share | None = None  # see ``ShieldSettings``; null: as for the robot
    effort_limit: Positive | None = None  # bound on the torque that the gains ask for [N·m]; null: the shield's
    # fraction of the URDF's
    jerk_limit: Positive | None = None  # bound on the commanded reference [rad/s³]; null: none
    torque_rate_limit: Positive | None = None  # bound on the torque that the gains ask for [N·m/s]; null: none
    overshoot: Annotated[float, Field(ge=0)] = 0.0  # how far the reference may lie beyond the joint's limit [rad], for
    # the same reason; it shrinks to nothing as the measured joint comes to its limit.


@settings
class BaseSettings:
    """The robot's root."""

    kind: Literal['floating', 'fixed']
    link: str
    height: float = 0.0  # of the root above the floor in the default pose [m]


@settings
class ContactSettings:
    """Box, centred in a frame, in which contact forces on the frame's link are summed."""

    size: Vector3  # edge lengths [m]


@settings
class FrameSettings:
    """A named point of interest on a link."""

    link: str
    offset: Vector3 = (0.0, 0.0, 0.0)  # in the link's frame [m]
    contact: ContactSettings | None = None


@settings
class ShieldSettings:
    """A robot's deviations from the shield's default limits; null means "the default"."""

    position_margin: float | None = None  # [rad]
    velocity_fraction: Share = 0.8  # of the URDF's velocity
    effort_fraction: Share = 0.9  # of the URDF's effort
    measured_velocity_fraction: Share = 1.0  # of the URDF's velocity, for measured joints
    stop_margin: Annotated[float, Field(ge=0)] = 0.05  # that measured joints keep from the URDF's limits [rad]
    braking_share: Share = 0.25  # of the effort that gravity leaves, on which stopping measured joints counts; the
    # motion of the other joints has the rest. Less makes them slower near their stops.
    tilt_limit: Positive | None = 1.0  # [rad]; null: no tilt check (fixed base)
    tilt_duration: float = 0.04  # that tilt, turning or height may be out of bounds for [s]
    turn_limit: Positive | None = None  # angular velocity of the base [rad/s]; null: not checked
    height_limits: tuple[float, float] | None = None  # of the base in the world [m]; null: not checked
    contact_limit: Positive | None = None  # force on one contact frame, in robot weights; null: not checked
    unloaded_limit: Positive | None = None  # time without contact while following commands [s]; null: not checked
    require_measurements: bool = False  # true: without the height or contacts that a check needs there is no state;
    # false: a check whose measurement was never there is left out and counted
    why: str = ''  # why these values, for people


@settings
class MirrorSettings:
    """The robot's left-right symmetry."""

    swap: tuple[str, str] = ('left_', 'right_')  # prefixes of twin joints and frames
    negate: list[str]  # regular expressions of the joints whose angle changes sign in a mirror


@settings
class TopicSettings:
    """The robot's own topic names, relative to its namespace."""

    controller: Annotated[str, Field(pattern=f'^{TOPIC_NAME}$')] = 'joint_group_position_controller'
    controller_type: ControllerType = 'position'  # see ``ros/controllers.py``
    controller_joints: list[str] | None = None  # order in which it takes values; null: the robot's


@settings
class RobotSettings:
    """The file ``config/robots/<name>.yaml``."""

    name: str
    description: str = ''
    urdf: str  # path or package:// URI
    base: BaseSettings
    controlled_joints: list[str] | None = None  # null: every movable joint, in the URDF's order
    sdk_joints: list[str | None] | None = None  # joints in the motor order of the vendor's SDK, each of the robot's
    # once; null in the list: a motor that this robot lacks; null: the order is not known
    joints: dict[str, JointSettings]  # regular expression → settings; each joint matches exactly one
    default_pose: dict[str, float] = Field(default_factory=dict)  # regular expression → position [rad], overrides
    frames: dict[str, FrameSettings] = Field(default_factory=dict)
    mirror: MirrorSettings | None = None
    shield: ShieldSettings = Field(default_factory=ShieldSettings)
    self_collision: SelfCollisionSettings | None = None  # null: not checked
    workspace: WorkspaceSettings | None = None  # null: not checked
    topics: TopicSettings = Field(default_factory=TopicSettings)


@dataclass(frozen=True, kw_only=True)
class RobotModel:
    """A robot's joints, limits and frames. Joint arrays have shape (J,) in the order of ``joint_names``."""

    name: str
    urdf_path: Path
    urdf: str  # XML with absolute mesh paths
    settings: RobotSettings
    joint_names: tuple[str, ...]
    continuous: BoolArray
    position_lower: FloatArray  # [rad], -inf where continuous
    position_upper: FloatArray  # [rad], +inf where continuous
    velocity_limit: FloatArray  # [rad/s]
    effort_limit: FloatArray  # [N·m]
    acceleration_limit: FloatArray  # of the commanded reference [rad/s²]
    reference_velocity_limit: FloatArray  # of the commanded reference [rad/s]
    overshoot: FloatArray  # of the commanded reference beyond the limits [rad]
    default_position: FloatArray  # [rad]
    stiffness: FloatArray  # [N·m/rad]
    damping: FloatArray  # [N·m·s/rad]
    armature: FloatArray  # [kg·m²]
    reference_effort_limit: FloatArray  # of what the gains ask for [N·m]
    jerk_limit: FloatArray  # of the commanded reference [rad/s³], inf where unset
    torque_rate_limit: FloatArray  # of what the gains ask for [N·m/s], inf where unset
    position_margin: FloatArray  # inside the position limits [rad], NaN where unset
    measured_velocity_limit: FloatArray  # of the measured joints [rad/s]
    braking_share: FloatArray  # of the effort, for stopping measured joints [-]
    stop_margin: FloatArray  # that measured joints keep from the position limits [rad]
    mass: float  # of all links [kg]

    @property
    def num_joints(self) -> int:
        """J."""
        return len(self.joint_names)

    @property
    def frame_names(self) -> tuple[str, ...]:
        """Names of the K frames, in the order of ``RobotState.frame_position``."""
        return tuple(self.settings.frames)

    @property
    def floating(self) -> bool:
        """Whether the base moves."""
        return self.settings.base.kind == 'floating'

    def with_controller(self, controller: str = '', controller_type: str = '',
                        joints: list[str] | None = None) -> RobotModel:
        """The same robot with another joint controller.

        Args:
            controller: Its name; empty: as it is.
            controller_type: One of ``CONTROLLER_TYPES``; empty: as it is.
            joints: Order in which it takes values; None: as it is.

        Raises:
            ConfigurationError: It is no name for a topic, or there is no such type.
            RobotDescriptionError: These are not the robot's joints.
        """
        if joints is not None:
            check_same_joints(joints, self.joint_names, f"joints of {self.name}'s controller")
        if controller and not re.fullmatch(TOPIC_NAME, controller, re.ASCII):
            raise ConfigurationError(f"controller '{controller}' is no name for a topic: letters, digits and "
                                     "underscores are needed, in parts divided by '/'.")
        if controller_type and controller_type not in CONTROLLER_TYPES:
            raise UnknownNameError('type of controller', controller_type, CONTROLLER_TYPES)
        topics = self.settings.topics
        topics = dataclasses.replace(topics, controller=controller or topics.controller,
                                     controller_type=controller_type or topics.controller_type,
                                     controller_joints=topics.controller_joints if joints is None else joints)
        return dataclasses.replace(self, settings=dataclasses.replace(self.settings, topics=topics))

    def with_hardware(self, hardware: HardwareSettings) -> RobotModel:
        """The same robot, reached as a file of ``config/hardware`` says.

        Args:
            hardware: From ``hardware.load_hardware``.

        Raises:
            ConfigurationError: It is another robot's, or its joints are not this robot's.
        """
        if hardware.robot != self.name:
            raise ConfigurationError(f"the hardware is for robot '{hardware.robot}', and the robot is '{self.name}'.")
        return self.with_controller(hardware.controller, hardware.controller_type, hardware.joints)

    @property
    def controller_joints(self) -> tuple[str, ...]:
        """(J,) joints in the order in which the controller takes values."""
        return tuple(self.settings.topics.controller_joints or self.joint_names)

    @property
    def motors(self) -> np.ndarray | None:
        """Each joint's motor (J,), counted from 0 in the order of the vendor's SDK; None where it is not known."""
        order = self.settings.sdk_joints
        return None if order is None else np.array([order.index(name) for name in self.joint_names], dtype=np.intp)

    def joint_indices(self, patterns: Sequence[str]) -> np.ndarray:
        """Indices of the joints that the regular expressions match, in the order of the patterns.

        Raises:
            UnknownNameError: A pattern matches no joint.
        """
        return _indices(tuple(patterns), self.joint_names, f'joint of {self.name}')

    def frame_indices(self, names: Sequence[str]) -> np.ndarray:
        """Indices of named frames.

        Raises:
            UnknownNameError: The robot has no such frame.
        """
        return _indices(tuple(names), self.frame_names, f'frame of {self.name}')

    def default_state(self, num_robots: int) -> InitialState:
        """The default pose at rest, standing at the world's origin."""
        n = num_robots
        return InitialState(
            joint_position=np.tile(self.default_position, (n, 1)), joint_velocity=np.zeros((n, self.num_joints)),
            base_position=np.tile([0.0, 0.0, self.settings.base.height], (n, 1)),
            base_quaternion=np.tile([0.0, 0.0, 0.0, 1.0], (n, 1)),
            base_linear_velocity=np.zeros((n, 3)), base_angular_velocity=np.zeros((n, 3)))

    def standing_state(self, num_robots: int) -> RobotState:
        """The default state as if it were measured, every quantity of it: what it does not say is zero."""
        unknown = RobotState.unknown(num_robots, self.num_joints, len(self.frame_names))
        zeros = {name: np.zeros_like(value) for name, value in vars(unknown).items()}
        return RobotState(**zeros | vars(self.default_state(num_robots)))


def list_robots() -> list[str]:
    """Names of the robots in ``config/robots``."""
    return config_names('robots')


def load_robot(name: str) -> RobotModel:
    """Load a robot.

    Args:
        name: Name in ``config/robots``, or a path to such a YAML file.

    Raises:
        ConfigurationError: The name is unknown or the YAML is wrong.
        RobotDescriptionError: The URDF is missing or wrong, or YAML and URDF contradict each other.
    """
    path = find_config('robots', name)
    robot = load_settings(path, RobotSettings)
    urdf_path = resolve_uri(robot.urdf, relative_to=path)
    root = load_urdf(urdf_path)
    _check_links(robot, root, urdf_path, path)
    joints = _controlled(robot, movable_joints(root, urdf_path), path)
    return _build(robot, joints, root, urdf_path, path)


def match_names(patterns: Sequence[str], names: Sequence[str], kind: str) -> list[int]:
    """Indices of the names that each pattern matches fully, patterns first, each index once.

    Raises:
        UnknownNameError: A pattern matches nothing.
    """
    found: dict[int, None] = {}
    for pattern in patterns:
        matches = [i for i, name in enumerate(names) if _matches(pattern, name)]
        if not matches:
            raise UnknownNameError(kind, pattern, names)
        found.update(dict.fromkeys(matches))
    return list(found)


@functools.lru_cache(maxsize=1024)  # terms look their joints up in every control period
def _indices(patterns: tuple[str, ...], names: tuple[str, ...], kind: str) -> np.ndarray:
    index = np.array(match_names(patterns, names, kind), dtype=np.intp)
    index.flags.writeable = False
    return index


def _controlled(robot: RobotSettings, joints: list[UrdfJoint], path: Path) -> list[UrdfJoint]:
    if robot.controlled_joints is None:
        return joints
    by_name = {joint.name: joint for joint in joints}
    for name in robot.controlled_joints:
        if name not in by_name:
            raise UnknownNameError('joint', name, by_name, where=f'{path}, controlled_joints')
    return [by_name[name] for name in robot.controlled_joints]


def _check_links(robot: RobotSettings, root: ElementTree.Element, urdf_path: Path, path: Path) -> None:
    links = [link.get('name', '') for link in root.findall('link')]
    for where, link in [('base', robot.base.link), *((f'frame {n}', f.link) for n, f in robot.frames.items())]:
        if link not in links:
            raise UnknownNameError(f'link of {urdf_path.name}', link, links, where=f'{path}, {where}')


def _build(robot: RobotSettings, joints: list[UrdfJoint], root: ElementTree.Element, urdf_path: Path,
           path: Path) -> RobotModel:
    names = tuple(joint.name for joint in joints)
    if robot.topics.controller_joints is not None:
        check_same_joints(robot.topics.controller_joints, names, f'{path}, topics.controller_joints')
    if robot.sdk_joints is not None:
        motors = [name for name in robot.sdk_joints if name is not None]
        check_same_joints(motors, names, f'{path}, sdk_joints')
    chosen = [_settings_of(name, robot.joints, path) for name in names]
    default = np.array([s.default_position for s in chosen])
    for pattern, value in robot.default_pose.items():
        default[match_names([pattern], names, f'joint in {path}, default_pose')] = value
    lower, upper = _array(j.lower for j in joints), _array(j.upper for j in joints)
    outside = np.flatnonzero((default < lower) | (default > upper))
    if outside.size:
        i = outside[0]
        raise RobotDescriptionError(f"{path}: default position {default[i]} rad of joint '{names[i]}' lies outside its "
                                    f'limits [{lower[i]}, {upper[i]}] rad in {urdf_path}.')
    return RobotModel(
        name=robot.name, urdf_path=urdf_path, urdf=ElementTree.tostring(root, encoding='unicode'), settings=robot,
        joint_names=names, continuous=np.array([j.kind == 'continuous' for j in joints]), position_lower=lower,
        position_upper=upper, velocity_limit=_array(j.velocity for j in joints),
        effort_limit=_array(j.effort for j in joints),
        acceleration_limit=_array(s.acceleration_limit for s in chosen), default_position=default,
        reference_velocity_limit=_array(s.velocity_limit or robot.shield.velocity_fraction * j.velocity
                                        for s, j in zip(chosen, joints, strict=True)),
        overshoot=_array(s.overshoot for s in chosen),
        reference_effort_limit=_array(s.effort_limit or robot.shield.effort_fraction * j.effort
                                      for s, j in zip(chosen, joints, strict=True)),
        stiffness=_array(s.stiffness for s in chosen), damping=_array(s.damping for s in chosen),
        armature=_array(s.armature for s in chosen),
        jerk_limit=_array(s.jerk_limit or np.inf for s in chosen),
        torque_rate_limit=_array(s.torque_rate_limit or np.inf for s in chosen),
        position_margin=_array(np.nan if s.position_margin is None else s.position_margin for s in chosen),
        measured_velocity_limit=_array(s.measured_velocity_limit or robot.shield.measured_velocity_fraction * j.velocity
                                       for s, j in zip(chosen, joints, strict=True)),
        braking_share=_array(s.braking_share or robot.shield.braking_share for s in chosen),
        stop_margin=_array(robot.shield.stop_margin if s.stop_margin is None else s.stop_margin for s in chosen),
        mass=sum(float(mass.get('value', 0)) for mass in root.iterfind('link/inertial/mass')))


def _settings_of(name: str, patterns: dict[str, JointSettings], path: Path) -> JointSettings:
    matches = [pattern for pattern in patterns if _matches(pattern, name)]
    if len(matches) != 1:
        found = f'several patterns ({", ".join(matches)})' if matches else 'no pattern'
        raise RobotDescriptionError(f"{path}: joint '{name}' matches {found} under 'joints'; it must match exactly "
                                    'one.')
    return patterns[matches[0]]


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise ConfigurationError(f"'{pattern}' is no regular expression: {error}.") from error


def _array(values: Iterable[float]) -> FloatArray:
    return np.array(list(values), dtype=np.float64)

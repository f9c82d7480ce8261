"""The deployable half of a task: what a policy observes, and how its output becomes joint targets.

The environment (in memory or over topics) and the inference node hold the same object, and an exported policy carries
its settings, so a policy cannot see a different observation on the robot than in training.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from rl_robot_control import rotations
from rl_robot_control.config import settings
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.gait import GaitSettings, resting
from rl_robot_control.tasks.motion import Anchor, MotionSettings, Reference, Tracked, alignment
from rl_robot_control.tasks.observation_group import HistorySettings, ObservationGroup, ObservationSettings
from rl_robot_control.tasks.registry import bind_term
from rl_robot_control.tasks.terms import feed_forwards
from rl_robot_control.types import FloatArray, RobotState

Scale = Annotated[float, Field(gt=0)]


@settings
class ActionSettings:
    """target = offset + feed-forward + scale · clip(action), clipped; joints not named hold the default pose."""

    joints: list[str]  # regular expressions, in the order of the action
    scale: Scale | list[Scale] = 0.25  # [rad]; a list: one for each joint
    clip: Annotated[float, Field(gt=0)] | tuple[list[float], list[float]] | None = 4.0  # of the policy's output: ±clip,
    # or least and greatest for each joint; null: none
    offset: list[float] | None = None  # (A,) target of an action of zero [rad]; null: the default pose
    target_limits: tuple[list[float], list[float]] | None = None  # least and greatest target of each joint [rad]
    feed_forward: str = 'none'


@settings
class CommandSettings:
    """What the policy is asked for.

    ``velocity``: vx, vy [m/s], wz [rad/s] in the base's heading frame; ``target``: a point in the base frame [m];
    ``none``: nothing.
    """

    kind: Literal['velocity', 'target', 'none'] = 'velocity'
    slew: tuple[float, float, float] | None = None  # bound on the command's rate of change [1/s of its unit]
    heading_gain: float = 0.0  # yaw rate added per heading error [1/s]; 0: none
    heading_limit: float = 0.5  # bound on that addition [rad/s]


@settings
class InterfaceSettings:
    """The settings that an exported policy carries."""

    control_period: Annotated[float, Field(gt=0)]  # [s]
    action: ActionSettings
    command: CommandSettings
    observations: list[ObservationSettings]
    gait: GaitSettings = Field(default_factory=GaitSettings)
    history: HistorySettings = Field(default_factory=HistorySettings)
    motion: MotionSettings | None = None  # that the policy tracks; null: none


class PolicyInterface:
    """Turns states into observations and actions into joint targets, for N robots.

    One control period is ``observe`` → policy → ``act``. Between them it remembers the latest actions, the gait clock,
    the heading to hold, as much of the past as the observation looks back, and how far the robot was turned and moved
    against a motion to track when that began.

    Args:
        interface: The settings.
        robot: The robot.
        num_robots: N.
        where: Source of the settings, for messages.

    Raises:
        ConfigurationError: A term, joint or parameter is unknown.
    """

    def __init__(self, interface: InterfaceSettings, robot: RobotModel, num_robots: int, where: str = 'task') -> None:
        self.settings, self.robot, self.num_robots = interface, robot, num_robots
        self.joints = robot.joint_indices(interface.action.joints)
        self._group = ObservationGroup(interface.observations, where, interface.history)
        self.scale = _per_joint(interface.action, self.joints, robot, where)
        self._anchor = None if interface.motion is None else Anchor(robot, interface.motion.anchor_link)
        self._feed_forward = bind_term(feed_forwards, interface.action.feed_forward, {}, where)
        offset, slew = interface.action.offset, interface.command.slew
        self._rest = np.tile(robot.default_position, (num_robots, 1))  # (N, J) where the policy leaves the joints [rad]
        self._offset = robot.default_position[self.joints] if offset is None else np.asarray(offset)
        self._slew = None if slew is None else np.array(slew) * interface.control_period  # (3,) in a period
        self._no_correction = np.zeros((num_robots, robot.num_joints))
        self.action = np.zeros((num_robots, len(self.joints)))  # (N, A) latest
        self.previous_action = np.zeros_like(self.action)
        self.phase = np.zeros(num_robots)
        self.command = np.zeros((num_robots, 3))  # (N, 3) after the slew limit, without the heading's share
        self.effective_command = np.zeros((num_robots, 3))  # (N, 3) what the policy sees
        self.heading = np.zeros(num_robots)  # (N,) to hold [rad]
        self.reference = None if interface.motion is None else Reference.unknown(num_robots, len(self.joints))
        self.start = np.full((num_robots, 4), np.nan)  # (N, 4) see ``motion.alignment``
        self.fresh = np.ones(num_robots, dtype=bool)  # (N,) nothing observed since the reset
        unknown = self.view(RobotState.unknown(num_robots, robot.num_joints, len(robot.frame_names)))
        self.observation_sizes = self._group.sizes(unknown)
        self.observation_labels = self._group.labels(unknown)
        self.past = [np.zeros((num_robots, depth, value.shape[-1]))
                     for depth, value in zip(self._group.depths, self._group.values(unknown), strict=True)]

    @property
    def num_actions(self) -> int:
        """A."""
        return len(self.joints)

    @property
    def num_observations(self) -> int:
        """D."""
        return sum(self.observation_sizes.values())

    def reset(self, state: RobotState, index: np.ndarray | slice = slice(None),
              phase: FloatArray | float = 0.0) -> None:
        """Forget the past of some robots.

        Args:
            state: State of all N robots.
            index: Which robots.
            phase: Phase (M,) at which their clocks start.
        """
        self.action[index] = 0.0
        self.previous_action[index] = 0.0
        self.phase[index] = phase
        self.command[index] = 0.0
        self.effective_command[index] = 0.0
        self.heading[index] = rotations.yaw(state.base_quaternion[index])
        self.fresh[index] = True
        self.align(state, index)

    def adopt(self, state: RobotState, target: FloatArray, command: FloatArray,
              index: np.ndarray | slice = slice(None)) -> None:
        """Go on where another policy has been, for some robots.

        Args:
            state: State of all N robots.
            target: (N, J) its latest targets [rad]; the actions that would have given them are remembered.
            command: (N, 3) that it followed; from there the command slews to what is asked.
            index: Which robots.
        """
        self.command[index] = self.effective_command[index] = command[index]
        given = target[:, self.joints] - self._offset - self._feed_forward(self.view(state))
        action = _clipped(given / self.scale, self.settings.action.clip)
        self.action[index] = self.previous_action[index] = action[index]

    def align(self, state: RobotState, index: np.ndarray | slice = slice(None)) -> None:
        """Begin the motions to track, of which ``reference`` is the first instant, where some of the robots are."""
        if self._anchor is not None:
            self.start[index] = alignment(*self._anchor.pose(state), self.reference)[index]

    def observe(self, state: RobotState, command: FloatArray) -> FloatArray:
        """Observation (N, D) of a state under a command; call it once per control period.

        Args:
            state: State of all N robots.
            command: (N, 3) as asked by the operator.
        """
        self._follow(state, command)
        self.past = self._group.remember(self.past, self._group.values(self.view(state)), self.fresh)
        self.fresh = np.zeros_like(self.fresh)
        return self._group.assemble(self.past)

    def observe_view(self, context: Context) -> FloatArray:
        """Observation (N, D) of a view; for observations between two periods."""
        return self._group.assemble(self._group.remember(self.past, self._group.values(context), self.fresh))

    def present(self, context: Context) -> FloatArray:
        """Observation (M, D) of a view of any M robots; of entries that do not look back."""
        return self._group(context)

    def view(self, state: RobotState, correction: FloatArray | None = None) -> Context:
        """What terms see of a state under the command that was last observed.

        Args:
            state: State of all N robots.
            correction: (N, J) what the shield changed of the latest targets [rad]; None: nothing.
        """
        if correction is None:
            correction = self._no_correction
        track = None if self._anchor is None else (
            lambda: Tracked.of(self.reference, self.start, *self._anchor.pose(state)))
        return Context(robot=self.robot, joints=self.joints, state=state, command=self.effective_command,
                       action=self.action, previous_action=self.previous_action, phase=self.phase,
                       gait=self.settings.gait, correction=correction, track=track)

    def act(self, state: RobotState, action: FloatArray) -> FloatArray:
        """Joint position targets (N, J) [rad] of an action (N, A); ends the control period.

        Args:
            state: The state that was observed.
            action: The policy's output.
        """
        rules, gait = self.settings.action, self.settings.gait
        self.previous_action, self.action = self.action, _clipped(action, rules.clip)
        moved = self._offset + (self._feed_forward(self.view(state)) + self.scale * self.action)
        if rules.target_limits is not None:
            moved = np.clip(moved, *rules.target_limits)
        target = self._rest.copy()
        target[:, self.joints] = moved
        self.phase = (self.phase + self.settings.control_period / gait.period) % 1.0
        if gait.pause_below:
            self.phase[resting(self.effective_command, gait)] = 0.0
        return target

    @property
    def memory(self) -> tuple:
        """What ``observe`` and ``act`` replace, as it is now."""
        return (self.command, self.effective_command, self.heading, self.past, self.fresh, self.action,
                self.previous_action, self.phase)

    @memory.setter
    def memory(self, value: tuple) -> None:
        (self.command, self.effective_command, self.heading, self.past, self.fresh, self.action, self.previous_action,
         self.phase) = value

    def _follow(self, state: RobotState, command: FloatArray) -> None:
        """Move the remembered command and heading toward the operator's command by one period."""
        rules, period = self.settings.command, self.settings.control_period
        if self._slew is None:
            self.command = command.copy()
        else:
            self.command = self.command + np.minimum(np.maximum(command - self.command, -self._slew), self._slew)
        self.effective_command = self.command.copy()
        if rules.heading_gain:
            measured = rotations.yaw(state.base_quaternion)
            reach = rules.heading_limit / rules.heading_gain  # beyond it the heading follows the robot: no wind-up
            error = np.clip(rotations.wrap(self.heading - measured), -reach, reach)
            self.heading = measured + error + self.command[:, 2] * period
            self.effective_command[:, 2] += rules.heading_gain * error


def probe(interface: InterfaceSettings, robot: RobotModel, where: str = 'task') -> PolicyInterface:
    """An interface of one robot, to find out what comes of settings; a motion to track stands upright.

    Args:
        interface: The settings.
        robot: The robot.
        where: Source of the settings, for messages.

    Raises:
        ConfigurationError: A term, joint or parameter is unknown.
    """
    policy = PolicyInterface(interface, robot, 1, where)
    if policy.reference is not None:
        policy.reference = Reference.upright(1, policy.num_actions)
    return policy


def _clipped(action: FloatArray, clip: float | tuple[list[float], list[float]] | None) -> FloatArray:
    if clip is None:
        return action.copy()
    return np.clip(action, *clip) if isinstance(clip, tuple) else np.clip(action, -clip, clip)


def _per_joint(rules: ActionSettings, joints: np.ndarray, robot: RobotModel, where: str) -> FloatArray:
    """Scales (A,) of the action; checks everything that is given per joint."""
    lists = {'scale': rules.scale if isinstance(rules.scale, list) else None, 'offset': rules.offset,
             'clip (least)': rules.clip[0] if isinstance(rules.clip, tuple) else None,
             'clip (greatest)': rules.clip[1] if isinstance(rules.clip, tuple) else None,
             'target_limits (least)': rules.target_limits and rules.target_limits[0],
             'target_limits (greatest)': rules.target_limits and rules.target_limits[1]}
    for name, values in lists.items():
        if values is not None and len(values) != len(joints):
            raise ConfigurationError(f'{where}: action.{name} has {len(values)} values for {len(joints)} joints of '
                                     f"'{robot.name}'.")
    return np.broadcast_to(np.asarray(rules.scale, dtype=np.float64), len(joints))

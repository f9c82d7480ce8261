"""The deployable half of a task: what a policy observes, and how its output becomes joint targets.

The environment (in memory or over topics) and the inference node hold the same object, and an exported policy carries
its settings, so a policy cannot see a different observation on the robot than in training.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from rl_robot_control import rotations
from rl_robot_control.config import settings
from rl_robot_control.errors import ConfigurationError
from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.gait import GaitSettings
from rl_robot_control.tasks.registry import bind_term
from rl_robot_control.tasks.terms import feed_forwards, observations
from rl_robot_control.types import FloatArray, RobotState


@settings
class ObservationSettings:
    """One entry of the observation vector; clip comes before scale."""

    term: str
    params: dict[str, Any] = Field(default_factory=dict)
    scale: float = 1.0
    clip: tuple[float, float] | None = None


@settings
class ActionSettings:
    """target = default pose + feed-forward + scale · clip(action, ±clip); joints not named hold the default pose."""

    joints: list[str]  # regular expressions, in the order of the action
    scale: Annotated[float, Field(gt=0)] = 0.25  # [rad]
    clip: Annotated[float, Field(gt=0)] = 4.0
    feed_forward: str = 'none'


@settings
class CommandSettings:
    """What the policy is asked for.

    ``velocity``: vx, vy [m/s], wz [rad/s] in the base's heading frame; ``target``: a point in the base frame [m].
    """

    kind: Literal['velocity', 'target'] = 'velocity'
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


class ObservationGroup:
    """A list of observation terms, concatenated.

    Args:
        terms: The entries, in order.
        where: Source of the entries, for messages.
    """

    def __init__(self, terms: list[ObservationSettings], where: str) -> None:
        names = [entry.term for entry in terms]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"{where}: observation term '{name}' stands twice; name all its joints or "
                                         'frames in one entry.')
        self._terms = [(bind_term(observations, entry.term, entry.params, where), entry) for entry in terms]

    def __call__(self, context: Context) -> FloatArray:
        """Observation (N, D)."""
        return np.concatenate([_shaped(term(context), entry) for term, entry in self._terms], axis=-1)

    def sizes(self, context: Context) -> dict[str, int]:
        """Length of each entry, by term name."""
        return {entry.term: term(context).shape[-1] for term, entry in self._terms}


class PolicyInterface:
    """Turns states into observations and actions into joint targets, for N robots.

    One control period is ``observe`` → policy → ``act``. Between them it remembers the latest actions, the gait clock
    and the heading to hold.

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
        self._observe = ObservationGroup(interface.observations, where)
        self._feed_forward = bind_term(feed_forwards, interface.action.feed_forward, {}, where)
        self.action = np.zeros((num_robots, len(self.joints)))  # (N, A) latest
        self.previous_action = np.zeros_like(self.action)
        self.phase = np.zeros(num_robots)
        self.command = np.zeros((num_robots, 3))  # (N, 3) after the slew limit, without the heading's share
        self.effective_command = np.zeros((num_robots, 3))  # (N, 3) what the policy sees
        self.heading = np.zeros(num_robots)  # (N,) to hold [rad]
        unknown = RobotState.unknown(num_robots, robot.num_joints, len(robot.frame_names))
        self.observation_sizes = self._observe.sizes(self.view(unknown))

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

    def observe(self, state: RobotState, command: FloatArray) -> FloatArray:
        """Observation (N, D) of a state under a command; call it once per control period.

        Args:
            state: State of all N robots.
            command: (N, 3) as asked by the operator.
        """
        self._follow(state, command)
        return self._observe(self.view(state))

    def observe_view(self, context: Context) -> FloatArray:
        """Observation (N, D) of a view; for observations between two periods."""
        return self._observe(context)

    def view(self, state: RobotState, correction: FloatArray | None = None) -> Context:
        """What terms see of a state under the command that was last observed.

        Args:
            state: State of all N robots.
            correction: (N, J) what the shield changed of the latest targets [rad]; None: nothing.
        """
        if correction is None:
            correction = np.zeros_like(state.joint_position)
        return Context(robot=self.robot, joints=self.joints, state=state, command=self.effective_command,
                       action=self.action, previous_action=self.previous_action, phase=self.phase,
                       gait=self.settings.gait, correction=correction)

    def act(self, state: RobotState, action: FloatArray) -> FloatArray:
        """Joint position targets (N, J) [rad] of an action (N, A); ends the control period.

        Args:
            state: The state that was observed.
            action: The policy's output.
        """
        rules = self.settings.action
        self.previous_action, self.action = self.action, np.clip(action, -rules.clip, rules.clip)
        offset = self._feed_forward(self.view(state))
        target = np.tile(self.robot.default_position, (self.num_robots, 1))
        target[:, self.joints] += offset + rules.scale * self.action
        self.phase = (self.phase + self.settings.control_period / self.settings.gait.period) % 1.0
        return target

    def _follow(self, state: RobotState, command: FloatArray) -> None:
        """Move the remembered command and heading toward the operator's command by one period."""
        rules, period = self.settings.command, self.settings.control_period
        step = np.inf if rules.slew is None else np.array(rules.slew) * period
        self.command = self.command + np.clip(command - self.command, -step, step)
        self.effective_command = self.command.copy()
        if rules.heading_gain:
            measured = rotations.yaw(state.base_quaternion)
            reach = rules.heading_limit / rules.heading_gain  # beyond it the heading follows the robot: no wind-up
            error = np.clip(rotations.wrap(self.heading - measured), -reach, reach)
            self.heading = measured + error + self.command[:, 2] * period
            self.effective_command[:, 2] += rules.heading_gain * error


def _shaped(value: FloatArray, entry: ObservationSettings) -> FloatArray:
    return (value if entry.clip is None else np.clip(value, *entry.clip)) * entry.scale

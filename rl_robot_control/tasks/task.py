"""A task: what a policy is asked for, what it earns, and when an episode ends; composed from terms by a YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from rl_robot_control.backends.physics import PhysicsSettings
from rl_robot_control.config import find_config, parse_settings, settings, to_plain
from rl_robot_control.errors import ConfigurationError, UnknownNameError
from rl_robot_control.robots import RobotModel
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.curriculum import CurriculumSettings, leveled
from rl_robot_control.tasks.interface import InterfaceSettings, PolicyInterface
from rl_robot_control.tasks.observation_group import ObservationGroup, ObservationSettings
from rl_robot_control.tasks.randomisation import Draw, draw
from rl_robot_control.tasks.registry import bind_term
from rl_robot_control.tasks.task_files import is_set, read_task
from rl_robot_control.tasks.terms import (
    commands,
    disturbances,
    goals,
    randomisations,
    resets,
    rewards,
    successes,
    terminations,
)
from rl_robot_control.types import BoolArray, FloatArray, InitialState, RobotState


@settings
class TermSettings:
    """A term and its parameters."""

    term: str
    params: dict[str, Any] = Field(default_factory=dict)


@settings
class RewardSettings(TermSettings):
    """A reward term and its weight [1/s]."""

    weight: float


@settings
class CommandSamplingSettings(TermSettings):
    """Where an episode's commands come from, and how long each lasts [s]."""

    duration: tuple[float, float]


@settings
class GoalSettings(TermSettings):
    """What the command asks for, and when it counts as achieved: the reward of a step is 0 then, and −1 until then."""

    tolerance: Annotated[float, Field(gt=0)]  # distance from what is asked for [m]


@settings
class TaskSettings:
    """The file ``config/tasks/<name>.yaml``."""

    name: str
    description: str = ''
    episode_length: Annotated[float, Field(gt=0)]  # [s]
    interface: InterfaceSettings
    critic: list[ObservationSettings] = Field(default_factory=list)  # what only the critic sees, besides the rest
    command: CommandSamplingSettings
    rewards: list[RewardSettings] = Field(default_factory=list)
    goal: GoalSettings | None = None  # in place of rewards: a sparse reward, which can be worked out for any goal
    reward_clip: Annotated[float, Field(gt=0)] = 0.5  # bound on a step's reward
    terminations: list[TermSettings] = Field(default_factory=list)
    success: TermSettings | None = None  # null: an episode without a failure is one
    resets: list[TermSettings] = Field(default_factory=list)
    disturbances: list[TermSettings] = Field(default_factory=list)
    randomisation: list[TermSettings] = Field(default_factory=list)  # what differs from world to world
    curriculum: CurriculumSettings | None = None
    base: Literal['free', 'held'] = 'free'  # held: the robot hangs from a gantry
    training_physics: PhysicsSettings = Field(default_factory=PhysicsSettings)
    physics: PhysicsSettings = Field(default_factory=PhysicsSettings)  # for evaluation and deployment

    @model_validator(mode='after')
    def _goal_stands_alone(self):
        if self.goal is not None and (self.rewards or self.success is not None):
            raise ValueError("'goal' stands in place of 'rewards' and 'success'; leave them out")
        if self.goal is not None and (self.command.duration[0] < self.episode_length or self.interface.command.slew):
            raise ValueError(f"a goal must last for the whole episode: command.duration begins at "
                             f'{self.command.duration[0]} s, the episode has {self.episode_length} s; and it takes no '
                             'slew')
        return self


@dataclass(frozen=True, kw_only=True)
class Start:
    """How M episodes start."""

    initial: InitialState
    command: FloatArray  # (M, 3)
    phase: FloatArray  # (M,)


class Task:
    """A task on one robot model, for any number of robots.

    Args:
        task: The settings.
        robot: The robot.
        where: Source of the settings, for messages.

    Raises:
        ConfigurationError: A term, parameter, joint or frame is unknown.
    """

    def __init__(self, task: TaskSettings, robot: RobotModel, where: str = 'task') -> None:
        self.settings, self.robot, self.name, self.where = task, robot, task.name, where
        self.control_period = task.interface.control_period
        self.max_steps = round(task.episode_length / self.control_period)
        self.critic = ObservationGroup(task.critic, where)
        self._command = bind_term(commands, task.command.term, task.command.params, where)
        self._rewards = [(bind_term(rewards, r.term, r.params, where), r.weight) for r in task.rewards]
        self._terminations = [bind_term(terminations, t.term, t.params, where) for t in task.terminations]
        self._goal = None if task.goal is None else bind_term(goals, task.goal.term, task.goal.params, where)
        self._success = None if task.success is None else bind_term(successes, task.success.term, task.success.params,
                                                                     where)
        self._resets = [bind_term(resets, t.term, t.params, where) for t in task.resets]
        self._disturbances = [bind_term(disturbances, t.term, t.params, where) for t in task.disturbances]
        self._randomisations = [bind_term(randomisations, t.term, t.params, where) for t in task.randomisation]
        self.reward_names = [r.term for r in task.rewards]
        self._try_terms()

    def start(self, random: np.random.Generator, count: int, randomise: bool = True) -> Start:
        """Draw starts for some episodes; without randomisation they stand still at the default pose, at phase 0."""
        command, initial = self._command(random, count), self.robot.default_state(count)
        if not randomise:
            return Start(initial=initial, command=command, phase=np.zeros(count))
        for term in self._resets:
            initial = term(initial, random, self.robot, command)
        return Start(initial=initial, command=command, phase=random.random(count))

    def sample_commands(self, random: np.random.Generator, count: int) -> tuple[FloatArray, np.ndarray]:
        """Commands (M, 3) and how many steps each lasts (M,)."""
        duration = random.uniform(*self.settings.command.duration, count)
        return self._command(random, count), np.maximum(1, duration / self.control_period).astype(np.intp)

    def disturb(self, random: np.random.Generator, count: int) -> list[tuple[BoolArray, FloatArray]]:
        """Which robots are shoved in this period, and by how much."""
        return [term(random, count, self.control_period) for term in self._disturbances]

    @property
    def randomised(self) -> bool:
        """Whether worlds differ."""
        return bool(self._randomisations)

    def draw(self, random: np.random.Generator, count: int) -> Draw:
        """Draw how M worlds differ."""
        return draw(self._randomisations, random, count, self.robot)

    @property
    def longest_delay(self) -> float:
        """Greatest delay of a command that may be drawn [s]."""
        return sum(t.params['delay'][1] for t in self.settings.randomisation if t.term == 'latency')

    def at_level(self, level: float) -> Task:
        """The task as its curriculum has it at a level in [0, 1]."""
        rules = self.settings.curriculum
        if rules is None:
            return self
        data = leveled(to_plain(self.settings), rules, level, self.where)
        return Task(parse_settings(data, TaskSettings, where=self.where), self.robot, self.where)

    def reward(self, context: Context) -> FloatArray:
        """Reward (N,) of one control period."""
        if self._goal is not None:
            return self.goal_reward(self._goal(context), context.command)
        total = sum(weight * term(context) for term, weight in self._rewards) * self.control_period
        bound = self.settings.reward_clip
        return np.clip(np.nan_to_num(total, nan=-bound), -bound, bound)

    def achieved(self, context: Context) -> FloatArray | None:
        """What has been achieved (N, 3), in the terms of the command; None: the task has no goal."""
        return None if self._goal is None else self._goal(context)

    def goal_reward(self, achieved: FloatArray, desired: FloatArray) -> FloatArray:
        """Reward (N,) of a step that achieved one thing (N, 3) where another (N, 3) was asked for."""
        return self._reached(achieved, desired) - 1.0

    def reward_terms(self, context: Context) -> dict[str, FloatArray]:
        """Each reward term's weighted share (N,), by name."""
        shares = [weight * term(context) * self.control_period for term, weight in self._rewards]
        return dict(zip(self.reward_names, shares, strict=True))

    def terminated(self, context: Context) -> BoolArray:
        """Which episodes end as failures (N,); a state that is not finite always does."""
        failed = ~np.isfinite(context.state.joint_position).all(axis=-1)
        for term in self._terminations:
            failed = failed | term(context)
        return failed

    def succeeded(self, context: Context, failed: BoolArray) -> BoolArray:
        """Where the task is done at this instant (N,), of episodes that have not failed (N,)."""
        if self._goal is not None:
            return self._reached(self._goal(context), context.command) & ~failed
        return ~failed if self._success is None else self._success(context) & ~failed

    def command_range(self) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest command (3,) that the task asks for."""
        drawn = self._command(np.random.default_rng(0), 4096)
        return np.round(drawn.min(axis=0), 2) + 0.0, np.round(drawn.max(axis=0), 2) + 0.0

    def _reached(self, achieved: FloatArray, desired: FloatArray) -> BoolArray:
        return np.linalg.norm(achieved - desired, axis=-1) < self.settings.goal.tolerance

    def _try_terms(self) -> None:
        """Evaluate every term once, so that a wrong joint or frame name is found before anything runs."""
        interface = PolicyInterface(self.settings.interface, self.robot, 1)
        unknown = RobotState.unknown(1, self.robot.num_joints, len(self.robot.frame_names))
        context = interface.view(unknown)
        if self.settings.critic:
            self.critic(context)
        with np.errstate(invalid='ignore'):
            self.reward(context)
            self.succeeded(context, self.terminated(context))
        self.start(np.random.default_rng(0), 1)
        self.draw(np.random.default_rng(0), 1)
        if self.settings.curriculum is not None:
            leveled(to_plain(self.settings), self.settings.curriculum, 0.0, self.where)
        self.disturb(np.random.default_rng(0), 1)


def load_task(name: str, robot: RobotModel) -> Task:
    """Load a task by name in ``config/tasks``, or by the path of such a file.

    Raises:
        ConfigurationError: The name is unknown, the file is wrong, or it does not fit the robot.
    """
    path = find_config('tasks', name)
    data = read_task(path)
    if is_set(data):
        raise ConfigurationError(f"{path}: is a set of tasks, and one is needed; take one of its 'members': "
                                 f'{data["members"]}.')
    return Task(parse_settings(data, TaskSettings, where=str(path)), robot, where=str(path))


@settings
class TaskSetSettings:
    """A file in ``config/tasks`` that names tasks for one policy."""

    name: str
    description: str = ''
    members: list[str] = Field(min_length=2)


def load_tasks(name: str, robot: RobotModel) -> list[Task]:
    """The task of a name, or all those of a set, each told apart by a code at the end of its observation.

    Raises:
        ConfigurationError: A name is unknown, a file is wrong, or the tasks of a set do not observe and act alike.
    """
    members = members_of(name)
    return [load_member(name, member, robot) for member in members] or [load_task(name, robot)]


def members_of(name: str) -> list[str]:
    """The tasks of a set; empty for a single task.

    Raises:
        ConfigurationError: The name is unknown or the file is wrong.
    """
    path = find_config('tasks', name)
    data = read_task(path)
    return parse_settings(data, TaskSetSettings, where=str(path)).members if is_set(data) else []


def load_member(name: str, member: str, robot: RobotModel) -> Task:
    """One task of a set.

    Args:
        name: Of the set.
        member: Of the task in it.
        robot: The robot.

    Raises:
        ConfigurationError: As for ``load_tasks``.
    """
    path, members = find_config('tasks', name), members_of(name)
    if member not in members:
        raise UnknownNameError('task of the set', member, members, where=str(path))
    first, data = (read_task(find_config('tasks', entry)) for entry in (members[0], member))
    if data['interface'] != first['interface']:
        raise ConfigurationError(f"{path}: '{member}' observes or acts otherwise than '{members[0]}'; one policy can "
                                 "do both only if their 'interface' is the same.")
    code = [float(entry == member) for entry in members]
    interface = data['interface']
    observations = [*interface['observations'], {'term': 'task_code', 'params': {'code': code}}]
    data['interface'] = {**interface, 'observations': observations}
    return Task(parse_settings(data, TaskSettings, where=str(path)), robot, where=str(path))

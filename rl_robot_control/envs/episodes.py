"""Episodes of a task on a backend: what the single and the vector environment share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rl_robot_control.backends.protocol import Backend
from rl_robot_control.tasks.context import Context
from rl_robot_control.tasks.curriculum import Curriculum
from rl_robot_control.tasks.interface import PolicyInterface
from rl_robot_control.tasks.randomisation import Imperfections
from rl_robot_control.tasks.task import Task
from rl_robot_control.types import BoolArray, FloatArray, JointCommand, RobotState


@dataclass(frozen=True, kw_only=True)
class Transition:
    """The outcome of one control period of N episodes."""

    reward: FloatArray  # (N,)
    terminated: BoolArray  # (N,) failed
    truncated: BoolArray  # (N,) out of time
    succeeded: BoolArray  # (N,) the task is done at this instant
    applied_position: FloatArray  # (N, J) what the robot was told [rad]
    correction: FloatArray  # (N, J) what the shield changed [rad]; zero without a shield
    corrected: BoolArray  # (N,) whether it changed anything

    @property
    def done(self) -> BoolArray:
        """Which episodes are over (N,)."""
        return self.terminated | self.truncated


class Episodes:
    """Runs N episodes side by side; who starts them anew is the caller's choice.

    Args:
        backend: Where the robots live, usually behind a shield (``ShieldedBackend``).
        task: The task.
        seed: Source of all randomness.
        randomise: Vary starts and disturb the robots as the task says; False: from standing, undisturbed.
        command: (3,) a command for every episode in place of the task's random ones.
        grows: Whether a task with a curriculum grows from its beginning; False: it is there in full.
    """

    def __init__(self, backend: Backend, task: Task, seed: int | None = None, randomise: bool = True,
                 command: FloatArray | None = None, grows: bool = True) -> None:
        self.backend, self.task, self.robot = backend, task, backend.robot
        rules = task.settings.curriculum
        self.curriculum = Curriculum(rules) if randomise and grows and rules is not None else None
        self._full_task = task
        self.num_robots = n = backend.num_robots
        self.interface = PolicyInterface(task.settings.interface, backend.robot, n, task.name)
        self.random = np.random.default_rng(seed)
        self.command = np.zeros((n, 3))  # (N, 3) as asked by the operator
        self.steps = np.zeros(n, dtype=np.intp)  # (N,) since the episode began
        self._until_command = np.zeros(n, dtype=np.intp)
        self._randomise, self._fixed_command = randomise, command
        self._imperfections = Imperfections(n, backend.robot.num_joints, task.control_period, task.longest_delay) \
            if randomise and task.randomised else None
        self._good = np.zeros(n)  # (N,) steps of the episode in which the task was done
        self._first = np.zeros(n, dtype=np.intp)  # (N,) age at which the episode began
        # A robot over topics can show people where it is to go.
        targets = task.settings.interface.command.kind == 'target'
        self._show_target = getattr(backend, 'show_target', None) if targets else None
        self._set_level()
        self.state: RobotState = RobotState.unknown(n, backend.robot.num_joints, len(backend.robot.frame_names))
        self.measured = self.state  # as the policy saw it at the latest ``observe``
        self.outcome: Context = self.interface.view(self.state)  # by which the latest step was judged

    def reset(self, index: np.ndarray) -> None:
        """Start anew the episodes (M,) of some robots."""
        start = self.task.start(self.random, len(index), self._randomise)
        self.command[index] = start.command if self._fixed_command is None else self._fixed_command
        _, self._until_command[index] = self.task.sample_commands(self.random, len(index))
        self.steps[index] = 0
        self._good[index], self._first[index] = 0.0, 0
        if self._imperfections is not None:
            self._vary(start.initial.joint_position, index)
        self.state = self.backend.reset(start.initial, index)
        self.interface.reset(self.state, index, start.phase)
        self._show()

    def observe(self) -> tuple[FloatArray, FloatArray]:
        """What the policy (N, D) and what only the critic (N, C) sees; once per control period."""
        self.measured = self.measure()
        return self.interface.observe(self.measured, self.command), self.privileged(self.interface.view(self.state))

    def peek(self) -> tuple[FloatArray, FloatArray]:
        """Like ``observe``, without time passing for the command's slew: for observations that end an episode."""
        return (self.interface.observe_view(self.interface.view(self.measure())),
                self.privileged(self.interface.view(self.state)))

    def achieved(self) -> FloatArray | None:
        """What has been achieved (N, 3), in the terms of the command; None: the task has no goal."""
        return self.task.achieved(self.interface.view(self.state))

    def step(self, action: FloatArray) -> Transition:
        """Apply actions (N, A) for one control period."""
        target = self.interface.act(self.state, action)
        if self._randomise:
            for mask, velocity in self.task.disturb(self.random, self.num_robots):
                if mask.any():
                    self.backend.push(velocity[mask], np.flatnonzero(mask))
        late = target if self._imperfections is None else self._imperfections.late(target)
        self.state = self.backend.step(JointCommand(stamp=self.state.time, position=late))
        self.steps += 1
        applied = self.backend.applied
        correction = applied - late
        self.outcome = context = self.interface.view(self.state, correction)
        terminated = self.task.terminated(context)
        transition = Transition(reward=self.task.reward(context), terminated=terminated,
                                truncated=(self.steps >= self.task.max_steps) & ~terminated,
                                succeeded=self.task.succeeded(context, terminated),
                                applied_position=applied, correction=correction,
                                corrected=correction.any(axis=-1))
        self._grow(transition)
        self._next_commands()
        return transition

    def age(self) -> None:
        """Give the episodes random ages, so that they do not all end at once."""
        self.steps[:] = self._first[:] = self.random.integers(0, self.task.max_steps, self.num_robots)

    def load_curriculum(self, state: dict[str, Any] | None) -> None:
        """Go on from what ``Curriculum.state`` gave."""
        if self.curriculum is not None and state is not None:
            self.curriculum.load(state)
        self._set_level()

    def measure(self) -> RobotState:
        """The state as a policy measures it; every call draws the sensors' noise anew."""
        return self.state if self._imperfections is None else self._imperfections.measured(self.state, self.random)

    def _vary(self, rest: FloatArray, index: np.ndarray) -> None:
        """Draw worlds anew for some robots; over topics the simulation's physics stay as they are."""
        drawn = self.task.draw(self.random, len(index))
        self._imperfections.reset(drawn, rest, index)
        vary = getattr(self.backend, 'vary', None)
        if vary is not None:
            vary(drawn.physics, index, self.random)

    def _grow(self, transition: Transition) -> None:
        """Note how episodes went that have ended; the share of its time in which the task was done counts."""
        if self.curriculum is None:
            return
        self._good += transition.succeeded
        ended = np.flatnonzero(transition.done)
        if self.curriculum.note(self._good[ended] / np.maximum(1, self.task.max_steps - self._first[ended])):
            self._set_level()

    def _set_level(self) -> None:
        if self.curriculum is not None:
            self.task = self._full_task.at_level(self.curriculum.level)

    def privileged(self, context: Context) -> FloatArray:
        """What only a critic may see (N, C) of an instant."""
        if not self.task.settings.critic:
            return np.zeros((context.state.num_robots, 0))
        return self.task.critic(context)

    def _next_commands(self) -> None:
        self._until_command -= 1
        due = np.flatnonzero(self._until_command <= 0)
        if due.size and self._fixed_command is None:
            self.command[due], self._until_command[due] = self.task.sample_commands(self.random, due.size)
            self._show()

    def _show(self) -> None:
        if self._show_target is not None:
            self._show_target(self.command[0])

"""Episodes of a task on a backend: what the single and the vector environment share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl_robot_control.backends.protocol import Backend
from rl_robot_control.tasks.interface import PolicyInterface
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
    """

    def __init__(self, backend: Backend, task: Task, seed: int | None = None, randomise: bool = True,
                 command: FloatArray | None = None) -> None:
        self.backend, self.task, self.robot = backend, task, backend.robot
        self.num_robots = n = backend.num_robots
        self.interface = PolicyInterface(task.settings.interface, backend.robot, n, task.name)
        self.random = np.random.default_rng(seed)
        self.command = np.zeros((n, 3))  # (N, 3) as asked by the operator
        self.steps = np.zeros(n, dtype=np.intp)  # (N,) since the episode began
        self._until_command = np.zeros(n, dtype=np.intp)
        self._randomise, self._fixed_command = randomise, command
        # A robot over topics can show people where it is to go.
        targets = task.settings.interface.command.kind == 'target'
        self._show_target = getattr(backend, 'show_target', None) if targets else None
        self.state: RobotState = RobotState.unknown(n, backend.robot.num_joints, len(backend.robot.frame_names))

    def reset(self, index: np.ndarray) -> None:
        """Start anew the episodes (M,) of some robots."""
        start = self.task.start(self.random, len(index), self._randomise)
        self.command[index] = start.command if self._fixed_command is None else self._fixed_command
        _, self._until_command[index] = self.task.sample_commands(self.random, len(index))
        self.steps[index] = 0
        self.state = self.backend.reset(start.initial, index)
        self.interface.reset(self.state, index, start.phase)
        self._show()

    def observe(self) -> tuple[FloatArray, FloatArray]:
        """What the policy (N, D) and what only the critic (N, C) sees; once per control period."""
        observation = self.interface.observe(self.state, self.command)
        return observation, self._privileged()

    def peek(self) -> tuple[FloatArray, FloatArray]:
        """Like ``observe``, without time passing for the command's slew: for observations that end an episode."""
        view = self.interface.view(self.state)
        return self.interface.observe_view(view), self._privileged()

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
        self.state = self.backend.step(JointCommand(stamp=self.state.time, position=target))
        self.steps += 1
        applied = self.backend.applied
        correction = applied - target
        context = self.interface.view(self.state, correction)
        terminated = self.task.terminated(context)
        transition = Transition(reward=self.task.reward(context), terminated=terminated,
                                truncated=(self.steps >= self.task.max_steps) & ~terminated,
                                succeeded=self.task.succeeded(context) & ~terminated,
                                applied_position=applied, correction=correction,
                                corrected=correction.any(axis=-1))
        self._next_commands()
        return transition

    def _privileged(self) -> FloatArray:
        if not self.task.settings.critic:
            return np.zeros((self.num_robots, 0))
        return self.task.critic(self.interface.view(self.state))

    def _next_commands(self) -> None:
        self._until_command -= 1
        due = np.flatnonzero(self._until_command <= 0)
        if due.size and self._fixed_command is None:
            self.command[due], self._until_command[due] = self.task.sample_commands(self.random, due.size)
            self._show()

    def _show(self) -> None:
        if self._show_target is not None:
            self._show_target(self.command[0])

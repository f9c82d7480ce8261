"""The training loop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from rl_robot_control.backends.protocol import Backend
from rl_robot_control.envs import RampedBackend, make_backend, make_training_env
from rl_robot_control.errors import ConfigurationError, LearningError
from rl_robot_control.learning.registry import find_method
from rl_robot_control.learning.run_folder import RunFolder
from rl_robot_control.learning.settings import TrainingSettings, load_algorithm
from rl_robot_control.learning.workers import Alone, team
from rl_robot_control.learning.world import World, mean
from rl_robot_control.robots import load_robot
from rl_robot_control.robots.model import match_names
from rl_robot_control.tasks.task import Task, load_tasks

SECONDS_BETWEEN_CHECKPOINTS = 10.0
SHARE_FOR_CHECKPOINTS = 0.05  # of the time, where a large replay buffer takes seconds to write
_SEED_STRIDE = 100_003  # between the workers' seeds


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a run stands after an iteration."""

    steps: int  # environment steps so far
    total_steps: int
    minutes: float  # training time so far, pauses between resumed parts left out
    mean_return: float  # of the latest 100 episodes that ended (NaN before the first)
    success_rate: float  # share of them that ended with the task done
    mean_reward: float  # per second of this iteration's steps
    episode_length: float  # [s] likewise
    falls_per_minute: float  # failed episodes per robot-minute, this iteration
    shield_correction_rate: float  # share of commands that the shield changed, this iteration
    steps_per_second: float


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How a run ended."""

    run_folder: Path
    steps: int
    total_steps: int  # of the budget, which a limit of time may cut short
    minutes: float
    mean_return: float
    finished: bool  # False: interrupted; the checkpoint allows to resume


def train(settings: TrainingSettings, out: Path, *, resume: bool = False, backend: Backend | None = None,
          warm_start: Path | None = None, on_progress: Callable[[Progress], None] | None = None,
          on_pause: Callable[[bool], None] | None = None) -> TrainingResult:
    """Train a policy; an interrupt (Ctrl-C) keeps the checkpoint and returns, SIGUSR1 pauses and goes on.

    Args:
        settings: What to train on what.
        out: The run's folder.
        resume: Go on with the run that the folder holds.
        backend: Where the robots live; None: MuJoCo worlds in memory, behind the shield. A backend over topics has its
            shield on the way.
        warm_start: Folder of another run whose parameters to start from.
        on_progress: Called after each iteration.
        on_pause: Called with True when a pause begins, and with False when it ends.

    Raises:
        ConfigurationError: A name is unknown or a file is wrong.
        LearningError: The folder is occupied, holds no run to resume, or the parameters stopped being finite; or the
            algorithm needs a teacher or recording that is missing or does not fit, or takes none; or it cannot learn
            on a backend that does not wait.
    """
    torch.set_num_threads(1)  # spinning OpenMP threads fight the physics threads
    folder = RunFolder(out)
    if resume:
        settings = folder.extend(settings)
    load_tasks(settings.task, load_robot(settings.robot))  # a wrong name is found before anything is started
    method, rules = load_algorithm(settings.algorithm, settings.task)
    _check_teacher(settings, find_method(method).learns_from)
    if getattr(backend, 'paced', False):
        _check_real_time(settings, find_method(method).in_real_time)
    alone = backend is not None or settings.budget == 'hardware'
    robots = settings.num_envs or rules.num_envs
    workers = 1 if alone else min(settings.workers or rules.workers, robots)
    if robots % workers:
        raise ConfigurationError(f'{robots} robots cannot be divided evenly among {workers} workers; give a multiple '
                                 'with --num-envs.')
    if not resume:
        folder.check_free()
    with team(workers, rules.asynchronous, _work, settings, folder.path, resume, warm_start) as group:
        run = _prepared(group, settings, folder, backend, resume, warm_start)
        if not resume:
            folder.create(settings)
        run.world.on_pause = on_pause or (lambda paused: None)
        return run.go(on_progress or (lambda progress: None))


def _check_teacher(settings: TrainingSettings, learns_from: str | None) -> None:
    """Refuse a teacher that nobody asks, and an algorithm without the one that it needs."""
    name, given = settings.algorithm, settings.teacher
    if learns_from is None and given is not None:
        raise LearningError(f"--teacher is '{given}', but the algorithm '{name}' learns from the world alone; leave it "
                            'out, or choose one that learns from a teacher or a recording.')
    if learns_from == 'recording' and given is None:
        raise LearningError(f"the algorithm '{name}' learns from a recording, and there is none; make one with "
                            "'rl_robot_control rollouts RUN --out FILE.npz' and give it with --teacher FILE.npz.")
    if learns_from == 'teacher' and given is None:
        raise LearningError(f"the algorithm '{name}' learns from a teacher, and there is none; give the folder of a "
                            'run or an exported .onnx file with --teacher.')


def _check_real_time(settings: TrainingSettings, able: bool) -> None:
    """Refuse what a robot that does not wait cannot be asked for."""
    if settings.budget != 'hardware':
        raise ConfigurationError('a robot in real time cannot be put where an episode starts; learn with --budget '
                                 'hardware, by which it moves there.')
    if not able:
        raise LearningError(f"the algorithm '{settings.algorithm}' learns in the middle of an episode, while a robot "
                            'in real time goes on; take one that learns between episodes, such as sac_robot, td3 or '
                            'mbpo.')


def _work(group: Alone, settings: TrainingSettings, folder: Path, resume: bool, warm_start: Path | None) -> None:
    """What every worker but the first does."""
    _prepared(group, settings, RunFolder(folder), None, resume, warm_start).follow()


def _prepared(group: Alone, settings: TrainingSettings, folder: RunFolder, backend: Backend | None, resume: bool,
              warm_start: Path | None) -> _Run:
    run = _Run(settings, folder, backend, group)
    if resume:
        run.restore(folder.load())
    else:
        run.warm_start(warm_start)
    run.freeze(settings.freeze)
    group.begin(run.learner.shared())
    return run


def _precious(backend: Backend | None, tasks: Sequence[Task]) -> RampedBackend:
    """One robot that is not put anywhere; by default a simulated one, in the physics that policies are judged by.

    Raises:
        ConfigurationError: There are several tasks, or the robot could not move to its start by itself.
    """
    task = tasks[0]
    if len(tasks) > 1:
        raise ConfigurationError("the budget 'hardware' is for a single task; this is a set of them.")
    return RampedBackend(backend or make_backend(task.robot, task, 1), held=task.settings.base == 'held')


class _Rhythm:
    """Does something every now and then, more rarely where it takes long."""

    def __init__(self) -> None:
        self._done, self._cost = time.monotonic(), 0.0

    def __call__(self, save: Callable[[], None]) -> None:
        began = time.monotonic()
        if began - self._done > max(SECONDS_BETWEEN_CHECKPOINTS, self._cost / SHARE_FOR_CHECKPOINTS):
            save()
            self._done, self._cost = time.monotonic(), time.monotonic() - began


class _Run:
    """One process's share of a training run."""

    def __init__(self, settings: TrainingSettings, folder: RunFolder, backend: Backend | None, group: Alone) -> None:
        self.group, self.settings, self.folder = group, settings, folder
        tasks = load_tasks(settings.task, load_robot(settings.robot))
        method, self.rules = load_algorithm(settings.algorithm, settings.task)
        self.total_steps = settings.steps or self.rules.steps
        seed = settings.seed + _SEED_STRIDE * group.rank
        _seed_libraries(settings.seed)  # every worker starts from the same parameters ...
        if settings.budget == 'hardware':
            backend = _precious(backend, tasks)
        num_envs = 1 if backend is not None else (settings.num_envs or self.rules.num_envs) // group.size
        threads = max(1, len(os.sched_getaffinity(0)) // group.size)
        env = make_training_env(tasks, num_envs, seed, backend=backend, threads=threads)
        self.world = World(env, seed, None if settings.teacher is None else Path(settings.teacher))
        self.learner = find_method(method).make(self.rules, self.world)
        _seed_libraries(seed)  # ... and explores in its own way
        self.steps, self.seconds = 0, 0.0

    def go(self, on_progress: Callable[[Progress], None]) -> TrainingResult:
        """Learn until the budget is spent or the user interrupts."""
        due = _Rhythm()
        writer = SummaryWriter(str(self.folder.path / 'tensorboard'), purge_step=self.steps)
        finished = True
        try:
            with _noted_interrupts(self.world.paused) as self.world.interrupted:
                while not self.group.agree(self._spent()):
                    progress, losses = self._iterate()
                    self._log(progress, losses, writer)
                    on_progress(progress)
                    due(lambda: self.folder.save(self.state()))
        except KeyboardInterrupt:
            finished = False
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the checkpoint below is worth the moment it takes
        finally:
            if self.learner.finite():
                self.folder.save(self.state())
            writer.close()
            self.world.env.close()
        return TrainingResult(run_folder=self.folder.path, steps=self.steps, total_steps=self.total_steps,
                              minutes=self.seconds / 60, mean_return=mean(self.world.returns), finished=finished)

    def follow(self) -> None:
        """Learn along with worker 0 until it stops or is gone; keep what was gathered here."""
        due = _Rhythm()
        try:
            while not self.group.agree(False):
                self._iterate()
                due(self._remember)
        finally:
            self._remember()
            self.world.env.close()

    def _remember(self) -> None:
        """Keep what this worker has gathered: its own pace does, for it fits whatever parameters the checkpoint has."""
        memory = self.learner.memory()
        if memory and self.learner.finite() and self.folder.path.is_dir():
            self.folder.save_memory(self.group.rank, memory)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs; the worlds start new episodes."""
        world = self.world
        return {'learner': self.learner.state(), 'memory': self.learner.memory(), 'steps': self.steps,
                'seconds': self.seconds, 'torch_random': torch.get_rng_state(), 'numpy_random': _numpy_state(),
                'robot_seconds': world.robot_seconds, 'env': world.env.state(), 'returns': list(world.returns),
                'lengths': list(world.lengths), 'successes': list(world.successes)}

    def restore(self, state: dict[str, Any] | None) -> None:
        """Continue from a checkpoint; without one the run begins anew."""
        if state is None:
            return
        self.learner.load(state['learner'])
        self.steps, self.seconds = state['steps'], state['seconds']
        world = self.world
        if self.group.rank > 0:  # other episodes than before, drawn from the same seed
            memory = self.folder.load_memory(self.group.rank)
            if memory is not None:
                self.learner.recall(memory)
            world.env.load(state['env'])
            world.env.reseed([self.settings.seed, self.group.rank, self.steps])
            return
        self.learner.recall(state['memory'])
        torch.set_rng_state(state['torch_random'])
        _set_numpy_state(state['numpy_random'])
        world.env.load(state['env'])
        world.carried = state['robot_seconds']
        world.returns.extend(state['returns'])
        world.lengths.extend(state['lengths'])
        world.successes.extend(state['successes'])
        self.folder.truncate_log(self.steps)

    def warm_start(self, run: Path | None) -> None:
        """Take over another run's parameters.

        Raises:
            LearningError: That run has no checkpoint, or one of another shape.
        """
        state = RunFolder(run).load() if run is not None else None
        if run is not None and state is None:
            raise LearningError(f"'{run}' has no checkpoint to start from; train there first.")
        if state is not None:
            try:
                self.learner.load(state['learner'])
            except RuntimeError as error:
                raise LearningError(f"the checkpoint in '{run}' does not fit this task and robot: {error}") from error

    def freeze(self, patterns: Sequence[str]) -> None:
        """Keep parameters as they are that a pattern matches.

        Raises:
            UnknownNameError: A pattern matches none.
        """
        parameters = self.learner.parameters() if patterns else {}
        for i in match_names(patterns, list(parameters), f'parameter of {self.settings.algorithm}'):
            list(parameters.values())[i].requires_grad_(False)

    def _spent(self) -> bool:
        minutes = self.settings.minutes
        return self.steps >= self.total_steps or (minutes is not None and self.seconds >= 60 * minutes)

    def _iterate(self) -> tuple[Progress, dict[str, float]]:
        """Collect one horizon of steps and learn from it."""
        began, world = time.monotonic(), self.world
        losses = self.learner.iterate(self._budget_share()) | world.reports()
        self.group.share(self.learner.shared())
        if not self.learner.finite():
            raise LearningError(f'the parameters stopped being finite after {self.steps} steps; resume from the '
                                'checkpoint with a lower learning rate.')
        tally, period = world.tally(), world.task.control_period
        taken, simulated = self.group.total(tally.steps), max(1, tally.steps) * period
        elapsed = time.monotonic() - began
        self.steps, self.seconds = self.steps + taken, self.seconds + elapsed
        return Progress(
            steps=self.steps, total_steps=self.total_steps, minutes=self.seconds / 60,
            mean_return=mean(world.returns), success_rate=mean(world.successes), mean_reward=tally.reward / simulated,
            episode_length=mean(world.lengths), falls_per_minute=60 * tally.falls / simulated,
            shield_correction_rate=tally.corrected / max(1, tally.steps), steps_per_second=taken / elapsed), losses

    def _budget_share(self) -> float:
        by_time = 0.0 if self.settings.minutes is None else self.seconds / 60 / self.settings.minutes
        return max(self.steps / self.total_steps, by_time)

    def _log(self, progress: Progress, losses: dict[str, float], writer: SummaryWriter) -> None:
        metrics = asdict(progress) | losses
        self.folder.log(metrics)
        for name, value in metrics.items():
            writer.add_scalar(name, value, progress.steps)


@contextmanager
def _noted_interrupts(paused: threading.Event) -> Iterator[threading.Event]:
    """Ctrl-C sets an event in place of an exception; a second one raises it all the same. SIGUSR1 pauses.

    An exception is lost where it falls into a destructor or a callback from C.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before, usual = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGUSR1)

    def note(*_: Any) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    def toggle(*_: Any) -> None:
        paused.clear() if paused.is_set() else paused.set()

    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, note)
    signal.signal(signal.SIGUSR1, toggle)
    try:
        yield event
    finally:
        if usual is not None:  # a handler from C cannot be put back
            signal.signal(signal.SIGUSR1, usual)
        if before is not signal.SIG_IGN and before is not None:
            signal.signal(signal.SIGINT, before)


def _seed_libraries(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # Stable-Baselines3 explores and samples its buffers with it


def _numpy_state() -> dict[str, Any]:
    """NumPy's global random state as plain data."""
    state = np.random.get_state(legacy=False)
    return {**state, 'state': {'key': torch.from_numpy(state['state']['key'].astype(np.int64)),
                               'pos': state['state']['pos']}}


def _set_numpy_state(state: dict[str, Any]) -> None:
    inner = {'key': state['state']['key'].numpy().astype(np.uint32), 'pos': state['state']['pos']}
    np.random.set_state({**state, 'state': inner})

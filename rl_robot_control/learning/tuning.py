"""The search for hyper-parameters: a study of trials, each of which trains with other values and is scored.

Optuna's journal, ``study.log``, holds what happened and is appended to as it happens. A trial that was cut short by a
kill or by Ctrl-C is found there as such and run again with the same values: what is sampled depends on the seed and on
the trials that ended, not on when the search was interrupted.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from rl_robot_control.config import find_config, load_settings, to_plain
from rl_robot_control.envs import make_vector_env
from rl_robot_control.errors import LearningError, RobotControlError
from rl_robot_control.files import write_whole
from rl_robot_control.learning.scoring import Score, score_run
from rl_robot_control.learning.settings import TrainingSettings
from rl_robot_control.learning.trainer import Progress, train
from rl_robot_control.learning.tuning_journal import MARKS, held, open_study, sampler
from rl_robot_control.learning.tuning_results import PICTURE, draw, ended, scored, write_tables
from rl_robot_control.learning.tuning_space import Plan, load_tuning

PLAN, LOG = 'study.yaml', 'study.log'
_FAILURES = (RobotControlError, ValueError, RuntimeError, ArithmeticError)  # the others: libraries, on wild numbers


@dataclass(frozen=True, kw_only=True)
class TuningProgress:
    """Where a search stands."""

    trial: int  # from 1
    trials: int  # in all
    steps: int  # of this trial
    total_steps: int  # likewise, of all its runs
    mean_return: float  # of its latest episodes (NaN before the first)
    best: float | None  # highest score so far


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """How a search ended."""

    folder: Path
    complete: int  # trials that were scored
    pruned: int  # that ended early
    failed: int  # that diverged, or whose values do not go together
    best_trial: int | None  # None: none was scored
    mean_return: float | None  # its score
    success_rate: float | None  # likewise
    values: dict[str, Any]  # its hyper-parameters
    failure: str | None  # why the last one failed
    finished: bool  # False: interrupted; it can be resumed


def tune(plan: Plan, out: Path, trials: int, *, resume: bool = False,
         on_progress: Callable[[TuningProgress], None] | None = None) -> TuningResult:
    """Search until so many trials have ended; an interrupt (Ctrl-C) keeps everything and returns.

    Args:
        plan: What to search.
        out: The study's folder.
        trials: Number of trials that end, scored, pruned or failed; those of a resumed study count.
        resume: Go on with the study that the folder holds.
        on_progress: Called after each iteration of training.

    Raises:
        LearningError: The folder is occupied, in use, or holds no such study to resume.
    """
    if not resume:
        _check_free(out)
    elif _stored(out) != plan:
        raise LearningError(f"'{out}' holds a study of something else; resume it with what its {PLAN} says.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with held(out):
            if not resume:
                write_whole(out / PLAN, yaml.safe_dump(to_plain(plan), sort_keys=False).encode())
            return _Search(plan, out, trials, on_progress or (lambda progress: None)).go()
    except OSError as error:
        raise LearningError(f"'{out}' cannot be written: {error.strerror}; give another folder with --out.") from error


def stored_plan(out: Path, space: str | None = None, **asked: Any) -> Plan:
    """The plan of the study that a folder holds.

    Args:
        out: The study's folder.
        space: Name or path of the search space that the caller believes it to have; None: whatever it has.
        asked: Likewise other fields of ``Plan``.

    Raises:
        LearningError: There is no study, or it was started with something else.
    """
    plan = _stored(out)
    for key, value in asked.items():
        if getattr(plan, key) != value:
            raise LearningError(f"'{out}' was started with {key}={getattr(plan, key)!r}, not {value!r}; resume it with "
                                'the same settings, or start another study.')
    if space is not None and load_tuning(find_config('tuning', space), plan.base) != plan.tuning:
        raise LearningError(f"'{out}' was started with another search space than '{space}' holds now; leave --space "
                            'out, or start another study.')
    return plan


class _Search:
    """A study and its folder."""

    def __init__(self, plan: Plan, folder: Path, trials: int, on_progress: Callable[[TuningProgress], None]) -> None:
        self.plan, self.folder, self.trials, self._show = plan, folder.resolve(), trials, on_progress
        self.study = open_study(plan, self.folder / LOG)

    def go(self) -> TuningResult:
        """Run trials until enough have ended."""
        finished = True
        try:
            while len(ended(self.study)) < self.trials:
                self._run(self._next())
                write_tables(self.plan, self.study, self.folder)
        except KeyboardInterrupt:
            finished = False
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # the files below are worth the moment they take
        write_tables(self.plan, self.study, self.folder)
        draw(self.plan, self.study, self.folder / PICTURE)
        return self._result(finished)

    def _next(self) -> optuna.Trial:
        """A new trial; the first has the algorithm's own values, as far as they lie in the space."""
        done = len(ended(self.study))
        self.study.sampler = sampler(self.plan.seed, done)
        if done == 0 and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            space = self.plan.tuning.space
            self.study.enqueue_trial({name: space[name].stored(value)
                                      for name, value in self.plan.base_values().items() if space[name].holds(value)})
        return self.study.ask()

    def _run(self, trial: optuna.Trial) -> None:
        """Train and score, and tell how it went."""
        values = {name: parameter.suggest(trial, name) for name, parameter in self.plan.tuning.space.items()}
        trial.set_user_attr('values', values)
        try:
            scores = self._scores(trial, values)
        except KeyboardInterrupt:
            self.study.tell(trial, state=TrialState.FAIL)
            raise
        except optuna.TrialPruned:
            self.study.tell(trial, state=TrialState.PRUNED)
        except _FAILURES as error:  # as pruned: the sampler stays away from there, where it ignores what failed
            trial.set_user_attr('failure', f'{type(error).__name__}: {error}')
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_user_attr('success_rate', float(np.mean([one.success_rate for one in scores])))
            self.study.tell(trial, float(np.mean([one.mean_return for one in scores])))

    def _scores(self, trial: optuna.Trial, values: dict[str, Any]) -> list[Score]:
        folder = self.folder / 'trials' / f'{trial.number:04d}'
        folder.mkdir(parents=True, exist_ok=True)
        file = self.plan.algorithm_file(values, f'{self.plan.base.name}_{trial.number:04d}')
        path = folder / 'algorithm.yaml'
        write_whole(path, yaml.safe_dump(to_plain(file), sort_keys=False, default_flow_style=None).encode())
        watch = _Watch(trial, self.plan, self._report)
        return [self._train(path, folder / f'seed_{self.plan.seed + i}', self.plan.seed + i, watch)
                for i in range(self.plan.seeds)]

    def _train(self, algorithm: Path, out: Path, seed: int, watch: _Watch) -> Score:
        settings = TrainingSettings(robot=self.plan.robot, task=self.plan.task, algorithm=str(algorithm), seed=seed)
        result = train(settings, out, on_progress=watch)
        if not result.finished:
            raise KeyboardInterrupt
        watch.next_run()
        found = self._score(settings, out)
        if not math.isfinite(found.mean_return):
            raise LearningError('the return of the policy is not finite.')
        return found

    def _score(self, settings: TrainingSettings, run: Path) -> Score:
        """What a run's policy is worth without exploration; every trial meets the same episodes."""
        return score_run(run, make_vector_env(settings.robot, settings.task, self.plan.tuning.episodes))

    def _report(self, steps: int, mean_return: float) -> None:
        self._show(TuningProgress(
            trial=len(ended(self.study)) + 1, trials=self.trials, steps=steps,
            total_steps=self.plan.steps * self.plan.seeds, mean_return=mean_return,
            best=max((one.value for one in scored(self.study)), default=None)))

    def _result(self, finished: bool) -> TuningResult:
        done, complete = ended(self.study), scored(self.study)
        failures = [trial.user_attrs['failure'] for trial in done if 'failure' in trial.user_attrs]
        best: FrozenTrial | None = self.study.best_trial if complete else None
        return TuningResult(
            folder=self.folder, complete=len(complete), pruned=len(done) - len(complete) - len(failures),
            failed=len(failures), best_trial=best.number if best else None, mean_return=best.value if best else None,
            success_rate=best.user_attrs['success_rate'] if best else None,
            values=best.user_attrs['values'] if best else {}, failure=failures[-1] if failures else None,
            finished=finished)


class _Watch:
    """Follows a trial's runs, and ends the trial where it is not worth going on.

    Args:
        trial: The trial.
        plan: The study's.
        report: Called with steps so far and mean return.
    """

    def __init__(self, trial: optuna.Trial, plan: Plan, report: Callable[[int, float], None]) -> None:
        self._trial, self._plan, self._report = trial, plan, report
        self._run, self._mark = 0, 0  # runs that ended; marks that this run has passed

    def __call__(self, progress: Progress) -> None:
        """See ``train``'s ``on_progress``.

        Raises:
            optuna.TrialPruned: The others were better at this point.
        """
        steps = self._run * self._plan.steps + progress.steps
        self._report(steps, progress.mean_return)
        passed = min(MARKS, MARKS * progress.steps // self._plan.steps)
        if passed > self._mark:
            self._trial.set_user_attr('steps', steps)
            self._compare(range(self._mark + 1, passed + 1), progress.mean_return)
            self._mark = passed

    def next_run(self) -> None:
        """Another run of the trial begins."""
        self._run, self._mark = self._run + 1, 0

    def _compare(self, marks: range, mean_return: float) -> None:
        if math.isnan(mean_return):  # no episode has ended yet
            return
        for mark in marks:
            self._trial.report(mean_return, self._run * MARKS + mark)
        last = self._run == self._plan.seeds - 1 and marks[-1] == MARKS
        if not last and self._trial.should_prune():  # a run that is over can as well be scored
            raise optuna.TrialPruned


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise LearningError(f"'{out}' is not empty; go on with the study in it with --resume, or give another folder "
                            'with --out.')


def _stored(out: Path) -> Plan:
    if not (out / PLAN).is_file():
        raise LearningError(f"'{out}' holds no study to resume (no {PLAN}); start one without --resume.")
    return load_settings(out / PLAN, Plan)

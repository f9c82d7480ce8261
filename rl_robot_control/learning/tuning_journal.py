"""A study's journal: opened for one process at a time, and mended after a kill."""

from __future__ import annotations

import fcntl
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from rl_robot_control.errors import LearningError
from rl_robot_control.learning.tuning_space import Plan

MARKS = 10  # points of a run's budget at which trials are compared; their iterations differ in length


def sampler(seed: int, ended_trials: int) -> optuna.samplers.BaseSampler:
    """Draws the same for the same past, whatever was interrupted in between."""
    own = int(np.random.SeedSequence([seed, ended_trials]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=own, multivariate=True)


def _pruner(plan: Plan) -> optuna.pruners.BasePruner:
    rules = plan.tuning.pruning
    if rules is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(n_startup_trials=rules.after_trials,
                                       n_warmup_steps=math.ceil(rules.after_share * MARKS * plan.seeds))


def open_study(plan: Plan, log: Path) -> optuna.Study:
    """Open the journal, or begin one; trials that a kill cut short count as failed from now on."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _mend(log)
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(str(log))), study_name='tune',
                                direction='maximize', load_if_exists=True, pruner=_pruner(plan))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    return study


def _mend(log: Path) -> None:
    """Undo what a kill in the midst of writing leaves: a lock that nobody holds, and a last line that has no end."""
    log.with_name(f'{log.name}.lock').unlink(missing_ok=True)  # the folder is ours, so it is nobody's
    if log.is_file():
        os.truncate(log, log.read_bytes().rfind(b'\n') + 1)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from working in a folder; a kill lets go of it.

    Raises:
        LearningError: Another process works there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LearningError(f"another process is tuning in '{folder}'; wait for it, or give another folder with --out."
                            ) from None

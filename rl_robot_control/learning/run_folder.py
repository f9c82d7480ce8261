"""A training run's folder: settings, checkpoint and metrics, all of which survive a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from rl_robot_control.config import load_settings, to_plain
from rl_robot_control.errors import ConfigurationError, LearningError
from rl_robot_control.files import replacing, write_whole
from rl_robot_control.learning.settings import TrainingSettings

FIXED = ('robot', 'task', 'algorithm', 'backend', 'budget', 'num_envs', 'workers', 'seed', 'teacher', 'freeze')  # for
# the whole of a run
SETTINGS, CHECKPOINT, METRICS = 'settings.yaml', 'checkpoint.pt', 'metrics.jsonl'


class RunFolder:
    """The files of one run.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def check_free(self) -> None:
        """Find out whether a new run may go here.

        Raises:
            LearningError: The folder holds a run already.
        """
        if (self.path / SETTINGS).exists():
            raise LearningError(f"'{self.path}' already holds a run; continue it with --resume, or give another folder "
                                'with --out.')

    def create(self, settings: TrainingSettings) -> None:
        """Claim the folder for a new run.

        Raises:
            LearningError: It holds a run already, or cannot be written.
        """
        self.check_free()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.path / SETTINGS, yaml.safe_dump(to_plain(settings), sort_keys=False).encode())
        except OSError as error:
            raise LearningError(f"'{self.path}' cannot be written: {error.strerror}; give another folder with --out."
                                ) from error

    def settings(self) -> TrainingSettings:
        """What the run was started with.

        Raises:
            LearningError: The folder holds no run.
        """
        if not (self.path / SETTINGS).is_file():
            raise LearningError(f"'{self.path}' holds no run to resume (no {SETTINGS}); start one without --resume.")
        return load_settings(self.path / SETTINGS, TrainingSettings)

    def extend(self, asked: TrainingSettings) -> TrainingSettings:
        """Settings with which to resume: the stored ones, with the budget that is asked for now.

        Raises:
            LearningError: What is asked for differs from what the run was started with.
        """
        stored = self.settings()
        for key in FIXED:
            if getattr(asked, key) != getattr(stored, key):
                raise LearningError(
                    f"'{self.path}' was started with {key}={getattr(stored, key)!r}, not {getattr(asked, key)!r}; "
                    'resume it with the same settings, or start another run.')
        return TrainingSettings(**{**to_plain(stored), 'steps': asked.steps or stored.steps,
                                   'minutes': asked.minutes or stored.minutes})

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Replace the checkpoint in one stroke, so that a kill leaves the old one or the new one."""
        with replacing(self.path / CHECKPOINT) as temporary:
            torch.save(checkpoint, temporary)

    def load(self) -> dict[str, Any] | None:
        """The latest checkpoint, or None where the run has not got so far.

        Raises:
            LearningError: The file is damaged.
        """
        return _loaded(self.path / CHECKPOINT)

    def save_memory(self, worker: int, memory: dict[str, Any]) -> None:
        """Replace what another worker than the first has gathered, likewise."""
        with replacing(self._memory(worker)) as temporary:
            torch.save(memory, temporary)

    def load_memory(self, worker: int) -> dict[str, Any] | None:
        """What such a worker had gathered, or None where it has not got so far.

        Raises:
            LearningError: The file is damaged.
        """
        return _loaded(self._memory(worker))

    def log(self, metrics: dict[str, float]) -> None:
        """Append one line of metrics."""
        with (self.path / METRICS).open('a') as file:
            file.write(json.dumps(metrics) + '\n')

    def truncate_log(self, steps: int) -> None:
        """Drop the metrics of steps after the checkpoint from which a run resumes."""
        kept = [json.dumps(row) for row in self.metrics() if row['steps'] <= steps]
        write_whole(self.path / METRICS, ''.join(f'{row}\n' for row in kept).encode())

    def metrics(self) -> list[dict[str, float]]:
        """All lines of metrics; a last line cut off by a kill is left out."""
        path = self.path / METRICS
        rows = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return rows

    def _memory(self, worker: int) -> Path:
        return self.path / f'memory_{worker}.pt'


def require_run(path: Path) -> RunFolder:
    """The folder of a run that has a checkpoint.

    Raises:
        ConfigurationError: There is none.
    """
    if not (Path(path) / CHECKPOINT).is_file():
        raise ConfigurationError(f"'{path}' holds no checkpoint ({CHECKPOINT}); give the folder that 'train' wrote.")
    return RunFolder(path)


def _loaded(path: Path) -> dict[str, Any] | None:
    """The content of a file of ours; None: there is none."""
    if not path.is_file():
        return None
    try:
        return torch.load(path, weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise LearningError(f'{path}: is not a checkpoint of this program: {error}') from error

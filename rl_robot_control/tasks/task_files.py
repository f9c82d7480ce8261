"""The files in ``config/tasks``: plain data, laid over the task that a file extends."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rl_robot_control.config import find_config, load_yaml
from rl_robot_control.errors import ConfigurationError


def is_set(data: Any) -> bool:
    """Whether a task's YAML names tasks in place of being one."""
    return isinstance(data, dict) and 'members' in data


def read_task(path: Path) -> dict[str, Any]:
    """A task's YAML, laid over the one that it ``extends``: mappings are merged, anything else is replaced.

    Raises:
        ConfigurationError: A file cannot be read, is no mapping, or extends itself.
    """
    layers = [data for _, data in _ancestry(path)]
    return functools.reduce(lambda above, below: _laid_over(below, above), layers)


def lineage(name: str) -> list[str]:
    """Names of a task and of those that it extends, the task first; of a set those of its first task."""
    chain = list(_ancestry(find_config('tasks', name)))
    names, (_, last) = [path.stem for path, _ in chain], chain[-1]
    return names + (lineage(last['members'][0]) if is_set(last) and last['members'] else [])


def _ancestry(path: Path) -> Iterator[tuple[Path, Any]]:
    """A task's file and those that it extends one after the other, with what each says by itself.

    Raises:
        ConfigurationError: A file cannot be read, or extends itself.
    """
    seen: list[Path] = []
    while True:
        if path.resolve() in seen:
            raise ConfigurationError(f"{path}: 'extends' leads back to itself; remove it in one of the files.")
        seen.append(path.resolve())
        data = load_yaml(path)
        following = data.pop('extends', None) if isinstance(data, dict) else None
        yield path, data
        if following is None:
            return
        path = find_config('tasks', str(following))


def _laid_over(below: Any, above: Any) -> Any:
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    if above.get('term', below.get('term')) != below.get('term'):
        return above  # another term, with other parameters
    return below | {key: _laid_over(below[key], value) if key in below else value for key, value in above.items()}

"""Files that are replaced in one stroke: a reader, or a kill, finds the old content or the new, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside the path that takes its place if the block succeeds, and is gone otherwise.

    Args:
        path: File to replace or to make; its folder must exist.

    Yields:
        The path to write to, with the same suffix: readers go by it.
    """
    # The number of the process keeps writers apart; the mode is that of any new file, so others may read it.
    temporary = path.with_name(f'.{path.stem}.{os.getpid()}{path.suffix}')
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one stroke; its folder must exist."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)

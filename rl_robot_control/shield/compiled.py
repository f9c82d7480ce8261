"""How this room's arithmetic is compiled: by numba, when it is first imported, and kept on disk.

numba looks at one file to decide whether what it kept is still true, and not at the functions or constants of other
files that went into it. A shield that silently runs yesterday's arithmetic is no shield; so it is kept in a folder that
is named by the content of every file of this room.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

_ROOM = Path(__file__).parent
_KEPT = 8  # versions of this room; older ones are deleted


def compiled(*signature: Any, inline: bool = False) -> Callable[[Callable], Any]:
    """Decorate a function of scalars and arrays.

    Args:
        signature: Its types; without them it is compiled for the types with which compiled code calls it.
        inline: Whether it becomes a part of its callers, which a small one should.
    """
    def decorate(function: Callable) -> Any:
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, _folder()
        try:
            return numba.njit(*signature, cache=True, error_model='numpy', nogil=True,
                              inline='always' if inline else 'never')(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


@functools.cache
def _folder() -> str:
    """Where machine code of this room as it is now is kept."""
    content = hashlib.sha256()
    for path in sorted(_ROOM.glob('*.py')):
        content.update(path.read_bytes())
    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    for caches in (home, Path(tempfile.gettempdir()) / f'cache-{os.getuid()}'):
        ours = caches / 'rl_robot_control'
        found = ours / f'shield-{content.hexdigest()[:16]}'
        try:
            found.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError:  # a home that is not there
            continue
        if found.stat().st_uid == os.getuid() and os.access(found, os.W_OK):  # else others' code might lie there
            _forget_old(ours)
            return str(found)
    raise OSError(f'the shield is compiled when it first runs, and neither {home} nor {tempfile.gettempdir()} can be '
                  'written; set XDG_CACHE_HOME to a folder that can.')


def _forget_old(folder: Path) -> None:
    versions = sorted(folder.glob('shield-*'), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in versions[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)

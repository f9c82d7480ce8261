"""Machine code is kept for the content of the whole room, and nowhere else."""

import subprocess
import sys

import pytest

from rl_robot_control.shield import compiled as module

USE = 'import rl_robot_control.shield.compiled as c; print(c._folder())'


def folder(home, **environment):
    run = subprocess.run([sys.executable, '-c', USE], capture_output=True, text=True, timeout=60, check=True,
                         env={'PATH': '', 'HOME': str(home), **environment,
                              'NUMBA_DISABLE_JIT': '1'})  # to say where, nothing need be compiled
    return run.stdout.split()[-1]


def test_the_folder_is_named_by_the_content_of_the_room(tmp_path, monkeypatch):
    (tmp_path / 'one.py').write_text('1')
    monkeypatch.setattr(module, '_ROOM', tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    first = module._folder.__wrapped__()
    assert module._folder.__wrapped__() == first
    (tmp_path / 'other.py').write_text('2')  # a file that a compiled function might call
    assert module._folder.__wrapped__() != first


def test_old_versions_are_deleted(tmp_path, monkeypatch):
    (tmp_path / 'one.py').write_text('')
    monkeypatch.setattr(module, '_ROOM', tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    for k in range(module._KEPT + 4):
        (tmp_path / 'one.py').write_text(str(k))
        module._folder.__wrapped__()
    assert len(list((tmp_path / 'cache' / 'rl_robot_control').iterdir())) == module._KEPT


def test_without_a_home_it_is_kept_with_the_temporary_files(tmp_path):
    (tmp_path / 'file').write_text('')
    assert folder(tmp_path / 'file', TMPDIR=str(tmp_path)).startswith(str(tmp_path))


def test_somebody_elses_folder_is_not_used(tmp_path, monkeypatch):
    """What lies there might be loaded and run."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'theirs'))
    monkeypatch.setattr(module.os, 'getuid', lambda: 12345)
    monkeypatch.setattr(module.tempfile, 'gettempdir', lambda: str(tmp_path))
    with pytest.raises(OSError, match='set XDG_CACHE_HOME to a folder that can'):
        module._folder.__wrapped__()

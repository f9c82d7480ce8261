"""ROS 2's own linters, where they are installed; pip has no wheels of them that run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ('rl_robot_control', 'launch', 'test', 'benchmarks')
# Google's convention, and in it: what overrides or is private needs no docstring of its own, and names are as they are.
LEFT_OUT = ('D102', 'D105', 'D107', 'D402', 'D403', 'D417')


def test_flake8(monkeypatch):
    ament_flake8 = pytest.importorskip('ament_flake8.main', reason='ament_flake8 comes with a ROS 2 installation')
    monkeypatch.chdir(ROOT)
    code, errors = ament_flake8.main_with_errors(argv=['--config', 'setup.cfg', *FOLDERS, 'setup.py'])
    assert code == 0, '\n'.join(errors)


def test_pep257(monkeypatch):
    ament_pep257 = pytest.importorskip('ament_pep257.main', reason='ament_pep257 comes with a ROS 2 installation')
    monkeypatch.chdir(ROOT)
    assert ament_pep257.main(argv=['--convention', 'google', '--add-ignore', *LEFT_OUT, '--', *FOLDERS[:2]]) == 0


def test_the_licence_is_there():
    """ament_copyright wants a header in every file; one file holds for all of them."""
    assert 'Apache License' in (ROOT / 'LICENSE').read_text()
    assert os.path.getsize(ROOT / 'LICENSE') > 10_000

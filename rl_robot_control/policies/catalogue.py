"""The policies that come with the package, ``pretrained/<name>.onnx``."""

from __future__ import annotations

from pathlib import Path

from rl_robot_control.config import config_directory
from rl_robot_control.errors import PolicyError, UnknownNameError


def pretrained_directory() -> Path:
    """Folder of the bundled policies, beside ``config/``; it may not exist."""
    return config_directory().parent / 'pretrained'


def list_policies() -> list[str]:
    """Names of the bundled policies; empty if there are none."""
    return sorted(path.stem for path in pretrained_directory().glob('*.onnx'))


def find_policy(name: str) -> Path:
    """Path of a policy, given by a bundled name or by its own path.

    Args:
        name: Name from ``list_policies``, or a path that ends in ``.onnx``.

    Raises:
        PolicyError: The file does not exist.
        UnknownNameError: No bundled policy has this name.
    """
    if name.endswith('.onnx') or '/' in name:
        if not Path(name).is_file():
            raise PolicyError(f"policy file '{name}' does not exist; give the path of an exported .onnx file.")
        return Path(name)
    if name not in list_policies():
        raise UnknownNameError('policy', name, list_policies())
    return pretrained_directory() / f'{name}.onnx'

"""Strict settings: YAML files become frozen dataclasses, and a key that no one reads is an error.

``pydantic`` does the checking; this module finds the files and turns its findings into messages that name the file, the
key and the nearest valid key.
"""

from __future__ import annotations

import difflib
import os
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as _pydantic_dataclass

from rl_robot_control.errors import ConfigurationError, UnknownNameError

T = TypeVar('T')


def settings(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only, validated dataclass that rejects unknown keys."""
    strict = ConfigDict(extra='forbid', arbitrary_types_allowed=True)
    return _pydantic_dataclass(cls, config=strict, frozen=True, kw_only=True)


def config_directory() -> Path:
    """Folder of the package's own YAML files: the source tree's, or the installed ``share/rl_robot_control/config``.

    Raises:
        ConfigurationError: The package is installed without its data files.
    """
    candidates = [Path(__file__).resolve().parent.parent / 'config']
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix,
                *(str(parent) for parent in Path(__file__).resolve().parents)]
    candidates += [Path(prefix) / 'share' / 'rl_robot_control' / 'config' for prefix in prefixes if prefix]
    for candidate in candidates:
        if (candidate / 'robots').is_dir():
            return candidate
    raise ConfigurationError(f'the settings folder of rl_robot_control was not found; looked in {candidates[0]} and '
                             f'{candidates[-1]}. Install the package again (pip install .).')


def config_names(kind: str) -> list[str]:
    """Names of the files in one folder of ``config/``, e.g. ``config_names('robots')``."""
    return sorted(path.stem for path in (config_directory() / kind).glob('*.yaml'))


def find_config(kind: str, name: str) -> Path:
    """Path of a settings file, given by name or by its own path.

    Args:
        kind: Folder below ``config/``: ``robots``, ``tasks`` or ``algorithms``.
        name: File stem in that folder, or a path that ends in ``.yaml``.

    Raises:
        ConfigurationError: No such name or file.
    """
    if name.endswith(('.yaml', '.yml')):
        if not Path(name).is_file():
            raise ConfigurationError(f"{kind.removesuffix('s')} file '{name}' does not exist.")
        return Path(name)
    path = config_directory() / kind / f'{name}.yaml'
    if not path.is_file():
        raise UnknownNameError(kind.removesuffix('s'), name, config_names(kind))
    return path


def load_yaml(path: Path) -> Any:
    """Read a YAML file.

    Raises:
        ConfigurationError: The file cannot be read or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigurationError(f'{path}: cannot be read: {error.strerror}.') from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f'{path}: is not valid YAML: {error}') from error


def load_settings(path: Path, cls: type[T]) -> T:
    """Read a YAML file into a settings class; see ``parse_settings``."""
    return parse_settings(load_yaml(path), cls, where=str(path))


def parse_settings(data: Any, cls: type[T], where: str) -> T:
    """Build a settings object from plain data.

    Args:
        data: Mapping as read from YAML or JSON.
        cls: Class made with ``settings``.
        where: Name of the source, for messages.

    Raises:
        ConfigurationError: A key is unknown or missing, or a value is out of range; all findings are listed.
    """
    if not isinstance(data, dict):
        raise ConfigurationError(f'{where}: expected a mapping of settings, got {type(data).__name__}.')
    try:
        return TypeAdapter(cls).validate_python(data)
    except ValidationError as error:
        findings = [_explain(finding, cls) for finding in error.errors()]
        raise ConfigurationError('\n'.join(f'{where}: {finding}' for finding in findings)) from None


def to_plain(value: Any) -> Any:
    """The inverse of ``parse_settings``: only mappings, lists, strings, numbers, booleans and null."""
    return TypeAdapter(type(value)).dump_python(value, mode='json')


def _explain(finding: Any, cls: type) -> str:
    location = [part for part in finding['loc'] if part != '__pydantic__']
    key = '.'.join(str(part) for part in location)
    if finding['type'] in ('unexpected_keyword_argument', 'extra_forbidden'):
        valid = _keys_at(cls, location[:-1])
        nearest = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.4)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else '.'
        return f"unknown key '{key}'{hint} Valid: {', '.join(sorted(valid))}."
    if finding['type'] in ('missing', 'missing_argument', 'missing_keyword_only_argument'):
        return f"key '{key}' is missing."
    return f"key '{key}' is {finding['input']!r}: {finding['msg']}."


def _keys_at(cls: Any, location: list[Any]) -> list[str]:
    """Field names of the settings class that a location such as ('rewards', 3) leads to."""
    if is_dataclass(cls):
        types = {field.name: _resolved(cls, field.name) for field in fields(cls)}
        if not location:
            return list(types)
        return _keys_at(types.get(location[0]), location[1:])
    rest = location[1:] if get_origin(cls) in (list, tuple, dict) else location
    for inner in get_args(cls):
        keys = _keys_at(inner, rest)
        if keys:
            return keys
    return []


def _resolved(cls: type, name: str) -> Any:
    import typing
    try:
        return typing.get_type_hints(cls)[name]
    except (KeyError, NameError):
        return None

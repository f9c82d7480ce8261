"""The text of message types, which makes a recording readable without this package."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

_BUILTIN = {'bool', 'byte', 'char', 'float32', 'float64', 'int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32',
            'int64', 'uint64', 'string', 'wstring'}
_SEPARATOR = '=' * 80


def type_name(message_type: type) -> str:
    """E.g. ``sensor_msgs/msg/JointState``."""
    return f'{message_type.__module__.split(".")[0]}/msg/{message_type.__name__}'


def definition(message_type: type) -> str:
    """A type's ``.msg`` text followed by those of the types that it holds; empty where no text is installed.

    The form is MCAP's ``ros2msg``: each further text stands below a line of ``=`` and ``MSG: package/Type``.
    """
    package, _, name = type_name(message_type).split('/')
    texts: dict[str, str] = {}
    pending = [f'{package}/{name}']
    while pending:
        key = pending.pop(0)
        text = _read(key)
        if text is None:
            return ''
        texts[key] = text
        known = {*texts, *pending}
        pending += [other for other in _held_types(text, key.split('/')[0]) if other not in known]
    first, *others = texts.items()
    return '\n'.join([first[1], *(f'{_SEPARATOR}\nMSG: {key}\n{text}' for key, text in others)])


def _read(key: str) -> str | None:
    """A type's text from its package's share folder, of a ROS 2 installation or beside the wheel's Python code."""
    package, name = key.split('/')
    spec = importlib.util.find_spec(package)
    beside = Path(spec.origin).parents if spec is not None and spec.origin else ()
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix, *map(str, beside)]
    for prefix in filter(None, prefixes):
        path = Path(prefix) / 'share' / package / 'msg' / f'{name}.msg'
        if path.is_file():
            return path.read_text()
    return None


def _held_types(text: str, package: str) -> list[str]:
    """The types of a text's fields that are no builtin ones, as ``package/Type``."""
    found = []
    for line in text.splitlines():
        field = re.match(r'\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+', line.split('#')[0])
        if field and field[1] not in _BUILTIN:
            parts = field[1].split('/')
            found.append(f'{parts[0] if len(parts) > 1 else package}/{parts[-1]}')
    return found

"""Policy files of other projects, read as if they were our own.

Each module here is one dialect: ``recognises(file)`` tells by names alone, ``read(file)`` gives a ``Description``. The
first one that recognises a file reads it: a YAML file that a person has written for it, then the metadata in the file,
the most particular first, then the files that exporters leave beside it.
"""

from __future__ import annotations

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects import (
    beyond_mimic,
    holomotion,
    holosoma,
    isaac_lab_io,
    mjlab,
    plain_yaml,
    rl_sar,
    unitree_deploy,
)
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile

DIALECTS = (plain_yaml, holosoma, beyond_mimic, mjlab, holomotion, unitree_deploy, isaac_lab_io, rl_sar)


def describe_foreign(file: ForeignFile) -> Description:
    """Read a file in the dialect that it is written in.

    Raises:
        PolicyError: No dialect recognises it, or it lacks something.
    """
    for dialect in DIALECTS:
        if dialect.recognises(file):
            try:
                return dialect.read(file)
            except (AttributeError, LookupError, TypeError, ValueError) as error:  # something where a number should be
                raise PolicyError(f'{file.where}: looks like a policy of {dialect.NAME}, but cannot be read as one: '
                                  f'{type(error).__name__}: {str(error)[:300]}.') from None
    keys = ', '.join(sorted(file.metadata)) or 'none'
    raise PolicyError(
        f'{file.where}: neither has a manifest of rl_robot_control, nor is of a known dialect '
        f'({", ".join(dialect.NAME for dialect in DIALECTS)}), so neither joints nor gains are known. Its metadata: '
        f'{keys}; its inputs: {", ".join(file.inputs)}. Export it with rl_robot_control export, or write '
        f'{file.path.stem}.yaml beside it (docs/policies.md).')


__all__ = ['DIALECTS', 'Description', 'ForeignFile', 'describe_foreign']

"""mjlab (``rl/exporter_utils.py``): velocity and tracking policies, with or without the newer keys for each term."""

from __future__ import annotations

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects import csv_metadata as csv
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile
from rl_robot_control.tasks.observation_group import ObservationSettings

NAME = 'mjlab'
_PREFIX = 'observation_terms_'


def recognises(file: ForeignFile) -> bool:
    """Whether a file is of this dialect."""
    return {'joint_names', 'joint_stiffness', 'observation_names'} <= set(file.metadata)


def read(file: ForeignFile) -> Description:
    """What a file says.

    Raises:
        PolicyError: It lacks something or contradicts itself.
    """
    return csv.description(NAME, file, _observations(file))


def _observations(file: ForeignFile) -> list[ObservationSettings]:
    where, metadata = file.where, file.metadata
    terms, tracks = csv.names(metadata['observation_names']), 'time_step' in file.inputs
    keys = {key: csv.per_term(metadata, _PREFIX + key, terms, where)
            for key in ('scale', 'clip', 'history_length', 'flatten_history_dim')}
    entries = []
    for i, name in enumerate(terms):
        said = {key: values[i] for key, values in keys.items() if values is not None}
        kept = csv.history(said.get('history_length', '0'), _PREFIX + 'history_length', where)
        if len(kept) > 1 and said.get('flatten_history_dim', '1.000').lower() in ('0', '0.000', 'false'):
            raise PolicyError(f"{where}: the history of observation term '{name}' is not flattened; a policy here "
                              'takes one row of values.')
        entries.append(csv.observation(
            name, tracks, where, scale=_scale(said.get('scale', ''), where),
            clip=csv.pair(said.get('clip', ''), _PREFIX + 'clip', where), ages=kept))
    return entries


def _scale(text: str, where: str) -> float | list[float]:
    if text.lower() in ('', 'none'):
        return 1.0
    values = csv.numbers(text.replace(';', ','), _PREFIX + 'scale', where)
    return values[0] if len(values) == 1 else values

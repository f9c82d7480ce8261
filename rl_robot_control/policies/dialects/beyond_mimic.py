"""BeyondMimic, whole_body_tracking (``utils/exporter.py``): tracks the motion that its network holds."""

from __future__ import annotations

from rl_robot_control.policies.dialects import csv_metadata as csv
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile, ages, required

NAME = 'beyond_mimic'


def recognises(file: ForeignFile) -> bool:
    """Whether a file is of this dialect."""
    return {'joint_names', 'joint_stiffness', 'observation_history_lengths'} <= set(file.metadata)


def read(file: ForeignFile) -> Description:
    """What a file says.

    Raises:
        PolicyError: It lacks something or contradicts itself.
    """
    where, tracks = file.where, 'time_step' in file.inputs
    terms = csv.names(required(file.metadata, ('observation_names',), where)[0])
    lengths = csv.per_term(file.metadata, 'observation_history_lengths', terms, where)
    entries = []
    for name, text in zip(terms, lengths, strict=True):
        length = csv.whole(csv.numbers(text, 'observation_history_lengths', where)[0], 'observation_history_lengths',
                           where)
        entries.append(csv.observation(name, tracks, where, ages=ages(length, 'observation_history_lengths', where)))
    return csv.description(NAME, file, entries)

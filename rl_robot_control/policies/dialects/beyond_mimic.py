"""BeyondMimic, whole_body_tracking (``utils/exporter.py``): tracks the motion that its network holds."""

from __future__ import annotations

from rl_robot_control.policies.dialects import csv_metadata as csv
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile, required

NAME = 'beyond_mimic'
LENGTHS = 'observation_history_lengths'  # key: how many values of each term are observed


def recognises(file: ForeignFile) -> bool:
    """Whether a file is of this dialect."""
    return {'joint_names', 'joint_stiffness', LENGTHS} <= set(file.metadata)


def read(file: ForeignFile) -> Description:
    """What a file says.

    Raises:
        PolicyError: It lacks something or contradicts itself.
    """
    where, tracks = file.where, 'time_step' in file.inputs
    terms = csv.names(required(file.metadata, ('observation_names',), where)[0])
    lengths = csv.per_term(file.metadata, LENGTHS, terms, where)
    return csv.description(NAME, file, [
        csv.observation(name, tracks, where, ages=csv.history(text, LENGTHS, where))
        for name, text in zip(terms, lengths, strict=True)])

"""HoloMotion: the joint keys of the mjlab family, and not a word about what the policy observes."""

from __future__ import annotations

from rl_robot_control.errors import PolicyError
from rl_robot_control.policies.dialects import csv_metadata as csv
from rl_robot_control.policies.dialects.foreign import Description, ForeignFile

NAME = 'holomotion'


def recognises(file: ForeignFile) -> bool:
    """Whether a file is of this dialect."""
    return set(csv.JOINT_KEYS) <= set(file.metadata) and 'observation_names' not in file.metadata


def read(file: ForeignFile) -> Description:
    """Refuse it, once its joints are known to make sense: ``plain_yaml`` reads it where a YAML file says the rest.

    Raises:
        PolicyError: Always.
    """
    csv.joints(file, next(iter(file.outputs), ''))
    raise PolicyError(f"{file.where}: its metadata (HoloMotion) name joints and gains, but not what it observes. Write "
                      f"{file.path.stem}.yaml beside it with its 'observations'; joints, gains, pose and scale are "
                      'taken from the file (docs/policies.md).')

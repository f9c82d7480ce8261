"""The package's errors: one base class, so that a caller can tell "you can mend this" from a bug."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RobotControlError(Exception):
    """Base of every error that names a cause its reader can mend; the command line prints it without a traceback."""


class ConfigurationError(RobotControlError):
    """A settings file or argument is wrong."""


class UnknownNameError(ConfigurationError):
    """A name is not among the valid ones.

    Args:
        kind: What the name stands for, e.g. ``"robot"``.
        name: The name as given.
        valid: All valid names.
        where: File or option that holds the name, or empty.
    """

    def __init__(self, kind: str, name: str, valid: Iterable[str], where: str = '') -> None:
        self.kind, self.name, self.valid = kind, str(name), sorted(valid)
        nearest = difflib.get_close_matches(self.name, self.valid, n=1, cutoff=0.4)
        hint = f"; did you mean '{nearest[0]}'?" if nearest else ''
        place = f' in {where}' if where else ''
        super().__init__(f"unknown {kind} '{name}'{place}{hint} Valid: {', '.join(self.valid) or 'none'}."
                         if nearest else f"unknown {kind} '{name}'{place}. Valid: {', '.join(self.valid) or 'none'}.")


class RobotDescriptionError(RobotControlError):
    """A URDF or robot file is missing, malformed or contradicts itself."""


class BackendError(RobotControlError):
    """The simulation or robot did something that makes going on unsafe or meaningless."""


class BackendTimeoutError(BackendError):
    """The simulation or robot did not answer; the message names the topic or service."""


class PolicyError(RobotControlError):
    """A policy file is malformed, hostile, or made for something else."""


class PeerTimeoutError(PolicyError):
    """Another node did not answer in time; it may still be starting."""


class LearningError(RobotControlError):
    """Training cannot start or go on (occupied output folder, diverged parameters, ...)."""

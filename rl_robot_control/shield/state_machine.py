"""The modes of the shield and the one table of transitions between them."""

from __future__ import annotations

import enum

import numpy as np


class ShieldMode(enum.IntEnum):
    """What the shield does for one robot."""

    STARTING = 0  # no valid state seen yet: nothing is commanded
    READY = 1  # state valid, waiting for the first command: the target is the measured pose
    ACTIVE = 2  # the command is followed within the limits
    BRAKING = 3  # no usable command: the reference slows down to a stop and stays there
    DAMPING = 4  # state or command lost: the target is the measured pose, so only the drive's damping acts
    LATCHED = 5  # as DAMPING, until an explicit re-arm


class Event(enum.IntEnum):
    """What one cycle found, the gravest first."""

    FAULT = 0  # emergency stop, fall, too many rejected commands, overrun
    STATE_LOST = 1  # missing, old or invalid state
    COMMAND_LOST = 2  # none, or none for longer than command_damping_timeout
    COMMAND_UNUSABLE = 3  # rejected in this cycle, or older than command_timeout
    NOMINAL = 4


_M = ShieldMode
TRANSITIONS = {  # mode: (FAULT, STATE_LOST, COMMAND_LOST, COMMAND_UNUSABLE, NOMINAL)
    _M.STARTING: (_M.LATCHED, _M.STARTING, _M.READY, _M.READY, _M.READY),
    _M.READY: (_M.LATCHED, _M.STARTING, _M.READY, _M.READY, _M.ACTIVE),
    _M.ACTIVE: (_M.LATCHED, _M.DAMPING, _M.DAMPING, _M.BRAKING, _M.ACTIVE),
    _M.BRAKING: (_M.LATCHED, _M.DAMPING, _M.DAMPING, _M.BRAKING, _M.ACTIVE),
    _M.DAMPING: (_M.LATCHED, _M.DAMPING, _M.DAMPING, _M.DAMPING, _M.ACTIVE),
    _M.LATCHED: (_M.LATCHED, _M.LATCHED, _M.LATCHED, _M.LATCHED, _M.LATCHED),
}
_TABLE = np.array([TRANSITIONS[mode] for mode in ShieldMode], dtype=np.int64)


def next_mode(mode: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Modes (N,) after one cycle with the given events (N,)."""
    return _TABLE[mode, event]


def follows_reference(mode: np.ndarray) -> np.ndarray:
    """Whether a mode moves the viable reference (N,); the others take the measured pose."""
    return (mode == ShieldMode.ACTIVE) | (mode == ShieldMode.BRAKING)

"""The emergency stop's heartbeat: true means "go on", false means "stop", and silence may mean it, too."""

from __future__ import annotations

import math


class EmergencyStopLink:
    """Judges the heartbeats of all who may stop the robot. Reads no clock.

    Args:
        required: Whether silence stops the robot.
        timeout: Silence that stops it, and how long a "stop" forbids to go on [s].
        now: Start of the watch [s].
    """

    def __init__(self, required: bool, timeout: float, now: float) -> None:
        self._required, self._timeout = required, timeout
        self._heard, self._stopped = now, -math.inf

    def receive(self, go_on: bool, now: float) -> None:
        """Take one heartbeat at a time [s]."""
        self._heard = now
        if not go_on:
            self._stopped = now

    def fault(self, now: float) -> str:
        """Why the robot must not move at a time [s], or empty."""
        if now - self._stopped <= self._timeout:
            return 'emergency stop: the heartbeat says stop'
        silence = now - self._heard
        if self._required and silence > self._timeout:
            return f'emergency stop: no heartbeat for {self._timeout:g} s'
        return ''

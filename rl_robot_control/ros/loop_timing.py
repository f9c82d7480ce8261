"""How well a control loop keeps its period."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TimingSummary:
    """Statistics of the cycles since the last summary; NaN where there were none."""

    cycles: int
    rate: float  # [Hz]
    jitter_rms: float  # of the interval between two cycles about the period [s]
    jitter_max: float  # [s]
    latency_mean: float  # from the start of a cycle to the command's publication [s]
    latency_max: float  # [s]
    age_mean: float  # of the observation when it is answered [s]
    age_max: float  # [s]
    overruns: int  # intervals longer than 1.5 periods


class LoopTiming:
    """Running sums over cycles: no list grows and nothing is allocated in a cycle.

    Args:
        period: Nominal interval between two cycles [s].
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self._last: float | None = None
        self._clear()

    def record(self, started: float, finished: float, age: float) -> None:
        """Count one cycle.

        Args:
            started: Start of the cycle [s].
            finished: Time at which the command was published [s].
            age: Age of the observation that it answers [s].
        """
        if self._last is not None:
            interval = started - self._last
            deviation = interval - self._period
            self._intervals += 1
            self._elapsed += interval
            self._squares += deviation * deviation
            self._jitter_max = max(self._jitter_max, abs(deviation))
            self._overruns += interval > 1.5 * self._period
        self._last = started
        self._cycles += 1
        self._latency += finished - started
        self._latency_max = max(self._latency_max, finished - started)
        self._age += age
        self._age_max = max(self._age_max, age)

    def interrupt(self) -> None:
        """The loop pauses here: the interval up to the next cycle does not count."""
        self._last = None

    def summary(self) -> TimingSummary:
        """Statistics since the last call."""
        nan, intervals, cycles = math.nan, self._intervals, self._cycles
        result = TimingSummary(
            cycles=cycles, overruns=self._overruns,
            rate=intervals / self._elapsed if self._elapsed > 0 else nan,
            jitter_rms=math.sqrt(self._squares / intervals) if intervals else nan,
            jitter_max=self._jitter_max if intervals else nan,
            latency_mean=self._latency / cycles if cycles else nan, latency_max=self._latency_max if cycles else nan,
            age_mean=self._age / cycles if cycles else nan, age_max=self._age_max if cycles else nan)
        self._clear()
        return result

    def _clear(self) -> None:
        self._cycles = self._intervals = self._overruns = 0
        self._elapsed = self._squares = self._jitter_max = 0.0
        self._latency = self._latency_max = self._age = self._age_max = 0.0

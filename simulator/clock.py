"""Simulated time: seasons, rush hours, and how many things of a kind exist by the end of each day.

Belongs here: the calendar's influence and the numbering of what arrives over time. Does not belong here:
what arrives. Moments are microseconds since 1970 in UTC, as int64.
"""

from __future__ import annotations

from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.dice import Dice, Flags, Floats, Ints

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NEVER = np.int64(2**62)
"""The moment of what does not happen."""

_HORIZON = 36_600
"""Days that a simulation can reach: a century, as far as dates are plausible to the contracts."""
_WEEKLY = np.array([0.99, 0.95, 0.96, 1.00, 1.07, 1.12, 0.91])
# Visits and orders by hour (UTC): low at night, a bump at lunch, the peak in the evening.
_HOURLY = np.array([22, 13, 8, 6, 6, 9, 16, 28, 42, 52, 58, 62, 66, 62, 58, 56, 58, 64, 76, 88, 96, 88, 64, 40.0])
_HOUR_BOUNDS = np.concatenate([[0.0], np.cumsum(_HOURLY) / _HOURLY.sum()])
_HOUR_STARTS = np.arange(25) * float(HOUR)


def later_that_day(moment: Ints, delay: Ints | int) -> Ints:
    """``moment`` and ``delay`` after it, but not past the end of the moment's day."""
    return np.asarray(np.minimum(moment + delay, (moment // DAY + 1) * DAY - 1))


class Clock:
    """The calendar that begins at ``start`` (day 0)."""

    def __init__(self, start: date) -> None:
        self.start = start
        self._origin = (start - date(1970, 1, 1)).days
        days = np.arange(_HORIZON)
        weekday = (days + start.weekday()) % 7
        day_of_year = (self._origin + days) % 365.2425
        yearly = (
            1
            + 0.08 * np.cos(2 * np.pi * (day_of_year - 340) / 365.2425)
            + 0.55 * np.exp(-(((day_of_year - 331) / 5.0) ** 2))  # the days around Black Friday
            + 0.35 * np.exp(-(((day_of_year - 348) / 7.0) ** 2))  # before Christmas
        )
        weight = _WEEKLY[weekday] * yearly
        # Volumes are promised per 90 days: the first 90 days have the mean weight 1, wherever they lie.
        self.weight: Floats = weight / weight[:90].mean()
        self.elapsed: Floats = np.concatenate([[0.0], np.cumsum(self.weight)])

    def begin(self, day: ArrayLike) -> Ints:
        """The first moment of a day."""
        return np.asarray((np.asarray(day, dtype=np.int64) + self._origin) * DAY)

    def date_number(self, day: int) -> int:
        """Days since 1970 of a simulated day."""
        return self._origin + day

    @staticmethod
    def time_of_day(quantile: Floats) -> Ints:
        """Microseconds after midnight at a quantile of the day's traffic."""
        return np.asarray(np.interp(quantile, _HOUR_BOUNDS, _HOUR_STARTS), dtype=np.int64)


class Arrivals:
    """Numbers 1, 2, 3, … handed out over time: ``opening`` of them before day 0, then ``per_day``."""

    def __init__(self, clock: Clock, opening: int, per_day: float) -> None:
        self._clock = clock
        self.opening = opening
        counts = np.floor(clock.elapsed * per_day).astype(np.int64)
        self._before = opening + counts
        self._days: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def before(self, day: int) -> int:
        """How many exist when the day begins; the opening ones count as existing before day 0."""
        return int(self._before[day])

    def before_each(self, day: Ints) -> Ints:
        """How many exist when each of the days begins."""
        return self._before[day]

    def known_before(self, day: int) -> Ints:
        """The numbers that exist when the day begins."""
        return np.arange(1, self.before(day) + 1, dtype=np.int64)

    def on(self, day: int) -> Ints:
        """The numbers that arrive on the day (on day 0 without the opening ones)."""
        return np.arange(self._before[day] + 1, self._before[day + 1] + 1, dtype=np.int64)

    def delivered_on(self, day: int) -> Ints:
        """The numbers whose rows first appear on the day: day 0 brings the opening ones too."""
        first = 0 if day == 0 else self._before[day]
        return np.arange(first + 1, self._before[day + 1] + 1, dtype=np.int64)

    def during(self, first_day: int, last_day: int) -> Ints:
        """The numbers that arrive from ``first_day`` to ``last_day``, both included."""
        low = self._before[max(first_day, 0)]
        return np.arange(low + 1, self._before[last_day + 1] + 1, dtype=np.int64)

    def day_of(self, ids: Ints) -> Ints:
        """The day of arrival; -1 for the opening ones."""
        highest = int(ids.max(initial=0))
        if highest >= len(self._days):
            # A table by number, some way ahead: ten times as fast as searching the running totals.
            reach = np.arange(highest * 5 // 4 + 1_000)
            self._days = (np.searchsorted(self._before, reach, side="left") - 1).astype(np.int32)
        return self._days[ids].astype(np.int64)

    def quantile(self, ids: Ints, day: Ints, jitter: Floats) -> Floats:
        """Where in its day's traffic each number arrives: in the order of the numbers."""
        first = self._before[day]
        count = np.maximum(self._before[day + 1] - first, 1)
        return np.asarray((ids - 1 - first + jitter) / count)


class Recurrences:
    """Things that happen to an entity again and again, at a phase and period of its own, in days."""

    def __init__(self, dice: Dice, stream: str, first: tuple[int, int], period: tuple[int, int]) -> None:
        self._dice, self._stream, self._first, self._period = dice, stream, first, period

    def _phase(self, ids: Ints) -> tuple[Ints, Ints]:
        first = self._dice.between(self._stream + ".first", ids, *self._first)
        return first, self._dice.between(self._stream + ".period", ids, *self._period)

    def count(self, ids: Ints, age: ArrayLike) -> Ints:
        """How often it has happened by the end of the day on which the entity is ``age`` days old."""
        first, period = self._phase(ids)
        return np.asarray(np.maximum((np.asarray(age) - first) // period + 1, 0))

    def today(self, ids: Ints, age: ArrayLike) -> Flags:
        """Whether it happens on that day."""
        first, period = self._phase(ids)
        since = np.asarray(age) - first
        return np.asarray((since >= 0) & (since % period == 0))

    def last_age(self, ids: Ints, age: ArrayLike) -> Ints:
        """The age in days at which it last happened; -1 where it has not yet."""
        first, period = self._phase(ids)
        since = np.asarray(age) - first
        return np.where(since >= 0, first + since // period * period, -1)

"""What the world hands out for one simulated day, and what takes it in.

Belongs here: the types that tie the world to its outlets, and the error that either raises. Does
not belong here: how a day is made (``world``) or how an outlet stores it (``databases``, ``apis``, ``files``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Protocol

import polars as pl

TRUTH_SCHEMA: dict[str, pl.DataType] = {
    "day": pl.Int64(),
    "source": pl.String(),
    "table_name": pl.String(),
    "row_key": pl.String(),
    "kind": pl.String(),
    "column_name": pl.String(),
    "rule": pl.String(),
    "is_row_visible": pl.Boolean(),
    "correct_value": pl.String(),
    "wrong_value": pl.String(),
}
"""One row per planted error; ``rule`` is null where no row rule can see it."""


@dataclass(frozen=True)
class Day:
    """What happened at the sources on one simulated day.

    ``number``: 0 for the day that also brings the opening stock. ``moment``: the calendar day.
    ``tables``: by ``source/table``, the rows inserted or updated, planted errors included. Rows of
    databases have native types and occur once per primary key; everywhere else every column is text,
    rows occur in the order in which the source gives them, and a row may occur twice (the planted
    ``duplicate_row``). A table on which nothing happened has no rows or is absent.
    ``deleted``: by ``source/table``, the primary keys deleted (databases only).
    ``truth``: one row per planted error (:data:`TRUTH_SCHEMA`).
    """

    number: int
    moment: date
    tables: Mapping[str, pl.DataFrame]
    deleted: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    truth: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=TRUTH_SCHEMA))

    @property
    def begins_at(self) -> datetime:
        """The first moment of the day (UTC)."""
        return datetime.combine(self.moment, time(), UTC)

    @property
    def rows(self) -> int:
        """Rows inserted or updated on the day, over all tables."""
        return sum(frame.height for frame in self.tables.values())


class SimulatorError(Exception):
    """A fault that a person can mend: what happened, where, and what to do about it."""

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(f"{what}\n  where: {where}\n  what to do: {remedy}")


class Sink(Protocol):
    """An outlet of the simulated world: a database, a service, a folder.

    Writing the same day twice leaves the sink as writing it once does, so that a day that was interrupted
    can be written again. A sink leaves tables alone that are not its own.
    """

    def write(self, day: Day) -> None:
        """Take in the day's rows, or raise."""
        ...

"""The help desk's ticket exports.

Belongs here: this format. Does not belong here: which tickets there are.
"""

from __future__ import annotations

import polars as pl

from simulator.files.writing import gzipped, joined, json_lines
from simulator.sinks import Day

TICKET_NUMBERS = ("customer_id", "order_id", "satisfaction_rating")
TRUNCATED_EVERY_DAYS = 30
FIRST_TRUNCATED_DAY = 15


def tickets_file(day: Day, rows: pl.DataFrame) -> tuple[str, bytes]:
    """Name and content of the ticket export: a JSON list on even days, compressed JSON lines on odd ones."""
    lines = json_lines(rows, numbers=TICKET_NUMBERS)
    name = f"tickets-{day.moment.isoformat()}.json"
    if day.number % 2 == 0:
        return name, ("[\n" + joined(lines, ",\n") + "\n]\n").encode("utf-8")
    return f"{name}.gz", gzipped((joined(lines) + "\n").encode("utf-8"))


def is_truncated_on(day: Day) -> bool:
    """Whether the day's export breaks off, to be sent again whole on the next day."""
    return day.number % TRUNCATED_EVERY_DAYS == FIRST_TRUNCATED_DAY


def truncated(content: bytes) -> bytes:
    """The content as a transfer leaves it that breaks off after two thirds."""
    return content[: len(content) * 2 // 3]

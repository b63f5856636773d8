"""What of a row may leave the platform in a message: personal values only by their shape."""

from __future__ import annotations

from resources.notify.message import one_line
from shopsphere_assets.ingestion.raw_table import RawTable

_LONGEST_VALUE = 60


def shape(text: str) -> str:
    """``text`` with every letter as ``x`` and every digit as ``9``: ``ann@shop.de`` is ``xxx@xxxx.xx``.

    What is wrong with a value mostly shows in its shape; whose it is does not.
    """
    return "".join("x" if c.isalpha() else "9" if c.isnumeric() else c for c in text)


def shown(table: RawTable | None, column: str | None, value: str | None) -> str:
    """A value as a message may show it: cut, and by its shape where the contract calls the column personal.

    Of an unknown table or column nobody can say that it is not.
    """
    if value is None:
        return "(empty)"
    if table is None or column not in table.column_types or table.column_metadata(column)["personal"]:
        value = shape(value)
    line = one_line(value)
    return line if len(line) <= _LONGEST_VALUE else line[: _LONGEST_VALUE - 1] + "…"


def shown_key(table: RawTable | None, row_key: str, position: str | None) -> str:
    """The key of a row, or where it stands in its source if it has none."""
    if row_key and table is not None:
        parts = row_key.split("|") if len(table.key) > 1 else [row_key]
        named = zip(table.key, parts, strict=False)
        return ", ".join(f"{column} {shown(table, column, part)}" for column, part in named)
    return f"at {one_line(position)}" if position else "without a key"

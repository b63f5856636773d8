"""Writing files that others read at any moment, and rows as lines of JSON.

Belongs here: what several kinds of file need. Does not belong here: any one format.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from simulator.sinks import TRUTH_SCHEMA


@dataclass(frozen=True)
class Planted:
    """An error that the files add to the world's own: a truth row's fields (see ``TRUTH_SCHEMA``)."""

    source: str
    table_name: str
    row_key: str
    kind: str
    rule: str
    is_row_visible: bool
    wrong_value: str | None = None


def truth_frame(day_number: int, planted: Iterable[Planted]) -> pl.DataFrame:
    """The planted errors as rows of the truth."""
    rows = [
        {
            "day": day_number,
            "source": error.source,
            "table_name": error.table_name,
            "row_key": error.row_key,
            "kind": error.kind,
            "column_name": None,
            "rule": error.rule,
            "is_row_visible": error.is_row_visible,
            "correct_value": None,
            "wrong_value": error.wrong_value,
        }
        for error in planted
    ]
    return pl.DataFrame(rows, schema=TRUTH_SCHEMA)


def write_atomically(path: Path, content: bytes) -> None:
    """Put the file in place whole: readers of the folder never see a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_parquet_atomically(path: Path, frame: pl.DataFrame) -> None:
    """As :func:`write_atomically`, for a frame."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    frame.write_parquet(temporary)
    temporary.replace(path)


def gzipped(content: bytes) -> bytes:
    """The content compressed; the same content gives the same bytes (no time, no name inside)."""
    return gzip.compress(content, compresslevel=1, mtime=0)


def json_lines(frame: pl.DataFrame, *, numbers: Sequence[str] = ()) -> pl.Series:
    """One JSON object per row of a frame of text.

    ``numbers``: columns written as JSON numbers where the text is a whole number, else as the text.
    """
    line = pl.struct(pl.all()).struct.json_encode()
    for name in numbers:
        # A quote inside a JSON string is escaped, so a bare one after a comma or brace begins a field.
        line = line.str.replace_all(rf'([{{,]"{name}":)"(-?(?:0|[1-9][0-9]{{0,17}}))"', "${1}${2}")
    return frame.select(line.alias("line"))["line"]


def joined(lines: pl.Series, separator: str = "\n") -> str:
    """The lines as one text, without a separator at the end."""
    return str(lines.str.join(separator).item()) if len(lines) else ""

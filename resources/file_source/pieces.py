"""What the readers of all formats share: the running record of one file's reading, and its chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from resources.file_source.content import Content
from resources.json_text import printable, text_frame
from resources.reading import POSITION, REJECTED_SCHEMA, Chunk

MALFORMED = "line.malformed"
TRUNCATED = "line.truncated"
EXCERPT_CHARACTERS = 2_000

Status = Literal["read", "truncated", "rejected"]
Row = tuple[int, Sequence[str | None]]
"""Number of the row's first line and its values."""


@dataclass(frozen=True)
class Rejection:
    """A piece of a file that is no row: its first line, its text, the rule it broke and in which way."""

    line: int
    raw: str
    detail: str
    rule: str = MALFORMED


@dataclass
class Reading:
    """One file as it is being read: where it is, what is wanted of it, what became of it.

    ``header``: the names of its columns where the file itself says them, once that line was read.
    """

    path: str
    content: Content
    content_hash: str
    columns: tuple[str, ...] | None
    header: tuple[str, ...] = ()
    status: Status = "read"
    notes: list[str] = field(default_factory=list)

    def broke_off(self, note: str) -> None:
        """Record that the file is incomplete."""
        self.status = "truncated"
        self.notes.append(note)

    def is_refused(self, note: str) -> None:
        """Record that nothing of the file can be used."""
        self.status = "rejected"
        self.notes.append(note)

    def severed(self, line: int) -> list[Rejection]:
        """The rejection of the piece of a line before a break in compressed data, recorded in the outcome."""
        if self.content.damage is None:
            return []
        self.broke_off(self.content.damage)
        if not self.content.severed.strip():
            return []
        raw = self.content.severed.decode("utf-8", "backslashreplace")
        return [Rejection(line, raw, f"cut off: {self.content.damage}", TRUNCATED)]

    def chunk(self, frames: Iterable[pl.DataFrame], rejections: Sequence[Rejection]) -> Chunk | None:
        """A chunk of frames that hold ``_line`` and the columns, in line order; ``None`` for nothing."""
        parts = [frame for frame in frames if frame.height]
        if not parts and not rejections:
            return None
        if parts:
            together = parts[0] if len(parts) == 1 else pl.concat(parts).sort("_line", maintain_order=True)
            rows = together.with_columns(self._position(pl.col("_line")).alias(POSITION)).drop("_line")
        else:
            rows = pl.DataFrame(schema=dict.fromkeys((*(self.columns or ()), POSITION), pl.String))
        return Chunk(rows=rows, bytes_read=self.content.take_bytes_read(), rejected=self._rejected(rejections))

    def _position(self, line: pl.Expr) -> pl.Expr:
        return pl.lit(f"{self.path}:") + line.cast(pl.String)

    def _rejected(self, rejections: Sequence[Rejection]) -> pl.DataFrame | None:
        if not rejections:
            return None
        return pl.DataFrame(
            [
                (f"{self.path}:{item.line}", printable(item.raw), item.rule, printable(item.detail))
                for item in sorted(rejections, key=lambda item: item.line)
            ],
            schema=REJECTED_SCHEMA,
            orient="row",
        )


def row_frame(columns: Sequence[str], rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a frame with ``_line``."""
    return text_frame(columns, [row for _, row in rows]).with_columns(line_numbers([line for line, _ in rows]))


def line_numbers(numbers: Sequence[int] | pl.Series) -> pl.Series:
    """Line numbers as the column ``_line``."""
    return pl.Series("_line", numbers, dtype=pl.Int64)


def empty_to_null(columns: Iterable[str]) -> list[pl.Expr]:
    """An empty field is a null."""
    return [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in columns]


def without_undecodable(data: bytes, first_line: int) -> tuple[bytes, list[Rejection]]:
    """Whole lines with those that are not UTF-8 emptied (so that the numbers stay right) and rejected."""
    try:
        data.decode()
    except UnicodeDecodeError:
        pass
    else:
        return data, []
    lines = data.split(b"\n")
    rejections = []
    for index, line in enumerate(lines):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            raw = line.decode("utf-8", "backslashreplace")
            detail = f"byte {error.start + 1} of the line is not UTF-8 ({error.reason})"
            rejections.append(Rejection(first_line + index, raw, detail))
            lines[index] = b""
    return b"\n".join(lines), rejections

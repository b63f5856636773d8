"""Reader of JSON lines.

The bulk goes through polars' NDJSON parser; what that parser would change (decimals with trailing zeros, huge
numbers, nested values, escaped surrogates) or refuses goes line by line through :mod:`resources.json_text`,
so that both ways give the same cells.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from resources import json_text
from resources.file_source.pieces import (
    TRUNCATED,
    Reading,
    Rejection,
    Row,
    line_numbers,
    row_frame,
    without_undecodable,
)
from resources.json_text import has_lone_surrogate
from resources.reading import Chunk

# Lines whose cells polars would not give as written: a nested value; a number with more than 17 digits, minus
# zero, more digits than a double holds, a zero at the end of the decimals, an exponent; an escaped surrogate
# (a lone one would silently become NUL).
_NOT_AS_WRITTEN = (
    r'"\s*:\s*(?:[{\[]|-?\d{18}|-0[,}\s]|-?\d{10,}\.|-?\d+\.(?:\d{6}|\d*0[,}\s]|0000)|-?\d+(?:\.\d+)?[eE])'
    r"|\\u[dD]"
)
_TOO_FEW_TO_SPLIT = 32
HALF_A_PAIR = "an escaped half of a surrogate pair, which is no character"


def read_json_lines(reading: Reading, fields: Mapping[str, str]) -> Iterator[Chunk]:
    """Chunks of the columns that ``fields`` maps to their paths; lines that are no object are rejected."""
    rows_found = False
    parser = LineParser(fields)
    for block in reading.content.lines():
        data, rejections = without_undecodable(block.data, block.first_line)
        frames, malformed = parser.parse(data, block.first_line)
        rejections += malformed
        last_line = block.first_line + data.count(b"\n") - 1
        if block.is_last and block.is_cut and rejections and max(item.line for item in rejections) == last_line:
            reading.broke_off("the last line is cut off")
            rejections = [_as_truncated(item) if item.line == last_line else item for item in rejections]
        if block.is_last:
            rejections += reading.severed(last_line + 1)
        rows_found = rows_found or bool(frames)
        if block.is_last and rejections and not rows_found and reading.status == "read":
            reading.is_refused("no line of the file is a JSON object")
        if (chunk := reading.chunk(frames, rejections)) is not None:
            yield chunk


def _as_truncated(item: Rejection) -> Rejection:
    return Rejection(item.line, item.raw, item.detail, TRUNCATED)


class LineParser:
    """Parses whole lines into frames of String columns with ``_line``."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        # The bulk parser sees keys of the top level only.
        self._bulk_schema = (
            None
            if any("." in path for path in fields.values()) or len(set(fields.values())) < len(fields)
            else dict.fromkeys(fields.values(), pl.String)
        )

    def parse(self, data: bytes, first_line: int) -> tuple[list[pl.DataFrame], list[Rejection]]:
        """Frames and rejections of whole lines."""
        if not data:
            return [], []
        lines = pl.read_lines(io.BytesIO(data)).to_series()
        numbers = pl.int_range(first_line, first_line + len(lines), eager=True)
        if self._bulk_schema is None:
            return self._one_by_one(lines, numbers)
        special = lines.str.contains(_NOT_AS_WRITTEN)
        if not special.any():
            return self._bulk(data, lines, numbers)
        frames, rejections = self._one_by_one(lines.filter(special), numbers.filter(special))
        plain, plain_numbers = lines.filter(~special), numbers.filter(~special)
        if len(plain):
            more_frames, more_rejections = self._bulk(_joined(plain), plain, plain_numbers)
            frames, rejections = frames + more_frames, rejections + more_rejections
        return frames, rejections

    def _bulk(self, data: bytes, lines: pl.Series, numbers: pl.Series) -> tuple[list[pl.DataFrame], list[Rejection]]:
        """Parse all at once; where the parser refuses, halve until the lines it refuses are found."""
        frame = self._parsed(data)
        if frame is not None and frame.height != len(lines):
            numbers = numbers.filter(lines.str.strip_chars(" \t\r") != "")
            if frame.height != len(numbers):
                frame = None
        if frame is not None:
            return ([frame.with_columns(line_numbers(numbers))] if frame.height else []), []
        if len(lines) <= _TOO_FEW_TO_SPLIT:
            return self._one_by_one(lines, numbers)
        half = len(lines) // 2
        frames: list[pl.DataFrame] = []
        rejections: list[Rejection] = []
        for part, part_numbers in ((lines[:half], numbers[:half]), (lines[half:], numbers[half:])):
            more_frames, more_rejections = self._bulk(_joined(part), part, part_numbers)
            frames += more_frames
            rejections += more_rejections
        return frames, rejections

    def _parsed(self, data: bytes) -> pl.DataFrame | None:
        try:
            frame = pl.read_ndjson(io.BytesIO(data), schema=self._bulk_schema)
        except pl.exceptions.PolarsError:
            return None
        return frame.select(pl.col(path).alias(column) for column, path in self._fields.items())

    def _one_by_one(self, lines: pl.Series, numbers: pl.Series) -> tuple[list[pl.DataFrame], list[Rejection]]:
        rows: list[Row] = []
        rejections: list[Rejection] = []
        for number, line in zip(numbers.to_list(), lines.to_list(), strict=True):
            if not line.strip(" \t\r"):
                continue
            record, detail = parse_object(line)
            if record is None:
                rejections.append(Rejection(number, line, detail))
                continue
            row = row_of(record, self._fields)
            if "\\ud" in line.lower() and has_lone_surrogate(row):
                rejections.append(Rejection(number, line, HALF_A_PAIR))
                continue
            rows.append((number, row))
        return ([row_frame(list(self._fields), rows)] if rows else []), rejections


def parse_object(text: str) -> tuple[dict[str, Any] | None, str]:
    """The object that a JSON text holds, or ``None`` and in which way it is none."""
    try:
        record = json_text.parse(text)
    except json.JSONDecodeError as error:
        return None, f"not JSON: {error.msg} at character {error.pos + 1}"
    if not isinstance(record, dict):
        return None, "JSON, but not an object"
    return record, ""


def row_of(record: Mapping[str, Any], fields: Mapping[str, str]) -> list[str | None]:
    """The texts of a record at the paths of ``fields``."""
    return [json_text.as_text(json_text.at_path(record, path)) for path in fields.values()]


def _joined(lines: pl.Series) -> bytes:
    return "\n".join(lines.to_list()).encode()

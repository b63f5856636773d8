"""Reader of delimited text (CSV).

Records follow RFC 4180: quoted fields may hold delimiters, doubled quotes and line ends. Lines that hold no
quote, or nothing but fully quoted fields without quotes inside, are split by polars; every other record goes
through Python's ``csv`` in strict mode. On the first kind both give the same fields.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from resources.errors import PermanentError, StructureError
from resources.file_source.formats import Csv
from resources.file_source.pieces import (
    TRUNCATED,
    Reading,
    Rejection,
    Row,
    empty_to_null,
    line_numbers,
    row_frame,
)
from resources.json_text import has_lone_surrogate
from resources.reading import Chunk

_DELIMITERS = (",", ";", "\t", "|")
_MOST_LINES_OF_A_RECORD = 1_000
"""A quote that is not closed within so many lines is taken for a stray one, not for the rest of the file."""


class _RecordGoesOnError(Exception):
    """The record is not complete within the lines at hand."""


class _StrayQuoteError(Exception):
    """The quotes of the record do not fit; its text says in which way."""


@dataclass(frozen=True)
class _Header:
    delimiter: str
    names: list[str]

    @property
    def width(self) -> int:
        return len(self.names)


def read_csv(reading: Reading, file_format: Csv, *, use_bulk: bool = True) -> Iterator[Chunk]:
    """Chunks of the wanted columns, or of all.

    ``use_bulk=False`` sends every record through Python's ``csv``, as tests do to compare the two.
    Raises :class:`PermanentError` where a wanted column is missing.
    """
    header: _Header | None = None
    selected: dict[str, int] = {}
    carried = b""
    rows_found = False
    for block in reading.content.lines():
        data = carried + block.data
        first_line = block.first_line - carried.count(b"\n")
        carried = b""
        lines = _LineBuffer(data, first_line, is_last=block.is_last)
        if header is None:
            header = _read_header(reading, lines, file_format)
            if header is None:
                if not block.is_last:
                    carried = data
                elif reading.content.damage is not None:
                    yield from _only(reading, reading.severed(first_line + len(lines)))
                continue
            reading.header = tuple(header.names)
            selected = _select(reading, header, file_format)
        frames, rejections = _parse(reading, lines, header, selected, use_bulk=use_bulk)
        carried = lines.rest()
        last_line = first_line + data.count(b"\n") - 1
        if block.is_last and block.is_cut and rejections and rejections[-1].line == last_line:
            reading.broke_off("the last line is cut off")
            item = rejections[-1]
            rejections[-1] = Rejection(item.line, item.raw, item.detail, TRUNCATED)
        if block.is_last:
            rejections += reading.severed(last_line + 1)
        rows_found = rows_found or any(frame.height for frame in frames)
        if block.is_last and rejections and not rows_found and reading.status == "read":
            reading.is_refused("no line after the header fits the header")
        yield from _only(reading, rejections, frames)


def _only(reading: Reading, rejections: Sequence[Rejection], frames: Sequence[pl.DataFrame] = ()) -> Iterator[Chunk]:
    if (chunk := reading.chunk(frames, rejections)) is not None:
        yield chunk


class _LineBuffer:
    """Whole lines of which single records are read by ``csv`` from any place on."""

    def __init__(self, data: bytes, first_line: int, *, is_last: bool) -> None:
        self.data = data
        self.first_line = first_line
        self.is_last = is_last
        self.position = 0
        self.is_damaged = False
        self._rest_from: int | None = None
        self._lines: list[str] | None = None

    def __len__(self) -> int:
        return self.data.count(b"\n") if self._lines is None else len(self._lines)

    @property
    def lines(self) -> list[str]:
        """The lines with their line ends; bytes that are not UTF-8 stand as surrogates."""
        if self._lines is None:
            try:
                text = self.data.decode()
            except UnicodeDecodeError:
                self.is_damaged = True
                text = self.data.decode("utf-8", "surrogateescape")
            self._lines = [f"{line}\n" for line in text.split("\n")]
            self._lines.pop()
        return self._lines

    def record(self, index: int, delimiter: str) -> tuple[list[str], int]:
        """The record that begins at line ``index`` and the number of lines it takes."""
        reader = csv.reader(self._feed(index), delimiter=delimiter, strict=True)
        try:
            with _unlimited_fields():
                return next(reader), reader.line_num
        except csv.Error as error:
            raise _StrayQuoteError(str(error)) from None

    def _feed(self, index: int) -> Iterator[str]:
        yield from self.lines[index : index + _MOST_LINES_OF_A_RECORD]
        if index + _MOST_LINES_OF_A_RECORD >= len(self) and not self.is_last:
            raise _RecordGoesOnError

    def keep_from(self, index: int) -> None:
        """Leave the lines from ``index`` on to the next block."""
        self._rest_from = index

    def rest(self) -> bytes:
        """The lines that were left."""
        if self._rest_from is None:
            return b""
        return "".join(self.lines[self._rest_from :]).encode("utf-8", "surrogateescape")

    def raw(self, index: int, count: int) -> str:
        """The text of ``count`` lines without the last line end."""
        return "".join(self.lines[index : index + count]).removesuffix("\n").removesuffix("\r")


class _unlimited_fields:
    """Lift ``csv``'s limit of 131,072 characters a field, a setting of the whole process, for a moment."""

    def __enter__(self) -> None:
        self._limit = csv.field_size_limit(sys.maxsize)

    def __exit__(self, *_: object) -> None:
        csv.field_size_limit(self._limit)


def _read_header(reading: Reading, lines: _LineBuffer, file_format: Csv) -> _Header | None:
    """The first record that is not blank, ``None`` where there is none yet."""
    while lines.position < len(lines) and not lines.lines[lines.position].strip():
        lines.position += 1
    if lines.position == len(lines):
        return None
    candidates = _DELIMITERS if file_format.delimiter == "auto" else (file_format.delimiter,)
    wanted = {_folded(file_format.columns.get(name, name)) for name in reading.columns or ()}
    best: tuple[tuple[int, int], _Header, int] | None = None
    problem = ""
    for delimiter in candidates:
        try:
            names, taken = lines.record(lines.position, delimiter)
        except _RecordGoesOnError:
            return None
        except _StrayQuoteError as error:
            problem = str(error)
            continue
        score = (len(wanted & {_folded(name) for name in names}), len(names))
        if best is None or score > best[0]:
            best = (score, _Header(delimiter, names), taken)
    if best is None:
        raise PermanentError(
            f"the header of the file cannot be read: {problem}",
            where=reading.path,
            remedy="check that the file is the CSV export it should be, and have it exported again",
        )
    lines.position += best[2]
    return best[1]


def _select(reading: Reading, header: _Header, file_format: Csv) -> dict[str, int]:
    """Each wanted column and its place in the header."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header.names):
        places.setdefault(_folded(name), []).append(place)
    names = {_folded(name): column for column, name in file_format.columns.items()}
    if reading.columns is None:
        return {
            names.get(_folded(name), name.strip()): places[_folded(name)][0] for name in header.names if name.strip()
        }
    selected = {}
    for column in reading.columns:
        name = file_format.columns.get(column, column)
        found = places.get(_folded(name), [])
        if len(found) != 1:
            raise StructureError(
                f"column {name!r} stands {len(found)} times in the header"
                if found
                else f"column {name!r} is missing; the header has {', '.join(map(repr, header.names))}",
                where=reading.path,
                remedy=f"have the file exported with the column {name!r}, or map the column to its new name",
            )
        selected[column] = found[0]
    return selected


def _folded(name: str) -> str:
    return name.strip().casefold()


def _parse(
    reading: Reading, buffer: _LineBuffer, header: _Header, selected: dict[str, int], *, use_bulk: bool
) -> tuple[list[pl.DataFrame], list[Rejection]]:
    frames: list[pl.DataFrame] = []
    single: Sequence[int] = range(buffer.position, len(buffer))
    bulk = _Bulk(buffer, header) if use_bulk else None
    if bulk is not None and bulk.is_possible:
        single = bulk.other_lines
    else:
        bulk = None
    rows, rejections, taken = _records(buffer, header, selected, single)
    if bulk is not None:
        bulk_frames, bulk_rejections = bulk.split(selected, excluding=taken)
        frames += bulk_frames
        rejections += bulk_rejections
    frames.append(row_frame(list(selected), rows))
    return (
        [frame.with_columns(empty_to_null(selected)) for frame in frames],
        sorted(rejections, key=lambda item: item.line),
    )


def _records(
    buffer: _LineBuffer, header: _Header, selected: dict[str, int], starts: Sequence[int]
) -> tuple[list[Row], list[Rejection], list[int]]:
    """The records that begin at ``starts``, and the further lines that they take.

    A start that an earlier record has taken is none.
    """
    rows: list[Row] = []
    rejections: list[Rejection] = []
    taken: list[int] = []
    places = list(selected.values())
    position = buffer.position
    for index in starts:
        if index < position:
            continue
        line = buffer.first_line + index
        try:
            record, count = buffer.record(index, header.delimiter)
        except _RecordGoesOnError:
            buffer.keep_from(index)
            taken.extend(range(index, len(buffer)))
            break
        except _StrayQuoteError as error:
            # Only this line is given up: the lines after it may be sound.
            rejections.append(Rejection(line, buffer.raw(index, 1), f"quotes or line ends do not fit: {error}"))
            taken.append(index)
            position = index + 1
            continue
        position = index + count
        taken.extend(range(index, position))
        if not record:
            continue
        if len(record) != header.width:
            detail = f"{len(record)} fields, the header has {header.width}"
            rejections.append(Rejection(line, buffer.raw(index, count), detail))
            continue
        if buffer.is_damaged and has_lone_surrogate(record):
            rejections.append(Rejection(line, buffer.raw(index, count), "bytes that are not UTF-8"))
            continue
        rows.append((line, [record[place] for place in places]))
    return rows, rejections, taken


class _Bulk:
    """The lines of a block that can be split without looking at them one by one."""

    def __init__(self, buffer: _LineBuffer, header: _Header) -> None:
        self._header = header
        self._first_line = buffer.first_line
        try:
            lines = (
                pl.read_lines(io.BytesIO(buffer.data)).to_series() if buffer.data else pl.Series([], dtype=pl.String)
            )
        except pl.exceptions.ComputeError:  # not UTF-8
            self.is_possible = False
            return
        self.is_possible = True
        quotes = lines.str.count_matches('"', literal=True)
        delimiter = header.delimiter
        self._lines = lines
        self._is_quoted = (
            (quotes == 2 * header.width)
            & lines.str.starts_with('"')
            & lines.str.ends_with('"')
            & (lines.str.count_matches(f'"{delimiter}"', literal=True) == header.width - 1)
        )
        self._is_plain = quotes == 0
        is_bulk = (self._is_plain | self._is_quoted) & ~lines.str.contains("\r", literal=True)
        is_bulk &= pl.int_range(len(lines), eager=True) >= buffer.position
        self._is_bulk = is_bulk
        others = (~is_bulk).arg_true()
        self.other_lines: list[int] = others.filter(others >= buffer.position).to_list()

    def split(self, selected: dict[str, int], *, excluding: list[int]) -> tuple[list[pl.DataFrame], list[Rejection]]:
        """The frames and rejections of the bulk lines, without those that other records have taken."""
        is_bulk = self._is_bulk
        if excluding:
            is_bulk = is_bulk.scatter(excluding, False)
        numbers = pl.int_range(self._first_line, self._first_line + len(self._lines), eager=True)
        is_blank = self._lines == ""
        frames = []
        rejections: list[Rejection] = []
        delimiter, width = self._header.delimiter, self._header.width
        quoted = is_bulk & self._is_quoted
        if quoted.any():
            inner = self._lines.filter(quoted).str.slice(1).str.head(-1)
            frames.append(self._fields(inner, f'"{delimiter}"', selected, numbers.filter(quoted)))
        plain = is_bulk & self._is_plain & ~is_blank
        counts = self._lines.str.count_matches(delimiter, literal=True) + 1
        ragged = plain & (counts != width)
        if ragged.any():
            for number, line, count in zip(
                numbers.filter(ragged), self._lines.filter(ragged), counts.filter(ragged), strict=True
            ):
                rejections.append(Rejection(number, line, f"{count} fields, the header has {width}"))
        sound = plain & ~ragged
        if sound.any():
            frames.append(self._fields(self._lines.filter(sound), delimiter, selected, numbers.filter(sound)))
        return frames, rejections

    def _fields(self, lines: pl.Series, separator: str, selected: dict[str, int], numbers: pl.Series) -> pl.DataFrame:
        parts = lines.str.split_exact(separator, self._header.width - 1).struct.unnest()
        return pl.DataFrame(
            [parts.to_series(place).alias(column) for column, place in selected.items()] + [line_numbers(numbers)]
        )

"""Reader of one JSON document that holds a list of objects, in bounded memory and with line numbers."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from resources.file_source.content import Content
from resources.file_source.json_lines import HALF_A_PAIR, read_json_lines, row_of
from resources.file_source.pieces import EXCERPT_CHARACTERS, TRUNCATED, Reading, Rejection, Row, row_frame
from resources.json_text import decoder, has_lone_surrogate
from resources.reading import Chunk

_SPACE = re.compile(r"[ \t\r\n]*")
_NEXT_RECORD = re.compile(r"\n[ \t]*(?=\{)")
_LONGEST_RECORD = 1 << 26
"""Characters; a record that goes on for longer is taken for one whose quote is not closed."""
_NEAR_THE_END = 16


def read_json_records(
    reading: Reading, record_path: str | None, fields: Mapping[str, str], *, rows_a_chunk: int
) -> Iterator[Chunk]:
    """Chunks of the columns that ``fields`` maps to their paths in a record.

    Elements that are no object are rejected one by one; a document that is no JSON or has no list at
    ``record_path`` is rejected as a whole.
    """
    text = _Text(reading.content)
    text.skip_space()
    if text.is_at_end:
        if reading.content.damage is not None:
            yield from _chunk(reading, fields, [], reading.severed(1))
        return
    if record_path is None and text.character == "{":
        yield from read_json_lines(reading, fields)
        return
    try:
        is_list = text.enter_list(record_path.split(".") if record_path else [])
    except json.JSONDecodeError as error:
        yield from _refuse(reading, fields, text, f"not JSON: {error.msg}, line {text.line}")
        return
    if not is_list:
        where = f"at {record_path!r}" if record_path else "in it"
        yield from _refuse(reading, fields, text, f"the document has no list {where}")
        return
    yield from _read_list(reading, fields, text, rows_a_chunk)


def _read_list(reading: Reading, fields: Mapping[str, str], text: _Text, rows_a_chunk: int) -> Iterator[Chunk]:
    rows: list[Row] = []
    rejections: list[Rejection] = []
    rows_found = False
    while True:
        try:
            if not text.next_element(is_first=not rows_found and not rows and not rejections):
                break
            line, start = text.line, text.position
            record = text.value()
        except json.JSONDecodeError as error:
            rejection, goes_on = text.give_up(error)
            if goes_on:
                rejections.append(rejection)
                continue
            if rejection.rule == TRUNCATED:
                reading.broke_off(reading.content.damage or "the document ends before its list does")
            else:
                reading.broke_off(f"what follows line {rejection.line} cannot be read: {rejection.detail}")
            if rejection.raw.strip():
                rejections.append(rejection)
            break
        _take(record, line, text.buffer[start - text.dropped : text.offset], fields, rows, rejections)
        if len(rows) + len(rejections) >= rows_a_chunk:
            rows_found = True
            yield from _chunk(reading, fields, rows, rejections)
            rows, rejections = [], []
    rows_found = rows_found or bool(rows)
    if rejections and not rows_found and reading.status == "read":
        reading.is_refused("no element of the list is an object")
    yield from _chunk(reading, fields, rows, rejections)


def _take(
    record: Any, line: int, raw: str, fields: Mapping[str, str], rows: list[Row], rejections: list[Rejection]
) -> None:
    if not isinstance(record, dict):
        rejections.append(Rejection(line, raw, "an element of the list that is not an object"))
        return
    row = row_of(record, fields)
    if not raw.isascii() or "\\u" in raw:
        if has_lone_surrogate((raw,)):
            rejections.append(Rejection(line, raw, "bytes that are not UTF-8"))
            return
        if has_lone_surrogate(row):
            rejections.append(Rejection(line, raw, HALF_A_PAIR))
            return
    rows.append((line, row))


def _chunk(
    reading: Reading, fields: Mapping[str, str], rows: list[Row], rejections: list[Rejection]
) -> Iterator[Chunk]:
    frame = row_frame(list(fields), rows)
    if (chunk := reading.chunk([frame], rejections)) is not None:
        yield chunk


def _refuse(reading: Reading, fields: Mapping[str, str], text: _Text, note: str) -> Iterator[Chunk]:
    if reading.content.damage is not None:
        reading.broke_off(reading.content.damage)
    else:
        reading.is_refused(note)
    yield from _chunk(reading, fields, [], [Rejection(1, text.excerpt(), note)])


class _Text:
    """The decoded text of a document with a place in it; what lies behind the place is let go."""

    def __init__(self, content: Content) -> None:
        self._pieces = content.utf8()
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.buffer = ""
        self.offset = 0
        self.dropped = 0
        self.line = 1
        self.is_complete = False
        self._beginning = ""

    @property
    def position(self) -> int:
        """The place, counted in characters from the beginning of the document."""
        return self.dropped + self.offset

    @property
    def is_at_end(self) -> bool:
        return self.offset >= len(self.buffer) and not self._fill()

    @property
    def character(self) -> str:
        return "" if self.is_at_end else self.buffer[self.offset]

    def excerpt(self) -> str:
        """The beginning of the document."""
        while len(self._beginning) < EXCERPT_CHARACTERS and self._fill():
            pass
        return self._beginning

    def skip_space(self) -> None:
        while True:
            match = _SPACE.match(self.buffer, self.offset)
            assert match is not None
            self._move(match.end())
            if self.offset < len(self.buffer) or not self._fill():
                return

    def enter_list(self, path: list[str]) -> bool:
        """Go behind the bracket that opens the list at ``path``; False where there is none."""
        for key in path:
            self.skip_space()
            if self.character != "{" or not self._enter_key(key):
                return False
        self.skip_space()
        if self.character != "[":
            return False
        self._move(self.offset + 1)
        return True

    def _enter_key(self, wanted: str) -> bool:
        self._move(self.offset + 1)
        while True:
            self.skip_space()
            if self.character == "}":
                return False
            key = self.value()
            self.skip_space()
            self._expect(":")
            self.skip_space()
            if key == wanted:
                return True
            self.value()
            self.skip_space()
            if self.character == ",":
                self._move(self.offset + 1)
            elif self.character != "}":
                raise json.JSONDecodeError("Expecting ',' delimiter", self.buffer, self.offset)

    def next_element(self, *, is_first: bool) -> bool:
        """Go to the next element of the list; False at its end."""
        self.skip_space()
        if self.character == "]":
            return False
        if not is_first and self.character == ",":
            self._move(self.offset + 1)
            self.skip_space()
        elif not is_first and self.character != "{":
            raise json.JSONDecodeError("Expecting ',' delimiter", self.buffer, self.offset)
        return True

    def value(self) -> Any:
        """The value at the place, which moves behind it."""
        while True:
            try:
                value, end = decoder.raw_decode(self.buffer, self.offset)
            except RecursionError:
                raise json.JSONDecodeError("nested too deeply", self.buffer, self.offset) from None
            except json.JSONDecodeError as error:
                if self._may_go_on(error) and self._fill():
                    continue
                raise
            # A number that ends with the buffer may have further digits.
            if end < len(self.buffer) or not self._fill():
                self._move(end)
                return value

    def give_up(self, error: json.JSONDecodeError) -> tuple[Rejection, bool]:
        """The rejection of the element at the place, and whether another was found behind it."""
        line, start = self.line, self.offset
        at = max(start, min(error.pos, len(self.buffer)))
        is_cut = self.is_complete and self._may_go_on(error) and not self.buffer.rstrip().endswith(("]", "}"))
        while not is_cut:
            if (match := _NEXT_RECORD.search(self.buffer, at)) is not None:
                raw = self.buffer[start : match.start()].rstrip().removesuffix(",")
                self._move(match.end())
                return Rejection(line, raw, f"not JSON: {error.msg}"), True
            length = len(self.buffer) - start
            if length > _LONGEST_RECORD or not self._fill():
                break
            start, at = 0, max(0, at - start)
        raw = self.buffer[start:].rstrip()
        if is_cut:
            return Rejection(line, raw, f"cut off: {error.msg}", TRUNCATED), False
        return Rejection(line, raw[:EXCERPT_CHARACTERS], f"not JSON: {error.msg}"), False

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether more text could mend the error."""
        if len(self.buffer) - self.offset > _LONGEST_RECORD:
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self.buffer) - _NEAR_THE_END

    def _expect(self, character: str) -> None:
        if self.character != character:
            raise json.JSONDecodeError(f"Expecting {character!r}", self.buffer, self.offset)
        self._move(self.offset + 1)

    def _move(self, to: int) -> None:
        self.line += self.buffer.count("\n", self.offset, to)
        self.offset = to

    def _fill(self) -> bool:
        """Append the next piece of text; False at the end of the document."""
        while not self.is_complete:
            piece = next(self._pieces, None)
            self.is_complete = piece is None
            more = self._decoder.decode(piece or b"", final=self.is_complete)
            if more:
                if len(self._beginning) < EXCERPT_CHARACTERS:
                    self._beginning = (self._beginning + more)[:EXCERPT_CHARACTERS]
                self.dropped += self.offset
                self.buffer = self.buffer[self.offset :] + more
                self.offset = 0
                return True
        return False

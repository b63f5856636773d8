"""Reader of XML documents, element by element in flat memory; entities and references are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import defusedxml.ElementTree as SafeXml
from defusedxml.common import DefusedXmlException

from resources import json_text
from resources.file_source.formats import Xml
from resources.file_source.pieces import EXCERPT_CHARACTERS, TRUNCATED, Reading, Rejection, Row, row_frame
from resources.reading import Chunk

_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_PIECE_BYTES = 1 << 16
_LONGEST_RECORD = 1 << 26


def read_xml(reading: Reading, file_format: Xml, *, rows_a_chunk: int) -> Iterator[Chunk]:
    """Chunks of the wanted columns; what stands before a break in the document is delivered."""
    columns = list(reading.columns or file_format.fields)
    records = _Records(file_format.record_tag, {name: file_format.fields.get(name, name) for name in columns})
    pieces, encoding = _pieces(reading, file_format)
    parser = SafeXml.XMLParser(target=records, encoding=encoding)
    records.locate(parser.parser)
    rows_found = False
    rejections: list[Rejection] = []
    is_empty = True
    is_complete = False
    try:
        for piece in pieces:
            is_empty = is_empty and not piece.strip()
            records.remember(piece)
            parser.feed(piece)
            if len(records.rows) >= rows_a_chunk:
                rows_found = True
                if (chunk := reading.chunk([row_frame(columns, records.take())], [])) is not None:
                    yield chunk
        if is_empty:
            return
        is_complete = True
        parser.close()
    except SafeXml.ParseError as error:
        if is_empty and reading.content.damage is None:
            return
        # What only the end of the document brought to light is an end that came too soon.
        is_cut = reading.content.damage is not None or is_complete
        rejections.append(records.broken(str(error), TRUNCATED if is_cut else "line.malformed"))
        rows_found = rows_found or bool(records.rows)
        if is_cut:
            reading.broke_off(reading.content.damage or "the document ends before its root element does")
        elif rows_found:
            reading.broke_off(f"not well-formed XML: {error}; what follows is not read")
        else:
            reading.is_refused(f"not well-formed XML: {error}")
    except DefusedXmlException as error:
        rejections.append(records.broken(str(error), "line.malformed"))
        reading.is_refused(f"the document defines entities or refers to others, which is refused: {error}")
    if (chunk := reading.chunk([row_frame(columns, records.take())], rejections)) is not None:
        yield chunk


def _pieces(reading: Reading, file_format: Xml) -> tuple[Iterator[bytes], str | None]:
    """The bytes to parse, and the encoding that overrides the declared one.

    A declared UTF-8 is not taken on trust: exports often declare it and hold Windows-1252.
    """
    head = next(reading.content.raw(), b"")[:200]
    declared = _DECLARED.match(head)
    is_utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if file_format.encoding == "auto" and declared and declared[1].lower() not in (b"utf-8", b"utf8") and not is_utf16:
        return _small(reading.content.raw()), None
    return _small(reading.content.utf8()), "utf-8"


def _small(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _PIECE_BYTES):
            yield piece[start : start + _PIECE_BYTES]


class _Records:
    """The target of the parser: turns record elements into rows and keeps nothing else."""

    def __init__(self, record_tag: str, fields: Mapping[str, str]) -> None:
        self._tag = record_tag.rpartition(":")[2]
        self._fields = fields
        self.rows: list[Row] = []
        self._open: list[str] | None = None  # names of the open elements below the record
        self._line = 1
        self._values: dict[str, list[str]] = {}
        self._texts: list[list[str]] = []
        self._kept = bytearray()
        self._kept_from = 0
        self._record_from = 0

    def locate(self, position: object) -> None:
        """Take the parser's position (expat's ``CurrentLineNumber`` and ``CurrentByteIndex``)."""
        self._at = position

    def remember(self, piece: bytes) -> None:
        """Keep the bytes from the beginning of the open record, or the last record's end, on."""
        surplus = self._record_from - self._kept_from
        if surplus > 0 or len(self._kept) > _LONGEST_RECORD:
            del self._kept[: max(surplus, 0) or len(self._kept)]
            self._kept_from = max(self._record_from, self._kept_from)
        self._kept += piece

    def take(self) -> list[Row]:
        """The rows since the last call."""
        rows, self.rows = self.rows, []
        return rows

    def broken(self, detail: str, rule: str) -> Rejection:
        """The piece of the document that holds the break."""
        raw = bytes(self._kept[max(0, self._record_from - self._kept_from) :][: EXCERPT_CHARACTERS * 4])
        line = self._line if self._open is not None else getattr(self._at, "CurrentLineNumber", 1)
        return Rejection(line, raw.decode("utf-8", "backslashreplace")[:EXCERPT_CHARACTERS], detail, rule)

    # Called by the parser -------------------------------------------------------------------------------

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = _local(tag)
        if self._open is None:
            if name != self._tag:
                return
            self._open = []
            self._line = getattr(self._at, "CurrentLineNumber", 1)
            self._record_from = getattr(self._at, "CurrentByteIndex", 0)
            self._values = {}
            self._texts = [[]]
            path = ""
        else:
            self._open.append(name)
            self._texts.append([])
            path = "/".join(self._open) + "/"
        for attribute, value in attributes.items():
            self._values.setdefault(f"{path}@{_local(attribute)}", []).append(value)

    def data(self, text: str) -> None:
        if self._open is not None:
            self._texts[-1].append(text)

    def end(self, _: str) -> None:
        if self._open is None:
            return
        text = "".join(self._texts.pop())
        if self._open:
            self._values.setdefault("/".join(self._open), []).append(text)
            self._open.pop()
            return
        self._open = None
        self._record_from = getattr(self._at, "CurrentByteIndex", 0)
        self.rows.append((self._line, [self._value(path) for path in self._fields.values()]))

    def close(self) -> None:
        """Nothing is built."""

    def _value(self, path: str) -> str | None:
        path = "/".join(_prefixless(part) for part in path.split("/"))
        found = self._values.get(path)
        if found is None and "@" not in path:
            found = self._values.get(f"@{path}")
        filled = [text for text in found or () if text]
        if len(filled) > 1:  # an element that is repeated: nothing is chosen in silence
            return json_text.encode(filled)
        return filled[0] if filled else None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _prefixless(part: str) -> str:
    sign = "@" if part.startswith("@") else ""
    return sign + part.rpartition(":")[2].lstrip("@")

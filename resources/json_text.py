"""JSON read without loss: what every JSON reader of the platform shares.

A source's values must reach the contract as they were sent, so that garbage is judged there and not here:
numbers keep their literal (``1.10`` stays ``1.10``, 30 digits stay 30 digits), booleans become ``true`` or
``false``, nested values become JSON text. How files and HTTP answers are split into records is not here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import polars as pl

_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
"""A byte that is not UTF-8, as Python's ``surrogateescape`` carries it."""


class Number(str):
    """The literal of a JSON number."""

    __slots__ = ()


def _refuse_constant(name: str) -> NoReturn:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key given twice keeps its first value, as in the bulk parser (polars)."""
    record = dict(pairs)
    return record if len(record) == len(pairs) else dict(reversed(pairs))


decoder = json.JSONDecoder(
    parse_float=Number,
    parse_int=Number,
    parse_constant=_refuse_constant,
    object_pairs_hook=_first_wins,
    # Raw control characters in strings break the standard but lose nothing; the contract judges them.
    strict=False,
)


def parse(text: str) -> Any:
    """The value of a JSON text, its numbers as :class:`Number`; raises ``json.JSONDecodeError``."""
    try:
        return decoder.decode(text)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", text[:100], 0) from None


def as_text(value: Any) -> str | None:
    """One JSON value as the text of a cell; ``None`` for null."""
    if value is None or type(value) is str:
        return value
    if isinstance(value, Number):
        return str(value)
    return encode(value)


def encode(value: Any) -> str:
    """Compact JSON text of a value that :func:`parse` gave, numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{encode(str(key))}:{encode(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(encode(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def at_path(record: Any, path: str) -> Any:
    """The value at a dotted path (``properties.email``, ``lines.0.sku``), ``None`` where there is none.

    A key that contains the dots itself wins over the walk.
    """
    if isinstance(record, Mapping) and path in record:
        return record[path]
    for part in path.split("."):
        if isinstance(record, Mapping):
            record = record.get(part)
        elif isinstance(record, list) and part.isdecimal() and int(part) < len(record):
            record = record[int(part)]
        else:
            return None
    return record


def text_frame(columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> pl.DataFrame:
    """A frame of String columns from rows of texts; raises ``UnicodeEncodeError`` on a lone surrogate."""
    cells: Iterable[Sequence[str | None]] = zip(*rows, strict=True) if rows else [()] * len(columns)
    return pl.DataFrame([pl.Series(name, values, dtype=pl.String) for name, values in zip(columns, cells, strict=True)])


def has_lone_surrogate(values: Iterable[str | None]) -> bool:
    """Whether a value holds half of a surrogate pair, which no text column can store."""
    return any(value is not None and not _is_encodable(value) for value in values)


def _is_encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """``text`` with lone surrogates, and bytes that stand as such, written as escapes, so that it can be stored."""
    if text.isascii():
        return text
    text = _ESCAPED_BYTE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", text)
    return text.encode("utf-8", "backslashreplace").decode()

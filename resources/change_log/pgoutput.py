"""Decodes PostgreSQL's ``pgoutput`` messages, version 1 of the protocol.

Format: https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html. Values come as text, as
the session that asks would see them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resources.change_log.collecting import MISSING

_COLUMN = struct.Struct(">Ii")


@dataclass(frozen=True)
class Begin:
    """The begin of a transaction that was committed at ``commit``."""

    commit: int


@dataclass(frozen=True)
class Commit:
    """The end of a transaction; the log goes on at ``end``."""

    end: int


@dataclass(frozen=True)
class RelationColumn:
    """A column: its name, type and type modifier, and whether it belongs to the replica identity."""

    name: str
    type_id: int
    modifier: int
    is_key: bool


@dataclass(frozen=True)
class Relation:
    """A table's columns as they are in the changes that follow."""

    relation_id: int
    schema: str
    name: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True)
class RowChange:
    """A change of one row. ``kind``: ``I``, ``U`` or ``D``.

    ``old`` is given for a deleted row, and for a changed one where its replica identity changed or is the whole
    row; outside of the identity it may hold nulls that mean nothing: ``is_old_whole`` tells.
    """

    kind: str
    relation_id: int
    old: Sequence[Any] | None
    new: Sequence[Any] | None
    is_old_whole: bool = False


@dataclass(frozen=True)
class Truncate:
    """All rows of the tables are gone."""

    relation_ids: tuple[int, ...]


Message = Begin | Commit | Relation | RowChange | Truncate


def decode(data: bytes) -> Message | None:
    """The message, or None for one that is of no interest (a type's name, an origin)."""
    kind = chr(data[0])
    match kind:
        case "I":
            new, _ = _tuple(data, 6)
            return RowChange(kind, _number(data, 1), None, new)
        case "U":
            relation_id, mark = _number(data, 1), chr(data[5])
            if mark == "N":
                new, _ = _tuple(data, 6)
                return RowChange(kind, relation_id, None, new)
            old, at = _tuple(data, 6)
            new, _ = _tuple(data, at + 1)
            return RowChange(kind, relation_id, old, new, is_old_whole=mark == "O")
        case "D":
            old, _ = _tuple(data, 6)
            return RowChange(kind, _number(data, 1), old, None, is_old_whole=chr(data[5]) == "O")
        case "B":
            return Begin(int.from_bytes(data[1:9], "big"))
        case "C":
            return Commit(int.from_bytes(data[10:18], "big"))
        case "R":
            return _relation(data)
        case "T":
            count = _number(data, 1)
            return Truncate(struct.unpack_from(f">{count}I", data, 6))
    return None


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _tuple(data: bytes, at: int) -> tuple[list[Any], int]:
    count = int.from_bytes(data[at : at + 2], "big")
    at += 2
    values: list[Any] = []
    for _ in range(count):
        kind = data[at]
        if kind == 0x74:  # t: text
            begin = at + 5
            at = begin + int.from_bytes(data[at + 1 : begin], "big")
            values.append(data[begin:at])
            continue
        at += 1
        # n: null; u: a value stored apart from its row that did not change
        values.append(None if kind == 0x6E else MISSING)
    return values, at


def _relation(data: bytes) -> Relation:
    relation_id = _number(data, 1)
    schema, at = _string(data, 5)
    name, at = _string(data, at)
    count = int.from_bytes(data[at + 1 : at + 3], "big")
    at += 3
    columns = []
    for _ in range(count):
        is_key = bool(data[at] & 1)
        column, at = _string(data, at + 1)
        type_id, modifier = _COLUMN.unpack_from(data, at)
        at += _COLUMN.size
        columns.append(RelationColumn(column, type_id, modifier, is_key))
    return Relation(relation_id, schema or "pg_catalog", name, tuple(columns))


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1

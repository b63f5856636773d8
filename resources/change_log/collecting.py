"""Keeps of all the changes to a table the last state of each key, in memory bounded by the number of keys.

Does not belong here: how changes are decoded, which the layouts bring along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import polars as pl

from resources.change_log.base import LoggedTable, TableChanges

Key = tuple[Any, ...]
Convert = Callable[[list[Any]], pl.Series]


class _Mark(Enum):
    MISSING = 0
    DELETED = 1
    INCOMPLETE = 2


MISSING: Final = _Mark.MISSING
"""The value of a column that the log does not give."""


@dataclass(frozen=True, eq=False)
class Layout:
    """How a table's rows stand in a part of the log: the wanted columns that it has, and how each is converted.

    Values are kept as the decoder gives them and converted a column at a time. ``key``: where the key columns
    stand among ``names``.
    """

    names: tuple[str, ...]
    converters: tuple[Convert, ...]
    key: tuple[int, ...]

    def frame(self, rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
        """The rows as the source would give them."""
        return self._frame(range(len(self.names)), zip(*rows, strict=True))

    def key_frame(self, keys: Sequence[Key]) -> pl.DataFrame:
        """Keys as the source would give them."""
        return self._frame(self.key, zip(*keys, strict=True))

    def _frame(self, columns: Sequence[int], values: Any) -> pl.DataFrame:
        return pl.DataFrame(
            [
                self.converters[column](list(cells)).alias(self.names[column])
                for column, cells in zip(columns, values, strict=True)
            ]
        )


class Collector:
    """The changes of one table in a stretch of the log."""

    def __init__(self, table: LoggedTable) -> None:
        self._table = table
        self._last: dict[Key, tuple[Layout, Sequence[Any] | _Mark]] = {}
        self._notes: list[str] = []
        self._is_emptied = False
        self._unusable = ""
        self.changes = 0
        self.bytes_read = 0

    def put(self, layout: Layout, key: Key, values: Sequence[Any], before: Key | None = None) -> None:
        """A row as it is after a change. ``before``: its key before the change, where it may have been another."""
        self.changes += 1
        if MISSING in values:
            values = self._completed(layout, key if before is None else before, values)
        if before is not None and before != key:
            self._last[before] = (layout, _Mark.DELETED)
        self._last[key] = (layout, values if MISSING not in values else _Mark.INCOMPLETE)

    def _completed(self, layout: Layout, key: Key, values: Sequence[Any]) -> Sequence[Any]:
        """``values`` with what the log left out because it did not change, where an earlier change gives it."""
        earlier = self._last.get(key)
        if earlier is None or earlier[0] is not layout or isinstance(earlier[1], _Mark):
            return values
        return [old if new is MISSING else new for old, new in zip(earlier[1], values, strict=True)]

    def delete(self, layout: Layout, key: Key) -> None:
        """The row of ``key`` is gone."""
        self.changes += 1
        self._last[key] = (layout, _Mark.DELETED)

    def empty(self) -> None:
        """All rows are gone."""
        self.changes += 1
        self._last.clear()
        self._is_emptied = True

    def spoil(self, reason: str) -> None:
        """What happened to the table cannot be told from the log."""
        self.changes += 1
        self._unusable = self._unusable or reason

    def note(self, text: str) -> None:
        """Something that a person should know."""
        if text not in self._notes:
            self._notes.append(text)

    def result(self) -> TableChanges:
        """All of it."""
        rows: dict[Layout, list[Sequence[Any]]] = {}
        deleted: dict[Layout, list[Key]] = {}
        incomplete: dict[Layout, list[Key]] = {}
        for key, (layout, state) in self._last.items():
            if state is _Mark.DELETED:
                deleted.setdefault(layout, []).append(key)
            elif isinstance(state, _Mark):
                incomplete.setdefault(layout, []).append(key)
            else:
                rows.setdefault(layout, []).append(state)
        return TableChanges(
            rows=[layout.frame(values) for layout, values in rows.items()],
            deleted=_keys(deleted),
            incomplete=_keys(incomplete),
            is_emptied=self._is_emptied,
            unusable=self._unusable,
            changes=self.changes,
            bytes_read=self.bytes_read,
            notes=self._notes,
        )


def _keys(keys: dict[Layout, list[Key]]) -> pl.DataFrame | None:
    """The keys in one frame; in whatever types they stood, they are put into those of the last layout."""
    if not keys:
        return None
    frames = [layout.key_frame(of_layout) for layout, of_layout in keys.items()]
    return pl.concat([frame.cast(frames[-1].schema) for frame in frames])

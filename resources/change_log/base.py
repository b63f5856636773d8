"""What a change log is, whichever server keeps it: positions, stretches of changes, what is wrong with it.

Belongs here: the interface and its plain data types. What one kind of server needs belongs in its own module.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from resources.errors import PermanentError

Order = tuple[int, ...]
"""A position as something that can be compared: of two, the higher one stands later in the log."""


class LogLostError(PermanentError):
    """The log no longer holds what follows a position: only reading the tables anew brings them up to date."""


@dataclass(frozen=True)
class LoggedTable:
    """A table whose changes are wanted.

    ``relation``: its name as the source has it, possibly qualified by a schema. ``key``: the columns that tell
    its rows apart. ``columns``: the wanted columns, the key among them; others are passed over.
    """

    relation: str
    key: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class TableChanges:
    """What a stretch of the log did to one table: the last state of each key that it touched.

    ``rows``: rows that were inserted or changed, in frames of one schema each: the wanted columns that the source
    has, in the types in which :class:`SqlSource` reads them. ``deleted``: keys of rows that are gone.
    ``incomplete``: keys whose row the log gives in part only, so that it has to be read from the table.
    No key is in two of the three. ``is_emptied``: whether all rows from before the stretch are gone too.
    ``unusable``: why the changes are not all known and the table has to be read anew; empty where they are.
    ``changes``: how many the log holds, before only the last state was kept. ``notes``: changes of the table's
    structure, for a person.
    """

    rows: Sequence[pl.DataFrame] = ()
    deleted: pl.DataFrame | None = None
    incomplete: pl.DataFrame | None = None
    is_emptied: bool = False
    unusable: str = ""
    changes: int = 0
    bytes_read: int = 0
    notes: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.is_emptied or self.unusable or self.notes)


@dataclass(frozen=True)
class Drain:
    """A stretch of the log.

    ``position``: where the log stands after it, in the order of commits. ``tables``: the changes by relation, of
    those tables that it touched. ``is_last``: whether it reached the end.
    """

    position: str
    tables: Mapping[str, TableChanges]
    is_last: bool


@dataclass(frozen=True)
class Problem:
    """Something about the server that a person should see to. ``is_fatal``: whether the log cannot be read so."""

    what: str
    remedy: str
    is_fatal: bool = True


@dataclass(frozen=True)
class Structure:
    """A table's columns as they are now. ``fingerprint`` changes when one of the wanted columns does."""

    fingerprint: str
    unknown: tuple[str, ...] = field(default=())


def fingerprint(columns: Iterable[Iterable[object]]) -> str:
    """A short text that changes when one of the descriptions does."""
    described = "\n".join("|".join(str(part) for part in column) for column in columns)
    return hashlib.sha256(described.encode()).hexdigest()[:12]


class ChangeLog(ABC):
    """The change log of one database, as far as it concerns some tables.

    A position is text. The log is read forward from a position in the order in which transactions were committed.
    """

    name: str
    tables: tuple[LoggedTable, ...]

    @abstractmethod
    def problems(self) -> list[Problem]:
        """What the server lacks for its log to be read, or what should be watched; changes nothing.

        Raises :class:`PlatformError` where it cannot be asked.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Set up at the server what reading the log takes, if it is not there.

        Raises :class:`PermanentError` where the server's settings or rights do not allow it.
        """

    @abstractmethod
    def position(self) -> str:
        """Where the log ends, such that a read of the tables that begins now sees every change before it.

        May wait for transactions that are just being committed.
        """

    @abstractmethod
    def order(self, position: str) -> Order:
        """``position`` as something that can be compared. Raises :class:`LogLostError` where it is none of this log."""

    @abstractmethod
    def check(self, position: str) -> None:
        """Raise :class:`LogLostError` where the log no longer holds what follows ``position``."""

    @abstractmethod
    def changes(self, after: Mapping[str, str], *, limit: int) -> Iterator[Drain]:
        """The log up to where it ends now, in stretches of about ``limit`` changes.

        ``after``: per relation the position up to which its changes are known; the lowest is where reading starts.
        A transaction is given whole unless it alone has more changes than ``limit``. Raises
        :class:`LogLostError` where the log no longer reaches back to a position.
        """

    @abstractmethod
    def news(self, after: Mapping[str, str]) -> dict[str, str]:
        """The tables that were changed after their positions: one cheap, bounded question.

        Per relation a text that changes when more becomes new. Where there is more of the log than is looked at,
        all the tables count as changed.
        """

    @abstractmethod
    def confirm(self, position: str) -> None:
        """Tell the server that what stands before ``position`` is not needed any more."""

    @abstractmethod
    def structure(self, relation: str) -> Structure:
        """The columns of a table. Raises :class:`PermanentError` where there is no such table."""

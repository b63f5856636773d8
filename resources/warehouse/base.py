"""What every warehouse engine offers: tables, one writer's transactions, queries and publications.

Here belong the interface, its plain data types and what is the same on every engine. SQL of one engine
belongs in that engine's module; contracts, assets and batches belong to the callers.

Parameters in SQL are written ``$1``, ``$2`` …, which both engines understand.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa

BUILD_PREFIX = "build_"
"""dbt writes the marts of an area into ``build_<area>``; readers find them published as ``<area>``."""

PUBLICATION_SCHEMA = "publication"
"""The schema inside every publication that says what it is: ``info``, ``sources`` and ``tables``."""

KEPT_PUBLICATIONS = 5
LOCK_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True)
class TableDefinition:
    """A table of the warehouse: Arrow columns, primary key and what the catalogue says about it."""

    schema: str
    name: str
    columns: pa.Schema
    key: tuple[str, ...] = ()
    comment: str = ""
    column_comments: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.key, *self.column_comments) if name not in self.columns.names]
        if unknown:
            raise ValueError(f"table {self} has no column {', '.join(unknown)}")

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Changes:
    """When the changes happened that a publication is the first to hold.

    Of every batch since the former publication the newest change counts; of these, ``newest_at`` and
    ``oldest_at``. A change happened when its cursor says so, if that lies between the former read of its table
    and the commit of its batch (``clock`` is ``source``). Else the source's clock tells nothing of ours, as in
    a simulated shop, in a first load, or for rows that come with an old date; then it is the moment at which
    reading began (``clock`` is ``platform``). ``clock`` is that of ``newest_at``. All None where no batch came in.
    """

    newest_at: datetime | None = None
    oldest_at: datetime | None = None
    clock: str | None = None

    @classmethod
    def of(cls, batches: Iterable[tuple[Any, ...]]) -> Changes:
        """The changes that ``batches`` brought, each as ``system_tables.NEW_BATCHES_SQL`` gives it."""
        found = [change for change in (_change(*batch) for batch in batches) if change is not None]
        if not found:
            return cls()
        newest, clock = max(found)
        return cls(newest, min(found)[0], clock)


def _change(
    started_at: datetime | None, finished_at: datetime, watermark: str | None, read_before_at: datetime | None
) -> tuple[datetime, str] | None:
    if watermark is not None and read_before_at is not None:
        with suppress(ValueError):
            cursor = datetime.fromisoformat(watermark)
            if read_before_at < cursor <= finished_at:
                return cursor, "source"
    return (started_at, "platform") if started_at else None


@dataclass(frozen=True)
class Publication:
    """One consistent, numbered version of the marts. ``location`` says where its tables can be read."""

    version: int
    published_at: datetime
    run_id: str
    tables: int
    rows: int
    location: str
    changes: Changes = field(default_factory=Changes)

    @property
    def latency_seconds(self) -> float | None:
        """From the newest change that came in since the former version to this one; None where none came in."""
        newest = self.changes.newest_at
        return (self.published_at - newest).total_seconds() if newest else None

    @property
    def longest_latency_seconds(self) -> float | None:
        """The same for the table whose newest change waited longest."""
        oldest = self.changes.oldest_at
        return (self.published_at - oldest).total_seconds() if oldest else None


class Rows(ABC):
    """Rows on their way into a table, in an order of their own. ``name`` says for messages where they come from."""

    columns: pa.Schema
    name: str

    @abstractmethod
    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, shaped as ``columns``. May be called again when it came to its end."""


class Transaction(ABC):
    """The work of the single writer, committed as a whole or not at all."""

    @abstractmethod
    def merge(
        self,
        table: TableDefinition,
        rows: Rows,
        *,
        order_by: str | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> int:
        """Merge the rows into the table by its key; return the number of distinct keys.

        Of several rows with one key the last by (``order_by``, nulls first; then their own order) wins. A row
        that the table already holds is only replaced by one whose ``order_by`` is not lower, or when its own is
        null. Columns that the rows lack get their value in ``constants``, or null; columns that the definition
        does not name are left behind. A type that the column cannot hold without loss is a
        :class:`PermanentError`.
        """

    @abstractmethod
    def add_missing(self, table: TableDefinition, rows: Rows) -> int:
        """Add those rows whose key the table does not hold; the number of rows added.

        Of several with one key any is taken.
        """

    @abstractmethod
    def mark(self, table: TableDefinition, keys: Rows, values: Mapping[str, Any], *, unless: str) -> int:
        """Set ``values`` in the table's rows whose key is among ``keys`` and whose column ``unless`` is null.

        Returns the number of rows changed. Keys that the table does not hold are passed over.
        """

    @abstractmethod
    def append(self, schema: str, table: str, rows: pa.Table) -> None:
        """Add the rows to the table, by column name."""

    @abstractmethod
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement."""

    @abstractmethod
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The result of one query, which sees this transaction's own writes."""


class Warehouse(ABC):
    """A warehouse engine. Objects are cheap; connections are opened when needed and closed after use."""

    url: str
    dialect: Literal["duckdb", "postgres"]

    @abstractmethod
    def prepare(self) -> None:
        """Create the schemas and the platform's own tables if missing; heal an interrupted publication."""

    @abstractmethod
    def ensure_tables(self, tables: Sequence[TableDefinition]) -> None:
        """Create missing tables and columns and bring comments up to date.

        Costs one read of the catalogue when nothing is to do. A column that exists with another type is a
        :class:`PermanentError`: nothing is converted silently.
        """

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Transaction]:
        """The single writer: waits for its turn, commits on success and rolls back on an error."""

    @abstractmethod
    def writer_lock(self) -> AbstractContextManager[None]:
        """Keep every other writer out, for example while dbt writes from a process of its own.

        The thread that holds it may open transactions and query.
        """

    @abstractmethod
    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """The result of one read-only query on the working warehouse."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Let the queries of this thread share one connection within the block, as opening one costs more than most.

        The block must not write: others wait for the end of it.
        """

    @abstractmethod
    def publish(self, run_id: str, *, keep: int = KEPT_PUBLICATIONS) -> Publication:
        """Publish the marts in ``build_<area>`` as the next version, in one atomic switch.

        Readers see the former version to the end of their query and the new one afterwards. Killed at any
        point it leaves the one or the other, and the next call puts right what is left lying about. Versions
        beyond the newest ``keep`` are dropped afterwards.
        """

    @abstractmethod
    def current_publication(self) -> Publication | None:
        """The version that readers get, or None before the first one."""

    @abstractmethod
    def publications(self) -> list[Publication]:
        """The versions that can still be read, newest first."""

    @abstractmethod
    def read_publication(self, sql: str, parameters: Sequence[Any] = (), version: int | None = None) -> pa.Table:
        """The result of one read-only query on a publication (the current one unless told).

        Never waits for a writer. Marts can be named with their area (``sales.fct_orders``) or without.
        """

    @abstractmethod
    def drop_old_publications(self, keep: int = KEPT_PUBLICATIONS) -> None:
        """Drop all but the newest ``keep`` versions; the current one always stays."""

"""The embedded warehouse: one DuckDB file.

Here belong the DuckDB file's tables, transactions and queries. Opening files is in ``duckdb_files``,
publications are in ``duckdb_publication``.

Only one process can have a DuckDB file open for writing, and nobody else can read it meanwhile. So every
connection is opened for one piece of work and closed after it, and a lock file beside the database queues
those who want it. Readers of marts read a publication, which is a file of its own.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb
import pyarrow as pa

from resources.commit_points import CommitPoint, reached
from resources.errors import PermanentError
from resources.warehouse.base import (
    KEPT_PUBLICATIONS,
    LOCK_TIMEOUT_SECONDS,
    Publication,
    Rows,
    TableDefinition,
    Transaction,
    Warehouse,
)
from resources.warehouse.duckdb_files import connect, fetch, plain_errors, roll_back
from resources.warehouse.duckdb_publication import PublicationFolder
from resources.warehouse.file_lock import file_lock
from resources.warehouse.rows import StrictlyRising, check_fit, is_text, numbered
from resources.warehouse.system_tables import SCHEMAS, SYSTEM_TABLES

_SETTINGS = ("memory_limit", "threads")
_BATCH = "_merge_batch"
_INCOMING = "_merge_incoming"
_ROW_NUMBER = "_merge_row"
# Counting distinct keys takes about 30 bytes each.
_ROWS_COUNTED_AT_ONCE = 3_000_000
# Loading streams; what it is given beyond this it fills with blocks that nobody reads again.
_TRANSACTION_MEMORY = "256MB"
_MALLOPT_MMAP_THRESHOLD = -3

# What this process has open or holds, by file: DuckDB refuses a second connection in another mode, and the
# lock file cannot tell two threads of one process apart.
_guard = threading.Lock()
_open_writers: set[Path] = set()
_lock_owners: dict[Path, int] = {}


def _return_freed_memory() -> None:
    """Have freed memory given back to the operating system at once.

    DuckDB's threads free what others allocated, which the C library then keeps: measured on a load of 5 M rows,
    a fifth more memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # only glibc has it
        mallopt(_MALLOPT_MMAP_THRESHOLD, 128 * 1024)


_return_freed_memory()


class DuckDBWarehouse(Warehouse):
    """A warehouse in one DuckDB file."""

    dialect: Literal["duckdb", "postgres"] = "duckdb"

    def __init__(self, url: str, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.url = url
        parts = urlsplit(url)
        settings = dict(parse_qsl(parts.query))
        unknown = sorted(set(settings) - set(_SETTINGS))
        if parts.netloc or not parts.path.startswith("/") or unknown:
            raise PermanentError(
                f"unknown settings {', '.join(unknown)}" if unknown else "the path is not absolute",
                where=url,
                remedy=f"write duckdb:///absolute/path.duckdb, optionally with ?{'=…&'.join(_SETTINGS)}=…",
            )
        # One file has one name here, whichever way it was written.
        self.path = Path(os.path.realpath(unquote(parts.path)))
        self._lock_path = self.path.with_name(self.path.name + ".lock")
        self._lock_timeout = lock_timeout
        self._transaction_memory = settings.get("memory_limit", _TRANSACTION_MEMORY)
        self._config = {
            "memory_limit": settings.get("memory_limit", "1GB"),
            "threads": settings.get("threads", str(_available_cores())),
            "temp_directory": str(self.path.with_name(self.path.name + ".tmp")),
            # Raw tables promise no order; keeping one costs memory in large loads.
            "preserve_insertion_order": "false",
        }
        self._held = threading.local()
        self._folder = PublicationFolder(self.path.with_name(self.path.stem + ".publications"), self._config)

    def prepare(self) -> None:
        """See :meth:`Warehouse.prepare`."""
        with plain_errors(str(self.path)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        known: set[str] = set()
        if self.path.exists():
            known = set(self.query("SELECT schema_name FROM information_schema.schemata")["schema_name"].to_pylist())
        missing = [schema for schema in SCHEMAS if schema not in known]
        if missing:
            with self.transaction() as transaction:
                for schema in missing:
                    transaction.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(schema)}")
        self.ensure_tables(SYSTEM_TABLES)
        if self._folder.needs_healing(self._recorded_versions()):
            with self._writing() as connection, plain_errors(str(self.path)):
                self._folder.heal(connection)

    def ensure_tables(self, tables: Sequence[TableDefinition]) -> None:
        """See :meth:`Warehouse.ensure_tables`."""
        statements: list[str] = []
        with plain_errors(str(self.path)), self._reading() as connection:
            found = _catalogue(connection)
        for table in tables:
            statements += _changes(table, found)
        if statements:
            # Two processes may both find the same table missing, so every statement tolerates that.
            with self.transaction() as transaction:
                for statement in statements:
                    transaction.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See :meth:`Warehouse.transaction`."""
        where = str(self.path)
        with self._writing() as connection:
            connection.execute(f"SET memory_limit = {_literal(self._transaction_memory)}")
            connection.begin()
            try:
                yield DuckDBTransaction(connection, where)
                reached(CommitPoint.COMMITTING)
                with plain_errors(where):
                    connection.commit()
                reached(CommitPoint.COMMITTED)
            except BaseException:
                roll_back(connection)
                raise

    @contextmanager
    def writer_lock(self) -> Iterator[None]:
        """See :meth:`Warehouse.writer_lock`."""
        me = threading.get_ident()
        if _lock_owners.get(self.path) == me:
            yield
            return
        with plain_errors(str(self.path)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self._lock_path, exclusive=True, timeout=self._lock_timeout):
            _lock_owners[self.path] = me
            try:
                yield
            finally:
                del _lock_owners[self.path]

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """See :meth:`Warehouse.query`."""
        with plain_errors(str(self.path)), self._reading() as connection:
            return connection.execute(sql, list(parameters)).to_arrow_table()

    def publish(self, run_id: str, *, keep: int = KEPT_PUBLICATIONS) -> Publication:
        """See :meth:`Warehouse.publish`."""
        with self._writing() as connection, plain_errors(str(self.path)):
            publication = self._folder.publish(connection, run_id)
        self.drop_old_publications(keep)
        reached(CommitPoint.PUBLICATIONS_DROPPED)
        return publication

    def current_publication(self) -> Publication | None:
        """See :meth:`Warehouse.current_publication`."""
        return self._folder.current()

    def publications(self) -> list[Publication]:
        """See :meth:`Warehouse.publications`."""
        return self._folder.all()

    def read_publication(self, sql: str, parameters: Sequence[Any] = (), version: int | None = None) -> pa.Table:
        """See :meth:`Warehouse.read_publication`."""
        return self._folder.read(sql, parameters, version)

    def drop_old_publications(self, keep: int = KEPT_PUBLICATIONS) -> None:
        """See :meth:`Warehouse.drop_old_publications`."""
        self._folder.drop_old(keep)

    def _recorded_versions(self) -> set[int]:
        return set(self.query("SELECT version FROM ledger.publications")["version"].to_pylist())

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The only connection that writes, with this process's place in the queue; no transaction yet."""
        if getattr(self._held, "connection", None) is not None:
            raise RuntimeError(f"this thread only reads {self.path} for now")
        with self.writer_lock():
            if self.path in _open_writers:
                raise RuntimeError(f"this thread already has a transaction open on {self.path}")
            connection = connect(self.path, read_only=False, config=self._config, timeout=self._lock_timeout)
            with _guard:
                _open_writers.add(self.path)
            try:
                yield connection
            finally:
                with _guard:
                    _open_writers.discard(self.path)
                connection.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See :meth:`Warehouse.reading`."""
        with ExitStack() as stack:
            with plain_errors(str(self.path)):
                self._held.connection = stack.enter_context(self._reading())
            try:
                yield
            finally:
                self._held.connection = None

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        held = getattr(self._held, "connection", None)
        if held is not None:
            yield held
            return
        with ExitStack() as stack:
            connection = None
            with _guard:
                if self.path in _open_writers:
                    # Shares the open file and sees what is committed. Not a cursor of the writer's
                    # connection: that would be closed together with it, in the middle of this query.
                    connection = connect(self.path, read_only=False, config=self._config, timeout=0)
            if connection is None:
                if not self.path.exists():
                    connection = duckdb.connect(":memory:")
                else:
                    if _lock_owners.get(self.path) != threading.get_ident():
                        stack.enter_context(file_lock(self._lock_path, exclusive=False, timeout=self._lock_timeout))
                    connection = connect(self.path, read_only=True, config=self._config, timeout=self._lock_timeout)
            stack.callback(connection.close)
            connection.execute("BEGIN TRANSACTION READ ONLY")
            yield connection


class DuckDBTransaction(Transaction):
    """The open transaction of the writer."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, where: str) -> None:
        self._connection = connection
        self._where = where

    def merge(
        self,
        table: TableDefinition,
        rows: Rows,
        *,
        order_by: str | None = None,
        constants: Mapping[str, Any] | None = None,
    ) -> int:
        """See :meth:`Transaction.merge`."""
        if not table.key:
            raise ValueError(f"table {table} has no key to merge by")
        check_fit(table, rows, table.key)
        with plain_errors(f"{self._where}, table {table}"):
            if not fetch(self._connection, f"SELECT 1 FROM {_target(table)} LIMIT 1"):
                loaded = self._load_empty(table, rows, constants or {})
                if loaded is not None:
                    return loaded
            return self._merge(table, rows, order_by, constants or {})

    def _load_empty(self, table: TableDefinition, rows: Rows, constants: Mapping[str, Any]) -> int | None:
        """Load straight into the empty table; None, and nothing done, if a key comes twice."""
        target = _target(table)
        columns = _columns(table, rows, constants)
        rising = StrictlyRising(table.key)
        count = self._insert(
            f"INSERT INTO {target} BY NAME SELECT {columns} FROM {_INCOMING}", rows, list(constants.values()), rising
        )
        if rising or count == self._distinct_keys(table, target, count):
            return count
        self._connection.execute(f"TRUNCATE {target}")
        return None

    def _merge(self, table: TableDefinition, rows: Rows, order_by: str | None, constants: Mapping[str, Any]) -> int:
        target = _target(table)
        count = self._stage(table, rows, constants)
        keys = self._distinct_keys(table, _BATCH, count)
        if keys != count:
            self._keep_last(table, order_by)
        # Measured on 5 M rows with 100 k changed ones: deleting and inserting takes 0.2 s where MERGE INTO
        # takes 0.8 s. An index on the key would cost 0.8 s at the first load's commit and 0.6 s a merge.
        same_key = " AND ".join(f"{_BATCH}.{_quoted(name)} = existing.{_quoted(name)}" for name in table.key)
        if order_by is not None:
            order = _quoted(order_by)
            self._connection.execute(
                f"DELETE FROM {_BATCH} USING {target} AS existing WHERE {same_key}"
                f" AND existing.{order} IS NOT NULL"
                f" AND ({_BATCH}.{order} IS NULL OR {_BATCH}.{order} < existing.{order})"
            )
        self._connection.execute(f"DELETE FROM {target} AS existing USING {_BATCH} WHERE {same_key}")
        self._connection.execute(f"INSERT INTO {target} BY NAME SELECT * EXCLUDE ({_ROW_NUMBER}) FROM {_BATCH}")
        self._connection.execute(f"DROP TABLE {_BATCH}")
        return keys

    def _stage(self, table: TableDefinition, rows: Rows, constants: Mapping[str, Any]) -> int:
        """Put the rows, shaped as the table and numbered, into a temporary table; how many there are."""
        shape = ", ".join(f"{_quoted(c.name)} {duckdb_type(c.type)}" for c in table.columns)
        self._connection.execute(f"CREATE TEMP TABLE {_BATCH} ({shape}, {_ROW_NUMBER} BIGINT)")
        columns = _columns(table, rows, constants)
        return self._insert(
            f"INSERT INTO {_BATCH} BY NAME SELECT {columns}, {_ROW_NUMBER} FROM {_INCOMING}",
            rows,
            list(constants.values()),
        )

    def _keep_last(self, table: TableDefinition, order_by: str | None) -> None:
        """Of staged rows with the same key keep only the last."""
        key = ", ".join(_quoted(name) for name in table.key)
        first = f"{_quoted(order_by)} DESC NULLS LAST, " if order_by else ""
        self._connection.execute(
            f"DELETE FROM {_BATCH} WHERE {_ROW_NUMBER} IN (SELECT {_ROW_NUMBER} FROM {_BATCH}"
            f" QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY {first}{_ROW_NUMBER} DESC) > 1)"
        )

    def _insert(
        self, statement: str, rows: Rows, parameters: Sequence[Any], rising: StrictlyRising | None = None
    ) -> int:
        """Run a statement that inserts from ``_INCOMING``, which are the numbered rows as they come.

        ``rising``: is shown the rows.
        """
        failures: list[BaseException] = []
        columns = rows.columns.append(pa.field(_ROW_NUMBER, pa.int64()))

        def incoming() -> Iterator[pa.RecordBatch]:
            first = 0
            try:
                for batch in rows.batches():
                    if rising is not None:
                        rising.see(batch)
                    yield numbered(batch, _ROW_NUMBER, first)
                    first += batch.num_rows
            except BaseException as error:
                # DuckDB would pass on no more than its text.
                failures.append(error)
                raise

        self._connection.register(_INCOMING, pa.RecordBatchReader.from_batches(columns, incoming()))
        try:
            [(count,)] = fetch(self._connection, statement, parameters)
        except duckdb.Error as error:
            if failures:
                raise failures[0] from error
            raise
        finally:
            self._connection.unregister(_INCOMING)
        return int(count)

    def _distinct_keys(self, table: TableDefinition, relation: str, rows: int) -> int:
        """The number of distinct keys among the ``rows`` of the relation, in bounded memory."""
        key = ", ".join(_quoted(name) for name in table.key)
        distinct = key if len(table.key) == 1 else f"({key})"
        parts = 1 + rows // _ROWS_COUNTED_AT_ONCE
        keys = 0
        for part in range(parts):
            where = f"WHERE hash({key}) % {parts} = {part}" if parts > 1 else ""
            [(found,)] = fetch(self._connection, f"SELECT count(DISTINCT {distinct}) FROM {relation} {where}")
            keys += int(found)
        return keys

    def add_missing(self, table: TableDefinition, rows: Rows) -> int:
        """See :meth:`Transaction.add_missing`."""
        check_fit(table, rows, table.key)
        same_key = " AND ".join(f"existing.{_quoted(name)} = {_BATCH}.{_quoted(name)}" for name in table.key)
        with plain_errors(f"{self._where}, table {table}"):
            self._stage(table, rows, {})
            self._keep_last(table, None)
            [(added,)] = fetch(
                self._connection,
                f"INSERT INTO {_target(table)} BY NAME SELECT * EXCLUDE ({_ROW_NUMBER}) FROM {_BATCH}"
                f" WHERE NOT EXISTS (SELECT 1 FROM {_target(table)} AS existing WHERE {same_key})",
            )
            self._connection.execute(f"DROP TABLE {_BATCH}")
        return int(added)

    def mark(self, table: TableDefinition, keys: Rows, values: Mapping[str, Any], *, unless: str) -> int:
        """See :meth:`Transaction.mark`."""
        check_fit(table, keys, table.key)
        changes = ", ".join(f"{_quoted(name)} = ${number}" for number, name in enumerate(values, 1))
        same_key = " AND ".join(f"existing.{_quoted(name)} = {_BATCH}.{_quoted(name)}" for name in table.key)
        with plain_errors(f"{self._where}, table {table}"):
            self._stage(table, keys, {})
            [(marked,)] = fetch(
                self._connection,
                f"UPDATE {_target(table)} AS existing SET {changes} FROM {_BATCH}"
                f" WHERE {same_key} AND existing.{_quoted(unless)} IS NULL",
                list(values.values()),
            )
            self._connection.execute(f"DROP TABLE {_BATCH}")
        return int(marked)

    def append(self, schema: str, table: str, rows: pa.Table) -> None:
        """See :meth:`Transaction.append`."""
        if rows.num_rows == 0:
            return
        with plain_errors(f"{self._where}, table {schema}.{table}"):
            self._connection.register("_appended_rows", rows)
            try:
                self._connection.execute(f"INSERT INTO {_quoted(schema)}.{_quoted(table)} BY NAME FROM _appended_rows")
            finally:
                self._connection.unregister("_appended_rows")

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """See :meth:`Transaction.execute`."""
        with plain_errors(self._where):
            self._connection.execute(sql, list(parameters))

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """See :meth:`Transaction.query`."""
        with plain_errors(self._where):
            return self._connection.execute(sql, list(parameters)).to_arrow_table()


def _target(table: TableDefinition) -> str:
    return f"{_quoted(table.schema)}.{_quoted(table.name)}"


def _columns(table: TableDefinition, rows: Rows, constants: Mapping[str, Any]) -> str:
    """The table's columns as the rows give them, else as the constants (which are the parameters) do."""
    numbers = {name: number for number, name in enumerate(constants, 1)}

    def value(name: str) -> str:
        if name in rows.columns.names:
            return _quoted(name)
        return f"${numbers[name]}" if name in numbers else "NULL"

    return ", ".join(f"{value(c.name)}::{duckdb_type(c.type)} AS {_quoted(c.name)}" for c in table.columns)


_Catalogue = dict[tuple[str, str], tuple[str, dict[str, tuple[str, str]]]]


def _catalogue(connection: duckdb.DuckDBPyConnection) -> _Catalogue:
    """Per table: its comment and per column the type and the comment."""
    found: _Catalogue = {
        (schema, name): (comment, {})
        for schema, name, comment in fetch(
            connection,
            "SELECT schema_name, table_name, coalesce(comment, '') FROM duckdb_tables() WHERE NOT temporary",
        )
    }
    for schema, name, column, dtype, comment in fetch(
        connection,
        "SELECT schema_name, table_name, column_name, data_type, coalesce(comment, '') FROM duckdb_columns()",
    ):
        if (schema, name) in found:
            found[schema, name][1][column] = (dtype, comment)
    return found


def _changes(table: TableDefinition, found: _Catalogue) -> list[str]:
    """The statements that make the table what its definition says."""
    target = f"{_quoted(table.schema)}.{_quoted(table.name)}"
    comment, columns = found.get((table.schema, table.name), ("", {}))
    statements = []
    if not columns:
        required = dict.fromkeys(table.key, " NOT NULL")
        definitions = ", ".join(
            f"{_quoted(column.name)} {duckdb_type(column.type)}{required.get(column.name, '')}"
            for column in table.columns
        )
        statements.append(f"CREATE SCHEMA IF NOT EXISTS {_quoted(table.schema)}")
        statements.append(f"CREATE TABLE IF NOT EXISTS {target} ({definitions})")
    for column in table.columns:
        wanted = duckdb_type(column.type)
        dtype, column_comment = columns.get(column.name, ("", ""))
        if columns and not dtype:
            statements.append(f"ALTER TABLE {target} ADD COLUMN IF NOT EXISTS {_quoted(column.name)} {wanted}")
        elif dtype and dtype != wanted:
            raise PermanentError(
                f"column {column.name} is {dtype} in the warehouse and {wanted} in its definition",
                where=f"table {table}",
                remedy="rename the column in the contract, or move the table away and load it again",
            )
        text = table.column_comments.get(column.name, "")
        if text != column_comment:
            statements.append(f"COMMENT ON COLUMN {target}.{_quoted(column.name)} IS {_literal(text)}")
    if table.comment != comment:
        statements.append(f"COMMENT ON TABLE {target} IS {_literal(table.comment)}")
    return statements


def duckdb_type(dtype: pa.DataType) -> str:
    """DuckDB's name of an Arrow type, as its catalogue writes it."""
    if is_text(dtype):
        return "VARCHAR"
    if pa.types.is_decimal(dtype):
        return f"DECIMAL({dtype.precision},{dtype.scale})"
    if pa.types.is_timestamp(dtype):
        return "TIMESTAMP WITH TIME ZONE" if dtype.tz else "TIMESTAMP"
    try:
        return _TYPES[dtype]
    except KeyError:
        raise TypeError(f"no column type for Arrow's {dtype}") from None


_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.date32(): "DATE",
    pa.binary(): "BLOB",
}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

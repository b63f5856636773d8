"""The embedded warehouse: one DuckDB file.

Here belong the DuckDB file's tables, transactions and queries. Opening files is in ``duckdb_files``,
publications are in ``duckdb_publication``.

Only one process can have a DuckDB file open for writing, and nobody else can read it meanwhile. So every
connection is opened for one piece of work and closed after it, and a lock file beside the database queues
those who want it. Readers of marts read a publication, which is a file of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb
import pyarrow as pa

from resources.errors import PermanentError
from resources.warehouse.base import (
    KEPT_PUBLICATIONS,
    LOCK_TIMEOUT_SECONDS,
    Publication,
    TableDefinition,
    Transaction,
    Warehouse,
)
from resources.warehouse.duckdb_files import connect, fetch, plain_errors, roll_back
from resources.warehouse.duckdb_publication import PublicationFolder
from resources.warehouse.file_lock import file_lock
from resources.warehouse.parquet import checked_columns, is_text
from resources.warehouse.system_tables import SCHEMAS, SYSTEM_TABLES

_SETTINGS = ("memory_limit", "threads")
_BATCH = "_merge_batch"
# Counting distinct keys takes about 30 bytes each.
_ROWS_COUNTED_AT_ONCE = 6_000_000

# What this process has open or holds, by file: DuckDB refuses a second connection in another mode, and the
# lock file cannot tell two threads of one process apart.
_guard = threading.Lock()
_open_writers: set[Path] = set()
_lock_owners: dict[Path, int] = {}


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
        self._config = {
            "memory_limit": settings.get("memory_limit", "1GB"),
            "threads": settings.get("threads", str(_available_cores())),
            "temp_directory": str(self.path.with_name(self.path.name + ".tmp")),
            # Raw tables promise no order; keeping one costs memory in large loads.
            "preserve_insertion_order": "false",
        }
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
            connection.begin()
            try:
                yield DuckDBTransaction(connection, where)
                with plain_errors(where):
                    connection.commit()
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
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
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

    def merge(self, table: TableDefinition, parquet_files: Iterable[Path], *, order_by: str | None = None) -> int:
        """See :meth:`Transaction.merge`."""
        if not table.key:
            raise ValueError(f"table {table} has no key to merge by")
        read: list[Path] = []
        with plain_errors(f"{self._where}, table {table}"):
            if not fetch(self._connection, f"SELECT 1 FROM {_target(table)} LIMIT 1"):
                loaded = self._load_empty(table, parquet_files, read)
                if loaded is not None:
                    return loaded
            files = read or list(parquet_files)
            return self._merge(table, files, order_by) if files else 0

    def _load_empty(self, table: TableDefinition, files: Iterable[Path], read: list[Path]) -> int | None:
        """Load each file as it comes; None, and nothing done, if they hold a key twice. ``read``: the files' names."""
        target = _target(table)
        rows = 0
        for file in files:
            read.append(file)
            source = _batch_query(table, checked_columns(table, [file]))
            [(inserted,)] = fetch(self._connection, f"INSERT INTO {target} BY NAME {source}", [[str(file)]])
            rows += inserted
        if rows == self._distinct_keys(table, target, rows):
            return rows
        self._connection.execute(f"TRUNCATE {target}")
        return None

    def _merge(self, table: TableDefinition, parquet_files: list[Path], order_by: str | None) -> int:
        target = _target(table)
        present = checked_columns(table, parquet_files)
        files = [str(file) for file in parquet_files]
        [(rows,)] = fetch(self._connection, "SELECT count(*) FROM read_parquet($1)", [files])
        keys = self._distinct_keys(table, "read_parquet($1)", rows, [files])
        source = _batch_query(table, present) if rows == keys else _newest_query(table, present, order_by)
        # Measured on 5 M rows with 100 k changed ones: deleting and inserting takes 0.2 s where MERGE INTO
        # takes 0.8 s. An index on the key would cost 0.8 s at the first load's commit and 0.6 s a merge.
        self._connection.execute(f"CREATE TEMP TABLE {_BATCH} AS {source}", [files])
        same_key = " AND ".join(f"{_BATCH}.{_quoted(name)} = existing.{_quoted(name)}" for name in table.key)
        if order_by is not None:
            order = _quoted(order_by)
            self._connection.execute(
                f"DELETE FROM {_BATCH} USING {target} AS existing WHERE {same_key}"
                f" AND existing.{order} IS NOT NULL"
                f" AND ({_BATCH}.{order} IS NULL OR {_BATCH}.{order} < existing.{order})"
            )
        self._connection.execute(f"DELETE FROM {target} AS existing USING {_BATCH} WHERE {same_key}")
        self._connection.execute(f"INSERT INTO {target} BY NAME FROM {_BATCH}")
        self._connection.execute(f"DROP TABLE {_BATCH}")
        return int(keys)

    def _distinct_keys(self, table: TableDefinition, relation: str, rows: int, parameters: Sequence[Any] = ()) -> int:
        """The number of distinct keys among the ``rows`` of the relation, in bounded memory."""
        key = ", ".join(_quoted(name) for name in table.key)
        distinct = key if len(table.key) == 1 else f"({key})"
        parts = 1 + rows // _ROWS_COUNTED_AT_ONCE
        keys = 0
        for part in range(parts):
            where = f"WHERE hash({key}) % {parts} = {part}" if parts > 1 else ""
            sql = f"SELECT count(DISTINCT {distinct}) FROM {relation} {where}"
            [(found,)] = fetch(self._connection, sql, parameters)
            keys += found
        return keys

    def add_missing(self, table: TableDefinition, parquet_files: Iterable[Path]) -> int:
        """See :meth:`Transaction.add_missing`."""
        files = [Path(file) for file in parquet_files]
        if not files:
            return 0
        present = checked_columns(table, files)
        same_key = " AND ".join(f"existing.{_quoted(name)} = new.{_quoted(name)}" for name in table.key)
        with plain_errors(f"{self._where}, table {table}"):
            [(added,)] = fetch(
                self._connection,
                f"INSERT INTO {_target(table)} BY NAME SELECT * FROM ({_newest_query(table, present, None)}) AS new"
                f" WHERE NOT EXISTS (SELECT 1 FROM {_target(table)} AS existing WHERE {same_key})",
                [[str(file) for file in files]],
            )
        return int(added)

    def mark(self, table: TableDefinition, keys: Iterable[Path], values: Mapping[str, Any], *, unless: str) -> int:
        """See :meth:`Transaction.mark`."""
        files = [str(file) for file in keys]
        if not files:
            return 0
        changes = ", ".join(f"{_quoted(name)} = ${number}" for number, name in enumerate(values, 2))
        same_key = " AND ".join(f"existing.{_quoted(name)} = gone.{_quoted(name)}" for name in table.key)
        with plain_errors(f"{self._where}, table {table}"):
            [(marked,)] = fetch(
                self._connection,
                f"UPDATE {_target(table)} AS existing SET {changes} FROM read_parquet($1) AS gone"
                f" WHERE {same_key} AND existing.{_quoted(unless)} IS NULL",
                [files, *values.values()],
            )
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


def _batch_columns(table: TableDefinition, present: set[str]) -> str:
    return ", ".join(
        f"{_quoted(column.name)}::{duckdb_type(column.type)} AS {_quoted(column.name)}"
        if column.name in present
        else f"NULL::{duckdb_type(column.type)} AS {_quoted(column.name)}"
        for column in table.columns
    )


def _batch_query(table: TableDefinition, present: set[str]) -> str:
    """The files' rows as the table's columns."""
    return f"SELECT {_batch_columns(table, present)} FROM read_parquet($1, union_by_name = true)"


def _newest_query(table: TableDefinition, present: set[str], order_by: str | None) -> str:
    """The files' rows as the table's columns; of rows with the same key only the last."""
    key = ", ".join(_quoted(name) for name in table.key)
    first = f"{_quoted(order_by)} DESC NULLS LAST, " if order_by and order_by in present else ""
    return (
        f"SELECT {_batch_columns(table, present)}"
        " FROM read_parquet($1, union_by_name = true, filename = '_file', file_row_number = true)"
        f" QUALIFY row_number() OVER (PARTITION BY {key}"
        f" ORDER BY {first}list_position($1, _file) DESC, file_row_number DESC) = 1"
    )


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

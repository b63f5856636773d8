"""The warehouse on a PostgreSQL server.

Here belong its tables, transactions and queries; connections are in ``postgres_connections``, publications
in ``postgres_publication``.

Rows come in by binary COPY, encoded from Arrow by pgpq while the server stores what came before. One
advisory lock of the database makes writers queue.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import pgpq
import psycopg
import pyarrow as pa

from resources.commit_points import CommitPoint, reached
from resources.errors import PermanentError, TransientError, safe_url
from resources.warehouse.base import (
    KEPT_PUBLICATIONS,
    LOCK_TIMEOUT_SECONDS,
    Publication,
    Rows,
    TableDefinition,
    Transaction,
    Warehouse,
)
from resources.warehouse.postgres_connections import (
    Connection,
    connect,
    fetch,
    fetch_table,
    literal,
    plain_errors,
    quoted,
    run,
)
from resources.warehouse.postgres_publication import PublicationSchemas
from resources.warehouse.rows import check_fit, fitted, is_text
from resources.warehouse.system_tables import SCHEMAS, SYSTEM_TABLES

LOCK_SPACE = 0x53484F50
"""The first key of the platform's advisory locks ("SHOP")."""
_WRITER_LOCK = 1

_BATCH = "_merge_batch"
_ROW_NUMBER = "_merge_row"
_COPIED_ROWS = 10_000

# For the sort of a batch and the building of a key, in one session at a time.
_WRITER_SETTINGS = "SET LOCAL work_mem = '64MB'; SET LOCAL maintenance_work_mem = '256MB'"

# Which threads of this process hold the writer lock, for whoever opens a transaction under it.
_lock_owners: set[tuple[str, int]] = set()


class PostgresWarehouse(Warehouse):
    """A warehouse in one PostgreSQL database."""

    dialect: Literal["duckdb", "postgres"] = "postgres"

    def __init__(self, url: str, *, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.url = url
        self._where = safe_url(url)
        self._lock_timeout = lock_timeout
        self._held = threading.local()
        self._publications = PublicationSchemas(url, LOCK_SPACE, lock_timeout)

    def prepare(self) -> None:
        """See :meth:`Warehouse.prepare`."""
        known = self.query("SELECT nspname FROM pg_namespace")["nspname"].to_pylist()
        missing = [schema for schema in SCHEMAS if schema not in known]
        if missing:
            with self.transaction() as transaction:
                for schema in missing:
                    transaction.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        self.ensure_tables(SYSTEM_TABLES)

    def ensure_tables(self, tables: Sequence[TableDefinition]) -> None:
        """See :meth:`Warehouse.ensure_tables`."""
        with plain_errors(self._where), connect(self.url, read_only=True) as connection:
            found = _catalogue(connection)
        statements = [statement for table in tables for statement in _changes(table, found)]
        if statements:
            # Two processes may both find the same table missing, so every statement tolerates that.
            with self.transaction() as transaction:
                for statement in statements:
                    transaction.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See :meth:`Warehouse.transaction`."""
        owner = (self.url, threading.get_ident())
        nested = (f"transaction {self.url}", threading.get_ident())
        if nested in _lock_owners:
            raise RuntimeError(f"this thread already has a transaction open on {self._where}")
        if getattr(self._held, "connection", None) is not None:
            raise RuntimeError(f"this thread only reads {self._where} for now")
        connection = connect(self.url, read_only=False)
        try:
            with plain_errors(self._where):
                if owner not in _lock_owners:
                    self._take_writer_lock(connection, "pg_advisory_xact_lock")
                run(connection, _WRITER_SETTINGS)
            _lock_owners.add(nested)
            try:
                yield PostgresTransaction(connection, self._where)
            finally:
                _lock_owners.discard(nested)
            reached(CommitPoint.COMMITTING)
            with plain_errors(self._where):
                connection.commit()
            reached(CommitPoint.COMMITTED)
        finally:
            connection.close()  # which rolls back what is not committed

    @contextmanager
    def writer_lock(self) -> Iterator[None]:
        """See :meth:`Warehouse.writer_lock`."""
        owner = (self.url, threading.get_ident())
        if owner in _lock_owners:
            yield
            return
        with connect(self.url, read_only=False, autocommit=True) as connection:
            with plain_errors(self._where):
                self._take_writer_lock(connection, "pg_advisory_lock")
            _lock_owners.add(owner)
            try:
                yield
            finally:
                _lock_owners.discard(owner)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """See :meth:`Warehouse.query`."""
        with plain_errors(self._where), self._reading() as connection:
            return fetch_table(run(connection, sql, parameters))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See :meth:`Warehouse.reading`."""
        with ExitStack() as stack:
            with plain_errors(self._where):
                self._held.connection = stack.enter_context(self._reading())
            try:
                yield
            finally:
                self._held.connection = None

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        held = getattr(self._held, "connection", None)
        if held is not None:
            yield held
            return
        with connect(self.url, read_only=True) as connection:
            yield connection

    def publish(self, run_id: str, *, keep: int = KEPT_PUBLICATIONS) -> Publication:
        """See :meth:`Warehouse.publish`."""
        with self.writer_lock():
            publication = self._publications.publish(run_id)
            reached(CommitPoint.PUBLICATION_RECORDED)
            self._publications.drop_old(keep)
            reached(CommitPoint.PUBLICATIONS_DROPPED)
        return publication

    def current_publication(self) -> Publication | None:
        """See :meth:`Warehouse.current_publication`."""
        return next(iter(self._publications.all(only_current=True)), None)

    def publications(self) -> list[Publication]:
        """See :meth:`Warehouse.publications`."""
        return self._publications.all()

    def read_publication(self, sql: str, parameters: Sequence[Any] = (), version: int | None = None) -> pa.Table:
        """See :meth:`Warehouse.read_publication`."""
        return self._publications.read(sql, parameters, version)

    def drop_old_publications(self, keep: int = KEPT_PUBLICATIONS) -> None:
        """See :meth:`Warehouse.drop_old_publications`."""
        with self.writer_lock():
            self._publications.drop_old(keep)

    def _take_writer_lock(self, connection: Connection, function: str) -> None:
        run(connection, f"SET lock_timeout = {round(self._lock_timeout * 1000)}")
        try:
            run(connection, f"SELECT {function}({LOCK_SPACE}, {_WRITER_LOCK})")
        except psycopg.errors.LockNotAvailable as error:
            connection.rollback()
            holders = fetch(
                connection,
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2",
                [LOCK_SPACE, _WRITER_LOCK],
            )
            pids = ", ".join(str(pid) for (pid,) in holders) or "unknown"
            raise TransientError(
                f"the warehouse is still in use by another writer (server process {pids})",
                where=self._where,
                remedy="wait until that run ends, or end it; then run again",
            ) from error


class PostgresTransaction(Transaction):
    """The open transaction of the writer."""

    def __init__(self, connection: Connection, where: str) -> None:
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
        given = pa.schema([column for column in table.columns if column.name in rows.columns.names])
        filled = {name: value for name, value in (constants or {}).items() if name not in given.names}
        with plain_errors(f"{self._where}, table {table}"):
            [(is_empty,)] = fetch(self._connection, f"SELECT NOT EXISTS (SELECT 1 FROM {_target(table)})")
            if is_empty:
                loaded = self._load_empty(table, rows, given, filled)
                if loaded is not None:
                    return loaded
            return self._merge_into(table, rows, given, filled, order_by)

    def _load_empty(
        self, table: TableDefinition, rows: Rows, given: pa.Schema, filled: Mapping[str, Any]
    ) -> int | None:
        """Load straight into the empty table; None, and nothing done, if a key comes twice."""
        target = _target(table)
        try:
            with self._connection.transaction():
                # A table truncated in the same transaction can be written frozen: one write per page less.
                run(self._connection, f"TRUNCATE {target}")
                self._drop_key(table)
                # What is the same in all rows is not sent with each of them.
                for name, value in filled.items():
                    run(
                        self._connection, f"ALTER TABLE {target} ALTER {quoted(name)} SET DEFAULT {literal(str(value))}"
                    )
                loaded = self._copy(target, given, fitted(rows, given), frozen=True)
                for name in filled:
                    run(self._connection, f"ALTER TABLE {target} ALTER {quoted(name)} DROP DEFAULT")
                # Measured on 5 M rows: with the key in place the load takes half as long again.
                self._add_key(table)
        except psycopg.errors.UniqueViolation:
            return None
        return loaded

    def _merge_into(
        self,
        table: TableDefinition,
        rows: Rows,
        given: pa.Schema,
        filled: Mapping[str, Any],
        order_by: str | None,
    ) -> int:
        target = _target(table)
        self._ensure_key(table)
        self._stage(target, given, rows, is_numbered=True)
        key = ", ".join(quoted(name) for name in table.key)
        names = ", ".join(quoted(name) for name in given.names)
        values = ", ".join([names, *(f"${number}" for number in range(1, len(filled) + 1))])
        changes = ", ".join(
            f"{quoted(name)} = excluded.{quoted(name)}" for name in table.columns.names if name not in table.key
        )
        order, condition = "", ""
        if order_by is not None and order_by in given.names:
            column = quoted(order_by)
            order = f"{column} DESC NULLS LAST, "
            condition = f"WHERE existing.{column} IS NULL OR excluded.{column} >= existing.{column}"
        action = f"UPDATE SET {changes} {condition}" if changes else "NOTHING"
        [(keys,)] = fetch(
            self._connection,
            f"""
            WITH newest AS MATERIALIZED (
                SELECT DISTINCT ON ({key}) {names} FROM {_BATCH} ORDER BY {key}, {order}{_ROW_NUMBER} DESC
            ),
            merged AS (
                INSERT INTO {target} AS existing ({", ".join(map(quoted, [*given.names, *filled]))})
                SELECT {values} FROM newest
                ON CONFLICT ({key}) DO {action}
            )
            SELECT count(*) FROM newest
            """,
            list(filled.values()),
        )
        run(self._connection, f"DROP TABLE {_BATCH}")
        return int(keys)

    def add_missing(self, table: TableDefinition, rows: Rows) -> int:
        """See :meth:`Transaction.add_missing`."""
        check_fit(table, rows, table.key)
        target = _target(table)
        with plain_errors(f"{self._where}, table {table}"):
            self._ensure_key(table)
            given = pa.schema([column for column in table.columns if column.name in rows.columns.names])
            names = ", ".join(quoted(name) for name in given.names)
            self._stage(target, given, rows)
            added = run(
                self._connection,
                f"INSERT INTO {target} ({names}) SELECT {names} FROM {_BATCH} ON CONFLICT DO NOTHING",
            ).rowcount
            run(self._connection, f"DROP TABLE {_BATCH}")
        return added

    def mark(self, table: TableDefinition, keys: Rows, values: Mapping[str, Any], *, unless: str) -> int:
        """See :meth:`Transaction.mark`."""
        check_fit(table, keys, table.key)
        target = _target(table)
        key_columns = pa.schema([table.columns.field(name) for name in table.key])
        changes = ", ".join(f"{quoted(name)} = ${number}" for number, name in enumerate(values, 1))
        same_key = " AND ".join(f"existing.{quoted(name)} = gone.{quoted(name)}" for name in table.key)
        with plain_errors(f"{self._where}, table {table}"):
            self._stage(target, key_columns, keys)
            marked = run(
                self._connection,
                f"UPDATE {target} AS existing SET {changes} FROM {_BATCH} AS gone"
                f" WHERE {same_key} AND existing.{quoted(unless)} IS NULL",
                list(values.values()),
            ).rowcount
            run(self._connection, f"DROP TABLE {_BATCH}")
        return marked

    def _stage(self, target: str, columns: pa.Schema, rows: Rows, *, is_numbered: bool = False) -> None:
        """Copy the rows into a temporary table that has these columns as the target has them."""
        names = ", ".join(quoted(name) for name in columns.names)
        run(self._connection, f"CREATE TEMP TABLE {_BATCH} ON COMMIT DROP AS SELECT {names} FROM {target} WITH NO DATA")
        batches = fitted(rows, columns, row_number=_ROW_NUMBER if is_numbered else None)
        if is_numbered:
            run(self._connection, f"ALTER TABLE {_BATCH} ADD COLUMN {_ROW_NUMBER} bigint")
            columns = columns.append(pa.field(_ROW_NUMBER, pa.int64()))
        self._copy(_BATCH, columns, batches, frozen=False)
        run(self._connection, f"ANALYZE {_BATCH}")

    def append(self, schema: str, table: str, rows: pa.Table) -> None:
        """See :meth:`Transaction.append`."""
        target = f"{quoted(schema)}.{quoted(table)}"
        with plain_errors(f"{self._where}, table {schema}.{table}"):
            self._copy(target, rows.schema, rows.to_batches(_COPIED_ROWS), frozen=False)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """See :meth:`Transaction.execute`."""
        with plain_errors(self._where):
            run(self._connection, sql, parameters)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """See :meth:`Transaction.query`."""
        with plain_errors(self._where):
            return fetch_table(run(self._connection, sql, parameters))

    def _copy(self, target: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, frozen: bool) -> int:
        """Send the batches by binary COPY; the number of rows."""
        names = ", ".join(quoted(name) for name in schema.names)
        statement = f"COPY {target} ({names}) FROM STDIN (FORMAT binary{', FREEZE' if frozen else ''})"
        encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
        with self._connection.cursor() as cursor:
            # While one batch is on its way to the server the next is read and encoded. psycopg's own queued
            # writer does the same, with up to 128 MB in its queue.
            with cursor.copy(statement.encode()) as copy, ThreadPoolExecutor(1) as sender:
                sent = sender.submit(copy.write, encoder.write_header())
                for batch in batches:
                    encoded = encoder.write_batch(batch)
                    sent.result()
                    sent = sender.submit(copy.write, encoded)
                sent.result()
                copy.write(encoder.finish())
            return cursor.rowcount

    def _ensure_key(self, table: TableDefinition) -> None:
        if not self._key_name(table):
            self._add_key(table)

    def _add_key(self, table: TableDefinition) -> None:
        key = ", ".join(quoted(name) for name in table.key)
        run(self._connection, f"ALTER TABLE {_target(table)} ADD PRIMARY KEY ({key})")

    def _drop_key(self, table: TableDefinition) -> None:
        name = self._key_name(table)
        if name:
            run(self._connection, f"ALTER TABLE {_target(table)} DROP CONSTRAINT {quoted(name)}")

    def _key_name(self, table: TableDefinition) -> str | None:
        found = fetch(
            self._connection,
            "SELECT conname FROM pg_constraint WHERE contype = 'p' AND conrelid = $1::regclass",
            [_target(table)],
        )
        return found[0][0] if found else None


def _target(table: TableDefinition) -> str:
    return f"{quoted(table.schema)}.{quoted(table.name)}"


_Catalogue = dict[tuple[str, str], tuple[str, dict[str, tuple[str, str]]]]


def _catalogue(connection: Connection) -> _Catalogue:
    """Per table: its comment and per column the type and the comment."""
    found: _Catalogue = {}
    rows = fetch(
        connection,
        """
        SELECT
            n.nspname, c.relname, coalesce(obj_description(c.oid, 'pg_class'), ''),
            a.attname, format_type(a.atttypid, a.atttypmod), coalesce(col_description(c.oid, a.attnum), '')
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        """,
    )
    for schema, name, comment, column, dtype, column_comment in rows:
        found.setdefault((schema, name), (comment, {}))[1][column] = (dtype, column_comment)
    return found


def _changes(table: TableDefinition, found: _Catalogue) -> Iterator[str]:
    """The statements that make the table what its definition says."""
    target = _target(table)
    comment, columns = found.get((table.schema, table.name), ("", {}))
    if not columns:
        required = dict.fromkeys(table.key, " NOT NULL")
        definitions = ", ".join(
            f"{quoted(column.name)} {postgres_type(column.type)}{required.get(column.name, '')}"
            for column in table.columns
        )
        yield f"CREATE SCHEMA IF NOT EXISTS {quoted(table.schema)}"
        yield f"CREATE TABLE IF NOT EXISTS {target} ({definitions})"
    for column in table.columns:
        wanted = postgres_type(column.type)
        dtype, column_comment = columns.get(column.name, ("", ""))
        if columns and not dtype:
            yield f"ALTER TABLE {target} ADD COLUMN IF NOT EXISTS {quoted(column.name)} {wanted}"
        elif dtype and dtype != wanted:
            raise PermanentError(
                f"column {column.name} is {dtype} in the warehouse and {wanted} in its definition",
                where=f"table {table}",
                remedy="rename the column in the contract, or move the table away and load it again",
            )
        text = table.column_comments.get(column.name, "")
        if text != column_comment:
            yield f"COMMENT ON COLUMN {target}.{quoted(column.name)} IS {literal(text)}"
    if table.comment != comment:
        yield f"COMMENT ON TABLE {target} IS {literal(table.comment)}"


def postgres_type(dtype: pa.DataType) -> str:
    """PostgreSQL's name of an Arrow type, as its catalogue writes it."""
    if is_text(dtype):
        return "text"
    if pa.types.is_decimal(dtype):
        return f"numeric({dtype.precision},{dtype.scale})"
    if pa.types.is_timestamp(dtype):
        return "timestamp with time zone" if dtype.tz else "timestamp without time zone"
    try:
        return _TYPES[dtype]
    except KeyError:
        raise TypeError(f"no column type for Arrow's {dtype}") from None


_TYPES = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double precision",
    pa.date32(): "date",
    pa.binary(): "bytea",
}

"""Reads tables and queries of MySQL/MariaDB, PostgreSQL and SQLite as streams of Arrow batches.

Belongs here: connecting, streaming, asking one value, describing columns, and turning the drivers' errors
into ones a person can act on. Does not belong here: which tables there are and what their columns mean.

The rows come through ConnectorX, whose binary protocol runs near the speed of the wire. It stops at values
that Arrow cannot hold (a zero date, a TIME over 24 hours, an infinite timestamp, a decimal beyond 28
digits); the read then starts again with every column cast to text at the source, so that such values
arrive as they stand and the contract judges them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import connectorx
import polars as pl
import psycopg
import pyarrow as pa
import pymysql

from resources.errors import PermanentError, PlatformError, TransientError, safe_url
from resources.reading import POSITION, Chunk

log = logging.getLogger(__name__)

Dialect = Literal["mysql", "postgresql", "sqlite"]

BATCH_ROWS = 50_000
CONNECT_TIMEOUT_SECONDS = 10

_DIALECTS: dict[str, Dialect] = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
}

# What the servers say when a retry cannot help: MySQL error numbers and PostgreSQL SQLSTATE classes.
_MYSQL_PERMANENT = {1044, 1045, 1049, 1054, 1064, 1142, 1143, 1146, 1305, 1698}
_POSTGRES_PERMANENT = ("28", "3D", "42", "22")


@dataclass(frozen=True)
class ColumnDescription:
    """A column that a query gives: its name and the source's name of its type."""

    name: str
    type_name: str


class UnreadableValueError(Exception):
    """The fast reader met a value that it cannot hold."""


class SqlSource:
    """One database, named by a URL (``mysql://``, ``postgresql://`` or ``sqlite://``)."""

    def __init__(self, url: str) -> None:
        """Raise :class:`PermanentError` where the URL's scheme is not one of those."""
        scheme = urlsplit(url).scheme.split("+")[0]
        if scheme not in _DIALECTS:
            raise PermanentError(
                f"'{scheme}' is not a database this platform reads",
                where=safe_url(url),
                remedy="use a mysql://, postgresql:// or sqlite:// URL",
            )
        self.dialect: Dialect = _DIALECTS[scheme]
        self._url = self.dialect + url[url.index(":") :]
        self.name = safe_url(url)

    def quote(self, identifier: str) -> str:
        """``identifier``, possibly qualified by dots, quoted for this database."""
        mark = "`" if self.dialect == "mysql" else '"'
        return ".".join(mark + part.replace(mark, mark * 2) + mark for part in identifier.split("."))

    def text(self, expression: str) -> str:
        """SQL that gives ``expression`` as text."""
        return f"CAST({expression} AS {'CHAR' if self.dialect == 'mysql' else 'TEXT'})"

    def read(self, query: str, key: Sequence[str]) -> Iterator[Chunk]:
        """Stream the rows of ``query`` (one SELECT).

        The chunks hold the query's columns and the position of each row, made of the ``key`` columns.
        Raises :class:`TransientError` where the server is away and :class:`PermanentError` where it
        refuses the login or the query.
        """
        try:
            yield from self._stream(query, key)
            return
        except UnreadableValueError as unreadable:
            log.warning("%s: %s; reading every column as text", self.name, unreadable)
        columns = [column.name for column in self.describe(query)]
        casts = ", ".join(f"{self.text('q.' + self.quote(c))} AS {self.quote(c)}" for c in columns)
        restart = Chunk(rows=pl.DataFrame(), bytes_read=0, restart=True)
        yield restart
        yield from self._stream(f"SELECT {casts} FROM ({query}) AS q", key)

    def _stream(self, query: str, key: Sequence[str]) -> Iterator[Chunk]:
        # ConnectorX raises RuntimeError for what a server answers, and a Rust panic, which is no
        # Exception, for a value that it cannot hold.
        try:
            reader: Iterable[pa.RecordBatch] = connectorx.read_sql(
                self._url,
                query,
                return_type="arrow_stream",
                batch_size=BATCH_ROWS,
                pre_execution_query=self._session(),
            )
            for batch in reader:
                frame = pl.from_arrow(pa.Table.from_batches([batch]))
                assert isinstance(frame, pl.DataFrame)
                yield Chunk(rows=_with_position(frame, key), bytes_read=batch.nbytes)
        except GeneratorExit:
            raise
        except RuntimeError as error:
            self.ask("SELECT 1")  # says more exactly when the server is away or refuses the login
            raise self._refused(str(error)) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise UnreadableValueError(str(error)[:300]) from None

    def _session(self) -> list[str] | None:
        if self.dialect == "mysql":
            return ["SET SESSION time_zone = '+00:00'", "SET SESSION sql_mode = ''"]
        if self.dialect == "postgresql":
            return ["SET TIME ZONE 'UTC'"]
        return None

    def describe(self, query: str) -> list[ColumnDescription]:
        """The columns that ``query`` gives, without reading its rows."""
        with self._cursor() as cursor:
            cursor.execute(f"SELECT * FROM ({query}) AS q LIMIT 0")
            names = _type_names(self.dialect)
            return [ColumnDescription(c[0], names.get(c[1], str(c[1]))) for c in cursor.description or ()]

    def ask(self, query: str) -> Any:
        """The first column of the first row of ``query``, or None."""
        with self._cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return row[0] if row else None

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        connection: Any = None
        try:
            connection = self._connect()
            cursor = connection.cursor()
            for statement in self._session() or ():
                cursor.execute(statement)
            yield cursor
        except pymysql.MySQLError as error:
            number = error.args[0] if error.args else 0
            message = str(error.args[1]) if len(error.args) > 1 else str(error)
            if number in _MYSQL_PERMANENT:
                raise self._refused(message) from error
            raise self._away(message) from error
        except psycopg.Error as error:
            message = (error.diag.message_primary or str(error)).strip()
            state = error.sqlstate or ""
            # A failed login has no SQLSTATE on the client's side: libpq only passes the text on.
            refused = "authentication failed" in message or (
                "FATAL:" in message and ("does not exist" in message or "permission denied" in message)
            )
            if refused or state.startswith(_POSTGRES_PERMANENT):
                raise self._refused(message) from error
            raise self._away(message) from error
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> Any:
        if self.dialect == "postgresql":
            return psycopg.connect(self._url, connect_timeout=CONNECT_TIMEOUT_SECONDS)
        parts = urlsplit(self._url)
        if self.dialect == "mysql":
            return pymysql.connect(
                host=parts.hostname or "127.0.0.1",
                port=parts.port or 3306,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                database=parts.path.lstrip("/") or None,
                charset="utf8mb4",
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
            )
        import sqlite3

        try:
            return sqlite3.connect(f"file:{unquote(parts.path)}?mode=ro", uri=True)
        except sqlite3.Error as error:
            raise self._refused(str(error)) from error

    def _refused(self, message: str) -> PlatformError:
        return PermanentError(
            f"the database refuses: {message}",
            where=self.name,
            remedy="check user, password, database and table names and the user's SELECT rights; "
            "`shopsphere doctor` tests each of them",
        )

    def _away(self, message: str) -> PlatformError:
        return TransientError(
            f"the database does not answer: {message}",
            where=self.name,
            remedy="check that the server runs and that host and port are right",
        )


def _with_position(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    parts = [pl.format(f"{column}={{}}", pl.col(column).cast(pl.String).fill_null("null")) for column in key]
    return frame.with_columns(pl.concat_str(parts, separator=",").alias(POSITION))


def _type_names(dialect: Dialect) -> dict[Any, str]:
    """Names of the type codes in a DB-API cursor's description."""
    if dialect == "mysql":
        codes = pymysql.constants.FIELD_TYPE
        return {getattr(codes, n): n.lower() for n in dir(codes) if n.isupper()}
    if dialect == "postgresql":
        return {info.oid: info.name for info in psycopg.postgres.types}
    return {None: "unknown"}

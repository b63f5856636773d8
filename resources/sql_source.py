"""Reads tables and queries of MySQL/MariaDB, PostgreSQL and SQLite as streams of Arrow batches.

Belongs here: connecting, streaming, asking one value, describing columns, and turning the drivers' errors
into ones a person can act on. Does not belong here: which tables there are and what their columns mean.

The rows of servers come through DuckDB's scanners (``scanner``), near the speed of the wire. What they would change
in silence (decimals beyond 38 digits, numbers in JSON, types they do not know) is cast to text at the source. What they
stop at or replace (a zero date, an infinite one, a decimal that is no number) is found only while reading; the read
then starts again with those types as text too, so that such values arrive as they stand and the contract judges them.
SQLite, whose columns hold values of any type, is read through Python's own driver.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import duckdb
import polars as pl
import psycopg
import pyarrow as pa
import pymysql
from pymysql.converters import escape_string

from resources.errors import PermanentError, PlatformError, TransientError, safe_url
from resources.reading import Chunk
from resources.scanner import scan

log = logging.getLogger(__name__)

Dialect = Literal["mysql", "postgresql", "sqlite"]

BATCH_ROWS = 32_000
CONNECT_TIMEOUT_SECONDS = 10

_DIALECTS: dict[str, Dialect] = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "sqlite": "sqlite",
}

# What the servers say when a retry cannot help: MySQL error numbers and PostgreSQL SQLSTATE classes.
_MYSQL_PERMANENT = {1044, 1045, 1049, 1054, 1064, 1130, 1142, 1143, 1146, 1251, 1305, 1356, 1698, 2059, 3159}
_POSTGRES_PERMANENT = ("28", "3D", "42", "22")
_POSTGRES_REFUSALS = ("authentication failed", "does not exist", "permission denied", "pg_hba.conf")


_DECIMALS = {"numeric", "newdecimal"}
_MOST_DECIMAL_DIGITS = 38
# What PostgreSQL's scanner gives as it is; MySQL's does so for all types but these.
_POSTGRES_NATIVE = {
    *("bool", "int2", "int4", "int8", "float8", "text", "varchar", "name", "uuid", "bytea"),
    *("date", "timestamp", "timestamptz"),
}
_MYSQL_FOREIGN = {"time", "json"}
_MYSQL_TIMES = {"date", "newdate", "datetime", "timestamp"}
# Types of which single values stop the scanner.
_RISKY = _MYSQL_TIMES | {"timestamptz"} | _DECIMALS


@dataclass(frozen=True)
class ColumnDescription:
    """A column that a query gives: its name and the source's name of its type.

    ``precision`` and ``scale``: of a decimal, where they are fixed; MySQL's precision counts sign and point as well.
    ``is_nullable``: False where the source says that it never lacks a value.
    """

    name: str
    type_name: str
    scale: int | None = None
    precision: int | None = None
    is_nullable: bool = True


class UnreadableValueError(Exception):
    """The fast reader met a value that it cannot hold, or lost the connection: it does not tell which."""


class SqlSource:
    """One database, named by a URL (``mysql://``, ``postgresql://`` or ``sqlite://``)."""

    def __init__(self, url: str) -> None:
        """Raise :class:`PermanentError` where the URL cannot be understood or is of another kind."""
        scheme = url.partition("://")[0]
        dialect = _DIALECTS.get(scheme.split("+")[0].lower())
        if dialect is None:
            raise PermanentError(
                f"'{scheme[:20]}' is not a database this platform reads" if "://" in url else "this is not a URL",
                where="the database's URL",
                remedy="use a mysql://, postgresql:// or sqlite:// URL",
            )
        if not _is_unambiguous(url):
            # Nothing of it is shown: what looks like a host or a port may be a part of the password.
            raise PermanentError(
                "the database's URL cannot be understood",
                where=f"{scheme}://…",
                remedy="write it as scheme://user:password@host:port/database, and special characters in user and "
                "password percent-encoded (@ as %40, / as %2F, : as %3A, # as %23, ? as %3F, % as %25)",
            )
        parts = urlsplit(url)
        if dialect == "sqlite" and (parts.netloc or len(parts.path) < 2):
            raise PermanentError(
                "a SQLite URL names a file by its absolute path",
                where=safe_url(url),
                remedy="write it as sqlite:///folder/file.db",
            )
        self.dialect: Dialect = dialect
        self._url = self.dialect + url[url.index(":") :]
        self.name = safe_url(url)

    def quote(self, identifier: str) -> str:
        """``identifier``, possibly qualified by dots, quoted for this database."""
        return ".".join(self.quote_name(part) for part in identifier.split("."))

    def quote_name(self, name: str) -> str:
        """One name, whatever characters it has, quoted for this database."""
        mark = "`" if self.dialect == "mysql" else '"'
        return mark + name.replace(mark, mark * 2) + mark

    def text(self, expression: str) -> str:
        """SQL that gives ``expression`` as text."""
        return f"CAST({expression} AS {'CHAR' if self.dialect == 'mysql' else 'TEXT'})"

    def read(self, query: str, key: Sequence[str]) -> Generator[Chunk, None, None]:
        """Stream the rows of ``query`` (one SELECT); memory holds one chunk.

        The chunks hold the query's columns; the ``key`` columns say where a row stands.
        Raises :class:`TransientError` where the server is away and :class:`PermanentError` where it
        refuses the login or the query.
        """
        # Besides the types this tells plainly who refuses what.
        columns = self.describe(query)
        if self.dialect == "sqlite":
            yield from self._stream_sqlite(query, columns, key)
            return
        try:
            yield from self._stream(query, columns, key, as_text=frozenset())
            return
        except UnreadableValueError as unreadable:
            log.warning("%s: %s; reading dates and decimals as text", self.name, unreadable)
        self.ask("SELECT 1")  # it may have been the connection
        yield Chunk(rows=pl.DataFrame(), bytes_read=0, restart=True)
        try:
            yield from self._stream(query, columns, key, as_text=frozenset(_RISKY))
        except UnreadableValueError as unreadable:
            self.ask("SELECT 1")
            raise PermanentError(
                f"the reader stops at a value: {unreadable}",
                where=self.name,
                remedy="leave the column out, or map it to an expression that gives text",
            ) from None

    def _stream(
        self, query: str, columns: list[ColumnDescription], key: Sequence[str], *, as_text: frozenset[str]
    ) -> Iterator[Chunk]:
        inner, outer = [], []
        for column in columns:
            name, expression = self.quote_name(column.name), "q." + self.quote_name(column.name)
            readable, cast = self._readable(column, as_text)
            inner.append(f"{readable or expression} AS {name}")
            quoted = '"' + column.name.replace('"', '""') + '"'
            outer.append(f"CAST({quoted} AS {cast}) AS {quoted}" if cast else quoted)
        statement = f"SELECT {', '.join(inner)} FROM ({query}) AS q"
        never_null = [
            c.name
            for c in columns
            if self.dialect == "mysql" and c.type_name in _MYSQL_TIMES - as_text and not c.is_nullable
        ]
        texts: list[str] | None = None
        for frame, size in self._frames(statement, ", ".join(outer), is_strict=not as_text):
            if texts is None:
                texts = self._texts(query, [n for n, dtype in frame.schema.items() if dtype == pl.Binary])
            # MySQL's scanner gives a zero date as null.
            if any(frame.get_column(name).null_count() for name in never_null):
                raise UnreadableValueError("a zero date")
            yield Chunk(rows=frame.with_columns(pl.col(texts).cast(pl.String)), bytes_read=size, key=tuple(key))

    def _texts(self, query: str, names: list[str]) -> list[str]:
        """Those of the columns given as bytes that are text: MySQL's scanner gives text of a binary collation so."""
        if self.dialect != "mysql" or not names:
            return []
        sets = ", ".join(f"CHARSET(q.{self.quote_name(name)})" for name in names)
        [found] = self.fetch(f"SELECT {sets} FROM (SELECT 1 AS one) AS o LEFT JOIN ({query}) AS q ON 1 = 0")
        return [name for name, charset in zip(names, found, strict=True) if charset != "binary"]

    def literal(self, value: Any) -> str:
        """SQL for a value of a key or cursor."""
        if isinstance(value, int):
            return str(value)
        if isinstance(value, bytes):
            return f"x'{value.hex()}'" if self.dialect == "mysql" else f"'\\x{value.hex()}'"
        text = str(value.replace(tzinfo=None)) if isinstance(value, datetime) else str(value)
        return "'" + (escape_string(text) if self.dialect == "mysql" else text.replace("'", "''")) + "'"

    def _frames(self, statement: str, outer: str, *, is_strict: bool) -> Iterator[tuple[pl.DataFrame, int]]:
        """The rows of ``statement`` and the size in bytes of each frame of them.

        ``is_strict``: whether a date that only text can hold is an :class:`UnreadableValueError`.
        """
        assert self.dialect != "sqlite"
        try:
            with scan(self.dialect, self._url, statement, BATCH_ROWS, outer) as reader:
                for batch in reader:
                    frame = pl.from_arrow(pa.Table.from_batches([batch]))
                    assert isinstance(frame, pl.DataFrame)
                    if is_strict and self.dialect == "postgresql" and any(map(_is_beyond_years, frame.get_columns())):
                        raise UnreadableValueError("a date that lies beyond the years 1 to 9999")
                    yield frame, batch.nbytes
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            # What follows the first line is our own SQL.
            raise UnreadableValueError(str(error).partition("\n")[0][:300]) from None

    def _readable(self, column: ColumnDescription, as_text: frozenset[str]) -> tuple[str | None, str | None]:
        """How the column of ``q`` is asked for so that the scanner gives it faithfully.

        SQL of the source (None: as it is), and the type to which DuckDB casts the text that this gives, if any.
        """
        expression = "q." + self.quote_name(column.name)
        text = self.text(expression)
        if column.type_name in as_text:
            return text, None
        if self.dialect == "mysql":
            if column.type_name == "bit":
                return f"CAST({expression} AS UNSIGNED)", None
            if column.type_name in _MYSQL_TIMES and column.is_nullable:
                # As it is, a zero date would not be told from a missing one.
                return text, "DATE" if column.type_name in ("date", "newdate") else "TIMESTAMP"
            is_wide = column.type_name in _DECIMALS and (column.precision or 0) > _MOST_DECIMAL_DIGITS
            return (text if is_wide or column.type_name in _MYSQL_FOREIGN else None), None
        if column.type_name in _DECIMALS:
            if column.precision is None or column.scale is None or not 0 <= column.scale <= column.precision:
                return text, None
            # As it is, NaN would be zero.
            fits = column.precision <= _MOST_DECIMAL_DIGITS
            return text, f"DECIMAL({column.precision}, {column.scale})" if fits else None
        return (None if column.type_name in _POSTGRES_NATIVE else text), None

    def _stream_sqlite(self, query: str, columns: list[ColumnDescription], key: Sequence[str]) -> Iterator[Chunk]:
        with self._cursor() as cursor:
            cursor.connection.text_factory = bytes
            cursor.execute(query)
            while rows := cursor.fetchmany(BATCH_ROWS):
                cells = zip(columns, zip(*rows, strict=True), strict=True)
                frame = pl.DataFrame([_sqlite_column(column.name, values) for column, values in cells])
                yield Chunk(rows=frame, bytes_read=int(frame.estimated_size()), key=tuple(key))

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
            return [
                ColumnDescription(
                    name=c[0],
                    type_name=names.get(c[1], str(c[1])),
                    scale=c[5],
                    precision=c[4],
                    is_nullable=c[6] is not False,
                )
                for c in cursor.description or ()
            ]

    def ask(self, query: str) -> Any:
        """The first column of the first row of ``query``, or None."""
        with self._cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
            return row[0] if row else None

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query that gives few."""
        with self._cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

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
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise self._away(str(error)) from error
            raise self._refused(str(error)) from error
        except psycopg.Error as error:
            message = (error.diag.message_primary or str(error)).strip()
            state = error.sqlstate or ""
            # A failed login has no SQLSTATE on the client's side: libpq only passes the text on.
            refused = "FATAL:" in message and any(symptom in message for symptom in _POSTGRES_REFUSALS)
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
                # As bytes: PyMySQL would encode text as Latin-1.
                password=unquote(parts.password or "").encode(),
                database=unquote(parts.path.lstrip("/")) or None,
                charset="utf8mb4",
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
            )
        # Read-only, and never creating a file that is not there.
        uri = Path(unquote(parts.path)).as_uri() + "?mode=ro"
        # Who reads in several parts does so from several threads, one after the other.
        return sqlite3.connect(uri, uri=True, check_same_thread=False)

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


def _is_unambiguous(url: str) -> bool:
    """Whether user, password, host and port can be told apart, whatever characters the password has."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.netloc.count("@") <= 1 and "@" not in parts.path + parts.query + parts.fragment


def _is_beyond_years(cells: pl.Series) -> bool:
    """Whether one of these is a date of a year that has not four digits.

    PostgreSQL's infinity comes as one, which as text is told from a real one.
    """
    low, high = date.min, date.max
    if isinstance(cells.dtype, pl.Datetime):
        zone = UTC if cells.dtype.time_zone else None
        low, high = (datetime.combine(day, clock, zone) for day, clock in ((low, time.min), (high, time.max)))
    elif cells.dtype != pl.Date:
        return False
    return not cells.is_between(low, high).all()


def _sqlite_column(name: str, cells: Sequence[Any]) -> pl.Series:
    """A column's values as text, of whatever type each is; as bytes where one is no UTF-8."""
    texts = [cell if cell is None or isinstance(cell, bytes) else str(cell).encode() for cell in cells]
    try:
        return pl.Series(name, [None if text is None else text.decode() for text in texts], dtype=pl.String)
    except UnicodeDecodeError:
        return pl.Series(name, texts, dtype=pl.Binary)


def _type_names(dialect: Dialect) -> dict[Any, str]:
    """Names of the type codes in a DB-API cursor's description."""
    if dialect == "mysql":
        codes = pymysql.constants.FIELD_TYPE
        return {getattr(codes, n): n.lower() for n in dir(codes) if n.isupper()}
    if dialect == "postgresql":
        return {info.oid: info.name for info in psycopg.postgres.types}
    return {None: "unknown"}

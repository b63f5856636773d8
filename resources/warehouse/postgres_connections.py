"""Connecting to PostgreSQL: session settings, results as Arrow, and errors in plain words.

What is done with a connection belongs in the engine and the publication.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.string import TextLoader

from resources.errors import PermanentError, PlatformError, TransientError, redact, safe_url

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_TIMEOUT_SECONDS = 10
_FETCHED_ROWS = 20_000


def connect(url: str, *, read_only: bool, autocommit: bool = False) -> Connection:
    """A connection in UTC whose cursors take parameters as ``$1``."""
    try:
        given = conninfo_to_dict(url)
        options = f"{given.get('options') or ''} -c TimeZone=UTC"
        if read_only:
            options += " -c default_transaction_read_only=on"
        connection: Connection = psycopg.connect(
            url,
            autocommit=autocommit,
            cursor_factory=psycopg.RawCursor,
            # The statements differ from call to call, and a prepared one would outlive a switched schema.
            prepare_threshold=None,
            connect_timeout=int(given.get("connect_timeout") or _CONNECT_TIMEOUT_SECONDS),
            application_name=given.get("application_name") or "shopsphere",
            options=options,
        )
    except psycopg.Error as error:
        raise plain_error(error, safe_url(url)) from error
    for name in ("json", "jsonb", "uuid"):
        connection.adapters.register_loader(name, TextLoader)
    return connection


def run(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
    """Run SQL text that the platform or its user wrote."""
    # psycopg's type hints only take literal SQL; names in ours come from definitions and are quoted.
    return connection.execute(sql.encode(), list(parameters) or None)


def fetch(connection: Connection, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a small query as tuples."""
    return run(connection, sql, parameters).fetchall()


def fetch_table(cursor: psycopg.Cursor[tuple[Any, ...]]) -> pa.Table:
    """The rows of an executed query as Arrow columns of the types that PostgreSQL names."""
    if cursor.description is None:
        return pa.table({})
    names = [column.name for column in cursor.description]
    columns: list[list[Any]] = [[] for _ in names]
    while rows := cursor.fetchmany(_FETCHED_ROWS):
        for values, part in zip(columns, zip(*rows, strict=True), strict=True):
            values.extend(part)
    arrays = [
        pa.array(values, type=_arrow_type(column, values))
        for column, values in zip(cursor.description, columns, strict=True)
    ]
    return pa.Table.from_arrays(arrays, names=names)


_OIDS = {
    16: pa.bool_(),
    17: pa.binary(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    1184: pa.timestamp("us", tz="UTC"),
    # Names, text in its three forms, JSON in its two forms, UUID, and literals whose type nobody said.
    **dict.fromkeys((18, 19, 25, 1042, 1043, 114, 3802, 2950, 705), pa.string()),
}
_NUMERIC_OID = 1700


def _arrow_type(column: psycopg.Column, values: list[Any]) -> pa.DataType | None:
    if column.type_code != _NUMERIC_OID:
        return _OIDS.get(column.type_code)
    if column.precision is not None and column.scale is not None:
        return pa.decimal128(column.precision, column.scale)
    # The result of an expression: PostgreSQL does not say how many decimals it has, so the values do.
    exponents = [value.as_tuple().exponent for value in values if isinstance(value, Decimal)]
    scale = max((-exponent for exponent in exponents if isinstance(exponent, int)), default=0)
    return pa.decimal128(38, max(scale, 0))


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def plain_errors(where: str) -> Iterator[None]:
    """Turn PostgreSQL's errors into ones a person can act on."""
    try:
        yield
    except psycopg.Error as error:
        raise plain_error(error, where) from error


_COPY_COLUMN = re.compile(r"COPY \S+, line (?P<line>\d+), column (?P<column>\S+)")


def plain_error(error: psycopg.Error, where: str) -> PlatformError:
    """The error as a :class:`PlatformError` with what, where and the remedy."""
    text = redact(str(error).strip())
    column = _COPY_COLUMN.search(error.diag.context or "")
    if column:
        where = f"{where}, column {column['column'].rstrip(':,')} (row {column['line']} of the load)"
    state = error.sqlstate or ""
    if state == "22021" or "cannot contain NUL" in text:
        return PermanentError(
            f"text holds a character that PostgreSQL cannot store: {text.splitlines()[0]}",
            where=where,
            remedy="quarantine such rows by the contract's rule clean_text, or correct them at the source",
        )
    for prefix, what, remedy in _PERMANENT_STATES:
        if state.startswith(prefix):
            return PermanentError(f"{what}: {text}", where=where, remedy=remedy)
    for prefix, what, remedy in _PASSING_STATES:
        if state.startswith(prefix):
            return TransientError(f"{what}: {text}", where=where, remedy=remedy)
    # A connection that was never made has no state, only the server's or the operating system's words.
    for symptom, what, remedy in _PERMANENT_TEXTS:
        if symptom in text:
            return PermanentError(f"{what}: {text}", where=where, remedy=remedy)
    if isinstance(error, psycopg.OperationalError) and not state:
        return TransientError(
            f"the server cannot be reached: {text}",
            where=where,
            remedy="check that the server runs and that host and port are right; then run again",
        )
    return PermanentError(f"PostgreSQL reports: {text}", where=where, remedy="see the server's message")


_CORRECT_URL = "correct user and password in the warehouse's URL"
_GRANT = "let an administrator grant the right, or use a user who has it"
_PERMANENT_STATES = (
    ("28", "the server refuses the user", _CORRECT_URL),
    ("3D000", "the database does not exist", "create it, or correct its name in the warehouse's URL"),
    ("42501", "the user lacks a permission", _GRANT),
    ("25006", "the query would change data", "only read here"),
    (
        "53100",
        "the server's disk is full",
        "free space on the server, then run again; nothing was half written",
    ),
    ("53200", "the server's memory is used up", "lower work_mem or give the server more memory"),
    ("42", "the SQL does not fit the tables", "correct the SQL"),
    ("22", "a value does not fit its column", "correct the value at its source"),
    ("23", "a row breaks the table's definition", "correct the row or the definition"),
)
_PASSING_STATES = (
    ("08", "the connection broke", "run again"),
    ("57P", "the server is starting or stopping", "wait until it accepts connections, then run again"),
    ("57014", "the statement was cancelled", "run again, or raise the server's statement_timeout"),
    ("53300", "the server has no free connection", "run again, or raise its max_connections"),
    ("40", "two transactions met", "run again"),
    ("55P03", "a lock was not free in time", "end the session that holds it, then run again"),
)
_PERMANENT_TEXTS = (
    ("password authentication failed", "the server refuses the password", _CORRECT_URL),
    ("no password supplied", "the server asks for a password", _CORRECT_URL),
    ("no pg_hba.conf entry", "the server does not accept this user from here", "have pg_hba.conf extended"),
    ('role "', "the server does not know the user", _CORRECT_URL),
    ('database "', "the database cannot be used", "create it, or correct its name in the warehouse's URL"),
    ("permission denied", "the user lacks a permission", _GRANT),
    ("Name or service not known", "the host is unknown", "correct the host in the warehouse's URL"),
    ("invalid connection option", "the URL has an unknown setting", "correct the warehouse's URL"),
    ("invalid port", "the URL's port is not a number", "correct the warehouse's URL"),
)

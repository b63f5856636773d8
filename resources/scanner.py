"""Streams the rows of a MySQL/MariaDB or PostgreSQL query as Arrow batches, through DuckDB's scanners.

Belongs here: how the scanners are loaded, connected and told to give values unchanged. Does not belong here: which
columns must be asked for as text, and what an error means (``sql_source``).

The scanners come as packages, so nothing is downloaded at run time. Rows are taken from the server as they are
wanted: memory holds one batch, however large the table and however slow the reader.
"""

from __future__ import annotations

import importlib.resources
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

import duckdb
import pyarrow as pa

Server = Literal["mysql", "postgresql"]

_SCANNERS: dict[Server, str] = {"mysql": "mysql", "postgresql": "postgres"}
_PORTS: dict[Server, int] = {"mysql": 3306, "postgresql": 5432}
_SETTINGS: dict[Server, tuple[str, ...]] = {
    "mysql": (
        "SET mysql_bit1_as_boolean = false",
        "SET mysql_tinyint1_as_boolean = false",
        "SET mysql_session_time_zone = '+00:00'",
        # One statement sees one state of the tables; a transaction would only hold locks.
        "SET mysql_enable_transactions = false",
        "SET mysql_query_timeout_enabled = false",
    ),
    "postgresql": (),
}
_FORM = (
    "SET TimeZone = 'UTC'",
    "SET arrow_output_version = '1.4'",
    "SET produce_arrow_string_view = true",
)
_OPTIONS: dict[Server, str] = {
    # Compressing costs several times what it saves on a local network.
    "mysql": "compression=disabled",
    "postgresql": "options='-c timezone=UTC'",
}
_loading = Lock()
_numbers = itertools.count()


@contextmanager
def scan(server: Server, url: str, statement: str, batch_rows: int, outer: str = "*") -> Iterator[pa.RecordBatchReader]:
    """A reader of the rows of ``statement``, in batches of about ``batch_rows``.

    ``outer``: what DuckDB selects of the statement's columns, such as casts that fail where a value does not fit.
    Text comes as string views, which polars takes over without a copy.
    Raises :class:`duckdb.Error`, as the reader does when the server ends the statement.
    """
    name = f"scan_{next(_numbers)}"
    with _database(server).cursor() as connection:
        for setting in (*_FORM, *_SETTINGS[server]):
            connection.execute(setting)
        # As a secret, so that no error shows it.
        connection.execute(f"CREATE TEMPORARY SECRET {name} (TYPE {_SCANNERS[server]}, {_parameters(server, url)})")
        try:
            target = f"{_quoted(_OPTIONS[server])} AS {name}"
            connection.execute(f"ATTACH {target} (TYPE {_SCANNERS[server]}, SECRET {name}, READ_ONLY)")
            try:
                query = f"SELECT {outer} FROM {_SCANNERS[server]}_query('{name}', {_quoted(statement)})"
                yield connection.execute(query).to_arrow_reader(batch_rows)
            finally:
                connection.execute(f"DETACH {name}")
        finally:
            connection.execute(f"DROP SECRET {name}")


def _database(server: Server) -> duckdb.DuckDBPyConnection:
    # A scanner takes a tenth of a second to load: its signature is checked.
    with _loading:
        return _loaded(server)


@cache
def _loaded(server: Server) -> duckdb.DuckDBPyConnection:
    """A database in memory that can reach servers of this kind."""
    scanner = f"{_SCANNERS[server]}_scanner"
    package = importlib.resources.files(f"duckdb_extension_{scanner}")
    connection = duckdb.connect(
        # A scan is one stream; the second core is for who takes its rows.
        config={"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False}
    )
    file = package / "extensions" / f"v{duckdb.__version__}" / f"{scanner}.duckdb_extension"
    connection.execute(f"LOAD {_quoted(str(file))}")
    return connection


def _parameters(server: Server, url: str) -> str:
    parts: SplitResult = urlsplit(url)
    given = {
        "HOST": parts.hostname or "127.0.0.1",
        "PORT": str(parts.port or _PORTS[server]),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "DATABASE": unquote(parts.path.lstrip("/")),
    }
    return ", ".join(f"{name} {_quoted(value)}" for name, value in given.items())


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

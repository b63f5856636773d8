"""Opening DuckDB files: configuration, waiting for other processes, and errors in plain words.

What is done with the open file belongs in the engine and the publication.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from resources.errors import PermanentError, PlatformError, TransientError

_LOCK_POLL_SECONDS = 0.05
_HOLDER = re.compile(r"held in (?P<program>\S+) \(PID (?P<pid>\d+)\)")


def connect(path: Path, *, read_only: bool, config: dict[str, str], timeout: float) -> duckdb.DuckDBPyConnection:
    """A connection in UTC; waits up to ``timeout`` seconds while another process has the file open."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection = duckdb.connect(str(path), read_only=read_only, config=dict(config))
            break
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            # The second kind: this process has the file open in the other mode, until a query ends.
            text = str(error)
            busy = "Could not set lock" in text or "different configuration" in text
            if not busy or time.monotonic() >= deadline:
                raise plain_error(error, str(path)) from error
            time.sleep(_LOCK_POLL_SECONDS)
        except duckdb.Error as error:
            raise plain_error(error, str(path)) from error
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@contextmanager
def plain_errors(where: str) -> Iterator[None]:
    """Turn DuckDB's and the file system's errors into ones a person can act on."""
    try:
        yield
    except duckdb.Error as error:
        raise plain_error(error, where) from error
    except OSError as error:
        raise _operating_system_error(error, where) from error


def plain_error(error: duckdb.Error, where: str) -> PlatformError:
    """The error as a :class:`PlatformError` with what, where and the remedy."""
    text = str(error).strip()
    if "Could not set lock" in text:
        holder = _HOLDER.search(text)
        by = f"process {holder['pid']} ({holder['program']})" if holder else "another process"
        return TransientError(
            f"the database is in use by {by}",
            where=where,
            remedy="close that program or wait until it ends, then run again; to look at data, read the publication",
        )
    if "different configuration" in text:
        return TransientError("the database is still being read in this process", where=where, remedy="run again")
    for symptom, what, remedy in _KNOWN:
        if symptom in text:
            return PermanentError(f"{what} ({text.splitlines()[0]})", where=where, remedy=remedy)
    if isinstance(error, duckdb.TransactionException):
        return TransientError(f"two writers met: {text}", where=where, remedy="run again")
    for kind, what, remedy in _KINDS:
        if isinstance(error, kind):
            return PermanentError(f"{what}: {text}", where=where, remedy=remedy)
    return PermanentError(f"DuckDB reports: {text}", where=where, remedy="see the message of the database")


def _operating_system_error(error: OSError, where: str) -> PlatformError:
    text = error.strerror or str(error)
    remedy = "check that the folder exists, is writable and has room"
    return PermanentError(text, where=str(error.filename or where), remedy=remedy)


_FREE_SPACE = "free some disk space (old publications, old logs), then run again; nothing was half written"
_USABLE_PATH = "choose a path to a file in a folder that this user can write to"
_REBUILD = "restore it from a backup, or move it away and load again from the lake and the sources"
_KNOWN = (
    ("No space left", "the disk is full", _FREE_SPACE),
    ("not enough disk space", "the disk is full", _FREE_SPACE),
    ("max_temp_directory_size", "the room for intermediate results is used up", _FREE_SPACE),
    ("Is a directory", "the path is a folder, not a database file", _USABLE_PATH),
    ("Permission denied", "the database file cannot be opened by this user", _USABLE_PATH),
    ("Read-only file system", "the database lies on a read-only file system", _USABLE_PATH),
    ("No such file or directory", "the database's folder or file does not exist", _USABLE_PATH),
    ("database does not exist", "the database file does not exist", "load data once, then ask again"),
    ("not a valid DuckDB database", "the file is not a DuckDB database", _REBUILD),
    (
        "version number",
        "the file was written by another version of DuckDB",
        "install the DuckDB that wrote it",
    ),
    ("Corrupt", "the database file is damaged", _REBUILD),
    ("corrupt", "the database file is damaged", _REBUILD),
    ("checksum", "the database file is damaged", _REBUILD),
    ("read-only mode", "the query would change data", "only read here"),
    (
        "file system operations are disabled",
        "the query would use other files",
        "only read the publication here",
    ),
)
_KINDS: tuple[tuple[type[duckdb.Error], str, str], ...] = (
    (duckdb.OutOfMemoryException, "memory is used up", "raise memory_limit in the warehouse's URL"),
    (duckdb.ConstraintException, "a row breaks the table's definition", "correct the row or the definition"),
    (duckdb.ConversionException, "a value does not fit its column", "correct the value at its source"),
    (duckdb.ParserException, "the SQL cannot be read", "correct the SQL"),
    (duckdb.BinderException, "the SQL does not fit the tables", "correct the SQL"),
    (duckdb.CatalogException, "the SQL names something that is not there", "correct the name"),
)


def fetch(connection: duckdb.DuckDBPyConnection, sql: str, parameters: Any = ()) -> Any:
    """The rows of a small query as tuples."""
    return connection.execute(sql, list(parameters)).fetchall()


def roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """End a transaction that failed, in whatever state it is."""
    try:
        connection.rollback()
    except duckdb.Error:
        # The failed statement already ended the transaction, or the database shut itself down.
        return

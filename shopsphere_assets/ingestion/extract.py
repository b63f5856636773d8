"""Reads what is new of a raw table from its source, whichever kind of source that is.

Belongs here: which part of a table to ask for (watermark, look-back, files not yet read) and the cheap
question whether there is anything new. Does not belong here: how the bytes travel (``resources``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from resources.errors import PermanentError
from resources.file_source import FileOutcome, FileSource, FileVersion
from resources.http_source import HttpSource
from resources.reading import Chunk
from resources.sql_source import SqlSource
from shopsphere_assets.contracts.base import EARLIEST_MOMENT, LATEST_MOMENT
from shopsphere_assets.ingestion.ledger import TableState
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, HttpRead, RawTable

Source = SqlSource | HttpSource | FileSource


@dataclass
class Extraction:
    """One read of one table: iterate over :meth:`chunks`, then look at ``files``."""

    table: RawTable
    source: Source
    state: TableState
    lookback: timedelta
    files: list[tuple[FileVersion, FileOutcome]] = field(default_factory=list)

    def chunks(self) -> Iterator[Chunk]:
        """What is new at the source, in chunks. Raises :class:`PlatformError` where it cannot be read."""
        since = self.state.watermark - self.lookback if self.state.watermark else None
        match self.table.read, self.source:
            case DatabaseRead() as read, SqlSource() as database:
                yield from database.read(select(self.table, read, database, since), self.table.key)
            case HttpRead() as read, HttpSource() as api:
                for endpoint in read.endpoints:
                    yield from api.read(endpoint, since)
            case FileRead() as read, FileSource() as folder:
                for file in unread_files(read, folder, self.state):
                    reader = folder.read(file, read.format, required_columns=list(self.table.column_types))
                    yield from reader
                    self.files.append((file, reader.outcome))
            case _:
                raise TypeError(f"{self.table.label} cannot be read from a {type(self.source).__name__}")


def news(table: RawTable, source: Source, state: TableState) -> str | None:
    """What the source holds that was not read yet: one cheap, bounded question.

    None where there is nothing new; else a text that changes when more becomes new, so that the same news is
    not acted upon twice.
    """
    match table.read, source:
        case DatabaseRead() as read, SqlSource() as database:
            cursor = cursor_expression(table, read, database)
            condition = f"{cursor} < {_moment(database, LATEST_MOMENT)}"
            if state.watermark is not None:
                condition += f" AND {cursor} > {_moment(database, state.watermark)}"
            newest = database.ask(f"SELECT MAX({cursor}) FROM {_relation(read, database)} WHERE {condition}")
            return None if newest is None else str(newest)
        case HttpRead() as read, HttpSource() as api:
            found = [api.fingerprint(endpoint, state.watermark) for endpoint in read.endpoints]
            return " ".join(text or "-" for text in found) if any(found) else None
        case FileRead() as read, FileSource() as folder:
            hashes = [file.content_hash for file in unread_files(read, folder, state)]
            return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None
        case _:
            raise TypeError(f"{table.label} cannot be read from a {type(source).__name__}")


def unread_files(read: FileRead, folder: FileSource, state: TableState) -> list[FileVersion]:
    """The files whose content was not read yet, in the order of their names."""
    return [f for f in folder.list_files(read.pattern) if f.content_hash not in state.file_hashes]


def select(table: RawTable, read: DatabaseRead, database: SqlSource, since: datetime | None) -> str:
    """The SELECT that gives the contract's columns of the rows changed at or after ``since``.

    Rows whose cursor is missing, or lies before the earliest plausible date, would never come up again by
    their cursor; they are asked for at every read, so that none is overlooked.
    Raises :class:`PermanentError` where the source lacks a required column.
    """
    relation = _relation(read, database)
    present = {c.name.lower() for c in database.describe(f"SELECT * FROM {relation}")}
    columns = []
    missing = []
    for name in table.column_types:
        expression = read.columns.get(name)
        if expression is None and name.lower() in present:
            expression = database.quote(name)
        if expression is not None:
            columns.append(f"{expression} AS {database.quote(name)}")
        elif name in table.required_columns:
            missing.append(name)
    if missing:
        raise PermanentError(
            f"the source has no column for {', '.join(missing)}; it has {', '.join(sorted(present))}",
            where=f"{table.label} ({read.relation or 'query'} in {database.name})",
            remedy="restore the column at the source, or map another to it in the sources file",
        )
    statement = f"SELECT {', '.join(columns)} FROM {relation}"
    if since is None or not read.is_incremental:
        return statement
    cursor = cursor_expression(table, read, database)
    return (
        f"{statement} WHERE {cursor} >= {_moment(database, since)}"
        f" OR {cursor} IS NULL OR {cursor} < {_moment(database, EARLIEST_MOMENT)}"
    )


def cursor_expression(table: RawTable, read: DatabaseRead, database: SqlSource) -> str:
    """The SQL expression of the table's cursor."""
    return read.columns.get(table.cursor) or database.quote(table.cursor)


def _relation(read: DatabaseRead, database: SqlSource) -> str:
    return f"({read.query}) AS source_query" if read.query else database.quote(read.relation)


def _moment(database: SqlSource, moment: datetime) -> str:
    utc = moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    match database.dialect:
        case "mysql":
            return f"TIMESTAMP'{utc}'"
        case "postgresql":
            return f"TIMESTAMPTZ '{utc}+00'"
        case "sqlite":
            return f"'{utc}'"

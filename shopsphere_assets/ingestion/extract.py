"""Reads what is new of a raw table from its source, whichever kind of source that is.

Belongs here: which part of a table to ask for (watermark, look-back, files not yet read) and the cheap
question whether there is anything new. Does not belong here: how the bytes travel (``resources``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from resources.errors import StructureError
from resources.file_source import FileOutcome, FileReader, FileSource, FileVersion
from resources.http_source import HttpSource
from resources.reading import Chunk
from resources.sql_source import SqlSource
from shopsphere_assets.contracts.base import EARLIEST_MOMENT, LATEST_MOMENT
from shopsphere_assets.ingestion.ledger import TableState, utc_now
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, HttpRead, RawTable

Source = SqlSource | HttpSource | FileSource


@dataclass
class Extraction:
    """One read of one table: iterate over :meth:`chunks`, then look at ``files``.

    ``on_columns``: told the columns that each file names, before its rows; may refuse them by an error.
    """

    table: RawTable
    source: Source
    state: TableState
    lookback: timedelta
    files: list[tuple[FileVersion, FileOutcome]] = field(default_factory=list)
    on_columns: Callable[[Mapping[str, str]], None] | None = None

    def chunks(self) -> Iterator[Chunk]:
        """What is new at the source, in chunks. Raises :class:`PlatformError` where it cannot be read."""
        since = None
        if self.state.watermark is not None:
            # A row that is dated ahead by mistake must not hide all that comes before its date.
            since = min(self.state.watermark, utc_now()) - self.lookback
        match self.table.read, self.source:
            case DatabaseRead() as read, SqlSource() as database:
                yield from database.read(select(self.table, read, database, since), self.table.key)
            case HttpRead() as read, HttpSource() as api:
                for endpoint in read.endpoints:
                    yield from api.read(endpoint, since)
            case FileRead() as read, FileSource() as folder:
                for file in unread_files(read, folder, self.state):
                    reader = folder.read(file, read.format, required_columns=list(self.table.column_types))
                    yield from self._watched(reader)
                    self.files.append((file, reader.outcome))
            case _:
                raise TypeError(f"{self.table.label} cannot be read from a {type(self.source).__name__}")

    def _watched(self, reader: FileReader) -> Iterator[Chunk]:
        """The chunks of a file, once its columns were looked at."""
        is_told = False
        try:
            for chunk in reader:
                if not is_told:
                    is_told = True
                    self._tell(reader)
                yield chunk
        except StructureError:
            if not is_told:
                self._tell(reader)
            raise

    def _tell(self, reader: FileReader) -> None:
        if reader.header and self.on_columns is not None:
            self.on_columns(dict.fromkeys(reader.header, ""))


def news(table: RawTable, source: Source, state: TableState) -> str | None:
    """What the source holds that was not read yet: one cheap, bounded question.

    None where there is nothing new; else a text that changes when more becomes new, so that the same news is
    not acted upon twice.
    """
    match table.read, source:
        case DatabaseRead() as read, SqlSource() as database:
            cursor = cursor_expression(table, read, database)
            latest = f"SELECT MAX({cursor}) FROM {relation(read, database)} WHERE {cursor}"
            newest = f"{latest} < {moment(database, LATEST_MOMENT)}"
            if state.watermark is None:
                return _text(database.ask(newest))
            newest += f" AND {cursor} > {moment(database, state.watermark)}"
            now = utc_now()
            if state.watermark <= now:
                return _text(database.ask(newest))
            # A row is dated ahead: without the second question nothing would be news until that date.
            answers = (database.ask(newest), database.ask(f"{latest} <= {moment(database, now)}"))
            return " ".join(str(answer) for answer in answers) if any(answers) else None
        case HttpRead() as read, HttpSource() as api:
            found = [api.fingerprint(endpoint, state.watermark) for endpoint in read.endpoints]
            return " ".join(text or "-" for text in found) if any(found) else None
        case FileRead() as read, FileSource() as folder:
            hashes = [file.content_hash for file in unread_files(read, folder, state)]
            return hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None
        case _:
            raise TypeError(f"{table.label} cannot be read from a {type(source).__name__}")


def _text(answer: Any) -> str | None:
    return None if answer is None else str(answer)


def unread_files(read: FileRead, folder: FileSource, state: TableState) -> list[FileVersion]:
    """The files whose content was not read yet, in the order of their names."""
    return [f for f in folder.list_files(read.pattern) if f.content_hash not in state.file_hashes]


def select(table: RawTable, read: DatabaseRead, database: SqlSource, since: datetime | None) -> str:
    """The SELECT that gives the contract's columns of the rows changed at or after ``since``.

    Rows whose cursor is missing, or lies before the earliest plausible date, would never come up again by
    their cursor; they are asked for at every read, so that none is overlooked.
    Raises :class:`StructureError` where the source lacks a required column.
    """
    source_relation = relation(read, database)
    there = [c.name for c in database.describe(f"SELECT * FROM {source_relation}")]
    # Only PostgreSQL tells columns apart by capitals.
    present = set(there) if database.dialect == "postgresql" else {name.lower() for name in there}
    columns = []
    missing = []
    for name in table.column_types:
        expression = read.columns.get(name)
        if expression is None and name in present:
            expression = database.quote_name(name)
        if expression is not None:
            columns.append(f"{expression} AS {database.quote_name(name)}")
        elif name in table.required_columns:
            missing.append(name)
    if missing:
        raise StructureError(
            f"the source has no column for {', '.join(missing)}; it has {', '.join(sorted(there))}",
            where=f"{table.label} ({read.relation or 'query'} in {database.name})",
            remedy="restore the column at the source, or map another to it in the sources file",
        )
    statement = f"SELECT {', '.join(columns)} FROM {source_relation}"
    if since is None or not read.is_incremental:
        return statement
    cursor = cursor_expression(table, read, database)
    return (
        f"{statement} WHERE {cursor} >= {moment(database, since)}"
        f" OR {cursor} IS NULL OR {cursor} < {moment(database, EARLIEST_MOMENT)}"
    )


def describe(table: RawTable, source: Source) -> dict[str, str] | None:
    """The columns and types of the source's table or query, in their order; None where it describes none.

    Files tell their columns when they are read, and APIs do not tell those that nobody asked for.
    """
    match table.read, source:
        case DatabaseRead() as read, SqlSource() as database:
            described = database.describe(f"SELECT * FROM {relation(read, database)}")
            return {column.name: column.type_name for column in described}
        case _:
            return None


def cursor_expression(table: RawTable, read: DatabaseRead, database: SqlSource) -> str:
    """The SQL expression of the table's cursor."""
    expression = read.columns.get(table.cursor) or database.quote_name(table.cursor)
    if database.dialect == "sqlite":
        # SQLite has no type for moments; this gives all ways to write one the same form.
        return f"strftime('%Y-%m-%d %H:%M:%f', {expression})"
    return expression


def relation(read: DatabaseRead, database: SqlSource) -> str:
    """SQL for what stands behind FROM: the table, or the query in brackets."""
    if not read.query:
        return database.quote(read.relation)
    # On a line of its own, as the query may end with a comment.
    return f"({read.query.rstrip().rstrip(';')}\n) AS source_query"


def moment(database: SqlSource, value: datetime) -> str:
    """SQL for a moment, as the database compares its own with."""
    utc = value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    match database.dialect:
        case "mysql":
            return f"TIMESTAMP'{utc}'"
        case "postgresql":
            return f"TIMESTAMPTZ '{utc}+00'"
        case "sqlite":
            return f"'{utc[:-3]}'"

"""Reads a range of a table from its source again, whatever the ledger says of it.

Newer rows stay and the watermark stays where it was. What is read is committed in batches of a bounded size, so that
other tables can be loaded in between; begun anew after a failure it does no harm.

Belongs here: which ranges a source can be asked for, and asking for one. Does not belong here: what is new
(``extract``), what was deleted (``reconcile``), and rebuilding from the lake (``replay``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from fnmatch import fnmatch

from resources.errors import PermanentError
from resources.file_source import FileOutcome, FileSource, FileVersion
from resources.http_source import HttpSource, HubSpotSearch
from resources.reading import Chunk
from resources.sql_source import SqlSource
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from shopsphere_assets.ingestion.extract import Source, cursor_expression, moment, select
from shopsphere_assets.ingestion.ledger import BatchReport, TableState
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, HttpRead, RawTable

_ROWS_A_BATCH = 1_000_000


@dataclass(frozen=True)
class Range:
    """What to read again; everything where nothing is said.

    ``since`` and ``until``: moments from which on and before which a row changed, or a file was modified.
    ``key_from`` and ``key_to``: the first and the last key, in the source's order. ``files``: pattern of the files'
    paths below the source's folder.
    """

    since: datetime | None = None
    until: datetime | None = None
    key_from: str | None = None
    key_to: str | None = None
    files: str | None = None


@dataclass
class Backfill:
    """What reading a range again did; ``batches`` is empty where it held nothing."""

    batches: list[BatchReport] = field(default_factory=list)

    def total(self, name: str) -> int:
        """The sum of a count of the batches."""
        return sum(getattr(batch, name) for batch in self.batches)


def parse_moment(text: str) -> datetime:
    """A moment as a person writes it: ISO 8601, in UTC unless it names a zone; a day alone is its beginning.

    Raises :class:`PermanentError` for anything else.
    """
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise PermanentError(
            f"{text!r} is no moment", where="the range", remedy="write 2026-03-01 or 2026-03-01T12:00:00"
        ) from None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


_OPTIONS = {"since": "--from", "until": "--to", "key_from": "--key-from", "key_to": "--key-to", "files": "--files"}


def check_range(table: RawTable, wanted: Range) -> None:
    """Raise :class:`PermanentError` where the range makes no sense, or ``table`` cannot be asked for it."""
    given = {each.name for each in fields(wanted) if getattr(wanted, each.name) is not None}
    match table.read:
        case DatabaseRead():
            possible, how = {"since", "until", "key_from", "key_to"}, "a database table has no files"
        case FileRead():
            possible, how = {"since", "until", "files"}, "files are chosen by path and by when they were modified"
        case HttpRead() as read:
            is_ranged = any(e.since is not None or isinstance(e.paging, HubSpotSearch) for e in read.endpoints)
            possible = {"since"} if is_ranged else set()
            how = (
                "its API gives all that changed since a moment"
                if is_ranged
                else "its API cannot be asked for a part; without a range all of it is read"
            )
    impossible = [_OPTIONS[name] for name in _OPTIONS if name in given - possible]
    if impossible:
        raise PermanentError(
            f"{table.label} cannot be read by {', '.join(impossible)}: {how}",
            where=table.label,
            remedy=f"use {', '.join(_OPTIONS[n] for n in _OPTIONS if n in possible) or 'no range'}",
        )
    if wanted.since and wanted.until and wanted.since >= wanted.until:
        raise PermanentError(
            "the range ends before it begins",
            where=f"--from {wanted.since.isoformat()} --to {wanted.until.isoformat()}",
            remedy="name an earlier moment first; the later one does not belong to the range",
        )
    if wanted.key_from is not None or wanted.key_to is not None:
        _check_keys(table, wanted)


def _check_keys(table: RawTable, wanted: Range) -> None:
    if len(table.key) > 1:
        raise PermanentError(
            f"the key has several columns ({', '.join(table.key)}), of which there are no ranges",
            where=table.label,
            remedy="use --from and --to",
        )
    if not table.column_types[table.key[0]].is_integer():
        return
    try:
        low, high = (int(text) if text is not None else None for text in (wanted.key_from, wanted.key_to))
    except ValueError:
        raise PermanentError(
            f"{table.key[0]} is a whole number",
            where=f"--key-from {wanted.key_from} --key-to {wanted.key_to}",
            remedy="write keys in digits",
        ) from None
    if low is not None and high is not None and low > high:
        raise PermanentError(
            "the range ends before it begins",
            where=f"--key-from {low} --key-to {high}",
            remedy="name the lower key first; both belong to the range",
        )


def backfill(
    table: RawTable,
    source: Source,
    destination: Destination,
    wanted: Range,
    *,
    state: TableState,
    run_id: str,
) -> Backfill:
    """Read the range ``wanted`` of ``table`` again and merge it: of two versions of a row the newer one holds.

    ``state``: what the ledger says of the table. Raises :class:`PlatformError`; what was committed by then stays.
    """
    check_range(table, wanted)
    reading = _Reading(table, source, wanted)
    result = Backfill()
    with closing(reading):
        while not reading.is_over:
            reading.files.clear()
            report = load_chunks(
                table,
                reading.some(),
                destination,
                run_id=run_id,
                kind="backfill",
                order_by=table.cursor,
                watermark=state.watermark,
                files=reading.files,
            )
            if report is not None:
                result.batches.append(report)
    return result


class _Reading:
    """One read of a range, taken in several parts."""

    def __init__(self, table: RawTable, source: Source, wanted: Range) -> None:
        self.files: list[tuple[FileVersion, FileOutcome]] = []
        """The files that were read to their end since the list was emptied."""
        self.is_over = False
        self._chunks = self._all(table, source, wanted)

    def some(self) -> Iterator[Chunk]:
        """The next chunks, about as many as make a batch."""
        rows = 0
        for chunk in self._chunks:
            yield chunk
            rows = 0 if chunk.restart else rows + chunk.rows.height
            if rows >= _ROWS_A_BATCH:
                return
        self.is_over = True

    def close(self) -> None:
        """Give the connection back."""
        self._chunks.close()

    def _all(self, table: RawTable, source: Source, wanted: Range) -> Generator[Chunk, None, None]:
        match table.read, source:
            case DatabaseRead() as read, SqlSource() as database:
                yield from _of_database(table, read, database, wanted)
            case HttpRead() as read, HttpSource() as api:
                for endpoint in read.endpoints:
                    yield from api.read(endpoint, wanted.since)
            case FileRead() as read, FileSource() as folder:
                for file in _chosen_files(table, read, folder, wanted):
                    reader = folder.read(file, read.format, required_columns=list(table.column_types))
                    yield from reader
                    self.files.append((file, reader.outcome))
            case _:
                raise TypeError(f"{table.label} cannot be read from a {type(source).__name__}")


def _of_database(table: RawTable, read: DatabaseRead, database: SqlSource, wanted: Range) -> Iterator[Chunk]:
    conditions = []
    if wanted.since or wanted.until:
        cursor = cursor_expression(table, read, database)
        if wanted.since:
            conditions.append(f"{cursor} >= {moment(database, wanted.since)}")
        if wanted.until:
            conditions.append(f"{cursor} < {moment(database, wanted.until)}")
    for sign, text in ((">=", wanted.key_from), ("<=", wanted.key_to)):
        if text is not None:
            conditions.append(f"{_key_expression(table, read, database)} {sign} {_key(table, database, text)}")
    query = select(table, read, database, None)
    if conditions:
        query += f" WHERE {' AND '.join(conditions)}"
    yield from database.read(query, table.key)


def _key_expression(table: RawTable, read: DatabaseRead, database: SqlSource) -> str:
    [key] = table.key
    expression = read.columns.get(key) or database.quote_name(key)
    if database.dialect == "sqlite" and table.column_types[key].is_integer():
        # A column of SQLite may hold numbers as text.
        return f"CAST({expression} AS INTEGER)"
    return expression


def _key(table: RawTable, database: SqlSource, text: str) -> str:
    if table.column_types[table.key[0]].is_integer():
        return str(int(text))
    return database.literal(text)


def _chosen_files(table: RawTable, read: FileRead, folder: FileSource, wanted: Range) -> list[FileVersion]:
    """The files of the range, in the order of their names. Raises :class:`PermanentError` where there are none."""
    there = folder.list_files(read.pattern)
    chosen = [
        file
        for file in there
        if (wanted.files is None or fnmatch(file.path, wanted.files))
        and (wanted.since is None or file.modified_at >= wanted.since)
        and (wanted.until is None or file.modified_at < wanted.until)
    ]
    if not chosen:
        example = f", such as {there[-1].path}" if there else ""
        raise PermanentError(
            f"none of the {len(there):,} files of {table.label} lies in the range",
            where=f"{folder.root}/{read.pattern}",
            remedy=f"paths are written as below that folder{example}; --from and --to mean when a file was modified",
        )
    return chosen

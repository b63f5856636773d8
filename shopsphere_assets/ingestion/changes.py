"""Keeps the raw tables of a database up to date by its change log, instead of asking for changed rows.

A table begins with a snapshot: the log's position is taken first, then the table is read as it stands, then the
log is applied from that position. What changed in between comes twice, which does no harm: of each key the last
state in the log holds. Every batch records in the ledger where the log goes on after it, together with its rows;
the server is told that a part of the log is not needed any more only after that.

Wherever the log cannot tell what happened (it was purged, a table was replaced, its columns changed, a statement
was logged instead of rows) the table is read anew by itself, with a note that says why.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl

from resources.change_log import ChangeLog, LoggedTable, LogLostError, TableChanges
from resources.commit_points import CommitPoint, reached
from resources.errors import PermanentError, StructureError, TransientError
from resources.reading import Chunk
from resources.sql_source import SqlSource
from resources.warehouse import Warehouse
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from shopsphere_assets.ingestion.coerce import as_text, coerce
from shopsphere_assets.ingestion.extract import describe, select
from shopsphere_assets.ingestion.ledger import BatchReport, Kind, read_state, utc_now
from shopsphere_assets.ingestion.raw_table import BATCH_ID, DELETED_AT, DatabaseRead, RawTable
from shopsphere_assets.quality.schema_versions import SchemaWatch

log = logging.getLogger(__name__)

CHANGES_PER_BATCH = 200_000
"""About how many changes of the log are held in memory; a burst is taken in several batches."""

_ROUNDS = 3
_KEYS_PER_QUESTION = 1_000
_PLAIN_COLUMN = re.compile(r"^(?:([A-Za-z_][\w$]*)|\"([^\"]+)\"|`([^`]+)`)$")


@dataclass
class Captured:
    """What became of one table. ``error``: why it was left as it was, while the other tables went on."""

    reports: list[BatchReport] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: PermanentError | None = None

    @property
    def report(self) -> BatchReport | None:
        """The batches as if they had been one: the last, with the sums of all."""
        if not self.reports:
            return None
        counts = ("rows_read", "rows_loaded", "rows_quarantined", "rows_excluded", "rows_deleted", "bytes_read")
        sums = {name: sum(getattr(report, name) for report in self.reports) for name in counts}
        return replace(self.reports[-1], **sums, notes=tuple(self.notes))


def logged_table(table: RawTable, source: SqlSource) -> LoggedTable:
    """What is wanted of the log for ``table``.

    Raises :class:`PermanentError` where it is not read from a table by plain columns: the log has no queries.
    """
    read = _read_of(table)
    if read.query:
        raise _not_plain(table, "it is mapped to a query", source)
    columns = _source_columns(table, source)
    return LoggedTable(read.relation, tuple(columns[name] for name in table.key), tuple(columns.values()))


def _source_columns(table: RawTable, source: SqlSource) -> dict[str, str]:
    """The source's column for each of the contract's."""
    columns = {}
    for name in table.column_types:
        expression = _read_of(table).columns.get(name, name)
        plain = _PLAIN_COLUMN.match(expression)
        if not plain:
            raise _not_plain(table, f"its column {name} is mapped to the expression {expression}", source)
        columns[name] = next(part for part in plain.groups() if part is not None)
    repeated = {column for column in columns.values() if list(columns.values()).count(column) > 1}
    if repeated:
        raise _not_plain(table, f"several of its columns are mapped to {', '.join(sorted(repeated))}", source)
    return columns


def _not_plain(table: RawTable, why: str, source: SqlSource) -> PermanentError:
    return PermanentError(
        f"{table.label} cannot be kept up to date by the change log: {why}",
        where=source.name,
        remedy="map it to a table and each column to one column by its name, or set SHOPSPHERE_SHOP_DB_CAPTURE=poll",
    )


def _read_of(table: RawTable) -> DatabaseRead:
    if not isinstance(table.read, DatabaseRead):
        raise TypeError(f"{table.label} is not read from a database")
    return table.read


@dataclass(frozen=True)
class _Standing:
    """How far the log is applied to a table, and the fingerprint of the columns that it had."""

    position: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.position} {self.fingerprint}"


def _standings(warehouse: Warehouse, tables: Sequence[RawTable]) -> dict[str, _Standing]:
    """How far each table's log is applied, by table name; those that were never read this way are left out."""
    found = warehouse.query(
        "SELECT table_name, log_position FROM ledger.batches AS b WHERE source = $1 AND log_position IS NOT NULL"
        " AND sequence = (SELECT max(sequence) FROM ledger.batches AS later WHERE later.source = b.source"
        " AND later.table_name = b.table_name AND later.log_position IS NOT NULL)",
        [tables[0].source],
    ).to_pylist()
    names = {table.name for table in tables}
    standings = {}
    for row in found:
        position, _, fingerprint = row["log_position"].rpartition(" ")
        if row["table_name"] in names:
            standings[row["table_name"]] = _Standing(position, fingerprint)
    return standings


def log_news(tables: Sequence[RawTable], change_log: ChangeLog, warehouse: Warehouse) -> dict[str, str | None]:
    """Per table what the log holds that is not applied yet: one cheap, bounded question for all of them.

    None where there is nothing new; else a text that changes when more becomes new.
    """
    standings = _standings(warehouse, tables)
    found: dict[str, str | None] = {table.name: None for table in tables}
    found |= {name: "never read from the log" for name in found if name not in standings}
    followed = {_read_of(t).relation: standings[t.name].position for t in tables if t.name in standings}
    if followed:
        news = change_log.news(followed)
        found |= {t.name: news[_read_of(t).relation] for t in tables if _read_of(t).relation in news}
    return found


def capture(
    tables: Sequence[RawTable],
    source: SqlSource,
    change_log: ChangeLog,
    destination: Destination,
    *,
    run_id: str,
    only: Collection[str] | None = None,
    changes_per_batch: int = CHANGES_PER_BATCH,
) -> dict[str, Captured]:
    """Bring raw tables to where the source's log ends; what became of each, by name.

    ``tables``: all that are kept up to date by this log. ``only``: the names of those to see to now; what the
    others still need of the log is kept. Raises :class:`PlatformError` where the log cannot be read; what was
    committed until then stays.
    """
    wanted = {table.name for table in tables} if only is None else set(only)
    work = _Capture(tables, wanted, source, change_log, destination, run_id, changes_per_batch)
    work.run()
    return {name: captured for name, captured in work.captured.items() if name in wanted}


def report_of_run(warehouse: Warehouse, table: RawTable, run_id: str) -> BatchReport | None:
    """The batches of ``table`` that a run committed, as if they had been one; None where there are none."""
    names = [each.name for each in fields(BatchReport) if each.name != "notes"]
    rows = warehouse.query(
        f"SELECT {', '.join(names)} FROM ledger.batches WHERE source = $1 AND table_name = $2 AND run_id = $3"
        " ORDER BY sequence",
        [table.source, table.name, run_id],
    ).to_pylist()
    for row in rows:
        row["watermark"] = datetime.fromisoformat(row["watermark"]) if row["watermark"] else None
    return Captured([BatchReport(**row) for row in rows]).report


def has_batches(warehouse: Warehouse, tables: Sequence[RawTable], run_id: str) -> bool:
    """Whether a run has committed batches of the source of ``tables`` already."""
    found = warehouse.query(
        "SELECT 1 AS found FROM ledger.batches WHERE source = $1 AND run_id = $2 LIMIT 1", [tables[0].source, run_id]
    )
    return bool(found.num_rows)


class _Capture:
    """One run over all the tables of a source."""

    def __init__(
        self,
        tables: Sequence[RawTable],
        wanted: set[str],
        source: SqlSource,
        change_log: ChangeLog,
        destination: Destination,
        run_id: str,
        limit: int,
    ) -> None:
        self._wanted = wanted
        self._tables = {_read_of(table).relation: table for table in tables}
        self._names = {table.name: _source_columns(table, source) for table in tables}
        self._source = source
        self._log = change_log
        self._destination = destination
        self._run_id = run_id
        self._limit = limit
        self._standings = _standings(destination.warehouse, tables)
        self._watermarks = {n: s.watermark for n, s in read_state(destination.warehouse, list(tables)).items()}
        self.captured = {table.name: Captured() for table in tables}

    def run(self) -> None:
        """See :func:`capture`."""
        self._log.prepare()
        outdated = self._outdated()
        for _ in range(_ROUNDS):
            for relation, reason in outdated.items():
                if self._tables[relation].name in self._wanted:
                    self._snapshot(self._tables[relation], reason)
            outdated = self._drain(held={r for r in self._tables if r not in outdated})
            if not outdated:
                return
        raise TransientError(
            f"tables changed again while they were read anew: {', '.join(outdated)}",
            where=self._log.name,
            remedy="nothing, if their structure is being changed: the next run goes on",
        )

    def _outdated(self) -> dict[str, str]:
        """The relations that have to be read from the table, and why; empty for the first time."""
        found = {}
        checked: dict[str, str] = {}
        for relation, table in self._tables.items():
            standing = self._standings.get(table.name)
            if standing is None:
                found[relation] = ""
                continue
            if standing.position not in checked:
                checked[standing.position] = self._why_lost(standing.position)
            if checked[standing.position]:
                found[relation] = checked[standing.position]
                continue
            try:
                structure = self._log.structure(relation)
            except PermanentError as error:
                self.captured[table.name].error = error
                continue
            if structure.fingerprint != standing.fingerprint:
                found[relation] = "its columns changed"
        return found

    def _why_lost(self, position: str) -> str:
        try:
            self._log.check(position)
        except LogLostError as error:
            return error.what
        return ""

    # -- from the table ---------------------------------------------------------------------------------------

    def _snapshot(self, table: RawTable, reason: str) -> None:
        """Read the table as it stands. Its place in the log is recorded at the end: killed before, it begins anew."""
        captured = self.captured[table.name]
        read = _read_of(table)
        schema = SchemaWatch(table, self._destination.warehouse)
        try:
            structure = self._log.structure(read.relation)
            position = self._log.position()
            schema.saw(describe(table, self._source) or {})
            query = select(table, read, self._source, None)
        except PermanentError as error:
            if isinstance(error, StructureError):
                schema.keep_stopped(utc_now())
            captured.error = error
            return
        if reason:
            self._note(table, f"read anew: {reason}")
        if structure.unknown:
            self._note(table, f"columns that the contract does not know are left out: {', '.join(structure.unknown)}")
        rows = self._source.read(query, table.key)
        for note in schema.notes:
            self._note(table, note)
        full = self._load(table, rows, kind="full", schema=schema)
        standing = _Standing(position, structure.fingerprint)
        gone = self._gone(table, full)
        self._load(table, [Chunk(rows=pl.DataFrame(), bytes_read=0, deleted=gone)], kind="reconciliation", at=standing)
        captured.error = None

    def _gone(self, table: RawTable, full: BatchReport | None) -> pl.DataFrame:
        """Keys of rows that stand in raw and that the batch ``full``, which read the whole table, did not bring."""
        left = self._live_keys(table, other_than=full.batch_id if full else "")
        if full is None or left.is_empty() or not full.rows_quarantined:
            return left
        # A row of which a bad version was read is there, although raw has an earlier version of it.
        set_aside = pl.read_parquet(self._destination.lake / full.lake_path / "quarantine.parquet", columns=["row_key"])
        texts = pl.DataFrame([as_text(left.get_column(name)) for name in table.key])
        keys = texts.select(pl.concat_str(table.key, separator="|")).to_series()
        return left.filter(~keys.is_in(set_aside.get_column("row_key").implode()))

    def _live_keys(self, table: RawTable, *, other_than: str = "") -> pl.DataFrame:
        """Keys of the rows in raw that are not marked as deleted and did not come with a batch."""
        key = ", ".join(f'"{name}"' for name in table.key)
        found = self._destination.warehouse.query(
            f'SELECT {key} FROM {table.definition} WHERE "{DELETED_AT}" IS NULL AND "{BATCH_ID}" <> $1', [other_than]
        )
        frame = pl.from_arrow(found)
        assert isinstance(frame, pl.DataFrame)
        return frame

    # -- from the log -----------------------------------------------------------------------------------------

    def _drain(self, *, held: set[str]) -> dict[str, str]:
        """Apply the log up to its end; returns the relations of which it does not tell enough, and why.

        ``held``: relations that still need the log from where they stand.
        """
        followed: dict[str, str] = {}
        others: list[str] = []
        for relation, table in self._tables.items():
            standing = self._standings.get(table.name)
            if standing is None or self.captured[table.name].error is not None:
                continue
            if table.name in self._wanted:
                followed[relation] = standing.position
            elif relation in held:
                others.append(standing.position)
        outdated: dict[str, str] = {}
        if not followed:
            return outdated
        for drain in self._log.changes(followed, limit=self._limit):
            for relation in followed:
                table, changes = self._tables[relation], drain.tables.get(relation, TableChanges())
                for note in changes.notes:
                    self._note(table, note)
                if changes.unusable:
                    outdated.setdefault(relation, changes.unusable)
                if relation not in outdated:
                    self._apply(table, changes, drain.position)
            reached(CommitPoint.LOG_APPLIED)
            self._log.confirm(min([drain.position, *others], key=self._log.order))
            reached(CommitPoint.LOG_CONFIRMED)
        return outdated

    def _apply(self, table: RawTable, changes: TableChanges, position: str) -> None:
        standing = self._standings[table.name]
        if self._log.order(position) > self._log.order(standing.position):
            # All at once: putting them together may ask the warehouse, which is locked while they are loaded.
            chunks = list(self._chunks(table, changes))
            self._load(table, chunks, kind="change_log", at=replace(standing, position=position))

    def _chunks(self, table: RawTable, changes: TableChanges) -> Iterator[Chunk]:
        """The changes as a read of the table would give them; a key is either among the rows or deleted."""
        deleted = [] if changes.deleted is None else [self._renamed(table, changes.deleted)]
        present = []
        bytes_read = changes.bytes_read
        for rows in changes.rows:
            renamed = self._renamed(table, rows)
            present.append(renamed)
            yield Chunk(rows=renamed, bytes_read=bytes_read, key=table.key)
            bytes_read = 0
        if changes.incomplete is not None:
            keys = self._renamed(table, changes.incomplete)
            for chunk in self._read_again(table, keys):
                present.append(chunk.rows)
                yield chunk
            deleted.append(_without(table, keys, present))
        if changes.is_emptied:
            deleted = [_without(table, self._live_keys(table), present)]
        for gone in deleted:
            if gone.height:
                yield Chunk(rows=pl.DataFrame(), bytes_read=0, deleted=gone)

    def _renamed(self, table: RawTable, frame: pl.DataFrame) -> pl.DataFrame:
        names = {column: name for name, column in self._names[table.name].items() if column in frame.columns}
        return frame.rename(names)

    def _read_again(self, table: RawTable, keys: pl.DataFrame) -> Iterator[Chunk]:
        """Rows that the log gives in part, as they are in the table now; later changes are still to come."""
        query = select(table, _read_of(table), self._source, None)
        columns = [self._source.quote_name(self._names[table.name][name]) for name in table.key]
        for part in keys.iter_slices(_KEYS_PER_QUESTION):
            values = ", ".join(
                f"({', '.join(_literal(self._source, cell) for cell in row)})" for row in part.iter_rows()
            )
            found: list[Chunk] = []
            for chunk in self._source.read(f"{query} WHERE ({', '.join(columns)}) IN ({values})", table.key):
                found = [] if chunk.restart else [*found, chunk]
            yield from found

    # -- to raw -----------------------------------------------------------------------------------------------

    def _load(
        self,
        table: RawTable,
        chunks: Iterable[Chunk],
        *,
        kind: Kind,
        at: _Standing | None = None,
        schema: SchemaWatch | None = None,
    ) -> BatchReport | None:
        """Load one batch; ``at``: where the table stands after it. ``schema``: what became of its columns."""
        report = load_chunks(
            table,
            chunks,
            self._destination,
            run_id=self._run_id,
            kind=kind,
            # The log's order is the order of the changes, whatever a row says of its own time.
            order_by=None,
            watermark=self._watermarks[table.name],
            log_position=None if at is None else str(at),
            schema=schema,
        )
        if report is not None:
            self._watermarks[table.name] = report.watermark
            self.captured[table.name].reports.append(report)
        if at is not None:
            self._standings[table.name] = at
        return report

    def _note(self, table: RawTable, text: str) -> None:
        log.warning("%s: %s", table.label, text)
        notes = self.captured[table.name].notes
        if text not in notes:
            notes.append(text)


def _without(table: RawTable, keys: pl.DataFrame, present: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """``keys``, in the contract's types, without those of the ``present`` rows."""
    types = {name: table.column_types[name] for name in table.key}
    left, _ = coerce(keys, types)
    for rows in present:
        taken, _ = coerce(rows.select(table.key), types)
        left = left.join(taken, on=table.key, how="anti")
    return left


def _literal(source: SqlSource, cell: Any) -> str:
    """A key's value as the database takes it. Numbers unquoted: MySQL compares them to texts inexactly."""
    match cell:
        case bytes():
            return f"X'{cell.hex()}'" if source.dialect == "mysql" else f"'\\x{cell.hex()}'"
        case int() | Decimal():
            return str(cell)
    text = str(cell).replace("'", "''")
    return "'" + (text.replace("\\", "\\\\") if source.dialect == "mysql" else text) + "'"

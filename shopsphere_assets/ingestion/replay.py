"""Rebuilds raw tables, their quarantine and the record of their corrections from the lake alone.

Every batch is applied again in the order of the commits, as it was applied: with its own order, its deletions and
its settlement of the quarantine. This goes on beside the tables, in the schema ``replay``, in a transaction per some
batches, so that nobody waits for long. One transaction at the end takes in what was committed meanwhile and sets
right what differs; tables that are as the lake has them are not written.

Where the ledger knows nothing of a table the manifests tell the order, and its entries are made again as well.

Does not belong here: reading the lake (``stored_batches``), and reading a source again (``backfill``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

from resources.errors import PermanentError, TransientError
from resources.warehouse import ParquetRows, TableDefinition, Transaction, Warehouse
from resources.warehouse.file_lock import file_lock
from resources.warehouse.system_tables import CORRECTIONS, QUARANTINE_ROWS
from shopsphere_assets.ingestion.batch import Destination, contract_version
from shopsphere_assets.ingestion.decisions import record_decisions
from shopsphere_assets.ingestion.ledger import (
    BatchReport,
    append_entries,
    entries_of,
    next_sequence,
    read_watermark,
    utc_now,
    write_replay,
)
from shopsphere_assets.ingestion.raw_table import BATCH_ID, DELETED_AT, LOADED_AT, RawTable
from shopsphere_assets.ingestion.settlement import settle
from shopsphere_assets.ingestion.stored_batches import (
    StoredBatch,
    StoredRows,
    batches_by_manifest,
    check_whole,
    read_batch,
)
from shopsphere_assets.ingestion.versions import keep_versions

SCHEMA = "replay"
"""Where tables are rebuilt, and where what they were at some moment can be read."""

_ROWS_AT_ONCE = 1_000_000
_BATCHES_AT_ONCE = 200


@dataclass
class Replay:
    """What rebuilding one table found and did.

    ``batches`` and ``rows``: what was applied and what the table has by it. ``rows_set_right``: how many rows of the
    raw table, its versions and its quarantine were missing, and how many ``rows_removed`` stood there otherwise or
    should not have. ``relation``: the table to look at, where raw was left as it is. ``note``: what a person should
    know.
    """

    batches: int = 0
    rows: int = 0
    rows_set_right: int = 0
    rows_removed: int = 0
    relation: str | None = None
    note: str | None = None


def replay(
    table: RawTable,
    destination: Destination,
    *,
    run_id: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Replay:
    """Make the raw table and its quarantine what the lake's batches make of them.

    ``since``: apply only the batches committed from then on, to the table as it stands. ``until``: apply only those
    committed before, and leave the result in the schema ``replay``; raw stays as it is. Raises
    :class:`PlatformError`; nothing is changed then.
    """
    if since is not None and until is not None:
        raise ValueError("what stood at a moment is made of all batches before")
    folder = destination.lake / table.source / table.name
    if not folder.is_dir():
        return Replay(note="nothing of it is in the lake")
    with _alone(table, destination):
        return _Rebuilding(table, destination, run_id).run(since, until)


@contextmanager
def _alone(table: RawTable, destination: Destination) -> Iterator[None]:
    lock = destination.lake / table.source / table.name / ".replay.lock"
    try:
        with file_lock(lock, exclusive=True, timeout=0):
            yield
    except TransientError as error:
        if error.where != str(lock):
            raise
        raise TransientError(
            "the table is being replayed already", where=table.label, remedy="wait until that replay ends"
        ) from error


@dataclass
class _Rebuilding:
    table: RawTable
    destination: Destination
    run_id: str
    _rows_deleted: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._has_changed = False
        table = self.table
        self._raw = _beside(table.definition)
        self._versions = _beside(table.versions) if table.keeps_versions else None
        self._quarantine = _beside(QUARANTINE_ROWS, f"{table.definition.name}__quarantine")
        # Each table with its rebuilt one, and the rows of it that are this table's.
        entries = f"source = '{table.source}' AND table_name = '{table.name}'"
        self._corrections = _beside(CORRECTIONS, f"{table.definition.name}__corrections")
        self._pairs = [
            (table.definition, self._raw, "true"),
            (QUARANTINE_ROWS, self._quarantine, entries),
            (CORRECTIONS, self._corrections, entries),
        ]
        if self._versions is not None:
            self._pairs.insert(1, (table.versions, self._versions, "true"))

    @property
    def _warehouse(self) -> Warehouse:
        return self.destination.warehouse

    def run(self, since: datetime | None, until: datetime | None) -> Replay:
        """See :func:`replay`."""
        lake = self.destination.lake
        entered = self._entered()
        is_ledger_lost = not entered
        if is_ledger_lost and since is not None:
            raise PermanentError(
                "the ledger knows no batch of the table: it has to be rebuilt from the beginning",
                where=self.table.label,
                remedy="leave out --from",
            )
        if is_ledger_lost:
            batches = batches_by_manifest(lake, self.table)
        else:
            chosen = [path for path, at in entered if (not since or at >= since) and (not until or at < until)]
            batches = [read_batch(lake / path) for path in chosen]
        if until is not None:
            batches = [batch for batch in batches if batch.finished_at < until]
        if not batches:
            return Replay(note="no batch was committed then" if since or until else "nothing of it is in the lake")
        self._begin(as_it_stands=since is not None)
        for group in _groups(batches):
            with self._warehouse.transaction() as transaction:
                self._apply(transaction, group)
        result = Replay(batches=len(batches))
        if until is not None:
            result.rows = _count(self._warehouse, self._raw)
            result.relation = str(self._raw)
            return result
        with self._warehouse.transaction() as transaction:
            known = {path for path, _ in entered}
            later = [read_batch(lake / path) for path, _ in self._entered(transaction) if path not in known]
            if is_ledger_lost and later:
                raise TransientError(
                    "the table was loaded while it was rebuilt without a ledger",
                    where=self.table.label,
                    remedy="it is being read anew from its source already; to have its history too, stop what loads "
                    "it, move these batches out of the lake, empty ledger.batches of the table, and replay again",
                )
            for group in _groups(later):
                self._apply(transaction, group)
            result.batches += len(later)
            for batch in batches:
                record_decisions(transaction, batch.landed.decisions)
            self._finish(transaction, result)
            if is_ledger_lost:
                self._enter_again(transaction, batches)
                result.note = "the ledger knew nothing of it: its entries were made again"
            if self._has_changed:
                self._enter(transaction)
        return result

    def _entered(self, transaction: Transaction | None = None) -> list[tuple[str, datetime]]:
        """The batches that the ledger knows, in the order of their commits: folder in the lake and when."""
        rows = (transaction or self._warehouse).query(
            "SELECT lake_path, finished_at FROM ledger.batches WHERE source = $1 AND table_name = $2"
            " AND kind IS DISTINCT FROM 'replay' ORDER BY sequence",
            [self.table.source, self.table.name],
        )
        return [(row["lake_path"], row["finished_at"]) for row in rows.to_pylist()]

    def _begin(self, *, as_it_stands: bool) -> None:
        """Make the tables to rebuild in, empty or as the present ones."""
        with self._warehouse.transaction() as transaction:
            for _, rebuilt, _ in self._pairs:
                transaction.execute(f"DROP TABLE IF EXISTS {rebuilt}")
        self._warehouse.ensure_tables([rebuilt for _, rebuilt, _ in self._pairs])
        if as_it_stands:
            with self._warehouse.transaction() as transaction:
                for present, rebuilt, own in self._pairs:
                    names = _names(present)
                    transaction.execute(f"INSERT INTO {rebuilt} ({names}) SELECT {names} FROM {present} WHERE {own}")

    def _apply(self, transaction: Transaction, group: Sequence[StoredBatch]) -> None:
        """Apply batches as they were applied one by one; only the last one has deletions."""
        last = group[-1]
        rows = StoredRows(self.table, group) if any(batch.landed.parts for batch in group) else None
        deleted = None
        if rows is not None:
            transaction.merge(self._raw, rows, order_by=last.order_by)
        if last.landed.deleted:
            check_whole(last.landed.deleted)
            deleted = ParquetRows([last.landed.deleted])
            marks = {BATCH_ID: last.batch_id, LOADED_AT: last.loaded_at, DELETED_AT: last.loaded_at}
            self._rows_deleted[last.batch_id] = transaction.mark(self._raw, deleted, marks, unless=DELETED_AT)
        if self._versions is not None:
            keep_versions(
                transaction, self._versions, self.table.key, rows=rows, deleted=deleted, deleted_at=last.loaded_at
            )
        for batch in group:
            landed = batch.landed
            for file in (landed.quarantined, landed.corrections, landed.settled, landed.decisions):
                if file is not None:
                    check_whole(file)
            if landed.quarantined:
                transaction.add_missing(self._quarantine, ParquetRows([landed.quarantined]))
            if landed.corrections:
                transaction.add_missing(self._corrections, ParquetRows([landed.corrections]))
            settle(
                transaction,
                self.table,
                landed,
                batch_id=batch.batch_id,
                order_by=batch.order_by,
                at=batch.finished_at,
                quarantine=self._quarantine,
            )

    def _finish(self, transaction: Transaction, result: Replay) -> None:
        """Set right what differs from the rebuilt tables, and drop these."""
        for present, rebuilt, own in self._pairs:
            removed, added = _set_right(transaction, present, rebuilt, own)
            result.rows_removed += removed
            result.rows_set_right += added
            # No model is made of the quarantine or of what was corrected.
            self._has_changed |= present not in (QUARANTINE_ROWS, CORRECTIONS) and bool(removed or added)
        result.rows = _count(transaction, self._raw)
        for _, rebuilt, _ in self._pairs:
            transaction.execute(f"DROP TABLE {rebuilt}")

    def _enter_again(self, transaction: Transaction, batches: Sequence[StoredBatch]) -> None:
        entries = [entries_of(batch.manifest, self._rows_deleted.get(batch.batch_id, 0)) for batch in batches]
        append_entries(transaction, [entry for entry, _ in entries], [file for _, files in entries for file in files])

    def _enter(self, transaction: Transaction) -> None:
        """Enter the replay into the ledger: models made of the table are then built anew in full."""
        now = utc_now()
        report = BatchReport(
            batch_id=f"{now:%Y%m%dT%H%M%S}-{uuid4().hex[:10]}",
            source=self.table.source,
            table_name=self.table.name,
            run_id=self.run_id,
            started_at=now,
            finished_at=now,
            rows_read=0,
            rows_loaded=0,
            rows_quarantined=0,
            rows_excluded=0,
            bytes_read=0,
            # The newest entry says where the table stands.
            watermark=read_watermark(transaction, self.table),
            lake_path="",
            contract_version=contract_version(self.table),
            sequence=next_sequence(transaction),
            kind="replay",
        )
        write_replay(transaction, report)


def _beside(table: TableDefinition, name: str | None = None) -> TableDefinition:
    return replace(table, schema=SCHEMA, name=name or table.name)


def _groups(batches: Iterable[StoredBatch]) -> Iterator[list[StoredBatch]]:
    """Batches that may be applied at once: the same order, deletions in the last only, not too many rows."""
    group: list[StoredBatch] = []
    for batch in batches:
        rows = sum(each.landed.rows_valid for each in group)
        is_full = rows + batch.landed.rows_valid > _ROWS_AT_ONCE or len(group) >= _BATCHES_AT_ONCE
        if group and (is_full or batch.order_by != group[-1].order_by or group[-1].landed.deleted):
            yield group
            group = []
        group.append(batch)
    if group:
        yield group


def _set_right(
    transaction: Transaction, present: TableDefinition, rebuilt: TableDefinition, own: str
) -> tuple[int, int]:
    """Make the rows of ``present`` for which ``own`` holds those of ``rebuilt``; how many were removed and added."""
    names = _names(present)
    before, wanted = _count(transaction, present, own), _count(transaction, rebuilt)
    if before:
        same = " AND ".join(f'r."{name}" IS NOT DISTINCT FROM p."{name}"' for name in _not_key(present))
        same_key = " AND ".join(f'r."{name}" = p."{name}"' for name in present.key)
        transaction.execute(
            f"DELETE FROM {present} AS p WHERE {own}"
            f" AND NOT EXISTS (SELECT 1 FROM {rebuilt} AS r WHERE {same_key} AND {same})"
        )
        left = _count(transaction, present, own)
        if left < wanted:
            transaction.execute(
                f"INSERT INTO {present} ({names}) SELECT {names} FROM {rebuilt} AS r"
                f" WHERE NOT EXISTS (SELECT 1 FROM {present} AS p WHERE {same_key})"
            )
        if _count(transaction, present, own) == wanted:
            return before - left, wanted - left
        # A row stood there twice.
        transaction.execute(f"DELETE FROM {present} WHERE {own}")
    transaction.execute(f"INSERT INTO {present} ({names}) SELECT {names} FROM {rebuilt}")
    return before, wanted


def _names(table: TableDefinition) -> str:
    return ", ".join(f'"{name}"' for name in table.columns.names)


def _not_key(table: TableDefinition) -> list[str]:
    return [name for name in table.columns.names if name not in table.key]


def _count(place: Transaction | Warehouse, table: TableDefinition, own: str = "true") -> int:
    return int(place.query(f"SELECT count(*) AS n FROM {table} WHERE {own}").column(0)[0].as_py())

"""Finds what the watermark cannot show: rows deleted at the source, and rows whose cursor was set back.

Both sides are compared by checksums over chunks of keys, so that an unchanged table costs one question to each.
Only chunks that differ are looked into, and only rows that differ are read and loaded. What is compared of a row
is its key and its cursor: an edit that leaves the cursor as it was is not seen, as no two databases write all
other types alike; reading the table anew in full is the remedy for those.

Does not belong here: the checksums (``checksums``), and loading (``batch``).

A row is marked as deleted only if the source was asked for it after the warehouse was, twice, while no other
writer could add it. What comes and goes meanwhile at the source is found by the next read or reconciliation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import polars as pl

from resources.commit_points import CommitPoint, reached
from resources.reading import Chunk
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from shopsphere_assets.ingestion.checksums import (
    CHANGED_AT,
    ChunkSums,
    Selection,
    SourceSide,
    WarehouseSide,
    chunk_width,
    differences,
    portions,
    positions,
    source_side,
    typed_keys,
)
from shopsphere_assets.ingestion.extract import Source
from shopsphere_assets.ingestion.ledger import BatchReport, TableState
from shopsphere_assets.ingestion.raw_table import FileRead, HttpRead, RawTable
from shopsphere_assets.ingestion.validate import divide

_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


@dataclass
class Reconciliation:
    """What comparing one table found and did.

    ``rows_at_source`` and ``rows_standing``: the rows on either side before, without those marked as deleted, with
    the open entries of the quarantine. ``chunks`` and ``chunks_differing``: how many were compared and differed.
    ``rows_loaded``, ``rows_quarantined`` and ``rows_deleted``: what ``batches`` brought. ``note``: why nothing was
    compared or marked, or what a person should know.
    """

    rows_at_source: int = 0
    rows_standing: int = 0
    chunks: int = 0
    chunks_differing: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    rows_deleted: int = 0
    batches: list[BatchReport] = field(default_factory=list)
    note: str | None = None


def why_not(table: RawTable) -> str | None:
    """Why ``table`` cannot be reconciled, if it cannot."""
    if isinstance(table.read, FileRead):
        return "read from files, which are only ever added"
    if isinstance(table.read, HttpRead) and table.read.is_append_only:
        return "the API only ever adds records and may stop listing old ones"
    return None


def reconcile(
    table: RawTable,
    source: Source,
    destination: Destination,
    *,
    state: TableState,
    run_id: str,
    may_be_empty: bool = False,
) -> Reconciliation:
    """Make the raw table and the open entries of the quarantine what the source holds now.

    ``state``: what the ledger says of the table. ``may_be_empty``: whether to believe a source without any row
    where the warehouse has some. Raises :class:`PlatformError`; what was loaded by then stays.
    """
    reason = why_not(table)
    if reason is None and state.watermark is None:
        reason = "not read yet"
    if reason is not None:
        return Reconciliation(note=reason)
    theirs = source_side(table, source)
    ours = WarehouseSide(table, destination.warehouse, is_by_value=theirs.is_by_value)
    width = chunk_width((ours.extent(), theirs.extent()))
    # The warehouse first: a row that it has was at the source before the source is asked.
    our_sums, their_sums = ours.sums(width), theirs.sums(width)
    result = _compared(our_sums, their_sums)
    if not result.rows_at_source and result.rows_standing and not may_be_empty:
        result.note = (
            f"the source has no row at all, the warehouse {result.rows_standing:,}: taken for a fault, nothing was "
            "marked; if the table was emptied on purpose, run `shopsphere reconcile "
            f"--table {table.label} --may-be-empty`"
        )
        return result
    reached(CommitPoint.COMPARED)
    comparison = _Comparison(table, destination, state, run_id, ours, theirs, result)
    if our_sums.get(None) != their_sums.get(None):
        comparison.settle_keyless()
    for within in portions(differences(ours, theirs, (our_sums, their_sums), width)):
        comparison.settle(within)
        reached(CommitPoint.RECONCILED)
    return result


def _compared(ours: ChunkSums, theirs: ChunkSums) -> Reconciliation:
    bases = ours.keys() | theirs.keys()
    return Reconciliation(
        rows_at_source=sum(sums.rows for sums in theirs.values()),
        rows_standing=sum(sums.rows for sums in ours.values()),
        chunks=len(bases),
        chunks_differing=sum(ours.get(base) != theirs.get(base) for base in bases),
    )


@dataclass
class _Comparison:
    """Settles the differences of one table."""

    table: RawTable
    destination: Destination
    state: TableState
    run_id: str
    ours: WarehouseSide
    theirs: SourceSide
    result: Reconciliation

    def settle(self, within: Selection) -> None:
        """Load and mark what differs within some chunks."""
        key = list(self.table.key)
        with self.destination.warehouse.writer_lock():
            known = self.ours.keys(within)
            there = self._newest(self.theirs.keys(within))
            changed = there.join(known, on=[*key, CHANGED_AT], how="anti", nulls_equal=True)
            gone = known.select(key).unique().join(there, on=key, how="anti")
            if changed.height or gone.height:
                self._load(self._chunks(within, changed, gone))

    def settle_keyless(self) -> None:
        """Load what has no usable key and is not known; settle the entries of what is there no longer."""
        with self.destination.warehouse.writer_lock():
            known = self.ours.keyless_entries()
            there: set[str] = set()
            for chunk in self.theirs.rows(None):
                if chunk.restart:
                    there.clear()
                else:
                    there |= set(divide(self.table, chunk).quarantined.get_column("quarantine_id"))
            if there != known:
                self._load(self.theirs.rows(None) if there - known else (), gone_entries=known - there)

    def _newest(self, there: pl.DataFrame) -> pl.DataFrame:
        """Of rows that the source holds with the same key the one with the highest cursor, which is what loads."""
        newest = there.group_by(self.table.key).agg(pl.col(CHANGED_AT).max())
        repeated = there.height - newest.height
        if repeated:
            self.result.note = f"{repeated:,} rows at the source have the key of another row; the newest holds"
        return newest

    def _chunks(self, within: Selection, changed: pl.DataFrame, gone: pl.DataFrame) -> Iterator[Chunk]:
        """The changed rows as they are now, and the keys that are gone, each at most in one of them."""
        wanted = changed.rename({CHANGED_AT: "_at_least"})
        rows = self.theirs.rows(within.only(positions(changed, self.table, self.theirs))) if changed.height else ()
        for chunk in rows:
            if chunk.restart:
                yield chunk
                continue
            # A row that changed in between is taken as it is now; an older one with the same key is not.
            keys = typed_keys(chunk.rows, self.table).with_row_index("_row")
            matched = keys.join(wanted, on=list(self.table.key), how="inner")
            is_new = pl.col(CHANGED_AT).fill_null(_EARLIEST) >= pl.col("_at_least").fill_null(_EARLIEST)
            found = chunk.rows[matched.filter(is_new).get_column("_row").sort()]
            if found.height:
                yield replace(chunk, rows=found)
        if gone.height:
            # Asked once more, as a writer may have had a row out of the table for a moment.
            still_gone = gone.join(self.theirs.keys(within), on=list(self.table.key), how="anti")
            yield Chunk(rows=pl.DataFrame(), bytes_read=0, deleted=still_gone)

    def _load(self, chunks: Iterable[Chunk], *, gone_entries: Collection[str] = ()) -> None:
        report = load_chunks(
            self.table,
            chunks,
            self.destination,
            run_id=self.run_id,
            kind="reconciliation",
            # The source's present state is the truth, whatever the cursor says.
            order_by=None,
            watermark=self.state.watermark,
            gone_entries=gone_entries,
        )
        if report is not None:
            self.result.batches.append(report)
            self.result.rows_loaded += report.rows_loaded
            self.result.rows_quarantined += report.rows_quarantined
            self.result.rows_deleted += report.rows_deleted

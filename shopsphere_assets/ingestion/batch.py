"""One batch: read, validate, land, load. The only place where the steps come together.

Reading, judging and loading go on side by side, in a thread each. Killed anywhere, the next run continues:
before the rename the landing is a temporary folder that is removed; between rename and commit the landed batch
has no ledger entry and the rows are read again; after the commit everything is there. Rows, deletions,
quarantine and ledger entry are committed in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import uuid4

from resources.commit_points import CommitPoint, reached
from resources.errors import StructureError
from resources.file_source import FileOutcome, FileVersion
from resources.reading import Chunk
from resources.warehouse import ParquetRows, Warehouse
from shopsphere_assets.ingestion.corrected import known_places
from shopsphere_assets.ingestion.decisions import Decision, decision_rows, record_decisions
from shopsphere_assets.ingestion.extract import Extraction, Source, describe
from shopsphere_assets.ingestion.lake import BatchWriter, remove_unfinished
from shopsphere_assets.ingestion.landing import Landing, StartedAnew
from shopsphere_assets.ingestion.ledger import (
    BatchReport,
    Kind,
    TableState,
    last_batch,
    manifest_record,
    next_sequence,
    utc_now,
    write_entries,
)
from shopsphere_assets.ingestion.raw_table import BATCH_ID, DELETED_AT, LOADED_AT, RawTable
from shopsphere_assets.ingestion.settlement import settle
from shopsphere_assets.ingestion.validate import Judge, divide
from shopsphere_assets.ingestion.versions import keep_versions
from shopsphere_assets.quality.profiles import profile_of, write_profile
from shopsphere_assets.quality.schema_versions import SchemaWatch


@dataclass(frozen=True)
class Destination:
    """Where batches go: the warehouse and the lake's folder."""

    warehouse: Warehouse
    lake: Path


def ingest(
    table: RawTable,
    source: Source,
    destination: Destination,
    *,
    state: TableState,
    run_id: str,
    lookback: timedelta = timedelta(hours=48),
) -> BatchReport | None:
    """Read what is new of ``table`` and load it; returns None where nothing was there to read.

    ``state``: what the ledger says of the table. ``lookback``: how far behind the watermark rows that were
    committed late are looked for. Raises :class:`PlatformError`; nothing is loaded then.
    """
    schema = SchemaWatch(table, destination.warehouse)
    try:
        columns = describe(table, source)
        if columns:
            schema.saw(columns)
        extraction = Extraction(table, source, state, lookback, on_columns=schema.saw)
        return load_chunks(
            table,
            extraction.chunks(),
            destination,
            run_id=run_id,
            kind="full" if state.watermark is None else "incremental",
            order_by=table.cursor,
            watermark=state.watermark,
            files=extraction.files,
            schema=schema,
        )
    except StructureError:
        schema.keep_stopped(utc_now())
        raise


def load_chunks(
    table: RawTable,
    chunks: Iterable[Chunk],
    destination: Destination,
    *,
    run_id: str,
    kind: Kind,
    order_by: str | None,
    watermark: datetime | None = None,
    files: Sequence[tuple[FileVersion, FileOutcome]] = (),
    log_position: str | None = None,
    gone_entries: Collection[str] = (),
    decisions: Sequence[Decision] = (),
    judge: Judge | None = None,
    schema: SchemaWatch | None = None,
) -> BatchReport | None:
    """Judge, land and load ``chunks`` as one batch; returns None where they hold nothing.

    ``order_by``: of two versions of a row the one with the higher value in this column holds; None where the
    chunks come in the order of the changes. ``watermark``: where the table stood before; the batch's own is not
    lower. ``files``: the files that the chunks were read from; may grow until the last chunk. ``log_position``:
    recorded with the batch, which is then written even without rows. ``gone_entries``: identifiers of quarantined
    rows without a key that are gone from the source. ``decisions``: what a person decided on quarantined rows, of
    which the chunks are those to be taken in. ``judge``: what divides a chunk, where that is not the contract with
    what the table's other rows tell. ``schema``: what became of the source's columns; kept with the batch.
    Raises :class:`PlatformError`; nothing is loaded then.
    """
    started_at = utc_now()
    batch_id = f"{started_at:%Y%m%dT%H%M%S}-{uuid4().hex[:10]}"
    remove_unfinished(destination.lake, table)
    origin = {"kind": kind, "order_by": order_by}
    writer = BatchWriter(destination.lake, table, batch_id, started_at, origin)
    profile = profile_of(table, kind, watermark)
    judge = judge or partial(divide, known_places=known_places(destination.warehouse, table))
    with Landing(table, chunks, writer, watermark, profile, judge) as landing:
        while True:
            if not landing.has_rows() and writer.is_empty and not (files or gone_entries or log_position or decisions):
                return None
            with suppress(StartedAnew), destination.warehouse.transaction() as transaction:
                keys = 0
                if landing.has_rows():
                    keys = transaction.merge(
                        table.definition,
                        landing,
                        order_by=order_by,
                        constants={BATCH_ID: batch_id, LOADED_AT: started_at},
                    )
                    reached(CommitPoint.MERGED)
                report = BatchReport(
                    batch_id=batch_id,
                    source=table.source,
                    table_name=table.name,
                    run_id=run_id,
                    started_at=started_at,
                    finished_at=utc_now(),
                    rows_read=writer.rows_valid + writer.rows_quarantined,
                    rows_loaded=keys,
                    rows_quarantined=writer.rows_quarantined,
                    rows_corrected=writer.rows_corrected,
                    # Repeated rows and versions of a row that a later one in the same batch replaces.
                    rows_excluded=writer.rows_valid - keys,
                    bytes_read=landing.bytes_read,
                    # What is not read in the order of changes: what lies between is still to be read.
                    watermark=watermark if kind in ("reconciliation", "backfill", "readmission") else landing.watermark,
                    lake_path=str(writer.folder.relative_to(destination.lake)),
                    contract_version=contract_version(table),
                    sequence=next_sequence(transaction),
                    kind=kind,
                    log_position=log_position,
                    notes=(*file_notes(files), *(schema.notes if schema else ())),
                )
                writer.settle(gone_entries)
                writer.decide(decision_rows(decisions, batch_id, report.finished_at))
                landed = writer.commit(manifest_record(report, files, last_batch(transaction, table)))
                deleted = ParquetRows([landed.deleted]) if landed.deleted else None
                constants = {BATCH_ID: batch_id, LOADED_AT: started_at}
                if deleted:
                    marks = {**constants, DELETED_AT: started_at}
                    marked = transaction.mark(table.definition, deleted, marks, unless=DELETED_AT)
                    report = replace(report, rows_deleted=marked)
                    reached(CommitPoint.MARKED)
                if table.keeps_versions:
                    rows = ParquetRows(landed.parts) if landed.parts else None
                    keep_versions(
                        transaction,
                        table.versions,
                        table.key,
                        rows=rows,
                        deleted=deleted,
                        constants=constants,
                        deleted_at=started_at,
                    )
                write_entries(transaction, report, landed, files)
                record_decisions(transaction, landed.decisions)
                if profile is not None:
                    write_profile(transaction, profile, batch_id, report.finished_at)
                if schema is not None:
                    schema.keep(transaction, batch_id, report.finished_at)
                settle(transaction, table, landed, batch_id=batch_id, order_by=order_by, at=report.finished_at)
                reached(CommitPoint.SETTLED)
                return report


_FILE_REMEDIES: dict[str, str] = {
    "read": "nothing was in it; if there should have been, drop it again",
    "truncated": "what came before the cut is loaded; drop the whole file again under any name",
    "rejected": "nothing of it is loaded; drop it again in its proper format",
}


def file_notes(files: Sequence[tuple[FileVersion, FileOutcome]]) -> Iterator[str]:
    """For each file that was not read in full, or was empty: which, what is wrong with it, and what to do."""
    for file, outcome in files:
        if outcome.status != "read" or outcome.rows_read == 0:
            what = outcome.note or "the file is empty"
            yield f"{file.path}: {what} ({_FILE_REMEDIES[outcome.status]})"


def contract_version(table: RawTable) -> str:
    """A short hash of what the contract demands: it changes when a column or a rule changes."""
    schema = table.contract.to_schema()
    parts = []
    for name, column in schema.columns.items():
        checks = sorted(f"{check.name}{check.statistics}" for check in column.checks)
        parts.append(f"{name}|{column.dtype}|{column.nullable}|{checks}")
    parts += sorted(str(check.name) for check in schema.checks)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

"""One batch: extract, validate, land, load. The only place where the steps come together.

Killed anywhere, the next run continues: before the rename the landing is a temporary folder that is
removed; between rename and commit the landed batch has no ledger entry and the rows are read again; after
the commit everything is there. Rows, quarantine and ledger entry are committed in one transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from resources.file_source import FileOutcome, FileVersion
from resources.reading import gathered
from resources.warehouse import Warehouse
from shopsphere_assets.ingestion.extract import Extraction, Source
from shopsphere_assets.ingestion.lake import BatchWriter, remove_unfinished
from shopsphere_assets.ingestion.ledger import BatchReport, TableState, utc_now, write_entries
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.ingestion.validate import divide


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
    started_at = utc_now()
    batch_id = f"{started_at:%Y%m%dT%H%M%S}-{uuid4().hex[:10]}"
    remove_unfinished(destination.lake, table)
    extraction = Extraction(table, source, state, lookback)
    writer = BatchWriter(destination.lake, table, batch_id, started_at)
    watermark = state.watermark
    bytes_read = 0
    try:
        for chunk in gathered(extraction.chunks()):
            if chunk.restart:
                writer.restart()
                watermark, bytes_read = state.watermark, 0
                continue
            divided = divide(table, chunk)
            writer.write(divided)
            bytes_read += chunk.bytes_read
            if divided.highest_cursor is not None:
                watermark = max(watermark or divided.highest_cursor, divided.highest_cursor)
        if not (writer.rows_valid or writer.rows_quarantined or extraction.files):
            writer.abort()
            return None
        landed = writer.commit()
    except BaseException:
        writer.abort()
        raise
    with destination.warehouse.transaction() as transaction:
        keys = 0
        if landed.parts:
            keys = transaction.merge(table.definition, landed.parts, order_by=table.cursor)
        report = BatchReport(
            batch_id=batch_id,
            source=table.source,
            table_name=table.name,
            run_id=run_id,
            started_at=started_at,
            finished_at=utc_now(),
            rows_read=landed.rows_valid + landed.rows_quarantined,
            rows_loaded=keys,
            rows_quarantined=landed.rows_quarantined,
            # Repeated rows and versions of a row that a later one in the same batch replaces.
            rows_excluded=landed.rows_valid - keys,
            bytes_read=bytes_read,
            watermark=watermark,
            lake_path=str(landed.folder.relative_to(destination.lake)),
            contract_version=contract_version(table),
            notes=tuple(file_notes(extraction.files)),
        )
        write_entries(transaction, report, landed, extraction.files)
    return report


_FILE_REMEDIES: dict[str, str] = {
    "read": "nothing was in it; if there should have been, drop it again",
    "truncated": "what came before the cut is loaded; drop the whole file again under any name",
    "rejected": "nothing of it is loaded; drop it again in its proper format",
}


def file_notes(files: list[tuple[FileVersion, FileOutcome]]) -> Iterator[str]:
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

"""The ledger: what each batch read, loaded and set aside, and from where the next one goes on.

State is read from here and nowhere else; entries are written in the transaction that loads the rows they
speak of, so that state and data cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa

from resources.commit_points import CommitPoint, reached
from resources.file_source import FileOutcome, FileVersion
from resources.warehouse import ParquetRows, Transaction, Warehouse
from resources.warehouse.system_tables import CORRECTIONS, QUARANTINE_ROWS
from shopsphere_assets.ingestion.lake import LandedBatch
from shopsphere_assets.ingestion.raw_table import FileRead, RawTable

Kind = Literal["incremental", "full", "reconciliation", "change_log", "backfill", "replay", "readmission"]
"""Why a batch was read; a readmission holds what a person decided on quarantined rows."""


@dataclass(frozen=True)
class TableState:
    """What is known of a raw table before it is read: the watermark and the files read so far."""

    watermark: datetime | None = None
    file_hashes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BatchReport:
    """What one batch did. ``rows_read`` is always the sum of those loaded, quarantined and excluded.

    ``sequence``: its place in the order of commits. ``kind``: why it was read. ``rows_deleted``: how many rows
    it marked as gone from the source. ``rows_corrected``: how many of those read were loaded with a corrected cell.
    ``log_position``: where the source's change log continues after it. ``notes``: what a person should know of it
    and do about it, such as a file that was cut short.
    """

    batch_id: str
    source: str
    table_name: str
    run_id: str
    started_at: datetime
    finished_at: datetime
    rows_read: int
    rows_loaded: int
    rows_quarantined: int
    rows_excluded: int
    bytes_read: int
    watermark: datetime | None
    lake_path: str
    contract_version: str
    sequence: int
    kind: Kind
    rows_deleted: int = 0
    rows_corrected: int = 0
    log_position: str | None = None
    notes: tuple[str, ...] = ()


def next_sequence(transaction: Transaction) -> int:
    """The place of the batch that this transaction commits; the writer's lock keeps every other out."""
    [row] = transaction.query("SELECT coalesce(max(sequence), 0) + 1 AS next FROM ledger.batches").to_pylist()
    return int(row["next"])


def read_watermark(transaction: Transaction, table: RawTable) -> datetime | None:
    """Where the next read of ``table`` goes on."""
    [row] = transaction.query(
        "SELECT max(watermark) AS watermark FROM ledger.batches WHERE source = $1 AND table_name = $2",
        [table.source, table.name],
    ).to_pylist()
    return datetime.fromisoformat(row["watermark"]) if row["watermark"] else None


def last_batch(transaction: Transaction, table: RawTable) -> str | None:
    """The batch of ``table`` that was committed last; None before the first one."""
    rows = transaction.query(
        "SELECT batch_id FROM ledger.batches WHERE source = $1 AND table_name = $2"
        # A replay brings nothing of its own.
        " AND kind IS DISTINCT FROM 'replay' ORDER BY sequence DESC LIMIT 1",
        [table.source, table.name],
    ).to_pylist()
    return rows[0]["batch_id"] if rows else None


def read_state(warehouse: Warehouse, tables: list[RawTable]) -> dict[str, TableState]:
    """The state of each of ``tables`` (one source's), by table name; empty for one never read."""
    source = tables[0].source
    watermarks = warehouse.query(
        "SELECT table_name, max(watermark) AS watermark FROM ledger.batches WHERE source = $1 GROUP BY table_name",
        [source],
    ).to_pylist()
    files = []
    if any(isinstance(table.read, FileRead) for table in tables):
        sql = "SELECT table_name, content_hash FROM ledger.files WHERE source = $1"
        files = warehouse.query(sql, [source]).to_pylist()
    highest = {row["table_name"]: row["watermark"] for row in watermarks}
    hashes: dict[str, set[str]] = {}
    for row in files:
        hashes.setdefault(row["table_name"], set()).add(row["content_hash"])
    return {
        table.name: TableState(
            watermark=datetime.fromisoformat(highest[table.name]) if highest.get(table.name) else None,
            file_hashes=frozenset(hashes.get(table.name, ())),
        )
        for table in tables
    }


def write_entries(
    transaction: Transaction, report: BatchReport, landed: LandedBatch, files: Sequence[tuple[FileVersion, FileOutcome]]
) -> None:
    """Write a batch's ledger entry, its quarantined rows, its corrections and the files it read."""
    if landed.quarantined:
        # A row that is read again, for example within the look-back, is the same entry.
        transaction.add_missing(QUARANTINE_ROWS, ParquetRows([landed.quarantined]))
        reached(CommitPoint.QUARANTINED)
    if landed.corrections:
        transaction.add_missing(CORRECTIONS, ParquetRows([landed.corrections]))
    if files:
        # Another run may have read the same files since this one looked for new ones.
        sql = "SELECT content_hash FROM ledger.files WHERE source = $1 AND table_name = $2"
        known = set(transaction.query(sql, [report.source, report.table_name]).column(0).to_pylist())
        files = [(file, outcome) for file, outcome in files if file.content_hash not in known]
    append_entries(transaction, [_batch_entry(report)], _file_entries(report, files))
    reached(CommitPoint.ENTERED)


def write_replay(transaction: Transaction, report: BatchReport) -> None:
    """Write the ledger entry of a replay, which has no batch of its own in the lake."""
    append_entries(transaction, [_batch_entry(report)], [])


def append_entries(
    transaction: Transaction, batches: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]
) -> None:
    """Add rows to ``ledger.batches`` and ``ledger.files``."""
    for name, rows, schema in (("batches", batches, _batch_schema()), ("files", files, _file_schema())):
        if rows:
            transaction.append("ledger", name, pa.Table.from_pylist([dict(row) for row in rows], schema=schema))


def _batch_entry(report: BatchReport) -> dict[str, Any]:
    entry = {name: getattr(report, name) for name in _batch_schema().names}
    return {**entry, "watermark": _as_text(report.watermark) if report.watermark else None}


def _file_entries(report: BatchReport, files: Sequence[tuple[FileVersion, FileOutcome]]) -> list[dict[str, Any]]:
    return [
        {
            "source": report.source,
            "table_name": report.table_name,
            "path": file.path,
            "content_hash": file.content_hash,
            "size_bytes": file.size_bytes,
            "batch_id": report.batch_id,
            "rows_read": outcome.rows_read,
            "status": outcome.status,
            "note": outcome.note,
            "read_at": report.finished_at,
        }
        for file, outcome in files
    ]


def manifest_record(
    report: BatchReport, files: Sequence[tuple[FileVersion, FileOutcome]], follows: str | None
) -> dict[str, Any]:
    """The ledger's rows of a batch as its manifest keeps them, from which :func:`entries_of` makes them again.

    ``follows``: the batch of the table that was committed before it. Batches without an entry in the ledger are
    followed by none, so the order of the others can be told even if the ledger is lost.
    """
    entry = {name: value for name, value in _batch_entry(report).items() if name not in ("rows_deleted", "started_at")}
    return {
        "follows": follows,
        "ledger": {**entry, "finished_at": report.finished_at.isoformat()},
        "files_read": [{**row, "read_at": report.finished_at.isoformat()} for row in _file_entries(report, files)],
    }


def entries_of(manifest: Mapping[str, Any], rows_deleted: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The rows of ``ledger.batches`` and ``ledger.files`` that a manifest tells of."""
    entry = {
        **manifest["ledger"],
        "started_at": datetime.fromisoformat(manifest["loaded_at"]),
        "finished_at": datetime.fromisoformat(manifest["ledger"]["finished_at"]),
        "rows_deleted": rows_deleted,
    }
    files = [{**row, "read_at": datetime.fromisoformat(row["read_at"])} for row in manifest["files_read"]]
    return entry, files


def _as_text(watermark: datetime) -> str:
    """The one form of a watermark, in which the order of texts is the order of moments."""
    return watermark.astimezone(UTC).isoformat(timespec="microseconds")


_MOMENT = pa.timestamp("us", tz="UTC")


def _batch_schema() -> pa.Schema:
    texts = ("batch_id", "source", "table_name", "run_id")
    counts = ("rows_read", "rows_loaded", "rows_quarantined", "rows_excluded", "bytes_read")
    return pa.schema(
        [(n, pa.string()) for n in texts]
        + [("started_at", _MOMENT), ("finished_at", _MOMENT)]
        + [(n, pa.int64()) for n in counts]
        + [(n, pa.string()) for n in ("watermark", "lake_path", "contract_version")]
        + [("sequence", pa.int64()), ("kind", pa.string()), ("rows_deleted", pa.int64()), ("log_position", pa.string())]
        + [("rows_corrected", pa.int64())]
    )


def _file_schema() -> pa.Schema:
    return pa.schema(
        [
            ("source", pa.string()),
            ("table_name", pa.string()),
            ("path", pa.string()),
            ("content_hash", pa.string()),
            ("size_bytes", pa.int64()),
            ("batch_id", pa.string()),
            ("rows_read", pa.int64()),
            ("status", pa.string()),
            ("note", pa.string()),
            ("read_at", _MOMENT),
        ]
    )


def utc_now() -> datetime:
    """The current moment in UTC."""
    return datetime.now(UTC)


def table_totals(warehouse: Warehouse) -> dict[tuple[str, str], dict[str, Any]]:
    """Per (source, table): the sums of its batches' counts, their number, the watermark and the last batch."""
    found = warehouse.query(
        "SELECT source, table_name, count(*) AS batches, CAST(sum(rows_read) AS bigint) AS rows_read,"
        " CAST(sum(rows_loaded) AS bigint) AS rows_loaded,"
        " CAST(sum(rows_quarantined) AS bigint) AS rows_quarantined,"
        " CAST(sum(rows_excluded) AS bigint) AS rows_excluded,"
        " CAST(coalesce(sum(rows_deleted), 0) AS bigint) AS rows_deleted,"
        " CAST(coalesce(sum(rows_corrected), 0) AS bigint) AS rows_corrected,"
        " max(watermark) AS watermark, max(finished_at) AS last_batch_at"
        " FROM ledger.batches WHERE kind IS DISTINCT FROM 'replay' GROUP BY source, table_name"
    )
    return {(row["source"], row["table_name"]): row for row in found.to_pylist()}

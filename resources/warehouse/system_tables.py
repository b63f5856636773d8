"""The platform's own tables in every warehouse: ledger and quarantine.

Their shape belongs here; who writes what into them is the business of ingestion and publication.
"""

from __future__ import annotations

import pyarrow as pa

from resources.warehouse.base import TableDefinition

SCHEMAS = ("raw", "quarantine", "ledger")

MOMENT = pa.timestamp("us", tz="UTC")


def _table(
    schema: str, name: str, comment: str, columns: dict[str, tuple[pa.DataType, str]], *, key: tuple[str, ...] = ()
) -> TableDefinition:
    return TableDefinition(
        schema=schema,
        name=name,
        columns=pa.schema([pa.field(column, dtype) for column, (dtype, _) in columns.items()]),
        key=key,
        comment=comment,
        column_comments={column: text for column, (_, text) in columns.items()},
    )


BATCHES = _table(
    "ledger",
    "batches",
    "One row per batch: what one read of one raw table brought. rows_read = loaded + quarantined + excluded.",
    {
        "batch_id": (pa.string(), "The batch's identifier."),
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table in the source system."),
        "run_id": (pa.string(), "The run that read it."),
        "started_at": (MOMENT, "When reading began."),
        "finished_at": (MOMENT, "When the batch was committed."),
        "rows_read": (pa.int64(), "Rows read from the source."),
        "rows_loaded": (pa.int64(), "Rows that kept the contract and were merged."),
        "rows_quarantined": (pa.int64(), "Rows set aside because they broke a rule."),
        "rows_excluded": (pa.int64(), "Rows left out on purpose, such as repeated ones."),
        "bytes_read": (pa.int64(), "Bytes read from the source."),
        "watermark": (pa.string(), "Where the next read continues."),
        "lake_path": (pa.string(), "Folder of the batch in the lake."),
        "contract_version": (pa.string(), "Version of the contract that judged the rows."),
        "sequence": (pa.int64(), "Order of commit in the warehouse: 1, 2, 3 …"),
        "kind": (pa.string(), "incremental, full, reconciliation, change_log, backfill or replay."),
        "rows_deleted": (pa.int64(), "Rows marked as deleted at the source."),
        "log_position": (pa.string(), "Where the next read of the source's change log continues."),
    },
)

FILES = _table(
    "ledger",
    "files",
    "One row per source file read, recognised by the hash of its content.",
    {
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table the file belongs to."),
        "path": (pa.string(), "Where the file lay."),
        "content_hash": (pa.string(), "Hash of the file's bytes."),
        "size_bytes": (pa.int64(), "Size of the file."),
        "batch_id": (pa.string(), "The batch that read it."),
        "rows_read": (pa.int64(), "Rows read from it."),
        "status": (pa.string(), "read, truncated or rejected."),
        "note": (pa.string(), "Why it was not read in full."),
        "read_at": (MOMENT, "When it was read."),
    },
)

PUBLICATIONS = _table(
    "ledger",
    "publications",
    "One row per published version of the marts.",
    {
        "version": (pa.int64(), "Number of the version, rising by one."),
        "published_at": (MOMENT, "When readers got it."),
        "run_id": (pa.string(), "The run that published it."),
        "tables": (pa.int64(), "Number of marts in it."),
        "rows": (pa.int64(), "Rows of all its marts together."),
        "location": (pa.string(), "Where it can be read: a file or schemas."),
    },
)

QUARANTINE_ROWS = _table(
    "quarantine",
    "rows",
    "One row per source row that broke its contract, as it was read, with every rule it broke.",
    {
        "quarantine_id": (pa.string(), "Identifier of the quarantined row."),
        "batch_id": (pa.string(), "The batch that brought it."),
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table in the source system."),
        "row_key": (pa.string(), "The row's primary key as text, if it has one."),
        "payload": (pa.string(), "The row as read, in JSON."),
        "reasons": (pa.string(), "The rules it broke: a JSON array of rule, column and value."),
        "position": (pa.string(), "Where the row stands in its source."),
        "quarantined_at": (MOMENT, "When it was set aside."),
        "settled_at": (MOMENT, "When it ceased to be open; null while it is."),
        "settlement": (pa.string(), "Why it is no longer open: superseded or deleted at the source."),
    },
    key=("quarantine_id",),
)

SYSTEM_TABLES = (BATCHES, FILES, PUBLICATIONS, QUARANTINE_ROWS)

# The same text on both engines: the newest batch of every raw table.
LATEST_BATCHES_SQL = """
    SELECT DISTINCT ON (source, table_name)
        source, table_name, batch_id, watermark, finished_at
    FROM ledger.batches
    ORDER BY source, table_name, finished_at DESC NULLS LAST, started_at DESC NULLS LAST, batch_id DESC
"""

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
        "newest_change_at": (MOMENT, "The newest change that came in since the former version."),
        "oldest_change_at": (MOMENT, "The newest change of the table whose change waited longest."),
        "change_clock": (pa.string(), "Whose clock newest_change_at is of: source, or platform (when it was read)."),
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
        "changed_at": (MOMENT, "The row's time of change (its cursor), where it is a plausible moment."),
        "quarantined_at": (MOMENT, "When it was set aside."),
        "settled_at": (MOMENT, "When it ceased to be open; null while it is."),
        "settlement": (pa.string(), "Why it is no longer open: superseded or deleted at the source."),
    },
    key=("quarantine_id",),
)

MODEL_STATES = _table(
    "ledger",
    "model_states",
    "One row per incremental dbt model: what its rows are made of. Written by dbt in the transaction of the rows.",
    {
        "relation": (pa.string(), "Schema and name of the model's table."),
        "generation": (pa.string(), "The dbt invocation that last built it in full."),
        "build": (pa.int64(), "How many builds since then changed it."),
        "code_checksum": (pa.string(), "Digest of the code that built it; another one means a full build."),
        "sequence": (pa.int64(), "The batches up to this one, in order of commit, are in it."),
        "inputs": (pa.string(), "Generation and build of each incremental model that it was made of, as JSON."),
        "built_at": (MOMENT, "When it was last built."),
    },
)

MODEL_CHANGES = _table(
    "ledger",
    "model_changes",
    "The keys whose rows the latest builds of each incremental dbt model wrote anew, for the models made of it.",
    {
        "relation": (pa.string(), "Schema and name of the model's table."),
        "build": (pa.int64(), "The build, as in ledger.model_states."),
        "changed_key": (pa.string(), "The key as text."),
    },
)

SYSTEM_TABLES = (BATCHES, FILES, PUBLICATIONS, QUARANTINE_ROWS, MODEL_STATES, MODEL_CHANGES)

# The same text on both engines: the batches since the former publication (see ``Changes``).
NEW_BATCHES_SQL = """
    SELECT
        started_at,
        finished_at,
        watermark,
        (
            SELECT max(earlier.started_at)
            FROM ledger.batches AS earlier
            WHERE earlier.source = latest.source
                AND earlier.table_name = latest.table_name
                AND earlier.finished_at < latest.finished_at
        ) AS read_before_at
    FROM ledger.batches AS latest
    WHERE finished_at > coalesce(
        (SELECT max(published_at) FROM ledger.publications), CAST('-infinity' AS timestamptz)
    )
"""

# The same text on both engines: the newest batch of every raw table.
LATEST_BATCHES_SQL = """
    SELECT DISTINCT ON (source, table_name)
        source, table_name, batch_id, watermark, finished_at
    FROM ledger.batches
    ORDER BY source, table_name, sequence DESC NULLS LAST, finished_at DESC NULLS LAST, batch_id DESC
"""

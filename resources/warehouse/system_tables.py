"""The platform's own tables in every warehouse: ledger, quarantine and quality.

Their shape belongs here; who writes what into them is the business of ingestion and publication.
"""

from __future__ import annotations

import pyarrow as pa

from resources.warehouse.base import TableDefinition

SCHEMAS = ("raw", "quarantine", "ledger", "quality")

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
        "kind": (pa.string(), "incremental, full, reconciliation, change_log, backfill, replay or readmission."),
        "rows_deleted": (pa.int64(), "Rows marked as deleted at the source."),
        "log_position": (pa.string(), "Where the next read of the source's change log continues."),
        "rows_corrected": (pa.int64(), "Rows among those read that were loaded with a corrected cell."),
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
        "settlement": (
            pa.string(),
            "Why it is no longer open: readmitted, accepted, excluded, superseded or deleted at the source.",
        ),
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

DECISIONS = _table(
    "quarantine",
    "decisions",
    "One row per decision of a person on a quarantined row: who, when, what and why.",
    {
        "decision_id": (pa.string(), "Identifier of the decision."),
        "quarantine_id": (pa.string(), "The quarantined row, as in quarantine.rows."),
        "action": (pa.string(), "edited, readmitted, accepted, excluded or reopened."),
        "decided_by": (pa.string(), "Who decided."),
        "decided_at": (MOMENT, "When."),
        "reason": (pa.string(), "Why, in the person's words."),
        "payload_before": (pa.string(), "The row before the decision, in JSON."),
        "payload_after": (pa.string(), "The row after it, in JSON; null where it stayed the same."),
        "batch_id": (pa.string(), "The batch that took the row into raw, if one did."),
    },
    key=("decision_id",),
)

CORRECTIONS = _table(
    "quality",
    "corrections",
    "One row per cell that a rule corrected, or for which it suggests a correction.",
    {
        "correction_id": (pa.string(), "Identifier: the same cell corrected again in the same way is the same one."),
        "batch_id": (pa.string(), "The batch in which it was first found."),
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table in the source system."),
        "row_key": (pa.string(), "The row's primary key as text."),
        "quarantine_id": (pa.string(), "The quarantined row that a suggestion is for, if it is for one."),
        "column_name": (pa.string(), "The corrected column."),
        "original": (pa.string(), "The cell as it was read."),
        "corrected": (pa.string(), "The cell as it is, or should be, corrected."),
        "rule": (pa.string(), "The rule that corrects."),
        "rule_version": (pa.string(), "Version of that rule."),
        "is_applied": (pa.bool_(), "Whether the row was loaded with the corrected cell; else it is a suggestion."),
        "corrected_at": (MOMENT, "When it was found."),
    },
    key=("correction_id",),
)

PROFILES = _table(
    "quality",
    "profiles",
    "One row per column of each batch: what its loaded values look like.",
    {
        "batch_id": (pa.string(), "The batch."),
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table in the source system."),
        "column_name": (pa.string(), "The column."),
        "profiled_at": (MOMENT, "When the batch was committed."),
        "rows": (pa.int64(), "Rows of the batch."),
        "nulls": (pa.int64(), "Rows without a value."),
        "distinct_values": (pa.int64(), "Number of different values, estimated where there are many."),
        "minimum": (pa.string(), "The lowest value, as text."),
        "maximum": (pa.string(), "The highest value, as text."),
        "mean": (pa.float64(), "Mean of a number, or of a text's length in characters."),
        "deviation": (pa.float64(), "Standard deviation of the same."),
        "quantiles": (pa.string(), "JSON array of 21 numbers: the 0th, 5th … 100th percentile; null for no number."),
        "top_values": (pa.string(), "JSON object of the most frequent values and their counts."),
    },
    key=("batch_id", "source", "table_name", "column_name"),
)

ALARMS = _table(
    "quality",
    "alarms",
    "One row per deviation from history: volume, freshness or distribution.",
    {
        "alarm_id": (pa.string(), "Identifier: the same deviation of the same batch is the same one."),
        "batch_id": (pa.string(), "The batch that deviates."),
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table in the source system."),
        "column_name": (pa.string(), "The column; null where the whole table deviates."),
        "kind": (pa.string(), "volume, freshness, nulls, values, level or shape."),
        "observed": (pa.float64(), "What was measured."),
        "expected_low": (pa.float64(), "Lower end of what history makes likely."),
        "expected_high": (pa.float64(), "Upper end of it."),
        "raised_at": (MOMENT, "When it was found."),
        "note": (pa.string(), "What it means, for a person."),
    },
    key=("alarm_id",),
)

SCORES = _table(
    "quality",
    "scores",
    "One row per table, run and dimension: the share of what was judged that is good.",
    {
        "run_id": (pa.string(), "The run that scored."),
        "relation": (pa.string(), "Schema and name of the raw table or mart."),
        "dimension": (pa.string(), "completeness, accuracy, consistency or timeliness."),
        "scored_at": (MOMENT, "When."),
        "good": (pa.int64(), "How many of those judged are good."),
        "total": (pa.int64(), "How many were judged; 0: there was nothing to judge."),
        "score": (pa.float64(), "good / total; null where there was nothing to judge."),
        "detail": (pa.string(), "JSON array: each measure with its own good and total."),
    },
    key=("run_id", "relation", "dimension"),
)

SCHEMA_VERSIONS = _table(
    "quality",
    "schema_versions",
    "One row per version of a source table's columns, as the source described them.",
    {
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table in the source system."),
        "version": (pa.int64(), "1, 2, 3 …"),
        "seen_at": (MOMENT, "When it was first seen."),
        "batch_id": (pa.string(), "The batch that saw it first; null where the policy stopped it."),
        "columns": (pa.string(), "JSON object: column name and the source's type."),
        "changes": (pa.string(), "JSON array: what differs from the former version."),
        "outcome": (pa.string(), "first, ignored or stopped."),
    },
    key=("source", "table_name", "version"),
)

ALERTS = _table(
    "quality",
    "alerts",
    "One row per cause that somebody was told of, from its first occurrence until it was mended.",
    {
        "alert_id": (pa.string(), "Identifier of the alert."),
        "cause": (pa.string(), "What is wrong, as a key: one open alert per cause."),
        "title": (pa.string(), "What is wrong, in one line."),
        "body": (pa.string(), "First failing row, rule, where to look and what to do: JSON object of label and text."),
        "severity": (pa.string(), "warning or error."),
        "opened_at": (MOMENT, "When it was first seen."),
        "last_seen_at": (MOMENT, "When it was last seen."),
        "occurrences": (pa.int64(), "How often it was seen."),
        "notified_at": (MOMENT, "When it was delivered by every channel; null while that has not succeeded."),
        "resolved_at": (MOMENT, "When it was mended; null while it is open."),
    },
    key=("alert_id",),
)

ALERT_DELIVERIES = _table(
    "quality",
    "alert_deliveries",
    "One row per message of an alert that a channel took over.",
    {
        "alert_id": (pa.string(), "The alert."),
        "event": (pa.string(), "What it tells: opened or resolved."),
        "channel": (pa.string(), "e-mail, webhook or log."),
        "delivered_at": (MOMENT, "When it was taken over."),
    },
    key=("alert_id", "event", "channel"),
)

SAMPLES = _table(
    "quality",
    "samples",
    "One row per row that was drawn for a manual review.",
    {
        "sample_id": (pa.string(), "Identifier of the drawn row."),
        "drawn_at": (MOMENT, "When it was drawn."),
        "source": (pa.string(), "Source system."),
        "table_name": (pa.string(), "Table in the source system."),
        "stratum": (pa.string(), "What the row was drawn from: valid, corrected, or a broken rule."),
        "stratum_rows": (pa.int64(), "How many rows the stratum had."),
        "row_key": (pa.string(), "The row's primary key as text."),
        "quarantine_id": (pa.string(), "The quarantined row, as in quarantine.rows, if it is one."),
        "payload": (pa.string(), "The row, in JSON."),
    },
    key=("sample_id",),
)

REVIEWS = _table(
    "quality",
    "reviews",
    "One row per verdict of a reviewer on a drawn row.",
    {
        "sample_id": (pa.string(), "The drawn row."),
        "reviewer": (pa.string(), "Who judged."),
        "verdict": (pa.string(), "right, wrong or unsure: whether the platform treated the row properly."),
        "comment": (pa.string(), "Why."),
        "reviewed_at": (MOMENT, "When."),
    },
    key=("sample_id", "reviewer"),
)

NEAR_DUPLICATES = _table(
    "quality",
    "near_duplicates",
    "One row per pair of rows that are the same or nearly the same.",
    {
        "relation": (pa.string(), "What was compared: a table, or all people."),
        "left_key": (pa.string(), "The one row: its table and key."),
        "right_key": (pa.string(), "The other row."),
        "similarity": (pa.float64(), "Share of the shingles that both have (Jaccard), 0 to 1."),
        "is_exact": (pa.bool_(), "Whether both are the same but for case, accents and punctuation."),
        "found_at": (MOMENT, "When."),
    },
    key=("relation", "left_key", "right_key"),
)

SYSTEM_TABLES = (
    *(BATCHES, FILES, PUBLICATIONS, QUARANTINE_ROWS, DECISIONS, MODEL_STATES, MODEL_CHANGES),
    *(
        CORRECTIONS,
        PROFILES,
        ALARMS,
        SCORES,
        SCHEMA_VERSIONS,
        ALERTS,
        ALERT_DELIVERIES,
        SAMPLES,
        REVIEWS,
        NEAR_DUPLICATES,
    ),
)

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

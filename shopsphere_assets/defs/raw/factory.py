"""Makes the assets, checks and sensor of a source system from its declaration.

Belongs here: what all raw tables have in common in Dagster. What is particular to one source stands in its
module; what ingestion does stands in ``shopsphere_assets.ingestion``.
"""

import json
import math
import resource as process_resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl

from resources.errors import PermanentError, PlatformError, TransientError
from resources.warehouse import Warehouse
from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.raw.log_capture import ask_log, captures_log, read_log
from shopsphere_assets.defs.raw.scoring import quality_check_spec, score_table
from shopsphere_assets.defs.warehouse.conditions import AUTOMATION_TAGS
from shopsphere_assets.ingestion.batch import ingest
from shopsphere_assets.ingestion.decisions import STANDING
from shopsphere_assets.ingestion.extract import news
from shopsphere_assets.ingestion.ledger import BatchReport, TableState, read_state
from shopsphere_assets.ingestion.mapping import mapped_tables
from shopsphere_assets.ingestion.raw_table import HttpRead, RawTable, SourceSystem
from shopsphere_assets.ingestion.reconcile import Reconciliation, reconcile

SOURCE_TAG = "shopsphere/source"

RECONCILE_TAG = "shopsphere/reconcile"
"""A run with this tag compares its tables with their sources after it has read what is new."""

DECIDED_TAG = "shopsphere/decided"
"""A run with this tag reads nothing: people have let rows in from the quarantine, or taken that back."""

NOTES = "to look at"
"""Name of the metadata that says what a person should know of a batch, one line each."""

ASKED_IN_VAIN = "asked in vain, will ask again: "
"""How a sensor's reason begins when its source is away."""

_STALE_AFTER = timedelta(hours=26)

# Of a few rows the share says little: the readers of a table wait when chance explains it in one of 1,000 batches.
_STANDARD_DEVIATIONS = 3.09

# At every look of the daemon, which looks every five seconds; a service that counts our requests less often.
_SENSOR_SECONDS = 4
_SERVICE_SENSOR_SECONDS = 20
_WAIT_AFTER_FAILURE = timedelta(minutes=5)
# Models wait for what is being read. A source that always has news must leave them a gap to begin in; but where
# no build follows, because a check or a model has failed, reading goes on.
_WAIT_FOR_BUILD = timedelta(minutes=1)
_SENSOR_LOCK_TIMEOUT_SECONDS = 3.0

_IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def raw_source(system: SourceSystem) -> dg.Definitions:
    """The definitions of ``system``: an asset with its checks per table, and one sensor.

    Where a sources file is in force only the tables that it maps exist.
    """
    tables = mapped_tables(system)
    if not tables:
        return dg.Definitions()
    return dg.Definitions(assets=[_asset(system, table) for table in tables], sensors=[_sensor(system, tables)])


def _asset(system: SourceSystem, table: RawTable) -> dg.AssetsDefinition:
    key = dg.AssetKey(table.asset_key)
    checks = [
        dg.AssetCheckSpec(
            "quarantine_share",
            asset=key,
            blocking=True,
            description="The share of the latest batch's rows that broke their contract stays below the limit.",
        ),
        dg.AssetCheckSpec(
            "ledger_closes",
            asset=key,
            blocking=True,
            description="Rows read are rows loaded plus quarantined plus excluded.",
        ),
        dg.AssetCheckSpec(
            "unique_key",
            asset=key,
            blocking=True,
            description=f"No two rows share {' and '.join(table.key)}.",
        ),
        quality_check_spec(key),
    ]

    @dg.asset(
        key=key,
        description=_description(table),
        group_name=f"raw_{system.name}",
        owners=["team:data-platform"],
        kinds={"python", "pandera"},
        tags={"layer": "raw"},
        metadata={"dagster/column_schema": _column_schema(table), "source system": system.title},
        pool=f"source_{system.name}",
        # Asked every night even when no sensor saw anything: older means that nobody asks any more.
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=_STALE_AFTER),
        check_specs=checks,
    )
    def raw(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult[None]]:
        began = time.perf_counter()
        with faults(context):
            destination = platform.destination()
            destination.warehouse.prepare()
            destination.warehouse.ensure_tables(table.definitions)
            is_decided = context.run.tags.get(DECIDED_TAG) == "true"
            source = platform.source(system)
            report = None
            if is_decided:
                context.log.info("people have decided about quarantined rows; nothing is read from the source")
            elif captures_log(platform, system):
                report = read_log(context, platform, system, table, destination)
            else:
                report = ingest(
                    table,
                    source,
                    destination,
                    state=read_state(destination.warehouse, [table])[table.name],
                    run_id=context.run.run_id,
                    lookback=platform.lookback,
                )
            reconciled = None
            if context.run.tags.get(RECONCILE_TAG) == "true":
                reconciled = reconcile(
                    table,
                    source,
                    destination,
                    state=read_state(destination.warehouse, [table])[table.name],
                    run_id=context.run.run_id,
                )
            with destination.warehouse.reading():
                check_results = [
                    _quarantine_share(destination.warehouse, table, limit=platform.settings.quarantine_limit),
                    _ledger_closes([*([report] if report else []), *(reconciled.batches if reconciled else [])]),
                    _unique_key(destination.warehouse, table),
                ]
            check_results.append(score_table(destination.warehouse, table, _all_tables(), run_id=context.run.run_id))
        for note in report.notes if report else ():
            context.log.warning(note)
        if reconciled and reconciled.chunks and reconciled.note:
            context.log.warning(reconciled.note)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                **_metadata(table, report, seconds=time.perf_counter() - began),
                **(_comparison(reconciled) if reconciled else {}),
                **({"note": dg.MetadataValue.text("decisions about quarantined rows")} if is_decided else {}),
            },
            check_results=check_results,
        )

    return raw


def _all_tables() -> dict[str, RawTable]:
    return {table.label: table for system in source_systems() for table in mapped_tables(system)}


def _description(table: RawTable) -> str:
    text = " ".join((table.contract.__doc__ or "").split())
    return (
        f"{text}\n\nPrimary key: {', '.join(table.key)}. Watermark: {table.cursor}. Rows that break the contract "
        "are kept in quarantine with their reasons."
    )


def _column_schema(table: RawTable) -> dg.TableSchema:
    columns = []
    for name, dtype in table.column_types.items():
        more = table.column_metadata(name)
        tags = {f"purpose/{purpose}": "" for purpose in more["purposes"]}
        if more["personal"]:
            tags["personal"] = more["personal"]
        unit = f" Unit: {more['unit']}." if more["unit"] else ""
        columns.append(
            dg.TableColumn(
                name=name,
                type=_type_name(dtype),
                description=table.column_descriptions[name] + unit,
                constraints=dg.TableColumnConstraints(nullable=name not in table.required_columns),
                tags=tags,
            )
        )
    return dg.TableSchema(columns=columns)


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Decimal):
        return f"decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.Datetime):
        return "timestamp with time zone"
    names = {"Int64": "bigint", "String": "text", "Boolean": "boolean", "Date": "date"}
    return names.get(str(dtype), str(dtype).lower())


def _metadata(table: RawTable, report: BatchReport | None, *, seconds: float) -> dict[str, dg.MetadataValue]:
    peak = process_resource.getrusage(process_resource.RUSAGE_SELF).ru_maxrss / 1024
    common: dict[str, dg.MetadataValue] = {
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "peak memory (MB)": dg.MetadataValue.float(round(peak, 1)),
        "dagster/table_name": dg.MetadataValue.text(str(table.definition)),
    }
    if report is None:
        return {**common, "rows read": dg.MetadataValue.int(0), "note": dg.MetadataValue.text("nothing new")}
    if report.notes:
        common[NOTES] = dg.MetadataValue.md("\n".join(f"- {note}" for note in report.notes))
    return {
        **common,
        "rows read": dg.MetadataValue.int(report.rows_read),
        "rows loaded": dg.MetadataValue.int(report.rows_loaded),
        "rows corrected": dg.MetadataValue.int(report.rows_corrected),
        "rows quarantined": dg.MetadataValue.int(report.rows_quarantined),
        "rows excluded": dg.MetadataValue.int(report.rows_excluded),
        "bytes read": dg.MetadataValue.int(report.bytes_read),
        "watermark": dg.MetadataValue.text(report.watermark.isoformat() if report.watermark else "none"),
        "batch": dg.MetadataValue.text(report.batch_id),
        "contract version": dg.MetadataValue.text(report.contract_version),
    }


def _comparison(found: Reconciliation) -> dict[str, dg.MetadataValue]:
    if not found.chunks:
        return {"not compared with the source": dg.MetadataValue.text(found.note or "no rows on either side")}
    counts = {
        "rows deleted": found.rows_deleted,
        "rows set right": found.rows_loaded + found.rows_quarantined,
        "rows at the source": found.rows_at_source,
        "chunks compared": found.chunks,
        "chunks that differed": found.chunks_differing,
    }
    note: dict[str, dg.MetadataValue] = {"comparison": dg.MetadataValue.text(found.note)} if found.note else {}
    return {**{name: dg.MetadataValue.int(count) for name, count in counts.items()}, **note}


def _quarantine_share(warehouse: Warehouse, table: RawTable, *, limit: float) -> dg.AssetCheckResult:
    """Whether the latest batch in the ledger is sound; one that brought nothing new leaves the verdict as it was.

    Rows without a usable cursor are read at every batch again, lest they be overlooked, and are bad each time:
    those that an earlier batch has set aside already do not count.
    """
    found = warehouse.query(
        "SELECT batch_id, rows_read, rows_quarantined FROM ledger.batches"
        # What a reconciliation brings is only what differed, a backfill what was asked for: any share may be bad.
        " WHERE source = $1 AND table_name = $2"
        " AND coalesce(kind, '') NOT IN ('reconciliation', 'backfill', 'replay', 'readmission')"
        # Where only the position in a change log moved on.
        " AND NOT (kind IS NOT DISTINCT FROM 'change_log' AND rows_read = 0)"
        " ORDER BY sequence DESC NULLS LAST, started_at DESC LIMIT 1",
        [table.source, table.name],
    ).to_pylist()
    read = bad = 0
    if found:
        read, bad = found[0]["rows_read"], found[0]["rows_quarantined"]
        entries = warehouse.query(
            "SELECT batch_id = $3 AS is_new, count(*) AS entries FROM quarantine.rows"
            f" WHERE source = $1 AND table_name = $2 AND (batch_id = $3 OR (reasons LIKE $4 AND {STANDING}))"
            " GROUP BY 1",
            [table.source, table.name, found[0]["batch_id"], f'%"{table.cursor}.%'],
        ).to_pylist()
        counts = {row["is_new"]: row["entries"] for row in entries}
        again = min(bad - counts.get(True, 0), counts.get(False, 0))
        read, bad = read - again, bad - again
    certain = _certain_share(bad, read)
    return dg.AssetCheckResult(
        check_name="quarantine_share",
        passed=certain <= limit,
        metadata={
            "share": round(bad / read, 5) if read else 0.0,
            "share beyond chance": round(certain, 5),
            "limit": limit,
            "rows": read,
            "quarantined": bad,
            "look at": f"select * from quarantine.rows where source = '{table.source}'"
            f" and table_name = '{table.name}' and settled_at is null",
        },
    )


def _certain_share(bad: int, rows: int) -> float:
    """The lower end of the confidence interval of ``bad`` / ``rows`` (E. B. Wilson, 1927)."""
    if not rows:
        return 0.0
    share, z2 = bad / rows, _STANDARD_DEVIATIONS**2
    spread = _STANDARD_DEVIATIONS * math.sqrt(share * (1 - share) / rows + z2 / (4 * rows**2))
    return max(0.0, (share + z2 / (2 * rows) - spread) / (1 + z2 / rows))


def _ledger_closes(reports: list[BatchReport]) -> dg.AssetCheckResult:
    read = sum(report.rows_read for report in reports)
    accounted = sum(report.rows_loaded + report.rows_quarantined + report.rows_excluded for report in reports)
    return dg.AssetCheckResult(
        check_name="ledger_closes", passed=read == accounted, metadata={"read": read, "accounted for": accounted}
    )


def _unique_key(warehouse: Warehouse, table: RawTable) -> dg.AssetCheckResult:
    key = ", ".join(f'"{column}"' for column in table.key)
    found = warehouse.query(
        f"SELECT count(*) FROM (SELECT {key} FROM {table.definition} GROUP BY {key} HAVING count(*) > 1) AS twice"
    )
    duplicates = int(found.column(0)[0].as_py())
    return dg.AssetCheckResult(check_name="unique_key", passed=duplicates == 0, metadata={"duplicate keys": duplicates})


@dataclass(frozen=True)
class Decision:
    """What a sensor does about what it found: the tables to ingest, and what it has acted upon."""

    tables: list[RawTable]
    acted_upon: dict[str, str]


def decide(found: dict[str, str | None], acted_upon: dict[str, str], tables: list[RawTable]) -> Decision:
    """Which of ``tables`` to ingest: those with news other than what was acted upon before.

    ``found``: the news of each table, by name. A row that never counts as read, such as one whose time of
    change an API misreports, would otherwise start a run at every tick.
    """
    changed = [t for t in tables if found[t.name] is not None and found[t.name] != acted_upon.get(t.name)]
    return Decision(changed, {name: text for name, text in found.items() if text is not None})


def _sensor(system: SourceSystem, tables: list[RawTable]) -> dg.SensorDefinition:
    is_service = any(isinstance(table.read, HttpRead) for table in tables)

    @dg.sensor(
        name=f"{system.name}_sensor",
        target=[dg.AssetKey(table.asset_key) for table in tables],
        minimum_interval_seconds=_SERVICE_SENSOR_SECONDS if is_service else _SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks {system.title} whether there is anything new and starts a run for the tables that changed.",
    )
    def source_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
        now = datetime.now(UTC)
        last = _last_run(context.instance, {SOURCE_TAG: system.name})
        waiting = _reason_to_wait(last, now) or _build_to_wait_for(context.instance, last, now)
        if waiting:
            return dg.SkipReason(waiting)
        try:
            warehouse = platform.warehouse(lock_timeout=_SENSOR_LOCK_TIMEOUT_SECONDS)
            states = _states(warehouse, tables)
            if captures_log(platform, system):
                found = ask_log(platform, system, tables, warehouse)
            else:
                source = platform.source(system)
                found = {table.name: news(table, source, states[table.name]) for table in tables}
        except TransientError as error:
            return dg.SkipReason(f"{ASKED_IN_VAIN}{error}")
        except PlatformError as error:
            raise RuntimeError(f"{system.title} cannot be asked: {error}") from error
        # What a failed run was started for is still to be done.
        has_failed = last is not None and last.dagster_run.status != dg.DagsterRunStatus.SUCCESS
        acted_upon = {} if has_failed else json.loads(context.cursor or "{}")
        decision = decide(found, acted_upon, tables)
        if not decision.tables:
            return dg.SkipReason("nothing new")
        request = dg.RunRequest(
            asset_selection=[dg.AssetKey(table.asset_key) for table in decision.tables],
            # Ahead of the builds in the queue: what a build then finds is whole.
            tags={SOURCE_TAG: system.name, "dagster/priority": "1"},
        )
        return dg.SensorResult(run_requests=[request], cursor=json.dumps(decision.acted_upon))

    return source_sensor


def _states(warehouse: Warehouse, tables: list[RawTable]) -> dict[str, TableState]:
    """What the ledger says of ``tables``. Nothing is written, but to a warehouse that was never used."""
    try:
        return read_state(warehouse, tables)
    except PermanentError:
        warehouse.prepare()
        return read_state(warehouse, tables)


def _last_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.RunRecord | None:
    records = instance.get_run_records(dg.RunsFilter(tags=tags), limit=1)
    return records[0] if records else None


def _reason_to_wait(last: dg.RunRecord | None, now: datetime) -> str | None:
    """Why no run should be started now after the run ``last``, if there is a reason."""
    if last is None or last.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
        return None
    if last.dagster_run.status in _IN_PROGRESS:
        return "a run of this source is under way"
    if last.end_time is None:
        return None
    next_try = datetime.fromtimestamp(last.end_time, UTC) + _WAIT_AFTER_FAILURE
    return None if now >= next_try else f"the last run failed; the next try is at {next_try:%H:%M:%S} UTC"


def _build_to_wait_for(instance: dg.DagsterInstance, last: dg.RunRecord | None, now: datetime) -> str | None:
    """Why the next read should wait for a build to begin on what the run ``last`` has read, if it should."""
    if last is None or last.end_time is None or last.dagster_run.status != dg.DagsterRunStatus.SUCCESS:
        return None
    ended = datetime.fromtimestamp(last.end_time, UTC)
    if now >= ended + _WAIT_FOR_BUILD:
        return None
    build = _last_run(instance, AUTOMATION_TAGS)
    if build is not None and build.create_timestamp.astimezone(UTC) > ended:
        return None
    return "what was read last is yet to be built"

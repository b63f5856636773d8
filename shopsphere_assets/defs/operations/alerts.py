"""The sensor that looks for what is wrong, keeps it as alerts and has them told.

One sensor with a cursor of its own instead of Dagster's run-failure sensor, which passes over a failure when its
function fails: here the cursor moves only after the alerts are committed. What a cause is and what is told of it
stands in ``shopsphere_assets.alerts``; here Dagster is asked.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from resources.errors import PlatformError, StructureError
from resources.notify import Channel, open_channels
from resources.settings import Settings
from resources.warehouse import Warehouse
from shopsphere_assets.alerts.cause import Alert, Cause, Pages
from shopsphere_assets.alerts.checks import FailedCheck, check_cause
from shopsphere_assets.alerts.deliver import Delivered, LogChannel, Pause, deliver_due
from shopsphere_assets.alerts.failures import (
    StepFailure,
    away_cause,
    explain,
    interrupted_run_cause,
    mended_steps,
    sensor_cause,
    step_causes,
)
from shopsphere_assets.alerts.findings import broken_models, drift, schema_changes, stopped_tables
from shopsphere_assets.alerts.outage import Outage, is_back, still_away
from shopsphere_assets.alerts.store import open_alerts, update
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.raw.factory import ASKED_IN_VAIN, SOURCE_TAG
from shopsphere_assets.defs.warehouse.dbt import result_nodes
from shopsphere_assets.ingestion.mapping import mapped_tables
from shopsphere_assets.ingestion.raw_table import RawTable

ALERT_SENSOR = "alerts"

_SECONDS = 30
_DELIVERY_SECONDS = 25.0
_LOCK_TIMEOUT_SECONDS = 3.0
_LOOK_BACK_AT_FIRST = timedelta(days=1)
# Runs are entered as ended somewhat later than they end.
_OVERLAP = timedelta(minutes=1)
_RUNS_AT_ONCE = 200
# A code server that restarts fails one tick.
_FAILED_TICKS = 2
_WILL_RETRY_TAG = "dagster/will_retry"
_DBT_STEP = "dbt_models"
_CHECK_ERROR = "DagsterAssetCheckFailedError"


@dataclass
class Memory:
    """The sensor's cursor. ``runs_until``: runs that ended up to then were looked at. ``away``: since when sources
    were asked in vain, by sensor."""

    runs_until: datetime
    away: dict[str, datetime] = field(default_factory=dict)
    pauses: dict[str, Pause] = field(default_factory=dict)
    outage: Outage | None = None

    @classmethod
    def read(cls, cursor: str | None, now: datetime) -> "Memory":
        """The memory that a cursor holds."""
        if not cursor:
            return cls(now - _LOOK_BACK_AT_FIRST)
        kept = json.loads(cursor)
        outage = kept["outage"]
        return cls(
            datetime.fromisoformat(kept["runs_until"]),
            {name: datetime.fromisoformat(since) for name, since in kept["away"].items()},
            {name: Pause(p["failures"], datetime.fromisoformat(p["until"])) for name, p in kept["pauses"].items()},
            Outage(
                **{
                    **outage,
                    "since": datetime.fromisoformat(outage["since"]),
                    "seen_at": datetime.fromisoformat(outage["seen_at"]),
                    "told": tuple(outage["told"]),
                }
            )
            if outage
            else None,
        )

    def write(self) -> str:
        """The cursor."""
        return json.dumps(asdict(self), default=datetime.isoformat)


@dataclass
class Seen:
    """What one look found: causes that are ``present``, and causes of open alerts that are ``gone``."""

    present: list[Cause] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)

    def add(self, present: Iterable[Cause], gone: Iterable[str] = ()) -> None:
        """What one kind of cause amounts to."""
        self.present += present
        self.gone |= set(gone)


@dataclass(frozen=True)
class Known:
    """Failures of steps that other causes explain: runs of failing ``builds``, tables that changed columns stopped."""

    builds: set[str]
    stopped: set[str]


def look(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    warehouse: Warehouse,
    settings: Settings,
    channels: Sequence[Channel],
    memory: Memory,
    *,
    nodes: set[str],
    now: datetime,
) -> Delivered:
    """Find what is wrong and what is mended, keep it, and deliver what is due. Changes ``memory`` along.

    ``nodes``: the models of dbt and those of its tests whose failure is an error.

    Raises :class:`PlatformError` where the warehouse cannot be used; then the same is found at the next look.
    """
    warehouse.prepare()
    pages = Pages.of(settings)
    tables = {tuple(t.asset_key): t for system in source_systems() for t in mapped_tables(system)}
    alerts, seen = open_alerts(warehouse), Seen()
    models, explained = broken_models(warehouse, alerts, nodes, pages)
    seen.add(models.present, models.gone)
    schemas = schema_changes(warehouse, alerts, pages, now=now)
    for found in (schemas, drift(warehouse, alerts, tables.values(), pages, now=now)):
        seen.add(found.present, found.gone)
    _look_at_checks(instance, repository, warehouse, tables, pages, seen)
    away = look_at_ticks(instance, repository, alerts, memory.away, settings, pages, seen, now=now)
    known = Known(explained, stopped_tables(schemas))
    runs_until = _look_at_runs(instance, alerts, tables, memory.runs_until, known, pages, seen)
    update(warehouse, seen.present, seen.gone, now=now)
    memory.away, memory.runs_until = away, runs_until
    done = deliver_due(warehouse, channels, pauses=memory.pauses, seconds=_DELIVERY_SECONDS, now=now)
    memory.pauses = done.pauses
    return done


def _look_at_checks(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    warehouse: Warehouse,
    tables: dict[tuple[str, ...], RawTable],
    pages: Pages,
    seen: Seen,
) -> None:
    """Blocking checks by their latest evaluation; those of dbt are found in its results."""
    graph, made_by = repository.asset_graph, repository.assets_defs_by_key
    keys = [
        key
        for key in graph.asset_check_keys
        if graph.get(key).blocking and not (key.asset_key in made_by and made_by[key.asset_key].op.name == _DBT_STEP)
    ]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    for key, record in records.items():
        evaluation = record.event.asset_check_evaluation if record.event else None
        if evaluation is None:
            continue
        path = tuple(key.asset_key.path)
        if evaluation.passed or evaluation.severity != dg.AssetCheckSeverity.ERROR:
            seen.add([], [f"check/{'/'.join(path)}/{key.name}"])
            continue
        failed = FailedCheck(
            asset=path,
            name=key.name,
            run_id=record.run_id,
            failed_at=datetime.fromtimestamp(record.event.timestamp, UTC) if record.event else datetime.now(UTC),
            description=graph.get_check_spec(key).description or "",
            metadata={
                name: str(value.value)
                for name, value in evaluation.metadata.items()
                if isinstance(value.value, int | float)
            },
        )
        seen.add([check_cause(warehouse, failed, tables.get(path), pages)])


def look_at_ticks(
    instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    alerts: list[Alert],
    away: dict[str, datetime],
    settings: Settings,
    pages: Pages,
    seen: Seen,
    *,
    now: datetime,
) -> dict[str, datetime]:
    """Sensors and schedules that fail, and sources that are asked in vain; since when, by sensor."""
    kinds = {s.name: "sensor" for s in repository.sensor_defs} | {s.name: "schedule" for s in repository.schedule_defs}
    still: dict[str, datetime] = {}
    for state in instance.all_instigator_state():
        name = state.instigator_name
        if name not in kinds or name == ALERT_SENSOR or not state.is_running:
            continue
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_FAILED_TICKS + 1)
        ended = [tick for tick in ticks if tick.status.value in ("SUCCESS", "SKIPPED", "FAILURE")]
        if not ended:
            continue
        last, source = ended[0], name.removesuffix("_sensor")
        failures = [tick for tick in ended[:_FAILED_TICKS] if tick.is_failure]
        if len(failures) == _FAILED_TICKS:
            failed_at = datetime.fromtimestamp(last.timestamp, UTC)
            seen.add([sensor_cause(name, kinds[name], explain(_chain(last.error)), failed_at, pages)])
        elif not last.is_failure:
            seen.add([], [f"sensor/{name}"])
        reason = last.skip_reason or ""
        if reason.startswith(ASKED_IN_VAIN):
            still[name] = away.get(name, now)
            if now - still[name] >= timedelta(minutes=settings.alert_away_minutes):
                said = reason.removeprefix(ASKED_IN_VAIN)
                seen.add([away_cause(source, said, still[name], now, pages)])
        elif not last.is_failure:
            seen.add([], [f"source/{source}"])
    gone = {alert.cause for alert in alerts if alert.kind == "sensor"} - {f"sensor/{name}" for name in kinds}
    seen.add([], gone)
    return still


def _look_at_runs(
    instance: dg.DagsterInstance,
    alerts: list[Alert],
    tables: dict[tuple[str, ...], RawTable],
    after: datetime,
    known: Known,
    pages: Pages,
    seen: Seen,
) -> datetime:
    """Runs that ended ``after`` then; up to when they were looked at."""
    records = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE], updated_after=after - _OVERLAP
        ),
        limit=_RUNS_AT_ONCE,
        order_by="update_timestamp",
        ascending=True,
    )
    open_runs = [alert for alert in alerts if alert.kind == "run"]
    failures: list[StepFailure] = []
    interrupted: dict[str, Cause] = {}
    succeeded: dict[str, datetime] = {}
    until = after
    for record in records:
        until = max(until, record.update_timestamp.astimezone(UTC))
        run = record.dagster_run
        ended = datetime.fromtimestamp(record.end_time or record.update_timestamp.timestamp(), UTC)
        what = run.tags.get(SOURCE_TAG) or run.job_name.strip("_").lower()
        if run.status == dg.DagsterRunStatus.SUCCESS:
            succeeded[what] = ended
            interrupted.pop(what, None)
        elif run.tags.get(_WILL_RETRY_TAG) != "true":
            broken, has_steps = _failures(instance, run.run_id, tables, known)
            failures += broken
            if not has_steps:
                interrupted[what] = interrupted_run_cause(what, run.run_id, ended, pages)
        if open_runs or failures:
            for step in instance.get_run_step_stats(run.run_id):
                if step.status is not None and step.status.value == "SUCCESS" and step.end_time:
                    succeeded[step.step_key] = datetime.fromtimestamp(step.end_time, UTC)
    # A failure that is known to be mended by now is none that anybody needs to hear of.
    lasting = [failure for failure in failures if succeeded.get(failure.step, failure.failed_at) <= failure.failed_at]
    seen.add([*step_causes(lasting, pages), *interrupted.values()], mended_steps(open_runs, succeeded))
    return until


def _failures(
    instance: dg.DagsterInstance, run_id: str, tables: dict[tuple[str, ...], RawTable], known: Known
) -> tuple[list[StepFailure], bool]:
    """The steps of a run that failed by themselves, and whether any step failed."""
    by_step = {"__".join(key): table for key, table in tables.items()}
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    found = []
    for event in events:
        chain = _chain(event.dagster_event.step_failure_data.error if event.dagster_event else None)
        classes = {name for name, _ in chain}
        step = event.step_key or "unknown"
        table = by_step.get(step)
        # Alerts of their own: a check that failed, what dbt says of its models and tests, columns that changed.
        if _CHECK_ERROR in classes or (step == _DBT_STEP and run_id in known.builds):
            continue
        if table is not None and StructureError.__name__ in classes and table.label in known.stopped:
            continue
        asset, group = (tuple(table.asset_key), table.source) if table else ((), step)
        found.append(
            StepFailure(step, group, run_id, datetime.fromtimestamp(event.timestamp, UTC), explain(chain), asset)
        )
    return found, bool(events)


def _chain(error: Any) -> list[tuple[str, str]]:
    """Class and message of an error that Dagster has kept, and of what caused it."""
    chain = []
    while error is not None:
        chain.append((error.cls_name or "unknown", error.message or ""))
        error = error.cause
    return chain


@dg.definitions
def alerts() -> dg.Definitions:
    """The sensor."""

    @dg.sensor(
        name=ALERT_SENSOR,
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for failed runs, checks and sensors, drift, changed schemas and sources that are away; "
        "tells of each cause once by e-mail and webhook, and once more when it is mended.",
    )
    def alert_sensor(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult:
        now, settings = datetime.now(UTC), platform.settings
        memory, channels = Memory.read(context.cursor, now), open_channels(settings)
        using: Sequence[Channel] = channels or [LogChannel()]
        repository = context.repository_def
        if repository is None:
            raise RuntimeError("the sensor was evaluated without its code location")
        try:
            warehouse = platform.warehouse(lock_timeout=_LOCK_TIMEOUT_SECONDS)
            nodes = result_nodes()
            done = look(context.instance, repository, warehouse, settings, channels, memory, nodes=nodes, now=now)
        except PlatformError as error:
            bound = timedelta(minutes=settings.alert_away_minutes)
            memory.outage = still_away(memory.outage, error, using, bound=bound, now=now)
            return dg.SensorResult(
                skip_reason=f"the warehouse cannot be used, will look again: {error}", cursor=memory.write()
            )
        if memory.outage is not None:
            is_back(memory.outage, using, now=now)
            memory.outage = None
        words = [f"{done.messages} messages delivered" if done.messages else "nothing to tell"]
        words += [f"{channel} failed, will try again: {error}" for channel, error in done.errors.items()]
        return dg.SensorResult(skip_reason="; ".join(words), cursor=memory.write())

    return dg.Definitions(sensors=[alert_sensor])

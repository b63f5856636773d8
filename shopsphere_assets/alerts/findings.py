"""Causes that stand in the warehouse: alarms of drift, changed schemas, broken models and tests of dbt."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from resources.notify.message import one_line
from resources.warehouse import Warehouse
from resources.warehouse.system_tables import ALARMS, BATCHES, PROFILES, SCHEMA_VERSIONS
from shopsphere_assets.alerts.cause import (
    ASSET_PAGE,
    RUN_PAGE,
    SEEN,
    SQL,
    WHAT_TO_DO,
    WHERE,
    Alert,
    Cause,
    Pages,
)
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.quality.schema_versions import described
from shopsphere_assets.transformation.results import NODE_RESULTS

_NEWS = timedelta(days=1)
# Alarms are by day, and looked for every hour.
_ALARMED_AGAIN = timedelta(hours=26)
_FAILED = ("error", "fail", "runtime error")
# What databases quote in their errors may be a value of somebody's row.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|=\([^)]*\)|\S+@\S+")


@dataclass(frozen=True)
class Findings:
    """The causes that are ``present``, and those of open alerts that are ``gone``."""

    present: list[Cause]
    gone: set[str]


def drift(
    warehouse: Warehouse, alerts: Iterable[Alert], tables: Collection[RawTable], pages: Pages, *, now: datetime
) -> Findings:
    """Alarms of the last day.

    A deviation is alarmed once a day while it lasts. It is gone when the table was read since and a whole day brought
    no alarm; a table that was late, as soon as it is read.
    """
    by_label = {table.label: table for table in tables}
    rows = warehouse.query(
        f"SELECT * FROM {ALARMS} WHERE raised_at >= $1 ORDER BY raised_at, alarm_id", [now - _ALARMED_AGAIN]
    ).to_pylist()
    present = [_alarm(row, by_label.get(f"{row['source']}/{row['table_name']}"), pages) for row in rows]
    read_at = {
        f"{row['source']}/{row['table_name']}": row["profiled_at"].astimezone(UTC)
        for row in warehouse.query(
            f"SELECT source, table_name, max(profiled_at) AS profiled_at FROM {PROFILES} GROUP BY 1, 2"
        ).to_pylist()
    }
    gone = set()
    for alert in alerts:
        if alert.kind != "drift":
            continue
        _, source, table_name, _, kind = alert.cause.split("/", 4)
        was_read = read_at.get(f"{source}/{table_name}", alert.last_seen_at) > alert.last_seen_at
        if was_read and (kind == "freshness" or alert.last_seen_at < now - _ALARMED_AGAIN):
            gone.add(alert.cause)
    return Findings(present, gone)


def _alarm(row: Mapping[str, Any], table: RawTable | None, pages: Pages) -> Cause:
    label, column = f"{row['source']}/{row['table_name']}", row["column_name"]
    is_personal = table is None or (
        column is not None and column in table.column_types and bool(table.column_metadata(column)["personal"])
    )
    where = f"{label}.{column}" if column else label
    low, high, observed = row["expected_low"], row["expected_high"], row["observed"]
    return Cause(
        key=f"drift/{label}/{column or '*'}/{row['kind']}",
        title=f"{where}: {row['kind']} is {_number(observed)}, history makes {_number(low)} to {_number(high)} likely",
        severity="warning",
        seen_at=row["raised_at"].astimezone(UTC),
        details={
            # A note may name values that are frequent in the column.
            SEEN: "" if is_personal else one_line(row["note"] or ""),
            WHERE: f"batch {row['batch_id']}" if row["batch_id"] else "",
            SQL: f"select * from {PROFILES} where source = '{row['source']}' and table_name = '{row['table_name']}'"
            + (f" and column_name = '{column}'" if column else ""),
            ASSET_PAGE: pages.asset("raw", row["source"], row["table_name"]),
            WHAT_TO_DO: "ask those who run the source whether the change is meant; nothing waits for the answer",
        },
    )


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def schema_changes(warehouse: Warehouse, alerts: Iterable[Alert], pages: Pages, *, now: datetime) -> Findings:
    """Columns that changed at the source: told for a day, or until the table is read again where that stopped it."""
    rows = warehouse.query(
        f"SELECT versions.*, (SELECT max(finished_at) FROM {BATCHES} AS batches WHERE batches.source = versions.source"
        f" AND batches.table_name = versions.table_name) AS read_at FROM {SCHEMA_VERSIONS} AS versions"
        " WHERE version > 1 AND (seen_at >= $1 OR outcome = 'stopped') ORDER BY seen_at",
        [now - _NEWS],
    ).to_pylist()
    present = [_schema_change(row, pages) for row in rows if not _is_over(row)]
    keys = {cause.key for cause in present}
    return Findings(present, {a.cause for a in alerts if a.kind == "schema" and a.cause not in keys})


def stopped_tables(found: Findings) -> set[str]:
    """The labels of the raw tables that a change of their columns has stopped, among causes of changed columns."""
    return {cause.key.split("/", 1)[1].rpartition("/")[0] for cause in found.present if cause.severity == "error"}


def _is_over(row: Mapping[str, Any]) -> bool:
    """Whether the table was read after a change of its columns that had stopped it."""
    return row["outcome"] == "stopped" and row["read_at"] is not None and row["read_at"] > row["seen_at"]


def _schema_change(row: Mapping[str, Any], pages: Pages) -> Cause:
    label, is_stopped = f"{row['source']}/{row['table_name']}", row["outcome"] == "stopped"
    return Cause(
        key=f"schema/{label}/{row['version']}",
        title=f"{label}: the columns changed at the source ({row['outcome']})",
        severity="error" if is_stopped else "warning",
        seen_at=row["seen_at"].astimezone(UTC),
        details={
            SEEN: one_line("; ".join(described(row["changes"]))),
            SQL: f"select * from {SCHEMA_VERSIONS} where source = '{row['source']}'"
            f" and table_name = '{row['table_name']}' order by version",
            ASSET_PAGE: pages.asset("raw", row["source"], row["table_name"]),
            WHAT_TO_DO: "the table is not read until its contract or the sources file says what becomes of the change"
            if is_stopped
            else "nothing has to be done at once; let the contract name what is wanted of the change",
        },
    )


def broken_models(
    warehouse: Warehouse, alerts: Iterable[Alert], known: Collection[str], pages: Pages
) -> tuple[Findings, set[str]]:
    """Models and tests of dbt whose latest result is a failure, and the runs whose failure that explains.

    ``known``: unique ids of the project's models and of the tests whose failure is an error.
    """
    warehouse.ensure_tables([NODE_RESULTS])
    marks = ", ".join(f"'{status}'" for status in _FAILED)
    rows: Sequence[Mapping[str, Any]] = warehouse.query(
        f"SELECT * FROM {NODE_RESULTS} WHERE status IN ({marks}) ORDER BY node_id"
    ).to_pylist()
    present = [_broken(row, pages) for row in rows if row["node_id"] in known]
    keys = {cause.key for cause in present}
    gone = {alert.cause for alert in alerts if alert.kind == "model" and alert.cause not in keys}
    return Findings(present, gone), {row["run_id"] for row in rows}


def _broken(row: Mapping[str, Any], pages: Pages) -> Cause:
    kind, _, name = row["node_id"].split(".")[:3]
    is_test = row["status"] == "fail"
    said = one_line(_QUOTED.sub("…", (row["message"] or "").strip().replace("\n", " ")))
    return Cause(
        key=f"model/{row['node_id']}",
        title=f"The {kind} {name} {'failed: ' + said if is_test else 'is broken'}",
        severity="error",
        seen_at=row["finished_at"].astimezone(UTC),
        details={
            SEEN: said,
            WHERE: row["node_id"],
            RUN_PAGE: pages.run(row["run_id"]),
            SQL: f"dbt show --select {name}" if is_test else "",
            WHAT_TO_DO: "nothing is published until it is sound; readers keep the version they have",
        },
    )

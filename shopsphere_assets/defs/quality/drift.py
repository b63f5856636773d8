"""Drift: every hour the newest profiles are judged against their history."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.quality.drift import assess

DRIFT_KEY = dg.AssetKey(["quality", "drift"])

# Also when nothing came in: that may be what is wrong.
_TICK: dg.AutomationCondition[Any] = dg.AutomationCondition.cron_tick_passed("7 * * * *")
_HOURLY = (_TICK.since_last_handled() & ~dg.AutomationCondition.in_progress()).with_label("hourly")


@dg.definitions
def drift() -> dg.Definitions:
    """The asset that judges profiles."""

    @dg.asset(
        key=DRIFT_KEY,
        # Of no asset: where a table's check fails, this is wanted all the more.
        description="Whether what came in newly looks as its history makes likely: rows, freshness, missing cells, "
        "frequent values, levels and shapes of every column. What does not is kept in quality.alarms.",
        group_name="quality",
        owners=["team:data-platform"],
        kinds={"python"},
        automation_condition=_HOURLY,
        check_specs=[dg.AssetCheckSpec("no_alarms", asset=DRIFT_KEY, description="Nothing deviates from its history.")],
    )
    def quality_drift(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult[None]]:
        with faults(context):
            warehouse = platform.warehouse()
            warehouse.prepare()
            alarms = assess(warehouse, datetime.now(UTC))
        records = [
            dg.TableRecord(
                {
                    "table": f"{alarm.source}/{alarm.table_name}",
                    "column": alarm.column_name or "",
                    "kind": alarm.kind,
                    "what": alarm.note,
                }
            )
            for alarm in alarms
        ]
        for record in records:
            context.log.warning(f"{record.data['table']}: {record.data['what']}")
        schema = dg.TableSchema([dg.TableColumn(name, "string") for name in ("table", "column", "kind", "what")])
        yield dg.MaterializeResult(
            metadata={
                "alarms": len(alarms),
                "deviations": dg.MetadataValue.table(records, schema=schema),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="no_alarms",
                    passed=not alarms,
                    severity=dg.AssetCheckSeverity.WARN,
                    description="; ".join(f"{r.data['table']}: {r.data['what']}" for r in records) or None,
                    metadata={"alarms": len(alarms), "look at": "select * from quality.alarms order by raised_at desc"},
                )
            ],
        )

    return dg.Definitions(assets=[quality_drift])

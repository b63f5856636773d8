"""The sensor that has the marts follow what people decide about quarantined rows.

A decision is in raw when it is committed, by whatever way it was made; Dagster learns of it from the ledger. Does not
belong here: the decisions (``shopsphere_assets.quarantine``).
"""

import dagster as dg

from resources.errors import PlatformError
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.raw.factory import DECIDED_TAG
from shopsphere_assets.ingestion.mapping import mapped_tables

# At every look of the daemon, which looks every five seconds.
_SECONDS = 4
_LOCK_TIMEOUT_SECONDS = 3.0


def quarantine_sensor() -> dg.SensorDefinition:
    """The sensor over the raw tables that exist here."""
    keys = {t.label: dg.AssetKey(t.asset_key) for system in source_systems() for t in mapped_tables(system)}

    @dg.sensor(
        name="quarantine_sensor",
        target=list(keys.values()),
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Has the raw tables checked, and with them the marts built, that people have changed by their "
        "decisions about quarantined rows. Nothing is read from the source for it.",
    )
    def look(context: dg.SensorEvaluationContext, platform: Platform) -> dg.SensorResult | dg.SkipReason:
        try:
            found = (
                platform.warehouse(lock_timeout=_LOCK_TIMEOUT_SECONDS)
                .query(
                    "SELECT source, table_name, max(sequence) AS latest FROM ledger.batches"
                    " WHERE kind = 'readmission' AND (rows_loaded > 0 OR rows_deleted > 0) AND sequence > $1"
                    " GROUP BY source, table_name ORDER BY source, table_name",
                    [int(context.cursor or 0)],
                )
                .to_pylist()
            )
        except PlatformError as error:
            return dg.SkipReason(f"the warehouse cannot be asked now, will ask again: {error}")
        changed = [keys[label] for row in found if (label := f"{row['source']}/{row['table_name']}") in keys]
        if not changed:
            return dg.SkipReason("nobody has let rows in")
        latest = str(max(row["latest"] for row in found))
        # Ahead of the builds in the queue: what a build then finds is whole.
        tags = {DECIDED_TAG: "true", "dagster/priority": "1"}
        return dg.SensorResult(run_requests=[dg.RunRequest(asset_selection=changed, tags=tags)], cursor=latest)

    return look


@dg.definitions
def quarantine() -> dg.Definitions:
    """The sensor."""
    return dg.Definitions(sensors=[quarantine_sensor()])

"""Jobs to start by hand, the nightly run that catches what the sensors missed, and weekly maintenance."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.quality.near_duplicates import NEAR_DUPLICATES_KEY
from shopsphere_assets.defs.raw.factory import RECONCILE_TAG
from shopsphere_assets.ingestion.lake import remove_orphans
from shopsphere_assets.transformation.project import remove_old_artifacts

INGEST_JOB = "ingest"
RECONCILE_JOB = "reconcile"
BUILD_JOB = "build"

RAW = dg.AssetSelection.key_prefixes(["raw"])

_ORPHAN_AGE = timedelta(days=1)


@dg.op(
    description="Remove what killed runs left in the lake and failed builds in dbt's folder, and publications beyond "
    "the number to keep."
)
def tidy_up(context: dg.OpExecutionContext, platform: Platform) -> None:
    """Remove orphaned batches, the artifacts of failed builds and old publications."""
    settings, before = platform.settings, datetime.now(UTC) - _ORPHAN_AGE
    with faults(context):
        warehouse = platform.warehouse()
        warehouse.prepare()
        paths = warehouse.query("SELECT lake_path FROM ledger.batches").column(0).to_pylist()
        removed = remove_orphans(settings.lake, set(paths), before)
        warehouse.drop_old_publications(settings.kept_publications)
    builds = remove_old_artifacts(settings, before)
    context.log.info(f"removed {len(removed)} orphaned batches: {', '.join(removed) or 'none'}; {len(builds)} builds")


@dg.definitions
def schedules() -> dg.Definitions:
    """The jobs and the schedules."""
    ingest = dg.define_asset_job(
        INGEST_JOB,
        selection=RAW,
        description="Read what is new from every source.",
        executor_def=dg.in_process_executor,
    )
    reconcile = dg.define_asset_job(
        RECONCILE_JOB,
        selection=RAW,
        description="Read what is new from every source, then compare every table with its source: rows deleted "
        "there are marked, rows set back there are read again.",
        tags={RECONCILE_TAG: "true"},
        executor_def=dg.in_process_executor,
    )
    build = dg.define_asset_job(
        BUILD_JOB,
        selection=dg.AssetSelection.all() - RAW - dg.AssetSelection.assets(NEAR_DUPLICATES_KEY),
        description="Build every mart and publish.",
        executor_def=dg.in_process_executor,
    )
    nightly = dg.ScheduleDefinition(
        name="nightly",
        job=reconcile,
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Asks every source once a night, also those whose sensor saw nothing, and compares every table "
        "with its source; the marts follow.",
    )

    @dg.job(description="Tidy up the lake and the publications.", executor_def=dg.in_process_executor)
    def maintenance() -> None:
        tidy_up()

    weekly = dg.ScheduleDefinition(
        name="weekly_maintenance",
        job=maintenance,
        cron_schedule="0 4 * * 0",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Tidies up once a week.",
    )
    return dg.Definitions(jobs=[ingest, reconcile, build, maintenance], schedules=[nightly, weekly])

"""Jobs to start by hand and the nightly run that catches what the sensors missed."""

from __future__ import annotations

import dagster as dg

INGEST_JOB = "ingest"
BUILD_JOB = "build"

RAW = dg.AssetSelection.key_prefixes(["raw"])


@dg.definitions
def schedules() -> dg.Definitions:
    """The jobs and the nightly schedule."""
    ingest = dg.define_asset_job(
        INGEST_JOB,
        selection=RAW,
        description="Read what is new from every source.",
        executor_def=dg.in_process_executor,
    )
    build = dg.define_asset_job(
        BUILD_JOB,
        selection=dg.AssetSelection.all() - RAW,
        description="Build every mart and publish.",
        executor_def=dg.in_process_executor,
    )
    nightly = dg.ScheduleDefinition(
        name="nightly",
        job=ingest,
        cron_schedule="0 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Asks every source once a night, also those whose sensor saw nothing; the marts follow.",
    )
    return dg.Definitions(jobs=[ingest, build], schedules=[nightly])

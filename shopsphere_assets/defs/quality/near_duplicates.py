"""The search for duplicates as an asset, and its nightly job."""

from collections.abc import Iterator

import dagster as dg

from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.ingestion.mapping import mapped_tables
from shopsphere_assets.quality.duplicate_tables import TABLES, search

NEAR_DUPLICATES_KEY = dg.AssetKey(["quality", "near_duplicates"])
NEAR_DUPLICATES_JOB = "near_duplicates"


@dg.definitions
def duplicates() -> dg.Definitions:
    """The asset, its job and its schedule."""
    tables = [table for system in source_systems() for table in mapped_tables(system)]
    here = [table for table in tables if table.label in TABLES]

    @dg.asset(
        key=NEAR_DUPLICATES_KEY,
        deps=[dg.AssetKey(table.asset_key) for table in here],
        description="Pairs of reviews, and of people across all systems, that are the same or nearly the same: found "
        "by MinHash signatures, judged by the exact share of what both have in common. Nothing is merged.",
        group_name="quality",
        owners=["team:data-platform"],
        kinds={"python"},
    )
    def near_duplicates(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult[None]]:
        with faults(context):
            warehouse = platform.warehouse()
            warehouse.prepare()
            warehouse.ensure_tables([definition for table in tables for definition in table.definitions])
            searched = search(warehouse, {table.label for table in here})
        metadata: dict[str, dg.MetadataValue] = {}
        for each in searched:
            counts = {
                "rows": each.found.rows,
                "exact duplicates": each.found.exact.height,
                "near-duplicate pairs": each.found.near.height,
                "pairs compared": each.found.compared,
            }
            metadata |= {f"{each.relation}: {name}": dg.MetadataValue.int(count) for name, count in counts.items()}
        yield dg.MaterializeResult(metadata=metadata)

    job = dg.define_asset_job(
        NEAR_DUPLICATES_JOB,
        selection=dg.AssetSelection.assets(NEAR_DUPLICATES_KEY),
        description="Search reviews and people for duplicates.",
        executor_def=dg.in_process_executor,
    )
    nightly = dg.ScheduleDefinition(
        name="nightly_near_duplicates",
        job=job,
        cron_schedule="30 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Searches once a night, after every source was asked.",
    )
    return dg.Definitions(assets=[near_duplicates], jobs=[job], schedules=[nightly])

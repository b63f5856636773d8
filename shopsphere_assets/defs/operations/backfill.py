"""The job that reads a range of a table from its source again, to be started by hand with the range as its config."""

import time
from typing import Any

import dagster as dg
from pydantic import Field

from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.raw import chosen_tables
from shopsphere_assets.ingestion.backfill import Backfill, Range, backfill, parse_moment
from shopsphere_assets.ingestion.ledger import read_state

BACKFILL_JOB = "backfill"


class BackfillConfig(dg.Config):
    """What to read again."""

    table: str = Field(description="The table, as source/table, such as shop_db/orders.")
    since: str | None = Field(None, description="Rows that changed from then on, such as 2026-03-01 (UTC).")
    until: str | None = Field(None, description="Rows that changed before then.")
    key_from: str | None = Field(None, description="The first key.")
    key_to: str | None = Field(None, description="The last key.")
    files: str | None = Field(None, description="Pattern of the files' paths below the source's folder.")


@dg.op(description="Read a table, or a range of it, from its source again. Newer rows and the watermark stay.")
def read_again(context: dg.OpExecutionContext, platform: Platform, config: BackfillConfig) -> None:
    """Read the range and record what came as a materialization of the raw table."""
    began = time.perf_counter()
    with faults(context):
        [(system, table)] = chosen_tables([config.table], where="the run's config, table")
        wanted = Range(
            since=parse_moment(config.since) if config.since else None,
            until=parse_moment(config.until) if config.until else None,
            key_from=config.key_from,
            key_to=config.key_to,
            files=config.files,
        )
        destination = platform.destination()
        destination.warehouse.prepare()
        destination.warehouse.ensure_tables(table.definitions)
        found = backfill(
            table,
            platform.source(system),
            destination,
            wanted,
            state=read_state(destination.warehouse, [table])[table.name],
            run_id=context.run.run_id,
        )
    for batch in found.batches:
        for note in batch.notes:
            context.log.warning(note)
    metadata = _metadata(found, config, seconds=time.perf_counter() - began)
    context.log_event(dg.AssetMaterialization(asset_key=table.asset_key, metadata=metadata))


def _metadata(found: Backfill, config: BackfillConfig, *, seconds: float) -> dict[str, dg.MetadataValue[Any]]:
    given = {name: value for name, value in config.model_dump().items() if value is not None and name != "table"}
    chosen = ", ".join(f"{name} {value}" for name, value in given.items())
    return {
        "backfill of": dg.MetadataValue.text(chosen or "all"),
        "seconds": dg.MetadataValue.float(round(seconds, 3)),
        "batches": dg.MetadataValue.int(len(found.batches)),
        **{
            name.replace("_", " "): dg.MetadataValue.int(found.total(name))
            for name in ("rows_read", "rows_loaded", "rows_quarantined", "rows_excluded")
        },
    }


@dg.definitions
def backfills() -> dg.Definitions:
    """The job."""

    @dg.job(
        name=BACKFILL_JOB,
        description="Read a range of a table from its source again; which, is asked for in the Launchpad.",
        executor_def=dg.in_process_executor,
    )
    def job() -> None:
        read_again()

    return dg.Definitions(jobs=[job])

"""The quality report as an asset, made anew after every publication."""

from collections.abc import Iterator

import dagster as dg

from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.quality.scores import SCORES_KEY
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.warehouse.conditions import AFTER_UPSTREAM, PUBLICATION_KEY
from shopsphere_assets.ingestion.mapping import mapped_tables
from shopsphere_assets.quality.report import make_report, page_url, summary

REPORT_KEY = dg.AssetKey(["quality", "report"])


@dg.definitions
def quality_report() -> dg.Definitions:
    """The report's asset."""

    @dg.asset(
        key=REPORT_KEY,
        deps=[PUBLICATION_KEY, SCORES_KEY],
        description="How good the data are, on one page: scores and their trends, the rules most often broken, the "
        "ledger of every source, corrections, the quarantine and its age, drift, alerts. Its metadata has the link.",
        group_name="quality",
        owners=["team:data-platform"],
        kinds={"python"},
        automation_condition=AFTER_UPSTREAM,
    )
    def report(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult[None]]:
        settings = platform.settings
        with faults(context):
            warehouse = platform.warehouse()
            warehouse.prepare()
            tables = [table for system in source_systems() for table in mapped_tables(system)]
            figures, written = make_report(warehouse, tables, settings, run_id=context.run.run_id)
        yield dg.MaterializeResult(
            metadata={
                "summary": dg.MetadataValue.md(summary(figures)),
                "page": dg.MetadataValue.url(page_url(settings, written.page)),
                "page of the day": dg.MetadataValue.url(page_url(settings, written.day)),
                "file": dg.MetadataValue.path(str(written.page)),
                "rows in quarantine": figures.quarantine.open,
                "rows read": figures.total.read_today,
            }
        )

    return dg.Definitions(assets=[report])

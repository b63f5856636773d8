"""Raw tables that are kept up to date by their source's change log: what their assets and their sensor do.

Belongs here: how a run of several assets shares one read of the log. What the read does stands in
``shopsphere_assets.ingestion.changes``.
"""

import dagster as dg

from resources.warehouse import Warehouse
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.ingestion.batch import Destination
from shopsphere_assets.ingestion.changes import capture, has_batches, log_news, report_of_run
from shopsphere_assets.ingestion.connections import open_source_log
from shopsphere_assets.ingestion.ledger import BatchReport
from shopsphere_assets.ingestion.mapping import mapped_tables
from shopsphere_assets.ingestion.raw_table import RawTable, SourceSystem


def captures_log(platform: Platform, system: SourceSystem) -> bool:
    """Whether the tables of ``system`` are kept up to date by its change log."""
    return platform.settings.capture(system.name) == "log"


def read_log(
    context: dg.AssetExecutionContext,
    platform: Platform,
    system: SourceSystem,
    table: RawTable,
    destination: Destination,
) -> BatchReport | None:
    """Bring ``table`` to where the log ends.

    The first asset of a run brings the run's other tables along, so that the log is read once for all of them;
    each of these then only looks whether more has come. Raises :class:`PlatformError`.
    """
    tables = mapped_tables(system)
    opened = open_source_log(system, tables, platform.settings)
    assert opened is not None
    source, change_log = opened
    only = {table.name}
    if not has_batches(destination.warehouse, tables, context.run.run_id):
        selection = context.run.asset_selection
        only |= {t.name for t in tables if selection is None or dg.AssetKey(t.asset_key) in selection}
        destination.warehouse.ensure_tables([d for t in tables if t.name in only for d in t.definitions])
    captured = capture(tables, source, change_log, destination, run_id=context.run.run_id, only=only)
    for name in sorted(only):
        for note in captured[name].notes:
            context.log.warning(f"{system.name}/{name}: {note}")
    error = captured[table.name].error
    if error is not None:
        raise error
    return report_of_run(destination.warehouse, table, context.run.run_id)


def ask_log(
    platform: Platform, system: SourceSystem, tables: list[RawTable], warehouse: Warehouse
) -> dict[str, str | None]:
    """What the log holds for each table that is not applied yet. Raises :class:`PlatformError`."""
    opened = open_source_log(system, tables, platform.settings)
    assert opened is not None
    return log_news(tables, opened[1], warehouse)

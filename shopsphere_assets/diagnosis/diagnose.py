"""The order of the checks, from what everything needs to the single column.

Belongs here: which checks there are and what is skipped when an earlier one failed. Not here: any check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resources.errors import PlatformError
from resources.settings import load_settings
from shopsphere_assets.diagnosis.alerts import check_alerts
from shopsphere_assets.diagnosis.configuration import check_variables
from shopsphere_assets.diagnosis.finding import Finding, failed
from shopsphere_assets.diagnosis.mapped_sources import existing_tables
from shopsphere_assets.diagnosis.sources import check_source
from shopsphere_assets.diagnosis.stores import check_dagster_storage, check_dbt_project, check_folders, check_warehouse
from shopsphere_assets.ingestion.raw_table import SourceSystem


def diagnose(systems: Sequence[SourceSystem]) -> Iterator[Finding]:
    """Everything that is to be said of this environment, in the order in which a person would look.

    ``systems``: every source system that the platform knows.
    """
    try:
        settings = load_settings()
    except PlatformError as error:
        # Without settings there is nothing to look at.
        yield failed("Settings", "settings", error)
        return
    yield from check_variables(settings)
    yield from check_folders(settings)
    yield from check_warehouse(settings)
    yield from check_dagster_storage(settings)
    yield from check_dbt_project(settings)
    yield from check_alerts(settings)
    tables, findings = existing_tables(settings, systems)
    yield from findings
    for system in systems:
        if tables.get(system.name):
            yield from check_source(system, tables[system.name], settings)

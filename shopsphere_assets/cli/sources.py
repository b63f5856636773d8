"""Which sources exist here, and the simulated shop's history where some are simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from resources.settings import Settings
from resources.warehouse import open_warehouse
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.demo.environment import (
    HISTORY_DAYS,
    SIMULATED_SOURCES,
    SimulatedShop,
    open_simulation,
    plain_errors,
)
from shopsphere_assets.ingestion.batch import Destination
from shopsphere_assets.ingestion.mapping import mapped_tables
from shopsphere_assets.ingestion.raw_table import RawTable


def needed_sources() -> set[str]:
    """The names of the source systems of which any table exists here."""
    return {system.name for system in source_systems() if mapped_tables(system)}


def prepared(settings: Settings, tables: Sequence[RawTable]) -> Destination:
    """Where batches go, with everything in place that these tables need there."""
    warehouse = open_warehouse(settings.warehouse)
    warehouse.prepare()
    warehouse.ensure_tables([definition for table in tables for definition in table.definitions])
    return Destination(warehouse, settings.lake)


def simulated_sources(settings: Settings) -> list[str]:
    """The sources that exist here and that ``settings`` leave unset."""
    needed = needed_sources()
    return [s for s in SIMULATED_SOURCES if s in needed and settings.source_url(s) is None]


def simulate_if_new(
    sources: Sequence[str], complete: Settings, console: Console, wanted: Mapping[str, Any] | None = None
) -> None:
    """Give the simulated ``sources`` their history, unless they have one.

    ``complete``: the settings with the embedded parts; ``wanted``: parameters of a new shop other than the
    default ones.
    """
    if not sources:
        return
    simulation = open_simulation(complete, sources, wanted)
    advance(simulation, HISTORY_DAYS - simulation.next_day, console)


def advance(simulation: SimulatedShop, days: int, console: Console) -> None:
    """Let so many days happen in the simulated shop, with progress shown."""
    if days <= 0:
        return
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, plain_errors():
        task = progress.add_task("Simulating the shop (days)", total=days)
        simulation.advance(days, progress=lambda _day: progress.advance(task))

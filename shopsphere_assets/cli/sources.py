"""Which sources exist here, and the simulated shop's history where some are simulated."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from resources.settings import Settings
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.demo.environment import HISTORY_DAYS, SIMULATED_SOURCES, World, open_simulation
from shopsphere_assets.ingestion.mapping import mapped_tables


def needed_sources() -> set[str]:
    """The names of the source systems of which any table exists here."""
    return {system.name for system in source_systems() if mapped_tables(system)}


def simulated_sources(settings: Settings) -> list[str]:
    """The sources that exist here and that ``settings`` leave unset."""
    needed = needed_sources()
    return [s for s in SIMULATED_SOURCES if s in needed and settings.source_url(s) is None]


def simulate_if_new(settings: Settings, complete: Settings, console: Console, world: World | None = None) -> None:
    """Give the simulated sources their history, unless they have one.

    ``settings``: as the user set them; ``complete``: with the embedded parts.
    """
    if not simulated_sources(settings):
        return
    simulation = open_simulation(complete, world)
    missing = HISTORY_DAYS - simulation.days
    if missing <= 0:
        return
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Simulating the shop (days)", total=missing)
        simulation.advance(missing, on_day=lambda _day: progress.advance(task))

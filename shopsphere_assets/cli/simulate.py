"""``shopsphere simulate``: let the simulated shop live on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer


def simulate(
    days: Annotated[int | None, typer.Option(min=1, help="Advance by so many days.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Advance until this day, such as 2026-06-30.")] = None,
    scale: Annotated[float | None, typer.Option(min=0.001, help="Size of a new shop; 1 is 20,000 customers.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of a new shop.")] = None,
    error_rate: Annotated[float | None, typer.Option(min=0, max=1, help="Share of wrong rows of a new shop.")] = None,
) -> None:
    """Start the simulated shop, or let it live on.

    A new shop begins with 90 days of history. It is written to the sources that are not set, and to the
    databases that are: name an empty one.
    """
    from rich.console import Console

    from resources.errors import PermanentError
    from resources.settings import load_settings
    from shopsphere_assets.cli.sources import advance, simulate_if_new
    from shopsphere_assets.demo.environment import SIMULATED_SOURCES, embedded_environment, open_simulation

    if days is not None and until is not None:
        raise PermanentError(
            "--days and --until contradict each other", where="shopsphere simulate", remedy="give one of them"
        )
    console = Console()
    settings = load_settings()
    given = {"scale": scale, "seed": seed, "error_rate": error_rate}
    wanted = {name: value for name, value in given.items() if value is not None}
    with embedded_environment(settings, set(SIMULATED_SOURCES), storage=False) as complete:
        simulate_if_new(SIMULATED_SOURCES, complete, console, wanted)
        simulation = open_simulation(complete, SIMULATED_SOURCES, wanted)
        if until is not None:
            days = (until.replace(tzinfo=UTC) - simulation.now).days
            if days < 0:
                raise PermanentError(
                    f"in the shop it is {simulation.now:%Y-%m-%d} already, and its time only goes forward",
                    where="shopsphere simulate --until",
                    remedy="name a later day, or begin a new shop in another SHOPSPHERE_HOME",
                )
        advance(simulation, days or 0, console)
        console.print(f"The shop has lived {simulation.next_day} days; it is now {simulation.now:%A %Y-%m-%d}.")

"""``shopsphere run``: the main job without the UI."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    verbose: Annotated[bool, typer.Option("--verbose", help="Show every event of the run.")] = False,
) -> None:
    """Ingest what is new, build, check and publish. Exit status 0 if everything went well, else 1."""
    from rich.console import Console

    from resources.settings import load_settings
    from shopsphere_assets.cli.dagster_home import dagster_home
    from shopsphere_assets.cli.materialize import materialize, show
    from shopsphere_assets.cli.sources import needed_sources, simulate_if_new, simulated_sources
    from shopsphere_assets.demo.environment import embedded_environment

    console = Console()
    settings = load_settings()
    with embedded_environment(settings, needed_sources()) as complete, dagster_home(complete):
        simulate_if_new(simulated_sources(settings), complete, console)
        outcome = materialize(console, verbose=verbose)
    show(outcome, console)
    raise typer.Exit(0 if outcome.is_success else 1)

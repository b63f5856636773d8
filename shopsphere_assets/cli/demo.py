"""``shopsphere demo``: the whole thing, alive, until Ctrl-C."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import Annotated

import typer


def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the UI.")] = 3000,
    scale: Annotated[float | None, typer.Option(min=0.001, help="Size of a new shop; 1 is 20,000 customers.")] = None,
    seconds_per_day: Annotated[
        float, typer.Option(min=0, help="How long a simulated day takes; 0 stops the shop's clock.")
    ] = 120,
    exit_when_ready: Annotated[bool, typer.Option(help="Stop once the UI answers.")] = False,
) -> None:
    """Start the simulated shop, the platform and its UI; a second demo continues where the first stopped."""
    from rich.console import Console

    from resources.settings import load_settings
    from shopsphere_assets.cli.dagster_home import dagster_home
    from shopsphere_assets.cli.dagster_services import check_port_is_free, dagster_services
    from shopsphere_assets.cli.materialize import fail_abandoned_runs, materialize, show
    from shopsphere_assets.cli.sources import needed_sources, simulate_if_new, simulated_sources
    from shopsphere_assets.cli.steward import steward_service
    from shopsphere_assets.demo.clock import living_shop
    from shopsphere_assets.demo.environment import embedded_environment

    # A service manager ends us by SIGTERM, and a shell starts background jobs deaf to SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    console = Console()
    check_port_is_free(port)
    settings = load_settings()
    wanted = {"scale": scale} if scale is not None else {}
    with embedded_environment(settings, needed_sources()) as complete, dagster_home(complete) as home:
        simulated = simulated_sources(settings)
        simulate_if_new(simulated, complete, console, wanted)
        fail_abandoned_runs()
        show(materialize(console), console)
        logs = complete.state / "logs"
        # The page first, as it wants the warehouse for a moment, which Dagster keeps busy.
        ui = f"http://127.0.0.1:{port}"
        with ExitStack() as stack:
            page = stack.enter_context(steward_service(logs, port + 2))
            for name, url in (("dagster_ui_url", ui), ("steward_url", page)):
                if name not in complete.model_fields_set:
                    # For links in alerts and reports.
                    os.environ[f"SHOPSPHERE_{name.upper()}"] = url
            services = stack.enter_context(dagster_services(home, logs, port))
            console.print(f"\nRows that were set aside wait for you at [bold link]{page}[/].")
            console.print(f"The Dagster UI is at [bold link]{ui}[/]. Ctrl-C stops everything.")
            if exit_when_ready:
                return
            is_alive = bool(simulated) and seconds_per_day > 0
            try:
                if is_alive:
                    with living_shop(complete, simulated, seconds_per_day, on_day=lambda text: console.print(text)):
                        services.wait()
                else:
                    services.wait()
            except KeyboardInterrupt:
                console.print("\nStopping.")

"""``shopsphere report``: the quality report of this moment."""

from __future__ import annotations

from typing import Annotated

import typer


def report(
    is_opened: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write the quality report of this moment and say where it is."""
    from datetime import UTC, datetime

    from rich.console import Console

    from resources.settings import load_settings
    from resources.warehouse import open_warehouse
    from shopsphere_assets.defs.raw import source_systems
    from shopsphere_assets.ingestion.mapping import mapped_tables
    from shopsphere_assets.quality.report import headline, make_report

    settings = load_settings()
    warehouse = open_warehouse(settings.warehouse, lock_timeout=30)
    warehouse.prepare()
    tables = [table for system in source_systems() for table in mapped_tables(system)]
    run_id = f"by-hand-{datetime.now(UTC):%H%M%S}"
    figures, written = make_report(warehouse, tables, settings, run_id=run_id)
    console = Console()
    console.print(headline(figures), markup=False, highlight=False, soft_wrap=True)
    console.print(str(written.page), markup=False, highlight=False, soft_wrap=True)
    if is_opened:
        typer.launch(written.page.as_uri())

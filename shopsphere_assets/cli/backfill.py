"""``shopsphere backfill``: read a range of a table from its source again."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

import typer

from shopsphere_assets.cli.moments import moment
from shopsphere_assets.cli.output import AsJson, counts_table, print_json


def backfill(
    table: Annotated[str, typer.Argument(metavar="SOURCE/TABLE", help="The table to read again.")],
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            metavar="MOMENT",
            parser=moment,
            help="Rows that changed from then on; files that were modified (UTC unless it says else).",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option("--to", metavar="MOMENT", parser=moment, help="Rows that changed before then; files alike."),
    ] = None,
    key_from: Annotated[str | None, typer.Option("--key-from", metavar="KEY", help="The first key.")] = None,
    key_to: Annotated[str | None, typer.Option("--key-to", metavar="KEY", help="The last key.")] = None,
    files: Annotated[
        str | None,
        typer.Option("--files", metavar="PATTERN", help="Files whose path matches, such as 'tickets/2026*'."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a table, or a range of it, from its source again; newer rows stay. Exit status 1 if it cannot be read."""
    from resources.settings import load_settings
    from shopsphere_assets.cli.sources import needed_sources
    from shopsphere_assets.defs.raw import chosen_tables
    from shopsphere_assets.demo.environment import embedded_environment
    from shopsphere_assets.ingestion.backfill import Range, check_range

    [(system, chosen)] = chosen_tables([table], where="SOURCE/TABLE")
    wanted = Range(since, until, key_from, key_to, files)
    check_range(chosen, wanted)
    with embedded_environment(load_settings(), needed_sources(), storage=False):
        row = _backfill(system, chosen, wanted)
    if as_json:
        print_json(row)
    else:
        _show(row)


def _backfill(system: Any, table: Any, wanted: Any) -> dict[str, Any]:
    from resources.settings import load_settings
    from shopsphere_assets.cli.sources import prepared
    from shopsphere_assets.ingestion.backfill import backfill as read_again
    from shopsphere_assets.ingestion.connections import open_source
    from shopsphere_assets.ingestion.ledger import read_state

    settings = load_settings()
    destination = prepared(settings, [table])
    began = time.perf_counter()
    found = read_again(
        table,
        open_source(system, settings),
        destination,
        wanted,
        state=read_state(destination.warehouse, [table])[table.name],
        run_id=str(uuid4()),
    )
    names = ("rows_read", "rows_loaded", "rows_quarantined", "rows_excluded")
    return {
        "table": table.label,
        "batches": len(found.batches),
        **{name: found.total(name) for name in names},
        "seconds": round(time.perf_counter() - began, 3),
        "notes": [note for batch in found.batches for note in batch.notes],
    }


def _show(row: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    shown = counts_table(
        "Read again from the source", ("batches", "read", "loaded", "quarantined", "excluded", "seconds")
    )
    names = ("batches", "rows_read", "rows_loaded", "rows_quarantined", "rows_excluded")
    shown.add_row(row["table"], *[f"{row[name]:,}" for name in names], f"{row['seconds']:.1f}")
    console.print(shown)
    if not row["batches"]:
        console.print("The range holds nothing at the source.")
    for note in row["notes"]:
        console.print(f"[yellow]warning:[/] {escape(note)}", highlight=False, soft_wrap=True)

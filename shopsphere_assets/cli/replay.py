"""``shopsphere replay``: rebuild raw tables and their quarantine from the lake alone."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

import typer

from shopsphere_assets.cli.moments import moment
from shopsphere_assets.cli.output import AsJson, counts_table, print_json


def replay(
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this one, as source/table; may be given repeatedly.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--from",
            metavar="MOMENT",
            parser=moment,
            help="Apply only the batches committed from then on, to the table as it stands (UTC unless it says else).",
        ),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            "--to",
            metavar="MOMENT",
            parser=moment,
            help="Build what stood just before then as replay.<source>__<table>; raw stays as it is.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild raw tables and their quarantine from the lake alone. Exit status 1 if one cannot be rebuilt."""
    from shopsphere_assets.defs.raw import chosen_tables

    if since is not None and until is not None:
        raise typer.BadParameter("what stood at a moment is made of all batches before: leave out --from")
    rows = _replay([chosen for _, chosen in chosen_tables(table)], since, until)
    if as_json:
        print_json({"tables": rows})
    else:
        _show(rows)
    raise typer.Exit(1 if any(row["error"] for row in rows) else 0)


def _replay(tables: list[Any], since: datetime | None, until: datetime | None) -> list[dict[str, Any]]:
    from resources.errors import PlatformError
    from resources.settings import load_settings
    from shopsphere_assets.cli.sources import prepared
    from shopsphere_assets.ingestion.replay import Replay
    from shopsphere_assets.ingestion.replay import replay as rebuild

    settings = load_settings()
    destination = prepared(settings, tables)
    run_id = str(uuid4())
    rows: list[dict[str, Any]] = []
    for table in tables:
        began, error, found = time.perf_counter(), None, Replay()
        try:
            found = rebuild(table, destination, run_id=run_id, since=since, until=until)
        except PlatformError as fault:
            error = str(fault)
        rows.append(
            {
                "table": table.label,
                "batches": found.batches,
                "rows": found.rows,
                "rows_set_right": found.rows_set_right,
                "rows_removed": found.rows_removed,
                "relation": found.relation,
                "seconds": round(time.perf_counter() - began, 3),
                "note": found.note,
                "error": error,
            }
        )
    return rows


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console()
    shown = counts_table("Rebuilt from the lake", ("batches", "rows", "set right", "removed", "seconds"))
    rebuilt = [row for row in rows if row["batches"]]
    for row in rebuilt:
        counts = (f"{row[name]:,}" for name in ("batches", "rows", "rows_set_right", "rows_removed"))
        shown.add_row(row["table"], *counts, f"{row['seconds']:.1f}")
    if rebuilt:
        console.print(shown)
    for row in rows:
        if row["error"]:
            console.print(f"[red]failed:[/] {row['table']}: {escape(row['error'])}", highlight=False, soft_wrap=True)
        elif row["relation"]:
            console.print(f"{row['table']}: to be read as {row['relation']}", highlight=False, soft_wrap=True)
        if row["note"]:
            color = "yellow" if row["batches"] else "dim"
            console.print(f"[{color}]{row['table']}:[/] {escape(row['note'])}", highlight=False, soft_wrap=True)
    if any(row["rows_set_right"] or row["rows_removed"] for row in rows):
        console.print("The next build makes anew what is made of the tables that were set right.")

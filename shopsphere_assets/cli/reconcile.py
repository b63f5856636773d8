"""``shopsphere reconcile``: compare raw tables with their sources, mark what was deleted there, set right the rest."""

from __future__ import annotations

import time
from typing import Annotated, Any
from uuid import uuid4

import typer

from shopsphere_assets.cli.output import AsJson, counts_table, print_json


def reconcile(
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this one, as source/table; may be given repeatedly.")
    ] = None,
    may_be_empty: Annotated[
        bool, typer.Option("--may-be-empty", help="Believe a source that has no row left where the warehouse has some.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare every table with its source and mark the rows deleted there. Exit status 1 if one cannot be compared."""
    from resources.settings import load_settings
    from shopsphere_assets.cli.sources import needed_sources
    from shopsphere_assets.defs.raw import chosen_tables
    from shopsphere_assets.demo.environment import embedded_environment

    chosen = chosen_tables(table)
    with embedded_environment(load_settings(), needed_sources(), storage=False):
        rows = _reconcile(chosen, may_be_empty=may_be_empty)
    if as_json:
        print_json({"tables": rows})
    else:
        _show(rows)
    raise typer.Exit(1 if any(row["error"] for row in rows) else 0)


def _reconcile(chosen: list[tuple[Any, Any]], *, may_be_empty: bool) -> list[dict[str, Any]]:
    from resources.errors import PlatformError
    from resources.settings import load_settings
    from shopsphere_assets.cli.sources import prepared
    from shopsphere_assets.ingestion.connections import open_source
    from shopsphere_assets.ingestion.ledger import read_state
    from shopsphere_assets.ingestion.reconcile import Reconciliation, why_not
    from shopsphere_assets.ingestion.reconcile import reconcile as compare

    settings = load_settings()
    destination = prepared(settings, [table for _, table in chosen])
    run_id = str(uuid4())
    rows: list[dict[str, Any]] = []
    for system, table in chosen:
        began, error = time.perf_counter(), None
        reason = why_not(table)
        found = Reconciliation(note=reason)
        try:
            if reason is None:
                found = compare(
                    table,
                    open_source(system, settings),
                    destination,
                    state=read_state(destination.warehouse, [table])[table.name],
                    run_id=run_id,
                    may_be_empty=may_be_empty,
                )
        except PlatformError as fault:
            error = str(fault)
        rows.append(
            {
                "table": table.label,
                "rows_at_source": found.rows_at_source,
                "rows_deleted": found.rows_deleted,
                "rows_loaded": found.rows_loaded,
                "rows_quarantined": found.rows_quarantined,
                "chunks": found.chunks,
                "chunks_differing": found.chunks_differing,
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
    shown = counts_table(
        "Compared with the sources", ("rows", "deleted", "set right", "quarantined", "chunks differing", "seconds")
    )
    names = ("rows_at_source", "rows_deleted", "rows_loaded", "rows_quarantined", "chunks_differing")
    compared = [row for row in rows if row["chunks"] and not row["error"]]
    for row in compared:
        shown.add_row(row["table"], *[f"{row[name]:,}" for name in names], f"{row['seconds']:.1f}")
    if compared:
        console.print(shown)
    for row in rows:
        if row["error"]:
            console.print(f"[red]failed:[/] {row['table']}: {escape(row['error'])}", highlight=False, soft_wrap=True)
        elif row["note"]:
            color = "yellow" if row["chunks"] else "dim"
            console.print(f"[{color}]{row['table']}:[/] {escape(row['note'])}", highlight=False, soft_wrap=True)

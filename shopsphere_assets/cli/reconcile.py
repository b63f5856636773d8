"""``shopsphere reconcile``: compare raw tables with their sources, mark what was deleted there, set right the rest."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated, Any
from uuid import uuid4

import typer


def reconcile(
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this one, as source/table; may be given repeatedly.")
    ] = None,
    may_be_empty: Annotated[
        bool, typer.Option("--may-be-empty", help="Believe a source that has no row left where the warehouse has some.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Compare every table with its source and mark the rows deleted there. Exit status 1 if one cannot be compared."""
    from resources.settings import load_settings
    from shopsphere_assets.cli.sources import chosen_tables, needed_sources
    from shopsphere_assets.demo.environment import embedded_environment

    chosen = chosen_tables(table)
    with embedded_environment(load_settings(), needed_sources(), storage=False):
        rows = _reconcile(chosen, may_be_empty=may_be_empty)
    if as_json:
        json.dump({"tables": rows}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        _show(rows)
    raise typer.Exit(1 if any(row["error"] for row in rows) else 0)


def _reconcile(chosen: list[tuple[Any, Any]], *, may_be_empty: bool) -> list[dict[str, Any]]:
    from resources.errors import PlatformError
    from resources.settings import load_settings
    from resources.warehouse import open_warehouse
    from shopsphere_assets.ingestion.batch import Destination
    from shopsphere_assets.ingestion.connections import open_source
    from shopsphere_assets.ingestion.ledger import read_state
    from shopsphere_assets.ingestion.reconcile import Reconciliation, why_not
    from shopsphere_assets.ingestion.reconcile import reconcile as compare

    settings = load_settings()
    warehouse = open_warehouse(settings.warehouse)
    warehouse.prepare()
    warehouse.ensure_tables([definition for _, table in chosen for definition in table.definitions])
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
                    Destination(warehouse, settings.lake),
                    state=read_state(warehouse, [table])[table.name],
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
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    shown = Table(
        title="Compared with the sources", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    shown.add_column("table", no_wrap=True)
    names = ("rows_at_source", "rows_deleted", "rows_loaded", "rows_quarantined", "chunks_differing")
    for title in ("rows", "deleted", "set right", "quarantined", "chunks differing", "seconds"):
        shown.add_column(title, justify="right")
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

"""``shopsphere status``: what was read, loaded and set aside, and what readers see."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from shopsphere_assets.cli.output import AsJson, print_json


def status(as_json: AsJson = False) -> None:
    """Show every raw table's counts and watermark, and the current publication."""
    from resources.settings import load_settings
    from resources.warehouse import open_warehouse
    from shopsphere_assets.defs.raw import source_systems
    from shopsphere_assets.ingestion.ledger import table_totals
    from shopsphere_assets.ingestion.mapping import mapped_tables

    warehouse = open_warehouse(load_settings().warehouse, lock_timeout=30)
    warehouse.prepare()
    totals = table_totals(warehouse)
    tables = [t for system in source_systems() for t in mapped_tables(system)]
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    for table in tables:
        total = totals.get((table.source, table.name), {})
        last = total.get("last_batch_at")
        rows.append(
            {
                "table": table.label,
                "rows_read": total.get("rows_read", 0),
                "rows_loaded": total.get("rows_loaded", 0),
                "rows_quarantined": total.get("rows_quarantined", 0),
                "rows_excluded": total.get("rows_excluded", 0),
                "rows_deleted": total.get("rows_deleted", 0),
                "rows_corrected": total.get("rows_corrected", 0),
                "batches": total.get("batches", 0),
                "watermark": total.get("watermark"),
                "last_batch_at": last.isoformat() if last else None,
                "minutes_since_last_batch": round((now - last).total_seconds() / 60, 1) if last else None,
            }
        )
    published = warehouse.current_publication()
    publication = None
    if published:
        publication = {
            "version": published.version,
            "published_at": published.published_at.isoformat(),
            "minutes_old": round((now - published.published_at).total_seconds() / 60, 1),
            "tables": published.tables,
            "rows": published.rows,
            "latency_seconds": published.latency_seconds,
            "longest_latency_seconds": published.longest_latency_seconds,
            "newest_change_at": _moment(published.changes.newest_at),
            "change_clock": published.changes.clock,
        }
    if as_json:
        print_json({"tables": rows, "publication": publication})
    else:
        _show(rows, publication)


# In two lines, so that a row fits into a usual terminal.
_TITLES = {"quarantined": "quaran-\ntined", "excluded": "ex-\ncluded", "corrected": "cor-\nrected"}


def _show(rows: list[dict[str, Any]], publication: dict[str, Any] | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="Raw tables", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    counts = ("read", "loaded", "quarantined", "excluded", "corrected", "deleted")
    for name in ("table", *counts, "watermark", "last batch"):
        is_text = name in ("table", "watermark", "last batch")
        table.add_column(_TITLES.get(name, name), justify="left" if is_text else "right", no_wrap=True)
    for row in rows:
        age = row["minutes_since_last_batch"]
        table.add_row(
            row["table"],
            *[f"{row[f'rows_{n}']:,}" for n in counts],
            (row["watermark"] or "")[:16].replace("T", " "),
            "never" if age is None else _ago(age),
        )
    console.print(table)
    if publication is None:
        console.print("Nothing is published yet: `shopsphere run` builds and publishes.")
        return
    console.print(
        f"Publication {publication['version']}: {publication['tables']} tables, {publication['rows']:,} rows, "
        f"published {_ago(publication['minutes_old'])}{_latency(publication)}."
    )


def _latency(publication: dict[str, Any]) -> str:
    """How long after the newest change it was published, if any had come in."""
    seconds = publication["latency_seconds"]
    if seconds is None:
        return ""
    since = "the newest change at a source" if publication["change_clock"] == "source" else "the last read began"
    return f", {seconds:,.0f} s after {since}"


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _ago(minutes: float) -> str:
    if minutes < 1:
        return "just now"
    if minutes < 120:
        return f"{minutes:.0f} min ago"
    if minutes < 48 * 60:
        return f"{minutes / 60:.0f} h ago"
    return f"{minutes / 1440:.0f} days ago"

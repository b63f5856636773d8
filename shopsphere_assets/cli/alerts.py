"""``shopsphere alerts``: what is wrong at present, and whether it was told."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer


def alerts(
    days: Annotated[int, typer.Option(min=0, help="Also those that were mended in the last so many days.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the open alerts: what is wrong, since when, where to look and what to do."""
    from datetime import UTC, datetime, timedelta

    from resources.settings import load_settings
    from resources.warehouse import open_warehouse
    from shopsphere_assets.alerts.store import mended_alerts, open_alerts

    warehouse = open_warehouse(load_settings().warehouse, lock_timeout=30)
    warehouse.prepare()
    found = open_alerts(warehouse)
    if days:
        found += mended_alerts(warehouse, since=datetime.now(UTC) - timedelta(days=days))
    rows: list[dict[str, Any]] = [
        {
            "alert_id": alert.alert_id,
            "severity": alert.severity,
            "title": alert.title,
            "cause": alert.cause,
            "opened_at": alert.opened_at.isoformat(),
            "last_seen_at": alert.last_seen_at.isoformat(),
            "occurrences": alert.occurrences,
            "notified_at": alert.notified_at.isoformat() if alert.notified_at else None,
            "resolved_at": alert.resolved_at.isoformat() if alert.resolved_at else None,
            "details": alert.details,
        }
        for alert in found
    ]
    if as_json:
        json.dump(rows, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        _show(rows)


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if not rows:
        console.print("No alert is open.")
    for row in rows:
        color = "green" if row["resolved_at"] else "red" if row["severity"] == "error" else "yellow"
        word = "mended" if row["resolved_at"] else row["severity"]
        console.print(Text.assemble((word, f"bold {color}"), "  ", (row["title"], "bold")), soft_wrap=True)
        told = f"told {_minute(row['notified_at'])}" if row["notified_at"] else "not told yet"
        mended = f", mended {_minute(row['resolved_at'])}" if row["resolved_at"] else ""
        times = f"seen {row['occurrences']:,} times" if row["occurrences"] > 1 else "seen once"
        _line(console, "since", f"{_minute(row['opened_at'])}, {times}, {told}{mended}")
        for label, text in row["details"].items():
            _line(console, label, text)
        console.print()


def _line(console: Any, label: str, text: str) -> None:
    from rich.text import Text

    console.print(Text.assemble((f"  {label + ':':<20} ", "dim"), text), soft_wrap=True)


def _minute(moment: str) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC"

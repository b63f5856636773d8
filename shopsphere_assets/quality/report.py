"""The quality report: one page that stands by itself, for a run and for its day.

Belongs here: turning figures into sentences and a page, and keeping the pages. Not here: the figures
(``report_figures``) and serving the pages (``shopsphere_assets/web``).

A page needs nothing but itself: style and charts are inline, and it has no script. Everything that comes from data is
escaped by the template engine.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from resources.settings import Settings
from resources.warehouse import Warehouse
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.quality import charts
from shopsphere_assets.quality.report_figures import DIMENSIONS, Figures, Ledger, Share, gather

FOLDER = Path("reports") / "quality"
"""Below ``SHOPSPHERE_HOME``."""

_DAY_PAGE = "index.html"
_LATEST = "latest.html"
# Beyond, the page of the day remains.
_KEPT_RUNS_A_DAY = 50
_KEPT_RUN_DAYS = 7
_GRADES = ((0.99, "very good"), (0.97, "good"), (0.95, "fair"), (0.0, "poor"))
_STANDS_FOR = {
    "completeness": "values that are there where they should be",
    "accuracy": "values that keep the rules of their contract",
    "consistency": "what agrees across tables and systems",
    "timeliness": "what came when it was due",
}


@dataclass(frozen=True)
class Written:
    """Where a report was written: its page, the page of its day, and the latest."""

    page: Path
    day: Path
    latest: Path


def headline(figures: Figures) -> str:
    """How good the data are, in one sentence with numbers."""
    total = figures.total
    if not total.read:
        return "Nothing has been read yet, so there is nothing to judge."
    read, bad, when = total.read_today, total.quarantined_today, "in the last 24 hours"
    if not read:
        read, bad, when = total.read, total.quarantined, "so far (none in the last 24 hours)"
    good = percent(Share(read - bad, read))
    parts = [f"{good} of the {read:,} rows read {when} kept their contract"]
    open_rows = figures.quarantine.open
    parts.append(f"{open_rows:,} {_rows(open_rows)} in the quarantine" if open_rows else "the quarantine is empty")
    if figures.corrections_today:
        parts.append(f"{figures.corrections_today:,} {_cells(figures.corrections_today)} corrected by rule")
    sentence = ", ".join(parts[:-1]) + f" and {parts[-1]}"
    if total.unaccounted:
        return f"{sentence}; but the ledger does not close by {abs(total.unaccounted):,} rows."
    return f"{sentence}; every row is accounted for."


def _rows(count: int) -> str:
    return "row waits" if count == 1 else "rows wait"


def _cells(count: int) -> str:
    return "cell was" if count == 1 else "cells were"


def overall(figures: Figures) -> float | None:
    """The mean of the dimensions that were scored."""
    values = [value for value in map(figures.dimension, DIMENSIONS) if value is not None]
    return sum(values) / len(values) if values else None


def render(figures: Figures, *, ui: str, steward: str) -> str:
    """The page. ``ui`` and ``steward``: where people open Dagster's UI and the steward's pages."""
    score = overall(figures)
    relations = sorted({each.relation for each in figures.scores})
    by_cell = {(each.relation, each.dimension): each for each in figures.scores}
    rows = [(relation, [by_cell.get((relation, dimension)) for dimension in DIMENSIONS]) for relation in relations]
    rows.sort(key=lambda row: min((s.share.value for s in row[1] if s and s.share.value is not None), default=1.0))
    tables = [(ledger.name, table) for ledger in figures.ledgers for table in ledger.tables if table.quarantined]
    tables.sort(key=lambda pair: -(pair[1].quarantined / pair[1].read))
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            figures=figures,
            headline=headline(figures),
            overall=score,
            grade=grade(score),
            dimensions=[
                (name, _STANDS_FOR[name], figures.dimension(name), figures.judged(name), figures.dimension_trend(name))
                for name in DIMENSIONS
            ],
            score_rows=rows,
            worst_tables=tables,
            flow=[(f"{day:%d}", came, settled) for day, came, settled in figures.quarantine.flow],
            ui=ui.rstrip("/"),
            steward=steward.rstrip("/"),
            charts=charts,
        )
    )


def summary(figures: Figures) -> str:
    """The report in short, as Markdown."""
    lines = [f"**{headline(figures)}**", ""]
    for name in DIMENSIONS:
        score = figures.dimension(name)
        if score is not None:
            lines.append(f"- {name}: {percent(score)}")
    if figures.rules:
        worst = figures.rules[0]
        lines.append(f"- most often broken: `{worst.rule}` of `{worst.table}`, {worst.rows:,} open rows")
    still_open = [alert for alert in figures.alerts if alert["resolved_at"] is None]
    lines.append(f"- open alerts: {len(still_open)}; alarms of drift in the last week: {len(figures.alarms)}")
    return "\n".join(lines)


def make_report(
    warehouse: Warehouse, tables: Iterable[RawTable], settings: Settings, *, run_id: str
) -> tuple[Figures, Written]:
    """Gather the figures of this moment and write the report of a run."""
    with warehouse.reading():
        figures = gather(warehouse, tables, run_id=run_id)
    page = render(figures, ui=settings.dagster_ui_url, steward=settings.steward_url)
    return figures, write(page, figures, settings.state)


def page_url(settings: Settings, page: Path) -> str:
    """Where the steward's server shows a page of the report."""
    path = page.relative_to(settings.state).as_posix()
    return f"{settings.steward_url.rstrip('/')}/{quote(path)}"


def write(page: str, figures: Figures, home: Path) -> Written:
    """Write the page of the run, of its day and the latest, each in one act, and a list of all days.

    Old pages of runs are removed.
    """
    root = home / FOLDER
    day = root / f"{figures.made_at.astimezone(UTC):%Y-%m-%d}"
    name = re.sub(r"[^A-Za-z0-9_-]", "-", figures.run_id)[:64] or "run"
    written = Written(day / f"{name}.html", day / _DAY_PAGE, root / _LATEST)
    day.mkdir(parents=True, exist_ok=True)
    for path in (written.page, written.day, written.latest):
        _replace(path, page)
    _remove_old(root, today=figures.made_at.astimezone(UTC).date())
    days = sorted((folder for folder in root.iterdir() if folder.is_dir()), reverse=True)
    archive = (
        _environment()
        .get_template("archive.html.jinja")
        .render(days=[(folder.name, sum(1 for _ in _run_pages(folder))) for folder in days])
    )
    _replace(root.parent / _DAY_PAGE, archive)
    return written


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _run_pages(day: Path) -> Iterable[Path]:
    return (page for page in day.glob("*.html") if page.name != _DAY_PAGE)


def _remove_old(root: Path, *, today: date) -> None:
    for day in root.iterdir():
        try:
            age = (today - date.fromisoformat(day.name)).days
        except ValueError:
            continue
        newest_first = sorted(_run_pages(day), key=lambda page: page.stat().st_mtime_ns, reverse=True)
        for page in newest_first[_KEPT_RUNS_A_DAY if age < _KEPT_RUN_DAYS else 0 :]:
            page.unlink(missing_ok=True)


def percent(share: Share | float | None) -> str:
    """A share in percent; never 100 % (or 0 %) of what is not all (or nothing)."""
    value = share.value if isinstance(share, Share) else share
    if value is None:
        return "–"
    text = f"{value * 100:.1f}"
    if value < 1 and text == "100.0":
        text = f"{min(math.floor(value * 10_000 + 1e-6), 9_999) / 100:.2f}"
    if value > 0 and text == "0.0":
        text = "under 0.1"
    text = text if value not in (0, 1) else text.removesuffix(".0")
    return f"{text}\u00a0%"


def grade(value: float | None) -> str:
    """A word for a score."""
    return "not scored yet" if value is None else next(word for least, word in _GRADES if value >= least)


def _tone(value: float | None) -> str:
    return "none" if value is None else grade(value).replace(" ", "-")


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "never"
    return f"{_duration((now - moment).total_seconds())} ago"


def _duration(seconds: float) -> str:
    for least, unit, length in ((172_800, "days", 86_400), (7_200, "hours", 3_600), (120, "min", 60)):
        if seconds >= least:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
    return f"{value:,.0f}"


def _share_of(part: int, ledger: Ledger) -> float:
    return part / ledger.read if ledger.read else 0.0


def _breakable(text: str) -> Markup:
    """A name that may be broken after its dots, strokes and underscores."""
    return Markup("").join(part + Markup("<wbr>") * (part in "._/") for part in re.split(r"([._/])", text) if part)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "percent": percent,
        "tone": _tone,
        "number": _number,
        "duration": _duration,
        "ago": _ago,
        "minute": lambda moment: f"{moment:%Y-%m-%d %H:%M}" if moment else "–",
        "share_of": _share_of,
        "breakable": _breakable,
    }
    environment.filters.update(filters)
    return environment

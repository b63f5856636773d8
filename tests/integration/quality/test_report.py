"""The quality report: its figures, its words, and that the page stands by itself; on both engines."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from resources.warehouse import TableDefinition, Warehouse, open_warehouse
from resources.warehouse import system_tables as tables
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.quality.report import headline, percent, render, summary, write
from shopsphere_assets.quality.report_figures import Figures, Share, gather

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NOW = datetime(2026, 3, 21, 9, 14, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
RAW_TABLES = [table for system in source_systems() for table in system.tables]
UI, STEWARD = "https://ui.example.com", "https://steward.example.com"


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A prepared warehouse of either engine."""
    url = f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    warehouse = open_warehouse(url, lock_timeout=10)
    warehouse.prepare()
    return warehouse


def fill(warehouse: Warehouse, rows: dict[str, list[dict[str, Any]]]) -> None:
    with warehouse.transaction() as transaction:
        for name_of_table, some in rows.items():
            table: TableDefinition = getattr(tables, name_of_table)
            whole = [{name: row.get(name) for name in table.columns.names} for row in some]
            transaction.append(table.schema, table.name, pa.Table.from_pylist(whole, schema=table.columns))


def batch(number: int, table: str, at: datetime, counts: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    names = ("rows_read", "rows_loaded", "rows_quarantined", "rows_excluded")
    source, _, name = table.partition("/")
    common = {"batch_id": f"b{number}", "source": source, "table_name": name, "finished_at": at, "sequence": number}
    return {**common, "kind": "incremental", **dict(zip(names, counts, strict=True)), **more}


def entry(number: int, came: datetime, *rules: str, settled: datetime | None = None) -> dict[str, Any]:
    reasons = [{"rule": rule, "column": "email", "value": 'ann"rule":"x'} for rule in rules]
    return {
        "quarantine_id": f"q{number}",
        "source": "shop_db",
        "table_name": "customers",
        "row_key": "1",
        "payload": '{"email": "ann@example.com"}',
        "reasons": json.dumps(reasons, separators=(",", ":")),
        "quarantined_at": came,
        "settled_at": settled,
        "settlement": "superseded" if settled else None,
    }


def score(run: int, relation: str, at: datetime, good: int, total: int) -> dict[str, Any]:
    names = {"run_id": f"r{run}", "relation": relation, "dimension": "accuracy", "scored_at": at, "detail": "[]"}
    return {**names, "good": good, "total": total}


def page_of(figures: Figures) -> str:
    return render(figures, ui=UI, steward=STEWARD)


def text_of(page: str) -> str:
    """The page's words, without markup."""
    body = page.partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", body).replace("\u00a0", " ").split())


def test_the_figures_are_those_of_the_tables(warehouse: Warehouse) -> None:
    fill(
        warehouse,
        {
            "BATCHES": [
                batch(1, "shop_db/customers", NOW - 3 * DAY, (900, 800, 60, 40)),
                batch(2, "shop_db/customers", NOW - HOUR, (100, 90, 10, 0)),
                batch(3, "support/tickets", NOW - HOUR, (50, 50, 0, 0)),
                batch(4, "support/tickets", NOW - HOUR, (7, 7, 0, 0), kind="replay"),
            ],
            "QUARANTINE_ROWS": [
                entry(1, NOW - 3 * DAY, "email.email_format"),
                entry(2, NOW - HOUR / 2, "email.email_format", "email.required"),
                entry(3, NOW - 40 * DAY, "email.clean_text"),
                entry(4, NOW - 3 * DAY, "email.email_format", settled=NOW - HOUR),
            ],
            "SCORES": [
                score(1, "raw.shop_db__customers", NOW - 5 * DAY, 80, 100),
                score(2, "raw.shop_db__customers", NOW - DAY, 1, 100),
                score(3, "raw.shop_db__customers", NOW - DAY + HOUR, 90, 100),
                score(3, "raw.support__tickets", NOW - DAY + HOUR, 0, 0),
                score(4, "sales.fct_orders", NOW - HOUR, 300, 300),
            ],
            "CORRECTIONS": [
                {"correction_id": str(n), "source": "shop_db", "table_name": "customers", "column_name": "phone",
                 "rule": "phone.e164", "is_applied": n < 3, "corrected_at": NOW - n * DAY + HOUR, "original": "ann"}
                for n in range(4)
            ],
        },
    )  # fmt: skip
    figures = gather(warehouse, RAW_TABLES, run_id="r1", now=NOW)

    total = figures.total
    assert (total.read, total.loaded, total.quarantined, total.excluded) == (1050, 940, 70, 40)
    assert (total.unaccounted, total.read_today, total.quarantined_today) == (0, 150, 10)
    assert [(rule.rule, rule.rows, rule.rows_today) for rule in figures.rules] == [
        ("email.email_format", 2, 1),
        ("email.clean_text", 1, 0),
        ("email.required", 1, 1),
    ]
    quarantine = figures.quarantine
    assert (quarantine.open, quarantine.came_today, quarantine.settled_today) == (3, 1, 1)
    assert [count for _, count in quarantine.ages] == [1, 0, 1, 0, 1]
    assert quarantine.oldest_at == NOW - 40 * DAY
    assert quarantine.flow[-1][1:] == (1, 1)
    assert quarantine.flow[-4][1:] == (2, 0)
    accuracy = {each.relation: (each.share, each.trend) for each in figures.scores}
    assert accuracy["raw.shop_db__customers"] == (Share(90, 100), [0.8, 0.9])
    assert figures.judged("accuracy") == Share(390, 400)
    assert figures.dimension("accuracy") == pytest.approx(0.95)
    [correction] = figures.corrections
    assert (correction.applied, correction.suggested, figures.corrections_today) == (3, 1, 2)
    assert headline(figures).replace("\u00a0", " ") == (
        "93.3 % of the 150 rows read in the last 24 hours kept their contract, 3 rows wait in the quarantine and"
        " 2 cells were corrected by rule; every row is accounted for."
    )
    words = text_of(page_of(figures))
    for phrase in ("1,050 940 70 6.7 % 40", "95.0 %", "10 of 400 are not", "email. email_ format"):
        assert phrase.replace(" ", "") in words.replace(" ", ""), phrase
    assert "ann" not in words.replace("cannot", "").split()
    assert "example.com" not in words
    assert "accuracy: 95.0" in summary(figures)


def test_a_ledger_that_does_not_close_is_told_in_the_first_sentence(warehouse: Warehouse) -> None:
    fill(warehouse, {"BATCHES": [batch(1, "shop_db/orders", NOW - HOUR, (100, 90, 5, 0))]})
    figures = gather(warehouse, RAW_TABLES, run_id="r1", now=NOW)
    assert "the ledger does not close by 5 rows" in headline(figures)
    assert "✗ 5" in text_of(page_of(figures))


def test_a_new_platform_says_plainly_that_there_is_nothing_yet(warehouse: Warehouse) -> None:
    words = text_of(page_of(gather(warehouse, RAW_TABLES, run_id="r1", now=NOW)))
    for phrase in (
        "Nothing has been read yet",
        "No table has been scored yet.",
        "No batch has been read yet.",
        "No open row breaks a rule.",
        "No row was ever set aside.",
        "No rule has corrected anything yet.",
        "No alarm was raised in the last seven days.",
        "No source has changed its columns.",
        "There was none in the last seven days.",
        "Nothing is published yet.",
    ):
        assert phrase in words


class References(HTMLParser):
    """What a page loads and where it links to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action", "xlink:href") or (name == "href" and tag != "a"):
                self.loads.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name.startswith("on"):
                self.handlers.append(name)


NAUGHTY = (
    "<script>document.title = 'hit'</script>",
    "\"><img src=x onerror=\"document.title='hit'\">",
    "</style><style>@import url(//evil.example)",
    "javascript:document.title='hit'",
    "{{ 7 * 7 }}{% raw %}",
    "'; DROP TABLE quality.alerts; --",
    "\u202eевол \x00 &lt;b&gt; ￾ 田中さん",
)  # fmt: skip


def test_naughty_names_stay_words_and_the_page_needs_nothing_but_itself(tmp_path: Path, browser: Browser) -> None:
    warehouse = open_warehouse(f"duckdb:///{tmp_path / 'warehouse.duckdb'}", lock_timeout=10)
    warehouse.prepare()
    whole = json.loads(_naughty_file().read_text(encoding="utf-8")) if _naughty_file().is_file() else []
    words = [*NAUGHTY, *(text for text in whole if isinstance(text, str))]
    rows: dict[str, list[dict[str, Any]]] = {
        "BATCHES": [batch(1, f"{NAUGHTY[0]}/{NAUGHTY[1]}", NOW - HOUR, (10, 9, 1, 0))],
        "QUARANTINE_ROWS": [
            {**entry(n, NOW - HOUR, word), "table_name": word} for n, word in enumerate(NAUGHTY[:6])
        ],
        "SCORES": [score(n, word, NOW - HOUR, 1, 2) for n, word in enumerate(words)],
        "CORRECTIONS": [
            {"correction_id": str(n), "source": word, "table_name": word, "column_name": word, "rule": word,
             "is_applied": True, "corrected_at": NOW}
            for n, word in enumerate(NAUGHTY)
        ],
        "ALARMS": [
            {"alarm_id": str(n), "source": word, "table_name": word, "kind": word, "note": word, "raised_at": NOW}
            for n, word in enumerate(NAUGHTY)
        ],
        "SCHEMA_VERSIONS": [
            {"source": word, "table_name": word, "version": 2, "seen_at": NOW, "outcome": word,
             "changes": json.dumps([{"change": word, "column": word}])}
            for word in NAUGHTY
        ],
        "ALERTS": [
            {"alert_id": str(n), "cause": word, "title": word, "severity": word, "body": "{}", "opened_at": NOW,
             "last_seen_at": NOW, "occurrences": 1}
            for n, word in enumerate(words)
        ],
    }  # fmt: skip
    fill(warehouse, rows)
    figures = gather(warehouse, RAW_TABLES, run_id="../../<b>evil</b>", now=NOW)
    page = page_of(figures)
    found = References(page)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "b-evil"}
    assert found.loads == []
    assert found.handlers == []
    assert all(link.startswith(("#", f"{UI}/", f"{STEWARD}/")) for link in found.links)
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style

    written = write(page, figures, tmp_path)
    assert written.page.parent == tmp_path / "reports" / "quality" / "2026-03-21"
    with browser.new_context() as context:
        tab = context.new_page()
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(written.page.as_uri())
        assert asked == [written.page.as_uri()]
        assert tab.title() == "Quality report, 2026-03-21 09:14 UTC"
        assert tab.get_by_text(NAUGHTY[0]).count() > 0
        for width in (360, 1180):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), width


def _naughty_file() -> Path:
    return Path(__file__).resolve().parents[4] / "shared" / "data" / "edge_cases" / "naughty_strings.json"


def test_pages_are_kept_by_run_and_day_and_old_ones_of_runs_go(tmp_path: Path) -> None:
    warehouse = open_warehouse(f"duckdb:///{tmp_path / 'warehouse.duckdb'}", lock_timeout=10)
    warehouse.prepare()
    for days in (0, 1, 9):
        figures = gather(warehouse, [], run_id=f"run-{days}", now=NOW + days * DAY)
        written = write(page_of(figures), figures, tmp_path)
    root = tmp_path / "reports"
    assert sorted(str(page.relative_to(root)) for page in root.rglob("*.html")) == [
        "index.html",
        "quality/2026-03-21/index.html",
        "quality/2026-03-22/index.html",
        "quality/2026-03-30/index.html",
        "quality/2026-03-30/run-9.html",
        "quality/latest.html",
    ]
    assert written.latest.read_text() == written.page.read_text() == written.day.read_text()


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Share(0, 0), "–"), (Share(1, 1), "100 %"), (Share(0, 3), "0 %"), (Share(99_999, 100_000), "99.99 %"),
        (Share(9_999_999, 10_000_000), "99.99 %"), (Share(1, 100_000), "under 0.1 %"), (Share(967, 1000), "96.7 %"),
    ],
)  # fmt: skip
def test_a_share_is_never_rounded_to_all_or_nothing(share: Share, text: str) -> None:
    assert percent(share).replace("\u00a0", " ") == text

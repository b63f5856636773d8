"""The quality report of a whole shop tells what its tables hold, and nothing of its people."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import polars as pl

from shopsphere_assets.quality.report import headline, render
from shopsphere_assets.quality.report_figures import gather
from tests.end_to_end.conftest import Loaded
from tests.end_to_end.pipeline import TABLES


def _one(loaded: Loaded, text: str) -> Any:
    return loaded.platform.query(text).item()


def test_the_figures_of_a_built_shop_are_those_of_its_tables(embedded: Loaded, on_servers: Loaded) -> None:
    for loaded in (embedded, on_servers):
        figures = gather(loaded.platform.warehouse, TABLES.values(), run_id="test")
        page = render(figures, ui="http://ui", steward="http://steward")
        words = re.sub(r"<[^>]+>", "", page)
        total = figures.total
        assert total.unaccounted == 0
        assert "every row is accounted for" in headline(figures)
        read = "select sum(rows_read)::bigint from ledger.batches where kind is distinct from 'replay'"
        assert total.read == _one(loaded, read)
        still_open = _one(loaded, "select count(*) from quarantine.rows where settled_at is null")
        assert figures.quarantine.open == still_open > 0
        assert f"{still_open:,} rows are open" in words
        entries = loaded.platform.query(
            "select source, table_name, reasons from quarantine.rows where settled_at is null"
        )
        rules = Counter(
            (f"{source}/{table}", rule)
            for source, table, reasons in entries.iter_rows()
            for rule in {reason["rule"] for reason in json.loads(reasons)}
        )
        assert {(rule.table, rule.rule): rule.rows for rule in figures.rules} == rules
        for rule in figures.rules[:12]:
            assert f"{rule.rows:,}" in words
        assert f"version {_one(loaded, 'select max(version) from ledger.publications')}:" in words


def test_no_personal_value_of_a_built_shop_is_in_its_report(embedded: Loaded) -> None:
    figures = gather(embedded.platform.warehouse, TABLES.values(), run_id="test")
    page = render(figures, ui="http://ui", steward="http://steward")
    emails = embedded.state.raw["shop_db/customers"].get_column("email").drop_nulls()
    values = pl.concat([emails, embedded.state.quarantine.get_column("row_key")]).unique()
    assert [value for value in values if "@" in value and value in page] == []
    assert "@" not in page.partition("<body>")[2]

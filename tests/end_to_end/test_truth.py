"""The platform's work judged by the simulator's truth: nothing lost, nothing doubled, every visible error caught."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from psycopg.rows import dict_row

from simulator.files.support import is_truncated_on
from simulator.world import KEYS
from tests.end_to_end.conftest import FURTHER_DAYS, Loaded, State, state_of
from tests.end_to_end.pipeline import DATABASE_SOURCES, TABLES, Platform, Shop
from tests.end_to_end.source_rows import identities_in_quarantine, identities_in_truth, whole_lines

ROW = ["label", "identity"]


@dataclass(frozen=True)
class Verdict:
    """The entries of the quarantine against the visible errors that stand at the sources."""

    planted: pl.DataFrame
    quarantined: pl.DataFrame


@pytest.fixture(scope="module")
def verdict(shop: Shop, embedded: Loaded) -> Verdict:
    """Both sides with ``label`` and ``identity``."""
    state = embedded.state
    truth = identities_in_truth(shop, state.truth.filter(pl.col("is_row_visible")))
    # Of an export that broke off only what stands before the break was ever delivered; ragged lines are extra.
    kept = pl.concat([truth.filter(pl.col("kind") == "ragged_row"), truth.join(state.delivered, on=ROW, how="semi")])
    return Verdict(planted=kept, quarantined=identities_in_quarantine(state.quarantine))


def broken_off(shop: Shop) -> str:
    """The export of tickets that breaks off on the last of the first days."""
    day = shop.recorder.days[45]
    assert is_truncated_on(day)
    return f"tickets-{day.moment.isoformat()}.json.gz"


def test_every_batch_closes(embedded: Loaded, on_servers: Loaded) -> None:
    """Rows read are rows loaded plus quarantined plus excluded, for every raw table, on both engines."""
    for loaded in (embedded, on_servers):
        batches = loaded.state.batches
        assert set(batches.select(pl.format("{}/{}", "source", "table_name")).to_series()) == set(TABLES)
        accounted = pl.col("rows_loaded") + pl.col("rows_quarantined") + pl.col("rows_excluded")
        assert batches.filter(pl.col("rows_read") != accounted).is_empty()


def test_what_the_ledger_says_was_read_is_what_the_sources_hold(shop: Shop, embedded: Loaded) -> None:
    state = embedded.state
    delivered = dict(state.delivered.group_by("label").len().iter_rows())
    extra = state.truth.filter(pl.col("kind") == "ragged_row").height
    delivered["crm_files/contacts"] += extra
    delivered["support/tickets"] += 1  # the severed line
    read = state.batches.select(pl.format("{}/{}", "source", "table_name").alias("label"), "rows_read")
    assert dict(read.iter_rows()) == {label: delivered.get(label, 0) for label in TABLES}


def test_no_row_is_lost_and_none_is_doubled(shop: Shop, embedded: Loaded) -> None:
    """Raw tables and quarantine together hold the sources' rows: each row in one of them, once."""
    state = embedded.state
    entries = identities_in_quarantine(state.quarantine)
    lines = entries.filter(pl.col("rules").list.eval(pl.element().str.starts_with("line.")).list.any())
    rows = entries.join(lines, on=ROW, how="anti")
    assert rows.filter(pl.struct(ROW).is_duplicated()).is_empty()
    assert rows.join(state.delivered, on=ROW, how="anti").is_empty()
    for label, table in TABLES.items():
        delivered = state.delivered.filter(pl.col("label") == label)
        good = delivered.join(rows, on=ROW, how="anti")
        raw = state.raw[label]
        [key] = table.key
        assert raw[key].n_unique() == raw.height, label
        if label == "web_logs/access_log":
            assert raw.height == good.height
        else:
            assert sorted(raw[key].cast(pl.String)) == sorted(good["row_key"].unique()), label


def test_raw_tables_hold_the_databases_values(shop: Shop, embedded: Loaded) -> None:
    """Cell by cell, as the databases' own drivers give them, for every row that is not in quarantine."""
    compared = 0
    for label, raw in embedded.state.raw.items():
        source, name = label.split("/")
        if source not in DATABASE_SOURCES:
            continue
        key = KEYS[label]
        found = {row[key]: row for row in raw.iter_rows(named=True)}
        for row in first_rows(shop, label):
            if row[key] in found:
                assert found[row[key]] == {column: row.get(column) for column in raw.columns}, label
                compared += 1
        assert found, label
    assert compared > 5_000


def first_rows(shop: Shop, label: str) -> Iterator[dict[str, Any]]:
    """The latest version of each row of a database's table within the first days, as it was written there."""
    key = KEYS[label]
    rows: dict[Any, dict[str, Any]] = {}
    for day in shop.days:
        if day.number > 45:
            break
        if label in day.tables:
            rows.update((row[key], row) for row in day.tables[label].iter_rows(named=True))
        if label in day.deleted:
            for gone in day.deleted[label][key]:
                rows.pop(gone, None)
    return iter(rows.values())

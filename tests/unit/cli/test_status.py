"""``shopsphere status``, before anything ran and from a ledger; the whole journey is an end-to-end test."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.settings import load_settings
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.defs.raw import source_systems
from tests.unit.cli.conftest import Shopsphere

LABELS = [table.label for system in source_systems() for table in system.tables]


@pytest.fixture
def warehouse() -> Warehouse:
    warehouse = open_warehouse(load_settings().warehouse, lock_timeout=10)
    warehouse.prepare()
    return warehouse


def _batch(warehouse: Warehouse, ago: timedelta, read: int, loaded: int, quarantined: int, watermark: str) -> None:
    finished = datetime.now(UTC) - ago
    with warehouse.transaction() as transaction:
        transaction.execute(
            "insert into ledger.batches (batch_id, source, table_name, started_at, finished_at, rows_read,"
            " rows_loaded, rows_quarantined, rows_excluded, watermark)"
            " values ($1, 'shop_db', 'orders', $2, $2, $3, $4, $5, $6, $7)",
            [str(finished), finished, read, loaded, quarantined, read - loaded - quarantined, watermark],
        )


def test_before_the_first_run_every_table_is_listed_as_never_read(shopsphere: Shopsphere) -> None:
    answer = shopsphere("status", "--json")
    assert answer.status == 0
    found = json.loads(answer.output)
    assert [table["table"] for table in found["tables"]] == LABELS
    assert {table["rows_read"] for table in found["tables"]} == {0}
    assert {table["watermark"] for table in found["tables"]} == {None}
    assert found["publication"] is None


def test_before_the_first_run_people_are_told_what_to_do(shopsphere: Shopsphere) -> None:
    answer = shopsphere("status")
    assert answer.status == 0
    assert answer.output.count("never") == len(LABELS)
    assert "Nothing is published yet: `shopsphere run` builds and publishes." in answer.output


def test_counts_are_the_sums_of_all_batches_and_the_watermark_is_the_highest(
    shopsphere: Shopsphere, warehouse: Warehouse
) -> None:
    _batch(warehouse, timedelta(hours=3), 100, 90, 8, "2026-03-01T10:00:00.000000+00:00")
    _batch(warehouse, timedelta(minutes=90), 10, 10, 0, "2026-03-02T10:00:00.000000+00:00")
    [orders] = [
        t for t in json.loads(shopsphere("status", "--json").output)["tables"] if t["table"] == "shop_db/orders"
    ]
    counts = [orders[f"rows_{name}"] for name in ("read", "loaded", "quarantined", "excluded")]
    assert counts == [110, 100, 8, 2]
    assert orders["batches"] == 2
    assert orders["watermark"] == "2026-03-02T10:00:00.000000+00:00"
    assert 89 < orders["minutes_since_last_batch"] < 95
    assert datetime.fromisoformat(orders["last_batch_at"]).tzinfo is not None
    [row] = [line for line in shopsphere("status").output.splitlines() if "shop_db/orders " in line]
    assert "90 min" in row
    assert "2026-03-02 10:00" in row


def test_the_current_publication_is_shown_with_its_age(shopsphere: Shopsphere, warehouse: Warehouse) -> None:
    for statement in ("create schema build_sales", "create table build_sales.fct_orders as select 1 as a"):
        with warehouse.transaction() as transaction:
            transaction.execute(statement)
    warehouse.publish("test")
    found = json.loads(shopsphere("status", "--json").output)["publication"]
    assert (found["version"], found["tables"], found["rows"]) == (1, 1, 1)
    assert 0 <= found["minutes_old"] < 5
    assert "Publication 1: 1 tables, 1 rows, published" in shopsphere("status").output


def test_with_a_sources_file_only_its_tables_are_listed(
    shopsphere: Shopsphere, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("sources.yaml").write_text("sources: {shop_db: {tables: {orders: }}}")
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", "sources.yaml")
    found = json.loads(shopsphere("status", "--json").output)
    assert [table["table"] for table in found["tables"]] == ["shop_db/orders"]

"""``shopsphere replay`` and ``shopsphere backfill``: what is done, what is told, and the exit status."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from resources.settings import load_settings
from resources.warehouse import open_warehouse
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.connections import open_source
from shopsphere_assets.ingestion.ledger import read_state
from tests.raw_tables import good_row
from tests.unit.cli.conftest import Shopsphere

ORDERS = next(table for table in SHOP_DB.tables if table.name == "orders")


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three orders that were read, one of which was tampered with in raw since, and a folder of tickets."""
    path = tmp_path / "shop.db"
    rows = [{**good_row(ORDERS), "order_id": str(number)} for number in (1, 2, 3)]
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE orders ({', '.join(rows[0])})")
        connection.executemany(
            f"INSERT INTO orders VALUES ({', '.join('?' * len(rows[0]))})", [tuple(row.values()) for row in rows]
        )
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", f"sqlite://{path}")
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(tmp_path))
    Path("sources.yaml").write_text("sources: {shop_db: {tables: {orders: }}, support: {}}")
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", "sources.yaml")
    settings = load_settings()
    warehouse = open_warehouse(settings.warehouse)
    warehouse.prepare()
    warehouse.ensure_tables([ORDERS.definition])
    state = read_state(warehouse, [ORDERS])["orders"]
    ingest(ORDERS, open_source(SHOP_DB, settings), Destination(warehouse, settings.lake), state=state, run_id="run")
    with warehouse.transaction() as transaction:
        transaction.execute("UPDATE raw.shop_db__orders SET status = 'lost' WHERE order_id = 2")
    return path


def _lost() -> int:
    rows: list[dict[str, Any]] = (
        open_warehouse(load_settings().warehouse)
        .query("SELECT count(*) AS n FROM raw.shop_db__orders WHERE status = 'lost'")
        .to_pylist()
    )
    return int(rows[0]["n"])


def test_a_replay_sets_right_and_tells_how_much(shopsphere: Shopsphere) -> None:
    answer = shopsphere("replay", "--json")
    assert answer.status == 0
    orders, tickets = json.loads(answer.output)["tables"]
    assert {name: orders[name] for name in ("table", "batches", "rows", "rows_set_right", "rows_removed")} == {
        "table": "shop_db/orders",
        "batches": 1,
        "rows": 3,
        "rows_set_right": 1,
        "rows_removed": 1,
    }
    assert (orders["note"], orders["error"]) == (None, None)
    assert tickets["note"] == "nothing of it is in the lake"
    assert _lost() == 0


def test_people_get_a_table_and_what_comes_of_it(shopsphere: Shopsphere) -> None:
    answer = shopsphere("replay")
    [row] = [line for line in answer.output.splitlines() if "shop_db/orders" in line]
    assert row.split()[1:5] == ["1", "3", "1", "1"]
    assert "The next build" in answer.output
    assert "The next build" not in shopsphere("replay", "--table", "shop_db/orders").output


def test_a_former_state_is_built_beside_raw(shopsphere: Shopsphere) -> None:
    answer = shopsphere("replay", "--table", "shop_db/orders", "--to", "2100-01-01")
    assert "to be read as replay.shop_db__orders" in answer.output
    assert _lost() == 1


def test_a_damaged_lake_is_told_and_the_exit_status_says_so(shopsphere: Shopsphere) -> None:
    [batch] = (load_settings().lake / "shop_db" / "orders").glob("2*")
    shutil.rmtree(batch)
    answer = shopsphere("replay", "--json")
    assert answer.status == 1
    orders, _ = json.loads(answer.output)["tables"]
    assert "the batch is missing" in orders["error"]
    assert str(batch) in orders["error"]
    assert "failed: shop_db/orders" in shopsphere("replay").output


def test_options_of_a_replay_that_make_no_sense_are_refused(shopsphere: Shopsphere) -> None:
    answer = shopsphere("replay", "--from", "2026-01-01", "--to", "2026-02-01")
    assert answer.status == 2
    assert "leave out --from" in answer.usage_error
    answer = shopsphere("replay", "--from", "yesterday")
    assert answer.status == 2
    assert "'yesterday' is no moment" in answer.usage_error
    answer = shopsphere("replay", "--table", "shop_db/nothing")
    assert (answer.status, "no raw table shop_db/nothing" in answer.errors) == (1, True)


def test_a_backfill_repairs_a_range_and_tells_how_much(shopsphere: Shopsphere) -> None:
    answer = shopsphere("backfill", "shop_db/orders", "--key-from", "3", "--json")
    assert (answer.status, json.loads(answer.output)["rows_read"], _lost()) == (0, 1, 1)
    answer = shopsphere("backfill", "shop_db/orders", "--from", "2026-03-01", "--to", "2026-03-02T00:00:00+01:00")
    assert answer.status == 0
    [row] = [line for line in answer.output.splitlines() if "shop_db/orders" in line]
    assert row.split()[1:4] == ["1", "3", "3"]
    assert _lost() == 0
    assert "holds nothing" in shopsphere("backfill", "shop_db/orders", "--from", "2030-01-01").output


def test_a_backfill_that_cannot_be_is_refused(shopsphere: Shopsphere, shop: Path) -> None:
    for arguments, what in (
        (("shop_db/nothing",), "no raw table shop_db/nothing"),
        (("shop_db/orders", "--files", "*"), "a database table has no files"),
        (("shop_db/orders", "--key-from", "5", "--key-to", "4"), "the range ends before it begins"),
        (("support/tickets", "--key-to", "4"), "files are chosen by path"),
        (("support/tickets", "--files", "*.nothing"), "lies in the range"),
    ):
        answer = shopsphere("backfill", *arguments)
        assert answer.status == 1
        assert what in answer.errors
        assert "what to do" in answer.errors
    shop.unlink()
    answer = shopsphere("backfill", "shop_db/orders")
    assert answer.status == 1
    assert "what to do" in answer.errors

"""``shopsphere replay`` and ``shopsphere backfill``: what is done, what is told, and the exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from resources.settings import load_settings
from resources.warehouse import open_warehouse
from tests.unit.cli.conftest import Shopsphere


@pytest.fixture(autouse=True)
def shop(read_shop: Path) -> Path:
    """One of the orders was tampered with in raw since it was read."""
    with open_warehouse(load_settings().warehouse).transaction() as transaction:
        transaction.execute("UPDATE raw.shop_db__orders SET status = 'lost' WHERE order_id = 2")
    return read_shop


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

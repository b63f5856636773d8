"""``shopsphere reconcile``: what is compared, what is told, and the exit status."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shopsphere


@pytest.fixture(autouse=True)
def shop(read_shop: Path) -> Path:
    """One of the orders was deleted since it was read."""
    with sqlite3.connect(read_shop) as connection:
        connection.execute("DELETE FROM orders WHERE order_id = '2'")
    return read_shop


def test_deleted_rows_are_counted_here_and_in_the_status(shopsphere: Shopsphere) -> None:
    answer = shopsphere("reconcile", "--json")
    assert answer.status == 0
    orders, tickets = json.loads(answer.output)["tables"]
    assert (orders["table"], orders["rows_at_source"], orders["rows_deleted"]) == ("shop_db/orders", 2, 1)
    assert (orders["note"], orders["error"]) == (None, None)
    assert "only ever added" in tickets["note"]
    status = {table["table"]: table for table in json.loads(shopsphere("status", "--json").output)["tables"]}
    assert status["shop_db/orders"]["rows_deleted"] == 1


def test_people_get_a_table_and_the_reasons(shopsphere: Shopsphere) -> None:
    answer = shopsphere("reconcile")
    assert answer.status == 0
    [row] = [line for line in answer.output.splitlines() if "shop_db/orders" in line]
    assert row.split()[1:3] == ["2", "1"]
    assert "support/tickets: read from files" in answer.output


def test_one_table_can_be_chosen_and_an_unknown_one_is_refused(shopsphere: Shopsphere) -> None:
    found = json.loads(shopsphere("reconcile", "--json", "--table", "shop_db/orders").output)
    assert [table["table"] for table in found["tables"]] == ["shop_db/orders"]
    answer = shopsphere("reconcile", "--table", "shop_db/nothing")
    assert answer.status == 1
    assert "no raw table shop_db/nothing" in answer.errors


def test_an_emptied_source_is_believed_only_on_request(shopsphere: Shopsphere, shop: Path) -> None:
    with sqlite3.connect(shop) as connection:
        connection.execute("DELETE FROM orders")
    answer = shopsphere("reconcile", "--table", "shop_db/orders")
    assert answer.status == 0
    assert "--may-be-empty" in answer.output
    found = json.loads(shopsphere("reconcile", "--table", "shop_db/orders", "--may-be-empty", "--json").output)
    assert found["tables"][0]["rows_deleted"] == 3


def test_a_source_that_is_away_is_told_and_the_exit_status_says_so(shopsphere: Shopsphere, shop: Path) -> None:
    shop.unlink()
    answer = shopsphere("reconcile", "--json")
    assert answer.status == 1
    orders, _ = json.loads(answer.output)["tables"]
    assert "what to do" in orders["error"]

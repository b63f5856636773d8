"""``shopsphere quarantine``: what is shown and done, who did it, and the exit status."""

from __future__ import annotations

import getpass
import json
import sqlite3
from contextlib import closing
from pathlib import Path

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
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three orders that were read, two of which are of a currency that there is not."""
    path = tmp_path / "shop.db"
    currencies = ("EUR", "XXQ", "XX\x1b[31mR")
    rows = [{**good_row(ORDERS), "order_id": str(n), "currency": c} for n, c in enumerate(currencies, 1)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE orders ({', '.join(rows[0])})")
        connection.executemany(
            f"INSERT INTO orders VALUES ({', '.join('?' * len(rows[0]))})", [tuple(row.values()) for row in rows]
        )
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", f"sqlite://{path}")
    Path("sources.yaml").write_text("sources: {shop_db: {tables: {orders: }}}")
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", "sources.yaml")
    settings = load_settings()
    warehouse = open_warehouse(settings.warehouse)
    warehouse.prepare()
    warehouse.ensure_tables([ORDERS.definition])
    state = read_state(warehouse, [ORDERS])["orders"]
    ingest(ORDERS, open_source(SHOP_DB, settings), Destination(warehouse, settings.lake), state=state, run_id="run")


def test_from_the_list_to_the_history(shopsphere: Shopsphere) -> None:
    found = json.loads(shopsphere("quarantine", "list", "--rule", "currency.allowed_values", "--json").output)
    assert (found["total"], found["rules"][0]["entries"]) == (2, 2)
    ids = {entry["row_key"]: entry["quarantine_id"] for entry in found["entries"]}
    answer = shopsphere("quarantine", "readmit", ids["2"])
    assert (answer.status, "the row still breaks currency.allowed_values" in answer.output) == (1, True)
    answer = shopsphere("quarantine", "edit", ids["2"], "--set", "currency=GBP", "--reason", "by telephone")
    assert (answer.status, "1 of 1 rows were edited" in answer.output) == (0, True)
    answer = shopsphere("quarantine", "readmit", ids["2"])
    assert (answer.status, "The marts follow" in answer.output) == (0, True)
    shown = shopsphere("quarantine", "show", ids["2"]).output
    assert f"{getpass.getuser()} edited it: by telephone" in shown
    assert "GBP" in shown
    [first, second] = json.loads(shopsphere("quarantine", "show", ids["2"], "--json").output)["history"]
    assert (first["action"], second["action"]) == ("edited", "readmitted")
    # What stands in the data does not get through to the terminal.
    assert "\x1b" not in shopsphere("quarantine", "show", ids["3"]).output
    assert "2 readmitted" not in shopsphere("quarantine", "list").output


def test_many_at_once_by_rule_first_dry(shopsphere: Shopsphere) -> None:
    by_rule = ("--table", "shop_db/orders", "--rule", "currency.allowed_values")
    answer = shopsphere("quarantine", "exclude", *by_rule, "--reason", "a test", "--dry-run")
    assert "2 of 2 rows would be excluded" in answer.output
    answer = shopsphere(
        "quarantine", "exclude", *by_rule, "--reason", "a test", "--by", "grace", "--limit", "1", "--json"
    )
    [outcome] = json.loads(answer.output)["outcomes"]
    assert (answer.status, outcome["is_done"]) == (0, True)
    assert json.loads(shopsphere("quarantine", "list", "--json").output)["total"] == 1
    answer = shopsphere("quarantine", "reopen", outcome["quarantine_id"])
    assert "1 of 1 rows were reopened" in answer.output


def test_what_makes_no_sense_is_refused(shopsphere: Shopsphere) -> None:
    for arguments, status, what in (
        (("exclude", "--reason", "x"), 1, "entries are named or filtered"),
        (("readmit", "0" * 32, "--rule", "x"), 1, "entries are named or filtered"),
        (("exclude", "0" * 32), 2, "--reason"),
        (("show", "0" * 32), 1, "there is no such entry"),
        (("list", "--state", "lost"), 2, "is none of"),
        (("list", "--older-than", "old"), 2, "is no age"),
        (("list", "--table", "shop_db/nothing"), 1, "no raw table"),
    ):
        answer = shopsphere("quarantine", *arguments)
        assert answer.status == status, arguments
        assert what in answer.errors or what in answer.usage_error, answer


def test_samples_are_drawn_and_verdicts_reported(shopsphere: Shopsphere) -> None:
    found = json.loads(shopsphere("quarantine", "sample", "--size", "5", "--json").output)["strata"]
    assert {(each["stratum"], each["rows"]) for each in found} >= {("valid", 1), ("currency.allowed_values", 2)}
    assert "valid" in shopsphere("quarantine", "reviews").output

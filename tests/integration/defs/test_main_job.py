"""The main job as ``shopsphere run`` runs it, on three small sources of which two are faulty at first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resources.warehouse import Warehouse
from shopsphere_assets.cli.main import app
from shopsphere_assets.defs.raw.catalogue_db import CATALOGUE_DB
from shopsphere_assets.defs.raw.support import SUPPORT
from tests import code_location
from tests.integration.defs.shop_sources import SqliteShop
from tests.raw_tables import good_row

pytestmark = [
    # dagster-dbt calls what Dagster deprecates.
    pytest.mark.filterwarnings("ignore:AssetExecutionContext:DeprecationWarning"),
    pytest.mark.usefixtures("no_waiting"),
]

[PRODUCTS] = [table for table in CATALOGUE_DB.tables if table.name == "products"]

SOURCES = """
sources:
  shop_db:
    tables: {customers: , orders: , order_items: }
  catalogue_db:
    tables: {products: }
  support: {}
"""


def _shopsphere(*arguments: str) -> tuple[int, str]:
    """Run a command in this process; its exit status and what it printed."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_faulty_sources_do_not_hold_up_the_others_and_the_repair_loses_nothing(
    sqlite_shop: SqliteShop, warehouse: Warehouse, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code_location.definitions()
    drops = tmp_path / "drops"
    drops.mkdir()
    (tmp_path / "sources.yaml").write_text(SOURCES)
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", str(tmp_path / "sources.yaml"))
    monkeypatch.setenv("SHOPSPHERE_DAGSTER_STORAGE_URL", postgres_url)
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(drops))
    # One source is away, in another more than half of the rows are bad.
    monkeypatch.setenv("SHOPSPHERE_CATALOGUE_DB_URL", "postgresql://reader:hidden@127.0.0.1:1/catalogue")
    for table in ("customers", "orders", "order_items"):
        sqlite_shop.add(table, 1, 5)
    good = good_row(SUPPORT.tables[0])
    tickets = [{**good, "ticket_id": f"{good['ticket_id']}{n}"} for n in range(20)]
    bad = [{**ticket, "updated_at": "yesterday"} for ticket in tickets[:12]]
    (drops / "tickets-1.json").write_text(json.dumps(bad + tickets[12:]))

    status, output = _shopsphere("run")
    assert status == 1
    assert "failed: raw__catalogue_db__products" in output
    assert "the database does not answer" in output
    assert "failed: raw/support/tickets\ncheck quarantine_share failed: share 0.6, share beyond chance" in output
    # Told once, and in the platform's words.
    assert output.count("quarantine_share") == 1
    assert "hidden" not in output
    assert "Traceback" not in output
    assert "Nothing was published; readers keep the version they had." in output
    assert "not built, because a check of what they are made of failed: 7 assets" in output
    # What is sound was read and built.
    assert "shop_db/orders" in output
    built = warehouse.query("select order_id from build_sales.fct_orders order by 1").to_pylist()
    assert [row["order_id"] for row in built] == [1, 2, 3, 4, 5]
    assert warehouse.current_publication() is None

    columns = ", ".join(f'"{name}" TEXT' for name in PRODUCTS.column_types)
    sqlite_shop.execute(f"CREATE TABLE products ({columns})")
    monkeypatch.setenv("SHOPSPHERE_CATALOGUE_DB_URL", sqlite_shop.url)
    (drops / "tickets-2.json").write_text(json.dumps(tickets[:12]))
    status, output = _shopsphere("run")
    assert status == 0, output
    assert "Published version 1: 21 tables" in output
    published = warehouse.read_publication(
        "select (select count(*) from sales.fct_orders) as orders,"
        " (select count(*) from support.fct_tickets) as tickets"
    ).to_pylist()
    assert published == [{"orders": 5, "tickets": 20}]

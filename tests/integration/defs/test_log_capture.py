"""The shop's raw assets and sensor where its change log is followed, as Dagster runs them."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest

from resources.warehouse import Warehouse
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from tests.integration.defs.shop_sources import TABLES, PostgresShop
from tests.integration.defs.test_sensor import Daemon


@pytest.fixture
def logged_shop(wal_url: str, monkeypatch: pytest.MonkeyPatch) -> PostgresShop:
    """An empty shop whose log is followed."""
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", wal_url)
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_CAPTURE", "log")
    shop = PostgresShop(wal_url)
    for table in TABLES.values():
        with psycopg.connect(wal_url, autocommit=True) as connection:
            connection.execute(f'ALTER TABLE "{table.name}" ADD PRIMARY KEY ("{table.key[0]}")'.encode())
    return shop


def _ids(warehouse: Warehouse, table: str) -> list[int]:
    key = TABLES[table].key[0]
    found = warehouse.query(f"SELECT {key} FROM raw.shop_db__{table} WHERE _deleted_at IS NULL ORDER BY 1")
    ids: list[int] = found.column(0).to_pylist()
    return ids


def test_the_sensor_asks_the_log_and_a_run_reads_it(
    logged_shop: PostgresShop, instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    logged_shop.add("orders", 1, 3)
    daemon = Daemon(SHOP_DB, instance)
    assert sorted(daemon.tick()) == sorted(TABLES)
    assert daemon.run()
    assert _ids(warehouse, "orders") == [1, 2, 3]
    assert daemon.tick() == "nothing new"
    logged_shop.add("payments", 7)
    # Its time of change says nothing new: only the log knows.
    logged_shop.execute("DELETE FROM orders WHERE order_id = 2")
    assert sorted(daemon.tick()) == ["orders", "payments"]
    assert daemon.run()
    assert _ids(warehouse, "orders") == [1, 3]
    assert _ids(warehouse, "payments") == [7]
    assert daemon.tick() == "nothing new"


def test_each_asset_reports_what_the_run_read_for_it(
    logged_shop: PostgresShop, instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    logged_shop.add("customers", 1, 2)
    logged_shop.add("orders", 1, 3)
    daemon = Daemon(SHOP_DB, instance)
    daemon.tick()
    assert daemon.run()
    for table, expected in (("customers", 2), ("orders", 3), ("refunds", 0)):
        event = instance.get_latest_materialization_event(dg.AssetKey(TABLES[table].asset_key))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["rows loaded"].value == expected
    # The log was read once for all of them.
    found = warehouse.query("SELECT count(DISTINCT log_position) AS places FROM ledger.batches").to_pylist()
    assert found[0]["places"] <= 2 * len(TABLES)

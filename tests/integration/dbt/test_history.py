"""Type 2 dimensions: what they say of any moment is what a replay of the source's change log says."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from resources.embedded import EmbeddedPostgres
from resources.reading import Chunk
from resources.warehouse import open_warehouse
from shopsphere_assets.defs.raw.catalogue_db import CATALOGUE_DB
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from shopsphere_assets.ingestion.raw_table import RawTable
from tests.integration.dbt.dbt_in_process import Project
from tests.integration.dbt.warehouses import DuckDBWarehouse, PostgresWarehouse
from tests.raw_tables import good_row, text_chunk

CUSTOMERS = next(table for table in SHOP_DB.tables if table.name == "customers")
PRICES = next(table for table in CATALOGUE_DB.tables if table.name == "prices")

Version = tuple[int, str, datetime, datetime | None]


class Source:
    """Two tables of a source whose changes are read from its change log, and the truth of what they held."""

    def __init__(self, destination: Destination, dice: random.Random) -> None:
        self._destination = destination
        self._dice = dice
        self._now = datetime.now(UTC)
        self.customers: list[Version] = []
        self.prices: dict[int, tuple[int, str, datetime, datetime | None]] = {}

    def live(self) -> None:
        """Some changes, several to one row, and the batch that brings them."""
        self._change_customers()
        self._change_prices()

    def _tick(self) -> datetime:
        self._now = max(self._now + timedelta(microseconds=1), datetime.now(UTC))
        return self._now

    def _load(self, table: RawTable, rows: list[dict[str, Any]], deleted: list[int]) -> datetime:
        texts = [good_row(table) | {name: None if v is None else str(v) for name, v in row.items()} for row in rows]
        gone = pl.DataFrame({table.key[0]: [str(key) for key in deleted]}) if deleted else None
        chunk = Chunk(text_chunk(table, *texts).rows, bytes_read=0, deleted=gone)
        self._tick()
        report = load_chunks(
            table, [chunk], self._destination, run_id="test", kind="change_log", order_by=None, log_position="1"
        )
        assert report is not None
        assert report.rows_quarantined == 0
        return report.started_at

    def _change_customers(self) -> None:
        standing = {version[0] for version in self.customers if version[3] is None}
        deleted = [key for key in standing if self._dice.random() < 0.2]
        rows = []
        for _ in range(self._dice.randint(0, 5)):
            key, moment = self._dice.randint(1, 4), self._tick()
            if key in deleted:
                continue
            name = self._dice.choice(["Ada", "Grace", "Mary"])
            rows.append({"customer_id": key, "last_name": name, "registered_at": moment, "updated_at": moment})
            self._end(key, moment)
            self.customers.append((key, name, moment, None))
        found = self._load(CUSTOMERS, rows, deleted)
        for key in deleted:
            self._end(key, found)

    def _end(self, key: int, moment: datetime) -> None:
        self.customers = [
            (*version[:3], moment) if version[0] == key and version[3] is None else version
            for version in self.customers
        ]

    def _change_prices(self) -> None:
        product, amount = self._dice.randint(1, 2), f"{self._dice.randint(1, 99)}.00"
        running = [key for key, price in self.prices.items() if price[0] == product and price[3] is None]
        deleted = running[:1] if self._dice.random() < 0.3 else []
        moment, rows = self._tick(), []
        if not deleted:
            # The new price holds from now on; the one before ends, if nobody forgot it.
            changed: dict[int, tuple[int, str, datetime, datetime | None]] = {
                max(self.prices, default=0) + 1: (product, amount, moment, None)
            }
            if self._dice.random() < 0.7:
                changed |= {key: (*self.prices[key][:3], moment) for key in running}
            self.prices.update(changed)
            rows = [
                {"price_id": key, "product_id": price[0], "currency": "EUR", "amount": price[1]}
                | {"valid_from": price[2], "valid_to": price[3], "updated_at": moment}
                for key, price in changed.items()
            ]
        found = self._load(PRICES, rows, deleted)
        for key in deleted:
            self.prices[key] = (*self.prices[key][:3], found)

    def price_at(self, product: int, moment: datetime) -> str | None:
        """What the product costs at a moment: of the prices that hold the one that began last."""
        holding = [
            (begin, key, amount)
            for key, (of, amount, begin, end) in self.prices.items()
            if of == product and begin <= moment and (end is None or moment < end)
        ]
        return max(holding)[2] if holding else None


@pytest.fixture(params=["duckdb", "postgresql"])
def project(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_server: EmbeddedPostgres
) -> Iterator[tuple[Project, Destination]]:
    """The dbt project on a warehouse whose raw tables are filled by the platform itself."""
    if request.param == "duckdb":
        duckdb = DuckDBWarehouse(tmp_path)
        destination = _destination(f"duckdb://{tmp_path / 'warehouse.duckdb'}", tmp_path)
        yield Project(duckdb), destination
        return
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("create database dbt_history")
    url = postgres_server.url("dbt_history")
    destination = _destination(url, tmp_path)
    yield Project(PostgresWarehouse(url, tmp_path)), destination
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("drop database dbt_history with (force)")


def _destination(url: str, folder: Path) -> Destination:
    warehouse = open_warehouse(url)
    warehouse.prepare()
    warehouse.ensure_tables([*CUSTOMERS.definitions, *PRICES.definitions])
    return Destination(warehouse, folder / "lake")


def test_customers_and_prices_equal_a_replay_of_the_change_log(project: tuple[Project, Destination]) -> None:
    dbt, destination = project
    source = Source(destination, random.Random(7))
    for _ in range(25):
        source.live()
    dbt.run("--select", "+dim_customer_history", "+dim_product_prices")

    history = "select customer_id, last_name, valid_from, valid_to from build_customers.dim_customer_history"
    assert sorted(dbt.warehouse.query(history)) == sorted(source.customers)
    begun = {begin for _, _, begin, _ in source.customers}
    assert {end for *_, end in source.customers} - begun - {None}, "nobody was deleted, so nothing was tried"

    periods = dbt.warehouse.query(
        "select product_id, list_price, valid_from, valid_to from build_catalogue.dim_product_prices"
        " where not is_carried_forward"
    )
    moments = {moment for price in source.prices.values() for moment in price[2:] if moment is not None}
    for moment in moments:
        for product in (1, 2):
            said = [
                str(price)
                for of, price, begin, end in periods
                if of == product and begin <= moment and (end is None or moment < end)
            ]
            assert said == [price for price in [source.price_at(product, moment)] if price is not None]

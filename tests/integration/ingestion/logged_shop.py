"""A shop's database whose change log is followed, on MariaDB or PostgreSQL, and the warehouse that follows it.

Belongs here: writing to the shop and comparing raw with it. Not here: what is promised.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql

from resources.change_log import ChangeLog, open_change_log
from resources.sql_source import SqlSource
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.contracts import shop_db
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.changes import Captured, capture, log_news, logged_table
from shopsphere_assets.ingestion.ledger import read_state
from shopsphere_assets.ingestion.raw_table import RawTable
from tests.raw_tables import raw_table

REFUNDS = raw_table(shop_db.Refunds)
CUSTOMERS = raw_table(shop_db.Customers)
TABLES = [REFUNDS, CUSTOMERS]

_MOMENT = {"mysql": "datetime(6) NULL", "postgresql": "timestamptz"}
_FLAG = {"mysql": "tinyint(1)", "postgresql": "boolean"}


class LoggedShop:
    """Two tables, ``refunds`` and ``customers``, that tests write to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.source = SqlSource(url)
        moment, flag = _MOMENT[self.source.dialect], _FLAG[self.source.dialect]
        self.execute(
            "CREATE TABLE refunds (refund_id bigint PRIMARY KEY, order_id bigint, payment_id bigint, reason"
            f" varchar(40), currency varchar(3), amount decimal(18,2), refunded_at {moment}, updated_at {moment})",
            "CREATE TABLE customers (customer_id bigint PRIMARY KEY, email varchar(100), first_name varchar(50),"
            " last_name varchar(50), phone varchar(30), birth_date date, country_code varchar(2), locale varchar(10),"
            f" is_marketing_opt_in {flag}, registered_at {moment}, updated_at {moment})",
        )

    def connect(self) -> Any:
        """A connection of its own."""
        if self.source.dialect == "postgresql":
            return psycopg.connect(self.url)
        parts = urlsplit(self.url)
        return pymysql.connect(
            host="127.0.0.1",
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            database=parts.path[1:],
            charset="utf8mb4",
        )

    def execute(self, *statements: str) -> None:
        """Run statements in one transaction."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
        finally:
            connection.close()

    def refund(self, number: int, amount: str = "10.00", *more: int) -> None:
        """New refunds."""
        rows = ", ".join(
            f"({n}, 1, 2, 'late', 'EUR', {amount}, '2026-03-01 12:00:00', '2026-03-01 12:00:00')"
            for n in (number, *more)
        )
        self.execute(f"INSERT INTO refunds VALUES {rows}")

    def numbers(self, count: int) -> str:
        """A relation ``n`` with the numbers from 1 to ``count`` as ``i``."""
        if self.source.dialect == "mysql":
            return f"(SELECT seq AS i FROM seq_1_to_{count}) AS n"
        return f"generate_series(1, {count}) AS n(i)"

    def many_refunds(self, count: int, first: int = 1) -> str:
        """The statement that inserts ``count`` refunds."""
        return (
            f"INSERT INTO refunds SELECT i + {first - 1}, i, i, 'late', 'EUR', i, '2026-03-01 12:00:00',"
            f" '2026-03-01 12:00:00' FROM {self.numbers(count)}"
        )


class Follower:
    """A platform that follows the shop's log."""

    def __init__(
        self, shop: LoggedShop, warehouse: Warehouse, lake: Path, tables: list[RawTable] | None = None
    ) -> None:
        self.shop = shop
        self.tables = tables or TABLES
        self.destination = Destination(warehouse, lake)
        warehouse.prepare()
        warehouse.ensure_tables([d for table in self.tables for d in table.definitions])

    @property
    def log(self) -> ChangeLog:
        """The shop's log, as a new process would open it."""
        logged = [logged_table(table, self.shop.source) for table in self.tables]
        return open_change_log(self.shop.url, logged, name="shopsphere")

    def follow(self, *, changes_per_batch: int = 1000, run_id: str = "run") -> dict[str, Captured]:
        """Bring all tables to where the log ends; no table may be left behind."""
        found = self.try_to_follow(changes_per_batch=changes_per_batch, run_id=run_id)
        assert {name: captured.error for name, captured in found.items() if captured.error} == {}
        return found

    def try_to_follow(self, *, changes_per_batch: int = 1000, run_id: str = "run") -> dict[str, Captured]:
        """The same; some may be."""
        return capture(
            self.tables,
            self.shop.source,
            self.log,
            self.destination,
            run_id=run_id,
            changes_per_batch=changes_per_batch,
        )

    def news(self) -> dict[str, str | None]:
        """What the sensor would find."""
        return log_news(self.tables, self.log, self.destination.warehouse)

    def rows(self, table: RawTable, *, deleted: bool = False) -> list[dict[str, Any]]:
        """The rows in raw that are (not) marked as deleted, in order, without what differs from batch to batch."""
        return rows_in(self.destination.warehouse, table, deleted=deleted)

    def set_aside(self, table: RawTable) -> list[dict[str, Any]]:
        """The quarantined rows."""
        return set_aside_in(self.destination.warehouse, table)

    def batches(self, table: RawTable) -> list[dict[str, Any]]:
        """The table's entries in the ledger."""
        found: list[dict[str, Any]] = self.destination.warehouse.query(
            "SELECT kind, rows_read, rows_loaded, rows_deleted, log_position FROM ledger.batches"
            " WHERE table_name = $1 ORDER BY sequence",
            [table.name],
        ).to_pylist()
        return found


def rows_in(warehouse: Warehouse, table: RawTable, *, deleted: bool = False) -> list[dict[str, Any]]:
    """See :meth:`Follower.rows`."""
    columns = ", ".join([*table.column_types, "_position"])
    found: list[dict[str, Any]] = warehouse.query(
        f"SELECT {columns} FROM {table.definition} WHERE _deleted_at IS {'NOT ' if deleted else ''}NULL"
        f" ORDER BY {', '.join(table.key)}"
    ).to_pylist()
    return found


def set_aside_in(warehouse: Warehouse, table: RawTable) -> list[dict[str, Any]]:
    """See :meth:`Follower.set_aside`."""
    found: list[dict[str, Any]] = warehouse.query(
        "SELECT quarantine_id, row_key, reasons FROM quarantine.rows WHERE table_name = $1 ORDER BY quarantine_id",
        [table.name],
    ).to_pylist()
    return found


def polled(shop: LoggedShop, folder: Path, tables: list[RawTable] | None = None) -> Warehouse:
    """A new warehouse with what one read of the tables as they stand gives."""
    warehouse = open_warehouse(f"duckdb:///{folder / 'polled' / 'warehouse.duckdb'}")
    destination = Destination(warehouse, folder / "polled" / "lake")
    warehouse.prepare()
    for table in tables or TABLES:
        warehouse.ensure_tables(table.definitions)
        state = read_state(warehouse, [table])[table.name]
        ingest(table, shop.source, destination, state=state, run_id="poll")
    return warehouse


def at_work(shop: LoggedShop, writers: int, steps: int) -> list[threading.Thread]:
    """Threads that insert, change, renumber and delete refunds of their own: the end state is always the same."""

    def write(first: int) -> None:
        connection = shop.connect()
        cursor = connection.cursor()
        try:
            for step in range(steps):
                number = first + step
                cursor.execute(shop.many_refunds(1, number))
                connection.commit()
                cursor.execute(f"UPDATE refunds SET amount = amount + {step} WHERE refund_id = {number}")
                if step % 3 == 0:
                    cursor.execute(f"DELETE FROM refunds WHERE refund_id = {number - step // 2}")
                connection.commit()
                if step % 5 == 0:
                    cursor.execute(f"UPDATE refunds SET refund_id = {number + 500_000} WHERE refund_id = {number}")
                if step % 7 == 0:
                    cursor.execute(f"UPDATE refunds SET amount = 1 WHERE refund_id = {number}")
                    connection.rollback()
                connection.commit()
        finally:
            connection.close()

    threads = [threading.Thread(target=write, args=(1_000_000 * n,), daemon=True) for n in range(1, writers + 1)]
    for thread in threads:
        thread.start()
    return threads

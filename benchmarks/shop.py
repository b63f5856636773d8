"""The shop's tables ``orders`` and ``order_items`` in MariaDB, at any size, and changes to them.

The rows are the simulator's, as they stand at the end of two years, made in bulk and not day by day; without
planted errors, so that whoever loads them can be held to the same sums. Does not belong here: who loads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from benchmarks.servers import ask_mariadb
from simulator.catalogue import Catalogue
from simulator.clock import Clock
from simulator.databases import shop_sink
from simulator.dice import Dice
from simulator.orders import OrderBook
from simulator.people import People
from simulator.sales import Sales
from simulator.sinks import Day

KEYS = {"orders": "order_id", "order_items": "order_item_id"}
CURSOR = "updated_at"
AMOUNTS = {
    "orders": ("shipping_amount", "tax_amount", "discount_amount"),
    "order_items": ("unit_price", "line_amount"),
}
"""The columns whose sums a loaded table is held to."""

_START = date(2024, 1, 1)
_DAYS = 730
_AT_ONCE = 250_000
_NEW_SHARE = 0.1
"""Share of the changed rows that are new ones."""


@dataclass(frozen=True)
class Totals:
    """What a table and a faithful copy of it have in common."""

    rows: int
    sums: tuple[float, ...]
    latest: datetime


class Shop:
    """Two years of orders in the MariaDB database at ``url``, and what happens to them afterwards."""

    def __init__(self, url: str, *, orders: int, items: int, seed: int = 7) -> None:
        self.url, self._orders, self._items = url, orders, items
        dice, clock = Dice(seed), Clock(_START)
        # Somewhat more than asked for: the two years end with the last order asked for or later.
        scale = 1.05 * orders / clock.elapsed[_DAYS] * 90 / 60_000
        people = People(dice, clock, scale)
        book = OrderBook(dice, clock, people, Catalogue(dice, clock, min(scale, 4.0)), scale)
        self._sales = Sales(dice, book, people)
        self._ends = int(clock.begin(_DAYS))
        self._changes = 0

    def fill(self) -> None:
        """Write both tables."""
        left = self._items
        for number, (orders, items) in enumerate(self._bulk()):
            tables = {"shop_db/orders": orders, "shop_db/order_items": items.head(left)}
            shop_sink(self.url).write(Day(number, _START, tables))
            left -= min(left, items.height)
        for table in KEYS:
            ask_mariadb(self.url, f"ANALYZE TABLE {table}")

    def _bulk(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        for first in range(1, self._orders + 1, _AT_ONCE):
            yield self._rows(np.arange(first, min(first + _AT_ONCE, self._orders + 1), dtype=np.int64))

    def _rows(self, ids: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[pl.DataFrame, pl.DataFrame]:
        orders = self._sales.book.orders(ids)
        lines = self._sales.book.lines(orders)
        return self._sales.orders_on(orders, lines, self._ends), self._sales.items_on(orders, lines)

    def change(self, table: str, rows: int) -> datetime:
        """Change and add ``rows`` rows of ``table``, spread over its keys; returns the moment before them."""
        before = self.totals(table).latest
        self._changes += 1
        key = KEYS[table]
        added, changed = int(rows * _NEW_SHARE), rows - int(rows * _NEW_SHARE)
        [(lowest, highest)] = ask_mariadb(self.url, f"SELECT MIN({key}), MAX({key}) FROM {table}")
        # Every so-many-th key from another start each time.
        step = max((self._orders if table == "orders" else self._items) // changed, 1)
        picked = f"SELECT {key} FROM (SELECT {key}, ROW_NUMBER() OVER (ORDER BY {key}) AS n FROM {table}) AS k"
        offset = self._changes % step
        moment = f"'{before:%Y-%m-%d %H:%M:%S}' + INTERVAL 1 SECOND + INTERVAL {key} % 3600000000 MICROSECOND"
        amount = AMOUNTS[table][-1]
        ask_mariadb(
            self.url,
            f"UPDATE {table} JOIN ({picked} WHERE n % {step} = {offset} LIMIT {changed}) AS p USING ({key})"
            f" SET {CURSOR} = {moment}"
            # The rule that a line's amount is quantity times price must go on holding.
            + (f", {amount} = {amount} + 1" if table == "orders" else ", quantity = 1, line_amount = unit_price"),
        )
        [(columns,)] = ask_mariadb(
            self.url,
            "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM information_schema.columns"
            f" WHERE table_schema = DATABASE() AND table_name = '{table}'",
        )
        values = [
            f"{key} + {highest - lowest + 1}" if name == key else moment if name == CURSOR else name
            for name in str(columns).split(",")
        ]
        ask_mariadb(
            self.url,
            f"INSERT INTO {table} ({columns}) SELECT {', '.join(values)} FROM {table} ORDER BY {key} LIMIT {added}",
        )
        return before

    def totals(self, table: str) -> Totals:
        """What a copy of the table must have."""
        sums = ", ".join(f"SUM({column})" for column in AMOUNTS[table])
        [(rows, latest, *amounts)] = ask_mariadb(self.url, f"SELECT COUNT(*), MAX({CURSOR}), {sums} FROM {table}")
        return Totals(rows, tuple(float(amount) for amount in amounts), latest)

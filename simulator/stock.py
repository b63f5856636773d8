"""Stock in the warehouses: what leaves with the orders, what runs out, what is delivered again.

Belongs here: the rows of ``catalogue_db/inventory``. Does not belong here: the orders that cause them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from simulator.catalogue import Catalogue
from simulator.clock import DAY, MINUTE, Clock
from simulator.columns import dates, integers, moments, pick
from simulator.dice import Dice, Floats, Ints
from simulator.orders import OrderBook
from simulator.people import POOLS
from simulator.places import REGIONS

WAREHOUSES = ("ATL1", "LHR1", "LEJ2")
"""One per region of :data:`simulator.places.REGIONS`."""
_CYCLE = 28
"""Every so many days every shelf is filled to its full level; so no earlier day need be known."""
_KEYS_PER_DAY = 10_000_000


class Stock:
    """The stock of every product in every warehouse (product-major arrays)."""

    def __init__(self, dice: Dice, clock: Clock, catalogue: Catalogue, book: OrderBook, scale: float) -> None:
        self.dice, self.clock, self.catalogue, self.book = dice, clock, catalogue, book
        self._region_share = np.array(
            [POOLS.weights[POOLS.region == region].sum() for region in range(len(REGIONS))]
        ) / POOLS.weights.sum()  # fmt: skip
        self._daily_units = 60_000 * scale / 90 * 2.75
        self._mean_popularity = 3.2
        self._opening = catalogue.arrivals.opening
        self._day = -1
        self._on_hand: Ints = np.empty(0, dtype=np.int64)
        self._backlog: Ints = np.empty(0, dtype=np.int64)

    def _levels(self, count: int) -> Ints:
        """Full shelf per product and warehouse: some days of expected sales, too few for some products."""
        product = np.arange(1, count + 1, dtype=np.int64)
        share = self.catalogue.popularity(product) / (self._mean_popularity * max(self._opening, 1))
        expected: Floats = np.repeat(share, len(WAREHOUSES)) * np.tile(self._region_share, count) * self._daily_units
        cover = self.dice.uniform("stock.cover", np.arange(len(expected)), 3, 24)
        return np.ceil(expected * cover).astype(np.int64) + 4

    def _demand(self, day: int, count: int) -> Ints:
        orders = self.book.placed_on(day)
        lines = self.book.lines(orders)
        place = (lines.product - 1) * len(WAREHOUSES) + POOLS.region[orders.country[lines.owner]]
        return np.bincount(place, weights=lines.quantity, minlength=count * len(WAREHOUSES)).astype(np.int64)

    def _advance(self, day: int) -> tuple[Ints, Ints]:
        """Take the stock from the end of the day before to the end of ``day``: units sold and received."""
        count = self.catalogue.arrivals.before(day + 1)
        level = self._levels(count)
        missing = len(level) - len(self._on_hand)
        on_hand = np.concatenate([self._on_hand, np.zeros(missing, dtype=np.int64)])
        backlog = np.concatenate([self._backlog, np.zeros(missing, dtype=np.int64)])
        place = np.arange(len(level), dtype=np.int64)
        if day % _CYCLE == 0:
            arrives = np.ones(len(level), dtype=bool)
        else:
            is_low = on_hand * 4 < level
            is_slow = self.dice.chance("stock.slow_supplier", place, 0.06)
            arrives = is_low & ~is_slow & self.dice.chance("stock.arrives", place + day * 10_000_000, 0.4)
            arrives |= place >= len(self._on_hand)
        received = np.where(arrives, np.maximum(level + backlog - on_hand, 0), 0)
        need = backlog + self._demand(day, count)
        sold = np.minimum(need, on_hand + received)
        self._on_hand, self._backlog, self._day = on_hand + received - sold, need - sold, day
        return sold, received

    def inventory_on(self, day: int) -> pl.DataFrame:
        """Rows of ``catalogue_db/inventory`` for the stock that moved on the day."""
        if self._day != day - 1:
            # After a full fill the stock depends on that day's sales alone: begin there, from nothing.
            self._on_hand = self._backlog = np.empty(0, dtype=np.int64)
            for earlier in range(max(day - 1, 0) // _CYCLE * _CYCLE, day):
                self._advance(earlier)
        sold, received = self._advance(day)
        moved = np.flatnonzero((sold > 0) | (received > 0))
        product, warehouse = moved // len(WAREHOUSES) + 1, moved % len(WAREHOUSES)
        key = (day + 1) * _KEYS_PER_DAY + product * 10 + warehouse
        counted = self.clock.begin(day) + DAY - self.dice.between("stock.counted", key, MINUTE, 45 * MINUTE)
        return pl.DataFrame(
            {
                "inventory_id": integers(key),
                "product_id": integers(product),
                "warehouse_code": pick(WAREHOUSES, warehouse),
                "quantity_on_hand": integers(self._on_hand[moved]),
                "quantity_sold": integers(sold[moved]),
                "quantity_received": integers(received[moved]),
                "counted_on": dates(np.full(len(moved), self.clock.date_number(day))),
                "updated_at": moments(counted),
            }
        )

"""The simulated world: what happens at every source system on each day.

Belongs here: bringing the subjects together, late and deleted rows, and the promise that a day depends on
the parameters and its number alone. Does not belong here: any subject's own behaviour, and where the rows
are written (``sinks``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, timedelta

import polars as pl

from simulator.catalogue import Catalogue
from simulator.clock import Clock
from simulator.crm import Crm
from simulator.dice import Dice
from simulator.errors import plant
from simulator.feedback import Feedback
from simulator.identities import Identities
from simulator.marketing import Marketing
from simulator.orders import WEB, OrderBook
from simulator.people import People
from simulator.sales import Sales, within
from simulator.sinks import Day
from simulator.stock import Stock
from simulator.web import Web

KEYS = {
    "shop_db/customers": "customer_id",
    "shop_db/addresses": "address_id",
    "shop_db/orders": "order_id",
    "shop_db/order_items": "order_item_id",
    "shop_db/payments": "payment_id",
    "shop_db/refunds": "refund_id",
    "catalogue_db/categories": "category_id",
    "catalogue_db/products": "product_id",
    "catalogue_db/prices": "price_id",
    "catalogue_db/inventory": "inventory_id",
    "hubspot/contacts": "contact_id",
    "hubspot/campaigns": "campaign_id",
    "hubspot/email_events": "event_id",
    "web_logs/events": "event_id",
    "web_logs/access_log": "log_line_id",
    "reviews/reviews": "review_id",
    "crm_files/contacts": "crm_contact_id",
    "crm_files/loyalty_accounts": "loyalty_number",
    "crm_files/interactions": "interaction_id",
    "crm_files/suppliers": "supplier_id",
    "support/tickets": "ticket_id",
}
"""Every table with its primary key."""

_LATE_SHARE = 0.002
"""Share of the databases' rows that are committed a day later than their ``updated_at`` says."""
_LATE_SOURCES = ("shop_db/", "catalogue_db/")


class World:
    """ShopSphere from its opening on.

    ``scale`` 1 is about 20,000 customers, 60,000 orders and 500,000 web events over 90 days; ``error_rate``
    is the share of the rows written that carry a planted error. The same parameters give the same days, in
    whatever order and portions they are asked for; in ascending order is fastest.
    """

    def __init__(self, seed: int, scale: float = 1.0, error_rate: float = 0.05, start: date = date(2026, 1, 1)) -> None:
        if scale <= 0:
            raise ValueError(f"scale is {scale}; it must be above 0 (1 is 60,000 orders in 90 days)")
        if not 0 <= error_rate <= 0.5:
            raise ValueError(f"error_rate is {error_rate}; it must lie between 0 and 0.5")
        self.seed, self.scale, self.error_rate, self.start = seed, scale, error_rate, start
        self._dice = Dice(seed)
        clock = self._clock = Clock(start)
        self._people = People(self._dice, clock, scale)
        self._catalogue = Catalogue(self._dice, clock, scale)
        self._book = OrderBook(self._dice, clock, self._people, self._catalogue, scale)
        self._stock = Stock(self._dice, clock, self._catalogue, self._book, scale)
        self._sales = Sales(self._dice, self._book, self._people)
        self._feedback = Feedback(self._dice, self._book, self._people)
        self._identities = Identities(self._dice, self._people, clock, scale)
        self._marketing = Marketing(self._dice, clock, self._people, self._identities)
        self._web = Web(self._dice, clock, self._people, self._catalogue, self._marketing, scale)
        self._crm = Crm(self._dice, clock, self._people, self._identities, scale)
        self._late: tuple[int, dict[str, pl.DataFrame]] = (-1, {})

    def day(self, number: int) -> Day:
        """What happened on day ``number`` (from 0)."""
        if number < 0:
            raise ValueError(f"day {number} is asked for; days count from 0")
        if number and self._late[0] != number - 1:
            self._split_late(number - 1, self._databases_on(number - 1))
        late = self._late[1]
        tables = self._tables_on(number)
        tables |= self._split_late(number, {name: tables[name] for name in tables if name.startswith(_LATE_SOURCES)})
        for name, frame in late.items():
            # What changed again on this day is newer than what came late.
            tables[name] = pl.concat([frame.join(tables[name], on=KEYS[name], how="anti"), tables[name]])
        deleted = {"shop_db/addresses": self._people.addresses_deleted_on(number)}
        tables, truth = plant(tables, KEYS, number, self.error_rate, self._dice)
        return Day(
            number=number,
            moment=self.start + timedelta(days=number),
            tables=tables,
            deleted={name: frame for name, frame in deleted.items() if frame.height},
            truth=truth,
        )

    def days(self, first: int, last: int) -> Iterator[Day]:
        """The days from ``first`` to ``last``, both included."""
        return (self.day(number) for number in range(first, last + 1))

    def _split_late(self, number: int, tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
        """Keep back the rows that are committed on the next day; the others are returned."""
        late, in_time = {}, {}
        for name, frame in tables.items():
            keys = frame[KEYS[name]].to_numpy()
            is_late = self._dice.chance(f"late.{name}", keys * 4_096 + number, _LATE_SHARE if number else 0.0)
            if is_late.any():
                late[name] = frame.filter(pl.Series(is_late))
                in_time[name] = frame.filter(pl.Series(~is_late))
            else:
                in_time[name] = frame
        self._late = (number, late)
        return in_time

    def _databases_on(self, number: int) -> dict[str, pl.DataFrame]:
        alive = self._book.alive_on(number)
        return {
            "shop_db/customers": self._people.customers_on(number),
            "shop_db/addresses": self._people.addresses_on(number),
            **self._sales.tables_on(number, alive),
            "catalogue_db/categories": self._catalogue.categories_on(number),
            "catalogue_db/products": self._catalogue.products_on(number),
            "catalogue_db/prices": self._catalogue.prices_on(number),
            "catalogue_db/inventory": self._stock.inventory_on(number),
        }

    def _tables_on(self, number: int) -> dict[str, pl.DataFrame]:
        tables = self._databases_on(number)
        alive = self._book.alive_on(number)
        placed = alive.at(within(alive.placed, int(self._clock.begin(number))))
        on_web = placed.at(placed.channel == WEB)
        lines = self._book.lines(on_web)
        contacts_known = self._identities.known_before(number, "hubspot")
        contacts_new = self._identities.new_on(number, "hubspot")
        crm_known = self._identities.known_before(number, "crm")
        crm_new = self._identities.new_on(number, "crm")
        led, led_clicks = self._marketing.clicks_before_orders(on_web)
        email_events, plain_clicks = self._marketing.email_events_on(number, contacts_known, led_clicks)
        if number == 0:
            contacts_known, crm_known = contacts_known[:0], crm_known[:0]
        return tables | {
            "hubspot/contacts": self._marketing.contacts_on(number, contacts_known, contacts_new),
            "hubspot/campaigns": self._marketing.campaigns_on(number),
            "hubspot/email_events": email_events,
            **self._web.tables_on(number, on_web, led, led_clicks, lines, plain_clicks),
            "reviews/reviews": self._feedback.reviews_on(number, alive),
            "crm_files/contacts": self._crm.contacts_on(number, crm_known, crm_new),
            "crm_files/loyalty_accounts": self._crm.loyalty_accounts_on(number, crm_known, crm_new),
            "crm_files/interactions": self._crm.interactions_on(number),
            "crm_files/suppliers": self._crm.suppliers_on(number),
            "support/tickets": self._feedback.tickets_on(number, alive),
        }


def measure_generation(scale: float = 1.0, days: int = 90, seed: int = 7) -> tuple[int, float]:
    """Generate ``days`` days with errors and throw them away: the rows, and the seconds of processor time."""
    world = World(seed, scale)
    begin = time.process_time()
    rows = sum(day.rows for day in world.days(0, days - 1))
    return rows, time.process_time() - begin

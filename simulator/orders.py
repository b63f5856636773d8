"""Orders as facts: who orders what, when, for how much, and what becomes of it.

Belongs here: every order derived from its number, whole life included. Does not belong here: the rows that
the shop's database shows of it on a given day (``sales``). Amounts are cents as integers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from simulator.catalogue import Catalogue
from simulator.clock import DAY, HOUR, MINUTE, NEVER, SECOND, Arrivals, Clock
from simulator.dice import Dice, Flags, Floats, Ints
from simulator.people import POOLS, People
from simulator.places import COUNTRIES

LIFE_DAYS = 34
"""The days after its own on which an order, its payments or its refund can still change."""

STATUSES = ("pending", "paid", "shipped", "delivered", "cancelled", "returned")
CHANNELS = ("web", "mobile", "store", "phone")
METHODS = ("card", "paypal", "invoice", "bank_transfer", "gift_card", "pix")
WEB, STORE = 0, 2
GOOD, CANCELLED_UNPAID, CANCELLED_PAID, RETURNED, PARTLY_REFUNDED = range(5)
COUPONS = ("", "WELCOME10", "SPRING15", "THANKYOU5", "FRIENDS20")
_COUPON_PERCENT = np.array([0, 10, 15, 5, 20])
_LINES = np.array([0.44, 0.25, 0.14, 0.08, 0.05, 0.025, 0.015])
_SHIPPING = np.array([499, 495, 399, 1490, 699, 700, 4900, 1499])
"""Cents per currency; free above ten times that."""
_FIRST_ORDERS = 0.08
"""Share of orders placed by customers who registered the same day."""


@dataclass(frozen=True)
class Orders:
    """Some orders, one entry each; moments that never come are ``NEVER``."""

    ids: Ints
    day: Ints
    customer: Ints
    country: Ints
    channel: Ints
    method: Ints
    outcome: Ints
    placed: Ints
    paid: Ints
    shipped: Ints
    delivered: Ints
    cancelled: Ints
    returned: Ints
    refunded: Ints

    def at(self, index: Ints | Flags) -> Orders:
        """Some of them."""
        return Orders(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def and_then(self, later: Orders) -> Orders:
        """These and some later ones."""
        pairs = {field.name: (getattr(self, field.name), getattr(later, field.name)) for field in fields(self)}
        return Orders(**{name: np.concatenate(pair) for name, pair in pairs.items()})

    @property
    def currency(self) -> Ints:
        """Index into the currencies."""
        return POOLS.currency[self.country]


@dataclass(frozen=True)
class Lines:
    """Order lines, and the totals of their orders."""

    owner: Ints
    number: Ints
    product: Ints
    quantity: Ints
    unit_cents: Ints
    line_cents: Ints
    items_cents: Ints
    coupon: Ints
    discount_cents: Ints
    shipping_cents: Ints
    tax_cents: Ints

    @property
    def total_cents(self) -> Ints:
        """What is to be paid per order: items + shipping + tax - discount."""
        return self.items_cents + self.shipping_cents + self.tax_cents - self.discount_cents


class OrderBook:
    """All orders ever placed."""

    def __init__(self, dice: Dice, clock: Clock, people: People, catalogue: Catalogue, scale: float) -> None:
        self.dice, self.clock, self.people, self.catalogue = dice, clock, people, catalogue
        self.arrivals = Arrivals(clock, opening=0, per_day=60_000 * scale / 90)
        self._activity: Floats = np.zeros(1)
        self._alive: tuple[int, Orders | None] = (-1, None)
        methods = np.zeros((len(COUNTRIES), len(METHODS)))
        for row, country in enumerate(COUNTRIES):
            for name, weight in country.methods:
                methods[row, METHODS.index(name)] = weight
        self._method_bounds = np.cumsum(methods, axis=1) / methods.sum(axis=1, keepdims=True)

    def _activity_until(self, customers: int) -> Floats:
        """Running sum of how much customers buy; a few buy very often (Pareto, shape 1.6)."""
        if len(self._activity) <= customers:
            ids = np.arange(1, customers * 5 // 4 + 1_000, dtype=np.int64)
            weight = np.minimum((1 - self.dice.uniform("customers.activity", ids)) ** -0.62, 80.0)
            weight[self.people.never_buys(ids)] = 0.0
            self._activity = np.concatenate([[0.0], np.cumsum(weight)])
        return self._activity

    def _customers(self, ids: Ints, day: Ints, quantile: Floats) -> Ints:
        known = self.people.arrivals.before_each(day)
        activity = self._activity_until(int(known.max(initial=1)))
        draw = self.dice.uniform("orders.customer", ids) * activity[known]
        regular = np.searchsorted(activity, draw, side="right").astype(np.int64)
        # A first order comes from somebody who registered earlier on the same day.
        today = self.people.arrivals.before_each(day + 1) - known
        earlier = np.floor(quantile * today).astype(np.int64)
        newcomer = known + 1 + self.dice.below("orders.newcomer", ids, np.maximum(earlier, 1))
        first = (earlier > 0) & self.dice.chance("orders.is_first", ids, _FIRST_ORDERS)
        return np.where(first & ~self.people.never_buys(newcomer), newcomer, np.clip(regular, 1, known))

    def orders(self, ids: Ints) -> Orders:
        """The orders with these numbers."""
        dice = self.dice
        day = self.arrivals.day_of(ids)
        quantile = self.arrivals.quantile(ids, day, dice.uniform("orders.placed", ids))
        customer = self._customers(ids, day, quantile)
        country = dice.choice("customers.country", customer, POOLS.weights)
        channel = dice.choice("orders.channel", ids, [0.40, 0.36, 0.18, 0.06])
        in_store = channel == STORE
        draw = dice.uniform("orders.method", ids)
        method = (draw[:, None] >= self._method_bounds[country]).sum(axis=1).astype(np.int64)
        method = np.where(in_store, METHODS.index("card"), np.minimum(method, len(METHODS) - 1))
        placed = self.clock.begin(day) + Clock.time_of_day(quantile)
        is_slow = (method == METHODS.index("bank_transfer")) | (method == METHODS.index("invoice"))
        pay_delay = np.where(
            is_slow,
            dice.between("orders.slow_payment", ids, 6 * HOUR, 3.5 * DAY),
            dice.between("orders.payment", ids, 20 * SECOND, 8 * MINUTE),
        )
        draw = dice.uniform("orders.outcome", ids)
        outcome = np.select([draw < 0.04, draw < 0.085, draw < 0.12], [CANCELLED_PAID, RETURNED, PARTLY_REFUNDED], GOOD)
        outcome = np.where((outcome == CANCELLED_PAID) & is_slow, CANCELLED_UNPAID, outcome)
        outcome = np.where((outcome == CANCELLED_PAID) & in_store, GOOD, outcome)
        is_cancelled = (outcome == CANCELLED_UNPAID) | (outcome == CANCELLED_PAID)
        paid = np.where(outcome == CANCELLED_UNPAID, NEVER, placed + pay_delay)
        cancelled = np.where(
            outcome == CANCELLED_UNPAID,
            placed + pay_delay,
            np.where(is_cancelled, placed + pay_delay + dice.between("orders.cancel", ids, HOUR, 20 * HOUR), NEVER),
        )
        to_ship = np.where(in_store, MINUTE, dice.between("orders.ship", ids, 4 * HOUR, 60 * HOUR))
        to_deliver = np.where(in_store, MINUTE, dice.between("orders.deliver", ids, 20 * HOUR, 130 * HOUR))
        shipped = np.where(is_cancelled, NEVER, paid + to_ship)
        delivered = np.where(is_cancelled, NEVER, shipped + to_deliver)
        back = delivered + dice.between("orders.return", ids, 2 * DAY, 14 * DAY)
        returned = np.where(outcome == RETURNED, back, NEVER)
        wait = dice.between("orders.refund", ids, HOUR, 50 * HOUR)
        refunded = np.select(
            [outcome == CANCELLED_PAID, outcome == RETURNED, outcome == PARTLY_REFUNDED],
            [cancelled + MINUTE, returned + wait, back],
            NEVER,
        )
        return Orders(
            ids, day, customer, country, channel, method, outcome,
            placed, paid, shipped, delivered, cancelled, returned, refunded,
        )  # fmt: skip

    def placed_on(self, day: int) -> Orders:
        """The orders placed on the day."""
        known_day, known = self._alive
        if known is not None and known_day == day:
            return known.at(known.day == day)
        return self.orders(self.arrivals.on(day))

    def alive_on(self, day: int) -> Orders:
        """Every order that can change on the day, those placed on it included."""
        known_day, known = self._alive
        if known is None or known_day != day:
            if known is None or known_day != day - 1:
                known = self.orders(self.arrivals.during(day - LIFE_DAYS, day))
            else:
                first = self.arrivals.before(max(day - LIFE_DAYS, 0)) + 1
                known = known.at(known.ids >= first).and_then(self.placed_on(day))
            self._alive = (day, known)
        return known

    def _lines_per_order(self, orders: Orders) -> Ints:
        return 1 + self.dice.choice("orders.lines", orders.ids, _LINES)

    def _products(self, orders: Orders, owner: Ints, number: Ints) -> Ints:
        """Customers mostly buy in their two favourite categories; some products go together."""
        line = orders.ids[owner] * 16 + number
        customer = orders.customer[owner]
        second = self.dice.chance("lines.second_taste", line, 0.35)
        categories = self.catalogue.category_count
        taste = self.dice.below("customers.taste", customer * 2 + second, categories)
        quantile = self.dice.uniform("lines.product", line)
        by_taste = self.dice.chance("lines.by_taste", line, 0.62)
        week = orders.day[owner] // 7
        product = np.empty(len(line), dtype=np.int64)
        for number_of_week in np.unique(week):
            here = week == number_of_week
            shelf = self.catalogue.shelf(int(number_of_week))
            liked = shelf.pick_in(taste[here], quantile[here])
            product[here] = np.where(by_taste[here], liked, shelf.pick(quantile[here]))
        return product

    def lines(self, orders: Orders) -> Lines:
        """The lines of the orders, with the orders' totals."""
        count = self._lines_per_order(orders)
        owner = np.repeat(np.arange(len(count)), count)
        starts = np.cumsum(count) - count
        number = np.arange(len(owner)) - starts[owner] + 1
        product = self._products(orders, owner, number)
        line = orders.ids[owner] * 16 + number
        quantity = 1 + self.dice.choice("lines.quantity", line, [0.82, 0.11, 0.04, 0.02, 0.01])
        unit = self.catalogue.price_cents(product, orders.currency[owner], orders.day[owner])
        amount = unit * quantity
        items = np.add.reduceat(amount, starts) if len(starts) else amount
        has_coupon = self.dice.chance("orders.has_coupon", orders.ids, 0.12)
        coupon = np.where(has_coupon, 1 + self.dice.below("orders.coupon", orders.ids, len(COUPONS) - 1), 0)
        discount = items * _COUPON_PERCENT[coupon] // 100
        fee = _SHIPPING[orders.currency]
        shipping = np.where((orders.channel == STORE) | (items >= 10 * fee), 0, fee)
        tax = ((items - discount) * POOLS.tax_percent[orders.country] + 50) // 100
        return Lines(owner, number, product, quantity, unit, amount, items, coupon, discount, shipping, tax)

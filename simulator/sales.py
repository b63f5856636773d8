"""The shop database's rows of orders, lines, payments and refunds, as they stand at the end of a day.

Belongs here: the life of an order seen through ``shop_db``. Does not belong here: what the order is
(``orders``). A row appears on the day it is created and again on each day on which it changes.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from simulator.clock import DAY, NEVER, SECOND, later_that_day
from simulator.columns import digits, integers, join, moments, money, pick, pool, take
from simulator.dice import Dice, Flags, Ints
from simulator.orders import (
    CANCELLED_PAID,
    CANCELLED_UNPAID,
    CHANNELS,
    COUPONS,
    GOOD,
    METHODS,
    PARTLY_REFUNDED,
    RETURNED,
    STATUSES,
    Lines,
    OrderBook,
    Orders,
)
from simulator.people import People
from simulator.places import CURRENCIES

_CODES = pool(list(CURRENCIES))
_REASONS = ("damaged", "wrong_item", "not_as_described", "changed_mind", "late", "cancelled", "other")
_PAYMENT_STATUSES = ("authorized", "captured", "failed", "voided")
_AUTHORIZED, _CAPTURED, _FAILED, _VOIDED = range(4)
_CARD = METHODS.index("card")
_GIFT_CARD = METHODS.index("gift_card")


def within(moment: Ints, begin: int) -> Flags:
    """Whether the moments lie on the day that begins at ``begin``."""
    return (moment >= begin) & (moment < begin + DAY)


class Sales:
    """What ``shop_db`` shows of the order book."""

    def __init__(self, dice: Dice, book: OrderBook, people: People) -> None:
        self.dice, self.book, self.people = dice, book, people

    def orders_on(self, orders: Orders, lines: Lines, begin: int) -> pl.DataFrame:
        """Rows of ``shop_db/orders`` for orders that changed on the day that begins at ``begin``."""
        # One row per order, one column per status in the order of STATUSES; the last one reached counts.
        steps = np.stack(
            [orders.placed, orders.paid, orders.shipped, orders.delivered, orders.cancelled, orders.returned]
        )
        reached = np.where(steps < begin + DAY, steps, -1)
        status = reached.argmax(axis=0)
        updated = reached.max(axis=0)
        return pl.DataFrame(
            {
                "order_id": integers(orders.ids),
                "customer_id": integers(orders.customer),
                "billing_address_id": integers(self.people.billing_address(orders.customer)),
                "shipping_address_id": integers(self.people.shipping_address(orders.customer)),
                "status": pick(STATUSES, status),
                "channel": pick(CHANNELS, orders.channel),
                "currency": take(_CODES, orders.currency),
                "shipping_amount": money(lines.shipping_cents),
                "tax_amount": money(lines.tax_cents),
                "discount_amount": money(lines.discount_cents),
                "coupon_code": pick((None, *COUPONS[1:]), lines.coupon),
                "placed_at": moments(orders.placed),
                "updated_at": moments(updated),
            }
        )

    def items_on(self, orders: Orders, lines: Lines) -> pl.DataFrame:
        """Rows of ``shop_db/order_items``, written with the order."""
        product = lines.product
        placed = moments(orders.placed[lines.owner])
        return pl.DataFrame(
            {
                "order_item_id": integers(orders.ids[lines.owner] * 10 + lines.number),
                "order_id": integers(orders.ids[lines.owner]),
                "line_number": integers(lines.number),
                "product_id": integers(product),
                "sku": self.book.catalogue.skus(product),
                "quantity": integers(lines.quantity),
                "unit_price": money(lines.unit_cents),
                "line_amount": money(lines.line_cents),
                "created_at": placed,
                "updated_at": placed,
            }
        )

    def payments_on(self, orders: Orders, lines: Lines, begin: int) -> pl.DataFrame:
        """Rows of ``shop_db/payments`` that appear or change on the day.

        The main payment is captured when the order is paid, or for some cards authorised then and captured
        on shipment. Some orders have a failed attempt before it; some are paid in part by gift card.
        """
        dice, ids, total = self.dice, orders.ids, lines.total_cents
        by_gift = (orders.method == _CARD) & (orders.outcome == GOOD) & dice.chance("payments.gift", ids, 0.05)
        gift_cents = np.where(by_gift, total // 4, 0)
        is_late_capture = (orders.method == _CARD) & (orders.shipped < NEVER) & dice.chance("payments.later", ids, 0.3)
        unpaid = orders.outcome == CANCELLED_UNPAID
        taken = np.where(unpaid, later_that_day(orders.placed, SECOND), orders.paid)
        changed = np.where(is_late_capture, orders.shipped, np.where(unpaid, orders.cancelled, NEVER))
        is_final = changed < begin + DAY
        first = np.where(is_late_capture | unpaid, _AUTHORIZED, _CAPTURED)
        last = np.where(unpaid, _VOIDED, _CAPTURED)
        fails = (orders.method != _GIFT_CARD) & ~unpaid & dice.chance("payments.fails", ids, 0.04)
        failed = np.where(fails, later_that_day(orders.placed, 10 * SECOND), NEVER)
        shown = [within(failed, begin), within(taken, begin) | within(changed, begin), within(taken, begin) & by_gift]
        always = np.ones(len(ids), dtype=np.int64)
        fields: list[list[Ints]] = [
            # number, method, status, cents, taken, updated
            [always, orders.method, always * _FAILED, total, failed, failed],
            [always * 2, orders.method, np.where(is_final, last, first), total - gift_cents, taken,
             np.where(is_final, changed, taken)],
            [always * 3, always * _GIFT_CARD, always * _CAPTURED, gift_cents, taken, taken],
        ]  # fmt: skip
        order = np.concatenate([np.flatnonzero(here) for here in shown])
        number, method, status, cents, paid_at, updated = (
            np.concatenate([part[field][here] for part, here in zip(fields, shown, strict=True)]) for field in range(6)
        )
        payment = ids[order] * 10 + number
        return pl.DataFrame(
            {
                "payment_id": integers(payment),
                "order_id": integers(ids[order]),
                "method": pick(METHODS, method),
                "status": pick(_PAYMENT_STATUSES, status),
                "currency": take(_CODES, orders.currency[order]),
                "amount": money(cents),
                "provider_reference": join("pay_", digits(dice.bits("payments.reference", payment) >> np.uint64(4))),
                "paid_at": moments(paid_at),
                "updated_at": moments(updated),
            }
        )

    def refunds_on(self, orders: Orders, lines: Lines) -> pl.DataFrame:
        """Rows of ``shop_db/refunds`` for orders that are refunded on the day."""
        ids, total = orders.ids, lines.total_cents
        # Returned goods are refunded without the shipping more often than with it.
        keeps_shipping = self.dice.chance("refunds.shipping", ids, 0.7) & (total > lines.shipping_cents)
        starts = np.searchsorted(lines.owner, np.arange(len(ids)))
        first_line = lines.line_cents[starts]
        part = first_line * (total - lines.shipping_cents) // np.maximum(lines.items_cents, 1)
        cents = np.select(
            [orders.outcome == CANCELLED_PAID, orders.outcome == PARTLY_REFUNDED],
            [total, np.maximum(part, 1)],
            total - np.where(keeps_shipping, lines.shipping_cents, 0),
        )
        reason = self.dice.below("refunds.reason", ids, 5)
        reason = np.where(orders.outcome == CANCELLED_PAID, _REASONS.index("cancelled"), reason)
        reason = np.where((orders.outcome == RETURNED) & self.dice.chance("refunds.other", ids, 0.1), 6, reason)
        return pl.DataFrame(
            {
                "refund_id": integers(ids * 10 + 1),
                "order_id": integers(ids),
                "payment_id": integers(ids * 10 + 2),
                "reason": pick(_REASONS, reason),
                "currency": take(_CODES, orders.currency),
                "amount": money(cents),
                "refunded_at": moments(orders.refunded),
                "updated_at": moments(orders.refunded),
            }
        )

    def tables_on(self, day: int, alive: Orders) -> dict[str, pl.DataFrame]:
        """The four tables' rows inserted or updated on the day; ``alive``: the orders that can change."""
        begin = int(self.book.clock.begin(day))
        status_moves = np.zeros(len(alive.ids), dtype=bool)
        for moment in (
            alive.placed,
            alive.paid,
            alive.shipped,
            alive.delivered,
            alive.cancelled,
            alive.returned,
        ):
            status_moves |= within(moment, begin)
        refund_moves = within(alive.refunded, begin)
        touched = status_moves | refund_moves
        orders = alive.at(touched)
        lines = self.book.lines(orders)
        moved, refunded = status_moves[touched], refund_moves[touched]
        new = within(orders.placed, begin)
        return {
            "shop_db/orders": self.orders_on(orders.at(moved), _of(lines, moved), begin),
            "shop_db/order_items": self.items_on(orders.at(new), _of(lines, new)),
            "shop_db/payments": self.payments_on(orders, lines, begin),
            "shop_db/refunds": self.refunds_on(orders.at(refunded), _of(lines, refunded)),
        }


def _of(lines: Lines, keep: Flags) -> Lines:
    """The lines and totals of some of the orders."""
    kept = keep[lines.owner]
    place = np.cumsum(keep) - 1
    return Lines(
        place[lines.owner[kept]], lines.number[kept], lines.product[kept], lines.quantity[kept],
        lines.unit_cents[kept], lines.line_cents[kept], lines.items_cents[keep], lines.coupon[keep],
        lines.discount_cents[keep], lines.shipping_cents[keep], lines.tax_cents[keep],
    )  # fmt: skip

"""Random histories of a shop's raw tables, written as the loader writes them, for tests of incremental models.

Belongs here: what can happen to raw rows, and how a batch of it stands in the warehouse. Not here: dbt, and what
must come of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.integration.dbt.warehouses import Warehouse, column_types, contracts_by_table

_BEGIN = datetime(2026, 3, 1, 22, 0, tzinfo=UTC)

# Few values of everything, so that rows meet: the same key, parent, moment, and sessions 30 minutes apart.
_moments = st.integers(0, 18).map(lambda n: _BEGIN + timedelta(minutes=10 * n))
_amounts = st.sampled_from([Decimal("0.01"), Decimal("9.99"), Decimal("20.00")])
_currencies = st.sampled_from(["EUR", "USD"])
_orders = st.integers(1, 6)


def _texts(prefix: str, highest: int) -> st.SearchStrategy[str]:
    return st.integers(1, highest).map(lambda n: f"{prefix}{n}")


_ROWS: dict[str, tuple[str, dict[str, st.SearchStrategy[Any]]]] = {
    "shop_db/orders": (
        "order_id",
        {
            "order_id": _orders,
            "customer_id": st.integers(1, 3),
            "status": st.sampled_from(["pending", "paid", "cancelled", "returned"]),
            "currency": _currencies,
            "discount_amount": st.none() | _amounts,
            "placed_at": _moments,
            "updated_at": _moments,
        },
    ),
    "shop_db/order_items": (
        "order_item_id",
        {
            "order_item_id": st.integers(1, 8),
            "order_id": _orders,
            "line_number": st.none() | st.integers(1, 3),
            "product_id": st.integers(1, 2),
            "quantity": st.integers(1, 3),
            "line_amount": _amounts,
            "updated_at": _moments,
        },
    ),
    "shop_db/payments": (
        "payment_id",
        {
            "payment_id": st.integers(1, 4),
            "order_id": _orders,
            "method": st.just("card"),
            "status": st.sampled_from(["authorized", "captured", "failed"]),
            "currency": _currencies,
            "amount": _amounts,
            "paid_at": _moments,
            "updated_at": _moments,
        },
    ),
    "shop_db/refunds": (
        "refund_id",
        {
            "refund_id": st.integers(1, 3),
            "order_id": _orders,
            "currency": _currencies,
            "amount": _amounts,
            "refunded_at": _moments,
            "updated_at": _moments,
        },
    ),
    "web_logs/events": (
        "event_id",
        {
            "event_id": _texts("event-", 12),
            "visitor_id": _texts("visitor-", 3),
            "event_type": st.sampled_from(["page_view", "search", "product_view", "add_to_cart", "purchase"]),
            "customer_id": st.none() | st.integers(1, 2),
            "url": st.sampled_from(["https://shop.example/", "https://shop.example/p/1?x=1"]),
            "utm_campaign": st.sampled_from([None, "", "spring"]),
            "search_query": st.sampled_from([None, " Red  shoes"]),
            "order_id": st.none() | _orders,
            "occurred_at": _moments,
            "received_at": _moments,
        },
    ),
    "hubspot/campaigns": (
        "campaign_id",
        {
            "campaign_id": _texts("campaign-", 2),
            "name": st.just("Spring"),
            "utm_campaign": st.sampled_from([None, "spring"]),
            "status": st.just("PUBLISHED"),
            "published_at": st.none() | _moments,
            "created_at": _moments,
            "updated_at": _moments,
        },
    ),
    "hubspot/email_events": (
        "event_id",
        {
            "event_id": _texts("mail-", 6),
            "campaign_id": _texts("campaign-", 3),
            "event_type": st.sampled_from(["SENT", "OPEN"]),
            "recipient_email": st.sampled_from(["anna@example.com", "Ben@example.com"]),
            "occurred_at": _moments,
        },
    ),
    "shop_db/customers": (
        "customer_id",
        {
            "customer_id": st.integers(1, 3),
            "email": st.sampled_from(["anna@example.com", "ben@example.com"]),
            "registered_at": st.just(_BEGIN),
            "updated_at": _moments,
        },
    ),
    "catalogue_db/products": (
        "product_id",
        {
            "product_id": st.integers(1, 2),
            "sku": st.just("A-1"),
            "name": st.sampled_from(["Knife", "Fork"]),
            "status": st.just("active"),
            "created_at": st.just(_BEGIN),
            "updated_at": _moments,
        },
    ),
}


@st.composite
def _access_log_lines(draw: st.DrawFn) -> dict[str, Any]:
    # Known by its content, so a line of the log comes and goes but never changes.
    number = draw(st.integers(1, 8))
    return {
        "log_line_id": f"line-{number}",
        "remote_host": f"192.0.2.{number % 3}",
        "method": "GET",
        "path": "/",
        "status_code": 200 if number % 2 else 503,
        "response_bytes": number,
        "requested_at": _BEGIN + timedelta(minutes=30 * number),
    }


@dataclass(frozen=True)
class Batch:
    """What one batch brings to one raw table: rows by key, None for one that is gone from the source."""

    table: str
    key: str
    rows: Mapping[Any, Mapping[str, Any] | None]


@st.composite
def _batches(draw: st.DrawFn, table: str, key: str, rows: st.SearchStrategy[dict[str, Any]]) -> Batch:
    changes: dict[Any, dict[str, Any] | None] = {}
    for row in draw(st.lists(rows, min_size=1, max_size=4)):
        changes[row[key]] = None if draw(st.sampled_from([True, False, False, False])) else row
    return Batch(table, key, changes)


batches = st.one_of(
    *(_batches(table, key, st.fixed_dictionaries(columns)) for table, (key, columns) in _ROWS.items()),
    _batches("web_logs/access_log", "log_line_id", _access_log_lines()),
)
"""One batch of one raw table: rows that are new, edited, deleted or come back, in no order of time."""

TABLES = len(_ROWS) + 1
"""How many raw tables the batches are of."""


class RawTables:
    """The raw tables and the ledger of a warehouse, as batches change them."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._types = {table: column_types(contract) for table, contract in contracts_by_table().items()}
        self._sequence = 0

    def clear(self) -> None:
        """Begin a new history."""
        tables = [f"raw.{table.replace('/', '__')}" for table in self._types]
        self._warehouse.execute([(f"delete from {table}", [()]) for table in [*tables, "ledger.batches"]])
        self._sequence = 0

    def load(self, loaded: Sequence[Batch]) -> None:
        """Write batches, each with its entry in the ledger, in the order of their commits."""
        statements: list[tuple[str, Sequence[Sequence[Any]]]] = []
        for batch in loaded:
            self._sequence += 1
            source, name = batch.table.split("/")
            raw, types = f"raw.{source}__{name}", self._types[batch.table]
            stamp = {"_batch_id": f"batch-{self._sequence}", "_loaded_at": _BEGIN + timedelta(days=self._sequence)}
            kept = [row for row in batch.rows.values() if row is not None]
            gone = [key for key, row in batch.rows.items() if row is None]
            if kept:
                marks = ", ".join(["%s"] * len(types))
                statements.append((f"delete from {raw} where {batch.key} = %s", [(row[batch.key],) for row in kept]))
                values = [[{**row, **stamp}.get(column) for column in types] for row in kept]
                statements.append((f"insert into {raw} values ({marks})", values))
            if gone:
                update = (
                    f"update {raw} set _deleted_at = %s, _batch_id = %s, _loaded_at = %s "
                    f"where {batch.key} = %s and _deleted_at is null"
                )
                moment, batch_id = stamp["_loaded_at"], stamp["_batch_id"]
                statements.append((update, [(moment, batch_id, moment, key) for key in gone]))
            entry = "insert into ledger.batches (batch_id, source, table_name, sequence) values (%s, %s, %s, %s)"
            statements.append((entry, [(stamp["_batch_id"], source, name, self._sequence)]))
        self._warehouse.execute(statements)

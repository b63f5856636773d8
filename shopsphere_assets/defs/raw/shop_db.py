"""The shop's own database (MySQL, MariaDB or PostgreSQL): customers, addresses, orders, payments."""

from __future__ import annotations

import dagster as dg

from shopsphere_assets.contracts import shop_db as contracts
from shopsphere_assets.contracts.base import Contract
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable, SourceSystem


def _table(name: str, contract: type[Contract], key: str) -> RawTable:
    return RawTable("shop_db", name, contract, key=(key,), cursor="updated_at", read=DatabaseRead(name))


SHOP_DB = SourceSystem(
    name="shop_db",
    title="Shop database",
    description="What customers do in the shop: accounts, orders and the money that follows.",
    tables=(
        _table("customers", contracts.Customers, "customer_id"),
        _table("addresses", contracts.Addresses, "address_id"),
        _table("orders", contracts.Orders, "order_id"),
        _table("order_items", contracts.OrderItems, "order_item_id"),
        _table("payments", contracts.Payments, "payment_id"),
        _table("refunds", contracts.Refunds, "refund_id"),
    ),
)


@dg.definitions
def shop_db() -> dg.Definitions:
    """Assets, checks and sensor of the shop's database."""
    return raw_source(SHOP_DB)

"""The shop's own database (MySQL, MariaDB or PostgreSQL): customers, addresses, orders, payments."""

from __future__ import annotations

import dagster as dg

from shopsphere_assets.contracts import shop_db as contracts
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import SourceSystem, database_table

SHOP_DB = SourceSystem(
    name="shop_db",
    title="Shop database",
    description="What customers do in the shop: accounts, orders and the money that follows.",
    tables=(
        database_table("shop_db", "customers", contracts.Customers, "customer_id", keeps_versions=True),
        database_table("shop_db", "addresses", contracts.Addresses, "address_id"),
        database_table("shop_db", "orders", contracts.Orders, "order_id"),
        database_table("shop_db", "order_items", contracts.OrderItems, "order_item_id"),
        database_table("shop_db", "payments", contracts.Payments, "payment_id"),
        database_table("shop_db", "refunds", contracts.Refunds, "refund_id"),
    ),
)


@dg.definitions
def shop_db() -> dg.Definitions:
    """Assets, checks and sensor of the shop's database."""
    return raw_source(SHOP_DB)

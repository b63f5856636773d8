"""The product catalogue's database (PostgreSQL): categories, products, prices, inventory."""

from __future__ import annotations

import dagster as dg

from shopsphere_assets.contracts import catalogue_db as contracts
from shopsphere_assets.contracts.base import Contract
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable, SourceSystem


def _table(name: str, contract: type[Contract], key: str) -> RawTable:
    return RawTable("catalogue_db", name, contract, key=(key,), cursor="updated_at", read=DatabaseRead(name))


CATALOGUE_DB = SourceSystem(
    name="catalogue_db",
    title="Catalogue database",
    description="What the shop sells, at which price, and how much of it is in stock.",
    tables=(
        _table("categories", contracts.Categories, "category_id"),
        _table("products", contracts.Products, "product_id"),
        _table("prices", contracts.Prices, "price_id"),
        _table("inventory", contracts.Inventory, "inventory_id"),
    ),
)


@dg.definitions
def catalogue_db() -> dg.Definitions:
    """Assets, checks and sensor of the catalogue's database."""
    return raw_source(CATALOGUE_DB)

"""The product catalogue's database (PostgreSQL): categories, products, prices, inventory."""

from __future__ import annotations

import dagster as dg

from shopsphere_assets.contracts import catalogue_db as contracts
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import SourceSystem, database_table

CATALOGUE_DB = SourceSystem(
    name="catalogue_db",
    title="Catalogue database",
    description="What the shop sells, at which price, and how much of it is in stock.",
    tables=(
        database_table("catalogue_db", "categories", contracts.Categories, "category_id"),
        database_table("catalogue_db", "products", contracts.Products, "product_id"),
        database_table("catalogue_db", "prices", contracts.Prices, "price_id"),
        database_table("catalogue_db", "inventory", contracts.Inventory, "inventory_id"),
    ),
)


@dg.definitions
def catalogue_db() -> dg.Definitions:
    """Assets, checks and sensor of the catalogue's database."""
    return raw_source(CATALOGUE_DB)

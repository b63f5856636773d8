"""Contracts of the product catalogue's database: categories, products, prices, inventory."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from shopsphere_assets.contracts.base import (
    Contract,
    Imputation,
    Money,
    Timestamp,
    amount,
    column,
    currency,
    moment,
    not_before,
    ordered,
    text,
)


class Categories(Contract):
    """The tree of product categories."""

    category_id: pl.Int64 = column("The catalogue's number of the category.")
    parent_category_id: pl.Int64 = column(
        "The category above it; none at the top.", references="catalogue_db/categories.category_id", required=False
    )
    name: str = text("Name shown in the shop.", not_a_placeholder=True)
    slug: str = column("Name in web addresses.", required=False)
    updated_at: Timestamp = moment("When the row last changed in the catalogue.")


class Products(Contract):
    """What the shop sells."""

    product_id: pl.Int64 = column("The catalogue's number of the product.")
    sku: str = column("Stock-keeping unit.", str_length={"min_value": 1, "max_value": 64})
    name: str = text("Name shown in the shop.", not_a_placeholder=True)
    description: str = text("Description shown in the shop.", required=False)
    category_id: pl.Int64 = column(
        "The category it is listed in.", references="catalogue_db/categories.category_id", required=False
    )
    brand: str = text("Brand.", required=False)
    weight_grams: pl.Int64 = column(
        "Weight with packaging.",
        required=False,
        unit="grams",
        imputation=Imputation("median", by="category_id"),
        ge=1,
        le=1_000_000,
    )
    status: str = column("Whether it can be bought.", isin=("active", "draft", "discontinued"))
    launched_on: pl.Date = column("First day on sale.", required=False, plausible_time=True)
    created_at: Timestamp = moment("When the product was entered.")
    updated_at: Timestamp = moment("When the row last changed in the catalogue.")

    updated_not_before_created = not_before("updated_at", "created_at")


class Prices(Contract):
    """List prices with the time for which they hold."""

    price_id: pl.Int64 = column("The catalogue's number of the price.")
    product_id: pl.Int64 = column("The product it is for.", references="catalogue_db/products.product_id")
    currency: str = currency("Currency (ISO 4217).")
    amount: Money = amount("Price of one unit.", gt=0)
    valid_from: Timestamp = moment("First moment at which it holds.")
    valid_to: Timestamp = moment("Moment from which it no longer holds; none while it does.", required=False)
    updated_at: Timestamp = moment("When the row last changed in the catalogue.")

    @pa.dataframe_check
    @classmethod
    def valid_to_after_valid_from(cls, data: PolarsData) -> pl.LazyFrame:
        """A price ends after it begins."""
        return ordered(data, "valid_from", "valid_to")


class Inventory(Contract):
    """Stock counts: one row per product, warehouse and day on which the stock moved."""

    inventory_id: pl.Int64 = column("The catalogue's number of the count.")
    product_id: pl.Int64 = column("The product that was counted.", references="catalogue_db/products.product_id")
    warehouse_code: str = column("The warehouse it lies in.", str_length={"min_value": 1, "max_value": 16})
    quantity_on_hand: pl.Int64 = column("Units in stock at the end of the day.", unit="units", ge=0, le=1_000_000)
    quantity_sold: pl.Int64 = column("Units that left on that day.", required=False, unit="units", ge=0)
    quantity_received: pl.Int64 = column("Units that came in on that day.", required=False, unit="units", ge=0)
    counted_on: pl.Date = column("The day of the count.", plausible_time=True)
    updated_at: Timestamp = moment("When the row last changed in the catalogue.")

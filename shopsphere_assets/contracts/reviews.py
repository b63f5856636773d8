"""Contract of the ratings and reviews service."""

from __future__ import annotations

import polars as pl

from shopsphere_assets.contracts.base import Contract, Timestamp, column, email, moment, not_before, text


class Reviews(Contract):
    """What customers say of products."""

    review_id: str = column("The service's number of the review.")
    product_id: pl.Int64 = column("The product reviewed.", references="catalogue_db/products.product_id")
    sku: str = column("Stock-keeping unit of the product.", required=False)
    customer_id: pl.Int64 = column(
        "The customer, where known.", references="shop_db/customers.customer_id", required=False
    )
    reviewer_name: str = text("Name shown with the review.", required=False, personal="identity")
    reviewer_email: str = email("The reviewer's address.", required=False, purposes=("support",))
    rating: pl.Int64 = column("Stars, 1 to 5.", unit="stars", ge=1, le=5)
    title: str = text("Headline.", required=False, personal="free_text")
    body: str = text("Text.", required=False, personal="free_text")
    language: str = column(
        "Language of the text (ISO 639-1).", required=False, str_matches="^[a-z]{2}$", correction="language"
    )
    is_verified_purchase: pl.Boolean = column("Whether the reviewer bought the product.", required=False)
    status: str = column("Moderation state.", isin=("pending", "published", "rejected"))
    created_at: Timestamp = moment("When it was written.")
    updated_at: Timestamp = moment("When it last changed.")

    updated_not_before_created = not_before("updated_at", "created_at")

"""The ratings and reviews service."""

from __future__ import annotations

import dagster as dg

from resources.http_source import BodyCursor, Endpoint, Since
from shopsphere_assets.contracts import reviews as contracts
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.raw_table import HttpRead, RawTable, SourceSystem

_REVIEWS = Endpoint(
    "/v1/reviews",
    records="reviews",
    page_size=500,
    page_size_parameter="page_size",
    paging=BodyCursor("next_cursor", "cursor"),
    since=Since("updated_since"),
    fields={name: name for name in contracts.Reviews.to_schema().columns},
)

REVIEWS = SourceSystem(
    name="reviews",
    title="Reviews service",
    description="What customers say of the products.",
    tables=(
        RawTable(
            "reviews", "reviews", contracts.Reviews, key=("review_id",), cursor="updated_at", read=HttpRead((_REVIEWS,))
        ),
    ),
)


@dg.definitions
def reviews() -> dg.Definitions:
    """Asset, checks and sensor of the reviews service."""
    return raw_source(REVIEWS)

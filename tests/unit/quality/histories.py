"""Made-up histories of profiles: a shop's days as ``quality.profiles`` would hold them.

Belongs here: making them. Not here: what is asserted of their judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from resources.warehouse.system_tables import PROFILES
from shopsphere_assets.contracts import shop_db
from shopsphere_assets.quality.profiles import Profile
from tests.raw_tables import raw_table

PAYMENTS = raw_table(shop_db.Payments)
BEGIN = datetime(2026, 1, 5, 1, tzinfo=UTC)  # a Monday

Change = Callable[[pl.DataFrame], pl.DataFrame]


def as_they_are(rows: pl.DataFrame) -> pl.DataFrame:
    return rows


def day_of(number: int, hour: int = 0) -> datetime:
    return BEGIN + timedelta(days=number, hours=hour)


def payments(rows: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    cents = np.exp(random.normal(8.5, 0.9, rows)).astype(int) + 1
    return (
        pl.DataFrame(
            {
                "payment_id": np.arange(rows) + seed * 100_000,
                "order_id": random.integers(1, 10_000, rows),
                "method": random.choice(["card", "paypal", "invoice"], rows, p=[0.6, 0.3, 0.1]),
                "status": random.choice(["captured", "failed"], rows, p=[0.95, 0.05]),
                "currency": random.choice(["EUR", "USD"], rows),
                "amount": cents / 100,
                "provider_reference": np.where(random.random(rows) < 0.05, "", "reference"),
            }
        )
        .with_columns(
            provider_reference=pl.when(pl.col("provider_reference") != "").then("provider_reference"),
            paid_at=pl.lit(BEGIN),
            updated_at=pl.lit(BEGIN),
        )
        .cast(pl.Schema(PAYMENTS.column_types))
    )


def day(number: int, rows: int, change: Change = as_they_are, *, batches: int = 1) -> list[dict[str, Any]]:
    """One day's profiles: ``rows`` payments after ``change``, in so many batches."""
    everything = change(payments(rows, number))
    size = -(-everything.height // batches)
    entries = []
    for batch in range(batches):
        profile = Profile(PAYMENTS)
        profile.add(everything.slice(batch * size, size))
        at = day_of(number) + timedelta(minutes=batch)
        entries += profile.entries(f"{at:%Y%m%dT%H%M}", at)
    return entries


def usual_rows(number: int) -> int:
    """Fewer at the weekend, and never quite the same."""
    return round((400 if number % 7 < 5 else 250) * float(np.exp(np.random.default_rng(number).normal(0, 0.05))))


def quiet(days: int, rows: Callable[[int], int] = usual_rows, *, batches: int = 1) -> list[dict[str, Any]]:
    return [entry for number in range(days) for entry in day(number, rows(number), batches=batches)]


def frame(entries: Sequence[dict[str, Any]]) -> pl.DataFrame:
    empty = pl.from_arrow(PROFILES.columns.empty_table())
    assert isinstance(empty, pl.DataFrame)
    return pl.DataFrame(entries, schema=empty.schema)

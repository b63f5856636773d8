"""What a profile says of a batch, however the batch came in."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from shopsphere_assets.contracts import crm_files, shop_db
from shopsphere_assets.ingestion.raw_table import DatabaseRead
from shopsphere_assets.quality.profiles import SAMPLE_ROWS, Profile, profile_of
from tests.raw_tables import raw_table

PAYMENTS = raw_table(shop_db.Payments)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def payments(count: int, first: int = 1) -> pl.DataFrame:
    """Payments of 0.01, 0.02 … to 100.00, over and over; one of ten has no reference."""
    number = pl.int_range(first, first + count, dtype=pl.Int64, eager=True)
    return pl.DataFrame({"payment_id": number}).select(
        "payment_id",
        order_id=pl.col("payment_id") // 2,
        method=pl.when(pl.col("payment_id") % 4 == 0).then(pl.lit("paypal")).otherwise(pl.lit("card")),
        status=pl.lit("captured"),
        currency=pl.lit("EUR"),
        amount=((pl.col("payment_id") % 10_000 + 1) / 100).cast(pl.Decimal(18, 2)),
        provider_reference=pl.when(pl.col("payment_id") % 10 > 0).then(pl.format("ref-{}", "payment_id")),
        paid_at=pl.lit(NOON),
        updated_at=NOON + pl.duration(seconds=pl.col("payment_id")),
    )


def profiled(profile: Profile) -> dict[str, dict[str, Any]]:
    return {entry["column_name"]: entry for entry in profile.entries("batch", NOON)}


def test_small_batches_are_profiled_exactly() -> None:
    profile = Profile(PAYMENTS)
    profile.add(payments(100))
    found = profiled(profile)
    amount = found["amount"]
    assert (amount["rows"], amount["nulls"], amount["distinct_values"]) == (100, 0, 100)
    assert (amount["minimum"], amount["maximum"]) == ("0.02", "1.01")
    assert amount["mean"] == pytest.approx(0.515)
    assert amount["deviation"] == pytest.approx(payments(100)["amount"].cast(pl.Float64).std(ddof=0))
    assert json.loads(amount["quantiles"])[10] == pytest.approx(0.515)
    assert json.loads(found["method"]["top_values"]) == {"card": 75, "paypal": 25}
    assert found["provider_reference"]["nulls"] == 10
    assert found["updated_at"]["maximum"] == (NOON + timedelta(seconds=100)).isoformat()


def test_chunks_do_not_show_in_a_profile() -> None:
    whole, pieces = Profile(PAYMENTS), Profile(PAYMENTS)
    rows = payments(90_000)
    whole.add(rows)
    for start in range(0, rows.height, 7_000):
        pieces.add(rows.slice(start, 7_000))
    for one, other in zip(whole.entries("b", NOON), pieces.entries("b", NOON), strict=True):
        assert {**one, "mean": None, "deviation": None} == {**other, "mean": None, "deviation": None}
        assert one["mean"] == pytest.approx(other["mean"]) if one["mean"] else other["mean"] == one["mean"]


def test_large_batches_are_estimated_closely_in_bounded_memory() -> None:
    profile = Profile(PAYMENTS)
    for start in range(0, 200_000, 20_000):
        profile.add(payments(20_000, start))
        assert profile._sample_rows <= 3 * SAMPLE_ROWS
    found = profiled(profile)
    assert found["payment_id"]["distinct_values"] == pytest.approx(200_000, rel=0.1)
    assert found["amount"]["distinct_values"] == pytest.approx(10_000, rel=0.1)
    assert found["amount"]["mean"] == pytest.approx(50.005)
    assert json.loads(found["amount"]["quantiles"])[10] == pytest.approx(50, rel=0.03)
    assert json.loads(found["method"]["top_values"])["card"] == pytest.approx(150_000, rel=0.02)


def test_what_was_read_before_is_not_profiled_again() -> None:
    watermark = NOON + timedelta(seconds=60)
    profile = profile_of(PAYMENTS, "incremental", watermark)
    assert profile is not None
    profile.add(payments(100))
    assert profiled(profile)["amount"]["rows"] == 40
    # The log gives every change once, and what is read as a whole stands for itself.
    whole = raw_table(shop_db.Payments, DatabaseRead("payments", is_incremental=False))
    for table, kind in ((PAYMENTS, "change_log"), (PAYMENTS, "full"), (whole, "incremental")):
        profile = profile_of(table, kind, watermark)
        assert profile is not None
        profile.add(payments(100))
        assert profiled(profile)["amount"]["rows"] == 100


def test_chosen_rows_have_no_profile() -> None:
    assert profile_of(PAYMENTS, "backfill", None) is None
    assert profile_of(PAYMENTS, "reconciliation", NOON) is None


def test_a_read_that_began_anew_counts_once() -> None:
    profile = Profile(PAYMENTS)
    profile.add(payments(50))
    profile.restart()
    profile.add(payments(100))
    assert profiled(profile)["payment_id"] == profiled_of(payments(100))["payment_id"]


def profiled_of(rows: pl.DataFrame) -> dict[str, dict[str, Any]]:
    profile = Profile(PAYMENTS)
    profile.add(rows)
    return profiled(profile)


def test_no_person_is_recognised_in_a_profile() -> None:
    table = raw_table(crm_files.Contacts)
    person = {"crm_contact_id": "C000001", "last_name": "Vanderquist", "email": "v@example.org", "street": "Elm 1"}
    rows = pl.DataFrame(
        [{**person, "country_code": "DE", "birth_date": date(1970, 5, 17), "modified_at": NOON}] * 3,
        schema=table.column_types,
    )
    profile = Profile(table)
    profile.add(rows)
    found = profiled(profile)
    text = json.dumps(list(found.values()), default=str)
    for value in ("Vanderquist", "v@example.org", "Elm 1", "1970-05-17"):
        assert value not in text
    # Of these the contract lists every one there can be.
    assert json.loads(found["country_code"]["top_values"]) == {"DE": 3}


def test_an_empty_batch_has_no_profile() -> None:
    assert Profile(PAYMENTS).entries("batch", NOON) == []


def test_exact_amounts_stay_exact() -> None:
    rows = payments(2).with_columns(amount=pl.Series([Decimal("0.10"), Decimal("99999999999999.99")]))
    assert profiled_of(rows.cast({"amount": pl.Decimal(18, 2)}))["amount"]["maximum"] == "99999999999999.99"

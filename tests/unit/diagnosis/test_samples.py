"""What the doctor says of a sample of rows."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from resources.reading import POSITION, Chunk
from shopsphere_assets.contracts.shop_db import Customers
from shopsphere_assets.diagnosis.finding import Status
from shopsphere_assets.diagnosis.samples import judge, take_sample, type_name
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable

CUSTOMERS = RawTable("shop_db", "customers", Customers, ("customer_id",), "updated_at", DatabaseRead("customers"))


def chunk(numbers: range, email: str = "a@b.example") -> Chunk:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    rows = pl.DataFrame(
        {
            "customer_id": list(numbers),
            "email": [email for _ in numbers],
            "registered_at": [moment for _ in numbers],
            "updated_at": [moment for _ in numbers],
            POSITION: [str(n) for n in numbers],
        }
    )
    return Chunk(rows, bytes_read=0)


def test_no_more_rows_are_judged_than_wanted() -> None:
    sample = take_sample(CUSTOMERS, iter([chunk(range(30)), chunk(range(30, 60)), chunk(range(60, 90))]), rows=40)
    assert (sample.rows, sample.quarantined, sample.repeated_keys) == (40, 0, 0)
    assert not list(judge(CUSTOMERS, sample, 0.25))


def test_what_came_before_a_restart_does_not_count() -> None:
    restart = Chunk(pl.DataFrame(), bytes_read=0, restart=True)
    sample = take_sample(CUSTOMERS, iter([chunk(range(30), "bad"), restart, chunk(range(10))]))
    assert (sample.rows, sample.quarantined, sample.repeated_keys) == (10, 0, 0)


def test_personal_values_are_not_shown() -> None:
    sample = take_sample(CUSTOMERS, iter([chunk(range(2), "jane.doe at home"), chunk(range(2, 20))]))
    [finding] = judge(CUSTOMERS, sample, 0.25)
    assert finding.subject == "shop_db/customers.email"
    assert finding.status is Status.WARNING
    assert "2 of 20" in finding.what
    assert "jane" not in finding.what


def test_a_rule_that_most_rows_break_is_a_failure() -> None:
    sample = take_sample(CUSTOMERS, iter([chunk(range(20), "bad")]))
    [finding] = judge(CUSTOMERS, sample, 0.25)
    assert finding.status is Status.FAILED


def test_every_type_of_a_contract_has_a_name() -> None:
    assert {type_name(dtype) for dtype in CUSTOMERS.column_types.values()} == {
        "a whole number",
        "text",
        "a date",
        "true or false",
        "a moment",
    }

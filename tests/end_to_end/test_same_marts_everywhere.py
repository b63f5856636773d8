"""The same shop gives the same marts, whichever databases it runs on and whichever engine the warehouse has."""

from __future__ import annotations

import polars as pl
import pytest

from tests.end_to_end.conftest import Loaded

# What the platforms hold is made by the test that asks first.
pytestmark = pytest.mark.timeout(600)

FIRST = 1
"""The version that both platforms published of the shop's first days."""

Marts = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def marts(embedded: Loaded, on_servers: Loaded) -> tuple[Marts, Marts]:
    """The published marts of the embedded default, and of MariaDB, PostgreSQL and a PostgreSQL warehouse."""
    return embedded.platform.marts(FIRST), on_servers.platform.marts(FIRST)


def test_both_publish_the_same_marts_with_the_same_columns(marts: tuple[Marts, Marts]) -> None:
    """Names, order and types of the columns; amounts are exact decimals of two places, moments in UTC."""
    embedded, on_servers = marts
    assert {name: frame.schema for name, frame in embedded.items()} == {
        name: frame.schema for name, frame in on_servers.items()
    }
    assert len(embedded) >= 20
    for name, frame in embedded.items():
        for column, dtype in frame.schema.items():
            if column.endswith("_amount"):
                assert dtype == pl.Decimal(18, 2), f"{name}.{column}"
            if column.endswith("_at"):
                assert dtype == pl.Datetime("us", "UTC"), f"{name}.{column}"


def test_every_mart_is_equal_row_by_row(marts: tuple[Marts, Marts]) -> None:
    embedded, on_servers = marts
    different = {name: differences(embedded[name], on_servers[name]) for name in embedded}
    assert {name: rows for name, rows in different.items() if rows} == {}
    assert {name for name, frame in embedded.items() if frame.is_empty()} == set()


def differences(left: pl.DataFrame, right: pl.DataFrame) -> list[str]:
    """The first rows in which two ordered frames differ, and their numbers of rows where these do."""
    if left.equals(right):
        return []
    if left.height != right.height:
        return [f"{left.height} rows and {right.height} rows"]
    pairs = zip(left.iter_rows(named=True), right.iter_rows(named=True), strict=True)
    return [f"{one} and {other}" for one, other in pairs if one != other][:3]


def test_raw_tables_and_quarantine_are_equal(embedded: Loaded, on_servers: Loaded) -> None:
    """MariaDB and PostgreSQL give the same rows, of the same types, and the same ones are set aside."""
    for label, raw in embedded.state.raw.items():
        assert differences(raw, on_servers.state.raw[label]) == [], label
        assert raw.schema == on_servers.state.raw[label].schema, label
    columns = ["source", "table_name", "row_key", "position", "rules"]
    quarantines = [loaded.state.quarantine.select(columns).sort(columns[:4]) for loaded in (embedded, on_servers)]
    assert differences(*quarantines) == []
    counts = ["source", "table_name", "rows_read", "rows_loaded", "rows_quarantined", "rows_excluded", "watermark"]
    batches = [loaded.state.batches.select(counts).sort(counts) for loaded in (embedded, on_servers)]
    assert differences(*batches) == []

"""Profiles are committed with their batch, alarms are kept once; on both engines."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from resources.reading import Chunk
from resources.warehouse import Warehouse, open_warehouse
from resources.warehouse.system_tables import PROFILES
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from shopsphere_assets.quality.drift import assess, read_history
from tests.unit.quality.histories import PAYMENTS, day, day_of, payments, quiet


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A prepared warehouse of either engine."""
    url = f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    warehouse = open_warehouse(url, lock_timeout=10)
    warehouse.prepare()
    return warehouse


def test_a_profile_is_committed_with_its_batch(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.ensure_tables(PAYMENTS.definitions)
    rows = payments(300, 1).with_columns(paid_at=pl.lit(day_of(-1)))
    bad = rows.with_columns(currency=pl.lit("zorkmids"))
    chunks = [Chunk(part, 0, key=PAYMENTS.key) for part in (rows[:120], bad[120:130], rows[130:])]
    begun_anew = [chunks[0], Chunk(pl.DataFrame(), 0, restart=True), *chunks]
    report = load_chunks(
        PAYMENTS,
        begun_anew,
        Destination(warehouse, tmp_path / "lake"),
        run_id="run",
        kind="full",
        order_by=PAYMENTS.cursor,
    )
    assert report is not None
    found = warehouse.query("SELECT * FROM quality.profiles ORDER BY column_name").to_pylist()
    assert {row["column_name"] for row in found} == set(PAYMENTS.column_types)
    assert {(row["batch_id"], row["rows"]) for row in found} == {(report.batch_id, 290)}
    [method] = [row for row in found if row["column_name"] == "method"]
    assert sum(json.loads(method["top_values"]).values()) == 290
    # A first load is the table's whole past and no day of it.
    assert read_history(warehouse, report.finished_at).is_empty()


def test_an_alarm_is_kept_once_and_crowded_days_are_put_together(warehouse: Warehouse) -> None:
    entries = [*quiet(19, lambda number: 200), *day(19, 200, batches=60), *day(20, 200), *day(21, 1_000)]
    with warehouse.transaction() as transaction:
        transaction.append("quality", "profiles", pa.Table.from_pylist(entries, schema=PROFILES.columns))
    now = day_of(21, 1)
    [alarm] = assess(warehouse, now)
    assert [alarm] == assess(warehouse, now + timedelta(hours=1))
    [kept] = warehouse.query("SELECT * FROM quality.alarms").to_pylist()
    assert (kept["alarm_id"], kept["kind"], kept["batch_id"]) == (alarm.alarm_id, "volume", alarm.batch_id)
    assert (kept["raised_at"], kept["observed"]) == (now, pytest.approx(1_000))
    found = warehouse.query(
        "SELECT rows, deviation, quantiles FROM quality.profiles WHERE column_name = 'amount'"
        " AND profiled_at >= $1 AND profiled_at < $2",
        [day_of(19), day_of(20)],
    ).to_pylist()
    [whole] = day(19, 200)[PROFILES_AMOUNT : PROFILES_AMOUNT + 1]
    assert len(found) == 1
    assert found[0]["rows"] == 200
    assert found[0]["deviation"] == pytest.approx(whole["deviation"])
    assert json.loads(found[0]["quantiles"])[10] == pytest.approx(json.loads(whole["quantiles"])[10], rel=0.25)


PROFILES_AMOUNT = list(PAYMENTS.column_types).index("amount")

"""The job ``backfill``: what its config chooses is read again and shown with the raw table."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from resources.warehouse import Warehouse
from shopsphere_assets.definitions import defs
from shopsphere_assets.defs.operations.backfill import BACKFILL_JOB
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from tests.integration.defs.shop_sources import SqliteShop

ORDERS = dg.AssetKey(["raw", "shop_db", "orders"])


def backfill(instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    job = dg.Definitions.merge(defs()).resolve_job_def(BACKFILL_JOB)
    return job.execute_in_process(
        run_config={"ops": {"read_again": {"config": config}}}, instance=instance, raise_on_error=False
    )


@pytest.fixture
def loaded(sqlite_shop: SqliteShop, instance: dg.DagsterInstance, warehouse: Warehouse) -> dg.DagsterInstance:
    """Three orders that were read, all of which were tampered with in raw since."""
    sqlite_shop.add("orders", 1, 3)
    dg.materialize(
        list(raw_source(SHOP_DB).assets or ()),  # type: ignore[arg-type]
        selection=dg.AssetSelection.assets(ORDERS),
        instance=instance,
        resources={"platform": Platform()},
    )
    with warehouse.transaction() as transaction:
        transaction.execute("UPDATE raw.shop_db__orders SET status = 'lost'")
    return instance


def test_a_range_is_read_again_and_shown_with_the_table(loaded: dg.DagsterInstance, warehouse: Warehouse) -> None:
    result = backfill(loaded, table="shop_db/orders", key_from="2", key_to="3")
    assert result.success
    lost = warehouse.query("SELECT order_id FROM raw.shop_db__orders WHERE status = 'lost'")
    assert lost.column(0).to_pylist() == [1]
    event = loaded.get_latest_materialization_event(ORDERS)
    assert event is not None
    assert event.asset_materialization is not None
    metadata = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert (metadata["rows read"], metadata["backfill of"]) == (2, "key_from 2, key_to 3")


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"table": "shop_db/nothing"}, "no raw table shop_db/nothing"),
        ({"table": "shop_db/orders", "since": "yesterday"}, "'yesterday' is no moment"),
        ({"table": "shop_db/orders", "files": "*"}, "a database table has no files"),
    ],
)
def test_what_cannot_be_read_fails_with_the_reason(
    loaded: dg.DagsterInstance, config: dict[str, str], what: str
) -> None:
    result = backfill(loaded, **config)
    assert not result.success
    [failure] = [event for event in result.all_events if event.is_step_failure]
    data = failure.step_failure_data.user_failure_data
    assert data is not None
    assert what in (data.description or "")

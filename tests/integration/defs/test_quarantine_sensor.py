"""The sensor that has the marts follow decisions: it asks for a run that reads nothing and judges the table anew."""

from __future__ import annotations

import dagster as dg

from resources.settings import load_settings
from resources.warehouse import Warehouse
from shopsphere_assets.defs.operations.quarantine import quarantine_sensor
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.ingestion.batch import Destination
from shopsphere_assets.quarantine.decisions import Order, decide
from shopsphere_assets.quarantine.entries import Filter, Quarantine, list_entries
from tests.integration.defs.shop_sources import TABLES, SqliteShop

ORDERS = dg.AssetKey(["raw", "shop_db", "orders"])


def tick(instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult | str:
    """What the sensor asks for, or its reason for asking for nothing."""
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": Platform()}) as context:
        answer = quarantine_sensor()(context)
    if isinstance(answer, dg.SkipReason):
        return answer.skip_message or ""
    assert isinstance(answer, dg.SensorResult)
    return answer


def materialize(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        list(raw_source(SHOP_DB).assets or ()),  # type: ignore[arg-type]
        selection=dg.AssetSelection.assets(ORDERS),
        instance=instance,
        resources={"platform": Platform()},
        tags=tags,
    )


def test_a_decision_is_followed_once_and_without_its_source(
    sqlite_shop: SqliteShop, instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    assert "cannot be asked now" in str(tick(instance, None))
    sqlite_shop.add("orders", 1, 30)
    sqlite_shop.add("orders", 31, status="shiped off")
    materialize(instance, {})
    assert tick(instance, None) == "nobody has let rows in"
    quarantine = Quarantine(Destination(warehouse, load_settings().lake), {"shop_db/orders": TABLES["orders"]})
    [entry] = list_entries(quarantine, Filter())
    decide(quarantine, [entry.quarantine_id], Order("exclude", "ada", "test"))
    # What changes nothing in raw asks for nothing.
    assert tick(instance, None) == "nobody has let rows in"
    decide(quarantine, [entry.quarantine_id], Order("reopen", "ada"))
    decide(quarantine, [entry.quarantine_id], Order("readmit", "ada", cells={"status": "shipped"}))
    answer = tick(instance, None)
    assert isinstance(answer, dg.SensorResult)
    [request] = answer.run_requests or ()
    assert request.asset_selection == [ORDERS]
    assert tick(instance, answer.cursor) == "nobody has let rows in"
    # The source is not asked: it may be away.
    sqlite_shop.execute("DROP TABLE orders")
    result = materialize(instance, dict(request.tags))
    assert result.success
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    [event] = result.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert (metadata["rows read"], metadata["note"]) == (0, "decisions about quarantined rows")

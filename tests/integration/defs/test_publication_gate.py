"""What is published and what is not: the marts through Dagster and dbt, on a DuckDB warehouse.

Two areas are built again, which share no table: refunds, which get faults, and web traffic, which stays sound.
"""

from typing import Any

import dagster as dg
import pytest

from resources.settings import load_settings
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.defs.raw import source_systems
from tests import code_location

# dagster-dbt calls what Dagster deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext:DeprecationWarning")

PUBLICATION = dg.AssetKey("publication")
REFUNDS = dg.AssetSelection.assets("sales/fct_refunds").upstream() - dg.AssetSelection.key_prefixes(["raw"])
TRAFFIC = dg.AssetSelection.assets("web/fct_daily_traffic").upstream() - dg.AssetSelection.key_prefixes(["raw"])

REFUND = {
    "refund_id": "1",
    "order_id": "1",
    "currency": "'EUR'",
    "amount": "9.90",
    "refunded_at": "timestamptz '2026-03-01 10:00:00+00'",
    "updated_at": "timestamptz '2026-03-01 10:00:00+00'",
}


class Platform:
    """The platform's assets, run in this process."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.warehouse: Warehouse = open_warehouse(load_settings().warehouse, lock_timeout=30)
        self._instance = instance
        self._batches = 0
        self.warehouse.prepare()
        self.warehouse.ensure_tables([t.definition for system in source_systems() for t in system.tables])

    def run(self, *selections: dg.AssetSelection) -> dg.ExecuteInProcessResult:
        """Run the assets that ``selections`` name, as one run."""
        location = code_location.definitions()
        graph = location.resolve_asset_graph()
        keys = {key for selection in selections for key in selection.resolve(graph)}
        return location.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=self._instance, asset_selection=sorted(keys), raise_on_error=False
        )

    def _write(self, sql: str) -> None:
        """Change the raw table as a batch does, which the ledger then knows."""
        self._batches += 1
        with self.warehouse.transaction() as transaction:
            transaction.execute(sql.replace("$batch", f"'{self._batches}'"))
            transaction.execute(
                "insert into ledger.batches (batch_id, source, table_name, sequence)"
                f" values ('{self._batches}', 'shop_db', 'refunds', {self._batches})"
            )

    def add_refund(self, **values: str) -> None:
        """Add a row to the raw table."""
        row = REFUND | values | {"_batch_id": "$batch"}
        self._write(f"insert into raw.shop_db__refunds ({', '.join(row)}) values ({', '.join(row.values())})")

    def delete_refunds(self) -> None:
        """Mark the raw table's rows as gone from the source."""
        self._write("update raw.shop_db__refunds set _deleted_at = now(), _batch_id = $batch")

    def published(self) -> tuple[int, list[int]]:
        """The current version, and the refunds that readers find in it."""
        current = self.warehouse.current_publication()
        rows = self.warehouse.read_publication("select refund_id from sales.fct_refunds order by 1").to_pylist()
        assert current is not None
        return current.version, [row["refund_id"] for row in rows]


@pytest.fixture
def platform(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Platform:
    # Where the definitions were loaded: dbt then parses the project only once.
    code_location.definitions()
    monkeypatch.setenv("SHOPSPHERE_HOME", str(code_location.home()))
    return Platform(instance)


PUBLISH = dg.AssetSelection.assets(PUBLICATION)


def _warnings(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    entries = instance.all_logs(result.run_id)
    return "\n".join(entry.user_message for entry in entries if entry.level == 30)


def _materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    kind = dg.DagsterEventType.ASSET_MATERIALIZATION
    return {e.asset_key.path[-1] for e in result.all_events if e.event_type == kind and e.asset_key}


def _lineage(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    [event] = [
        event
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION
        and event.asset_key
        and event.asset_key.path[-1] == name
    ]
    return dict(event.step_materialization_data.materialization.metadata)


def test_nothing_broken_is_published_and_readers_keep_what_they_have(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    platform.add_refund()
    first = platform.run(dg.AssetSelection.all() - dg.AssetSelection.key_prefixes(["raw"]))
    assert first.success
    assert platform.published() == (1, [1])
    metadata = _lineage(first, "fct_refunds")
    amount = metadata["dagster/column_lineage"].value.deps_by_column["refund_amount"]
    assert [(d.asset_key.to_user_string(), d.column_name) for d in amount] == [
        ("staging/stg_shop_db__refunds", "refund_amount")
    ]
    assert _lineage(first, "publication")["version"].value == 1

    # A test of error severity fails: what is made of the table is not built.
    platform.add_refund()
    broken = platform.run(REFUNDS, PUBLISH)
    assert not broken.success
    assert {"fct_refunds", "publication"}.isdisjoint(_materialized(broken))
    assert platform.published() == (1, [1])

    # Neither by itself, nor after a build of others, is the failure published.
    for selection in (PUBLISH, TRAFFIC | PUBLISH):
        result = platform.run(selection)
        assert result.success
        assert "publication" not in _materialized(result)
        assert "readers keep the version they have" in _warnings(result, instance)
        assert "unique_and_not_null_stg_shop_db__refunds_refund_id" in _warnings(result, instance)
        assert platform.published() == (1, [1])

    # A model fails: its table does not take the row.
    platform.delete_refunds()
    platform.add_refund(refund_id="2", refunded_at="null")
    broken = platform.run(REFUNDS, PUBLISH)
    assert not broken.success
    [failure] = [e for e in broken.all_events if e.event_type == dg.DagsterEventType.STEP_FAILURE]
    assert "fct_refunds" in str(failure.step_failure_data.user_failure_data)
    assert events_of_retries(broken) == 0
    assert "publication" not in _materialized(platform.run(PUBLISH))
    assert platform.published() == (1, [1])

    platform.delete_refunds()
    platform.add_refund(refund_id="3")
    assert platform.run(REFUNDS, PUBLISH).success
    assert platform.published() == (2, [3])


def events_of_retries(result: dg.ExecuteInProcessResult) -> int:
    return sum(event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY for event in result.all_events)

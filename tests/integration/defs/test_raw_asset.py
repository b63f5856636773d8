"""A raw table's asset, materialized with real parts: what Dagster records, refuses and tries again."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.warehouse import Warehouse
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw.factory import RECONCILE_TAG, _certain_share, raw_source
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.defs.raw.support import SUPPORT
from shopsphere_assets.ingestion.raw_table import SourceSystem
from tests.integration.defs.shop_sources import SqliteShop
from tests.raw_tables import good_row

ORDERS = dg.AssetKey(["raw", "shop_db", "orders"])
TICKETS = dg.AssetKey(["raw", "support", "tickets"])


@dg.asset(deps=[ORDERS])
def made_of_orders() -> None:
    """Stands for a model."""


@dg.asset(deps=[TICKETS])
def made_of_tickets() -> None:
    """Stands for a model."""


def materialize(
    *keys: dg.AssetKey, system: SourceSystem = SHOP_DB, tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """Materialize assets of ``system``, and models that are made of them, as a run does."""
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [*(raw_source(system).assets or ()), made_of_orders, made_of_tickets],  # type: ignore[list-item]
            selection=dg.AssetSelection.assets(*keys),
            instance=instance,
            resources={"platform": Platform()},
            raise_on_error=False,
            tags=tags,
        )


def metadata(result: dg.ExecuteInProcessResult, key: dg.AssetKey = ORDERS) -> dict[str, Any]:
    [materialization] = result.asset_materializations_for_node("__".join(key.path))
    return {name: value.value for name, value in materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def events(result: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.event_type == kind]


def built(result: dg.ExecuteInProcessResult) -> set[str]:
    """The assets that were materialized."""
    found = events(result, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {event.asset_key.path[-1] for event in found if event.asset_key}


def test_a_materialization_records_what_the_batch_did(sqlite_shop: SqliteShop, warehouse: Warehouse) -> None:
    sqlite_shop.add("orders", 1, 3)
    sqlite_shop.add("orders", 4, currency="???")
    result = materialize(ORDERS)
    assert result.success
    found = metadata(result)
    [batch] = warehouse.query("select * from ledger.batches").to_pylist()
    assert {name: found[name] for name in ("rows read", "rows loaded", "rows quarantined", "rows excluded")} == {
        "rows read": 4,
        "rows loaded": 3,
        "rows quarantined": 1,
        "rows excluded": 0,
    }
    assert found["batch"] == batch["batch_id"]
    assert batch["run_id"] == result.dagster_run.run_id
    assert found["watermark"] == "2026-03-01T10:00:00+00:00"
    assert found["bytes read"] > 0
    assert found["seconds"] > 0
    assert found["peak memory (MB)"] > 10
    assert found["dagster/table_name"] == "raw.shop_db__orders"
    assert found["contract version"] == batch["contract_version"]


def test_a_run_that_reconciles_says_how_many_rows_were_deleted(sqlite_shop: SqliteShop, warehouse: Warehouse) -> None:
    sqlite_shop.add("orders", 1, 5)
    materialize(ORDERS)
    sqlite_shop.execute("DELETE FROM orders WHERE order_id IN ('2', '4')")
    assert "rows deleted" not in metadata(materialize(ORDERS))
    result = materialize(ORDERS, tags={RECONCILE_TAG: "true"})
    assert result.success
    found = metadata(result)
    assert (found["rows deleted"], found["rows set right"], found["rows at the source"]) == (2, 0, 3)
    assert found["chunks that differed"] > 0
    assert all(check.passed for check in checks(result).values())
    marked = warehouse.query("select order_id from raw.shop_db__orders where _deleted_at is not null order by 1")
    assert marked.column(0).to_pylist() == [2, 4]


def test_a_run_that_reconciles_says_of_files_that_there_is_nothing_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(tmp_path))
    result = materialize(TICKETS, system=SUPPORT, tags={RECONCILE_TAG: "true"})
    assert result.success
    assert "only ever added" in metadata(result, TICKETS)["not compared with the source"]


def test_a_read_without_rows_is_recorded_as_one(sqlite_shop: SqliteShop) -> None:
    result = materialize(ORDERS, dg.AssetKey("made_of_orders"))
    assert result.success
    assert metadata(result)["note"] == "nothing new"
    assert metadata(result)["rows read"] == 0
    assert {name: check.passed for name, check in checks(result).items()} == {
        "quarantine_share": True,
        "ledger_closes": True,
        "unique_key": True,
        "quality": True,
    }


def test_checks_are_recorded_with_their_numbers(sqlite_shop: SqliteShop) -> None:
    sqlite_shop.add("orders", 1, 3)
    sqlite_shop.add("orders", 4, currency="???")
    found = checks(materialize(ORDERS))
    # Of four rows one is no good: worth a warning, and blocks nobody.
    assert {name: check.passed for name, check in found.items()} == {**dict.fromkeys(found, True), "quality": False}
    share = {name: value.value for name, value in found["quarantine_share"].metadata.items()}
    assert share["share"] == 0.25
    assert share["rows"] == 4
    assert share["quarantined"] == 1
    assert found["ledger_closes"].metadata["accounted for"].value == 4
    assert found["unique_key"].metadata["duplicate keys"].value == 0


def test_duplicate_keys_in_the_warehouse_fail_the_check(sqlite_shop: SqliteShop, warehouse: Warehouse) -> None:
    sqlite_shop.add("orders", 1)
    materialize(ORDERS)
    with warehouse.transaction() as transaction:
        transaction.execute("insert into raw.shop_db__orders select * from raw.shop_db__orders")
    # Read again, the row would replace both.
    sqlite_shop.execute("DELETE FROM orders")
    found = checks(materialize(ORDERS))
    assert not found["unique_key"].passed
    assert found["unique_key"].metadata["duplicate keys"].value == 1


def test_a_permanent_fault_fails_at_once_and_says_what_where_and_what_to_do(sqlite_shop: SqliteShop) -> None:
    sqlite_shop.execute("ALTER TABLE orders DROP COLUMN currency")
    result = materialize(ORDERS)
    assert not result.success
    assert events(result, dg.DagsterEventType.STEP_UP_FOR_RETRY) == []
    [event] = events(result, dg.DagsterEventType.STEP_FAILURE)
    failure = event.step_failure_data.user_failure_data
    assert failure is not None
    assert failure.description is not None
    assert "the source has no column for currency" in failure.description
    told = {name: str(value.value) for name, value in failure.metadata.items()}
    assert told["what"].startswith("the source has no column for currency; it has billing_address_id")
    assert told["where"].startswith("shop_db/orders (orders in sqlite:///")
    assert told["what to do"] == "restore the column at the source, or map another to it in the sources file"


@pytest.mark.usefixtures("no_waiting")
def test_a_passing_fault_is_tried_again_three_times_and_then_fails_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", "postgresql://reader:hidden@127.0.0.1:1/shop")
    result = materialize(ORDERS)
    assert not result.success
    assert len(events(result, dg.DagsterEventType.STEP_UP_FOR_RETRY)) == 3
    [event] = events(result, dg.DagsterEventType.STEP_FAILURE)
    told = str(event.step_failure_data)
    assert "the database does not answer" in told
    assert "check that the server runs and that host and port are right" in told
    assert "hidden" not in told


@pytest.mark.usefixtures("no_waiting")
def test_a_fault_that_passes_is_forgotten(
    sqlite_shop: SqliteShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_shop.add("orders", 1, 3)
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", "postgresql://reader:hidden@127.0.0.1:1/shop")

    def comes_back(_retry: int) -> float:
        monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", sqlite_shop.url)
        return 0.0

    monkeypatch.setattr("shopsphere_assets.defs.platform._wait", comes_back)
    result = materialize(ORDERS)
    assert result.success
    assert len(events(result, dg.DagsterEventType.STEP_UP_FOR_RETRY)) == 1
    assert metadata(result)["rows loaded"] == 3


def test_retries_back_off_and_are_spread() -> None:
    from shopsphere_assets.defs.platform import _wait

    for retry, middle in enumerate((2, 4, 8)):
        waits = {_wait(retry) for _ in range(50)}
        assert middle * 0.5 <= min(waits) < middle < max(waits) <= middle * 1.5


def test_a_batch_with_too_many_bad_rows_is_loaded_but_its_readers_wait(
    sqlite_shop: SqliteShop, warehouse: Warehouse
) -> None:
    sqlite_shop.add("orders", 1, 20)
    sqlite_shop.add("orders", 21, 20, currency="???")
    result = materialize(ORDERS, dg.AssetKey("made_of_orders"))
    assert not result.success
    assert built(result) == {"orders"}
    share = checks(result)["quarantine_share"]
    assert not share.passed
    assert share.severity == dg.AssetCheckSeverity.ERROR
    assert share.metadata["share"].value == 0.5
    # What the check says to look at is there.
    assert warehouse.query(str(share.metadata["look at"].value)).num_rows == 20
    assert warehouse.query("select count(*) as n from raw.shop_db__orders").to_pylist() == [{"n": 20}]


def test_after_the_repair_at_the_source_the_readers_go_on(sqlite_shop: SqliteShop) -> None:
    sqlite_shop.add("orders", 1, 20)
    sqlite_shop.add("orders", 21, 20, currency="???")
    materialize(ORDERS)
    # Nothing has changed, and so has the verdict not.
    assert built(materialize(ORDERS, dg.AssetKey("made_of_orders"))) == {"orders"}
    sqlite_shop.execute("UPDATE orders SET currency = 'EUR', updated_at = '2026-03-02 10:00:00.000'")
    result = materialize(ORDERS, dg.AssetKey("made_of_orders"))
    assert result.success
    assert built(result) == {"orders", "made_of_orders"}


def test_the_limit_is_a_setting(sqlite_shop: SqliteShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPSPHERE_QUARANTINE_LIMIT", "0.5")
    sqlite_shop.add("orders", 1, 20)
    sqlite_shop.add("orders", 21, 20, currency="???")
    assert materialize(ORDERS).success


@pytest.mark.parametrize(("good", "bad", "is_passed"), [(1, 2, True), (34, 12, True), (68, 60, False), (1, 10, False)])
def test_a_share_that_chance_explains_holds_nobody_up(
    sqlite_shop: SqliteShop, good: int, bad: int, is_passed: bool
) -> None:
    sqlite_shop.add("orders", 1, good)
    sqlite_shop.add("orders", good + 1, bad, currency="???")
    assert checks(materialize(ORDERS))["quarantine_share"].passed == is_passed


@given(rows=st.integers(1, 10**6), data=st.data())
def test_what_is_certain_of_a_share_is_never_more_than_the_share(rows: int, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, rows))
    certain = _certain_share(bad, rows)
    assert 0 <= certain <= bad / rows + 1e-12
    # It grows with the bad rows, and the more rows there are, the nearer it comes to the share.
    assert certain <= _certain_share(min(bad + 1, rows), rows) + 1e-12
    assert bad / rows - _certain_share(bad * 100, rows * 100) <= bad / rows - certain + 1e-12


def test_bad_rows_that_come_with_every_batch_are_held_against_the_first_only(sqlite_shop: SqliteShop) -> None:
    sqlite_shop.add("orders", 1, 60)
    # Without a time of change they are read each time, lest they be overlooked.
    sqlite_shop.add("orders", 61, 15, updated_at=None)
    assert checks(materialize(ORDERS))["quarantine_share"].metadata["quarantined"].value == 15
    sqlite_shop.execute("DELETE FROM orders WHERE order_id <= 59")
    sqlite_shop.add("orders", 76, 2, updated_at="2026-03-04T10:00:00.000Z")
    result = materialize(ORDERS)
    assert metadata(result)["rows quarantined"] == 15
    share = checks(result)["quarantine_share"]
    assert share.passed
    assert share.metadata["quarantined"].value == 0


def test_a_bad_file_is_judged_again_until_another_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drops = tmp_path / "drops"
    drops.mkdir()
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(drops))
    good = good_row(SUPPORT.tables[0])

    def drop(day: int, *, bad: int, of: int) -> None:
        rows = [{**good, "ticket_id": f"{good['ticket_id']}{day}{n}"} for n in range(of)]
        for row in rows[:bad]:
            row["updated_at"] = "yesterday"
        (drops / f"tickets-2026-03-0{day}.json").write_text(json.dumps(rows))

    drop(1, bad=12, of=20)
    both = (TICKETS, dg.AssetKey("made_of_tickets"))
    assert built(materialize(*both, system=SUPPORT)) == {"tickets"}
    # The file is read once, and its rows are as missing as they were.
    again = materialize(*both, system=SUPPORT)
    assert metadata(again, TICKETS)["note"] == "nothing new"
    assert built(again) == {"tickets"}
    drop(2, bad=1, of=20)
    assert built(materialize(*both, system=SUPPORT)) == {"tickets", "made_of_tickets"}


def test_one_table_that_fails_leaves_the_others_of_its_source_going(sqlite_shop: SqliteShop) -> None:
    sqlite_shop.add("customers", 1, 2)
    sqlite_shop.add("payments", 1, 2)
    sqlite_shop.execute("ALTER TABLE orders DROP COLUMN currency")
    result = materialize(*(dg.AssetKey(table.asset_key) for table in SHOP_DB.tables), dg.AssetKey("made_of_orders"))
    assert built(result) == {table.name for table in SHOP_DB.tables} - {"orders"}

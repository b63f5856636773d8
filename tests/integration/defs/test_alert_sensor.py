"""What the alert sensor finds in Dagster's own records: failed runs, failed checks, failing sensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from resources.settings import load_settings
from resources.warehouse import Warehouse
from shopsphere_assets.alerts.cause import COLUMN, ERROR, FAILED_STEPS, FIRST_ROW, RUN_PAGE, WHAT_TO_DO, Alert, Pages
from shopsphere_assets.alerts.store import open_alerts
from shopsphere_assets.defs.operations.alerts import Memory, Seen, look, look_at_ticks
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw.factory import ASKED_IN_VAIN, raw_source
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from tests.integration.defs.shop_sources import SqliteShop

pytestmark = pytest.mark.usefixtures("no_waiting")


@dg.asset
def of_our_own() -> None:
    """Fails as a defect does, with a person's address in its words."""
    raise ValueError("cannot parse 'ann@example.com'")


class Operations:
    """Runs assets of the shop's database and looks at what became of them."""

    def __init__(self, instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
        self._instance, self._warehouse = instance, warehouse
        self._definitions = dg.Definitions.merge(
            raw_source(SHOP_DB), dg.Definitions(assets=[of_our_own], resources={"platform": Platform()})
        )
        self.cursor: str | None = None

    def run(self, *names: str) -> str:
        keys = [dg.AssetKey(["raw", "shop_db", name]) for name in names] or [dg.AssetKey("of_our_own")]
        job = self._definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=self._instance, asset_selection=keys, raise_on_error=False).run_id

    def alerts(self) -> list[Alert]:
        """The open alerts after another look, in which the memory survives as a cursor does."""
        now = datetime.now(UTC)
        memory = Memory.read(self.cursor, now)
        look(
            self._instance,
            self._definitions.get_repository_def(),
            self._warehouse,
            load_settings(),
            [],
            memory,
            nodes=set(),
            now=now,
        )
        self.cursor = memory.write()
        return open_alerts(self._warehouse)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's records in files: those in memory keep no ticks of sensors."""
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def operations(instance: dg.DagsterInstance, warehouse: Warehouse) -> Operations:
    return Operations(instance, warehouse)


def test_a_source_that_is_away_is_one_alert_for_all_its_tables_until_one_is_read(
    operations: Operations, sqlite_shop: SqliteShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("SHOPSPHERE_SHOP_DB_URL", "postgresql://reader:hidden@127.0.0.1:1/shop")
        first = operations.run("orders", "customers")
        [alert] = operations.alerts()
        assert alert.title.startswith("shop_db failed: the database does not answer")
        assert alert.details[ERROR] == "TransientError"
        assert alert.details[FAILED_STEPS] == "raw__shop_db__customers, raw__shop_db__orders"
        assert alert.details[RUN_PAGE] == f"http://127.0.0.1:3000/runs/{first}"
        assert alert.details[WHAT_TO_DO].startswith("check that the server runs")
        assert "hidden" not in str(alert)
        assert operations.alerts() == [alert]
        operations.run("orders")
        [alert] = operations.alerts()
        assert alert.occurrences == 2
    operations.run("orders")
    assert operations.alerts() == []


def test_what_failed_and_was_mended_before_anybody_looked_is_no_alert(
    operations: Operations, sqlite_shop: SqliteShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("SHOPSPHERE_SHOP_DB_URL", "postgresql://reader:hidden@127.0.0.1:1/shop")
        operations.run("orders")
    operations.run("orders")
    assert operations.alerts() == []


def test_a_defect_is_told_without_its_words(operations: Operations) -> None:
    operations.run()
    [alert] = operations.alerts()
    assert alert.title.startswith("of_our_own failed: ValueError")
    assert "ann@example.com" not in str(alert)


def test_a_failed_check_is_one_alert_until_it_passes(operations: Operations, sqlite_shop: SqliteShop) -> None:
    sqlite_shop.add("orders", 1, 20)
    sqlite_shop.add("orders", 21, 20, currency="???")
    operations.run("orders")
    [alert] = operations.alerts()
    assert alert.title == "shop_db/orders: too many rows broke their contract"
    assert alert.details[FIRST_ROW] == "order_id 21"
    assert alert.details[COLUMN] == "currency = ???"
    sqlite_shop.execute("UPDATE orders SET currency = 'EUR', updated_at = '2026-03-02 10:00:00.000'")
    operations.run("orders")
    assert operations.alerts() == []


def test_a_run_that_was_broken_off_is_an_alert_unless_it_is_tried_again(
    operations: Operations, instance: dg.DagsterInstance
) -> None:
    @dg.job
    def maintenance() -> None: ...

    for tags in ({"dagster/will_retry": "true"}, {}):
        run = instance.create_run_for_job(maintenance, tags=tags)
        instance.report_run_failed(run)
        assert [alert.title for alert in operations.alerts()] == (
            [] if tags else ["A run of maintenance was broken off"]
        )
    maintenance.execute_in_process(instance=instance)
    assert operations.alerts() == []


@dataclass
class Tick:
    """A tick as the daemon keeps it."""

    outcome: str
    skip_reason: str | None = None
    error: Any = None
    timestamp: float = 0.0

    @property
    def status(self) -> SimpleNamespace:
        return SimpleNamespace(value=self.outcome)

    @property
    def is_failure(self) -> bool:
        return self.outcome == "FAILURE"


class Ticks:
    """Stands in for the part of Dagster's records that only the daemon writes: the ticks of one sensor, newest last."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []

    def all_instigator_state(self) -> list[SimpleNamespace]:
        return [
            SimpleNamespace(
                instigator_name="shop_db_sensor", is_running=True, instigator_origin_id="o", selector_id="s"
            )
        ]

    def get_ticks(self, _origin: str, _selector: str, limit: int) -> list[Tick]:
        return self.ticks[: -limit - 1 : -1]


def test_a_sensor_that_fails_twice_and_a_source_that_is_away_too_long_are_alerts() -> None:
    ticks, now = Ticks(), datetime(2026, 3, 1, tzinfo=UTC)
    away: dict[str, datetime] = {}
    definitions = dg.Definitions.merge(raw_source(SHOP_DB), dg.Definitions(resources={"platform": Platform()}))
    repository = definitions.get_repository_def()
    words = "the database does not answer\n  where: shop\n  what to do: start it"

    def seen(tick: Tick, minutes: int) -> tuple[list[str], set[str]]:
        ticks.ticks.append(tick)
        found = Seen()
        nonlocal away
        away = look_at_ticks(
            ticks,  # type: ignore[arg-type]
            repository,
            [],
            away,
            load_settings(),
            Pages("http://ui", "http://steward"),
            found,
            now=now + timedelta(minutes=minutes),
        )
        return [cause.title for cause in found.present], found.gone

    refused = SimpleNamespace(cls_name="RuntimeError", message=f"The shop cannot be asked: {words}", cause=None)
    fine = {"sensor/shop_db_sensor", "source/shop_db"}
    assert seen(Tick("SKIPPED", "nothing new"), 0) == ([], fine)
    assert seen(Tick("FAILURE", error=refused), 1) == ([], set())
    assert seen(Tick("FAILURE", error=refused), 2) == (
        ["The sensor shop_db_sensor fails: The shop cannot be asked: the database does not answer"],
        set(),
    )
    in_vain = Tick("SKIPPED", f"{ASKED_IN_VAIN}{words}")
    assert seen(in_vain, 10) == ([], {"sensor/shop_db_sensor"})
    assert seen(in_vain, 39) == ([], {"sensor/shop_db_sensor"})
    assert seen(in_vain, 40) == (["shop_db is away: nothing could be read for 30 minutes"], {"sensor/shop_db_sensor"})
    assert seen(Tick("SUCCESS"), 41) == ([], fine)
    assert away == {}

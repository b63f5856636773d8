"""A source's sensor, evaluated as the daemon does, on a real database and a real warehouse."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from resources.settings import load_settings
from resources.sql_source import SqlSource
from resources.warehouse.duckdb_engine import DuckDBWarehouse
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw import factory
from shopsphere_assets.defs.raw.factory import SOURCE_TAG, raw_source
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.defs.raw.support import SUPPORT
from shopsphere_assets.defs.warehouse.conditions import AUTOMATION_TAGS
from shopsphere_assets.ingestion.raw_table import SourceSystem
from tests.integration.defs.shop_sources import TABLES, ShopSource, SqliteShop


class Daemon:
    """Evaluates one source's sensor again and again, and starts the runs that it asks for."""

    def __init__(self, system: SourceSystem, instance: dg.DagsterInstance) -> None:
        self._definitions, self._instance = raw_source(system), instance
        self.cursor: str | None = None
        [sensor] = self._definitions.sensors or ()
        assert isinstance(sensor, dg.SensorDefinition)
        self._sensor = sensor

    def tick(self) -> list[str] | str:
        """The tables of the run that the sensor asks for, or its reason for asking for none."""
        with dg.build_sensor_context(
            instance=self._instance, cursor=self.cursor, resources={"platform": Platform()}
        ) as context:
            answer = self._sensor(context)
        if isinstance(answer, dg.SkipReason):
            return answer.skip_message or ""
        assert isinstance(answer, dg.SensorResult)
        [request] = answer.run_requests or ()
        assert request.tags[SOURCE_TAG] == self._sensor.name.removesuffix("_sensor")
        self.cursor = answer.cursor
        self._request = request
        return [key.path[-1] for key in request.asset_selection or ()]

    def request_a_build(self) -> None:
        """What the automation conditions do about what was read."""
        self._instance.create_run_for_job(_job(), tags=AUTOMATION_TAGS)

    def run(self) -> bool:
        """Start the run that was asked for last; whether it succeeded. A build of what it read follows."""
        is_read = self.read()
        if is_read:
            self.request_a_build()
        return is_read

    def read(self) -> bool:
        """Start the run that was asked for last; whether it succeeded."""
        return dg.materialize(
            list(self._definitions.assets or ()),  # type: ignore[arg-type]
            selection=dg.AssetSelection.assets(*(self._request.asset_selection or ())),
            instance=self._instance,
            resources={"platform": Platform()},
            tags=self._request.tags,
            raise_on_error=False,
        ).success


@pytest.fixture
def daemon(instance: dg.DagsterInstance) -> Daemon:
    return Daemon(SHOP_DB, instance)


def test_a_source_without_rows_has_nothing_new(shop: ShopSource, daemon: Daemon) -> None:
    assert daemon.tick() == "nothing new"


def test_only_the_tables_with_new_rows_are_asked_for(shop: ShopSource, daemon: Daemon) -> None:
    for table in TABLES:
        shop.add(table, 1, 2)
    assert daemon.tick() == list(TABLES)
    assert daemon.run()
    assert daemon.tick() == "nothing new"
    shop.add("orders", 3, updated_at="2026-03-02T10:00:00.000Z")
    assert daemon.tick() == ["orders"]
    assert daemon.run()
    assert daemon.tick() == "nothing new"


def test_a_changed_row_is_news(shop: ShopSource, daemon: Daemon) -> None:
    shop.add("orders", 1)
    daemon.tick()
    daemon.run()
    shop.execute("UPDATE orders SET status = 'cancelled', updated_at = '2026-03-02 10:00:00.000'")
    assert daemon.tick() == ["orders"]


def test_the_same_news_is_not_asked_for_twice(shop: ShopSource, daemon: Daemon) -> None:
    shop.add("orders", 1)
    assert daemon.tick() == ["orders"]
    # As where the run was removed, or reads without advancing the watermark.
    assert daemon.tick() == "nothing new"
    shop.add("orders", 2, updated_at="2026-03-02T10:00:00.000Z")
    assert daemon.tick() == ["orders"]


def test_after_a_failed_run_it_asks_again_once_the_wait_is_over(
    shop: ShopSource, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add("orders", 1)
    shop.add("customers", 1)
    assert daemon.tick() == ["customers", "orders"]
    shop.execute("ALTER TABLE orders RENAME COLUMN currency TO money")
    assert not daemon.run()
    shop.execute("ALTER TABLE orders RENAME COLUMN money TO currency")
    waiting = daemon.tick()
    assert isinstance(waiting, str)
    assert waiting.startswith("the last run failed; the next try is at")
    monkeypatch.setattr(factory, "_WAIT_AFTER_FAILURE", timedelta(0))
    # What did succeed is not read again.
    assert daemon.tick() == ["orders"]
    assert daemon.run()
    assert daemon.tick() == "nothing new"


def test_while_a_run_is_under_way_it_waits(sqlite_shop: SqliteShop, instance: dg.DagsterInstance) -> None:
    sqlite_shop.add("orders", 1)
    instance.create_run_for_job(_job(), tags={SOURCE_TAG: "shop_db"}, status=dg.DagsterRunStatus.STARTED)
    assert Daemon(SHOP_DB, instance).tick() == "a run of this source is under way"
    # Another source's runs do not matter.
    instance.create_run_for_job(_job(), tags={SOURCE_TAG: "hubspot"}, status=dg.DagsterRunStatus.STARTED)
    [record] = instance.get_run_records(dg.RunsFilter(tags={SOURCE_TAG: "shop_db"}))
    instance.delete_run(record.dagster_run.run_id)
    assert Daemon(SHOP_DB, instance).tick() == ["orders"]


def _job() -> dg.JobDefinition:
    @dg.job
    def anything() -> None: ...

    return anything


def test_a_source_that_is_away_is_passed_over_with_the_reason(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", "postgresql://reader:hidden@127.0.0.1:1/shop")
    reason = daemon.tick()
    assert isinstance(reason, str)
    assert reason.startswith("asked in vain, will ask again: the database does not answer")
    assert "what to do" in reason
    assert "hidden" not in reason


def test_a_source_that_refuses_is_a_failed_tick_that_says_what_to_do(
    daemon: Daemon, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", postgres_url + "_missing")
    with pytest.raises(RuntimeError, match="Shop database cannot be asked: the database refuses") as failure:
        daemon.tick()
    assert "what to do" in str(failure.value)


def test_a_source_without_an_address_is_a_failed_tick_that_names_the_setting(daemon: Daemon) -> None:
    with pytest.raises(RuntimeError, match="SHOPSPHERE_SHOP_DB_URL"):
        daemon.tick()


def test_a_warehouse_in_use_by_another_process_is_a_reason_to_wait(
    sqlite_shop: SqliteShop, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite_shop.add("orders", 1)
    monkeypatch.setattr(factory, "_SENSOR_LOCK_TIMEOUT_SECONDS", 0.2)
    holder = (
        "import sys; from resources.warehouse import open_warehouse; w = open_warehouse(sys.argv[1]); w.prepare()\n"
        "with w.writer_lock(): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, load_settings().warehouse],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        reason = daemon.tick()
        process.communicate()
    assert isinstance(reason, str)
    assert f"in use by another writer (last writer: process {process.pid})" in reason
    assert daemon.tick() == ["orders"]


def test_a_new_file_is_news_once(instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drops = tmp_path / "drops"
    drops.mkdir()
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(drops))
    daemon = Daemon(SUPPORT, instance)
    assert daemon.tick() == "nothing new"
    (drops / "tickets-2026-03-01.json").write_text("[]")
    assert daemon.tick() == ["tickets"]
    assert daemon.run()
    assert daemon.tick() == "nothing new"
    # The same content under another name was read.
    (drops / "tickets-again.json").write_text("[]")
    assert daemon.tick() == "nothing new"


def test_a_look_without_news_asks_once_per_table_and_writes_nothing(
    shop: ShopSource, daemon: Daemon, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in TABLES:
        shop.add(table, 1, 2)
    daemon.tick()
    assert daemon.run()
    questions: list[str] = []
    ask = SqlSource.ask

    def counted(source: SqlSource, query: str) -> object:
        questions.append(query)
        return ask(source, query)

    def refused(*_arguments: object) -> None:
        raise AssertionError("a look writes to the warehouse")

    monkeypatch.setattr(SqlSource, "ask", counted)
    for name in ("prepare", "ensure_tables", "transaction", "writer_lock"):
        monkeypatch.setattr(DuckDBWarehouse, name, refused)
    runs = instance.get_runs_count()
    assert daemon.tick() == "nothing new"
    assert len(questions) == len(TABLES)
    assert all(question.startswith("SELECT MAX(") for question in questions)
    assert instance.get_runs_count() == runs


def test_a_look_at_a_folder_opens_no_file_that_it_has_seen(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = tmp_path / "drops"
    drops.mkdir()
    monkeypatch.setenv("SHOPSPHERE_SUPPORT_URL", str(drops))
    (drops / "tickets-2026-03-01.json").write_text("[]")
    daemon = Daemon(SUPPORT, instance)
    assert daemon.tick() == ["tickets"]
    assert daemon.run()
    opened: list[Path] = []
    open_ = Path.open

    def noted(path: Path, *arguments: Any, **more: Any) -> Any:
        opened.append(path)
        return open_(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", noted)
    assert daemon.tick() == "nothing new"
    assert [path for path in opened if drops in path.parents] == []


def test_after_a_read_it_lets_the_build_begin_and_then_asks_on(sqlite_shop: SqliteShop, daemon: Daemon) -> None:
    sqlite_shop.add("orders", 1)
    assert daemon.tick() == ["orders"]
    assert daemon.read()
    sqlite_shop.add("orders", 2, updated_at="2026-03-02T10:00:00.000Z")
    assert daemon.tick() == "what was read last is yet to be built"
    daemon.request_a_build()
    assert daemon.tick() == ["orders"]

"""The settings in dagster.yaml, read by a real Dagster instance on a real PostgreSQL."""

from __future__ import annotations

import shutil
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage, PostgresScheduleStorage


@pytest.fixture
def instance(
    postgres_url: str, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> dg.DagsterInstance:
    monkeypatch.setenv("SHOPSPHERE_DAGSTER_STORAGE_URL", postgres_url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(repository / "dagster.yaml", tmp_path)
    return dg.DagsterInstance.get()


def test_everything_is_recorded_in_postgresql(instance: dg.DagsterInstance) -> None:
    with instance:
        assert isinstance(instance.run_storage, PostgresRunStorage)
        assert isinstance(instance.event_log_storage, PostgresEventLogStorage)
        assert isinstance(instance.schedule_storage, PostgresScheduleStorage)


def test_nothing_is_sent_home_and_no_dialog_is_shown(instance: dg.DagsterInstance) -> None:
    with instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled


def test_runs_are_queued_three_at_a_time_and_pools_admit_one_step(instance: dg.DagsterInstance) -> None:
    with instance:
        concurrency = instance.get_concurrency_config()
    assert concurrency.run_queue_config is not None
    assert concurrency.run_queue_config.max_concurrent_runs == 3
    assert concurrency.pool_config.default_pool_limit == 1
    assert concurrency.pool_config.pool_granularity is not None
    assert concurrency.pool_config.pool_granularity.value == "op"


def test_hanging_runs_end_and_only_crashed_runs_are_run_again(instance: dg.DagsterInstance) -> None:
    with instance:
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_max_runtime_seconds == 2 * 3600
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure


def test_a_run_with_its_logs_stays_in_dagster_home(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    @dg.asset(pool="warehouse")
    def numbers() -> None:
        print("written by the step")

    with instance:
        result = dg.materialize([numbers], instance=instance)
        assert result.success
        assert instance.get_run_by_id(result.run_id) is not None
    logs = list((tmp_path / "storage" / result.run_id / "compute_logs").glob("*.out"))
    assert "written by the step" in "".join(log.read_text() for log in logs)


def test_the_workspace_names_one_code_location(repository: Path) -> None:
    workspace = yaml.safe_load((repository / "workspace.yaml").read_text())
    assert workspace == {
        "load_from": [
            {"python_module": {"module_name": "shopsphere_assets.definitions", "location_name": "shopsphere"}}
        ]
    }

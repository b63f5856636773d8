"""The latest result of every model and test, kept in a real warehouse of each engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.settings import load_settings
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.transformation.results import NODE_RESULTS, broken_nodes, record_results, record_start

MODELS = {"model.shopsphere.orders", "model.shopsphere.customers"}
KNOWN = MODELS | {"test.shopsphere.unique_orders"}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    is_server = request.param == "postgres"
    warehouse = open_warehouse(request.getfixturevalue("postgres_url") if is_server else load_settings().warehouse)
    warehouse.prepare()
    return warehouse


def _record(warehouse: Warehouse, folder: Path, **statuses: str) -> None:
    """Record a dbt run: ``<kind>_<name>=status``."""
    results = [
        {
            "unique_id": name.replace("_", ".shopsphere.", 1),
            "status": status,
            "message": "it's 50 % broken",
            "execution_time": 0.5,
        }
        for name, status in statuses.items()
    ]
    file = folder / "run_results.json"
    file.write_text(json.dumps({"results": results}))
    record_results(warehouse, file, run_id="run", finished_at=NOW)


def test_nothing_is_broken_before_the_first_build(warehouse: Warehouse) -> None:
    assert broken_nodes(warehouse, KNOWN) == []


@pytest.mark.parametrize(
    ("status", "is_broken"),
    [
        ("success", False),
        ("pass", False),
        ("warn", False),
        ("error", True),
        ("fail", True),
        ("runtime error", True),
        ("skipped", True),
    ],
)
def test_a_failure_is_broken_and_a_warning_is_not(
    warehouse: Warehouse, tmp_path: Path, status: str, is_broken: bool
) -> None:
    _record(warehouse, tmp_path, model_orders=status)
    assert broken_nodes(warehouse, KNOWN) == (["model.shopsphere.orders"] if is_broken else [])


def test_only_a_result_of_the_same_node_replaces_a_failure(warehouse: Warehouse, tmp_path: Path) -> None:
    _record(warehouse, tmp_path, model_orders="success", test_unique_orders="fail", model_customers="skipped")
    _record(warehouse, tmp_path, model_customers="success")
    assert broken_nodes(warehouse, KNOWN) == ["test.shopsphere.unique_orders"]
    _record(warehouse, tmp_path, model_orders="success", test_unique_orders="pass")
    assert broken_nodes(warehouse, KNOWN) == []


def test_what_the_project_no_longer_has_is_forgotten(warehouse: Warehouse, tmp_path: Path) -> None:
    _record(warehouse, tmp_path, model_removed="error")
    assert broken_nodes(warehouse, KNOWN) == []


def test_models_whose_build_was_killed_are_broken_until_they_are_built(warehouse: Warehouse, tmp_path: Path) -> None:
    _record(warehouse, tmp_path, model_orders="success", model_customers="success")
    record_start(warehouse, MODELS, run_id="killed", started_at=NOW)
    assert broken_nodes(warehouse, KNOWN) == sorted(MODELS)
    _record(warehouse, tmp_path, model_orders="success")
    assert broken_nodes(warehouse, KNOWN) == ["model.shopsphere.customers"]


def test_a_build_of_very_many_nodes_is_recorded(warehouse: Warehouse) -> None:
    many = {f"model.shopsphere.m{number}" for number in range(1201)}
    for _ in range(2):
        record_start(warehouse, many, run_id="run", started_at=NOW)
    assert len(broken_nodes(warehouse, many)) == 1201
    assert warehouse.query(f"select count(*) as n from {NODE_RESULTS}").to_pylist() == [{"n": 1201}]


def test_a_build_of_nothing_changes_nothing(warehouse: Warehouse) -> None:
    record_start(warehouse, set(), run_id="run", started_at=NOW)
    assert broken_nodes(warehouse, KNOWN) == []

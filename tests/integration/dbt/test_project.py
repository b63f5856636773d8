"""The dbt project as people see it: it parses without a warning, describes everything, follows the contracts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.dbt.warehouses import DuckDBWarehouse, contracts_by_table

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The project's manifest; a warning or a deprecation while parsing is an error."""
    folder: Path = tmp_path_factory.mktemp("dbt_parse")
    DuckDBWarehouse(folder).dbt("--warn-error", "parse", "--no-partial-parse", "--show-all-deprecations")
    parsed: Manifest = json.loads((folder / "target" / "manifest.json").read_text())
    return parsed


def _models(manifest: Manifest) -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def test_every_raw_table_is_a_source_with_the_asset_key_of_the_raw_asset(manifest: Manifest) -> None:
    sources = {
        f"{source['source_name']}/{source['name']}": (
            source["schema"],
            source["identifier"],
            source["config"]["meta"]["dagster"]["asset_key"],
        )
        for source in manifest["sources"].values()
    }
    versions = {"shop_db/customer_versions": ("raw", "shop_db__customers__versions", ["raw", "shop_db", "customers"])}
    assert sources == versions | {
        key: ("raw", key.replace("/", "__"), ["raw", *key.split("/")]) for key in contracts_by_table()
    }


def test_every_model_source_exposure_and_column_is_described(manifest: Manifest) -> None:
    nodes = [*_models(manifest), *manifest["sources"].values(), *manifest["exposures"].values()]
    silent = [node["unique_id"] for node in nodes if not node["description"].strip()]
    silent += [
        f"{node['name']}.{column['name']}"
        for node in _models(manifest)
        for column in node["columns"].values()
        if not column["description"].strip()
    ]
    assert silent == []


def test_every_mart_enforces_its_contract_and_has_a_key(manifest: Manifest) -> None:
    keyed = {
        test["attached_node"]
        for test in manifest["nodes"].values()
        if test["resource_type"] == "test"
        and (test.get("test_metadata") or {}).get("name") in ("unique", "unique_combination", "unique_and_not_null")
    }
    for model in _models(manifest):
        assert model["unique_id"] in keyed, f"{model['name']} has no test of its key"
        if "marts" in model["fqn"]:
            assert model["config"]["contract"]["enforced"], model["name"]


def test_every_model_has_a_group_and_an_owner_for_dagster(manifest: Manifest) -> None:
    for model in _models(manifest):
        shown = model["meta"]["dagster"]
        assert shown["owners"] == ["team:analytics"]
        area = model["fqn"][2]
        assert shown["group"] == (f"staging_{area}" if "staging" in model["fqn"] else area)


def test_staging_marks_the_same_columns_as_personal_as_the_contracts(manifest: Manifest) -> None:
    models = {model["name"]: model for model in _models(manifest)}
    for key, contract in contracts_by_table().items():
        source, table = key.split("/")
        expected = sorted(
            column.metadata["personal"]
            for column in contract.to_schema().columns.values()
            if column.metadata and column.metadata["personal"]
        )
        marked = sorted(
            column["config"]["meta"]["personal"]
            for name, column in models[f"stg_{source}__{table}"]["columns"].items()
            if "personal" in column["config"]["meta"] and name != "normalised_email"
        )
        assert marked == expected, key


def test_a_personal_column_of_a_mart_says_what_it_may_be_used_for(manifest: Manifest) -> None:
    personal_names = {
        name
        for model in _models(manifest)
        if "staging" in model["fqn"]
        for name, column in model["columns"].items()
        if "personal" in column["config"]["meta"]
    }
    for model in _models(manifest):
        for name, column in model["columns"].items():
            meta = column["config"]["meta"]
            if "personal" in meta:
                assert meta["purposes"], f"{model['name']}.{name}"
            elif "marts" in model["fqn"] and name in personal_names:
                # A town or country of a company or product is not a person's.
                assert model["name"] in {"dim_suppliers"}, f"{model['name']}.{name} is not marked as personal"

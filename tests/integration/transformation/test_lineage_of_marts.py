"""The column lineage of the real models, compiled by dbt for both engines."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resources.settings import load_settings
from resources.warehouse.base import BUILD_PREFIX
from shopsphere_assets.defs.warehouse.dbt import _known_columns
from shopsphere_assets.transformation.column_lineage import ColumnLineage, ColumnSources
from shopsphere_assets.transformation.project import (
    PROJECT_DIR,
    dbt_environment,
    dbt_executable,
    dbt_target,
    target_folder,
)

# Columns of marts that are made of no column, and why.
REASONS = {
    "counts rows": {
        "catalogue.dim_suppliers.products",
        "customers.dim_customers.crm_interactions",
        "customers.dim_customers.tickets",
        "marketing.fct_campaign_performance.attributed_orders",
        "marketing.fct_campaign_performance.attributed_sessions",
        "marketing.fct_campaign_revenue.orders",
        "sales.fct_daily_sales.orders",
        "web.fct_daily_funnel.sessions",
        "web.fct_daily_traffic.requests",
        "web.fct_sessions.events",
        "web.fct_sessions.orders",
    },
    "is computed from counts of rows": {
        "marketing.fct_campaign_performance.conversion_rate",
        "web.fct_sessions.is_bounce",
    },
}


class Models:
    """The models compiled for one engine, with the lineage of each."""

    def __init__(self) -> None:
        settings = load_settings()
        folder = target_folder(settings)
        folder.mkdir(parents=True)
        command = [dbt_executable(), "--quiet", "compile", "--target", dbt_target(settings)]
        command += ["--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)]
        environment = {**os.environ, **dbt_environment(settings)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        lineage = ColumnLineage(self.manifest, _known_columns(self.manifest), folder / "lineage")
        self.nodes = {i: n for i, n in self.manifest["nodes"].items() if n["resource_type"] == "model"}
        self.lineage = {i: lineage.of(i, folder / "compiled") for i in self.nodes}

    def origins(self, model: str, column: str) -> set[str]:
        """The columns of sources, as ``table.column``, that a column is made of in the end."""
        found = set()
        for parent, name in self._of(model)[column]:
            if parent.startswith("source."):
                found.add(f"{self.manifest['sources'][parent]['identifier']}.{name}")
            else:
                found |= self.origins(parent, name)
        return found

    def _of(self, model: str) -> ColumnSources:
        found = self.lineage[model]
        assert found is not None, model
        return found


@pytest.fixture(scope="module")
def kept() -> dict[str, Models]:
    """The compiled models by engine: compiling takes seconds."""
    return {}


Compile = Callable[[str], Models]


@pytest.fixture
def compiled(kept: dict[str, Models], postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compile:
    urls = {"duckdb": f"duckdb://{tmp_path}/warehouse.duckdb", "postgres": postgres_url}

    def compiled_for(engine: str) -> Models:
        if engine not in kept:
            monkeypatch.setenv("SHOPSPHERE_WAREHOUSE_URL", urls[engine])
            kept[engine] = Models()
        return kept[engine]

    return compiled_for


@pytest.fixture(params=["duckdb", "postgres"])
def models(request: pytest.FixtureRequest, compiled: Compile) -> Models:
    return compiled(request.param)


def test_every_described_column_of_every_model_is_followed(models: Models) -> None:
    for unique_id, node in models.nodes.items():
        lineage = models.lineage[unique_id]
        assert lineage is not None, unique_id
        assert set(lineage) == set(node["columns"]), unique_id


def test_every_column_of_every_mart_is_made_of_columns_or_there_is_a_reason(models: Models) -> None:
    without = set()
    for unique_id, node in models.nodes.items():
        if node["schema"].startswith(BUILD_PREFIX):
            mart = f"{node['schema'].removeprefix(BUILD_PREFIX)}.{node['name']}"
            lineage = models.lineage[unique_id] or {}
            without |= {f"{mart}.{column}" for column, parents in lineage.items() if not parents}
    assert without == set().union(*REASONS.values())


def test_the_amount_of_an_order_comes_from_its_lines(models: Models) -> None:
    orders = models.lineage["model.shopsphere.fct_orders"]
    assert orders is not None
    assert orders["items_amount"] == [("model.shopsphere.int_order_items_summed", "items_amount")]
    summed = models.lineage["model.shopsphere.int_order_items_summed"]
    assert summed is not None
    assert {parent for parent, _ in summed["items_amount"]} == {"model.shopsphere.fct_order_items"}
    assert models.origins("model.shopsphere.fct_orders", "items_amount") == {"shop_db__order_items.line_amount"}


def test_personal_data_is_found_again_behind_joins(models: Models) -> None:
    origins = models.origins("model.shopsphere.dim_customers", "email")
    assert "shop_db__customers.email" in origins


def test_the_engines_agree(compiled: Compile) -> None:
    assert compiled("duckdb").lineage == compiled("postgres").lineage

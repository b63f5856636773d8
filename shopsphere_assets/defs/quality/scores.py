"""Scores of the marts after every build, and the table of all scores."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.raw.scoring import quality_check_spec, quality_result
from shopsphere_assets.defs.warehouse.conditions import AFTER_UPSTREAM
from shopsphere_assets.defs.warehouse.dbt import WAREHOUSE_POOL, mart_keys
from shopsphere_assets.quality.scores import DIMENSIONS, keep_scores, marts_of, newest_scores, score_marts
from shopsphere_assets.transformation.project import prepare_manifest

SCORES_KEY = dg.AssetKey(["quality", "scores"])


@dg.definitions
def scores() -> dg.Definitions:
    """The asset that scores the marts, and a check on each of them."""

    @dg.asset(
        key=SCORES_KEY,
        deps=mart_keys(),
        description="How complete, accurate, consistent and timely each raw table and each mart is, kept at every run "
        "in quality.scores. The metadata has the newest score of each, and what all of them come to, as a trend.",
        group_name="quality",
        owners=["team:data-platform"],
        kinds={"python"},
        automation_condition=AFTER_UPSTREAM,
        pool=WAREHOUSE_POOL,
        # Readers get the marts first.
        op_tags={"dagster/priority": "-1"},
    )
    def quality_scores(context: dg.AssetExecutionContext, platform: Platform) -> dg.MaterializeResult[None]:
        with faults(context):
            warehouse = platform.warehouse()
            warehouse.prepare()
            marts = marts_of(json.loads(prepare_manifest(platform.settings).read_text()))
            with warehouse.reading():
                scores_now = score_marts(warehouse, marts)
            keep_scores(warehouse, scores_now, run_id=context.run.run_id, at=datetime.now(UTC))
            newest = newest_scores(warehouse)
        return dg.MaterializeResult(metadata={**_totals(newest), "scores": _table(newest)})

    @dg.multi_asset_check(
        specs=[quality_check_spec(key, additional_deps=[SCORES_KEY]) for key in mart_keys()],
        can_subset=True,
        name="mart_quality",
    )
    def mart_quality(context: dg.AssetCheckExecutionContext, platform: Platform) -> Iterator[dg.AssetCheckResult]:
        warehouse = platform.warehouse()
        warehouse.prepare()
        by_relation: dict[str, dict[str, float | None]] = {}
        for row in newest_scores(warehouse):
            by_relation.setdefault(row["relation"], {})[row["dimension"]] = row["score"]
        for check in sorted(context.selected_asset_check_keys):
            relation = ".".join(check.asset_key.path)
            yield quality_result(by_relation.get(relation, {}), relation, check.asset_key)

    return dg.Definitions(assets=[quality_scores], asset_checks=[mart_quality])


def _totals(newest: list[dict[str, Any]]) -> dict[str, dg.MetadataValue[Any]]:
    """Each dimension's score over all relations, each of which counts alike."""
    found: dict[str, dg.MetadataValue[Any]] = {}
    for dimension in DIMENSIONS:
        shares = [row["score"] for row in newest if row["dimension"] == dimension and row["score"] is not None]
        if shares:
            found[dimension] = dg.MetadataValue.float(round(sum(shares) / len(shares), 5))
    return found


def _table(newest: list[dict[str, Any]]) -> dg.MetadataValue:
    by_relation: dict[str, dict[str, float | None]] = {}
    for row in newest:
        by_relation.setdefault(row["relation"], {})[row["dimension"]] = row["score"]
    records = [
        dg.TableRecord({"table": relation, **{name: _percent(found.get(name)) for name in DIMENSIONS}})
        for relation, found in sorted(by_relation.items())
    ]
    schema = dg.TableSchema([dg.TableColumn(name, "string") for name in ("table", *DIMENSIONS)])
    return dg.MetadataValue.table(records, schema=schema)


def _percent(score: float | None) -> str:
    return "" if score is None else f"{score:.2%}"

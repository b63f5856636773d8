"""The check of a raw asset that scores its table after every read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from resources.warehouse import Warehouse
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.quality.scores import LEAST_SCORE, keep_scores, score_raw

QUALITY_CHECK = "quality"


def quality_check_spec(key: dg.AssetKey, **more: Any) -> dg.AssetCheckSpec:
    """The check that warns where a score is low."""
    return dg.AssetCheckSpec(
        QUALITY_CHECK,
        asset=key,
        description="Completeness, accuracy, consistency and timeliness each score at least "
        f"{LEAST_SCORE:.0%}; a warning only.",
        **more,
    )


def score_table(
    warehouse: Warehouse, table: RawTable, known: Mapping[str, RawTable], *, run_id: str
) -> dg.AssetCheckResult:
    """Score a raw table, keep the scores, and say whether all of them are good."""
    now = datetime.now(UTC)
    with warehouse.reading():
        scores = score_raw(warehouse, table, known, now)
    keep_scores(warehouse, scores, run_id=run_id, at=now)
    return quality_result({score.dimension: score.score for score in scores}, str(table.definition))


def quality_result(
    scores: Mapping[str, float | None], relation: str, asset_key: dg.AssetKey | None = None
) -> dg.AssetCheckResult:
    """The check's result for one relation. ``scores``: by dimension; None where there was nothing to judge."""
    low = {name: score for name, score in scores.items() if score is not None and score < LEAST_SCORE}
    return dg.AssetCheckResult(
        check_name=QUALITY_CHECK,
        asset_key=asset_key,
        passed=not low,
        severity=dg.AssetCheckSeverity.WARN,
        description=", ".join(f"{name} is only {score:.1%}" for name, score in low.items()) or None,
        metadata={
            **{name: dg.MetadataValue.float(round(score, 5)) for name, score in scores.items() if score is not None},
            "look at": f"select dimension, score, detail from quality.scores where relation = '{relation}'"
            " order by scored_at desc",
        },
    )

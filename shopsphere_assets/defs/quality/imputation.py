"""What imputing does to the marts, after every build."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from shopsphere_assets.defs.platform import Platform, faults
from shopsphere_assets.defs.warehouse.conditions import AFTER_UPSTREAM
from shopsphere_assets.defs.warehouse.dbt import WAREHOUSE_POOL, mart_keys
from shopsphere_assets.quality.imputation import Bias, assess

IMPUTATION_KEY = dg.AssetKey(["quality", "imputation"])
_CHECK = "missing_at_random"


@dg.definitions
def imputation() -> dg.Definitions:
    """The asset that tells what imputing does."""

    @dg.asset(
        key=IMPUTATION_KEY,
        deps=mart_keys(),
        description="What imputing does to the marts' columns: how many cells, how mean and deviation move, and "
        "whether it depends on other columns which cells are missing, so that what stands in for them misleads.",
        group_name="quality",
        owners=["team:data-platform"],
        kinds={"python"},
        automation_condition=AFTER_UPSTREAM,
        pool=WAREHOUSE_POOL,
        # Readers get the marts first.
        op_tags={"dagster/priority": "-1"},
        check_specs=[
            dg.AssetCheckSpec(
                _CHECK, asset=IMPUTATION_KEY, description="Which cells are missing depends on no other column."
            )
        ],
    )
    def quality_imputation(
        context: dg.AssetExecutionContext, platform: Platform
    ) -> Iterator[dg.MaterializeResult[None]]:
        with faults(context):
            warehouse = platform.warehouse()
            warehouse.prepare()
            biases = assess(warehouse)
        dependent = [bias for bias in biases if bias.depends_on]
        yield dg.MaterializeResult(
            metadata={"columns": len(biases), "bias": _table(biases)},
            check_results=[
                dg.AssetCheckResult(
                    check_name=_CHECK,
                    passed=not dependent,
                    severity=dg.AssetCheckSeverity.WARN,
                    metadata={f"{bias.relation}.{bias.column}": _words(bias) for bias in dependent},
                )
            ],
        )

    return dg.Definitions(assets=[quality_imputation])


def _words(bias: Bias) -> str:
    return "; ".join(
        f"{each.column}: {each.lowest:.1%} to {each.highest:.1%} missing (V = {each.strength})"
        for each in bias.depends_on
    )


def _table(biases: list[Bias]) -> dg.MetadataValue[Any]:
    names = ("column", "rows", "imputed", "mean", "shift of the mean", "deviation", "depends on")
    records = [
        dg.TableRecord(
            {
                "column": f"{bias.relation}.{bias.column}",
                "rows": f"{bias.rows:,}",
                "imputed": f"{bias.imputed:,}",
                "mean": f"{bias.mean_before:,.2f} → {bias.mean_after:,.2f}",
                "shift of the mean": f"{bias.shift:+.3f} deviations",
                "deviation": f"{bias.deviation_before:,.2f} → {bias.deviation_after:,.2f}",
                "depends on": _words(bias),
            }
        )
        for bias in biases
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name, "string") for name in names]))

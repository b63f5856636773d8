"""What imputing does to a column is told, and whether its cells are missing at random."""

from __future__ import annotations

import random

import polars as pl
import pytest

from shopsphere_assets.contracts.base import Imputation
from shopsphere_assets.quality.imputation import bias
from tests.raw_tables import ALL_TABLES


def marts_rows(missing_where_heavy: bool) -> pl.DataFrame:
    """Products of which a fifth has an imputed weight: any of them, or those of one brand."""
    draw = random.Random(7)
    rows = []
    for number in range(2_000):
        brand = draw.choice(("Ada", "Bell", "Cray", "Dell", "Eta"))
        is_missing = brand == "Eta" if missing_where_heavy else draw.random() < 0.2
        weight = 500 if is_missing else draw.randint(100, 900) + (400 if brand == "Dell" else 0)
        rows.append((number, brand, draw.randint(1, 9), weight, is_missing))
    return pl.DataFrame(
        rows, schema=["product_id", "brand", "orders", "weight_grams", "is_weight_grams_imputed"], orient="row"
    )


def test_cells_missing_at_random_depend_on_nothing_and_the_spread_shrinks() -> None:
    found = bias("catalogue.dim_products", "weight_grams", marts_rows(missing_where_heavy=False))
    assert found.depends_on == ()
    assert 300 < found.imputed < 500
    assert found.deviation_after < found.deviation_before
    assert found.shift == pytest.approx((found.mean_after - found.mean_before) / found.deviation_before)


def test_cells_that_are_missing_for_one_brand_are_told() -> None:
    found = bias("catalogue.dim_products", "weight_grams", marts_rows(missing_where_heavy=True))
    assert [each.column for each in found.depends_on] == ["brand"]
    assert (found.depends_on[0].lowest, found.depends_on[0].highest) == (0.0, 1.0)


def test_a_column_of_which_nothing_is_missing_has_not_moved() -> None:
    rows = marts_rows(missing_where_heavy=False).with_columns(is_weight_grams_imputed=pl.lit(False))
    found = bias("catalogue.dim_products", "weight_grams", rows)
    assert (found.imputed, found.shift, found.depends_on) == (0, 0.0, ())


def test_a_group_that_a_contract_names_is_a_column_of_it() -> None:
    for table in ALL_TABLES:
        for name in table.column_types:
            imputation = table.column_metadata(name)["imputation"]
            if imputation is not None:
                assert isinstance(imputation, Imputation)
                assert imputation.by in table.column_types
                assert name not in table.required_columns

"""What imputing does to the marts' columns: how their distribution moves, and whether cells are missing at random.

A mart's column ``is_<column>_imputed`` says of which cells its column was imputed; nothing else is declared. Does not
belong here: imputing, which the dbt project does where a contract asks for it (``dbt_project/macros/imputation.sql``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from resources.warehouse import Warehouse
from resources.warehouse.base import BUILD_PREFIX

MOST_ROWS = 200_000
"""As many rows of a mart are looked at."""

_CLASSES = 20
_FEWEST_EXPECTED = 5.0
_SIGNIFICANT = 0.01
_STRONG = 0.1


@dataclass(frozen=True)
class Dependence:
    """A column on which it depends whether another is missing.

    ``strength``: Cramér's V, 0 to 1. ``lowest`` and ``highest``: the shares of missing cells in its classes.
    """

    column: str
    strength: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Bias:
    """What imputing did to one column: its distribution without (``before``) and with (``after``) the imputed cells."""

    relation: str
    column: str
    rows: int
    imputed: int
    mean_before: float
    mean_after: float
    deviation_before: float
    deviation_after: float
    depends_on: tuple[Dependence, ...]

    @property
    def shift(self) -> float:
        """How far the mean moved, in standard deviations."""
        return (self.mean_after - self.mean_before) / self.deviation_before if self.deviation_before else 0.0


def assess(warehouse: Warehouse) -> list[Bias]:
    """The bias of every imputed column of the marts as they are built."""
    found = warehouse.query(
        "SELECT table_schema, table_name, column_name FROM information_schema.columns"
        f" WHERE table_schema LIKE '{BUILD_PREFIX}%' AND column_name LIKE 'is\\_%\\_imputed' ESCAPE '\\'"
        " ORDER BY 1, 2, 3"
    ).to_pylist()
    biases = []
    for row in found:
        relation = f"{row['table_schema']}.{row['table_name']}"
        rows = pl.DataFrame(warehouse.query(f"SELECT * FROM {relation} LIMIT {MOST_ROWS}"))
        column = row["column_name"].removeprefix("is_").removesuffix("_imputed")
        biases.append(bias(relation.removeprefix(BUILD_PREFIX), column, rows))
    return biases


def bias(relation: str, column: str, rows: pl.DataFrame) -> Bias:
    """What imputing did to ``column`` among ``rows``, which have its flag."""
    flag = f"is_{column}_imputed"
    is_imputed = rows.get_column(flag).fill_null(False)
    after = rows.get_column(column).cast(pl.Float64)
    before = after.filter(~is_imputed)
    others = [name for name in rows.columns if name not in (column, flag)]
    return Bias(
        relation=relation,
        column=column,
        rows=rows.height,
        imputed=int(is_imputed.sum()),
        mean_before=_number(before.mean()),
        mean_after=_number(after.mean()),
        deviation_before=_number(before.std()),
        deviation_after=_number(after.std()),
        depends_on=_dependences(is_imputed, rows.select(others)),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _dependences(is_missing: pl.Series, others: pl.DataFrame) -> tuple[Dependence, ...]:
    """The columns on which it depends whether a cell is missing, the strongest first.

    By Pearson's chi-square test of independence, at 1 % for all columns together (Bonferroni).
    """
    if not is_missing.any() or is_missing.all():
        return ()
    found = []
    for column in others.get_columns():
        counts = (
            pl.DataFrame({"class": _classes(column), "is_missing": is_missing})
            .group_by("class")
            .agg(pl.len().alias("rows"), pl.col("is_missing").sum().alias("missing"))
        )
        share = int(is_missing.sum()) / is_missing.len()
        # The test holds where each class is expected to have some of both.
        counts = counts.filter(pl.col("rows") * min(share, 1 - share) >= _FEWEST_EXPECTED)
        if not 2 <= counts.height <= _CLASSES:
            continue
        total = int(counts["rows"].sum())
        of_all = int(counts["missing"].sum()) / total
        if not 0 < of_all < 1:
            continue
        expected = counts["rows"] * of_all
        chi_square = float((((counts["missing"] - expected) ** 2) / (expected * (1 - of_all))).sum())
        strength = math.sqrt(chi_square / total)
        if _chance(chi_square, counts.height - 1) * others.width < _SIGNIFICANT and strength >= _STRONG:
            shares = counts["missing"] / counts["rows"]
            found.append(Dependence(column.name, round(strength, 3), _number(shares.min()), _number(shares.max())))
    return tuple(sorted(found, key=lambda each: -each.strength))


def _classes(column: pl.Series) -> pl.Series:
    """The cells as few classes: a number's or a moment's quarter, anything else as text."""
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        ranks = column.rank("average")
        filled = max(column.len() - column.null_count(), 1)
        return ((ranks * 4 / (filled + 1)).floor()).cast(pl.Int64).cast(pl.String)
    return column.cast(pl.String)


def _chance(chi_square: float, freedom: int) -> float:
    """How likely chance alone makes a chi-square at least as large (Wilson and Hilferty, 1931)."""
    spread = 2 / (9 * freedom)
    normal = ((chi_square / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread)
    return 0.5 * math.erfc(normal / math.sqrt(2))

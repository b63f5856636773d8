"""Suggestions for names that stand in each other's place.

Does not belong here: what is wrong with the text of a name (``texts``).
"""

from __future__ import annotations

import polars as pl

from shopsphere_assets.corrections.base import (
    EMAIL,
    FIRST_NAME,
    LAST_NAME,
    Columns,
    Proposal,
    Rule,
    cells,
    folded,
    no_cells,
)

# Some people do write their family name first in an address, so a person has to look at it.
SWAPPED = Rule("name.swapped", "exchanges given and family name where the e-mail address has them the other way", False)
RULES = (SWAPPED,)


def suspicions(rows: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Suggestions to exchange given and family name where the e-mail address begins with the family name."""
    first, last, email = columns.one(FIRST_NAME), columns.one(LAST_NAME), columns.one(EMAIL)
    if not (first and last and email):
        return no_cells()
    people = rows.lazy().select(
        pl.col(first).alias("given"), pl.col(last).alias("family"), pl.col(email).alias("address")
    )
    # First by one letter, as nearly all addresses begin otherwise. An initial with an accent is another one there.
    initials = [pl.col(name).str.slice(0, 1).str.to_lowercase() for name in ("family", "address")]
    near = (
        people.with_row_index("_row")
        .filter((initials[0] == initials[1]) | ~initials[0].str.contains("^[a-z]"))
        .filter(
            pl.col("address")
            .str.to_lowercase()
            .str.starts_with(pl.col("family").str.to_lowercase().str.extract("^([a-z]*)"))
        )
        .collect()
    )
    swapped: list[tuple[int, str, str]] = []
    for row, given, family, address in near.drop_nulls().iter_rows():
        local = "".join(c for c in folded(address.partition("@")[0]) if c.isalpha())
        one, other = (folded(name).replace(" ", "") for name in (given, family))
        if min(len(one), len(other)) > 1 and one != other and local == other + one:
            swapped.append((row, given, family))
    if not swapped:
        return no_cells()
    at = pl.Series("_row", [row for row, _, _ in swapped], dtype=pl.UInt32)
    givens = pl.Series([given for _, given, _ in swapped], dtype=pl.String)
    families = pl.Series([family for _, _, family in swapped], dtype=pl.String)
    return pl.concat(
        [
            cells(first, at, givens, [Proposal(family, SWAPPED) for family in families]),
            cells(last, at, families, [Proposal(given, SWAPPED) for given in givens]),
        ]
    )

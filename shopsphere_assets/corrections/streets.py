"""Mends streets and towns of which two letters were exchanged, by how the table's other rows have them.

Belongs here: what the other rows of a table say of a street or a town. Does not belong here: how a street is written
(``addresses``).

Exchanged neighbours are the slip of typing that hardly ever makes another name of a name: a street that nobody else
has, and that with two letters put back is one that many have, is surely that one. A letter more, less or other makes
Hill Lane of Mill Lane; that is none of this module's business.
"""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from shopsphere_assets.corrections.base import (
    CITY,
    COUNTRY,
    STREET,
    Columns,
    Proposal,
    Rule,
    cells,
    no_cells,
)

EXCHANGED = Rule(
    "address.exchanged_letters", "puts two letters back where that makes a rare street or town one that many rows have"
)
RULES = (EXCHANGED,)

KINDS = (STREET, CITY)
"""The kinds of columns that are mended."""

FEWEST = 5
"""How many rows have to have a name before another is mended after it; and how many times as many."""

PLACES: dict[str, type[pl.DataType] | pl.DataType] = {
    "kind": pl.String,
    "country": pl.String,
    "name": pl.String,
    "rows": pl.UInt32,
}
"""How many rows have a street or a town of a country. ``name``: without numbers, in small letters."""

# House numbers and what stands between them and the name.
_NUMBERS = "0123456789 ,.-/#"
_MOST = 5_000
_SHORTEST = 4


def _names(texts: pl.Expr) -> pl.Expr:
    """The names in street lines or of towns: without what stands before and behind them."""
    return texts.str.strip_chars(_NUMBERS)


def places(rows: pl.DataFrame | pl.LazyFrame, columns: Columns) -> pl.DataFrame:
    """:data:`PLACES` of the streets and towns among ``rows``."""
    country = columns.one(COUNTRY)
    found = [pl.DataFrame(schema=PLACES)]
    for kind in KINDS:
        column = columns.one(kind)
        if country and column:
            counted = (
                rows.lazy()
                .group_by(pl.col(country).alias("country"), _names(pl.col(column)).alias("name"))
                .agg(pl.len().alias("rows").cast(pl.UInt32))
                .drop_nulls()
                # There are far fewer names than rows.
                .group_by("country", pl.col("name").str.to_lowercase())
                .agg(pl.col("rows").sum().cast(pl.UInt32))
                .select(pl.lit(kind).alias("kind"), "country", "name", "rows")
            )
            found.append(counted.collect())
    return pl.concat(found)


def together(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Several :data:`PLACES` as one."""
    return pl.concat(parts).group_by("kind", "country", "name").agg(pl.col("rows").sum().cast(pl.UInt32))


def mend(rows: pl.DataFrame, columns: Columns, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """Proposals for the streets and towns among ``rows``.

    ``known``: :data:`PLACES` of other rows of the table, which count as well.
    """
    country = columns.one(COUNTRY)
    if country is None or not (columns.one(STREET) or columns.one(CITY)):
        return no_cells()
    own = places(rows, columns)
    every = own if known is None else together((own, known))
    slips = _slips(own, every)
    found = [no_cells()]
    for kind in KINDS:
        column = columns.one(kind)
        of_kind = slips.filter(pl.col("kind") == kind)
        if column is None or of_kind.is_empty():
            continue
        hits = (
            rows.lazy()
            .select(
                pl.col(country).alias("country"),
                _names(pl.col(column)).str.to_lowercase().alias("name"),
                pl.col(column).alias("text"),
            )
            .with_row_index("_row")
            .join(of_kind.lazy(), on=["country", "name"], how="inner", maintain_order="left")
            .collect()
        )
        proposals = [_put_back(text, name, right) for text, name, right in hits.select("text", "name", "right").rows()]
        found.append(cells(column, hits.get_column("_row"), hits.get_column("text"), proposals))
    return pl.concat(found)


def _slips(own: pl.DataFrame, every: pl.DataFrame) -> pl.DataFrame:
    """Which names of ``own`` are which frequent one with two neighbouring letters exchanged: name and right one."""
    is_frequent = (pl.col("rows") >= FEWEST) & (pl.col("name").str.len_chars() >= _SHORTEST)
    frequent = every.filter(is_frequent).sort("rows", "name", descending=True).head(_MOST)
    most = frequent.get_column("rows").max() or 0
    rare = own.select("kind", "country", "name").join(every, on=["kind", "country", "name"])
    rare = rare.filter(pl.col("rows") * FEWEST <= most)
    schema = {"kind": pl.String, "country": pl.String, "name": pl.String, "right": pl.String, "right_rows": pl.UInt32}
    if rare.is_empty() or frequent.is_empty():
        return pl.DataFrame(schema=schema)
    made = [
        (kind, country, name[:i] + name[i + 1] + name[i] + name[i + 2 :], name, rows)
        for kind, country, name, rows in frequent.select("kind", "country", "name", "rows").rows()
        for i in range(len(name) - 1)
        if name[i] != name[i + 1] and name[i].isalpha() and name[i + 1].isalpha()
    ]
    slips = pl.DataFrame(made, schema=schema, orient="row")
    matched = rare.join(slips, on=["kind", "country", "name"], how="inner")
    return matched.filter(
        (pl.col("rows") * FEWEST <= pl.col("right_rows"))
        # Where two names are equally near nobody knows which was meant.
        & (pl.len().over("kind", "country", "name") == 1)
    )


def _put_back(text: str, name: str, right: str) -> Proposal | None:
    """``text`` with the letters exchanged in which ``name`` differs from ``right``, each in the case of its place."""
    start = text.lower().find(name)
    if start < 0 or len(text.lower()) != len(text):
        return None
    place = start + next(i for i, (a, b) in enumerate(zip(name, right, strict=True)) if a != b)
    pair = text[place + 1] + text[place]
    if pair.lower() != pair and pair.upper() != pair:
        # The capital is the one that begins the word.
        pair = pair.capitalize()
    return Proposal(text[:place] + pair + text[place + 2 :], EXCHANGED)

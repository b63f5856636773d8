"""Which column is corrected by what, and the proposals for the rows of a table.

The one place that knows every kind of correction: a new one is a module with its ``RULES`` and an entry here. Does not
belong here: what becomes of a proposal (``ingestion.corrected``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import polars as pl

from shopsphere_assets.contracts.base import Contract
from shopsphere_assets.corrections import (
    addresses,
    codes,
    dates,
    emails,
    names,
    numbers,
    phones,
    streets,
    texts,
    urls,
)
from shopsphere_assets.corrections.base import (
    CELLS,
    CITY,
    COUNTRY,
    CURRENCY,
    EMAIL,
    FIRST_NAME,
    LAST_NAME,
    POSTAL_CODE,
    REGION,
    STREET,
    Column,
    Columns,
    Corrector,
    Neighbours,
    Proposal,
    Rule,
    cells,
    columns_of,
    no_cells,
)

CORRECTORS: dict[str, Corrector] = {
    COUNTRY: codes.country,
    CURRENCY: codes.currency,
    "language": codes.language,
    "allowed_value": codes.allowed_value,
    "boolean": codes.boolean,
    EMAIL: emails.correct,
    "phone": phones.correct,
    "date": dates.correct_date,
    "moment": dates.correct_moment,
    "number": numbers.correct,
    "url": urls.correct_url,
    "path": urls.correct_path,
    **dict.fromkeys(("text", FIRST_NAME, LAST_NAME, STREET, CITY, REGION, POSTAL_CODE), texts.correct),
}
"""By kind of column: what corrects a broken cell of it."""

RULES: tuple[Rule, ...] = tuple(
    rule
    for module in (emails, phones, codes, texts, names, dates, numbers, urls, addresses, streets)
    for rule in module.RULES
)
"""Every rule there is."""

# Others of the row are corrected by them.
_FIRST = (COUNTRY, CURRENCY)


@cache
def corrected_columns(contract: type[Contract]) -> Columns:
    """The columns of ``contract`` and what corrects them."""
    return columns_of(contract)


def for_broken(
    columns: Columns, texts_of: Mapping[str, tuple[pl.Series, pl.Series]], typed: pl.DataFrame
) -> pl.DataFrame:
    """Proposals for cells that break their contract.

    ``texts_of``: by column, the numbers of the rows and their cells as they were read. ``typed``: the rows in the
    contract's types, as far as they could be turned. Returns :data:`CELLS`.
    """
    found = [no_cells()]
    # Rows whose country or currency is corrected: what their other cells are corrected by.
    sure: dict[str, dict[int, str]] = {}
    kinds = {name: columns.by_name[name].kind for name in texts_of if name in columns.by_name}
    for name in sorted(kinds, key=lambda name: kinds[name] not in _FIRST):
        column, (rows, given) = columns.by_name[name], texts_of[name]
        if column.kind not in CORRECTORS or rows.is_empty():
            continue
        proposals = _each(column, given, _neighbours(columns, typed, rows, sure))
        if kinds[name] in _FIRST:
            known = zip(rows.to_list(), proposals, strict=True)
            sure[kinds[name]] = {row: p.corrected for row, p in known if p is not None and p.rule.is_sure}
        found.append(cells(name, rows, given, proposals))
    return pl.concat(found)


def _neighbours(
    columns: Columns, typed: pl.DataFrame, rows: pl.Series, sure: Mapping[str, Mapping[int, str]]
) -> list[Neighbours]:
    values = []
    for kind in _FIRST:
        name = columns.one(kind)
        given = typed.get_column(name).gather(rows).to_list() if name else [None] * rows.len()
        corrected = sure.get(kind, {})
        values.append([corrected.get(row, value) for row, value in zip(rows.to_list(), given, strict=True)])
    return [Neighbours(country, currency) for country, currency in zip(*values, strict=True)]


def _each(column: Column, given: pl.Series, about: list[Neighbours]) -> list[Proposal | None]:
    corrector = CORRECTORS[column.kind]
    known: dict[tuple[str | None, Neighbours], Proposal | None] = {}
    proposals = []
    for key in zip(given.to_list(), about, strict=True):
        if key not in known:
            text, neighbours = key
            known[key] = None if text is None else corrector(text, column, neighbours) or _cleaned(text, column)
        proposals.append(known[key])
    return proposals


def _cleaned(text: str, column: Column) -> Proposal | None:
    """What is left of any text without its control characters, which no column may have."""
    return texts.correct(text, column, Neighbours()) if column.dtype == pl.String and texts.has_controls(text) else None


def standardised(columns: Columns, typed: pl.DataFrame, known_places: pl.DataFrame | None = None) -> pl.DataFrame:
    """Proposals for cells that keep their contract but for the form, or against the table's other rows.

    ``known_places``: ``streets.PLACES`` of the table's rows that were loaded before. Returns :data:`CELLS`.
    """
    if columns.one(COUNTRY) is None:
        return no_cells()
    found = addresses.standardise(typed, columns)
    return pl.concat([found, streets.mend(_with(typed, found), columns, known_places)])


def suspicions(columns: Columns, typed: pl.DataFrame) -> pl.DataFrame:
    """Suggestions for cells that keep their contract. Returns :data:`CELLS`."""
    return pl.concat([names.suspicions(typed, columns), emails.suspicions(typed, columns)])


def _with(typed: pl.DataFrame, proposals: pl.DataFrame) -> pl.DataFrame:
    """``typed`` with the sure ones of ``proposals`` for texts."""
    if proposals.is_empty():
        return typed
    for (name,), part in proposals.filter("is_sure").group_by("column"):
        column = str(name)
        typed = typed.with_columns(typed.get_column(column).clone().scatter(part["_row"], part["corrected"]))
    return typed


def one_per_cell(proposals: pl.DataFrame) -> pl.DataFrame:
    """Several proposals for a cell, in the order in which they were made, as one.

    What rules did one after the other is one correction by all of them; a suggestion beside a sure one is left out.
    """
    if proposals.is_empty():
        return proposals
    return (
        proposals.filter(pl.col("is_sure") | ~pl.col("is_sure").any().over("_row", "column"))
        .group_by("_row", "column", maintain_order=True)
        .agg(
            pl.col("original").first(),
            pl.when(pl.col("is_sure").first()).then(pl.col("corrected").last()).otherwise(pl.col("corrected").first()),
            pl.when(pl.col("is_sure").first()).then(pl.col("rule").str.join("+")).otherwise(pl.col("rule").first()),
            pl.when(pl.col("is_sure").first())
            .then(pl.col("version").str.join("+"))
            .otherwise(pl.col("version").first()),
            pl.col("is_sure").first(),
        )
        .filter(pl.col("original") != pl.col("corrected"))
        .select(list(CELLS))
    )

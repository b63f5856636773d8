"""Applies what the rules of ``corrections`` surely know, and keeps on record what they did and what they suggest.

Belongs here: which rows are loaded corrected, and the record of it. Does not belong here: the rules themselves, and
what is wrong with a row (``validate``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from resources.warehouse import Warehouse
from shopsphere_assets.corrections import streets
from shopsphere_assets.corrections.base import COUNTRY
from shopsphere_assets.corrections.registry import (
    corrected_columns,
    for_broken,
    one_per_cell,
    standardised,
    suspicions,
)
from shopsphere_assets.ingestion.coerce import as_text, coerce
from shopsphere_assets.ingestion.raw_table import DELETED_AT, RawTable

CORRECTIONS_SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "correction_id": pl.String,
    "row_key": pl.String,
    "quarantine_id": pl.String,
    "column_name": pl.String,
    "original": pl.String,
    "corrected": pl.String,
    "rule": pl.String,
    "rule_version": pl.String,
    "is_applied": pl.Boolean,
}

Judge = Callable[[pl.DataFrame, dict[str, pl.Series]], pl.Series]
"""From rows in the contract's types and the cells that could not be turned: the numbers of the rows that are broken."""

_NUL = "\x00"
_KNOWN_ROWS = 100_000


@dataclass(frozen=True)
class Corrected:
    """Rows after their correction.

    ``typed``: all rows; those in ``mended`` (their numbers) broke the contract before and keep it now. ``proposals``:
    one row per cell with ``_row``, ``column``, ``original``, ``corrected``, ``rule``, ``version`` and ``is_applied``.
    """

    typed: pl.DataFrame
    mended: pl.Series
    proposals: pl.DataFrame


def correct(
    table: RawTable,
    frame: pl.DataFrame,
    typed: pl.DataFrame,
    failures: Mapping[str, pl.Series],
    broken: Mapping[str, pl.Series],
    bad: pl.Series,
    judge: Judge,
    known_places: pl.DataFrame | None,
) -> Corrected:
    """Correct what is surely known, as far as the row keeps its contract by it.

    ``frame``: the rows as they were read; ``typed``: in the contract's types; ``failures``: the cells that could not be
    turned; ``broken``: by column, the numbers of the rows whose cell breaks a rule; ``bad``: the numbers of all rows
    that break one. ``judge``: says the same of the corrected rows.
    """
    columns = corrected_columns(table.contract)
    # What a row is known by is never touched, nor what says which of its versions is the newer one.
    fixed = (*table.key, table.cursor)
    texts = {
        name: (rows, as_text(frame.get_column(name).gather(rows)))
        for name, rows in broken.items()
        if name in frame.columns and name not in fixed
    }
    first = for_broken(columns, texts, typed)
    patched = _with(table, typed, first)
    second = standardised(columns, patched, known_places).filter(~pl.col("column").is_in(fixed))
    proposals = pl.concat([first, second, suspicions(columns, typed)])
    if proposals.is_empty():
        return Corrected(typed, bad.clear(), _as_applied(proposals, bad.clear()))
    touched = proposals.filter("is_sure").get_column("_row").unique().sort()
    if touched.is_empty():
        return Corrected(typed, bad.clear(), _as_applied(one_per_cell(proposals), touched))
    patched = _with(table, patched, second)
    rows = patched[touched]
    still = {name: cells.gather(touched) & rows.get_column(name).is_null() for name, cells in failures.items()}
    left = touched.gather(judge(rows, {name: cells for name, cells in still.items() if cells.any()}))
    if not left.is_empty():
        changed = proposals.get_column("column").unique()
        back = [patched.get_column(n).clone().scatter(left, typed.get_column(n).gather(left)) for n in changed]
        patched = patched.with_columns(back)
    applied = touched.filter(~touched.is_in(left.implode()))
    mended = applied.filter(applied.is_in(bad.implode())).cast(bad.dtype)
    return Corrected(patched, mended, _as_applied(one_per_cell(proposals), applied))


def _as_applied(proposals: pl.DataFrame, applied: pl.Series) -> pl.DataFrame:
    is_applied = pl.col("is_sure") & pl.col("_row").is_in(applied.cast(pl.UInt32).implode())
    return proposals.select(pl.exclude("is_sure"), is_applied=is_applied)


def _with(table: RawTable, typed: pl.DataFrame, proposals: pl.DataFrame) -> pl.DataFrame:
    """``typed`` with what the sure ones of the proposals say."""
    columns: list[pl.Series] = []
    if proposals.is_empty():
        return typed
    for (name,), part in proposals.filter("is_sure").group_by("column", maintain_order=True):
        column = str(name)
        texts = pl.DataFrame({column: part.get_column("corrected")})
        turned, failures = coerce(texts, {column: table.column_types[column]})
        kept = part.get_column("_row")
        values = turned.get_column(column)
        if failures:
            is_turned = ~failures[column]
            kept, values = kept.filter(is_turned), values.filter(is_turned)
        columns.append(typed.get_column(column).clone().scatter(kept, values))
    return typed.with_columns(columns) if columns else typed


def record(table: RawTable, corrected: Corrected, positions: pl.Series, entries: Mapping[int, str]) -> pl.DataFrame:
    """The proposals as :data:`CORRECTIONS_SCHEMA`.

    ``positions``: where each row of a proposal stands in its source, in their order. ``entries``: the identifiers of
    quarantined rows, by the row's number.
    """
    found = corrected.proposals
    if found.is_empty():
        return pl.DataFrame(schema=CORRECTIONS_SCHEMA)
    rows = found.get_column("_row")
    keys = corrected.typed.select(table.key)[rows].select(pl.concat_str(pl.all().cast(pl.String), separator="|"))
    named = found.with_columns(
        keys.to_series().fill_null("").alias("row_key"),
        positions.alias("position"),
        pl.Series("quarantine_id", [entries.get(row) for row in rows], dtype=pl.String),
    )
    parts = ("row_key", "position", "column", "original", "corrected", "rule", "version", "is_applied", "quarantine_id")
    ids = [
        _identity(table.label, key, "" if key else position, *map(str, more))
        for key, position, *more in named.select(parts).iter_rows()
    ]
    return named.with_columns(
        pl.Series("correction_id", ids, dtype=pl.String),
        pl.col("row_key", "original", "corrected").str.replace_all(_NUL, "\\0", literal=True),
        pl.col("column").alias("column_name"),
        pl.col("version").alias("rule_version"),
    ).select(list(CORRECTIONS_SCHEMA))


def _identity(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def known_places(warehouse: Warehouse, table: RawTable) -> pl.DataFrame | None:
    """``streets.PLACES`` of as many rows of the raw table as tell enough; None where it has no addresses."""
    columns = corrected_columns(table.contract)
    names = [name for kind in (COUNTRY, *streets.KINDS) if (name := columns.one(kind))]
    if columns.one(COUNTRY) is None or len(names) < 2:
        return None
    chosen = ", ".join(f'"{name}"' for name in names)
    rows = warehouse.query(f"SELECT {chosen} FROM {table.definition} WHERE {DELETED_AT} IS NULL LIMIT {_KNOWN_ROWS}")
    return streets.places(pl.DataFrame(rows), columns)

"""Divides a chunk into rows that keep their contract and rows for the quarantine, with every reason.

Cells are turned into the contract's types and checked; what is broken is corrected where a rule surely knows how, and
the corrected rows are judged again.

Validation of *structure* (a required column is missing) raises; *row rules* divide; *set rules* (uniqueness,
shares, freshness) are asset checks and not found here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache

import polars as pl
from pandera.api.checks import Check
from pandera.api.polars.types import PolarsData
from pandera.backends.polars.checks import PolarsCheckBackend

from resources.errors import PermanentError
from resources.reading import POSITION, Chunk
from shopsphere_assets.contracts.base import EARLIEST_MOMENT, LATEST_MOMENT, Contract
from shopsphere_assets.ingestion.coerce import as_text, coerce
from shopsphere_assets.ingestion.corrected import CORRECTIONS_SCHEMA, correct, record
from shopsphere_assets.ingestion.raw_table import RawTable

_MOMENT = pl.Datetime("us", "UTC")

QUARANTINE_SCHEMA: dict[str, type[pl.DataType] | pl.DataType] = {
    "quarantine_id": pl.String,
    "row_key": pl.String,
    "payload": pl.String,
    "reasons": pl.String,
    "position": pl.String,
    "changed_at": _MOMENT,
}

RULES = {
    "isin": "allowed_values",
    "greater_than_or_equal_to": "minimum",
    "greater_than": "minimum",
    "less_than_or_equal_to": "maximum",
    "less_than": "maximum",
    "str_matches": "format",
    "str_startswith": "format",
    "str_length": "length",
}
"""Pandera's names of checks, and what the platform calls the rules."""

_ROW = "_row"
_NUL = "\x00"
_LONGEST_REASON_VALUE = 200


@dataclass(frozen=True)
class Divided:
    """A chunk after validation.

    ``valid``: the contract's columns in the contract's types, and ``_position`` where the chunk has it.
    ``quarantined``: :data:`QUARANTINE_SCHEMA`; ``payload`` is a JSON object of the row as it was read and
    ``reasons`` a JSON array of objects with ``rule``, ``column`` and ``value``.
    ``highest_cursor``: the highest plausible cursor of all the rows, those for the quarantine included: they
    are kept as well and need not be read again.
    ``corrections``: :data:`CORRECTIONS_SCHEMA`; what was corrected in valid rows, and suggestions.
    ``rows_corrected``: how many valid rows have a corrected cell.
    """

    valid: pl.DataFrame
    quarantined: pl.DataFrame
    highest_cursor: datetime | None
    corrections: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=CORRECTIONS_SCHEMA))
    rows_corrected: int = 0


Judge = Callable[[RawTable, Chunk], Divided]
"""What divides a chunk of a table."""


def divide(
    table: RawTable, chunk: Chunk, *, only_storable: bool = False, known_places: pl.DataFrame | None = None
) -> Divided:
    """Judge every row of ``chunk`` by the contract of ``table``, and correct what can surely be.

    ``only_storable``: whether raw can hold it (types, required cells, text), whatever the rules say of its values;
    nothing is corrected then. ``known_places``: the streets and towns of the table's other rows, where it has any.
    Raises :class:`PermanentError` where a column that the contract requires is missing.
    """
    frame = chunk.rows
    missing = [name for name in table.required_columns if name not in frame.columns]
    if missing and frame.width:
        raise PermanentError(
            f"the source does not give the required column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            where=table.label,
            remedy="restore the column at the source, or map it to another in the sources file",
        )
    typed, failures = coerce(frame, table.column_types)
    broken = list(_broken_rules(table, typed, failures, only_storable=only_storable))
    reasons = _reasons(frame, broken)
    corrected = None
    if not only_storable:
        corrected = correct(
            table,
            frame,
            typed,
            failures,
            _broken_cells(broken),
            reasons.get_column(_ROW),
            lambda rows, failed: _bad_rows(_broken_rules(table, rows, failed, only_storable=False)),
            known_places,
        )
        typed = corrected.typed
        reasons = reasons.filter(~pl.col(_ROW).is_in(corrected.mended.implode()))
    placed = typed if chunk.key else typed.with_columns(chunk.positions(frame))
    bad = reasons.get_column(_ROW)
    if reasons.is_empty():
        valid, quarantined = placed, pl.DataFrame(schema=QUARANTINE_SCHEMA)
    else:
        good = pl.Series([True]).new_from_index(0, frame.height).scatter(bad, False)
        valid = placed.filter(good)
        quarantined = _quarantine(table, frame[bad], typed[bad], reasons, chunk.positions(frame[bad]))
    corrections, rows_corrected = pl.DataFrame(schema=CORRECTIONS_SCHEMA), 0
    if corrected is not None and corrected.proposals.height:
        rows_corrected = corrected.proposals.filter("is_applied").get_column(_ROW).n_unique()
        entries = dict(zip(bad.to_list(), quarantined.get_column("quarantine_id").to_list(), strict=True))
        corrections = record(table, corrected, chunk.positions(frame[corrected.proposals.get_column(_ROW)]), entries)
    if chunk.rejected is not None and chunk.rejected.height:
        quarantined = pl.concat([quarantined, _quarantine_lines(table, chunk.rejected)])
    return Divided(valid, quarantined, _highest_cursor(typed.get_column(table.cursor)), corrections, rows_corrected)


def _is_plausible(cursor: str) -> pl.Expr:
    return (pl.col(cursor) >= EARLIEST_MOMENT) & (pl.col(cursor) < LATEST_MOMENT)


def _highest_cursor(cursor: pl.Series) -> datetime | None:
    highest = cursor.to_frame().filter(_is_plausible(cursor.name)).to_series().max()
    return highest if isinstance(highest, datetime) else None


def plausible_moments(cursor: pl.Series) -> pl.Series:
    """The moments of a cursor, null where one is no use: before the earliest or beyond the latest plausible one."""
    return cursor.to_frame().select(pl.when(_is_plausible(cursor.name)).then(pl.col(cursor.name))).to_series()


_Broken = tuple[str, str | None, pl.Series]
"""A rule that some row breaks: its id, its column (None for a rule over several) and which rows break it."""


def _broken_cells(broken: list[_Broken]) -> dict[str, pl.Series]:
    """By column, the numbers of the rows whose cell is there and breaks a rule of its column."""
    found: dict[str, pl.Series] = {}
    for rule, column, rows in broken:
        if column is not None and rule != f"{column}.required":
            found[column] = rows | found[column] if column in found else rows
    return {column: rows.arg_true() for column, rows in found.items()}


def _bad_rows(broken: Iterator[_Broken]) -> pl.Series:
    """The numbers of the rows that break any rule."""
    rows = [found.arg_true() for _, _, found in broken]
    return pl.concat(rows).unique().sort() if rows else pl.Series(dtype=pl.UInt32)


def _reasons(frame: pl.DataFrame, broken: list[_Broken]) -> pl.DataFrame:
    """Row numbers and their reasons as JSON arrays, by row number."""
    found = []
    for rule, column, is_broken in broken:
        rows = is_broken.arg_true()
        if rows.is_empty():
            continue
        found.append(
            pl.DataFrame({_ROW: rows.cast(pl.Int64)}).with_columns(
                rule=pl.lit(rule),
                column=pl.lit(column, dtype=pl.String),
                value=as_text(frame.get_column(column).gather(rows)) if column else pl.lit(None, dtype=pl.String),
            )
        )
    if not found:
        return pl.DataFrame(schema={_ROW: pl.Int64, "reasons": pl.String})
    reason = pl.struct("rule", "column", pl.col("value").str.slice(0, _LONGEST_REASON_VALUE))
    return (
        pl.concat(found)
        .unique([_ROW, "rule"], keep="first", maintain_order=True)
        .select(_ROW, reason.struct.json_encode().alias("reason"))
        .group_by(_ROW)
        .agg(pl.format("[{}]", pl.col("reason").sort().str.join(",")).alias("reasons"))
        .sort(_ROW)
    )


def _broken_rules(
    table: RawTable, typed: pl.DataFrame, failures: dict[str, pl.Series], *, only_storable: bool
) -> Iterator[_Broken]:
    """Every rule that some row breaks.

    The checks are asked without ``validate``, which would describe every failure as a Python object: 30 times
    slower on a batch that is bad throughout, and no help with dates that Python cannot hold. All are asked at
    once, as each answer has to wait for its turn on the processor.
    """
    rows = typed.lazy()
    rules: list[tuple[str, str | None]] = []
    answers: list[pl.LazyFrame] = []
    for name, column in table.contract.to_schema().columns.items():
        cells = typed.get_column(name)
        failed = failures.get(name)
        if failed is not None:
            yield f"{name}.type", name, failed
        if not column.nullable and cells.null_count():
            # A cell that could not be turned is null now, but was not missing.
            yield f"{name}.required", name, cells.is_null() if failed is None else cells.is_null() & ~failed
        if cells.dtype == pl.String:
            # PostgreSQL cannot store it, whatever the contract says of the column.
            rules.append((f"{name}.clean_text", name))
            answers.append(rows.select(~pl.col(name).str.contains(_NUL, literal=True).fill_null(False)))
    for rule, of, backend in () if only_storable else _checks(table.contract):
        rules.append((rule, of))
        answer = backend.apply(PolarsData(rows, of or "*"))
        answers.append(answer.select(pl.all().fill_null(backend.check.ignore_na)))
    for (rule, of), found in zip(rules, pl.collect_all(answers), strict=True):
        passed = found.to_series()
        if not passed.all():
            yield rule, of, ~passed


@cache
def _checks(contract: type[Contract]) -> list[tuple[str, str | None, PolarsCheckBackend]]:
    """The contract's checks: the rule's id, its column (None for a rule over several) and who asks it of polars."""
    schema = contract.to_schema()
    nothing = pl.LazyFrame(schema={name: column.dtype.type for name, column in schema.columns.items()})
    checks: list[tuple[str, str | None, Check]] = [
        (f"{name}.{RULES.get(check.name, check.name)}", name, check)
        for name, column in schema.columns.items()
        for check in column.checks
    ]
    checks += [(str(check.name), None, check) for check in schema.checks]
    for _, of, check in checks:
        # Pandera loads what a check does on polars when it is asked for the first time.
        check(nothing, of)
    return [(rule, of, PolarsCheckBackend(check)) for rule, of, check in checks]


def _quarantine(
    table: RawTable, rows: pl.DataFrame, typed: pl.DataFrame, reasons: pl.DataFrame, positions: pl.Series
) -> pl.DataFrame:
    """The quarantine's entries of ``rows``, as read and as far as they were ``typed``, in the order of ``reasons``."""
    texts = pl.DataFrame([as_text(cells) for cells in rows.drop(POSITION, strict=False).get_columns()])
    # What was turned has one text whichever way the source gave it, so that a row read again is known again.
    known = pl.DataFrame(
        [
            as_text(cells).zip_with(cells.is_not_null(), texts.get_column(cells.name))
            for cells in typed.get_columns()
            if cells.name in texts.columns
        ]
    )
    entries = pl.DataFrame(
        {
            # A key of which a part is missing is none.
            "row_key": known.select(pl.concat_str(table.key, separator="|").fill_null("")).to_series(),
            "payload": _json(texts),
            "reasons": reasons.get_column("reasons"),
            "position": positions,
            "changed_at": plausible_moments(typed.get_column(table.cursor)),
        }
    )
    return _with_ids(table, entries, identity=_json(known))


def _json(texts: pl.DataFrame) -> pl.Series:
    return texts.select(pl.struct(pl.all()).struct.json_encode()).to_series()


def _quarantine_lines(table: RawTable, rejected: pl.DataFrame) -> pl.DataFrame:
    """The quarantine's entries of lines that could not be split into columns."""
    entries = rejected.select(
        pl.lit("").alias("row_key"),
        pl.struct(pl.col("_raw").alias("line")).struct.json_encode().alias("payload"),
        pl.format(
            "[{}]",
            pl.struct(
                pl.col("_rule").alias("rule"),
                pl.lit(None, dtype=pl.String).alias("column"),
                pl.col("_detail").alias("value"),
            ).struct.json_encode(),
        ).alias("reasons"),
        pl.col(POSITION).alias("position"),
        pl.lit(None, dtype=_MOMENT).alias("changed_at"),
    )
    return _with_ids(table, entries, identity=entries.get_column("payload"))


def _with_ids(table: RawTable, entries: pl.DataFrame, *, identity: pl.Series) -> pl.DataFrame:
    """``entries`` with ids made of what was read, so that a row read again is the same entry.

    A row without a key is told apart by its position too.
    """
    ids = [
        hashlib.sha256("\x1f".join((table.label, key, content, "" if key else position)).encode()).hexdigest()[:32]
        for key, position, content in entries.select("row_key", "position", identity.alias("identity")).iter_rows()
    ]
    storable = pl.col("row_key", "position").str.replace_all(_NUL, "\\0", literal=True)
    return entries.select(pl.Series("quarantine_id", ids, dtype=pl.String), *list(QUARANTINE_SCHEMA)[1:]).with_columns(
        storable
    )

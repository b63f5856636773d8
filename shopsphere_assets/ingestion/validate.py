"""Divides a chunk into rows that keep their contract and rows for the quarantine, with every reason.

Validation of *structure* (a required column is missing) raises; *row rules* divide; *set rules* (uniqueness,
shares, freshness) are asset checks and not found here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import pandera.errors
import polars as pl

from resources.errors import PermanentError
from resources.reading import POSITION, Chunk
from shopsphere_assets.contracts.base import EARLIEST_MOMENT, LATEST_MOMENT
from shopsphere_assets.ingestion.coerce import coerce
from shopsphere_assets.ingestion.raw_table import RawTable

QUARANTINE_SCHEMA = {
    "quarantine_id": pl.String,
    "row_key": pl.String,
    "payload": pl.String,
    "reasons": pl.String,
    "position": pl.String,
}

# Pandera's names of checks, and what the platform calls the rules.
_RULES = {
    "not_nullable": "required",
    "isin": "allowed_values",
    "greater_than_or_equal_to": "minimum",
    "greater_than": "minimum",
    "less_than_or_equal_to": "maximum",
    "less_than": "maximum",
    "str_matches": "format",
    "str_startswith": "format",
    "str_length": "length",
}

_ROW = "_row"
_LONGEST_REASON_VALUE = 200


@dataclass(frozen=True)
class Divided:
    """A chunk after validation.

    ``valid``: the contract's columns in the contract's types, and ``_position``.
    ``quarantined``: :data:`QUARANTINE_SCHEMA`; ``payload`` is a JSON object of the row as it was read and
    ``reasons`` a JSON array of objects with ``rule``, ``column`` and ``value``.
    ``highest_cursor``: the highest plausible cursor of all the rows, those for the quarantine included: they
    are kept as well and need not be read again.
    """

    valid: pl.DataFrame
    quarantined: pl.DataFrame
    highest_cursor: datetime | None


def divide(table: RawTable, chunk: Chunk) -> Divided:
    """Judge every row of ``chunk`` by the contract of ``table``.

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
    reasons = _reasons(table, frame, typed, failures)
    positions = frame.get_column(POSITION) if frame.width else pl.Series(POSITION, [], dtype=pl.String)
    if reasons.is_empty():
        valid, quarantined = typed.with_columns(positions), pl.DataFrame(schema=QUARANTINE_SCHEMA)
    else:
        bad = reasons.get_column(_ROW)
        good = pl.Series([True]).new_from_index(0, frame.height).scatter(bad, False)
        valid = typed.with_columns(positions).filter(good)
        quarantined = _quarantine(table, frame[bad], reasons)
    if chunk.rejected is not None and chunk.rejected.height:
        quarantined = pl.concat([quarantined, _quarantine_lines(table, chunk.rejected)])
    return Divided(valid, quarantined, _highest_cursor(typed.get_column(table.cursor)))


def _highest_cursor(cursor: pl.Series) -> datetime | None:
    value = pl.col(cursor.name)
    plausible = (value >= EARLIEST_MOMENT) & (value < LATEST_MOMENT)
    highest = cursor.to_frame().filter(plausible).to_series().max()
    return highest if isinstance(highest, datetime) else None


def _reasons(table: RawTable, frame: pl.DataFrame, typed: pl.DataFrame, failures: dict[str, pl.Series]) -> pl.DataFrame:
    """Row numbers and their reasons as JSON arrays, by row number."""
    found = [
        pl.DataFrame({_ROW: failed.arg_true().cast(pl.Int64)}).with_columns(
            rule=pl.lit(f"{name}.type"),
            column=pl.lit(name),
            value=frame.get_column(name).filter(failed).cast(pl.String, strict=False),
        )
        for name, failed in failures.items()
    ]
    try:
        table.contract.validate(typed, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        broken = errors.failure_cases
        if broken.get_column("index").null_count():
            # Row rules give a row number; anything without is a defect of the contract, not of the data.
            raise
        rule = pl.col("check").str.extract(r"^(\w+)").replace(_RULES)
        is_column = pl.col("schema_context") == "Column"
        named = broken.select(
            pl.col("index").cast(pl.Int64).alias(_ROW),
            pl.when(is_column).then(pl.format("{}.{}", "column", rule)).otherwise(rule).alias("rule"),
            pl.when(is_column).then(pl.col("column")).alias("column"),
            pl.when(is_column).then(pl.col("failure_case").cast(pl.String)).alias("value"),
        ).unique(maintain_order=True)
        # A cell that could not be turned is null now, but was not missing.
        unread = [(row, f"{name}.required") for name, f in failures.items() for row in f.arg_true()]
        if unread:
            named = named.join(
                pl.DataFrame(unread, schema={_ROW: pl.Int64, "rule": pl.String}, orient="row"),
                on=[_ROW, "rule"],
                how="anti",
                maintain_order="left",
            )
        found.append(named)
    if not found:
        return pl.DataFrame(schema={_ROW: pl.Int64, "reasons": pl.String})
    reason = pl.struct("rule", "column", pl.col("value").str.slice(0, _LONGEST_REASON_VALUE))
    return (
        pl.concat(found)
        .select(_ROW, reason.struct.json_encode().alias("reason"))
        .group_by(_ROW)
        .agg(pl.format("[{}]", pl.col("reason").sort().str.join(",")).alias("reasons"))
        .sort(_ROW)
    )


def _quarantine(table: RawTable, rows: pl.DataFrame, reasons: pl.DataFrame) -> pl.DataFrame:
    """The quarantine's entries of ``rows``, which stand in the order of ``reasons``."""
    texts = rows.drop(POSITION).select(pl.all().cast(pl.String, strict=False))
    entries = pl.DataFrame(
        {
            "row_key": texts.select(
                pl.concat_str([pl.col(k).fill_null("") for k in table.key], separator="|")
            ).to_series(),
            "payload": texts.select(pl.struct(pl.all()).struct.json_encode()).to_series(),
            "reasons": reasons.get_column("reasons"),
            "position": rows.get_column(POSITION),
        }
    )
    return _with_ids(table, entries)


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
    )
    return _with_ids(table, entries)


def _with_ids(table: RawTable, entries: pl.DataFrame) -> pl.DataFrame:
    """``entries`` with ids made of what was read, so that a row read again is the same entry.

    A row without a key is told apart by its position too.
    """
    ids = [
        hashlib.sha256("\x1f".join((table.label, key, payload, "" if key else position)).encode()).hexdigest()[:32]
        for key, payload, position in entries.select("row_key", "payload", "position").iter_rows()
    ]
    return entries.select(pl.Series("quarantine_id", ids, dtype=pl.String), *list(QUARANTINE_SCHEMA)[1:])

"""Judges a sample of a table's rows by its contract, as a run would, and says what would not fit.

Values of columns that hold personal data are never shown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import polars as pl

from resources.reading import Chunk
from shopsphere_assets.diagnosis.finding import SOURCES as AREA
from shopsphere_assets.diagnosis.finding import Finding, Status
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.ingestion.validate import divide

ROWS = 1_000
_LONGEST_EXAMPLE = 40
_REMEDY = "such rows go to the quarantine; correct them at the source, or map the column to an expression that does"


@dataclass
class Sample:
    """What the sampled rows of a table showed.

    ``broken``: how many rows broke each rule. ``examples``: a value that broke it, of rules of one column.
    """

    rows: int = 0
    quarantined: int = 0
    repeated_keys: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    columns: dict[str, str] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)


def take_sample(table: RawTable, chunks: Iterable[Chunk], rows: int = ROWS) -> Sample:
    """Judge the first ``rows`` rows. Raises :class:`PlatformError` where they cannot be read at all."""
    sample = Sample()
    keys: list[pl.DataFrame] = []
    for chunk in chunks:
        if chunk.restart:
            sample, keys = Sample(), []
            continue
        taken = replace(chunk, rows=chunk.rows.head(rows - sample.rows), rejected=None)
        divided = divide(table, taken)
        sample.rows += taken.rows.height
        sample.quarantined += divided.quarantined.height
        if taken.rows.width:
            keys.append(taken.rows.select(pl.col(k).cast(pl.String, strict=False) for k in table.key))
        for reasons in divided.quarantined.get_column("reasons"):
            for reason in json.loads(reasons):
                _note(sample, reason)
        if sample.rows >= rows:
            break
    if keys:
        every = pl.concat(keys).drop_nulls()
        sample.repeated_keys = every.height - every.unique().height
    return sample


def _note(sample: Sample, reason: dict[str, str | None]) -> None:
    rule, column, value = str(reason["rule"]), reason["column"], reason["value"]
    sample.broken[rule] += 1
    if column:
        sample.columns[rule] = column
    if value is not None:
        sample.examples.setdefault(rule, value)


def judge(table: RawTable, sample: Sample, limit: float) -> Iterator[Finding]:
    """What is to be said of ``sample``; ``limit``: share of rows in quarantine above which readers wait."""
    of = f"of {sample.rows:,} sampled"
    for rule, count in sorted(sample.broken.items()):
        column = sample.columns.get(rule)
        status = Status.FAILED if count / sample.rows > limit else Status.WARNING
        kind = rule.removeprefix(f"{column}.")
        is_one = count == 1
        if column is None:
            what = f"{count:,} {of} rows {'breaks' if is_one else 'break'} the rule {rule}"
        elif kind == "type":
            wanted = type_name(table.column_types[column])
            what = f"{count:,} {of} values {'does' if is_one else 'do'} not parse as {wanted}"
        elif kind == "required":
            what = f"{count:,} {of} values {'is' if is_one else 'are'} missing"
        else:
            what = f"{count:,} {of} values {'breaks' if is_one else 'break'} the rule {kind}"
        subject = table.label if column is None else f"{table.label}.{column}"
        yield Finding(AREA, subject, status, what + _example(table, column, sample.examples.get(rule)), _REMEDY)
    if sample.repeated_keys:
        repeat = "repeats" if sample.repeated_keys == 1 else "repeat"
        yield Finding(
            AREA,
            f"{table.label}.{table.key[0]}",
            Status.WARNING,
            f"{sample.repeated_keys:,} {of} rows {repeat} the key of another; of rows with one key the last one stays",
            f"map {', '.join(table.key)} to what tells the rows apart, unless these are versions of one row",
        )


def _example(table: RawTable, column: str | None, value: str | None) -> str:
    if column is None or value is None:
        return ""
    if table.column_metadata(column).get("personal"):
        return " (values not shown: personal data)"
    # A control character is seen only when it is written out.
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value[:_LONGEST_EXAMPLE])
    return f", e.g. '{shown}{'…' if len(value) > _LONGEST_EXAMPLE else ''}'"


def type_name(dtype: pl.DataType) -> str:
    """A column's type in plain words."""
    if isinstance(dtype, pl.Decimal):
        return "an amount with two decimals"
    if isinstance(dtype, pl.Datetime):
        return "a moment"
    words = {"Int64": "a whole number", "Date": "a date", "Boolean": "true or false", "String": "text"}
    return words[str(dtype)]

"""Profiles: what the loaded values of a batch look like, column by column.

Belongs here: collecting a profile chunk by chunk while a batch is landed, in bounded memory and at little cost, and
its rows in ``quality.profiles``. Does not belong here: judging profiles against each other (``drift``).

Rows, missing cells, the lowest and highest number or moment, means and deviations of numbers are counted exactly.
Quantiles, the most frequent values and the lengths of texts are those of all rows up to 20,000, and beyond of as many
drawn at random: every row is given a random number and those with the lowest are kept (the same draw at every run).
The number of different values is exact up to 1,024 and beyond estimated to about 3 % by the 1,024 lowest hashes
(K. Beyer et al., "On synopses for distinct-value estimation under multiset operations", 2007).

Columns that hold personal data leave no single value here, unless the contract lists every value there can be.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from resources.warehouse import Transaction
from resources.warehouse.system_tables import PROFILES
from shopsphere_assets.ingestion.raw_table import DatabaseRead, HttpRead, RawTable

PROFILED_KINDS = ("full", "incremental", "change_log")
"""Batches of these kinds are what a source brings by itself; the others bring chosen rows."""

SAMPLE_ROWS = 20_000
TOP_VALUES = 20
QUANTILES = tuple(number / 20 for number in range(21))

_HASHES_KEPT = 1_024
_SEED = 20_260_101
_LONGEST_VALUE = 100


class Profile:
    """The profile of one batch, which grows with every chunk."""

    def __init__(self, table: RawTable, *, newer_than: datetime | None = None) -> None:
        """``newer_than``: leave out rows that did not change after it, as they were in an earlier batch."""
        self._cursor = table.cursor
        self._newer_than = newer_than
        self._source, self._table_name = table.source, table.name
        enumerated = set(table.enumerated_columns)
        self._columns = [
            _Column(
                name,
                dtype,
                is_identifier=name in table.key or name.endswith("_id"),
                is_enumerated=name in enumerated or dtype == pl.Boolean,
                shows_values=name in enumerated or not table.column_metadata(name).get("personal"),
            )
            for name, dtype in table.column_types.items()
        ]
        self.restart()

    def restart(self) -> None:
        """Forget what was added so far."""
        self._random = np.random.default_rng(_SEED)
        self._rows = 0
        self._sample: list[tuple[pl.Series, pl.DataFrame]] = []
        self._sample_rows = 0
        self._limit = 1.0
        for column in self._columns:
            column.restart()

    def add(self, rows: pl.DataFrame) -> None:
        """Take in the valid rows of a chunk, in the contract's types."""
        if self._newer_than is not None:
            rows = rows.filter(pl.col(self._cursor) > self._newer_than)
        if rows.is_empty():
            return
        self._rows += rows.height
        for column in self._columns:
            column.add(rows.get_column(column.name))
        self._draw(rows.select(column.name for column in self._columns))

    def _draw(self, rows: pl.DataFrame) -> None:
        """Keep the rows with the lowest random numbers of all so far."""
        numbers = pl.Series(self._random.random(rows.height))
        if self._limit < 1.0:
            chosen = numbers < self._limit
            numbers, rows = numbers.filter(chosen), rows.filter(chosen)
        self._sample.append((numbers, rows))
        self._sample_rows += rows.height
        if self._sample_rows > 2 * SAMPLE_ROWS:
            self._reduce()

    def _reduce(self) -> pl.DataFrame:
        numbers = pl.concat([numbers for numbers, _ in self._sample])
        rows = pl.concat([rows for _, rows in self._sample])
        if rows.height > SAMPLE_ROWS:
            kept = numbers.arg_sort().head(SAMPLE_ROWS).sort()
            numbers, rows = numbers.gather(kept), rows[kept]
            self._limit = float(numbers.max())  # type: ignore[arg-type]
        self._sample, self._sample_rows = [(numbers, rows)], rows.height
        return rows

    def entries(self, batch_id: str, at: datetime) -> list[dict[str, Any]]:
        """The rows of ``quality.profiles``; none where no row was profiled."""
        if not self._rows:
            return []
        sample = self._reduce()
        common = {
            "batch_id": batch_id,
            "source": self._source,
            "table_name": self._table_name,
            "profiled_at": at,
            "rows": self._rows,
        }
        return [
            {**common, "column_name": column.name, **column.entry(sample.get_column(column.name), self._rows)}
            for column in self._columns
        ]


def profile_of(table: RawTable, kind: str, watermark: datetime | None) -> Profile | None:
    """The empty profile of a batch about to be read; None for batches of rows that somebody chose.

    ``watermark``: where the table stood before. Databases and APIs give again what lies within the look-back; files
    and the change log give each row once.
    """
    if kind not in PROFILED_KINDS:
        return None
    gives_again = isinstance(table.read, HttpRead) or (
        isinstance(table.read, DatabaseRead) and table.read.is_incremental
    )
    if kind != "incremental" or not gives_again or watermark is None:
        return Profile(table)
    # A row dated ahead by mistake must not hide all that comes before its date.
    return Profile(table, newer_than=min(watermark, datetime.now(UTC)))


def write_profile(transaction: Transaction, profile: Profile, batch_id: str, at: datetime) -> None:
    """Write the batch's profile in the transaction that loads its rows."""
    write_entries(transaction, profile.entries(batch_id, at))


def write_entries(transaction: Transaction, entries: Sequence[dict[str, Any]]) -> None:
    """Add rows to ``quality.profiles``."""
    if entries:
        transaction.append("quality", "profiles", pa.Table.from_pylist(list(entries), schema=PROFILES.columns))


class _Column:
    """What is counted of one column over all rows."""

    def __init__(
        self, name: str, dtype: pl.DataType, *, is_identifier: bool, is_enumerated: bool, shows_values: bool
    ) -> None:
        self.name = name
        self._is_number = dtype.is_numeric()
        self._is_text = dtype == pl.String
        self._is_moment = dtype.is_temporal()
        # A number that names something has no mean, and rises with time.
        self._is_quantity = self._is_number and not is_identifier
        self._is_enumerated = is_enumerated
        self._shows_values = shows_values
        self._has_top_values = shows_values and not (is_identifier or self._is_moment)
        self.restart()

    def restart(self) -> None:
        self._nulls = 0
        self._filled = 0
        self._lowest: Any = None
        self._highest: Any = None
        self._moments = _Moments()
        self._hashes = pl.Series(dtype=pl.UInt64)
        self._highest_hash = 2**64 - 1

    def add(self, cells: pl.Series) -> None:
        self._nulls += cells.null_count()
        self._filled += cells.len() - cells.null_count()
        if cells.null_count() == cells.len():
            return
        if (self._is_number or self._is_moment) and self._shows_values:
            lowest, highest = cells.min(), cells.max()
            self._lowest = lowest if self._lowest is None else min(self._lowest, lowest)
            self._highest = highest if self._highest is None else max(self._highest, highest)
        if self._is_quantity:
            self._moments.add(cells.cast(pl.Float64))
        if not self._is_enumerated:
            self._count_distinct(cells)

    def _count_distinct(self, cells: pl.Series) -> None:
        hashes = cells.drop_nulls().hash(seed=0) if cells.null_count() else cells.hash(seed=0)
        hashes = hashes.filter(hashes < self._highest_hash).unique()
        if hashes.is_empty():
            return
        kept = pl.concat([self._hashes, hashes]).unique()
        if kept.len() > _HASHES_KEPT:
            kept = kept.sort().head(_HASHES_KEPT)
            self._highest_hash = int(kept[-1])
        self._hashes = kept

    def entry(self, sample: pl.Series, rows: int) -> dict[str, Any]:
        """The column's part of its row in ``quality.profiles``."""
        drawn = sample.drop_nulls()
        moments, quantiles = self._moments, None
        lowest, highest = self._lowest, self._highest
        if self._is_quantity and drawn.len():
            numbers = drawn.cast(pl.Float64)
            quantiles = [float(numbers.quantile(share, "linear") or 0.0) for share in QUANTILES]
            # The ends are known of all rows.
            if lowest is not None:
                quantiles[0], quantiles[-1] = float(lowest), float(highest)
        if self._is_text and drawn.len():
            moments = _Moments()
            moments.add(drawn.str.len_chars().cast(pl.Float64))
            if self._shows_values:
                lowest, highest = drawn.min(), drawn.max()
        counts = None
        if self._has_top_values and drawn.len():
            counts = _top_values(drawn, scale=rows / sample.len())
        return {
            "nulls": self._nulls,
            "distinct_values": drawn.n_unique() if self._is_enumerated else self._distinct(),
            "minimum": _as_text(lowest),
            "maximum": _as_text(highest),
            "mean": moments.mean,
            "deviation": moments.deviation,
            "quantiles": json.dumps([round(value, 6) for value in quantiles]) if quantiles else None,
            "top_values": json.dumps(counts, ensure_ascii=False) if counts else None,
        }

    def _distinct(self) -> int:
        if self._hashes.len() < _HASHES_KEPT:
            return self._hashes.len()
        return min(self._filled, round((_HASHES_KEPT - 1) / (self._highest_hash / 2**64)))


class _Moments:
    """Mean and deviation, added up portion by portion (T. F. Chan, G. H. Golub, R. J. LeVeque, 1979)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, numbers: pl.Series) -> None:
        count = numbers.len() - numbers.null_count()
        if not count:
            return
        mean = float(numbers.mean())  # type: ignore[arg-type]
        squares = float(numbers.var(ddof=0) or 0.0) * count  # type: ignore[arg-type]
        total = self._count + count
        step = mean - self._mean
        self._squares += squares + step * step * self._count * count / total
        self._mean += step * count / total
        self._count = total

    @property
    def mean(self) -> float | None:
        return self._mean if self._count else None

    @property
    def deviation(self) -> float | None:
        return math.sqrt(self._squares / self._count) if self._count else None


def _top_values(cells: pl.Series, *, scale: float) -> dict[str, int]:
    """The most frequent values and how often they come in all rows, ``scale`` times as many as here."""
    counted = cells.value_counts(name="_count")
    if counted.height > TOP_VALUES:
        # What comes once says nothing of the rows.
        counted = counted.filter(pl.col("_count") > 1)
    counted = counted.sort("_count", cells.name, descending=[True, False]).head(TOP_VALUES)
    texts = counted.get_column(cells.name).to_list()
    counts = counted.get_column("_count").to_list()
    return {str(_as_text(value)): round(count * scale) for value, count in zip(texts, counts, strict=True)}


def _as_text(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "true" if value else "false"
        case datetime() | date():
            return value.isoformat()
        case _:
            return str(value)[:_LONGEST_VALUE]

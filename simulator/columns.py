"""Columns from arrays: exact amounts, moments, texts, all without a Python loop over rows.

Belongs here: conversions from numpy arrays to polars columns. Does not belong here: what the values mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from simulator.clock import DAY, NEVER
from simulator.dice import Flags, Ints

MONEY = pl.Decimal(18, 2)
MOMENT = pl.Datetime("us", "UTC")


def pool(values: Sequence[str | None]) -> pl.Series:
    """Texts to pick from by index, with a null behind the last one: index -1 picks the null."""
    series = pl.Series(values, dtype=pl.String)
    return series.append(pl.Series([None], dtype=pl.String)).rechunk()


@cache
def choices(*values: str | None) -> pl.Series:
    """A :func:`pool` of a few constant texts."""
    return pool(list(values))


def take(texts: pl.Series, index: Ints) -> pl.Series:
    """The texts at ``index`` of a :func:`pool`; -1 gives null."""
    return texts[index]


def pick(texts: tuple[str | None, ...], index: Ints) -> pl.Series:
    """The constant texts at ``index``; -1 gives null."""
    return choices(*texts)[index]


def join(*parts: pl.Series | str) -> pl.Series:
    """The parts side by side, row by row; null where a part is null."""
    expressions = [
        pl.lit(part) if isinstance(part, str) else pl.lit(part.alias(f"part_{number}"))
        for number, part in enumerate(parts)
    ]
    return pl.select(pl.concat_str(expressions).alias("text")).to_series()


def only(values: pl.Series, keep: Flags) -> pl.Series:
    """``values`` where ``keep``, null elsewhere."""
    if keep.all():
        return values
    return values.zip_with(pl.Series(keep), pl.Series([None], dtype=values.dtype).new_from_index(0, len(keep)))


def either(condition: Flags, yes: pl.Series, no: pl.Series) -> pl.Series:
    """``yes`` where the condition holds, else ``no``."""
    return yes.zip_with(pl.Series(condition), no)


def integers(values: ArrayLike, keep: Flags | None = None) -> pl.Series:
    """A column of 64-bit integers."""
    series = pl.Series(np.asarray(values, dtype=np.int64))
    return series if keep is None else only(series, keep)


def digits(values: ArrayLike, width: int = 0) -> pl.Series:
    """Integers as text, filled with zeros on the left to ``width``."""
    text = pl.Series(np.asarray(values, dtype=np.int64)).cast(pl.String)
    return text.str.zfill(width) if width else text


def money(cents: Ints) -> pl.Series:
    """Cents as exact decimals."""
    words = np.empty((len(cents), 2), dtype=np.int64)
    words[:, 0] = cents
    words[:, 1] = cents >> 63
    array = pa.Array.from_buffers(pa.decimal128(18, 2), len(cents), [None, pa.py_buffer(words.tobytes())])
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


def moments(micros: Ints) -> pl.Series:
    """A column of moments in UTC; null for ``NEVER``."""
    series = pl.Series(micros).cast(MOMENT)
    return only(series, micros < NEVER) if len(micros) and micros.max() >= NEVER else series


def dates(days: Ints) -> pl.Series:
    """A column of dates, from days since 1970."""
    return pl.Series(days.astype(np.int32)).cast(pl.Date)


_CLOCK_TEXT = [f"T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}." for second in range(86_400)]
_SECONDS = pl.Series(_CLOCK_TEXT)
_MILLIS = pl.Series([f"{milli:03}Z" for milli in range(1000)])


def iso_moments(micros: Ints) -> pl.Series:
    """Moments as ISO 8601 text with milliseconds; null for ``NEVER``.

    Put together from prepared pieces: three times as fast as formatting each moment.
    """
    happens = micros < NEVER
    safe = np.where(happens, micros, 0)
    day = safe // DAY
    milli = safe // 1000 - day * 86_400_000
    known, where = np.unique(day, return_inverse=True)
    day_texts = pl.Series(known.astype(np.int32)).cast(pl.Date).cast(pl.String)
    text = join(day_texts[where], _SECONDS[milli // 1000], _MILLIS[milli % 1000])
    return only(text, happens)


def iso_dates(days: Ints) -> pl.Series:
    """Dates as ISO 8601 text, from days since 1970."""
    return dates(days).cast(pl.String)


def hexadecimal(bits: NDArray[np.uint64]) -> pl.Series:
    """Sixteen hexadecimal digits per number."""
    text = bits.astype(">u8").tobytes().hex().encode()
    offsets = np.arange(len(bits) + 1, dtype=np.int64) * 16
    array = pa.LargeStringArray.from_buffers(len(bits), pa.py_buffer(offsets.tobytes()), pa.py_buffer(text))
    series = pl.from_arrow(array)
    assert isinstance(series, pl.Series)
    return series


def scrambled(numbers: Ints, prime: int) -> Ints:
    """Other numbers below ``prime``, one to one: what another system would call the same thing."""
    return numbers * 48_271 % prime


def repeat_offsets(counts: Ints) -> tuple[Ints, Ints]:
    """For entities with ``counts`` parts each: per part, the entity's index and the part's number from 0."""
    owner = np.repeat(np.arange(len(counts)), counts)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else np.empty(0, dtype=np.int64)
    return owner, np.arange(len(owner)) - starts[owner] if len(owner) else owner


def draws_of(day: int, count: int) -> Ints:
    """Ids for the chance behind a day's nameless things (visits, bots): no two days share one."""
    return np.int64(day) * (1 << 36) + np.arange(count, dtype=np.int64)

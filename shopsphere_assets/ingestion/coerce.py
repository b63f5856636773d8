"""Turns what a source gave into the contract's types, cell by cell, without losing a value silently.

The first of validation's two passes. A cell that cannot be turned becomes null and is reported; whatever
would change a value (a third decimal place, a time of day in a date, an overflow) counts as one that
cannot. Does not belong here: rules about values, which are the contract's.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import polars as pl

_TRUE = ("true", "t", "1", "yes", "y")
_FALSE = ("false", "f", "0", "no", "n")
_EXACT_CENTS = r"^[+-]?[0-9]{1,16}(\.[0-9]{1,2}0*)?$"
_INTEGER = r"^[+-]?[0-9]{1,19}$"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
# A second 60 (a leap second) and a seventh decimal place have no place in a count of microseconds.
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6}0*)?"
_OFFSET = "(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_ZONED = f"^{_DAY}T{_CLOCK}{_OFFSET}$"
_OTHER_MOMENT = f"^{_DAY}([T ]{_CLOCK}{_OFFSET}?)?$"
_MIDNIGHT = rf"^{_DAY}([T ]00:00(:00(\.0+)?)?(Z|\+00(:?00)?)?)?$"

# Beyond these years neither Python nor most other readers of the warehouse can hold a date.
_FIRST_DAY, _LAST_DAY = date(1, 1, 1), date(9999, 12, 31)
_FIRST_MOMENT = datetime.combine(_FIRST_DAY, time.min, UTC)
_LAST_MOMENT = datetime.combine(_LAST_DAY, time.max, UTC)

# A double tells cents apart up to here with room for the rounding errors of sums.
_LARGEST_EXACT_DOUBLE = 1e12


def coerce(frame: pl.DataFrame, types: dict[str, pl.DataType]) -> tuple[pl.DataFrame, dict[str, pl.Series]]:
    """``frame`` with its columns in ``types``, and the cells that could not be turned.

    Columns that ``types`` does not name are left out; one that ``frame`` lacks becomes null throughout.
    Returns the frame and, per column with failures only, a Boolean series that marks them.
    """
    columns: list[pl.Series] = []
    failures: dict[str, pl.Series] = {}
    for name, target in types.items():
        if name not in frame.columns:
            columns.append(pl.Series(name, [None], dtype=target).new_from_index(0, frame.height))
            continue
        given = frame.get_column(name)
        readable = _decoded(given) if given.dtype == pl.Binary else given
        turned = _turn(readable, target)
        columns.append(turned.alias(name))
        if turned.null_count() != given.null_count():
            failures[name] = turned.is_null() & given.is_not_null()
    return pl.DataFrame(columns), failures


def as_text(cells: pl.Series) -> pl.Series:
    """Any cells as text that a person can read; null only where a cell is null."""
    if cells.dtype == pl.Binary:
        hexadecimal = "\\x" + cells.bin.encode("hex")
        return _decoded(cells).zip_with(_is_decodable(cells), hexadecimal)
    if _has_text(cells.dtype):
        return cells.cast(pl.String)
    return pl.Series(cells.name, [None if cell is None else str(cell) for cell in cells.to_list()], dtype=pl.String)


def _has_text(dtype: pl.DataType) -> bool:
    """Whether values of ``dtype`` have one plain text, as lists and durations have not."""
    return not (dtype.is_nested() or dtype in (pl.Duration, pl.Object))


def _is_decodable(cells: pl.Series) -> pl.Series:
    return _decoded(cells).is_not_null() | cells.is_null()


def _decoded(cells: pl.Series) -> pl.Series:
    """Bytes as the text that they are in UTF-8, null where they are not."""
    try:
        return cells.cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.Series(cells.name, [_decode(cell) for cell in cells.to_list()], dtype=pl.String)


def _decode(cell: bytes | None) -> str | None:
    try:
        return None if cell is None else cell.decode()
    except UnicodeDecodeError:
        return None


def _turn(cells: pl.Series, target: pl.DataType) -> pl.Series:
    """``cells`` in ``target``, null where that is not possible.

    Works on series and not on one large expression, which would compute shared parts again and again.
    """
    given = cells.dtype
    if given == pl.Null:
        return cells.cast(target)
    if not _has_text(given):
        return pl.Series([None], dtype=target).new_from_index(0, cells.len())
    if isinstance(target, pl.Decimal):
        return _to_decimal(cells, target)
    if isinstance(target, pl.Datetime):
        moments = _to_moment(cells).cast(target)
        return _only(moments, moments.is_between(_FIRST_MOMENT, _LAST_MOMENT))
    if target == pl.Date:
        days = _to_date(cells)
        return _only(days, days.is_between(_FIRST_DAY, _LAST_DAY))
    if target == pl.Boolean:
        return _to_boolean(cells)
    if target == pl.Int64:
        return _to_integer(cells)
    return cells.cast(pl.String)


def _only(cells: pl.Series, kept: pl.Series) -> pl.Series:
    """``cells`` where ``kept``, null elsewhere."""
    return pl.select(pl.when(kept).then(cells)).to_series()


def _trimmed(cells: pl.Series) -> pl.Series:
    return cells.str.strip_chars() if cells.dtype == pl.String else cells.cast(pl.String)


def _to_boolean(cells: pl.Series) -> pl.Series:
    if cells.dtype == pl.Boolean:
        return cells
    text = _trimmed(cells).str.to_lowercase()
    return _only(text.is_in(_TRUE), text.is_in((*_TRUE, *_FALSE)))


def _to_integer(cells: pl.Series) -> pl.Series:
    given = cells.dtype
    if given.is_integer() or given == pl.Boolean:
        return cells.cast(pl.Int64, strict=False)
    if given.is_float() or isinstance(given, pl.Decimal):
        whole = cells.cast(pl.Int64, strict=False)
        return _only(whole, whole.cast(given, strict=False) == cells)
    text = _trimmed(cells)
    return _only(text, text.str.contains(_INTEGER)).cast(pl.Int64, strict=False)


def _to_decimal(cells: pl.Series, target: pl.Decimal) -> pl.Series:
    given = cells.dtype
    if given.is_integer():
        return cells.cast(target, strict=False)
    if isinstance(given, pl.Decimal):
        turned = cells.cast(target, strict=False)
        return turned if given.scale <= target.scale else _only(turned, turned.cast(given, strict=False) == cells)
    if given == pl.Float64:
        # A double cannot hold most cents; it is taken for the nearest cent if it is meant to be one.
        cents = (cells * 100).round()
        tolerance = pl.select(pl.max_horizontal(1e-6, cells.abs() * 1e-13)).to_series()
        is_cent = ((cells * 100 - cents).abs() < tolerance) & (cells.abs() < _LARGEST_EXACT_DOUBLE)
        whole = _only(cents, is_cent).cast(pl.Int64)
        return pl.select(whole.cast(pl.Decimal(38, 2)) / pl.lit(100, dtype=pl.Decimal(5, 0))).to_series().cast(target)
    # Of a single-precision number too: its shortest text is what was meant.
    text = _trimmed(cells)
    return _only(text, text.str.contains(_EXACT_CENTS)).cast(target, strict=False)


def _to_moment(cells: pl.Series) -> pl.Series:
    given = cells.dtype
    if isinstance(given, pl.Datetime):
        # Databases without time zones are read with their session in UTC.
        zoned = cells.dt.replace_time_zone("UTC") if given.time_zone is None else cells.dt.convert_time_zone("UTC")
        moments = zoned.dt.cast_time_unit("us")
        return _only(moments, moments.dt.cast_time_unit("ns") == zoned) if given.time_unit == "ns" else moments
    if given == pl.Date:
        return cells.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    text = cells.cast(pl.String)
    moments = _parsed(text)
    others = (moments.is_null() & text.is_not_null()).arg_true()
    if others.is_empty():
        return moments
    return moments.scatter(others, _parsed(_completed(text.gather(others))))


def _completed(text: pl.Series) -> pl.Series:
    """Moments written with a blank, without a zone (which is UTC) or without a time of day, in full."""
    plain = text.str.strip_chars().str.to_uppercase()
    plain = _only(plain, plain.str.contains(_OTHER_MOMENT)).str.replace(" ", "T", literal=True)
    timed = pl.select(pl.when(plain.str.len_chars() == 10).then(plain + "T00:00:00").otherwise(plain)).to_series()
    is_zoned = timed.str.contains(f":[0-9.]+{_OFFSET}$")
    return pl.select(pl.when(is_zoned).then(timed).otherwise(timed + "Z")).to_series()


def _parsed(text: pl.Series) -> pl.Series:
    plain = _only(text, text.str.contains(_ZONED))
    return plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)


def _to_date(cells: pl.Series) -> pl.Series:
    given = cells.dtype
    if given == pl.Date:
        return cells
    if isinstance(given, pl.Datetime):
        return _only(cells.dt.date(), cells.dt.time() == time.min)
    text = _trimmed(cells)
    return _only(text, text.str.contains(_MIDNIGHT)).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)

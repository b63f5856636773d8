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
_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_OFFSET = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)?"
# A second 60 (a leap second) and a seventh decimal place have no place in a count of microseconds.
_MOMENT = rf"{_DAY}(T[0-9]{{2}}:[0-9]{{2}}:[0-5][0-9](\.[0-9]{{1,6}}0*)?{_OFFSET})?$"
_MIDNIGHT = rf"{_DAY}([T ]00:00(:00(\.0+)?)?(Z|\+00(:?00)?)?)?$"

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
        turned = pl.select(_turn(pl.lit(readable), readable.dtype, target)).to_series().alias(name)
        columns.append(turned)
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


def _turn(value: pl.Expr, given: pl.DataType, target: pl.DataType) -> pl.Expr:
    """Expression that turns ``value``, of type ``given``, into ``target``, null where that is not possible."""
    if given == pl.Null:
        return value.cast(target)
    if not _has_text(given):
        return pl.repeat(None, value.len(), dtype=target)
    if isinstance(target, pl.Decimal):
        return _to_decimal(value, given, target)
    if isinstance(target, pl.Datetime):
        moment = _to_moment(value, given, target)
        return pl.when(moment.is_between(_FIRST_MOMENT, _LAST_MOMENT)).then(moment)
    if target == pl.Date:
        day = _to_date(value, given)
        return pl.when(day.is_between(_FIRST_DAY, _LAST_DAY)).then(day)
    if target == pl.Boolean:
        text = _trimmed(value, given).str.to_lowercase()
        return pl.when(text.is_in(_TRUE)).then(True).when(text.is_in(_FALSE)).then(False)
    if target == pl.Int64:
        return _to_integer(value, given)
    return value.cast(pl.String)


def _trimmed(value: pl.Expr, given: pl.DataType) -> pl.Expr:
    return value.str.strip_chars() if given == pl.String else value.cast(pl.String)


def _to_integer(value: pl.Expr, given: pl.DataType) -> pl.Expr:
    if given.is_integer() or given == pl.Boolean:
        return value.cast(pl.Int64, strict=False)
    if given.is_float() or isinstance(given, pl.Decimal):
        whole = value.cast(pl.Int64, strict=False)
        return pl.when(whole.cast(given, strict=False) == value).then(whole)
    text = _trimmed(value, given)
    return pl.when(text.str.contains(_INTEGER)).then(text).cast(pl.Int64, strict=False)


def _to_decimal(value: pl.Expr, given: pl.DataType, target: pl.Decimal) -> pl.Expr:
    if given.is_integer():
        return value.cast(target, strict=False)
    if isinstance(given, pl.Decimal):
        turned = value.cast(target, strict=False)
        if given.scale <= target.scale:
            return turned
        return pl.when(turned.cast(given, strict=False) == value).then(turned)
    if given == pl.Float64:
        # A double cannot hold most cents; it is taken for the nearest cent if it is meant to be one.
        cents = (value * 100).round()
        tolerance = pl.max_horizontal(1e-6, value.abs() * 1e-13)
        exact = cents.cast(pl.Int64, strict=False).cast(pl.Decimal(20, 0), strict=False)
        hundred = pl.lit(100, dtype=pl.Decimal(5, 0))
        is_cent = ((value * 100 - cents).abs() < tolerance) & (value.abs() < _LARGEST_EXACT_DOUBLE)
        return pl.when(is_cent).then((exact.cast(pl.Decimal(38, 2)) / hundred).cast(target, strict=False))
    # Of a single-precision number too: its shortest text is what was meant.
    text = _trimmed(value, given)
    return pl.when(text.str.contains(_EXACT_CENTS)).then(text).cast(target, strict=False)


def _to_moment(value: pl.Expr, given: pl.DataType, target: pl.Datetime) -> pl.Expr:
    if isinstance(given, pl.Datetime):
        # Databases without time zones are read with their session in UTC.
        zoned = value.dt.replace_time_zone("UTC") if given.time_zone is None else value.dt.convert_time_zone("UTC")
        moment = zoned.dt.cast_time_unit("us")
        return moment if given.time_unit != "ns" else pl.when(moment.dt.cast_time_unit("ns") == zoned).then(moment)
    if given == pl.Date:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    text = _trimmed(value, given).str.to_uppercase().str.replace(" ", "T", literal=True)
    plain = pl.when(text.str.contains(_MOMENT)).then(text)
    complete = pl.when(plain.str.len_chars() == 10).then(plain + pl.lit("T00:00:00Z")).otherwise(plain)
    zoned = (
        pl.when(complete.str.contains(r"[+-][0-9]{2}:?[0-9]{2}$"))
        .then(complete)
        .when(complete.str.contains(r":[0-9.]+[+-][0-9]{2}$"))
        .then(complete + pl.lit(":00"))
        .otherwise(complete.str.strip_chars_end("Z") + pl.lit("+00:00"))
    )
    return zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", strict=False).cast(target)


def _to_date(value: pl.Expr, given: pl.DataType) -> pl.Expr:
    if given == pl.Date:
        return value
    if isinstance(given, pl.Datetime):
        return pl.when(value.dt.time() == time.min).then(value.dt.date())
    text = _trimmed(value, given)
    day = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    return pl.when(text.str.contains(_MIDNIGHT)).then(day)

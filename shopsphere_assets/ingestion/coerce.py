"""Turns what a source gave into the contract's types, cell by cell, without losing a value silently.

The first of validation's two passes. A cell that cannot be turned becomes null and is reported; whatever
would change a value (a third decimal place, a time of day in a date, an overflow) counts as one that
cannot. Does not belong here: rules about values, which are the contract's.
"""

from __future__ import annotations

import polars as pl

_TRUE = ("true", "t", "1", "yes", "y")
_FALSE = ("false", "f", "0", "no", "n")
_EXACT_CENTS = r"^[+-]?\d{1,16}(\.\d{1,2}0*)?$"
_INTEGER = r"^[+-]?\d{1,19}$"
_TIME_OF_DAY = r"^\d{4}-\d{2}-\d{2}([T ]00:00(:00(\.0+)?)?(Z|\+00:?00)?)?$"


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
        if given.dtype == target:
            columns.append(given)
            continue
        turned = frame.select(_turn(name, given.dtype, target).alias(name)).to_series()
        columns.append(turned)
        if turned.null_count() != given.null_count():
            failures[name] = turned.is_null() & given.is_not_null()
    return pl.DataFrame(columns), failures


def _turn(name: str, given: pl.DataType, target: pl.DataType) -> pl.Expr:
    """Expression that turns column ``name`` into ``target``, null where that is not possible."""
    value = pl.col(name)
    if given == pl.Null:
        return value.cast(target)
    if given == pl.Binary:
        given, value = pl.String(), value.cast(pl.String, strict=False)
    if isinstance(target, pl.Decimal):
        return _to_decimal(value, given, target)
    if isinstance(target, pl.Datetime):
        return _to_moment(value, given, target)
    if target == pl.Date:
        return _to_date(value, given)
    if target == pl.Boolean:
        text = _trimmed(value, given).str.to_lowercase()
        return pl.when(text.is_in(_TRUE)).then(True).when(text.is_in(_FALSE)).then(False)
    if target == pl.Int64:
        return _to_integer(value, given)
    return value.cast(pl.String, strict=False)


def _trimmed(value: pl.Expr, given: pl.DataType) -> pl.Expr:
    return value.str.strip_chars() if given == pl.String else value.cast(pl.String, strict=False)


def _to_integer(value: pl.Expr, given: pl.DataType) -> pl.Expr:
    if given == pl.String:
        text = value.str.strip_chars()
        return pl.when(text.str.contains(_INTEGER)).then(text).cast(pl.Int64, strict=False)
    whole = value.cast(pl.Int64, strict=False)
    if given.is_integer() or given == pl.Boolean:
        return whole
    return pl.when(whole.cast(given, strict=False) == value).then(whole)


def _to_decimal(value: pl.Expr, given: pl.DataType, target: pl.Decimal) -> pl.Expr:
    if given == pl.String:
        text = value.str.strip_chars()
        return pl.when(text.str.contains(_EXACT_CENTS)).then(text).cast(target, strict=False)
    if isinstance(given, pl.Decimal):
        turned = value.cast(target, strict=False)
        if given.scale <= target.scale:
            return turned
        return pl.when(turned.cast(given, strict=False) == value).then(turned)
    if given.is_float():
        # A double cannot hold most cents; it is taken for the nearest cent if it is meant to be one.
        cents = (value * 100).round()
        tolerance = pl.max_horizontal(1e-6, value.abs() * 1e-12)
        exact = cents.cast(pl.Int64, strict=False).cast(pl.Decimal(20, 0), strict=False)
        hundred = pl.lit(100, dtype=pl.Decimal(5, 0))
        is_cent = ((value * 100 - cents).abs() < tolerance) & (value.abs() < 1e13)
        return pl.when(is_cent).then((exact.cast(pl.Decimal(38, 2)) / hundred).cast(target, strict=False))
    return value.cast(target, strict=False)


def _to_moment(value: pl.Expr, given: pl.DataType, target: pl.Datetime) -> pl.Expr:
    if isinstance(given, pl.Datetime):
        if given.time_zone is None:
            # Databases without time zones are read with their session in UTC.
            return value.dt.replace_time_zone("UTC").dt.cast_time_unit("us")
        return value.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
    if given == pl.Date:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    text = _trimmed(value, given).str.replace(" ", "T", literal=True).str.replace(r"[Zz]$", "+00:00")
    dated = pl.when(text.str.len_chars() == 10).then(text + pl.lit("T00:00:00+00:00")).otherwise(text)
    zoned = (
        pl.when(dated.str.contains(r"[+-]\d\d(:?\d\d)?$"))
        .then(dated.str.replace(r"([+-]\d\d)$", "${1}:00"))
        .otherwise(dated + pl.lit("+00:00"))
    )
    return zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", strict=False).cast(target)


def _to_date(value: pl.Expr, given: pl.DataType) -> pl.Expr:
    if isinstance(given, pl.Datetime):
        day = value.dt.date()
        midnight = day.cast(pl.Datetime(given.time_unit))
        if given.time_zone is not None:
            midnight = midnight.dt.replace_time_zone(given.time_zone)
        return pl.when(midnight == value).then(day)
    text = _trimmed(value, given)
    day = text.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    return pl.when(text.str.contains(_TIME_OF_DAY)).then(day)

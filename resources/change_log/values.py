"""Turns columns of logged values into the types in which the source's tables are read.

A column of which one value does not fit its type is given as text throughout, as the reader of tables does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl

MOST_DECIMAL_DIGITS = 38
"""As in reading tables: decimals that may have more come as text."""


def text_from_bytes(values: list[Any]) -> pl.Series:
    """UTF-8 as text; as bytes where one is no UTF-8."""
    cells = pl.Series(values, dtype=pl.Binary)
    try:
        return cells.cast(pl.String)
    except pl.exceptions.ComputeError:
        return cells


def text_in(encoding: str) -> Callable[[list[Any]], pl.Series]:
    """Bytes in ``encoding`` as text; as bytes where one cannot be decoded."""

    def decode(values: list[Any]) -> pl.Series:
        try:
            texts = [None if value is None else value.decode(encoding) for value in values]
        except UnicodeDecodeError:
            return pl.Series(values, dtype=pl.Binary)
        return pl.Series(texts, dtype=pl.String)

    return decode


def raw_bytes(values: list[Any]) -> pl.Series:
    """Bytes as they are."""
    return pl.Series(values, dtype=pl.Binary)


def of_type(dtype: pl.DataType | type[pl.DataType]) -> Callable[[list[Any]], pl.Series]:
    """Python values that fit ``dtype``."""

    def convert(values: list[Any]) -> pl.Series:
        return pl.Series(values, dtype=dtype)

    return convert


def parsed(parse: Callable[[pl.Series], pl.Series]) -> Callable[[list[Any]], pl.Series]:
    """Texts in bytes, parsed; left as text where one cannot be."""

    def convert(values: list[Any]) -> pl.Series:
        texts = text_from_bytes(values)
        if texts.dtype != pl.String:
            return texts
        typed = parse(texts)
        return typed if typed.null_count() == texts.null_count() else texts

    return convert


def decimals(scale: int) -> Callable[[pl.Series], pl.Series]:
    """A parser of decimals with ``scale`` places."""

    def parse(texts: pl.Series) -> pl.Series:
        return texts.cast(pl.Decimal(38, scale), strict=False)

    return parse

"""A shop's database that tests fill row by row, on SQLite and on PostgreSQL.

Belongs here: the tables of the contracts with rows that keep them. Not here: what the platform makes of them.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.ingestion.raw_table import RawTable
from tests.raw_tables import good_row

TABLES: dict[str, RawTable] = {table.name: table for table in SHOP_DB.tables}


class ShopSource(ABC):
    """The six tables of the shop's database, at first without rows.

    ``url``: what the platform's setting names.
    """

    url: str

    def __init__(self) -> None:
        for table in TABLES.values():
            columns = ", ".join(f'"{name}" {self._type(dtype)}' for name, dtype in table.column_types.items())
            self.execute(f'CREATE TABLE "{table.name}" ({columns})')

    def add(self, table: str, first_id: int, count: int = 1, **values: Any) -> None:
        """Add rows that keep the contract, but for ``values``; their keys are numbered from ``first_id``."""
        types = TABLES[table].column_types
        marks = ", ".join(self._mark(dtype) for dtype in types.values())
        numbers = range(first_id, first_id + count)
        rows = [{**good_row(TABLES[table]), TABLES[table].key[0]: str(number), **values} for number in numbers]
        self.execute(f'INSERT INTO "{table}" VALUES ({marks})', *[[row[name] for name in types] for row in rows])

    @abstractmethod
    def execute(self, sql: str, *rows: Sequence[Any]) -> None:
        """Run one statement, for each of ``rows`` of values if there are any, and commit it."""

    @abstractmethod
    def _type(self, dtype: pl.DataType) -> str: ...

    @abstractmethod
    def _mark(self, dtype: pl.DataType) -> str: ...


class SqliteShop(ShopSource):
    """A shop in a SQLite file; every value is text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.url = f"sqlite://{path}"
        super().__init__()

    def execute(self, sql: str, *rows: Sequence[Any]) -> None:
        with sqlite3.connect(self._path) as connection:
            for row in rows or [()]:
                connection.execute(sql, [_sqlite_moment(value) for value in row])
        connection.close()

    def _type(self, dtype: pl.DataType) -> str:
        return "TEXT"

    def _mark(self, dtype: pl.DataType) -> str:
        return "?"


class PostgresShop(ShopSource):
    """A shop in a PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__()

    def execute(self, sql: str, *rows: Sequence[Any]) -> None:
        with psycopg.connect(self.url) as connection:
            connection.cursor().executemany(sql.encode(), rows or [()])

    def _type(self, dtype: pl.DataType) -> str:
        if isinstance(dtype, pl.Decimal):
            return "numeric(18, 2)"
        if isinstance(dtype, pl.Datetime):
            return "timestamptz"
        return {"Int64": "bigint", "Boolean": "boolean", "Date": "date"}.get(str(dtype), "text")

    def _mark(self, dtype: pl.DataType) -> str:
        return f"%s::text::{self._type(dtype)}"


def _sqlite_moment(value: Any) -> Any:
    """SQLite compares moments as texts, so they stand there as the platform asks for them."""
    is_moment = isinstance(value, str) and len(value) == 24 and value.endswith("Z")
    return value[:-1].replace("T", " ") if is_moment else value

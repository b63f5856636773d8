"""Warehouses for the tests of the dbt project: raw tables made from the contracts, dbt run, tables read.

Belongs here: what is the same for every such test. Not here: rows (hand_made_rows.py) and expectations.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import duckdb
import psycopg
import pyarrow as pa

from resources.warehouse import TableDefinition
from resources.warehouse.system_tables import MOMENT, SYSTEM_TABLES
from shopsphere_assets import contracts
from shopsphere_assets.contracts.base import Contract

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"

VERSIONS = ("shop_db/customers",)
"""The raw tables that keep the versions of their rows."""

Rows = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows by ``<source>/<table>``; a column that a row does not name is null."""


def contracts_by_table() -> dict[str, type[Contract]]:
    """Every contract by its ``<source>/<table>``."""
    found: dict[str, type[Contract]] = {}
    for module_info in pkgutil.iter_modules(contracts.__path__):
        module = importlib.import_module(f"{contracts.__name__}.{module_info.name}")
        for name, contract in inspect.getmembers(module, inspect.isclass):
            if issubclass(contract, Contract) and contract.__module__ == module.__name__:
                if contract is Contract:
                    continue
                table = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
                found[f"{module_info.name}/{table}"] = contract
    return found


def column_types(contract: type[Contract]) -> dict[str, str]:
    """The SQL type of every column of a raw table, by name."""
    types = {"Int64": "bigint", "String": "text", "Boolean": "boolean", "Date": "date"}
    columns: dict[str, str] = {}
    for name, column in contract.to_schema().columns.items():
        dtype = str(column.dtype.type)
        if dtype.startswith("Decimal"):
            columns[name] = "numeric(18, 2)"
        elif dtype.startswith("Datetime"):
            columns[name] = "timestamptz"
        else:
            columns[name] = types[dtype]
    own = {"_batch_id": "text", "_position": "text", "_loaded_at": "timestamptz", "_deleted_at": "timestamptz"}
    return columns | own


class Warehouse(ABC):
    """One engine with raw tables, on which dbt can be run."""

    environment: dict[str, str]
    """What dbt must know to reach it."""

    url: str
    """Where the platform finds it."""

    @abstractmethod
    def execute(self, statements: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> None:
        """Run statements with ``%s`` placeholders, each once for every tuple of values."""

    @abstractmethod
    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""

    def fill_raw(self, rows: Rows) -> None:
        """Create every raw table and put the rows into it."""
        statements: list[tuple[str, Sequence[Sequence[Any]]]] = [("create schema raw", [()])]
        statements += [("create schema ledger", [()])]
        statements += [(_definition(table), [()]) for table in SYSTEM_TABLES if table.schema == "ledger"]
        for key, contract in contracts_by_table().items():
            types = column_types(contract)
            table = f"raw.{key.replace('/', '__')}"
            definitions = ", ".join(f"{name} {type_}" for name, type_ in types.items())
            statements.append((f"create table {table} ({definitions})", [()]))
            loaded = {"_batch_id": "batch-1", "_loaded_at": "2026-06-01T00:00:00Z"}
            if key in VERSIONS:
                statements.append((f"create table {table}__versions ({definitions})", [()]))
            values = [[{**loaded, **row}.get(name) for name in types] for row in _checked(key, rows, types)]
            if values:
                marks = ", ".join(["%s"] * len(types))
                statements.append((f"insert into {table} values ({marks})", values))
                if key in VERSIONS:
                    statements.append((f"insert into {table}__versions values ({marks})", values))
        self.execute(statements)

    def dbt(self, *arguments: str, **environment: str) -> None:
        """Run dbt; an exit status other than 0 is an error that shows its output."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHOPSPHERE_", "DBT_", "PG"))}
        finished = subprocess.run(
            [
                str(Path(sys.executable).with_name("dbt")),
                "--no-use-colors",
                *arguments,
                f"--project-dir={PROJECT}",
                f"--profiles-dir={PROJECT}",
            ],
            env=kept | self.environment | environment,
            cwd=Path(self.environment["DBT_TARGET_PATH"]).parent,
            capture_output=True,
            text=True,
            check=False,
        )
        if finished.returncode:
            raise AssertionError(f"dbt {' '.join(arguments)} failed:\n{finished.stdout}{finished.stderr}")

    def tables(self) -> list[tuple[str, str]]:
        """Schema and name of every table and view that dbt made, in order."""
        return sorted(
            cast(
                "list[tuple[str, str]]",
                self.query(
                    "select table_schema, table_name from information_schema.tables "
                    "where table_schema in ('staging', 'intermediate') or table_schema like 'build%'"
                ),
            )
        )

    def columns(self, schema: str, table: str) -> list[tuple[Any, ...]]:
        """Name and type of every column of a table, in order; the types spelled as PostgreSQL does."""
        rows = self.query(
            "select column_name, data_type, numeric_precision, numeric_scale "
            "from information_schema.columns "
            f"where table_schema = '{schema}' and table_name = '{table}' order by ordinal_position"
        )
        return [(name, *_standard_type(*rest)) for name, *rest in rows]

    def rows(self, schema: str, table: str) -> list[tuple[Any, ...]]:
        """The rows of a table in a fixed order; exact decimals and moments in one spelling."""
        return sorted(
            (tuple(_plain(value) for value in row) for row in self.query(f"select * from {schema}.{table}")),
            key=repr,
        )

    def records(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, given as ``schema.table``, by column name."""
        schema, name = table.split(".")
        names = [column[0] for column in self.columns(schema, name)]
        return [dict(zip(names, row, strict=True)) for row in self.rows(schema, name)]


class DuckDBWarehouse(Warehouse):
    """A DuckDB file in a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "warehouse.duckdb"
        self.url = f"duckdb://{self._path}"
        self.environment = {
            "SHOPSPHERE_DBT_DUCKDB_PATH": str(self._path),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }

    def execute(self, statements: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> None:
        with self._connected() as connection:
            for sql, many in statements:
                for values in many:
                    connection.execute(sql.replace("%s", "?"), list(values))

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            table = connection.execute(sql).to_arrow_table()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(self._path) as connection:
            yield connection


class PostgresWarehouse(Warehouse):
    """A PostgreSQL database, given by its URL."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        parts = urlsplit(url)
        self.environment = {
            "SHOPSPHERE_DBT_TARGET": "postgres",
            "SHOPSPHERE_DBT_POSTGRES_HOST": str(parts.hostname),
            "SHOPSPHERE_DBT_POSTGRES_PORT": str(parts.port),
            "SHOPSPHERE_DBT_POSTGRES_USER": unquote(parts.username or ""),
            "SHOPSPHERE_DBT_POSTGRES_PASSWORD": unquote(parts.password or ""),
            "SHOPSPHERE_DBT_POSTGRES_DATABASE": parts.path.lstrip("/"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }

    def execute(self, statements: Sequence[tuple[str, Sequence[Sequence[Any]]]]) -> None:
        with psycopg.connect(self.url) as connection:
            for sql, many in statements:
                connection.cursor().executemany(sql, many)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql).fetchall()


def _definition(table: TableDefinition) -> str:
    types = {pa.string(): "text", pa.int64(): "bigint", MOMENT: "timestamptz"}
    return f"create table {table} ({', '.join(f'{column.name} {types[column.type]}' for column in table.columns)})"


def _checked(key: str, rows: Rows, types: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    for row in rows.get(key, []):
        unknown = row.keys() - types.keys()
        if unknown:
            raise ValueError(f"{key} has no columns {sorted(unknown)}")
        yield row


def _standard_type(data_type: str, precision: int | None, scale: int | None) -> tuple[Any, ...]:
    name = data_type.lower()
    if name.startswith(("decimal", "numeric")):
        return ("numeric", precision, scale)
    return ({"varchar": "text"}.get(name, name),)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value

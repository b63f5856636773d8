"""Loads one table with pandas. Run by the Python of its own environment; imports nothing of this project.

Without ``--tuned``: ``read_sql`` in chunks and ``to_sql``, as tutorials show it. With it: rows streamed by the
server, and PostgreSQL's COPY in the way that pandas' own documentation describes.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

_CHUNK_ROWS = 100_000
_SCHEMA = "bench"


def main() -> None:
    """Load or merge the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="mysql:// or postgresql://")
    parser.add_argument("--target", required=True, help="postgresql:// or duckdb:///")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--table", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--cursor", required=True)
    parser.add_argument("--since", type=datetime.fromisoformat, help="merge what changed after this moment")
    parser.add_argument("--tuned", action="store_true")
    arguments = parser.parse_args()
    chunks = _chunks(arguments)
    if arguments.target.startswith("postgresql"):
        _into_postgres(arguments, chunks)
    else:
        _into_duckdb(arguments, chunks)


def _chunks(arguments: argparse.Namespace) -> Iterator[pd.DataFrame]:
    driver = "mysql+pymysql" if arguments.source.startswith("mysql") else "postgresql+psycopg2"
    engine = sa.create_engine(driver + arguments.source[arguments.source.index(":") :])
    query = f"SELECT * FROM {arguments.table}"
    parameters = {}
    if arguments.since:
        query += f" WHERE {arguments.cursor} > :since"
        parameters = {"since": arguments.since.replace(tzinfo=None)}
    with engine.connect().execution_options(stream_results=arguments.tuned) as connection:
        yield from pd.read_sql(sa.text(query), connection, params=parameters, chunksize=_CHUNK_ROWS)


def _into_postgres(arguments: argparse.Namespace, chunks: Iterable[pd.DataFrame]) -> None:
    engine = sa.create_engine("postgresql+psycopg2" + arguments.target[arguments.target.index(":") :])
    table = f"{arguments.table}_new" if arguments.since else arguments.table
    method: Any = _copy if arguments.tuned else None
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}"))
        columns: list[str] = []
        for number, chunk in enumerate(chunks):
            columns = list(chunk.columns)
            chunk.to_sql(
                table,
                connection,
                schema=_SCHEMA,
                index=False,
                if_exists="append" if number else "replace",
                method=method,
            )
        if arguments.since and columns:
            # What the first chunk of a table decides of its types need not be what another's did.
            names = ", ".join(columns)
            target, new, key = f"{_SCHEMA}.{arguments.table}", f"{_SCHEMA}.{table}", arguments.key
            typed = ", ".join(f"CAST(n.{name} AS {kind})" for name, kind in _types(connection, arguments, columns))
            connection.execute(sa.text(f"DELETE FROM {target} t USING {new} n WHERE t.{key} = n.{key}"))
            connection.execute(sa.text(f"INSERT INTO {target} ({names}) SELECT {typed} FROM {new} n"))
            connection.execute(sa.text(f"DROP TABLE {new}"))


def _types(connection: sa.Connection, arguments: argparse.Namespace, columns: list[str]) -> list[tuple[str, str]]:
    found = connection.execute(
        sa.text(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = :schema AND table_name = :table"
        ),
        {"schema": _SCHEMA, "table": arguments.table},
    )
    kinds = dict(found.tuples().all())
    return [(column, kinds[column]) for column in columns]


def _copy(table: Any, connection: Any, columns: list[str], rows: Iterable[Any]) -> None:
    """The method of pandas' documentation ("io.sql.method")."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    text.seek(0)
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table.schema}.{table.name} ({names}) FROM STDIN WITH CSV", text)


def _into_duckdb(arguments: argparse.Namespace, chunks: Iterable[pd.DataFrame]) -> None:
    import duckdb

    table = f"{_SCHEMA}.{arguments.table}"
    with duckdb.connect(arguments.target.removeprefix("duckdb://")) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}")
        for number, chunk in enumerate(chunks):
            connection.register("chunk", chunk)
            if arguments.since:
                connection.execute(f"DELETE FROM {table} WHERE {arguments.key} IN (SELECT {arguments.key} FROM chunk)")
            if number or arguments.since:
                connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM chunk")
            else:
                connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM chunk")


if __name__ == "__main__":
    main()

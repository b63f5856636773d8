"""A conventional nightly job: every table reloaded in full, row by row, one after another.

Run by the Python of pandas' own environment; imports nothing of this project. Log files are read once each: last
night's are appended. One transaction per table, prepared statements, no index in the way.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa

_SCHEMA = "bench"


def main() -> None:
    """Do what such a job does in a night."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="mysql://")
    parser.add_argument("--target", required=True, help="postgresql://")
    parser.add_argument("--tables", required=True, nargs="+")
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="JSON lines, appended to the table events")
    arguments = parser.parse_args()
    source = sa.create_engine("mysql+pymysql" + arguments.source[arguments.source.index(":") :])
    target = sa.create_engine("postgresql+psycopg2" + arguments.target[arguments.target.index(":") :])
    with target.begin() as connection:
        connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}"))
    for table in arguments.tables:
        with source.connect() as connection:
            _write(pd.read_sql(sa.text(f"SELECT * FROM {table}"), connection), table, target, reload=True)
    for file in arguments.files:
        # Numbers that may be missing stay numbers; moments stay the text that they are.
        rows = pd.read_json(file, lines=True, convert_dates=False, dtype_backend="numpy_nullable")
        _write(rows, "events", target, reload=False)


def _write(rows: pd.DataFrame, table: str, target: sa.Engine, *, reload: bool) -> None:
    with target.begin() as connection:
        if not sa.inspect(connection).has_table(table, schema=_SCHEMA):
            rows.head(0).to_sql(table, connection, schema=_SCHEMA, index=False)
        elif reload:
            connection.execute(sa.text(f"DELETE FROM {_SCHEMA}.{table}"))
        insert = sa.Table(table, sa.MetaData(), autoload_with=connection, schema=_SCHEMA).insert()
        plain: Any = rows.astype(object).where(rows.notna(), None)
        for row in plain.to_dict("records"):
            connection.execute(insert, row)


if __name__ == "__main__":
    main()

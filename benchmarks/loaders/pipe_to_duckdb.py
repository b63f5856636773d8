"""The second half of the raw text pipe: reads tab-separated rows from the standard input into DuckDB."""

from __future__ import annotations

import argparse

import duckdb


def main() -> None:
    """Load or merge what arrives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True)
    parser.add_argument("--table", required=True)
    parser.add_argument("--columns", required=True, help="name and DuckDB type, as in a CREATE TABLE")
    parser.add_argument("--null", required=True, help="how the text says that there is no value")
    parser.add_argument("--key", help="merge by this column")
    arguments = parser.parse_args()
    fields = [field.strip().split(" ", 1) for field in arguments.columns.split(";")]
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in fields)
    rows = (
        "read_csv('/dev/stdin', delim='\\t', header=false, quote='', escape='', auto_detect=false,"
        f" nullstr='{arguments.null}', columns={{{columns}}})"
    )
    with duckdb.connect(arguments.target.removeprefix("duckdb://")) as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA IF NOT EXISTS bench")
        if arguments.key:
            connection.execute(
                f"MERGE INTO {arguments.table} USING (FROM {rows}) USING ({arguments.key})"
                " WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
            )
        else:
            connection.execute(f"CREATE TABLE {arguments.table} AS FROM {rows}")


if __name__ == "__main__":
    main()

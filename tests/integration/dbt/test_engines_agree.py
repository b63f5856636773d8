"""One set of models: DuckDB and PostgreSQL give the same tables, to the last row, type and digit."""

from __future__ import annotations

from tests.integration.dbt.warehouses import DuckDBWarehouse, PostgresWarehouse


def test_both_engines_have_the_same_tables(built_duckdb: DuckDBWarehouse, built_postgres: PostgresWarehouse) -> None:
    assert built_duckdb.tables() == built_postgres.tables()
    assert ("build_sales", "fct_daily_sales") in built_duckdb.tables()


def test_every_table_has_the_same_columns_and_types(
    built_duckdb: DuckDBWarehouse, built_postgres: PostgresWarehouse
) -> None:
    for schema, table in built_duckdb.tables():
        if schema.startswith("build_"):
            assert built_duckdb.columns(schema, table) == built_postgres.columns(schema, table), table


def test_every_table_has_the_same_rows(built_duckdb: DuckDBWarehouse, built_postgres: PostgresWarehouse) -> None:
    for schema, table in built_duckdb.tables():
        rows = built_duckdb.rows(schema, table)
        assert rows == built_postgres.rows(schema, table), f"{schema}.{table}"
        assert rows, f"the hand-made rows leave {schema}.{table} empty, so nothing is compared"

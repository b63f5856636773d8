"""The hand-made rows in one warehouse of each engine, with the whole dbt project built on them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from resources.embedded import EmbeddedPostgres
from tests.integration.dbt.hand_made_rows import ROWS
from tests.integration.dbt.warehouses import DuckDBWarehouse, PostgresWarehouse

TIME_ZONE = "Europe/Berlin"
"""The reporting time zone of the hand-made company: at times of day the rows were chosen for, not UTC's day."""


@pytest.fixture(scope="session")
def built_duckdb(tmp_path_factory: pytest.TempPathFactory) -> DuckDBWarehouse:
    """A DuckDB warehouse with everything built and tested by dbt."""
    warehouse = DuckDBWarehouse(tmp_path_factory.mktemp("dbt_duckdb"))
    warehouse.fill_raw(ROWS)
    warehouse.dbt("build", SHOPSPHERE_REPORTING_TIME_ZONE=TIME_ZONE)
    return warehouse


@pytest.fixture(scope="session")
def built_postgres(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PostgresWarehouse]:
    """A PostgreSQL warehouse with everything built and tested by dbt.

    Its sessions run in a far time zone, on which no model may depend.
    """
    name = "dbt_models"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
        connection.execute(f"alter database {name} set timezone to 'Asia/Kolkata'")
    warehouse = PostgresWarehouse(postgres_server.url(name), tmp_path_factory.mktemp("dbt_postgres"))
    warehouse.fill_raw(ROWS)
    warehouse.dbt("build", SHOPSPHERE_REPORTING_TIME_ZONE=TIME_ZONE)
    yield warehouse
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")

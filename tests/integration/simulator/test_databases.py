"""The simulated databases hold, on real servers, exactly the rows that the world handed out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

import polars as pl
import psycopg
import pymysql
import pytest
from psycopg import sql

from simulator.databases import MySqlSink, PostgresSink, shop_sink
from simulator.sinks import Day, SimulatorError, Sink
from simulator.world import KEYS, World

Rows = set[tuple[Any, ...]]


@pytest.fixture(scope="module")
def days() -> list[Day]:
    world = World(2, 0.02, error_rate=0.15)
    return [*world.days(0, 3), *world.days(30, 32)]


def _expected(days: list[Day], table: str) -> pl.DataFrame:
    frame = pl.concat([day.tables[table] for day in days]).unique(KEYS[table], keep="last")
    for day in days:
        if table in day.deleted:
            frame = frame.join(day.deleted[table], on=KEYS[table], how="anti")
    return frame


def _postgres_rows(url: str, table: str) -> Rows:
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        return set(connection.execute(sql.SQL("select * from {}").format(sql.Identifier(table))).fetchall())


def _mysql(url: str) -> pymysql.connections.Connection[pymysql.cursors.Cursor]:
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/"),
        charset="utf8mb4",
    )


@pytest.fixture(params=["load", "insert"])
def mysql_sink(request: pytest.FixtureRequest, mariadb_url: str) -> Iterator[MySqlSink]:
    """A sink on a server that allows LOAD DATA LOCAL, and on one that does not."""
    with closing(_mysql(mariadb_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL local_infile = %s", (int(request.param == "load"),))
        yield MySqlSink(mariadb_url)
        cursor.execute("SET GLOBAL local_infile = 1")


@pytest.mark.parametrize("source", ["shop_db", "catalogue_db"])
def test_postgresql_holds_the_last_version_of_every_row(postgres_url: str, days: list[Day], source: str) -> None:
    sink = PostgresSink(postgres_url, source)
    for day in days:
        sink.write(day)
    for table in (name for name in KEYS if name.startswith(f"{source}/")):
        assert _postgres_rows(postgres_url, table.split("/")[1]) == set(_expected(days, table).rows()), table


def test_mysql_holds_the_last_version_of_every_row(mysql_sink: MySqlSink, mariadb_url: str, days: list[Day]) -> None:
    for day in days:
        mysql_sink.write(day)
    with closing(_mysql(mariadb_url)) as connection, connection.cursor() as cursor:
        for table in (name for name in KEYS if name.startswith("shop_db/")):
            expected = _expected(days, table)
            moments = [name for name, dtype in expected.schema.items() if isinstance(dtype, pl.Datetime)]
            flags = [name for name, dtype in expected.schema.items() if dtype == pl.Boolean]
            as_stored = expected.with_columns(pl.col(moments).dt.replace_time_zone(None), pl.col(flags).cast(pl.Int64))
            cursor.execute(f"SELECT * FROM {table.split('/')[1]}")
            assert set(cursor.fetchall()) == set(as_stored.rows()), table


def test_writing_a_day_again_changes_nothing(postgres_url: str, mariadb_url: str, days: list[Day]) -> None:
    postgres, mysql = PostgresSink(postgres_url), MySqlSink(mariadb_url)
    for day in days[:3]:
        postgres.write(day)
        mysql.write(day)
    before = _postgres_rows(postgres_url, "orders")
    postgres.write(days[2])
    mysql.write(days[2])
    assert _postgres_rows(postgres_url, "orders") == before
    with closing(_mysql(mariadb_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM orders")
        assert cursor.fetchone() == (len(before),)


def _with_a_broken_payments_table(day: Day) -> Day:
    broken = day.tables["shop_db/payments"].with_columns(pl.lit("x").alias("no_such_column"))
    return replace(day, tables={**day.tables, "shop_db/payments": broken})


def test_a_day_that_fails_leaves_nothing_in_postgresql(postgres_url: str, days: list[Day]) -> None:
    _assert_all_or_nothing(PostgresSink(postgres_url), lambda: _postgres_rows(postgres_url, "orders"), days)


def test_a_day_that_fails_leaves_nothing_in_mysql(mariadb_url: str, days: list[Day]) -> None:
    def rows() -> Rows:
        with closing(_mysql(mariadb_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT * FROM orders")
            return set(cursor.fetchall())

    _assert_all_or_nothing(MySqlSink(mariadb_url), rows, days)


def _assert_all_or_nothing(sink: Sink, rows: Any, days: list[Day]) -> None:
    sink.write(days[0])
    before = rows()
    with pytest.raises(SimulatorError, match="day 1"):
        sink.write(_with_a_broken_payments_table(days[1]))
    assert rows() == before
    sink.write(days[1])
    assert rows() != before


@pytest.mark.parametrize("url", ["postgresql://user:secret@127.0.0.1:1/shop", "mysql://user:secret@127.0.0.1:1/shop"])
def test_a_server_that_is_not_there_is_named_without_its_password(url: str, days: list[Day]) -> None:
    with pytest.raises(SimulatorError, match=r"127\.0\.0\.1:1/shop") as caught:
        shop_sink(url).write(days[0])
    assert "secret" not in str(caught.value)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(SimulatorError, match="neither mysql nor postgresql"):
        shop_sink("oracle://user:secret@host/shop")

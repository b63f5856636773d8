"""Killed at any commit point, with any engine, the next run goes on as if nothing had happened."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from resources.commit_points import CommitPoint
from resources.embedded import EmbeddedPostgres
from tests import servers
from tests.exactly_once.matrix import POINTS, Matrix
from tests.exactly_once.platform import Place, duckdb_place
from tests.exactly_once.sources import ShopSource


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def matrix(
    request: pytest.FixtureRequest,
    binlog_server: str,
    postgres_server: EmbeddedPostgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Matrix]:
    """A platform on each engine whose shop, on MariaDB, has changed."""
    home, name = tmp_path_factory.mktemp("matrix"), f"matrix_{secrets.token_hex(4)}"
    servers.mariadb_execute(binlog_server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    shop = ShopSource(f"{binlog_server}/{name}", home / "files")
    place = duckdb_place(home / "platform", shop)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        if request.param == "postgres":
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
            place = Place(home / "platform", postgres_server.url(name), shop)
        yield Matrix.prepared(place, home)
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
    servers.mariadb_execute(binlog_server, f"DROP DATABASE {name}")


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_the_end_is_that_of_an_unbroken_run(matrix: Matrix, point: CommitPoint) -> None:
    assert matrix.case(point) == []

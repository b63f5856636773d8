"""The benchmark of loads holds every contestant to what the source has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.contestants import CONTESTANTS, OURS, Contestant, Job
from benchmarks.load import Contest, summary
from benchmarks.measuring import Command
from benchmarks.servers import Servers
from benchmarks.shop import Shop
from resources.embedded import EmbeddedPostgres
from tests.servers import mariadb_execute

DATABASE = "benchmarked_shop"


@pytest.fixture
def servers(mariadb_server: str, postgres_server: EmbeddedPostgres) -> Iterator[Servers]:
    postgres = postgres_server.url("postgres").removesuffix("/postgres")
    yield Servers(mariadb_server, postgres, ())
    mariadb_execute(mariadb_server, f"DROP DATABASE IF EXISTS {DATABASE}")


@pytest.fixture
def shop(servers: Servers) -> Shop:
    shop = Shop(servers.mariadb(DATABASE), orders=1_000, items=1_500)
    shop.fill()
    return shop


def contestant(name: str) -> Contestant:
    return next(contestant for contestant in CONTESTANTS if contestant.name == name)


def test_ours_and_the_pipe_load_and_merge_what_the_source_has(servers: Servers, shop: Shop, tmp_path: Path) -> None:
    assert (shop.totals("orders").rows, shop.totals("order_items").rows) == (1_000, 1_500)
    contest = Contest(servers, shop, [contestant(OURS), contestant("pipe")], tmp_path)
    contest.run(["orders"], ["postgresql", "duckdb"], rounds=1, changes=100)
    assert [result.fault for result in contest.results] == [None] * 8
    assert shop.totals("orders").rows == 1_010
    lines = summary(contest.results)
    assert {(line["task"], line["engine"], line["contestant"]) for line in lines} == {
        (task, engine, name)
        for task in ("full load", "incremental")
        for engine in ("postgresql", "duckdb")
        for name in (OURS, "pipe")
    }
    assert all(line["to_ours"] == 1 for line in lines if line["contestant"] == OURS)


def test_a_load_that_lacks_rows_does_not_count(servers: Servers, shop: Shop, tmp_path: Path) -> None:
    pipe = contestant("pipe")

    def forgetful(job: Job, programs: Path) -> Command:
        command = pipe.command(job, programs)
        script = command.arguments[2].replace("SELECT * FROM orders", "SELECT * FROM orders LIMIT 999")
        return Command([*command.arguments[:2], script], command.environment)

    contest = Contest(servers, shop, [Contestant("forgetful", forgetful)], tmp_path)
    contest.run(["orders"], ["postgresql"], rounds=1, changes=0)
    [result] = contest.results
    assert result.fault == "it has 999 rows, the source 1,000"
    assert math.isnan(result.seconds), "a run that does not count has no time"

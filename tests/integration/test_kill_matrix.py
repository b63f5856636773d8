"""Killed at any commit point, with any engine, the next run goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from resources.commit_points import CommitPoint
from resources.embedded import EmbeddedPostgres
from tests.exactly_once.matrix import POINTS, Matrix
from tests.exactly_once.places import prepared_place


@pytest.fixture(scope="module")
def matrices(
    binlog_server: str, postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Matrix]]:
    """A platform on each engine whose shop, on MariaDB, has changed."""
    with ExitStack() as stack:
        found = {}
        for engine in ("duckdb", "postgres"):
            home = tmp_path_factory.mktemp(engine)
            place = stack.enter_context(prepared_place(engine, home, binlog_server, postgres_server))
            found[engine] = Matrix.prepared(place, home)
        yield found


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_the_end_is_that_of_an_unbroken_run(
    matrices: dict[str, Matrix], point: CommitPoint
) -> None:
    with ThreadPoolExecutor() as pool:
        cases = {engine: pool.submit(matrix.case, point) for engine, matrix in matrices.items()}
    assert {engine: case.result() for engine, case in cases.items()} == {engine: [] for engine in matrices}

"""A short soak; ``make soak`` runs a long one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from resources.embedded import EmbeddedPostgres
from tests.exactly_once.places import prepared_place, warehouse_at
from tests.exactly_once.soak import soak


@pytest.mark.parametrize(("engine", "source"), [("duckdb", "binlog_server"), ("postgres", "wal_server")])
def test_killed_at_random_while_writers_work_the_end_is_the_source(
    engine: str, source: str, postgres_server: EmbeddedPostgres, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(source)
    with (
        prepared_place(engine, tmp_path, server, postgres_server) as place,
        warehouse_at("duckdb", tmp_path / "fresh", place.shop, postgres_server) as fresh,
    ):
        found = soak(place, replace(fresh, log_name="fresh"), cycles=6, seed=6, scratch=tmp_path)
    assert found.differences == []
    assert found.killed_at.total() + found.completed == found.cycles
    assert found.killed_at

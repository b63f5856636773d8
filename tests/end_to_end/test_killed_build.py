"""A run that is killed around dbt publishes nothing half built, and the next one ends as if nothing had happened.

The other commit points stand in ``tests/integration/test_kill_matrix.py``, which leaves out Dagster and dbt.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
from psycopg import sql

from resources.commit_points import CommitPoint
from resources.embedded import EmbeddedPostgres
from resources.reading import Chunk
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from tests.end_to_end.conftest import Loaded
from tests.end_to_end.pipeline import TABLES, Platform
from tests.exactly_once.matrix import BUILD_POINTS

# What `shopsphere run` does after ingestion, for what is made of refunds; killed at a point where one is named.
RUN = """
import os, signal, sys
import dagster as dg
from resources.commit_points import listening
from shopsphere_assets.definitions import defs
from shopsphere_assets.defs.operations.schedules import BUILD_JOB

def listen(point):
    if point == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)

location = dg.Definitions.merge(defs())
graph = location.resolve_asset_graph()
job = location.resolve_job_def(BUILD_JOB)
wanted = dg.AssetSelection.assets(["raw", "shop_db", "refunds"]).downstream()
keys = wanted.resolve(graph) & set(job.asset_layer.executable_asset_keys)
with listening(listen), dg.DagsterInstance.ephemeral() as instance:
    sys.exit(not job.execute_in_process(instance=instance, asset_selection=sorted(keys), raise_on_error=True).success)
"""


def run(platform: Platform, point: CommitPoint | None = None) -> int:
    """Build and publish in a process of its own, killed at ``point``; its exit status."""
    with platform.environment():
        finished = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", RUN, point or ""],
            capture_output=True,
            text=True,
            # What is killed leaves its temporary folders behind.
            env={**os.environ, "TMPDIR": str(platform.home)},
        )
    if finished.returncode > 0:
        raise AssertionError(finished.stdout[-2000:] + finished.stderr[-4000:])
    return finished.returncode


@contextmanager
def copy_of(platform: Platform, home: Path, server: EmbeddedPostgres) -> Iterator[Platform]:
    """A copy of a platform that nobody uses, with its warehouse."""
    shutil.copytree(platform.home, home, symlinks=True)
    variables = {name: text for name, text in platform.variables.items() if name != "SHOPSPHERE_HOME"}
    if platform.warehouse.dialect == "duckdb":
        yield Platform(home, variables)
        return
    original, name = urlsplit(platform.settings.warehouse).path[1:], f"build_{home.name}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(original))
        connection.execute(copy)
        try:
            yield Platform(home, {**variables, "SHOPSPHERE_WAREHOUSE_URL": server.url(name)})
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def change(platform: Platform) -> None:
    """A further batch: some refunds are gone from the source."""
    table = TABLES["shop_db/refunds"]
    keys = platform.query(f"select refund_id from {table.definition} order by 1 limit 5")
    gone = Chunk(rows=pl.DataFrame(), bytes_read=0, deleted=keys)
    destination = Destination(platform.warehouse, platform.settings.lake)
    assert load_chunks(table, [gone], destination, run_id="change", kind="reconciliation", order_by=None)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("loaded", ["embedded", "on_servers"])
def test_killed_around_dbt_readers_keep_their_version_and_the_next_run_publishes_the_right_one(
    loaded: str, request: pytest.FixtureRequest, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    built: Loaded = request.getfixturevalue(loaded)
    with copy_of(built.platform, tmp_path / f"{loaded}_changed", postgres_server) as changed:
        change(changed)
        with copy_of(changed, tmp_path / f"{loaded}_unbroken", postgres_server) as unbroken:
            before = unbroken.marts()
            assert run(unbroken) == 0
            expected = unbroken.marts()
        assert not expected["sales.fct_refunds"].equals(before["sales.fct_refunds"])
        for point in BUILD_POINTS:
            assert run(changed, point) == -signal.SIGKILL
            published = changed.warehouse.current_publication()
            assert published is not None
            assert published.version == 1
        assert run(changed) == 0
        marts = changed.marts()
    assert marts.keys() == expected.keys()
    assert [name for name, rows in expected.items() if not marts[name].equals(rows)] == []

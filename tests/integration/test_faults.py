"""Servers that restart, connections that break, runs that meet, clocks that go back: the end is always the source.

Each fault strikes in the middle of a run, which may fail but with a passing error only; after at most one more run
the warehouse holds what an undisturbed one does. Full disks and shut doors stand in ``tests/end_to_end``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from resources import sql_source
from resources.commit_points import CommitPoint, listening
from resources.embedded import LOGICAL_DECODING, EmbeddedPostgres
from resources.errors import TransientError
from shopsphere_assets.ingestion import batch, extract
from tests.exactly_once.places import prepared_place, warehouse_at
from tests.exactly_once.platform import Place, Running, compared, content, run_once
from tests.exactly_once.proxy import proxied
from tests.exactly_once.sources import changed_state, first_state

ENGINES = ("duckdb", "postgres")
SOURCES = ("binlog_server", "wal_server")
MANY = 2_000


@pytest.fixture(scope="module")
def restarted_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server that tests restart."""
    settings = {**LOGICAL_DECODING, "synchronous_commit": "on"}
    with (
        TemporaryDirectory(prefix="shopsphere-restarted-") as folder,
        EmbeddedPostgres(Path(folder), databases=(), settings=settings) as server,
    ):
        yield server


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows come in so small pieces that a table of some thousand rows is long under way."""
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 500)
    monkeypatch.setattr("resources.reading.gathered.__defaults__", (1_000,))


def crash(server: EmbeddedPostgres) -> None:
    """End the server's processes at once, as a power cut does, and start it again."""
    number = int((server.home / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(number, signal.SIGQUIT)
    server.stop()
    server.start()


def once(point: CommitPoint, action: Callable[[], None], *, at: int = 1) -> Callable[[CommitPoint], None]:
    """A listener that acts when ``point`` is reached the ``at``-th time."""
    left = at

    def listen(reached: CommitPoint) -> None:
        nonlocal left
        if reached == point:
            left -= 1
            if left == 0:
                action()

    return listen


def fill(place: Place) -> None:
    """A shop with a large table, once read and then changed."""
    first_state(place.shop)
    place.shop.execute(place.shop.insert("refunds", *range(10_000, 10_000 + MANY)))
    run_once(place)
    changed_state(place.shop)
    place.shop.execute(place.shop.insert("refunds", *range(100_000, 100_000 + MANY)))


def assert_ends_well(place: Place, tmp_path: Path, server: EmbeddedPostgres) -> None:
    """A further run ends where one into an empty warehouse does."""
    run_once(place)
    with warehouse_at("duckdb", tmp_path / "fresh", place.shop, server) as fresh:
        run_once(replace(fresh, log_name="fresh"))
        expected = content(fresh, only_standing=True)
    assert len(expected.relations["raw.shop_db__refunds"]) > MANY
    assert compared(place, expected, tmp_path / "replayed", only_standing=True) == []


@contextmanager
def may_fail_in_passing() -> Iterator[list[TransientError]]:
    """Whatever fails within is a passing error."""
    failures: list[TransientError] = []
    try:
        yield failures
    except TransientError as error:
        failures.append(error)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_that_crashes_while_it_is_read_costs_at_most_a_run(
    engine: str, restarted_server: EmbeddedPostgres, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with prepared_place(engine, tmp_path, restarted_server, postgres_server) as place:
        fill(place)
        struck = []

        def strike() -> None:
            struck.append(True)
            crash(restarted_server)

        with listening(once(CommitPoint.READ, strike, at=3)), may_fail_in_passing():
            run_once(place)
        assert struck
        assert_ends_well(place, tmp_path, postgres_server)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("engine", "source"), list(zip(ENGINES, SOURCES, strict=True)))
def test_a_connection_to_the_source_that_is_cut_midway_costs_at_most_a_run(
    engine: str, source: str, postgres_server: EmbeddedPostgres, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with prepared_place(engine, tmp_path, request.getfixturevalue(source), postgres_server) as place:
        fill(place)
        with proxied(place.shop.url) as (url, proxy):
            shaky = replace(place, shop=replace(place.shop, url=url))
            proxy.cut_after_received(70_000)
            with may_fail_in_passing():
                run_once(shaky)
            assert proxy.cuts == 1
        assert_ends_well(place, tmp_path, postgres_server)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("point", [CommitPoint.MERGED, CommitPoint.COMMITTING])
def test_a_warehouse_that_crashes_before_its_commit_holds_nothing_of_the_batch(
    point: CommitPoint, binlog_server: str, restarted_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with prepared_place("postgres", tmp_path, binlog_server, restarted_server) as place:
        fill(place)
        before = content(place)
        with listening(once(point, lambda: crash(restarted_server))), pytest.raises(TransientError):
            run_once(place)
        assert content(place).differences(before) == []
        assert_ends_well(place, tmp_path, restarted_server)


def test_a_commit_whose_answer_is_lost_is_done_once(
    binlog_server: str, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with prepared_place("postgres", tmp_path, binlog_server, postgres_server) as place:
        fill(place)
        with proxied(place.url) as (url, proxy):
            with (
                listening(once(CommitPoint.COMMITTING, lambda: proxy.cut_after_received(0))),
                pytest.raises(TransientError),
            ):
                run_once(replace(place, url=url))
            assert proxy.cuts == 1
        assert_ends_well(place, tmp_path, postgres_server)


def test_a_connection_to_the_warehouse_that_is_cut_while_rows_are_copied_leaves_nothing(
    binlog_server: str, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with prepared_place("postgres", tmp_path, binlog_server, postgres_server) as place:
        fill(place)
        before = content(place)
        with proxied(place.url) as (url, proxy):
            proxy.cut_after_sent(70_000)
            with pytest.raises(TransientError):
                run_once(replace(place, url=url))
            assert proxy.cuts == 1
        assert content(place).differences(before) == []
        assert_ends_well(place, tmp_path, postgres_server)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_runs_at_once_both_end_well_and_double_nothing(
    engine: str, binlog_server: str, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    with prepared_place(engine, tmp_path, binlog_server, postgres_server) as place:
        fill(place)
        runs = [Running(place) for _ in range(2)]
        assert [(each.wait(), each.error) for each in runs] == [(0, ""), (0, "")]
        assert_ends_well(place, tmp_path, postgres_server)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_clock_that_is_set_back_hides_no_change(
    engine: str,
    binlog_server: str,
    postgres_server: EmbeddedPostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def set_clock(difference: timedelta) -> None:
        for module in (batch, extract):
            monkeypatch.setattr(module, "utc_now", lambda: datetime.now(UTC) + difference)

    with prepared_place(engine, tmp_path, binlog_server, postgres_server) as place:
        set_clock(timedelta(days=3))
        fill(place)
        set_clock(timedelta(0))
        run_once(place)
        newest: list[dict[str, Any]] = (
            place.warehouse()
            .query("SELECT batch_id FROM ledger.batches WHERE table_name = 'refunds' ORDER BY sequence DESC LIMIT 1")
            .to_pylist()
        )
        published = place.warehouse().read_publication(
            "SELECT batch_id FROM publication.sources WHERE table_name = 'refunds'"
        )
        assert published.to_pylist() == newest
        assert_ends_well(place, tmp_path, postgres_server)

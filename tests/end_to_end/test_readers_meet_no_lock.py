"""Readers of the marts get an answer, and a whole one, at any moment while builds and publications go on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from resources.embedded import EmbeddedPostgres
from tests.end_to_end.pipeline import DATABASE_SOURCES, Platform, Shop, postgres_database, simulated_shop
from tests.end_to_end.reader import PACE_SECONDS, answer_of, platform_reader

pytestmark = pytest.mark.timeout(600)

FIRST_DAYS = 5
DAYS_BETWEEN = 2
BUILDS = 2
PUBLICATIONS_A_BUILD = 4
"""More publications than builds, so that old versions are dropped from under the readers' feet as well."""
PATIENCE_SECONDS = 200

TOTALS = """
    (select count(*) from {prefix}sales.fct_orders) as orders,
    (select sum(items_amount) from {prefix}sales.fct_orders where is_sale) as of_orders,
    (select sum(line_amount) from {prefix}sales.fct_order_items where is_sale) as of_items,
    (select sum(gross_amount) from {prefix}sales.fct_daily_sales) as of_days
"""
QUERY = f"select version, {TOTALS.format(prefix='')} from publication.info"
ONE_MART = "select count(*), sum(gross_amount) from sales.fct_daily_sales"


@dataclass
class Reader:
    """One reader: the answers that it got, and what tells others that there is a new one."""

    name: str
    news: threading.Condition
    answers: list[list[str]] = field(default_factory=list)

    def take(self, answer: list[str]) -> None:
        """Note an answer."""
        with self.news:
            self.answers.append(answer)
            self.news.notify_all()


class Readers:
    """Readers in threads and processes, all at work at once."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        self.all: list[Reader] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._processes: list[subprocess.Popen[str]] = []

    def in_thread(self, name: str, ask: Callable[[], list[str]]) -> None:
        """Ask again and again in a thread."""
        reader = Reader(name, self.news)

        def work() -> None:
            while not self._stop.wait(PACE_SECONDS):
                reader.take(ask())

        self._start(reader, work)

    def in_process(self, name: str, repository: Path, *arguments: str) -> None:
        """Ask again and again in a process of its own (:mod:`tests.end_to_end.reader`)."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.reader", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=repository,
            text=True,
        )
        self._processes.append(process)
        reader = Reader(name, self.news)

        def work() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                reader.take(json.loads(line))

        self._start(reader, work)

    def _start(self, reader: Reader, work: Callable[[], None]) -> None:
        self.all.append(reader)
        self._threads.append(threading.Thread(target=work, name=reader.name))
        self._threads[-1].start()

    def wait_until_all_see(self, *answers: list[str]) -> None:
        """Until the latest answer of every reader is one of ``answers``, or an error."""
        with self.news:
            everyone = self.news.wait_for(
                lambda: all(
                    reader.answers and (reader.answers[-1] in answers or is_error(reader.answers[-1]))
                    for reader in self.all
                ),
                PATIENCE_SECONDS,
            )
        assert everyone, {reader.name: reader.answers[-1:] for reader in self.all}

    def stop(self) -> None:
        """Let every reader finish its question and end."""
        self._stop.set()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        for process in self._processes:
            process.wait(PATIENCE_SECONDS)
            assert process.stdout is not None
            process.stdout.close()


@contextmanager
def readers_at_work(platform: Platform, repository: Path) -> Iterator[Readers]:
    """Five readers: threads with a common and with their own connection, and two processes."""
    url = platform.settings.warehouse
    readers = Readers()
    shared = platform_reader(url, QUERY)
    try:
        readers.in_thread("first thread", lambda: answer_of(shared))
        readers.in_thread("second thread", lambda: answer_of(shared))
        readers.in_thread("one-off commands", lambda: answer_of(platform_reader(url, QUERY)))
        readers.in_process("process", repository, "platform", url, QUERY)
        current = platform.warehouse.current_publication()
        assert current is not None
        if platform.warehouse.dialect == "duckdb":
            file = Path(current.location).with_name("current.duckdb")
            readers.in_process("tool", repository, "tool", str(file), QUERY)
        else:
            # What spans two marts needs the platform's reader, or a moment without a switch.
            readers.in_process("tool", repository, "tool", url, ONE_MART)
        yield readers
    finally:
        readers.stop()


@pytest.fixture(params=["duckdb", "postgres"])
def living(
    request: pytest.FixtureRequest, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> Iterator[tuple[Shop, Platform]]:
    """A small shop of a few days, and a platform on the engine in question that has published it."""
    with ExitStack() as stack:
        databases = {
            source: stack.enter_context(postgres_database(postgres_server, source)) for source in DATABASE_SOURCES
        }
        shop = stack.enter_context(simulated_shop(tmp_path / "shop", databases, days=FIRST_DAYS, scale=0.02))
        stores = {}
        if request.param == "postgres":
            stores["SHOPSPHERE_WAREHOUSE_URL"] = stack.enter_context(postgres_database(postgres_server, "marts"))
        platform = Platform(tmp_path / "home", shop.variables | stores)
        platform.ingest(*DATABASE_SOURCES)
        platform.dbt("run")
        platform.publish()
        yield shop, platform


def is_error(answer: list[str]) -> bool:
    """Whether an answer is the text of an error."""
    return len(answer) == 1


@dataclass(frozen=True)
class Built:
    """What readers must get of the marts that stand built: the totals, and the answer about one mart."""

    totals: list[str]
    one_mart: list[str]


def built(platform: Platform) -> Built:
    """The answers that the marts in the build's schemas give."""
    texts = [f"select {TOTALS.format(prefix='build_')}", ONE_MART.replace("sales.", "build_sales.")]
    totals, one_mart = ([str(value) for value in platform.query(text).row(0)] for text in texts)
    return Built(totals, one_mart)


def test_no_reader_meets_a_lock_or_a_half_built_mart(living: tuple[Shop, Platform], repository: Path) -> None:
    """While builds and publications run in a loop, every answer is one version's, whole and without an error."""
    shop, platform = living
    known = {"1": built(platform)}
    with readers_at_work(platform, repository) as readers:
        readers.wait_until_all_see(["1", *known["1"].totals], known["1"].one_mart)
        for _ in range(BUILDS):
            shop.advance(DAYS_BETWEEN)
            platform.ingest(*DATABASE_SOURCES)
            platform.dbt("run", "--select", "+path:models/marts/sales")
            now = built(platform)
            for _ in range(PUBLICATIONS_A_BUILD):
                version = str(platform.publish().version)
                known[version] = now
                readers.wait_until_all_see([version, *now.totals], now.one_mart)
    assert len(known) == 1 + BUILDS * PUBLICATIONS_A_BUILD
    assert len({tuple(now.totals) for now in known.values()}) == 1 + BUILDS
    for reader in readers.all:
        assert [answer for answer in reader.answers if is_error(answer)] == [], reader.name
        if len(reader.answers[0]) == 2:
            assert all(answer in [now.one_mart for now in known.values()] for answer in reader.answers), reader.name
            continue
        for version, *totals in reader.answers:
            assert totals == known[version].totals, reader.name
            assert totals[1] == totals[2] == totals[3], reader.name
        versions = [int(answer[0]) for answer in reader.answers]
        assert versions == sorted(versions), reader.name
        assert {str(version) for version in versions} == set(known), reader.name

"""Bad input at every door: a message that says what, where and what to do; the rest goes on; a rerun mends it.

Several doors that do not concern the same source are shut in one run, so that each also shows what the failure of
the others leaves alone.
"""

from __future__ import annotations

import gzip
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
import stamina

from resources.embedded import EmbeddedPostgres
from shopsphere_assets.defs import platform as platform_module
from tests import servers
from tests.end_to_end.pipeline import (
    DATABASE_SOURCES,
    TABLES,
    AssetRun,
    Platform,
    Shop,
    postgres_database,
    simulated_shop,
)

pytestmark = pytest.mark.filterwarnings("ignore:AssetExecutionContext.run_id is deprecated:DeprecationWarning")

SECRET = "hunter2-must-not-be-told"
"""The wrong password; the right ones are checked for as well."""
DAYS = 17
"""The export of tickets on day 15 is a compressed one, which a test breaks off itself."""

Variables = dict[str, str]
Shut = Callable[["Doors"], AbstractContextManager[Variables]]


@dataclass(frozen=True)
class Doors:
    """The shop behind the doors, and its MariaDB database."""

    shop: Shop
    mariadb: str

    def file(self, pattern: str) -> Path:
        """The last of the files whose path below the drop folders matches."""
        return sorted((self.shop.home / "files").glob(pattern))[-1]


@pytest.fixture(scope="module", autouse=True)
def _no_waiting() -> Iterator[None]:
    """Retries as they are, without the pauses between them."""
    stamina.set_testing(True, attempts=3, cap=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platform_module, "_FIRST_RETRY_SECONDS", 0.0)
        yield
    stamina.set_testing(False)


@pytest.fixture(scope="module")
def doors(
    postgres_server: EmbeddedPostgres, mariadb_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Doors]:
    """A small shop on PostgreSQL and, the same, on MariaDB."""
    with ExitStack() as stack:
        databases = {
            source: stack.enter_context(postgres_database(postgres_server, source)) for source in DATABASE_SOURCES
        }
        name = "bad_doors"
        servers.mariadb_execute(mariadb_server, f"CREATE OR REPLACE DATABASE {name} CHARACTER SET utf8mb4")
        stack.callback(servers.mariadb_execute, mariadb_server, f"DROP DATABASE {name}")
        mariadb = f"{mariadb_server}/{name}"
        home = tmp_path_factory.mktemp("shop")
        yield Doors(
            stack.enter_context(simulated_shop(home, databases, days=DAYS, scale=0.01, mariadb=mariadb)), mariadb
        )


def platform_at(home: Path, doors: Doors, variables: Variables | None = None) -> Platform:
    """A platform on the shop that lets every row share into its marts; these batches are tiny."""
    more = {"SHOPSPHERE_QUARANTINE_LIMIT": "1", **(variables or {})}
    return Platform(home, doors.shop.variables | more)


@dataclass(frozen=True)
class Content:
    """What a platform holds: raw tables, quarantine and what its ledger says was read."""

    raw: dict[str, pl.DataFrame]
    quarantine: pl.DataFrame

    def differs(self, other: Content, labels: set[str]) -> list[str]:
        """Those of the raw tables that are not the same in the other, with their quarantine."""
        return [
            label
            for label in sorted(labels)
            if not (self.raw[label].equals(other.raw[label]) and self._set_aside(label).equals(other._set_aside(label)))
        ]

    def _set_aside(self, label: str) -> pl.DataFrame:
        columns = ["source", "table_name", "row_key", "position", "rules"]
        own = pl.format("{}/{}", "source", "table_name") == label
        return self.quarantine.filter(own).select(columns).sort(columns[:4])


def content_of(platform: Platform) -> Content:
    """What the platform holds now."""
    platform.warehouse.prepare()
    platform.warehouse.ensure_tables([table.definition for table in TABLES.values()])
    return Content({label: platform.raw(label) for label in TABLES}, platform.quarantine())


@pytest.fixture(scope="module")
def undisturbed(doors: Doors, tmp_path_factory: pytest.TempPathFactory) -> Content:
    """What a platform holds that met no shut door."""
    platform = platform_at(tmp_path_factory.mktemp("undisturbed"), doors)
    run = platform.run_assets()
    assert run.failures == {}
    assert run.materialized == set(TABLES)
    return content_of(platform)


# The sources' doors ----------------------------------------------------------------------------------------


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_password(url: str, password: str) -> str:
    """The URL with another password."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}").geturl()


@contextmanager
def database_away(scheme: str, source: str) -> Iterator[Variables]:
    """The address of a database server that does not run."""
    yield {f"SHOPSPHERE_{source.upper()}_URL": f"{scheme}://shop:{SECRET}@127.0.0.1:{free_port()}/shop"}


@contextmanager
def wrong_password(url: str, source: str) -> Iterator[Variables]:
    """The database's address with a password that it refuses."""
    yield {f"SHOPSPHERE_{source.upper()}_URL": with_password(url, SECRET)}


@contextmanager
def renamed_in_mariadb(doors: Doors, table: str, column: str) -> Iterator[Variables]:
    """A column of the shop that went by another name."""
    database = urlsplit(doors.mariadb).path.lstrip("/")
    server = doors.mariadb.rpartition("/")[0]
    rename = f"ALTER TABLE {database}.{table} RENAME COLUMN "
    servers.mariadb_execute(server, f"{rename}{column} TO renamed")
    try:
        yield {"SHOPSPHERE_SHOP_DB_URL": doors.mariadb}
    finally:
        servers.mariadb_execute(server, f"{rename}renamed TO {column}")


@contextmanager
def dropped_in_postgres(doors: Doors, table: str, column: str) -> Iterator[Variables]:
    """A column of the catalogue that went by another name."""
    url = doors.shop.databases["catalogue_db"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"alter table {table} rename column {column} to renamed".encode())
        try:
            yield {}
        finally:
            connection.execute(f"alter table {table} rename column renamed to {column}".encode())


@contextmanager
def faulty(doors: Doors, source: str, setting: str, value: float) -> Iterator[Variables]:
    """A service that shows a fault at every request."""
    faults = doors.shop.servers[source].faults
    before = getattr(faults, setting)
    setattr(faults, setting, value)
    try:
        yield {}
    finally:
        setattr(faults, setting, before)


@contextmanager
def folder_gone(doors: Doors, source: str) -> Iterator[Variables]:
    """A drop folder that is not there."""
    folder = doors.shop.folder(source)
    away = folder.rename(folder.with_name(f"{source}-unmounted"))
    try:
        yield {}
    finally:
        away.rename(folder)


@contextmanager
def file_with(doors: Doors, pattern: str, change: Callable[[bytes], bytes]) -> Iterator[Variables]:
    """A dropped file with another content."""
    file = doors.file(pattern)
    before = file.read_bytes()
    file.write_bytes(change(before))
    try:
        yield {}
    finally:
        file.write_bytes(before)


def without_header_of(column: bytes) -> Callable[[bytes], bytes]:
    """A change that gives a column of a delimited file another name."""

    def change(content: bytes) -> bytes:
        header, line_end, rest = content.partition(b"\n")
        assert column in header
        return header.replace(column, b"renamed") + line_end + rest

    return change


def broken_off(content: bytes) -> bytes:
    """The first half of a compressed file."""
    assert gzip.decompress(content)
    return content[: len(content) // 2]


SHOP_TABLES = tuple(label for label in TABLES if label.startswith("shop_db/"))
CATALOGUE_TABLES = tuple(label for label in TABLES if label.startswith("catalogue_db/"))
HUBSPOT_TABLES = tuple(label for label in TABLES if label.startswith("hubspot/"))
CRM_TABLES = tuple(label for label in TABLES if label.startswith("crm_files/"))
LOG_TABLES = tuple(label for label in TABLES if label.startswith("web_logs/"))


@dataclass(frozen=True)
class Door:
    """A way in which a source can be shut.

    ``fails``: the raw tables that cannot be read. ``what``, ``where``, ``remedy``: patterns that the message's
    three parts must match.
    """

    name: str
    fails: tuple[str, ...]
    shut: Shut
    what: str
    where: str
    remedy: str


RUNS: dict[str, list[Door]] = {
    "first": [
        Door(
            "unreachable MySQL", SHOP_TABLES, lambda _: database_away("mysql", "shop_db"),
            r"does not answer: .*refused", r"^mysql://shop@127\.0\.0\.1:\d+/shop$", r"server runs.*host and port",
        ),
        Door(
            "wrong PostgreSQL password", CATALOGUE_TABLES,
            lambda d: wrong_password(d.shop.databases["catalogue_db"], "catalogue_db"),
            r"refuses: .*password authentication failed", r"^postgresql://shopsphere@127\.0\.0\.1:\d+/", r"password",
        ),
        Door(
            "API answers HTML", HUBSPOT_TABLES, lambda d: faulty(d, "hubspot", "p_html", 1.0),
            r"web page came instead of JSON", r"^http://127\.0\.0\.1:\d+/", r"base URL.*proxy",
        ),
        Door(
            "API answers 401", ("reviews/reviews",), lambda d: faulty(d, "reviews", "expired_after", 0),
            r"answered 401", r"^http://127\.0\.0\.1:\d+/v1/reviews", r"token.*settings",
        ),
        Door(
            "folder is not there", CRM_TABLES, lambda d: folder_gone(d, "crm_files"),
            r"folder cannot be listed: No such file", r"/files/crm_files$", r"configured path",
        ),
    ],
    "second": [
        Door(
            "wrong MariaDB password", SHOP_TABLES, lambda d: wrong_password(d.mariadb, "shop_db"),
            r"refuses: Access denied", r"^mysql://tester@127\.0\.0\.1:\d+/bad_doors$", r"password",
        ),
        Door(
            "unreachable PostgreSQL", CATALOGUE_TABLES, lambda _: database_away("postgresql", "catalogue_db"),
            r"does not answer: .*refused", r"^postgresql://shop@127\.0\.0\.1:\d+/shop$", r"server runs.*host and port",
        ),
        Door(
            "API answers truncated JSON", HUBSPOT_TABLES, lambda d: faulty(d, "hubspot", "p_truncated_json", 1.0),
            r"not complete JSON", r"^http://127\.0\.0\.1:\d+/", r"try again later",
        ),
        Door(
            "file lacks a column", ("crm_files/contacts",),
            lambda d: file_with(d, "crm_files/contacts/*.csv", without_header_of(b"last_name")),
            r"last_name", r"contacts/contacts-2026-01-17\.csv", r"column",
        ),
        Door(
            "log folder is not there", LOG_TABLES, lambda d: folder_gone(d, "web_logs"),
            r"folder cannot be listed", r"/files/web_logs$", r"mounted",
        ),
    ],
    "third": [
        Door(
            "MariaDB lacks a column", ("shop_db/orders",), lambda d: renamed_in_mariadb(d, "orders", "currency"),
            r"no column for currency; it has .*order_id", r"shop_db/orders \(orders in mysql://", r"sources file",
        ),
        Door(
            "PostgreSQL lacks a column", ("catalogue_db/prices",),
            lambda d: dropped_in_postgres(d, "prices", "amount"),
            r"no column for amount", r"catalogue_db/prices \(prices in postgresql://", r"restore the column",
        ),
    ],
}  # fmt: skip
DOORS = [(run, door) for run, doors in RUNS.items() for door in doors]


@dataclass(frozen=True)
class Disturbed:
    """A run with shut doors, what the platform held after it, and after a rerun with the doors open."""

    run: AssetRun
    meanwhile: Content
    rerun: AssetRun
    afterwards: Content
    secrets: tuple[str, ...]


@pytest.fixture(scope="module")
def disturbed(doors: Doors, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Disturbed]:
    """The disturbed runs by name, each made once."""
    known: dict[str, Disturbed] = {}

    def get(name: str) -> Disturbed:
        if name not in known:
            known[name] = _disturb(doors, RUNS[name], tmp_path_factory.mktemp(name))
        return known[name]

    return get


def _disturb(doors: Doors, shut: list[Door], home: Path) -> Disturbed:
    with ExitStack() as stack:
        variables: Variables = {}
        for door in shut:
            variables |= stack.enter_context(door.shut(doors))
        platform = platform_at(home, doors, variables)
        run = platform.run_assets()
        meanwhile = content_of(platform)
    # The shop's MariaDB holds the same as its PostgreSQL.
    repaired = platform_at(home, doors, {"SHOPSPHERE_SHOP_DB_URL": doors.mariadb})
    rerun = repaired.run_assets()
    passwords = [urlsplit(url).password for url in (doors.mariadb, *doors.shop.databases.values())]
    tokens = [server.token for server in doors.shop.servers.values()]
    secrets = (SECRET, *(text for text in (*passwords, *tokens) if text))
    return Disturbed(run, meanwhile, rerun, content_of(repaired), secrets)


def parts_of(message: str) -> tuple[str, str, str]:
    """What, where and what to do, as every message to a person gives them."""
    found = re.search(r"(?s)^(.*?)\n  where: (.*?)\n  what to do: (.*)", message)
    assert found, message
    return found[1], found[2], found[3]


@pytest.mark.parametrize(("run", "door"), DOORS, ids=lambda value: getattr(value, "name", None))
def test_a_shut_source_is_told_with_what_where_and_what_to_do(
    disturbed: Callable[[str], Disturbed], run: str, door: Door
) -> None:
    failures = disturbed(run).run.failures
    for label in door.fails:
        what, where, remedy = parts_of(failures[label])
        assert re.search(door.what, what), failures[label]
        assert re.search(door.where, where), failures[label]
        assert re.search(door.remedy, remedy), failures[label]


@pytest.mark.parametrize("run", list(RUNS))
def test_the_other_sources_go_on(disturbed: Callable[[str], Disturbed], undisturbed: Content, run: str) -> None:
    """Exactly the tables behind shut doors fail, and nothing of them is half loaded; the others hold everything."""
    found = disturbed(run)
    shut = {label for door in RUNS[run] for label in door.fails}
    assert set(found.run.failures) == shut
    assert found.run.materialized == set(TABLES) - shut
    assert found.meanwhile.differs(undisturbed, set(TABLES) - shut) == []
    assert [label for label in shut if found.meanwhile.raw[label].height] == []


@pytest.mark.parametrize("run", list(RUNS))
def test_a_rerun_after_the_repair_loses_and_doubles_nothing(
    disturbed: Callable[[str], Disturbed], undisturbed: Content, run: str
) -> None:
    found = disturbed(run)
    assert found.rerun.failures == {}
    assert found.afterwards.differs(undisturbed, set(TABLES)) == []


@pytest.mark.parametrize("run", list(RUNS))
def test_no_password_is_told(disturbed: Callable[[str], Disturbed], run: str) -> None:
    """Neither in the messages nor in anything that Dagster keeps of the run."""
    found = disturbed(run)
    for secret in found.secrets:
        assert secret not in found.run.records + found.rerun.records

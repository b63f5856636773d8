"""Bad input at every door: a message that says what, where and what to do; the rest goes on; a rerun mends it.

Several doors that do not concern the same source are shut in one run, so that each also shows what the failure of
the others leaves alone.
"""

from __future__ import annotations

import gzip
import re
import secrets
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
import stamina

from resources.embedded import EmbeddedPostgres
from resources.errors import TransientError
from resources.reading import POSITION
from shopsphere_assets.cli.main import main
from shopsphere_assets.defs import platform as platform_module
from shopsphere_assets.ingestion.lake import BatchWriter
from shopsphere_assets.ingestion.validate import QUARANTINE_SCHEMA, Divided
from tests import servers
from tests.end_to_end import disks
from tests.end_to_end.pipeline import (
    DATABASE_SOURCES,
    TABLES,
    AssetRun,
    Platform,
    Shop,
    postgres_database,
    simulated_shop,
)

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
    platform.warehouse.ensure_tables([each for table in TABLES.values() for each in table.definitions])
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


@contextmanager
def taken_port() -> Iterator[int]:
    """A port that is taken, so that no other test's server gets it, and on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def with_password(url: str, password: str) -> str:
    """The URL with another password."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{password}@{parts.hostname}:{parts.port}").geturl()


@contextmanager
def database_away(scheme: str, source: str) -> Iterator[Variables]:
    """The address of a database server that does not run."""
    with taken_port() as port:
        yield {f"SHOPSPHERE_{source.upper()}_URL": f"{scheme}://shop:{SECRET}@127.0.0.1:{port}/shop"}


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
SOURCES: dict[str, tuple[str, ...]] = {"third": DATABASE_SOURCES}
"""The sources that a run reads, where it does not read all."""


def tables_of(run: str) -> set[str]:
    """The raw tables that a run reads."""
    return {label for label in TABLES if run not in SOURCES or label.split("/")[0] in SOURCES[run]}


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
            known[name] = _disturb(doors, name, tmp_path_factory.mktemp(name))
        return known[name]

    return get


def _disturb(doors: Doors, name: str, home: Path) -> Disturbed:
    with ExitStack() as stack:
        variables: Variables = {}
        for door in RUNS[name]:
            variables |= stack.enter_context(door.shut(doors))
        platform = platform_at(home, doors, variables)
        run = platform.run_assets(*SOURCES.get(name, ()))
        meanwhile = content_of(platform)
    # The shop's MariaDB holds the same as its PostgreSQL.
    repaired = platform_at(home, doors, {"SHOPSPHERE_SHOP_DB_URL": doors.mariadb})
    rerun = repaired.run_assets(*SOURCES.get(name, ()))
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
    assert found.run.materialized == tables_of(run) - shut
    assert found.meanwhile.differs(undisturbed, tables_of(run) - shut) == []
    assert [label for label in shut if found.meanwhile.raw[label].height] == []


@pytest.mark.parametrize("run", list(RUNS))
def test_a_rerun_after_the_repair_loses_and_doubles_nothing(
    disturbed: Callable[[str], Disturbed], undisturbed: Content, run: str
) -> None:
    found = disturbed(run)
    assert found.rerun.failures == {}
    assert found.afterwards.differs(undisturbed, tables_of(run)) == []


@pytest.mark.parametrize("run", list(RUNS))
def test_no_password_is_told(disturbed: Callable[[str], Disturbed], run: str) -> None:
    """Neither in the messages nor in anything that Dagster keeps of the run."""
    found = disturbed(run)
    for secret in found.secrets:
        assert secret not in found.run.records + found.rerun.records


# Files that are there and no good ------------------------------------------------------------------------------


def test_a_compressed_file_that_broke_off_is_told_and_mended_by_the_whole_one(
    doors: Doors, undisturbed: Content, tmp_path: Path
) -> None:
    """What stands before the break is loaded, the rest is told; the whole file brings the missing rows, once."""
    pattern = "support/tickets-2026-01-16.json.gz"
    platform = platform_at(tmp_path / "home", doors)
    with file_with(doors, pattern, broken_off):
        assert platform.run_assets("support").failures == {}
        meanwhile = content_of(platform)
        [(path, note)] = platform.query("select path, note from ledger.files where status = 'truncated'").rows()
        assert path == doors.file(pattern).name
        assert "gzip" in note
        [entry] = meanwhile.quarantine.filter(pl.col("rules").list.contains("line.truncated")).rows(named=True)
        assert entry["position"].startswith(f"{path}:")
    assert platform.run_assets("support").failures == {}
    afterwards = content_of(platform)
    assert afterwards.differs(undisturbed, {"support/tickets"}) == ["support/tickets"]
    assert afterwards.raw["support/tickets"].equals(undisturbed.raw["support/tickets"])
    rest = afterwards.quarantine.filter(~pl.col("rules").list.contains("line.truncated"))
    assert Content(afterwards.raw, rest).differs(undisturbed, {"support/tickets"}) == []


def test_an_empty_file_is_no_error_and_its_content_is_read_when_it_comes(
    doors: Doors, undisturbed: Content, tmp_path: Path
) -> None:
    """The others of its folder are read; it stands in the ledger with no rows, and is read when it has some."""
    patterns = ("crm_files/contacts/*.csv", "crm_files/suppliers/*.xml", "support/tickets-*.json*")
    platform = platform_at(tmp_path / "home", doors)
    with ExitStack() as stack:
        for pattern in patterns:
            stack.enter_context(file_with(doors, pattern, lambda _: b""))
        assert platform.run_assets("crm_files", "support").failures == {}
        found = platform.query("select path, rows_read from ledger.files where size_bytes = 0").rows()
        assert sorted(found) == sorted((str(doors.file(p)).rpartition(f"{p.split('/')[0]}/")[2], 0) for p in patterns)
        assert all(content_of(platform).raw[label].height for label in CRM_TABLES)
    assert platform.run_assets("crm_files", "support").failures == {}
    assert content_of(platform).differs(undisturbed, {*CRM_TABLES, "support/tickets"}) == []


# The platform's own doors ----------------------------------------------------------------------------------

STORED = {"support/tickets", "web_logs/events", "web_logs/access_log"}
"""The raw tables that the tests of lake and warehouse load."""


def stored_run(platform: Platform) -> AssetRun:
    """Ingest :data:`STORED`."""
    return platform.run_assets("support", "web_logs")


@dataclass(frozen=True)
class Stored:
    """A platform whose lake or warehouse is no good, and what mends it."""

    platform: Platform
    repair: Callable[[], None]


@contextmanager
def lake_full(doors: Doors, home: Path) -> Iterator[Stored]:
    """A lake on a disk without room."""
    with disks.full_lake(home / "lake") as repair:
        yield Stored(platform_at(home, doors, {"SHOPSPHERE_LAKE_URL": str(home / "lake")}), repair)


@contextmanager
def lake_is_a_file(doors: Doors, home: Path) -> Iterator[Stored]:
    """A file where the lake's folder should be."""
    (home / "lake").write_text("not a folder")
    yield Stored(platform_at(home, doors), lambda: (home / "lake").unlink())


@contextmanager
def warehouse_full(doors: Doors, home: Path) -> Iterator[Stored]:
    """A DuckDB file on a disk that fills up."""
    with disks.full_warehouse(home / "disk") as repair:
        yield Stored(platform_at(home, doors, duckdb_at(home / "disk" / "shop.duckdb")), repair)


@contextmanager
def warehouse_read_only(doors: Doors, home: Path) -> Iterator[Stored]:
    """A folder for the DuckDB file in which nothing can be written."""
    with disks.read_only_folder(home / "disk") as repair:
        yield Stored(platform_at(home, doors, duckdb_at(home / "disk" / "shop.duckdb")), repair)


@contextmanager
def warehouse_is_a_folder(doors: Doors, home: Path) -> Iterator[Stored]:
    """A folder where the DuckDB file should be."""
    (home / "shop.duckdb").mkdir()
    yield Stored(platform_at(home, doors, duckdb_at(home / "shop.duckdb")), lambda: (home / "shop.duckdb").rmdir())


@contextmanager
def warehouse_folder_is_a_file(doors: Doors, home: Path) -> Iterator[Stored]:
    """A file where the DuckDB file's folder should be."""
    (home / "disk").write_text("not a folder")
    yield Stored(platform_at(home, doors, duckdb_at(home / "disk" / "shop.duckdb")), lambda: (home / "disk").unlink())


@contextmanager
def warehouse_is_no_database(doors: Doors, home: Path) -> Iterator[Stored]:
    """Something else under the DuckDB file's name."""
    (home / "shop.duckdb").write_bytes(b"This is a letter and not a database. " * 1_000)
    yield Stored(platform_at(home, doors, duckdb_at(home / "shop.duckdb")), lambda: (home / "shop.duckdb").unlink())


@contextmanager
def warehouse_damaged(doors: Doors, home: Path) -> Iterator[Stored]:
    """A DuckDB file of which the beginning is overwritten."""
    file = home / "shop.duckdb"
    platform = platform_at(home, doors, duckdb_at(file))
    platform.warehouse.prepare()
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + bytes(8192) + whole[12288:])

    def repair() -> None:
        file.write_bytes(whole)

    yield Stored(platform, repair)


@contextmanager
def warehouse_server_away(doors: Doors, home: Path) -> Iterator[Stored]:
    """The address of a warehouse server that does not run."""
    with taken_port() as port:
        yield from _on_server(doors, home, f"postgresql://shop:{SECRET}@127.0.0.1:{port}/warehouse")


@contextmanager
def warehouse_password_wrong(doors: Doors, home: Path) -> Iterator[Stored]:
    """A warehouse server that refuses the password."""
    yield from _on_server(doors, home, with_password(doors.shop.databases["shop_db"], SECRET))


def _on_server(doors: Doors, home: Path, url: str) -> Iterator[Stored]:
    platform = platform_at(home, doors, {"SHOPSPHERE_WAREHOUSE_URL": url})

    def repair() -> None:
        mended = platform_at(home, doors)
        platform.variables, platform.warehouse = mended.variables, mended.warehouse

    yield Stored(platform, repair)


def duckdb_at(file: Path) -> Variables:
    """The setting of a warehouse in a DuckDB file."""
    return {"SHOPSPHERE_WAREHOUSE_URL": f"duckdb:///{file}"}


Make = Callable[[Doors, Path], AbstractContextManager[Stored]]
STORES: list[tuple[Make, str, str, str]] = [
    (lake_full, r"no space left in the lake", r"/lake/(support|web_logs)/", r"free disk space.*SHOPSPHERE_LAKE_URL"),
    (lake_is_a_file, r"lake cannot be written: Not a directory", r"/lake/(support|web_logs)/", r"SHOPSPHERE_LAKE_URL"),
    (warehouse_full, r"disk is full", r"/disk/shop\.duckdb", r"free some disk space"),
    (warehouse_read_only, r"(?i)read-only file system|permission denied", r"/disk", r"writ"),
    (warehouse_is_a_folder, r"path is a folder", r"/shop\.duckdb", r"path to a file"),
    (warehouse_folder_is_a_file, r"File exists|Not a directory", r"/disk", r"folder"),
    (warehouse_is_no_database, r"not a DuckDB database", r"/shop\.duckdb", r"backup.*load again"),
    (warehouse_damaged, r"damaged", r"/shop\.duckdb", r"backup.*load again"),
    (warehouse_server_away, r"cannot be reached", r"^postgresql://shop@127\.0\.0\.1:\d+/warehouse", r"server runs"),
    (warehouse_password_wrong, r"refuses the password", r"^postgresql://shopsphere@127\.0\.0\.1", r"correct user"),
]


@pytest.mark.parametrize(("make", "what", "where", "remedy"), STORES, ids=[make.__name__ for make, *_ in STORES])
def test_a_store_that_is_no_good_is_told_and_a_rerun_mends_all(
    doors: Doors, undisturbed: Content, tmp_path: Path, make: Make, what: str, where: str, remedy: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with make(doors, home) as stored:
        run = stored_run(stored.platform)
        assert run.failures
        assert set(run.failures) | run.materialized == STORED
        for message in run.failures.values():
            found = parts_of(message)
            assert re.search(what, found[0]), message
            assert re.search(where, found[1]), message
            assert re.search(remedy, found[2]), message
        assert SECRET not in run.records
        stored.repair()
        assert stored_run(stored.platform).failures == {}
        assert content_of(stored.platform).differs(undisturbed, STORED) == []


def _land(writer: BatchWriter, divided: Divided) -> None:
    writer.write(divided)
    writer.commit()


def test_a_lake_that_fills_up_with_quarantined_rows_is_told_as_well(tmp_path: Path) -> None:
    table = TABLES["support/tickets"]
    rows = pl.DataFrame(
        {
            name: [secrets.token_hex(16) if dtype == pl.String else None for _ in range(2_000)]
            for name, dtype in QUARANTINE_SCHEMA.items()
        },
        schema=QUARANTINE_SCHEMA,
    )
    valid = pl.DataFrame(schema={**table.column_types, POSITION: pl.String})
    with disks.full_lake(tmp_path / "lake") as repair:
        for is_repaired in (False, True):
            writer = BatchWriter(tmp_path / "lake", table, "batch", datetime.now(UTC))
            if is_repaired:
                writer.write(Divided(valid, rows, None))
                landed = writer.commit().quarantined
                assert landed is not None
                assert pl.read_parquet(landed).select(rows.columns).equals(rows)
                return
            with pytest.raises(TransientError, match="no space left in the lake"):
                _land(writer, Divided(valid, rows, None))
            writer.abort()
            repair()


# Settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("sources:\n  shop_db: [\n", r"not valid YAML", r"sources\.yaml, line 3"),
        ("- shop_db\n", r"does not fit", r"sources\.yaml"),
        ("sources: {shop_db: {tables: {orders: {colums: {}}}}}\n", r"orders.*colums", r"sources\.yaml"),
        ("sources: {shop_db: {tables: {ordres: {}}}}\n", r"ordres", r"sources\.yaml"),
        (None, r"cannot be read: No such file", r"sources\.yaml"),
    ],
    ids=["broken YAML", "no mapping", "unknown setting", "unknown table", "no file"],
)
def test_a_malformed_sources_file_stops_the_run_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: str | None,
    what: str,
    where: str,
) -> None:
    file = tmp_path / "sources.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("SHOPSPHERE_SOURCES_FILE", str(file))
    told = told_by_run(monkeypatch, capsys)
    assert re.search(what, told[0]), told
    assert re.search(where, told[1]), told
    assert told[2]


def test_an_unknown_time_zone_stops_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOPSPHERE_REPORTING_TIME_ZONE", "Mars/Olympus_Mons")
    what, where, remedy = told_by_run(monkeypatch, capsys)
    assert "SHOPSPHERE_REPORTING_TIME_ZONE" in what
    assert "Mars/Olympus_Mons" in what
    assert "Europe/Berlin" in what
    assert "environment" in where
    assert "docs/" in remedy


def told_by_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[str, str, str]:
    """What ``shopsphere run`` prints when it refuses to begin."""
    monkeypatch.setattr(sys, "argv", ["shopsphere", "run"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    what, where, remedy = parts_of(printed.strip())
    return what.removeprefix("error: "), where, remedy

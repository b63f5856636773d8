"""The platform upon such a shop: a run of it, in a process that can be killed, and what it leaves behind.

Belongs here: running, restoring and comparing. Does not belong here: when a run is killed (``matrix``, ``soak``).
Runs leave out Dagster and dbt, whose part in this has tests of its own: of each the platform's plain functions are
called in the order in which a run calls them, and the marts are built by a few statements.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg

from resources.change_log import open_change_log
from resources.commit_points import CommitPoint, listening
from resources.file_source import FileSource, JsonLines
from resources.sql_source import SqlSource
from resources.warehouse import ParquetRows, Warehouse, open_warehouse
from shopsphere_assets.contracts import shop_db, web_logs
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.changes import capture, logged_table
from shopsphere_assets.ingestion.lake import remove_orphans
from shopsphere_assets.ingestion.ledger import read_state
from shopsphere_assets.ingestion.raw_table import (
    BATCH_ID,
    DELETED_AT,
    LOADED_AT,
    FileRead,
    RawTable,
    database_table,
)
from shopsphere_assets.ingestion.reconcile import reconcile
from shopsphere_assets.quarantine.decisions import Order, decide
from shopsphere_assets.quarantine.entries import Filter, Quarantine, list_entries
from tests.exactly_once.sources import ShopSource

REFUNDS = database_table("shop_db", "refunds", shop_db.Refunds, "refund_id")
CUSTOMERS = database_table("shop_db", "customers", shop_db.Customers, "customer_id", keeps_versions=True)
PAYMENTS = database_table("shop_db", "payments", shop_db.Payments, "payment_id")
EVENTS = RawTable(
    "web_logs",
    "events",
    web_logs.Events,
    ("event_id",),
    "received_at",
    FileRead("events/events-*.jsonl", JsonLines()),
)
TABLES = (REFUNDS, CUSTOMERS, PAYMENTS, EVENTS)
"""Refunds and customers are asked for, payments follow the change log, events come in files."""

_MARTS = {
    "build_sales.fct_refunds": "SELECT refund_id, amount, updated_at FROM raw.shop_db__refunds"
    " WHERE _deleted_at IS NULL",
    "build_sales.fct_payments": "SELECT payment_id, amount, updated_at FROM raw.shop_db__payments"
    " WHERE _deleted_at IS NULL",
    "build_customers.dim_customers": "SELECT customer_id, email, last_name FROM raw.shop_db__customers"
    " WHERE _deleted_at IS NULL",
    "build_web.fct_events": "SELECT event_id, event_type FROM raw.web_logs__events",
}
_KEPT_PUBLICATIONS = 2
_MOMENT = re.compile(r"(\d\d:\d\d:\d\d(?:\.\d*[1-9])?)(?:\.?0+)?(?:\+00(?::00)?)?(?=\W)")
_LOG_CHANGES_PER_BATCH = 40


@dataclass(frozen=True)
class Place:
    """A platform and the shop that it reads. ``url``: of the warehouse. ``home``: of the lake and a DuckDB file.

    ``log_name``: what the platform is called at a server whose log it follows. ``lookback``: see ``ingest``.
    """

    home: Path
    url: str
    shop: ShopSource
    log_name: str = "exactly_once"
    lookback: timedelta = timedelta(hours=48)

    @property
    def lake(self) -> Path:
        """The lake's folder."""
        return self.home / "lake"

    @property
    def engine(self) -> str:
        """``duckdb`` or ``postgres``."""
        return "duckdb" if self.url.startswith("duckdb:") else "postgres"

    def warehouse(self) -> Warehouse:
        """The warehouse, as a new process opens it."""
        return open_warehouse(self.url, lock_timeout=60)


def duckdb_place(home: Path, shop: ShopSource) -> Place:
    """A place with an empty DuckDB warehouse."""
    return Place(home, f"duckdb://{home}/warehouse.duckdb", shop)


def run_once(place: Place) -> int:
    """One run from the sources to the publication; how many rows only the reconciliation found."""
    warehouse = place.warehouse()
    warehouse.prepare()
    warehouse.ensure_tables([definition for table in TABLES for definition in table.definitions])
    destination = Destination(warehouse, place.lake)
    database, folder = SqlSource(place.shop.url), FileSource(str(place.shop.files))
    for table in (REFUNDS, CUSTOMERS, EVENTS):
        source = folder if table is EVENTS else database
        state = read_state(warehouse, [table])[table.name]
        ingest(table, source, destination, state=state, run_id="run", lookback=place.lookback)
    log = open_change_log(place.shop.url, [logged_table(PAYMENTS, database)], name=place.log_name)
    captured = capture([PAYMENTS], database, log, destination, run_id="run", changes_per_batch=_LOG_CHANGES_PER_BATCH)
    if captured["payments"].error:
        raise captured["payments"].error
    found_late = 0
    for table in (REFUNDS, CUSTOMERS):
        state = read_state(warehouse, [table])[table.name]
        found_late += reconcile(table, database, destination, state=state, run_id="run").rows_loaded
    _mend(destination)
    _build(warehouse)
    warehouse.publish("run", keep=_KEPT_PUBLICATIONS)
    return found_late


def _mend(destination: Destination) -> None:
    """What a person does who finds refunds of -2.00."""
    quarantine = Quarantine(destination, {REFUNDS.label: REFUNDS})
    found = list_entries(quarantine, Filter(source=REFUNDS.source, table=REFUNDS.name, text="-2.00"))
    order = Order("readmit", "a person", cells={"amount": "2.00"})
    decide(quarantine, [entry.quarantine_id for entry in found], order)


def _build(warehouse: Warehouse) -> None:
    with warehouse.transaction() as transaction:
        for name, query in _MARTS.items():
            transaction.execute(f"CREATE SCHEMA IF NOT EXISTS {name.partition('.')[0]}")
            transaction.execute(f"DROP TABLE IF EXISTS {name}")
            transaction.execute(f"CREATE TABLE {name} AS {query}")


# -- processes ------------------------------------------------------------------------------------------------

# Forked from a process that has imported everything and done nothing yet: polars' threads do not outlive a fork.
_processes = get_context("forkserver")
_processes.set_forkserver_preload([__name__])


class Running:
    """A run in a process of its own. ``at``: the commit points that it reached so far, in order."""

    def __init__(self, place: Place, kill_at: tuple[CommitPoint, int] | None = None) -> None:
        """``kill_at``: the point at which it kills itself, and at the how manieth time."""
        self._receiver, sender = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=_run, args=(place, sender, kill_at), daemon=True)
        self._process.start()
        sender.close()
        self.at: list[CommitPoint] = []
        self.found_late = 0
        self.error = ""

    def wait(self, seconds: float = 60) -> int:
        """Wait until it ends; its exit status, negative for the signal that killed it."""
        self._receive()
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"a run did not end within {seconds} s; its last point: {self.at[-1:]}")
        return self._process.exitcode

    def kill(self, after_seconds: float) -> bool:
        """Kill it after so many seconds with SIGKILL; whether it had not ended by itself before."""
        self._process.join(after_seconds)
        self._process.kill()
        return self.wait() == -signal.SIGKILL

    def wait_for(self, point: CommitPoint) -> None:
        """Wait until it is at ``point``."""
        while point not in self.at:
            self._take(self._receiver.recv())

    def _receive(self) -> None:
        with closing(self._receiver):
            while True:
                try:
                    self._take(self._receiver.recv())
                except (EOFError, OSError):
                    return

    def _take(self, message: Any) -> None:
        match message:
            case CommitPoint():
                self.at.append(message)
            case int():
                self.found_late = message
            case _:
                self.error = str(message)


def _run(place: Place, told: Connection, kill_at: tuple[CommitPoint, int] | None) -> None:
    times: Counter[CommitPoint] = Counter()

    def listen(point: CommitPoint) -> None:
        times[point] += 1
        told.send(point)
        if kill_at == (point, times[point]):
            os.kill(os.getpid(), signal.SIGKILL)

    # The system's certificates, which PyMySQL loads for each connection, take a third of such a run.
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        with listening(listen):
            told.send(run_once(place))
    except BaseException:
        told.send(traceback.format_exc())
        raise


def run(place: Place) -> Running:
    """A run to its end, which must be a good one."""
    running = Running(place)
    if running.wait() != 0:
        raise AssertionError(f"the run failed:\n{running.error}")
    return running


# -- what is left behind --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Content:
    """Rows by relation, each as text, in order."""

    relations: dict[str, list[str]]

    def digests(self) -> dict[str, str]:
        """Per relation the number of rows and the hash of all of them in order."""
        return {
            name: f"{len(rows)} {hashlib.sha256(chr(10).join(rows).encode()).hexdigest()[:16]}"
            for name, rows in self.relations.items()
        }

    def differences(self, expected: Content) -> list[str]:
        """What is not as in ``expected``, with some of the rows."""
        ours, theirs = self.digests(), expected.digests()
        found = []
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                here = Counter(self.relations.get(name, []))
                there = Counter(expected.relations.get(name, []))
                found.append(
                    f"{name}: {ours.get(name)} instead of {theirs.get(name)};"
                    f" too much: {list((here - there).elements())[:3]};"
                    f" missing: {list((there - here).elements())[:3]}"
                )
        return found


def content(place: Place, *, only_standing: bool = False) -> Content:
    """Raw tables, quarantine and published marts, without what differs from batch to batch.

    ``only_standing``: without rows marked as deleted, settled entries and earlier versions, which a warehouse that
    was filled later cannot know.
    """
    warehouse = place.warehouse()
    relations = {}
    for table in TABLES:
        columns = ", ".join(f'"{name}"' for name in table.column_types)
        for definition in table.definitions[: 1 if only_standing else None]:
            where = f"WHERE {DELETED_AT} IS NULL" if only_standing else ""
            sql = f"SELECT {columns}, {DELETED_AT} IS NULL AS stands FROM {definition} {where}"
            relations[str(definition)] = _texts(warehouse.query(sql))
    where = "WHERE settled_at IS NULL" if only_standing else ""
    relations["quarantine.rows"] = [
        # A row that is read again as text, after its connection broke, has its moments in the server's own form.
        _MOMENT.sub(r"\1", text)
        for text in _texts(
            warehouse.query(
                "SELECT source, table_name, row_key, reasons, payload, settled_at IS NULL AS is_open, settlement"
                f" FROM quarantine.rows {where}"
            )
        )
    ]
    for name in _MARTS:
        mart = name.removeprefix("build_")
        relations[f"mart {mart}"] = _texts(warehouse.read_publication(f"SELECT * FROM {mart}"))
    return Content(relations)


def _texts(rows: Any) -> list[str]:
    return sorted(json.dumps(row, default=str, ensure_ascii=False) for row in rows.to_pylist())


def violations(place: Place) -> list[str]:
    """What the platform's own records contradict, after maintenance; nothing where all is well."""
    warehouse = place.warehouse()
    found: list[str] = []
    batches = warehouse.query("SELECT * FROM ledger.batches ORDER BY sequence").to_pylist()
    if [batch["sequence"] for batch in batches] != list(range(1, len(batches) + 1)):
        found.append(f"the sequence of batches is {[batch['sequence'] for batch in batches]}")
    for batch in batches:
        if batch["rows_read"] != batch["rows_loaded"] + batch["rows_quarantined"] + batch["rows_excluded"]:
            found.append(f"the ledger entry of {batch['batch_id']} does not close: {batch}")
        found += _lake_violations(place.lake / batch["lake_path"], batch)
    known = {batch["batch_id"] for batch in batches}
    relations = {str(definition): BATCH_ID for table in TABLES for definition in table.definitions}
    for relation, column in {**relations, "quarantine.rows": "batch_id"}.items():
        named = set(warehouse.query(f"SELECT DISTINCT {column} FROM {relation}").column(0).to_pylist())
        if named - known:
            found.append(f"{relation} holds rows of batches that the ledger does not know: {named - known}")
    [files] = warehouse.query(
        "SELECT count(*) AS entries, count(DISTINCT table_name || content_hash) AS different FROM ledger.files"
    ).to_pylist()
    if files["entries"] != files["different"]:
        found.append(f"of {files['entries']} files in the ledger {files['different']} are different")
    remove_orphans(place.lake, {batch["lake_path"] for batch in batches}, datetime.now(UTC) + timedelta(hours=1))
    left = {str(folder.relative_to(place.lake)) for folder in place.lake.glob("*/*/*")}
    if left != {batch["lake_path"] for batch in batches}:
        found.append(f"the lake holds {left} instead of the ledger's batches")
    return [*found, *_publication_violations(place, warehouse)]


def _lake_violations(folder: Path, batch: dict[str, Any]) -> Iterator[str]:
    if not (folder / "_manifest.json").exists():
        yield f"{folder} is not whole"
        return
    manifest = json.loads((folder / "_manifest.json").read_text())
    counts = (manifest["rows_valid"], manifest["rows_quarantined"])
    if counts != (batch["rows_loaded"] + batch["rows_excluded"], batch["rows_quarantined"]):
        yield f"{folder} has {counts} valid and quarantined rows, the ledger says {batch}"
    sizes = {file.name: file.stat().st_size for file in folder.iterdir() if file.name != "_manifest.json"}
    if sizes != manifest["files"]:
        yield f"{folder} has the files {sizes} instead of {manifest['files']}"


def _publication_violations(place: Place, warehouse: Warehouse) -> Iterator[str]:
    recorded = warehouse.query("SELECT version FROM ledger.publications ORDER BY version")["version"].to_pylist()
    if recorded != list(range(1, len(recorded) + 1)):
        yield f"the recorded publications are {recorded}"
    there = [publication.version for publication in warehouse.publications()]
    if there != recorded[: -_KEPT_PUBLICATIONS - 1 : -1]:
        yield f"the publications are {there}, recorded are {recorded}"
    if place.engine == "duckdb":
        names = {path.name for path in place.home.glob("warehouse.publications/*")}
        if names != {"current.duckdb", *(f"v{version:06d}.duckdb" for version in there)}:
            yield f"beside the publications there are {names}"
        return
    schemas = warehouse.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'next%'")["nspname"].to_pylist()
    if schemas:
        yield f"an unfinished publication left {schemas}"


def replay_differences(place: Place, scratch: Path) -> list[str]:
    """What differs between raw and a raw made from the lake alone, in the order of the ledger."""
    replayed = replace(duckdb_place(scratch, place.shop), home=scratch)
    warehouse, original = replayed.warehouse(), place.warehouse()
    warehouse.prepare()
    warehouse.ensure_tables([table.definition for table in TABLES])
    by_name = {(table.source, table.name): table for table in TABLES}
    batches = original.query("SELECT source, table_name, lake_path FROM ledger.batches ORDER BY sequence").to_pylist()
    for batch in batches:
        table, folder = by_name[batch["source"], batch["table_name"]], place.lake / batch["lake_path"]
        manifest = json.loads((folder / "_manifest.json").read_text())
        at = datetime.fromisoformat(manifest["loaded_at"])
        constants = {BATCH_ID: manifest["batch_id"], LOADED_AT: at}
        parts, gone = sorted(folder.glob("part-*.parquet")), folder / "deleted.parquet"
        if not parts and not gone.exists():
            continue
        with warehouse.transaction() as transaction:
            if parts:
                landed = ParquetRows(parts)
                transaction.merge(table.definition, landed, order_by=manifest["order_by"], constants=constants)
            if gone.exists():
                marks = {**constants, DELETED_AT: at}
                transaction.mark(table.definition, ParquetRows([gone]), marks, unless=DELETED_AT)
    contents = []
    for each in (warehouse, original):
        rows = {str(table.definition): _texts(each.query(f"SELECT * FROM {table.definition}")) for table in TABLES}
        contents.append(Content(rows))
    return [f"replayed from the lake, {text}" for text in contents[0].differences(contents[1])]


# -- keeping and restoring ------------------------------------------------------------------------------------


@contextmanager
def copied(place: Place, home: Path) -> Iterator[Place]:
    """A copy of a platform that no process uses, at ``home``; removed afterwards."""
    shutil.copytree(place.home, home, symlinks=True)
    try:
        if place.engine == "duckdb":
            yield replace(place, home=home, url=f"duckdb://{home}/warehouse.duckdb")
            return
        server, _, name = place.url.rpartition("/")
        copy = f"{name}_copy"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}" STRATEGY file_copy'.encode())
        try:
            yield replace(place, home=home, url=f"{server}/{copy}")
        finally:
            with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{copy}" WITH (FORCE)'.encode())
    finally:
        shutil.rmtree(home)


def compared(place: Place, expected: Content, scratch: Path, *, only_standing: bool = False) -> list[str]:
    """All that is wrong with ``place``: its content, its records, its lake."""
    checks: Sequence[Callable[[], list[str]]] = (
        lambda: content(place, only_standing=only_standing).differences(expected),
        lambda: violations(place),
        lambda: replay_differences(place, scratch),
    )
    return [difference for check in checks for difference in check()]

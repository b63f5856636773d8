"""A simulated shop and the platform's own steps upon it, as the end-to-end tests share them.

Belongs here: the shop with its databases, services and folders, and running ingestion, dbt and publication on
chosen settings. Not here: what is expected of them (the tests), and fixtures (conftest.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import psycopg
from psycopg import sql

from resources.embedded import EmbeddedPostgres
from resources.settings import Settings, load_settings
from resources.warehouse import Publication, Warehouse, open_warehouse
from shopsphere_assets.cli import materialize
from shopsphere_assets.defs.platform import Platform as PlatformResource
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.connections import open_source
from shopsphere_assets.ingestion.ledger import BatchReport, read_state
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.transformation.project import (
    PROJECT_DIR,
    dbt_environment,
    dbt_executable,
    dbt_target,
)
from simulator.apis import ApiStore, Faults, RunningServer, running
from simulator.databases import MySqlSink, PostgresSink
from simulator.files import FileDrops
from simulator.simulation import Parameters, Simulation
from simulator.sinks import Day, Sink

TABLES: dict[str, RawTable] = {table.label: table for system in source_systems() for table in system.tables}
"""Every raw table, by ``source/table``."""

FILE_SOURCES = ("web_logs", "crm_files", "support")
API_SOURCES = ("hubspot", "reviews")
DATABASE_SOURCES = ("shop_db", "catalogue_db")

_KEPT_VARIABLES = ("SHOPSPHERE_TEST_",)


class Recorder:
    """A sink that remembers every day as it was handed out."""

    def __init__(self) -> None:
        self.days: dict[int, Day] = {}

    def write(self, day: Day) -> None:
        """Remember the day."""
        self.days[day.number] = day


@dataclass
class Shop:
    """A simulated shop that is up: its databases, its services (one server for each source) and its folders.

    ``variables``: the settings that point the platform at it.
    """

    home: Path
    simulation: Simulation
    recorder: Recorder
    store: ApiStore
    databases: dict[str, str]
    servers: dict[str, RunningServer]
    variables: dict[str, str]

    @property
    def days(self) -> list[Day]:
        """All days that have passed."""
        return [self.recorder.days[number] for number in sorted(self.recorder.days)]

    def folder(self, source: str) -> Path:
        """Where the files of a source are dropped."""
        return self.home / "files" / source

    def advance(self, days: int) -> None:
        """Let so many more days happen."""
        self.simulation.advance(days)


@contextmanager
def simulated_shop(
    home: Path, databases: Mapping[str, str], *, days: int, scale: float, mariadb: str | None = None, seed: int = 7
) -> Iterator[Shop]:
    """A shop with errors in 5 % of its rows after its first ``days``.

    ``databases``: PostgreSQL databases of ``shop_db`` and ``catalogue_db``. ``mariadb``: a database that the shop
    is written to as well.
    """
    recorder = Recorder()
    store = ApiStore(home / "services.sqlite")
    sinks: list[Sink] = [PostgresSink(url, source) for source, url in databases.items()]
    if mariadb is not None:
        sinks.append(MySqlSink(mariadb))
    sinks += [store, FileDrops(home / "files", home / "truth"), recorder]
    simulation = Simulation.open_or_create(home, sinks, Parameters(seed=seed, scale=scale, error_rate=0.05))
    with ExitStack() as stack:
        servers = {source: stack.enter_context(running(store, faults=Faults())) for source in API_SOURCES}
        variables = {f"SHOPSPHERE_{source.upper()}_URL": url for source, url in databases.items()}
        for source, server in servers.items():
            variables[f"SHOPSPHERE_{source.upper()}_URL"] = server.url
            variables[f"SHOPSPHERE_{source.upper()}_TOKEN"] = server.token
        for source in FILE_SOURCES:
            (home / "files" / source).mkdir(parents=True, exist_ok=True)
            variables[f"SHOPSPHERE_{source.upper()}_URL"] = str(home / "files" / source)
        variables["SHOPSPHERE_REQUESTS_PER_SECOND"] = "1000"
        known = dict(databases) | ({"mariadb": mariadb} if mariadb else {})
        shop = Shop(home, simulation, recorder, store, known, servers, variables)
        shop.advance(days)
        yield shop


@contextmanager
def environment(variables: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Only these settings, in a folder without an ``.env`` file; session fixtures need it as tests do."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("SHOPSPHERE_", "DAGSTER_", "DBT_", "PG")) and not name.startswith(_KEPT_VARIABLES):
            del os.environ[name]
    os.environ.update(variables)
    os.environ.update(NO_PROXY="127.0.0.1,localhost", no_proxy="127.0.0.1,localhost")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Platform:
    """The platform at one home folder, with its own steps to call.

    ``variables``: settings; those of a shop (:attr:`Shop.variables`) and of the stores.
    """

    def __init__(self, home: Path, variables: Mapping[str, str]) -> None:
        self.home = home
        self.variables = {"SHOPSPHERE_HOME": str(home), **variables}
        with self.environment():
            self.settings: Settings = load_settings()
        self.warehouse: Warehouse = open_warehouse(self.settings.warehouse, lock_timeout=60)

    @contextmanager
    def environment(self) -> Iterator[None]:
        """The platform's settings as those of this process."""
        with environment(self.variables, self.home):
            yield

    def ingest(self, *sources: str, run_id: str = "test") -> dict[str, BatchReport]:
        """Read what is new of the tables of ``sources`` (default: of all); the reports by ``source/table``."""
        reports = {}
        self.warehouse.prepare()
        self.warehouse.ensure_tables([each for table in TABLES.values() for each in table.definitions])
        destination = Destination(self.warehouse, self.settings.lake)
        for system in source_systems():
            if sources and system.name not in sources:
                continue
            states = read_state(self.warehouse, list(system.tables))
            source = open_source(system, self.settings)
            for table in system.tables:
                report = ingest(table, source, destination, state=states[table.name], run_id=run_id)
                if report is not None:
                    reports[table.label] = report
        return reports

    def dbt(self, *arguments: str) -> None:
        """Run dbt on the warehouse as the platform does; an exit status other than 0 is an error with its output."""
        variables = dbt_environment(self.settings)
        Path(variables["DBT_TARGET_PATH"]).mkdir(parents=True, exist_ok=True)
        with self.warehouse.writer_lock(), environment(variables, self.home):
            finished = subprocess.run(
                [
                    *(dbt_executable(), "--quiet", "--no-use-colors", *arguments),
                    *("--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR)),
                    *("--target", dbt_target(self.settings)),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
        if finished.returncode:
            raise AssertionError(f"dbt {' '.join(arguments)} failed:\n{finished.stdout}{finished.stderr}")

    def build(self) -> None:
        """Build every model and test it."""
        self.dbt("build", "--exclude-resource-type", "unit_test")

    def publish(self, run_id: str = "test") -> Publication:
        """Publish the marts."""
        return self.warehouse.publish(run_id)

    def query(self, text: str, parameters: Sequence[Any] = ()) -> pl.DataFrame:
        """Rows of the working warehouse."""
        return _frame(self.warehouse.query(text, parameters))

    def marts(self, version: int | None = None) -> dict[str, pl.DataFrame]:
        """Every mart of a publication by ``area.table``, its rows in a fixed order."""
        names = self.warehouse.read_publication(
            "select schema_name, table_name from tables order by 1, 2", version=version
        ).to_pylist()
        suffix = ""
        if version is not None and self.warehouse.dialect == "postgres":
            current = self.warehouse.current_publication()
            suffix = "" if current is not None and current.version == version else f"_v{version}"
        found = {}
        for row in names:
            relation = f'"{row["schema_name"]}{suffix}"."{row["table_name"]}"'
            answer = self.warehouse.read_publication(f"select * from {relation}", version=version)
            found[f"{row['schema_name']}.{row['table_name']}"] = in_order(_frame(answer))
        return found

    def raw(self, label: str) -> pl.DataFrame:
        """A raw table by its key, without the columns that say how a row came."""
        table = TABLES[label]
        columns = ", ".join(f'"{name}"' for name in table.column_types)
        keys = ", ".join(f'"{name}"' for name in table.key)
        frame = self.query(f"select {columns} from {table.definition} order by {keys}")
        return frame.sort(list(table.key))

    def quarantine(self) -> pl.DataFrame:
        """The quarantine: source, table_name, row_key, position, payload, and the rules as a list."""
        frame = self.query("select source, table_name, row_key, position, payload, reasons from quarantine.rows")
        rules = [sorted({reason["rule"] for reason in json.loads(text)}) for text in frame["reasons"]]
        return frame.with_columns(pl.Series("rules", rules, dtype=pl.List(pl.String))).drop("reasons")

    def run_assets(self, *sources: str) -> AssetRun:
        """Materialize the raw tables of ``sources`` (default: of all) through Dagster, as the job ``ingest`` does."""
        with self.environment():
            systems = [system for system in source_systems() if not sources or system.name in sources]
            definitions = dg.Definitions.merge(
                *(raw_source(system) for system in systems),
                dg.Definitions(resources={"platform": PlatformResource()}, executor=dg.in_process_executor),
            )
            job = definitions.resolve_implicit_global_asset_job_def()
            with dg.DagsterInstance.ephemeral() as instance:
                result = job.execute_in_process(instance=instance, raise_on_error=False)
        run = AssetRun(records="\n".join(str(event) for event in result.all_events))
        for event in result.all_events:
            if event.is_step_failure:
                label = (event.step_key or "").removeprefix("raw__").replace("__", "/", 1)
                run.failures[label] = materialize._cause(event)
            elif event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
                run.materialized.add("/".join(event.step_materialization_data.materialization.asset_key.path[1:]))
        return run


@dataclass
class AssetRun:
    """What became of a run of raw tables: the message of each that failed, and those that did not.

    The messages are those of the command line's summary. ``records``: everything that Dagster keeps of the run.
    """

    records: str = ""
    failures: dict[str, str] = field(default_factory=dict)
    materialized: set[str] = field(default_factory=set)


def _frame(answer: Any) -> pl.DataFrame:
    frame = pl.from_arrow(answer)
    assert isinstance(frame, pl.DataFrame)
    return frame


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its rows in an order that their values alone decide."""
    return frame.sort(frame.columns, nulls_last=True) if frame.width else frame


@contextmanager
def postgres_database(server: EmbeddedPostgres, name: str) -> Iterator[str]:
    """The URL of a new database of ``server``, dropped at the end; the name gets an ending of its own."""
    full = f"{name}_{secrets.token_hex(4)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(full)))
    try:
        yield server.url(full)
    finally:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(full)))

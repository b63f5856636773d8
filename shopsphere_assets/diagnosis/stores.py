"""Checks of what the platform writes to: folders, warehouse, Dagster's records, and the dbt project's manifest."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from resources.embedded import EmbeddedPostgres
from resources.errors import PlatformError, TransientError, safe_url
from resources.settings import Settings
from resources.sql_source import SqlSource
from resources.warehouse import Warehouse, open_warehouse
from resources.warehouse.duckdb_engine import DuckDBWarehouse
from shopsphere_assets.diagnosis.finding import Finding, Status, failed
from shopsphere_assets.transformation.project import PROJECT_DIR, prepare_manifest, target_folder

AREA = "Stores"
# A first run at the demo's scale leaves about half a gigabyte; below the lower bound even logs do not fit.
_LITTLE_SPACE = 2_000_000_000
_NO_SPACE = 100_000_000
_LOCK_SECONDS = 2.0
_PROBE = "shopsphere_doctor"


class _RollBackError(Exception):
    """Ends the trial transaction, so that nothing of it remains."""


def check_folders(settings: Settings) -> Iterator[Finding]:
    """The home folder and the lake: writable, and room on their disks."""
    is_set = "home" in settings.model_fields_set
    yield from check_folder("home folder", settings.state, Status.OK if is_set else Status.EMBEDDED, "SHOPSPHERE_HOME")
    try:
        lake = settings.lake
    except PlatformError as error:
        yield failed(AREA, "lake", error)
        return
    status = Status.EMBEDDED if settings.lake_url is None else Status.OK
    yield from check_folder("lake", lake, status, "SHOPSPHERE_LAKE_URL")


def check_folder(subject: str, folder: Path, good: Status, variable: str) -> Iterator[Finding]:
    """Whether ``folder`` can be written, or created where it does not exist, and the room on its disk."""
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    remedy = f"make it writable for this user, or name another folder by {variable}"
    if not existing.is_dir():
        yield Finding(AREA, subject, Status.FAILED, f"{existing} is not a folder", remedy)
        return
    try:
        # Root passes every check of permissions; only writing tells of a read-only disk.
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        yield Finding(AREA, subject, Status.FAILED, f"{existing} cannot be written: {error.strerror}", remedy)
        return
    free = shutil.disk_usage(existing).free
    state = "can be written" if existing == folder else "will be created"
    what = f"{folder} {state}; {free / 1e9:,.1f} GB free"
    yield Finding(AREA, subject, *space(free, good, what, variable))


def space(free_bytes: int, good: Status, what: str, variable: str) -> tuple[Status, str, str]:
    """Status, ``what`` and remedy for a disk with so many bytes free."""
    remedy = f"free some disk space, or name a folder on another disk by {variable}"
    if free_bytes < _NO_SPACE:
        return Status.FAILED, f"{what}: not enough for a run", remedy
    if free_bytes < _LITTLE_SPACE:
        return Status.WARNING, f"{what}: enough for a small shop only", remedy
    return good, what, ""


def check_warehouse(settings: Settings) -> Iterator[Finding]:
    """The warehouse: reachable, sound, and schemas and tables can be created."""
    subject = "warehouse"
    good = Status.EMBEDDED if settings.warehouse_url is None else Status.OK
    try:
        warehouse = open_warehouse(settings.warehouse, lock_timeout=_LOCK_SECONDS)
    except PlatformError as error:
        yield failed(AREA, subject, error)
        return
    if isinstance(warehouse, DuckDBWarehouse) and not warehouse.path.exists():
        yield from check_folder(subject, warehouse.path.parent, good, "SHOPSPHERE_WAREHOUSE_URL")
        return
    try:
        tables = _count_tables(warehouse)
    except TransientError as error:
        # Only one process at a time can open a DuckDB file: being in use is no fault of it.
        yield _busy(error) if warehouse.dialect == "duckdb" else failed(AREA, subject, error)
        return
    except PlatformError as error:
        yield failed(AREA, subject, error)
        return
    try:
        _try_to_create(warehouse)
    except TransientError as error:
        yield _busy(error)
        return
    except PlatformError as error:
        yield failed(AREA, subject, error)
        return
    where = warehouse.path if isinstance(warehouse, DuckDBWarehouse) else safe_url(settings.warehouse)
    yield Finding(AREA, subject, good, f"{where}: {tables} tables; schemas and tables can be created")


def _busy(error: TransientError) -> Finding:
    return Finding(AREA, "warehouse", Status.WARNING, f"{error.what}; so it was not looked into", error.remedy)


def _count_tables(warehouse: Warehouse) -> int:
    answer = warehouse.query(
        "SELECT count(*) AS tables FROM information_schema.tables"
        " WHERE table_schema NOT IN ('information_schema', 'pg_catalog')"
    )
    return int(answer["tables"][0].as_py())


def _try_to_create(warehouse: Warehouse) -> None:
    """Create a schema and a table in a transaction that is rolled back."""
    try:
        with warehouse.transaction() as transaction:
            transaction.execute(f"CREATE SCHEMA {_PROBE}")
            transaction.execute(f"CREATE TABLE {_PROBE}.probe (id bigint)")
            raise _RollBackError
    except _RollBackError:
        return


def check_dagster_storage(settings: Settings) -> Iterator[Finding]:
    """The database of Dagster's own records."""
    subject = "Dagster's records"
    if settings.dagster_storage_url is None:
        server = EmbeddedPostgres(settings.state / "postgres")
        state = "runs" if server.is_running() else "starts when it is needed"
        yield Finding(AREA, subject, Status.EMBEDDED, f"the PostgreSQL server that comes with the platform; it {state}")
        return
    try:
        database = SqlSource(settings.dagster_storage_url.get_secret_value())
        if database.dialect != "postgresql":
            yield Finding(
                AREA,
                subject,
                Status.FAILED,
                f"Dagster's records are kept in PostgreSQL, not in {database.dialect}",
                "set SHOPSPHERE_DAGSTER_STORAGE_URL to a postgresql:// URL, or unset it",
            )
            return
        may_create = database.ask("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    except PlatformError as error:
        yield failed(AREA, subject, error)
        return
    if may_create:
        yield Finding(AREA, subject, Status.OK, f"{database.name}: tables can be created")
    else:
        yield Finding(
            AREA,
            subject,
            Status.FAILED,
            f"{database.name}: the user may not create tables",
            "grant the user CREATE on the schema public, or give Dagster a database of its own",
        )


def check_dbt_project(settings: Settings) -> Iterator[Finding]:
    """The dbt project parses; what was parsed before and has not changed is not parsed again."""
    subject = "dbt project"
    if not (target_folder(settings) / "manifest.json").exists():
        what = "the models that come with the platform; the first run parses them"
        yield Finding(AREA, subject, Status.EMBEDDED, what)
        return
    try:
        manifest = prepare_manifest(settings)
    except PlatformError as error:
        yield failed(AREA, subject, error)
    except OSError as error:
        yield Finding(
            AREA,
            subject,
            Status.FAILED,
            f"its manifest cannot be written: {error.strerror} ({error.filename})",
            "make the folder writable for this user, or name another by SHOPSPHERE_HOME",
        )
    else:
        yield Finding(AREA, subject, Status.OK, f"{PROJECT_DIR} parses ({manifest.name} is up to date)")

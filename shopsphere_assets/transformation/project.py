"""Where the dbt project is, how dbt is told where the warehouse is, and the prebuilt manifest.

dbt takes seconds to parse the project; the manifest is therefore built once and used until a file of the
project or a setting that dbt reads changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from resources.errors import PermanentError
from resources.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2] / "dbt_project"

_SOURCE_FOLDERS = ("models", "macros", "snapshots", "tests", "seeds")
_FINGERPRINT = "fingerprint"
_DUCKDB_PATH = "SHOPSPHERE_DBT_DUCKDB_PATH"
_PACKAGES = ("dbt-core", "dbt-duckdb", "dbt-postgres")
_TLS_SETTINGS = ("sslmode", "sslrootcert", "sslcert", "sslkey")


def dbt_executable() -> str:
    """The dbt of this Python environment."""
    return str(Path(sys.executable).with_name("dbt"))


def dbt_target(settings: Settings) -> str:
    """The dbt target of the warehouse: ``duckdb`` or ``postgres``."""
    return "duckdb" if settings.warehouse.startswith("duckdb:") else "postgres"


def target_folder(settings: Settings) -> Path:
    """Where dbt writes what it makes."""
    return settings.state / "dbt" / dbt_target(settings)


def dbt_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that tell dbt where the warehouse is and which settings hold."""
    common = {
        "SHOPSPHERE_DBT_TARGET": dbt_target(settings),
        "SHOPSPHERE_REPORTING_TIME_ZONE": settings.reporting_time_zone,
        "DBT_TARGET_PATH": str(target_folder(settings)),
        "DBT_LOG_PATH": str(settings.state / "dbt" / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        # Its words are read in the UI and in error texts.
        "DBT_USE_COLORS": "false",
    }
    if dbt_target(settings) == "duckdb":
        return common | _duckdb_environment(settings.warehouse)
    return common | _postgres_environment(settings.warehouse)


def _duckdb_environment(warehouse: str) -> dict[str, str]:
    url = urlsplit(warehouse)
    variables = {_DUCKDB_PATH: os.path.realpath(unquote(url.path))}
    limit = parse_qs(url.query).get("memory_limit")
    return variables | ({"SHOPSPHERE_DBT_DUCKDB_MEMORY_LIMIT": limit[0]} if limit else {})


def _postgres_environment(warehouse: str) -> dict[str, str]:
    """Read by PostgreSQL's own client library, so that dbt understands the URL as the other connections do."""
    try:
        parts = conninfo_to_dict(warehouse)
    except psycopg.ProgrammingError:
        raise PermanentError(
            "the warehouse's URL cannot be understood",
            where="SHOPSPHERE_WAREHOUSE_URL",
            remedy="write it as postgresql://user:password@host:port/database, special characters percent-encoded",
        ) from None
    variables = {
        "SHOPSPHERE_DBT_POSTGRES_HOST": parts.get("host", "localhost"),
        "SHOPSPHERE_DBT_POSTGRES_PORT": parts.get("port", "5432"),
        "SHOPSPHERE_DBT_POSTGRES_USER": parts.get("user", "postgres"),
        "SHOPSPHERE_DBT_POSTGRES_PASSWORD": parts.get("password", ""),
        "SHOPSPHERE_DBT_POSTGRES_DATABASE": parts.get("dbname", "postgres"),
        # dbt's profile leaves these to the client library, which finds them in the environment.
        **{f"PG{name.upper()}": parts[name] for name in _TLS_SETTINGS if name in parts},
    }
    return {name: str(value) for name, value in variables.items()}


def prepare_manifest(settings: Settings) -> Path:
    """The path of an up-to-date manifest, built first where there is none.

    Raises :class:`PermanentError` with dbt's own words where the project does not parse.
    """
    folder = target_folder(settings)
    manifest = folder / "manifest.json"
    fingerprint = folder / _FINGERPRINT
    wanted = _project_fingerprint(settings)
    if manifest.exists() and fingerprint.exists() and fingerprint.read_text() == wanted:
        return manifest
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / "prepare.lock"):
        if manifest.exists() and fingerprint.exists() and fingerprint.read_text() == wanted:
            return manifest
        # The very arguments that a build has: others would make dbt parse everything again.
        command = [dbt_executable(), "--quiet", "parse", "--project-dir", str(PROJECT_DIR)]
        command += ["--profiles-dir", str(PROJECT_DIR), "--target", dbt_target(settings)]
        environment = {**os.environ, **dbt_environment(settings)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermanentError(
                f"the dbt project does not parse:\n{(done.stdout + done.stderr).strip()}",
                where=str(PROJECT_DIR),
                remedy="correct the model or YAML file named above",
            )
        fingerprint.write_text(wanted)
    return manifest


def remove_old_artifacts(settings: Settings, older_than: datetime) -> list[Path]:
    """Remove what builds begun before ``older_than`` left in dbt's folder; returns their folders."""
    removed = []
    for folder in sorted(target_folder(settings).glob("dbt_models-*")):
        if datetime.fromtimestamp(folder.stat().st_mtime, older_than.tzinfo) < older_than:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _project_fingerprint(settings: Settings) -> str:
    environment = dbt_environment(settings)
    # The names of relations begin with it.
    database = environment.get("SHOPSPHERE_DBT_POSTGRES_DATABASE") or Path(environment[_DUCKDB_PATH]).stem
    versions = [sys.version, *(version(name) for name in _PACKAGES)]
    digest = hashlib.sha256(repr([dbt_target(settings), settings.reporting_time_zone, database, versions]).encode())
    files = [PROJECT_DIR / "dbt_project.yml", PROJECT_DIR / "profiles.yml"]
    for folder in _SOURCE_FOLDERS:
        files += [f for f in (PROJECT_DIR / folder).rglob("*") if f.is_file()]
    for file in sorted(files):
        digest.update(str(file.relative_to(PROJECT_DIR)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

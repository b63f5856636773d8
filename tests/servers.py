"""The real servers that tests run against: how each is found, started and stopped.

Belongs here: processes and URLs. Not here: pytest's fixtures (conftest.py) and what is in the databases.
A server that cannot be had is a failure that says what to do, never a test that is silently left out.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pymysql

MARIADB_URL_VARIABLE = "SHOPSPHERE_TEST_MARIADB_URL"
CHROMIUM_VARIABLE = "SHOPSPHERE_TEST_CHROMIUM"

CHROMIUM_ARGUMENTS = (
    # The tests run as root in containers, where Chromium's sandbox cannot.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_MARIADB_START_SECONDS = 60
_MARIADB_TRIES = 5
_MARIADB_SETTINGS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_unicode_ci",
    "--default-time-zone=+00:00",
    "--local-infile=1",
    "--max-allowed-packet=64M",
    # The databases live as long as the tests: nothing is written twice or flushed to the disk.
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=128M",
    "--innodb-log-file-size=64M",
)
_NO_BINLOG = ("--skip-log-bin",)
BINLOG = (
    "--log-bin=binlog",
    "--server-id=1",
    "--sync-binlog=0",
    "--binlog-format=ROW",
    "--binlog-row-image=FULL",
    "--binlog-row-metadata=FULL",
)
"""Settings of a server whose change log can be read."""


class ServerMissingError(RuntimeError):
    """A server that tests need is not on this machine; the message says how to get it."""


@contextmanager
def running_mariadb(home: Path, settings: Sequence[str] = ()) -> Iterator[str]:
    """The URL of a MariaDB server, with a user who may do everything, and without a database name.

    The server named by the environment, else a private one in ``home`` that ends with the context. With
    ``settings`` of its own it is always a private one.
    """
    if not settings and (url := os.environ.get(MARIADB_URL_VARIABLE)):
        yield url.rstrip("/")
        return
    server, install = _program("mariadbd"), _program("mariadb-install-db")
    if server is None or install is None:
        raise ServerMissingError(
            "These tests need a MariaDB server. Install it (Debian: `apt-get install mariadb-server`; "
            "`make test` does so when run as root), or let them create databases on yours: set "
            f"{MARIADB_URL_VARIABLE}=mysql://user:password@host:port."
        )
    home.mkdir(parents=True, exist_ok=True)
    # Short names within the working directory: a socket's path has at most 107 bytes.
    account = ["--user=root"] if os.geteuid() == 0 else []
    _install_mariadb([install, "--no-defaults", f"--datadir={home / 'data'}", "--skip-test-db", *account], home)
    password = secrets.token_hex(12)
    (home / "init.sql").write_text(
        f"CREATE USER tester@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL PRIVILEGES ON *.* TO tester@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    command = [
        server,
        "--no-defaults",
        f"--datadir={home / 'data'}",
        f"--init-file={home / 'init.sql'}",
        "--socket=mariadb.sock",
        *_MARIADB_SETTINGS,
        *(settings or _NO_BINLOG),
        *account,
    ]
    process, url = _start_mariadb(command, password, home)
    try:
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _install_mariadb(command: Sequence[str], home: Path) -> None:
    """Make the system tables; again where that fails, as it may while another process does the same."""
    for tries_left in reversed(range(_MARIADB_TRIES)):
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=home)
        if done.returncode == 0:
            return
        if not tries_left:
            raise RuntimeError(f"MariaDB could not be set up:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        shutil.rmtree(home / "data", ignore_errors=True)
        time.sleep(1)


def _start_mariadb(command: Sequence[str], password: str, home: Path) -> tuple[subprocess.Popen[bytes], str]:
    """The process of a server that answers, and its URL."""
    log = home / "mariadbd.log"
    for tries_left in reversed(range(_MARIADB_TRIES)):
        port = _free_port()
        url = f"mysql://tester:{password}@127.0.0.1:{port}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, f"--port={port}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=home,
                # Ctrl-C reaches the tests, which then end the server.
                start_new_session=True,
            )
        try:
            _wait_for_mariadb(url, process, log)
        except BaseException:
            process.kill()
            process.wait()
            # Somebody else, such as the tests in another process, may have taken the port meanwhile.
            if tries_left and "Address already in use" in log.read_text(errors="replace"):
                continue
            raise
        return process, url
    raise AssertionError("the last try returns or raises")


def mariadb_execute(url: str, *statements: str) -> None:
    """Run statements on the MariaDB server at ``url``."""
    parts = urlsplit(url)
    with (
        pymysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            connect_timeout=5,
            autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


def chromium() -> Path:
    """The browser's program."""
    if path := os.environ.get(CHROMIUM_VARIABLE):
        return Path(path)
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    raise ServerMissingError(
        "These tests need the Chromium browser. Install it (Debian: `apt-get install chromium`; `make test` "
        f"does so when run as root), or set {CHROMIUM_VARIABLE} to the path of its program."
    )


def _wait_for_mariadb(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _MARIADB_START_SECONDS
    while True:
        try:
            mariadb_execute(url, "SELECT 1")
        except pymysql.err.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"MariaDB did not start:\n{log.read_text(errors='replace')[-2000:]}") from None
            time.sleep(0.05)
        else:
            return


def _program(name: str) -> str | None:
    """A server's program, also where the system keeps servers out of a normal user's path."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

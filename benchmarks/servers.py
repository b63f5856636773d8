"""The servers that benchmarks run against: a MariaDB as source, a PostgreSQL as source and warehouse.

Belongs here: starting them and making databases. Does not belong here: what is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psutil
import psycopg
import pymysql

from resources.embedded import EmbeddedPostgres
from tests.servers import running_mariadb

# The tables fit: what is measured is the reading of rows, not the source's disk.
_BUFFER_POOL_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Servers:
    """Both servers, their URLs without a database, and their processes where they are on this machine."""

    mariadb_url: str
    postgres_url: str
    processes: tuple[psutil.Process, ...]

    def mariadb(self, database: str) -> str:
        """URL of an empty database of the MariaDB server."""
        statements = f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database} CHARACTER SET utf8mb4"
        for statement in statements:
            ask_mariadb(self.mariadb_url, statement)
        return f"{self.mariadb_url}/{database}"

    def postgres(self, database: str) -> str:
        """URL of an empty database of the PostgreSQL server."""
        self.drop_postgres(database)
        with psycopg.connect(f"{self.postgres_url}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}".encode())
        return f"{self.postgres_url}/{database}"

    def drop_postgres(self, database: str) -> None:
        """Remove a database of the PostgreSQL server, if it is there."""
        with psycopg.connect(f"{self.postgres_url}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)".encode())

    def settle(self) -> None:
        """Let the servers finish what earlier work left them to do."""
        with psycopg.connect(f"{self.postgres_url}/postgres", autocommit=True) as connection:
            connection.execute("CHECKPOINT")


@contextmanager
def running_servers(home: Path) -> Iterator[Servers]:
    """Both servers, with their state below ``home``."""
    with ExitStack() as stack:
        mariadb = stack.enter_context(running_mariadb(home / "mariadb"))
        ask_mariadb(mariadb, f"SET GLOBAL innodb_buffer_pool_size = {_BUFFER_POOL_BYTES}")
        postgres = stack.enter_context(EmbeddedPostgres(home / "postgres", databases=()))
        url = postgres.url("postgres").removesuffix("/postgres")
        ports = {urlsplit(mariadb).port, urlsplit(url).port}
        yield Servers(mariadb, url, tuple(_listening_on(ports)))


def _listening_on(ports: set[int | None]) -> list[psutil.Process]:
    found = {
        connection.pid
        for connection in psutil.net_connections("tcp4")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port in ports and connection.pid
    }
    processes = [psutil.Process(number) for number in found]
    # PostgreSQL's helpers inherit the socket of their parent.
    return [process for process in processes if process.ppid() not in found]


def ask_mariadb(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement on MariaDB; its rows, if it has any."""
    parts = urlsplit(url)
    with (
        pymysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=parts.path.lstrip("/") or None,
            charset="utf8mb4",
            init_command="SET time_zone = '+00:00', sql_mode = ''",
            autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        return list(cursor.fetchall())


def mariadb_client(url: str) -> tuple[list[str], dict[str, str]]:
    """The command-line client for a URL with a database, as arguments and environment."""
    parts = urlsplit(url)
    arguments = [
        "mariadb", "--no-defaults", "--quick", "--batch", "--skip-column-names", "--default-character-set=utf8mb4",
        f"--host={parts.hostname}", f"--port={parts.port}", f"--user={unquote(parts.username or '')}",
        re.sub("^/", "", parts.path),
    ]  # fmt: skip
    return arguments, {"MYSQL_PWD": unquote(parts.password or "")}

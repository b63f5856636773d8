"""Servers whose change log can be read, for all integration tests that follow one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

from resources.embedded import LOGICAL_DECODING, EmbeddedPostgres
from tests import servers


@pytest.fixture(scope="session")
def binlog_server() -> Iterator[str]:
    """The URL of a MariaDB server that keeps a row binlog, without a database name."""
    with (
        TemporaryDirectory(prefix="shopsphere-binlog-") as folder,
        servers.running_mariadb(Path(folder), servers.BINLOG) as url,
    ):
        yield url


@pytest.fixture
def binlog_url(binlog_server: str) -> Iterator[str]:
    """The URL of a new, empty database of that server, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    servers.mariadb_execute(binlog_server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield f"{binlog_server}/{name}"
    servers.mariadb_execute(binlog_server, f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def wal_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server with logical decoding. A commit is in its log at once, so that a test finds it there."""
    with (
        TemporaryDirectory(prefix="shopsphere-wal-") as folder,
        EmbeddedPostgres(
            Path(folder), databases=(), settings={**LOGICAL_DECODING, "synchronous_commit": "on"}
        ) as server,
    ):
        yield server


@pytest.fixture
def wal_url(wal_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new, empty database of that server, dropped after the test with its replication slots."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(wal_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        yield wal_server.url(name)
        connection.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s", [name]
        )
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

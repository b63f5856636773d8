"""Places with databases of their own on servers that run already, removed when they are left."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from resources.embedded import EmbeddedPostgres
from tests import servers
from tests.exactly_once.platform import Place, duckdb_place
from tests.exactly_once.sources import ShopSource


@contextmanager
def prepared_place(
    engine: str, home: Path, source: str | EmbeddedPostgres, target: EmbeddedPostgres
) -> Iterator[Place]:
    """An empty platform with a warehouse on ``engine`` and an empty shop.

    ``source``: the server of the shop, either the URL of a MariaDB with a binlog, or a PostgreSQL with logical
    decoding. ``target``: where a PostgreSQL warehouse is made.
    """
    with ExitStack() as stack:
        if isinstance(source, str):
            url = stack.enter_context(_mariadb_database(source))
        else:
            url = stack.enter_context(postgres_database(source))
        shop = ShopSource(url, home / "files")
        yield stack.enter_context(warehouse_at(engine, home / "platform", shop, target))


@contextmanager
def warehouse_at(engine: str, home: Path, shop: ShopSource, target: EmbeddedPostgres) -> Iterator[Place]:
    """An empty platform that reads ``shop``."""
    if engine == "duckdb":
        yield duckdb_place(home, shop)
        return
    with postgres_database(target) as url:
        yield Place(home, url, shop)


@contextmanager
def _mariadb_database(server: str) -> Iterator[str]:
    name = f"exactly_once_{secrets.token_hex(4)}"
    servers.mariadb_execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield f"{server}/{name}"
    finally:
        servers.mariadb_execute(server, f"DROP DATABASE {name}")


@contextmanager
def postgres_database(server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new database, removed with its replication slots."""
    name = f"exactly_once_{secrets.token_hex(4)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield server.url(name)
    finally:
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", [name]
            )
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

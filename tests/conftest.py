"""What all tests share: their isolation from the user's environment, and the real servers.

Fixtures for one part of the platform belong into a conftest.py beside that part's tests.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import TYPE_CHECKING

import certifi
import hypothesis
import psycopg
import pytest
from psycopg import sql

from resources.embedded import EmbeddedPostgres
from tests import servers

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).resolve().parent.parent

# The same examples at every run, and no verdict that depends on how busy the machine is.
hypothesis.settings.register_profile("shopsphere", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("shopsphere")

pytest_plugins = ["tests.workers"]


def pytest_configure(config: pytest.Config) -> None:
    """Spare the tests the system's certificates, which every client of MariaDB and of HTTP would read anew in 20 ms.

    They speak to this machine only. One certificate stands for all: an empty file is refused.
    """
    file = NamedTemporaryFile("w", prefix="shopsphere-certificate-", suffix=".pem")  # noqa: SIM115
    end = "-----END CERTIFICATE-----\n"
    file.write(certifi.contents().partition(end)[0] + end)
    file.flush()
    os.environ["SSL_CERT_FILE"] = file.name
    config.add_cleanup(file.close)


@pytest.fixture(autouse=True)
def _isolation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the user's settings, state or ``.env`` file: it begins in an empty folder of its own."""
    for name in os.environ:
        if name.startswith(("SHOPSPHERE_", "DAGSTER_", "DBT_", "PG")) and not name.startswith("SHOPSPHERE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SHOPSPHERE_HOME", str(tmp_path / "var"))
    # What runs on this machine is reached directly, whatever proxy the user needs for the rest.
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The project's folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server of the tests' own.

    Outside pytest's folder, which a second session of pytest shuts off from the server's own account.
    """
    with (
        TemporaryDirectory(prefix="shopsphere-postgres-") as folder,
        EmbeddedPostgres(Path(folder), databases=()) as server,
    ):
        yield server


@pytest.fixture
def postgres_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield postgres_server.url(name)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """The URL of a MariaDB server, without a database name."""
    with TemporaryDirectory(prefix="shopsphere-mariadb-") as folder, servers.running_mariadb(Path(folder)) as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """The URL of a new, empty MariaDB database, dropped after the test."""
    name = f"test_{secrets.token_hex(6)}"
    servers.mariadb_execute(mariadb_server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield f"{mariadb_server}/{name}"
    servers.mariadb_execute(mariadb_server, f"DROP DATABASE {name}")


@pytest.fixture
def browser() -> Iterator[Browser]:
    """A headless Chromium.

    Not for the whole session: Playwright keeps an event loop running in this thread, and what other tests
    run with asyncio (Dagster, web servers) would find it.
    """
    from playwright.sync_api import sync_playwright

    executable = servers.chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, headless=True, args=list(servers.CHROMIUM_ARGUMENTS)
        )
        yield browser
        browser.close()

"""The shops and platforms that several end-to-end tests look at, each made once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pytest

from resources.embedded import EmbeddedPostgres
from simulator.simulation import read_truth
from tests import servers
from tests.end_to_end.pipeline import (
    DATABASE_SOURCES,
    TABLES,
    Platform,
    Shop,
    postgres_database,
    simulated_shop,
)
from tests.end_to_end.source_rows import delivered_rows

FIRST_DAYS = 46
"""The export of tickets breaks off on the last of these days, and is sent again on the next."""
FURTHER_DAYS = 3
SCALE = 0.03


@dataclass(frozen=True)
class State:
    """What stood at the sources and in the platform at one moment, held so that both can go on."""

    delivered: pl.DataFrame
    truth: pl.DataFrame
    raw: dict[str, pl.DataFrame]
    quarantine: pl.DataFrame
    corrections: pl.DataFrame
    batches: pl.DataFrame


def state_of(shop: Shop, platform: Platform) -> State:
    """The present state of ``shop`` and ``platform``."""
    return State(
        delivered=delivered_rows(shop),
        truth=read_truth(shop.home, standing_only=True),
        raw={label: platform.raw(label) for label in TABLES},
        quarantine=platform.quarantine(),
        # The keys of the access log are the platform's own; elsewhere its lines are known by their place.
        corrections=platform.query(
            "select c.*, _position as place from quality.corrections as c"
            " left join raw.web_logs__access_log on log_line_id = row_key order by correction_id"
        ),
        batches=platform.query("select * from ledger.batches order by started_at"),
    )


@pytest.fixture(scope="session")
def mariadb_shop_url(mariadb_server: str) -> Iterator[str]:
    """An empty MariaDB database for the shop."""
    name = f"end_to_end_{secrets.token_hex(4)}"
    servers.mariadb_execute(mariadb_server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield f"{mariadb_server}/{name}"
    servers.mariadb_execute(mariadb_server, f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def shop(
    postgres_server: EmbeddedPostgres, mariadb_shop_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A shop of :data:`FIRST_DAYS`, written to PostgreSQL and, the same, to MariaDB."""
    with (
        postgres_database(postgres_server, "shop") as shop_db,
        postgres_database(postgres_server, "catalogue") as catalogue_db,
        simulated_shop(
            tmp_path_factory.mktemp("shop"),
            dict(zip(DATABASE_SOURCES, (shop_db, catalogue_db), strict=True)),
            mariadb=mariadb_shop_url,
            days=FIRST_DAYS,
            scale=SCALE,
        ) as shop,
    ):
        yield shop


@dataclass(frozen=True)
class Loaded:
    """A platform that has loaded the shop's first days and published its marts as version 1."""

    platform: Platform
    state: State


def _loaded(shop: Shop, platform: Platform) -> Loaded:
    platform.ingest()
    platform.build()
    platform.publish()
    return Loaded(platform, state_of(shop, platform))


@pytest.fixture(scope="session")
def embedded(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """The default: the simulated sources on PostgreSQL, a DuckDB warehouse."""
    return _loaded(shop, Platform(tmp_path_factory.mktemp("embedded"), shop.variables))


@pytest.fixture(scope="session")
def on_servers(
    shop: Shop,
    postgres_server: EmbeddedPostgres,
    mariadb_shop_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Loaded]:
    """A real MariaDB as the shop, a real PostgreSQL as the catalogue, a PostgreSQL warehouse."""
    with postgres_database(postgres_server, "warehouse") as url:
        variables = {"SHOPSPHERE_SHOP_DB_URL": mariadb_shop_url, "SHOPSPHERE_WAREHOUSE_URL": url}
        yield _loaded(shop, Platform(tmp_path_factory.mktemp("on_servers"), shop.variables | variables))

"""The shop's database under test and the platform's settings that point at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.settings import load_settings
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.defs import platform
from tests.integration.defs.shop_sources import PostgresShop, ShopSource, SqliteShop


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShopSource:
    """An empty shop, which the settings name."""
    source: ShopSource
    if request.param == "sqlite":
        source = SqliteShop(tmp_path / "shop.db")
    else:
        source = PostgresShop(request.getfixturevalue("postgres_url"))
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", source.url)
    return source


@pytest.fixture
def sqlite_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteShop:
    """An empty shop where the kind of database does not matter."""
    source = SqliteShop(tmp_path / "shop.db")
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", source.url)
    return source


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's records, for one test."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def warehouse() -> Warehouse:
    """The embedded warehouse of the test's settings."""
    return open_warehouse(load_settings().warehouse, lock_timeout=10)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow at once."""
    monkeypatch.setattr(platform, "_FIRST_RETRY_SECONDS", 0.0)

"""The servers of the tests themselves: each test gets a database of its own, and a browser is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from resources.sql_source import SqlSource
from tests import servers

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_a_new_mariadb_database_is_empty_and_writable(mariadb_url: str) -> None:
    name = urlsplit(mariadb_url).path.lstrip("/")
    servers.mariadb_execute(
        mariadb_url,
        f"CREATE TABLE {name}.words (word VARCHAR(20))",
        f"INSERT INTO {name}.words VALUES ('größe'), ('日本'), ('🛒')",
    )
    found = [word for (word,) in SqlSource(mariadb_url).fetch("SELECT word FROM words")]
    assert sorted(found) == sorted(["größe", "日本", "🛒"])


def test_a_new_postgresql_database_is_empty_and_writable(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)
        connection.execute("create table words (word text)")


def test_the_browser_shows_a_page(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<h1>ShopSphere</h1>")
    assert page.inner_text("h1") == "ShopSphere"
    page.close()


def test_no_test_sees_the_settings_of_the_user(tmp_path: Path) -> None:
    assert {name for name in os.environ if name.startswith("SHOPSPHERE_")} <= {
        "SHOPSPHERE_HOME",
        servers.MARIADB_URL_VARIABLE,
        servers.CHROMIUM_VARIABLE,
    }
    assert os.environ["SHOPSPHERE_HOME"] == str(tmp_path / "var")
    assert Path.cwd() == tmp_path


def test_a_missing_server_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(servers.MARIADB_URL_VARIABLE, raising=False)
    monkeypatch.setattr(servers, "_program", lambda name: None)
    with (
        pytest.raises(servers.ServerMissingError, match="apt-get install mariadb-server"),
        servers.running_mariadb(tmp_path),
    ):
        pass

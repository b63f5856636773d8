"""How dbt is told where the warehouse is."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from resources.errors import PermanentError
from resources.settings import load_settings
from resources.warehouse.duckdb_engine import DuckDBWarehouse
from shopsphere_assets.transformation.project import dbt_environment

PASSWORD = "p@ss:w/ord%41 #é?&+'\""


def _environment(monkeypatch: pytest.MonkeyPatch, url: str) -> dict[str, str]:
    monkeypatch.setenv("SHOPSPHERE_WAREHOUSE_URL", url)
    return dbt_environment(load_settings())


def _postgres(monkeypatch: pytest.MonkeyPatch, url: str) -> dict[str, str]:
    prefix = "SHOPSPHERE_DBT_POSTGRES_"
    found = _environment(monkeypatch, url)
    return {name.removeprefix(prefix).lower(): value for name, value in found.items() if name.startswith(prefix)}


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("duckdb:///srv/warehouse.duckdb", "/srv/warehouse.duckdb"),
        ("duckdb:////srv/warehouse.duckdb", "/srv/warehouse.duckdb"),
        ("duckdb:///srv/my shop/ware house.duckdb", "/srv/my shop/ware house.duckdb"),
        ("duckdb:///srv/Gemüse 市場/w.duckdb", "/srv/Gemüse 市場/w.duckdb"),
        ("duckdb:///srv/100%25/w.duckdb", "/srv/100%/w.duckdb"),
        ("duckdb:///srv/w.duckdb?memory_limit=3GB&threads=2", "/srv/w.duckdb"),
    ],
)
def test_dbt_opens_the_very_file_that_the_platform_opens(monkeypatch: pytest.MonkeyPatch, url: str, path: str) -> None:
    found = _environment(monkeypatch, url)
    assert found["SHOPSPHERE_DBT_TARGET"] == "duckdb"
    assert found["SHOPSPHERE_DBT_DUCKDB_PATH"] == path
    assert str(DuckDBWarehouse(url).path) == path


def test_the_embedded_warehouse_may_lie_below_any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPSPHERE_HOME", "/srv/my shop/é")
    found = dbt_environment(load_settings())
    assert found["SHOPSPHERE_DBT_DUCKDB_PATH"] == "/srv/my shop/é/warehouse/shopsphere.duckdb"
    assert found["DBT_TARGET_PATH"] == "/srv/my shop/é/dbt/duckdb"
    assert found["DBT_LOG_PATH"] == "/srv/my shop/é/dbt/logs"


def test_the_memory_limit_of_the_url_holds_for_dbt_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _environment(monkeypatch, "duckdb:///srv/w.duckdb?memory_limit=3GB")
    assert found["SHOPSPHERE_DBT_DUCKDB_MEMORY_LIMIT"] == "3GB"
    assert "SHOPSPHERE_DBT_DUCKDB_MEMORY_LIMIT" not in _environment(monkeypatch, "duckdb:///srv/w.duckdb")


def test_a_password_with_special_characters_arrives_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://o%20dd%40x:{quote(PASSWORD, safe='')}@db.example.com:5433/my%20marts"
    assert _postgres(monkeypatch, url) == {
        "host": "db.example.com",
        "port": "5433",
        "user": "o dd@x",
        "password": PASSWORD,
        "database": "my marts",
    }


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://writer:secret@/marts?host=/Var/run/My%20Server&port=5433",
        "postgresql://writer:secret@%2FVar%2Frun%2FMy%20Server:5433/marts",
        "postgresql:///marts?host=/Var/run/My%20Server&port=5433&user=writer&password=secret",
    ],
)
def test_a_unix_socket_is_named_by_its_folder(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert _postgres(monkeypatch, url) == {
        "host": "/Var/run/My Server",
        "port": "5433",
        "user": "writer",
        "password": "secret",
        "database": "marts",
    }


def test_what_the_url_leaves_out_has_the_usual_values(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _postgres(monkeypatch, "postgres://db/marts")
    assert found == {"host": "db", "port": "5432", "user": "postgres", "password": "", "database": "marts"}


def test_encryption_is_demanded_of_dbt_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _environment(monkeypatch, "postgresql://u:p@db/marts?sslmode=verify-full&sslrootcert=/etc/ca.pem")
    assert found["SHOPSPHERE_DBT_TARGET"] == "postgres"
    assert found["PGSSLMODE"] == "verify-full"
    assert found["PGSSLROOTCERT"] == "/etc/ca.pem"


def test_a_url_that_cannot_be_understood_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PermanentError) as error:
        _environment(monkeypatch, "postgresql://writer:hidden%zz@db/marts")
    assert "hidden" not in str(error.value)
    assert error.value.where == "SHOPSPHERE_WAREHOUSE_URL"


def test_the_reporting_time_zone_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPSPHERE_REPORTING_TIME_ZONE", "Europe/Berlin")
    assert dbt_environment(load_settings())["SHOPSPHERE_REPORTING_TIME_ZONE"] == "Europe/Berlin"

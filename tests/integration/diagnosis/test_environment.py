"""The doctor on settings and stores: whatever is wrong is said, with a remedy, and nothing stops it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from resources.embedded import EmbeddedPostgres
from resources.warehouse import open_warehouse
from shopsphere_assets.cli.main import app
from tests.integration.diagnosis.conftest import Doctor


def test_without_any_setting_everything_is_embedded(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOPSPHERE_HOME")
    report = doctor()
    assert report.exit_code == 0
    assert {f["status"] for f in report.findings} == {"embedded"}
    assert {f["what_to_do"] for f in report.findings if f["subject"] != "channels"} == {""}
    assert not Path("var").exists(), "looking must not leave anything behind"


def test_the_table_fits_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", "oracle://" + "x" * 200)
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 1
    assert "✗ failed" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_each_wrong_setting_is_named(doctor: Doctor) -> None:
    report = doctor(lookback_hours="soon", reporting_time_zone="Mars/Olympus")
    assert report.exit_code == 1
    words = report.words("settings")
    assert "SHOPSPHERE_LOOKBACK_HOURS" in words
    assert "SHOPSPHERE_REPORTING_TIME_ZONE" in words


@pytest.mark.parametrize("setting", ["shop_db_url", "hubspot_url", "warehouse_url", "dagster_storage_url"])
@pytest.mark.parametrize("url", ["postgresql://u:secret@host:port/d", "postgresql://u:secret[@host/d"])
def test_a_url_that_cannot_be_read_is_named_without_its_password(doctor: Doctor, setting: str, url: str) -> None:
    report = doctor(**{setting: url})
    assert report.exit_code == 1
    assert f"SHOPSPHERE_{setting.upper()}" in report.words("settings")
    assert "secret" not in report.text


@pytest.mark.parametrize("variable", ["SOURCES_FILE", None])
def test_a_file_that_is_no_text_is_named(doctor: Doctor, variable: str | None) -> None:
    Path(".env" if variable is None else "sources.yml").write_bytes(b"SHOPSPHERE_HOME=v\xe4r\n")
    report = doctor(**({} if variable is None else {variable: "sources.yml"}))
    assert report.exit_code == 1
    assert "UTF-8" in report.text


def test_a_mistyped_setting_is_pointed_out(doctor: Doctor) -> None:
    Path(".env").write_text("SHOPSPHERE_WAREHOUSE_ULR=duckdb:////tmp/w.duckdb\n")
    report = doctor(shop_db_uri="mysql://reader:secret@localhost/shop")
    assert report.exit_code == 0
    assert "SHOPSPHERE_SHOP_DB_URL" in report.words("SHOPSPHERE_SHOP_DB_URI", "warning")
    assert "SHOPSPHERE_WAREHOUSE_URL" in report.words("SHOPSPHERE_WAREHOUSE_ULR", "warning")
    assert "secret" not in report.text


@pytest.mark.parametrize(
    ("settings", "subject", "words"),
    [
        ({"home": "/proc/shopsphere"}, "home folder", "SHOPSPHERE_HOME"),
        ({"home": "/dev/null/shopsphere"}, "home folder", "not a folder"),
        ({"lake_url": "s3://bucket/lake"}, "lake", "mount the bucket"),
        ({"lake_url": "/dev/null/lake"}, "lake", "not a folder"),
        ({"warehouse_url": "oracle://host/db"}, "warehouse", "duckdb:///"),
        ({"warehouse_url": "duckdb:///proc/w.duckdb"}, "warehouse", "cannot be written"),
        ({"warehouse_url": "postgresql://u:secret@127.0.0.1:1/w"}, "warehouse", "cannot be reached"),
        ({"dagster_storage_url": "mysql://u:secret@127.0.0.1/d"}, "Dagster's records", "postgresql://"),
        ({"dagster_storage_url": "postgresql://u:secret@127.0.0.1:1/d"}, "Dagster's records", "does not answer"),
        ({"sources_file": "missing.yml"}, "sources file", "cannot be read"),
    ],
)
def test_a_store_that_cannot_be_used_fails(doctor: Doctor, settings: dict[str, str], subject: str, words: str) -> None:
    report = doctor(**settings)
    assert report.exit_code == 1
    assert words in report.words(subject)
    assert "secret" not in report.text


def test_a_file_that_is_no_warehouse_fails(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    path.write_bytes(b"something else " * 1000)
    report = doctor(warehouse_url=f"duckdb:///{path}")
    assert report.exit_code == 1
    assert "not a DuckDB database" in report.words("warehouse")


def test_a_sound_duckdb_warehouse_is_left_as_it_is(doctor: Doctor, tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'w.duckdb'}"
    open_warehouse(url).prepare()
    report = doctor(warehouse_url=url)
    assert report.statuses("warehouse") == {"ok"}
    with duckdb.connect(str(tmp_path / "w.duckdb"), read_only=True) as connection:
        schemas = connection.execute("select schema_name from information_schema.schemata").fetchall()
    assert ("shopsphere_doctor",) not in schemas


def test_who_has_the_duckdb_warehouse_open_is_named(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    hold = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout
        holder.stdout.readline()
        report = doctor(warehouse_url=f"duckdb:///{path}")
        assert f"process {holder.pid}" in report.words("warehouse", "warning")
        assert report.exit_code == 0


def test_a_postgresql_user_who_may_not_create_is_told(
    doctor: Doctor, postgres_url: str, postgres_server: EmbeddedPostgres
) -> None:
    reader = _new_user(postgres_server)
    url = postgres_url.replace(postgres_url.split("@")[0], f"postgresql://{reader}:reader-password")
    report = doctor(warehouse_url=url, dagster_storage_url=url)
    assert report.exit_code == 1
    assert "lacks a permission" in report.words("warehouse")
    assert "may not create tables" in report.words("Dagster's records")
    assert "reader-password" not in report.text


def test_a_postgresql_warehouse_is_left_as_it_is(doctor: Doctor, postgres_url: str) -> None:
    report = doctor(warehouse_url=postgres_url, dagster_storage_url=postgres_url)
    assert report.statuses("warehouse") == {"ok"}
    assert report.statuses("Dagster's records") == {"ok"}
    with psycopg.connect(postgres_url) as connection:
        query = "select count(*) from pg_namespace where nspname = 'shopsphere_doctor'"
        assert connection.execute(query).fetchone() == (0,)


def _new_user(server: EmbeddedPostgres) -> str:
    name = "doctor_reader"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        if connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone() is None:
            statement = sql.SQL("create role {} login password 'reader-password'")
            connection.execute(statement.format(sql.Identifier(name)))
    return name

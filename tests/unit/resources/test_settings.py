"""Settings come from the environment or ``.env``; what is wrong is named, and no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.errors import PermanentError
from resources.settings import Settings, folder_of, load_settings


def test_unset_means_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOPSPHERE_HOME")
    settings = load_settings()
    assert settings.state == tmp_path / "var"
    assert settings.warehouse == f"duckdb:///{tmp_path}/var/warehouse/shopsphere.duckdb"
    assert settings.lake == tmp_path / "var" / "lake"
    assert settings.source_url("shop_db") is None
    assert settings.source_token("hubspot") is None
    assert settings.source_token("shop_db") is None
    assert settings.sources_file is None


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHOP_DB_URL", "LAKE_URL", "LOOKBACK_HOURS", "SOURCES_FILE"):
        monkeypatch.setenv(f"SHOPSPHERE_{name}", "")
    settings = load_settings()
    assert settings.source_url("shop_db") is None
    assert settings.sources_file is None
    assert settings.lookback_hours == 48


def test_the_environment_goes_before_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "SHOPSPHERE_SHOP_DB_URL=mysql://file@db/shop\nSHOPSPHERE_REPORTING_TIME_ZONE=Europe/Berlin\nOTHER=x\n"
    )
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", "mysql://environment@db/shop")
    settings = load_settings()
    assert settings.source_url("shop_db") == "mysql://environment@db/shop"
    assert settings.reporting_time_zone == "Europe/Berlin"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPSPHERE_SHOP_DB_URL", "mysql://ada:s3cret@db/shop")
    monkeypatch.setenv("SHOPSPHERE_WAREHOUSE_URL", "postgresql://ada:s3cret@db/dwh")
    monkeypatch.setenv("SHOPSPHERE_DAGSTER_STORAGE_URL", "postgresql://ada:s3cret@db/dagster")
    monkeypatch.setenv("SHOPSPHERE_HUBSPOT_TOKEN", "s3cret")
    monkeypatch.setenv("SHOPSPHERE_REVIEWS_TOKEN", "s3cret")
    settings = load_settings()
    for text in (str(settings), repr(settings), settings.model_dump_json()):
        assert "s3cret" not in text
    assert settings.source_url("shop_db") == "mysql://ada:s3cret@db/shop"
    assert settings.source_token("hubspot") == "s3cret"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("LOOKBACK_HOURS", "two days", "valid integer"),
        ("LOOKBACK_HOURS", "-1", "greater than or equal to 0"),
        ("QUARANTINE_LIMIT", "0", "greater than 0"),
        ("QUARANTINE_LIMIT", "1.1", "less than or equal to 1"),
        ("KEPT_PUBLICATIONS", "1", "greater than or equal to 2"),
        ("REPORTING_TIME_ZONE", "Berlin", "Europe/Berlin"),
        ("REPORTING_TIME_ZONE", "../../etc/passwd", "not a time zone"),
        ("REPORTING_TIME_ZONE", "/etc/localtime", "not a time zone"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"SHOPSPHERE_{name}", value)
    with pytest.raises(PermanentError) as caught:
        load_settings()
    assert f"SHOPSPHERE_{name}: " in caught.value.what
    assert problem in caught.value.what


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPSPHERE_LOOKBACK_HOURS", "x")
    monkeypatch.setenv("SHOPSPHERE_QUARANTINE_LIMIT", "y")
    with pytest.raises(PermanentError, match=r"SHOPSPHERE_LOOKBACK_HOURS.*SHOPSPHERE_QUARANTINE_LIMIT"):
        load_settings()


def test_an_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"SHOPSPHERE_HOME=caf\xe9\n")
    with pytest.raises(PermanentError, match="UTF-8") as caught:
        load_settings()
    assert caught.value.where.endswith(".env")


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().lookback_hours = 1  # type: ignore[misc]


def test_a_folder_is_named_by_a_path_or_a_file_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder_of("files/in") == tmp_path / "files" / "in"
    assert folder_of("/files") == Path("/files")
    assert folder_of("file:///files/in%20box") == Path("/files/in box")
    assert folder_of("file://localhost/files") == Path("/files")
    monkeypatch.setenv("HOME", "/home/ada")
    assert folder_of("~/files") == Path("/home/ada/files")


@pytest.mark.parametrize(
    "url", ["s3://key:s3cret@bucket/lake?token=s3cret", "https://example.org/files", "file://server/share"]
)
def test_a_place_that_files_are_not_read_from_is_refused(url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        folder_of(url)
    assert "s3cret" not in str(caught.value)
    assert url.partition("://")[0] in str(caught.value)

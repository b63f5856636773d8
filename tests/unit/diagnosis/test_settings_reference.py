"""The page that lists all settings is what the settings are."""

from __future__ import annotations

from pathlib import Path

from resources.settings import Settings
from shopsphere_assets.diagnosis.settings_reference import settings_reference


def test_the_page_in_the_docs_is_up_to_date(repository: Path) -> None:
    written = (repository / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_reference(), (
        "run: python -m shopsphere_assets.diagnosis.settings_reference > docs/settings.md"
    )


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())

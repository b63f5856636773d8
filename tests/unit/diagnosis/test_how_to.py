"""The mappings shown in the how-to are ones that the platform accepts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from resources.settings import Settings
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.diagnosis.finding import Status
from shopsphere_assets.diagnosis.mapped_sources import existing_tables

PAGES = ("your-own-shop.md", "connect-real-databases.md")


def blocks(page: Path) -> list[str]:
    """The page's YAML."""
    return re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_every_mapping_names_what_there_is(repository: Path, page: str, tmp_path: Path) -> None:
    found = blocks(repository / "docs" / "how-to" / page)
    assert found
    for text in found:
        path = tmp_path / "sources.yml"
        path.write_text(text, encoding="utf-8")
        settings = Settings(sources_file=path, shop_db_url="mysql://u@h/d")
        tables, findings = existing_tables(settings, source_systems())
        assert all(tables.values())
        assert {finding.status for finding in findings} == {Status.OK}, findings


def test_the_worked_example_is_the_file_beside_it(repository: Path) -> None:
    folder = repository / "docs" / "how-to"
    shown = yaml.safe_load(blocks(folder / "your-own-shop.md")[0])
    assert shown == yaml.safe_load((folder / "cdnow.yml").read_text(encoding="utf-8"))

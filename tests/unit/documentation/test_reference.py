"""The reference says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import generate
from shopsphere_assets.defs.raw import source_systems


@pytest.mark.parametrize("page", generate.PAGES)
def test_a_generated_page_is_up_to_date(page: str, repository: Path) -> None:
    written = (repository / "docs" / page).read_text(encoding="utf-8")
    assert written == generate.PAGES[page](), "run: make docs"


def test_every_rule_of_the_contracts_is_explained(repository: Path) -> None:
    text = (repository / "docs" / "reference" / "rules.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    tables = [table for system in source_systems() for table in system.tables]
    used = {"required", "type", "line.malformed", "line.truncated"}
    for table in tables:
        schema = table.contract.to_schema()
        used |= {generate.rule_name(check) for column in schema.columns.values() for check in column.checks}
        used |= {str(check.name) for check in schema.checks}
    checks = {"quarantine_share", "ledger_closes", "unique_key"}
    assert explained == used | checks

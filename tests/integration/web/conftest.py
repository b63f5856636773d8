"""The steward's page over a small quarantine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quarantined import Place, naughty_strings, opened


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A platform of its own."""
    return opened(f"duckdb://{tmp_path}/warehouse.duckdb", tmp_path)


@pytest.fixture(scope="session")
def naughty(repository: Path) -> list[str]:
    """Strings that break programs."""
    return naughty_strings(repository)

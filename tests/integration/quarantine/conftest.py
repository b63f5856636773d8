"""A shop whose rows a test changes, and a platform that reads it, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quarantined import Place, opened


@pytest.fixture
def quick(tmp_path: Path) -> Place:
    """A platform where the engine does not matter."""
    return opened(f"duckdb://{tmp_path}/warehouse.duckdb", tmp_path)


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A platform on either engine."""
    if request.param == "duckdb":
        return opened(f"duckdb://{tmp_path}/warehouse.duckdb", tmp_path)
    return opened(request.getfixturevalue("postgres_url"), tmp_path)

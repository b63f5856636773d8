"""What a batch tells people beside its counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from resources.file_source import FileOutcome, FileVersion
from shopsphere_assets.ingestion.batch import file_notes

FILE = FileVersion("tickets/tickets-2026-01-16.json.gz", 10, datetime(2026, 1, 16, tzinfo=UTC), "hash")


def outcome(status: str, note: str | None, rows: int) -> FileOutcome:
    """A file's outcome."""
    return FileOutcome(status, note, rows_read=rows, rows_rejected=0, bytes_read=10)  # type: ignore[arg-type]


def test_a_file_that_was_read_in_full_needs_no_note() -> None:
    assert list(file_notes([(FILE, outcome("read", None, 3))])) == []


@pytest.mark.parametrize(
    ("status", "note", "rows", "told"),
    [
        ("read", None, 0, "the file is empty (nothing was in it; if there should have been, drop it again)"),
        ("truncated", "the gzip ends early", 3, "the gzip ends early (what came before the cut is loaded;"),
        ("rejected", "it is no JSON", 1, "it is no JSON (nothing of it is loaded;"),
    ],
)
def test_a_file_that_was_not_names_itself_the_fault_and_the_remedy(
    status: str, note: str | None, rows: int, told: str
) -> None:
    (text,) = file_notes([(FILE, outcome(status, note, rows))])
    assert text.startswith(f"{FILE.path}: {told}")

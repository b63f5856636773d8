"""The doctor's judgement of disks."""

from __future__ import annotations

import pytest

from shopsphere_assets.diagnosis.finding import Status
from shopsphere_assets.diagnosis.stores import space


@pytest.mark.parametrize(
    ("free_bytes", "status"),
    [(0, Status.FAILED), (99_999_999, Status.FAILED), (1_000_000_000, Status.WARNING), (50_000_000_000, Status.OK)],
)
def test_a_full_disk_is_told_before_a_run_meets_it(free_bytes: int, status: Status) -> None:
    found, _what, remedy = space(free_bytes, Status.OK, "folder", "SHOPSPHERE_HOME")
    assert found is status
    assert ("SHOPSPHERE_HOME" in remedy) == (status is not Status.OK)

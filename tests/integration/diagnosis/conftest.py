"""The doctor as a program sees it: its exit status and its findings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from shopsphere_assets.cli.main import app


@dataclass(frozen=True)
class Report:
    """What ``shopsphere doctor --json`` said; ``text`` as it was printed."""

    exit_code: int
    text: str

    @property
    def findings(self) -> list[dict[str, str]]:
        """All findings."""
        findings: list[dict[str, str]] = json.loads(self.text)["findings"]
        return findings

    def statuses(self, subject: str) -> set[str]:
        """The statuses of the findings about ``subject``."""
        return {f["status"] for f in self.findings if f["subject"] == subject}

    def words(self, subject: str, status: str = "failed") -> str:
        """What is said, and recommended, about ``subject`` in its findings of this status."""
        said = [
            f"{f['what']} -> {f['what_to_do']}"
            for f in self.findings
            if (f["subject"], f["status"]) == (subject, status)
        ]
        assert said, f"nothing of status {status} about {subject} in {self.text}"
        return "\n".join(said)


Doctor = Callable[..., Report]


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Run the doctor with these settings, named in lower case and without their prefix."""

    def run(**settings: object) -> Report:
        for name, value in settings.items():
            monkeypatch.setenv(f"SHOPSPHERE_{name.upper()}", str(value))
        result = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
        return Report(result.exit_code, result.stdout)

    return run

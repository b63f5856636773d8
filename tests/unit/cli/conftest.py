"""The commands, called as a person calls them, but in this process."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from shopsphere_assets.cli.main import main


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    status: int
    output: str
    errors: str

    @property
    def usage_error(self) -> str:
        """What was said of the arguments, without the frame around it."""
        return " ".join(re.sub("[│╭╮╰╯─]", " ", self.errors).split())


Shopsphere = Callable[..., Answer]


@pytest.fixture
def shopsphere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shopsphere:
    """Runs ``shopsphere`` with the given arguments."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["shopsphere", *arguments])
        capsys.readouterr()
        status: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return Answer(int(status or 0), printed.out, printed.err)

    return run

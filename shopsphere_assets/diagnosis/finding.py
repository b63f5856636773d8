"""What a check found, and the words that several checks share.

Belongs here: the finding itself, and turning an error into one. Not here: any check.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from resources.errors import PlatformError

SOURCES = "Sources"
"""The area of all findings about source systems and their tables."""

_LISTED_NAMES = 12
# The sources' errors send people to the doctor, who is the one speaking here.
_SEE_THE_DOCTOR = "; `shopsphere doctor` tests each of them"


class Status(StrEnum):
    """How a part of the platform is."""

    OK = "ok"
    EMBEDDED = "embedded"
    """Not set, and therefore simulated or kept by the platform itself."""
    WARNING = "warning"
    """The platform works, but perhaps not as meant."""
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    ``area``: a heading; ``subject``: the setting, source, table or column it is about; ``what`` is so; the
    ``remedy``: what to do, empty where nothing has to be done.
    """

    area: str
    subject: str
    status: Status
    what: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding for programs."""
        return {
            "area": self.area,
            "subject": self.subject,
            "status": self.status.value,
            "what": self.what,
            "what_to_do": self.remedy,
        }


def failed(area: str, subject: str, error: PlatformError) -> Finding:
    """The finding that ``error`` is."""
    what = error.what if error.where in (subject, "") else f"{error.what} ({error.where})"
    return Finding(area, subject, Status.FAILED, what, error.remedy.replace(_SEE_THE_DOCTOR, ""))


def suggestion(name: str, known: Iterable[str]) -> str:
    """``did you mean …?`` where a known name is close to ``name``, else a list of what is known."""
    names = list(known)
    by_fold = {known_name.lower(): known_name for known_name in names}
    close = difflib.get_close_matches(name.lower(), by_fold, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(by_fold[c] for c in close)}?"
    return f"use one of: {listed(names)}" if names else "there is none to choose from"


def listed(names: Iterable[str]) -> str:
    """The names as an enumeration, cut where it gets long."""
    every = list(names)
    rest = len(every) - _LISTED_NAMES
    return ", ".join(every[:_LISTED_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, noun: str) -> str:
    """``1 table``, ``1,200 tables``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

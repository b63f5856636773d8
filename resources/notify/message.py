"""What is delivered, and what every channel offers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

_LONGEST_LINE = 200
# Controls, line ends of every kind, and marks that turn the direction of writing.
_NOT_IN_A_LINE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]+")


@dataclass(frozen=True)
class Message:
    """One message.

    ``id``: the same at every attempt, so that a receiver can tell that it has the message already. ``answers``: the
    ``id`` of an earlier message that it belongs to. ``data``: the same for programs.
    """

    id: str
    subject: str
    text: str
    html: str
    data: Mapping[str, Any] = field(default_factory=dict)
    answers: str | None = None


class Channel(Protocol):
    """One way to somebody."""

    name: str

    def deliver(self, message: Message) -> None:
        """Deliver the message; returns when the other side has taken it over.

        Raises :class:`TransientError` where another attempt may succeed, :class:`PermanentError` otherwise.
        """


def one_line(text: str) -> str:
    """``text`` as one line without control characters, cut where it gets long: fit for a header."""
    line = " ".join(_NOT_IN_A_LINE.sub(" ", text.encode("utf-8", "replace").decode()).split())
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"

"""Values as people see them: what differs is marked, and what cannot be seen is made visible."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from difflib import SequenceMatcher

Piece = tuple[str, str]
"""Some text and its style: empty, ``changed`` or ``hidden``."""

_LONGEST_COMPARED = 400
# Controls, blanks that look like others or like nothing, marks of direction; and blanks at either end.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffc\ud800-\udfff]|^ +| +$"
)


def pieces(value: str, other: str | None = None) -> list[Piece]:
    """``value`` in pieces, with what differs from ``other`` marked."""
    if other is None or value == other:
        return _with_hidden(value, "")
    if max(len(value), len(other)) > _LONGEST_COMPARED:
        return _with_hidden(value, "changed")
    found: list[Piece] = []
    for operation, _, _, start, end in SequenceMatcher(None, other, value, autojunk=False).get_opcodes():
        if start < end:
            found += _with_hidden(value[start:end], "" if operation == "equal" else "changed")
    return found


def _with_hidden(text: str, style: str) -> list[Piece]:
    found: list[Piece] = []
    end = 0
    for match in _HIDDEN.finditer(text):
        if match.start() > end:
            found.append((text[end : match.start()], style))
        found.append(("".join(_name(character) for character in match[0]), "hidden"))
        end = match.end()
    if end < len(text):
        found.append((text[end:], style))
    return found


def _name(character: str) -> str:
    return "·" if character == " " else f"U+{ord(character):04X}"


def moment(value: datetime | None) -> str:
    """A moment in UTC, to the minute."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if value else ""


def ago(value: datetime, now: datetime) -> str:
    """How long ago a moment was, roughly."""
    seconds = max(0.0, (now - value).total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        count = int(seconds // length)
        if count:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"

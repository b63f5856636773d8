"""Cells of a row on their way through a form field, without a change that nobody made.

A browser alters what a text field holds: line ends become CR LF, control characters vanish. What it would alter is
shown in the notation of JSON strings (``\\u0000``), and read back from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

CELL = "cell."
"""Before the name of a cell's field."""

ESCAPED = "escaped."
"""Before the name of the field that says that a cell is written in the notation of JSON strings."""

# Controls but tab and line feed, halves of characters, and what is no character.
_ALTERED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


class CellError(ValueError):
    """A field does not hold what its notation demands."""


def is_escaped(value: str | None) -> bool:
    """Whether a browser would alter the value."""
    return value is not None and _ALTERED.search(value) is not None


def to_field(value: str | None) -> str:
    """What stands in the field of a cell."""
    if value is None or not is_escaped(value):
        return value or ""
    return _ALTERED.sub(lambda found: f"\\u{ord(found[0]):04x}", value.replace("\\", "\\\\"))


def changed_cells(
    columns: Sequence[str], before: Mapping[str, str | None], form: Mapping[str, str]
) -> dict[str, str | None]:
    """The cells that somebody changed in the form. An empty field is an empty cell.

    Raises :class:`CellError` where one cannot be read.
    """
    changed: dict[str, str | None] = {}
    for name in columns:
        field = form.get(CELL + name)
        if field is None:
            continue
        text = field.replace("\r\n", "\n")
        if text == to_field(before.get(name)):
            continue
        changed[name] = (_unescaped(name, text) if ESCAPED + name in form else text) or None
    return changed


def _unescaped(name: str, text: str) -> str:
    encoded = re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', text).replace("\n", "\\n").replace("\t", "\\t")
    try:
        value: str = json.loads(f'"{encoded}"')
    except ValueError:
        raise CellError(
            f"{name} is written with \\u0000 for a control character and \\\\ for a backslash; it cannot be read so"
        ) from None
    return value

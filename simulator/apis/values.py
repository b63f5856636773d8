"""How stored text becomes JSON values and back: numbers, booleans, moments, page cursors.

Belongs here: conversions that both services use. Does not belong here: the services' field names.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def whole_number(text: str | None) -> int | str | None:
    """The number that the text spells; any other text as it is."""
    if text is not None and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    return text


def boolean(text: str | None) -> bool | str | None:
    """The truth value that the text spells; any other text as it is."""
    return {"true": True, "false": False}.get(text, text) if text is not None else None


def milliseconds(text: str | None) -> int | str | None:
    """Milliseconds since 1970 of an ISO 8601 moment; any other text as it is."""
    if text is None:
        return None
    try:
        return moment_ms(text)
    except ValueError:
        return text


def moment_ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 date or moment (UTC if it names no zone).

    Raises ValueError for any other text.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def iso_moment(value: int) -> str:
    """The ISO 8601 moment (UTC, milliseconds) of milliseconds since 1970."""
    moment = _EPOCH + timedelta(milliseconds=value)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_cursor(*values: Any) -> str:
    """An opaque page cursor."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def from_cursor(text: str, *kinds: type) -> list[Any]:
    """The values inside a page cursor. Raises ValueError for a text that is none of these kinds."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not a cursor") from error
    if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
        raise ValueError("not a cursor of this list")
    return values

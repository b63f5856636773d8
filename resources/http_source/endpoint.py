"""What an API looks like, as declared for a raw table: path, paging, selection by time, fields.

How it is asked and what happens on faults is in the modules beside this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal


@dataclass(frozen=True)
class SinglePage:
    """The first answer is all there is."""


@dataclass(frozen=True)
class BodyCursor:
    """The answer carries the next page's cursor at ``next_path``, sent back as ``parameter``.

    No cursor is the end, or, where ``more_path`` is given, anything but true at that path. HubSpot's objects
    are ``BodyCursor()``, its legacy events ``BodyCursor("offset", "offset", more_path="hasMore")``.
    """

    next_path: str = "paging.next.after"
    parameter: str = "after"
    more_path: str | None = None


@dataclass(frozen=True)
class LinkHeader:
    """The answer's ``Link`` header names the next page (``rel="next"``, RFC 8288)."""


@dataclass(frozen=True)
class Offset:
    """Pages by the number of records to skip.

    The end is an empty page, or, where ``total_path`` is given, that many records. A page shorter than asked
    for is no end: servers cap the page size.
    """

    parameter: str = "offset"
    total_path: str | None = None


@dataclass(frozen=True)
class HubSpotSearch:
    """HubSpot's search API, read in the order of change beyond its limit of ``window`` results.

    ``time_property`` and ``id_property`` are what is filtered and sorted by; ``time_path`` and ``id_path``
    where a record shows them. The search takes the place of ``Endpoint.since``.
    """

    time_property: str = "lastmodifieddate"
    time_path: str = "updatedAt"
    id_property: str = "hs_object_id"
    id_path: str = "id"
    properties: tuple[str, ...] = ()
    window: int = 10_000


Paging = SinglePage | BodyCursor | LinkHeader | Offset | HubSpotSearch


@dataclass(frozen=True)
class Since:
    """The parameter that selects records changed since a moment (that moment included)."""

    parameter: str
    format: Literal["iso", "epoch_ms", "epoch_s"] = "iso"

    def text(self, moment: datetime) -> str:
        """The moment as the API wants it."""
        if self.format == "iso":
            return iso_text(moment)
        milliseconds = epoch_milliseconds(moment)
        return str(milliseconds if self.format == "epoch_ms" else milliseconds // 1000)


@dataclass(frozen=True)
class Endpoint:
    """One list of records.

    ``fields`` maps each column to its path in a record (``properties.email``); ``records`` is the path to the
    list in the answer (empty: the answer is the list). ``constants`` are columns with the same value in every
    row. ``epoch_ms_columns`` come as milliseconds since 1970 and are given as ISO 8601 text; what is no such
    number stays as it is. ``empty_is_null`` where the API sends "" for what is not set.

    Paging, page size and ``since`` travel in the query of a GET and in the JSON body of a POST.
    """

    path: str
    fields: Mapping[str, str]
    records: str = ""
    method: Literal["GET", "POST"] = "GET"
    parameters: Mapping[str, str | int | Sequence[str]] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    paging: Paging = field(default_factory=SinglePage)
    page_size: int = 100
    page_size_parameter: str | None = "limit"
    since: Since | None = None
    constants: Mapping[str, str] = field(default_factory=dict)
    epoch_ms_columns: tuple[str, ...] = ()
    empty_is_null: bool = False


def epoch_milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970; raises ``ValueError`` for a moment without a time zone."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be compared with an API's times")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000 + delta.microseconds // 1_000


def iso_text(moment: datetime) -> str:
    """``2026-01-31T12:00:00.000Z``."""
    epoch_milliseconds(moment)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

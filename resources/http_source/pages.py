"""Walking through the pages of a list without loss, doubles or endless loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from resources import json_text
from resources.errors import PermanentError, TransientError
from resources.http_source.client import Answer, HttpClient, PassingFault, RefusedError, Request
from resources.http_source.endpoint import (
    BodyCursor,
    Endpoint,
    HubSpotSearch,
    LinkHeader,
    Offset,
    SinglePage,
    epoch_milliseconds,
)

_REFUSED_CURSOR = frozenset({400, 404, 409, 410, 422})


class CursorInvalidatedError(Exception):
    """The API no longer knows the cursor that it gave; ``error`` is its refusal."""

    def __init__(self, error: RefusedError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Page:
    """The records of one answer."""

    records: list[Any]
    size_bytes: int


def pages(client: HttpClient, endpoint: Endpoint, since: datetime | None) -> Iterator[Page]:
    """All pages of the records changed since a moment, that moment included."""
    if isinstance(endpoint.paging, HubSpotSearch):
        yield from _Search(client, endpoint, endpoint.paging).pages(since)
        return
    request: Request | None = first_request(endpoint, since, endpoint.page_size)
    seen_cursors: set[str] = set()
    seen_pages: set[bytes] = set()
    while request is not None:
        answer, records, following = _page(client, endpoint, request, seen_cursors, seen_pages)
        seen_pages.add(answer.digest)
        if following is not None and following.cursor is not None:
            seen_cursors.add(following.cursor)
        yield Page(records, answer.size_bytes)
        request = following


def _page(
    client: HttpClient,
    endpoint: Endpoint,
    request: Request,
    seen_cursors: set[str],
    seen_pages: set[bytes],
) -> tuple[Answer, list[Any], Request | None]:
    def check(answer: Answer) -> None:
        following = _following(client, endpoint, request, answer)
        is_known = following is not None and following.cursor in seen_cursors
        if is_known or (records_of(client, endpoint, answer) and answer.digest in seen_pages):
            raise PassingFault(
                TransientError(
                    "the API gave a page again that it had given before",
                    where=client.base_url + endpoint.path,
                    remedy="try again later; report it to the API's makers if it goes on",
                )
            )

    try:
        answer = client.fetch(request, check=check)
    except RefusedError as error:
        if request.cursor is not None and error.status in _REFUSED_CURSOR:
            raise CursorInvalidatedError(error) from error
        raise
    return answer, records_of(client, endpoint, answer), _following(client, endpoint, request, answer)


def first_request(endpoint: Endpoint, since: datetime | None, page_size: int) -> Request:
    """The request of the first page."""
    asked: dict[str, Any] = {}
    if endpoint.page_size_parameter is not None:
        asked[endpoint.page_size_parameter] = page_size
    if endpoint.since is not None and since is not None:
        asked[endpoint.since.parameter] = endpoint.since.text(since)
    if endpoint.method == "POST":
        return Request("POST", endpoint.path, endpoint.parameters, {**endpoint.body, **asked})
    return Request("GET", endpoint.path, {**endpoint.parameters, **asked})


def records_of(client: HttpClient, endpoint: Endpoint, answer: Answer) -> list[Any]:
    """The list in an answer; an answer without it is a fault, not an empty list."""
    records = json_text.at_path(answer.value, endpoint.records) if endpoint.records else answer.value
    if isinstance(records, list):
        return records
    raise PassingFault(
        PermanentError(
            f"the answer has no list at {endpoint.records!r}: {json_text.encode(answer.value)[:200]}",
            where=client.base_url + endpoint.path,
            remedy="compare the declared path of the records with the API's reference",
        )
    )


def _following(client: HttpClient, endpoint: Endpoint, request: Request, answer: Answer) -> Request | None:
    """The request of the next page, ``None`` after the last one."""
    match endpoint.paging:
        case BodyCursor(next_path, parameter, more_path):
            if more_path is not None and json_text.at_path(answer.value, more_path) is not True:
                return None
            cursor = json_text.as_text(json_text.at_path(answer.value, next_path))
            return _with_cursor(request, parameter, cursor) if cursor else None
        case LinkHeader():
            if answer.next_link is None:
                return None
            link = _same_host(client, answer.next_link)
            return replace(request, url=link, query={}, cursor=link)
        case Offset(parameter, total_path):
            records = records_of(client, endpoint, answer)
            reached = int(request.cursor or 0) + len(records)
            total = json_text.at_path(answer.value, total_path) if total_path else None
            if not records or (total is not None and reached >= int(total)):
                return None
            return _with_cursor(request, parameter, str(reached))
        case SinglePage() | HubSpotSearch():
            return None


def _with_cursor(request: Request, parameter: str, cursor: str) -> Request:
    if request.body is not None:
        return replace(request, body={**request.body, parameter: cursor}, cursor=cursor)
    return replace(request, query={**request.query, parameter: cursor}, cursor=cursor)


def _same_host(client: HttpClient, link: str) -> str:
    """A link to the API itself; one that leads elsewhere would carry the token there."""
    base, target = urlsplit(client.base_url), urlsplit(link)
    if not target.netloc and link.startswith("/"):
        return f"{base.scheme}://{base.netloc}{link}"
    if (target.scheme, target.netloc) != (base.scheme, base.netloc):
        raise PermanentError(
            f"the link to the next page leads to another host ({target.netloc or link[:50]})",
            where=client.base_url,
            remedy="put the host that the API calls itself by into the settings as the base URL",
        )
    return link


class _Search:
    """HubSpot's search by time of change.

    Every page starts anew from the last time seen, so that neither the limit of results nor records that
    change while they are read (and move to the end, shifting all behind them) can hide a record. Where one
    page does not get beyond a time, the records of that time are read in the order of their ids. The cursor
    is used only where the records show no usable time.
    """

    def __init__(self, client: HttpClient, endpoint: Endpoint, search: HubSpotSearch) -> None:
        self._client = client
        self._endpoint = endpoint
        self._search = search

    def pages(self, since: datetime | None) -> Iterator[Page]:
        low = epoch_milliseconds(since) if since is not None else None
        delivered: set[tuple[str, str]] = set()
        after: str | None = None
        while True:
            records, size, following = self._ask(self._from_time(low), after, self._guard(low, after, delivered))
            keys = [self._key(record) for record in records]
            yield Page([r for r, key in zip(records, keys, strict=True) if key not in delivered], size)
            if following is None:
                return
            times = [self._time(record) for record in records]
            last = self._last_time(times)
            if last is not None and (low is None or last > low):
                low, after = last, None
                delivered = {key for key, time in zip(keys, times, strict=True) if time == last}
                continue
            delivered.update(keys)
            if last is not None and last == low:
                yield from self._of_one_time(low, delivered)
                low, after, delivered = low + 1, None, set()
                continue
            if int(following) + self._endpoint.page_size > self._search.window:
                raise PermanentError(
                    f"the search cannot go on: its records show no time of change at {self._search.time_path!r}",
                    where=self._client.base_url + self._endpoint.path,
                    remedy="declare the path where a record shows the time that the search sorts by",
                )
            after = following

    def _of_one_time(self, time: int, delivered: set[tuple[str, str]]) -> Iterator[Page]:
        """The records of one time that were not delivered yet, in the order of their ids."""
        last_id: str | None = None
        while True:
            filters = [self._filter(self._search.time_property, "EQ", str(time))]
            if last_id is not None:
                filters.append(self._filter(self._search.id_property, "GT", last_id))
            selection = {
                "filterGroups": [{"filters": filters}],
                "sorts": self._sorted(self._search.id_property),
            }
            records, size, following = self._ask(selection, None, None)
            yield Page([record for record in records if self._key(record) not in delivered], size)
            if following is None or not records:
                return
            reached = json_text.as_text(json_text.at_path(records[-1], self._search.id_path))
            if reached is None or reached == last_id:
                raise TransientError(
                    "the API gave a page again that it had given before",
                    where=self._client.base_url + self._endpoint.path,
                    remedy="try again later; report it to the API's makers if it goes on",
                )
            last_id = reached

    def _from_time(self, low: int | None) -> dict[str, Any]:
        filters = [] if low is None else [self._filter(self._search.time_property, "GTE", str(low))]
        return {
            "filterGroups": [{"filters": filters}] if filters else [],
            "sorts": self._sorted(self._search.time_property),
        }

    def _ask(
        self, selection: dict[str, Any], after: str | None, check: Callable[[Answer], None] | None
    ) -> tuple[list[Any], int, str | None]:
        body = {**self._endpoint.body, **selection, "limit": self._endpoint.page_size}
        if self._search.properties:
            body["properties"] = list(self._search.properties)
        if after is not None:
            body["after"] = after
        request = Request("POST", self._endpoint.path, self._endpoint.parameters, body, cursor=after)
        try:
            answer = self._client.fetch(request, check=check or self._has_records)
        except RefusedError as error:
            if after is not None and error.status in _REFUSED_CURSOR:
                raise CursorInvalidatedError(error) from error
            raise
        following = json_text.as_text(json_text.at_path(answer.value, "paging.next.after"))
        return records_of(self._client, self._endpoint, answer), answer.size_bytes, following or None

    def _has_records(self, answer: Answer) -> None:
        records_of(self._client, self._endpoint, answer)

    def _guard(self, low: int | None, after: str | None, delivered: set[tuple[str, str]]) -> Callable[[Answer], None]:
        def check(answer: Answer) -> None:
            records = records_of(self._client, self._endpoint, answer)
            times = [time for record in records if (time := self._time(record)) is not None]
            is_too_old = bool(times) and low is not None and max(times) < low
            is_known = after is not None and all(self._key(record) in delivered for record in records)
            if records and (is_too_old or is_known):
                raise PassingFault(
                    TransientError(
                        "the API gave a page again that it had given before",
                        where=self._client.base_url + self._endpoint.path,
                        remedy="try again later; report it to the API's makers if it goes on",
                    )
                )

        return check

    @staticmethod
    def _filter(name: str, operator: str, value: str) -> dict[str, str]:
        return {"propertyName": name, "operator": operator, "value": value}

    @staticmethod
    def _sorted(name: str) -> list[dict[str, str]]:
        return [{"propertyName": name, "direction": "ASCENDING"}]

    @staticmethod
    def _last_time(times: list[int | None]) -> int | None:
        """The time of the last record of a page that is in order; a page out of order tells none."""
        known = [time for time in times if time is not None]
        return known[-1] if known and len(known) == len(times) and known == sorted(known) else None

    def _key(self, record: Any) -> tuple[str, str]:
        """What tells one state of a record from another."""
        return (
            json_text.as_text(json_text.at_path(record, self._search.id_path)) or json_text.encode(record),
            json_text.as_text(json_text.at_path(record, self._search.time_path)) or "",
        )

    def _time(self, record: Any) -> int | None:
        text = json_text.as_text(json_text.at_path(record, self._search.time_path)) or ""
        if text.isdecimal():
            return int(text)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return epoch_milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def probe_request(endpoint: Endpoint, since: datetime | None, page_size: int) -> Request:
    """One page of what changed after a moment, that moment excluded."""
    later = since + timedelta(milliseconds=1) if since is not None else None
    if not isinstance(endpoint.paging, HubSpotSearch):
        return first_request(endpoint, later, page_size)
    search = endpoint.paging
    filters: list[Mapping[str, str]] = (
        []
        if later is None
        else [{"propertyName": search.time_property, "operator": "GTE", "value": str(epoch_milliseconds(later))}]
    )
    body = {
        **endpoint.body,
        "filterGroups": [{"filters": filters}] if filters else [],
        "sorts": [{"propertyName": search.time_property, "direction": "ASCENDING"}],
        "limit": page_size,
    }
    return Request("POST", endpoint.path, endpoint.parameters, body)

"""An HTTP API as a source: chunks of rows of a declared endpoint, and cheap questions for sensors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import polars as pl

from resources import json_text
from resources.errors import TransientError
from resources.http_source.client import Answer, HttpClient, Token
from resources.http_source.endpoint import Endpoint
from resources.http_source.pages import CursorInvalidatedError, pages, probe_request, records_of
from resources.reading import POSITION, REJECTED_SCHEMA, Chunk

_ROWS_A_CHUNK = 5_000
_PROBE_ATTEMPTS = 2
_PROBE_WAIT_SECONDS = 2.0


class HttpSource:
    """An API at ``base_url``.

    ``token``: bearer token, or a function that gives one (asked again once when the API answers 401).
    ``headers``: further headers, treated as secrets. ``longest_wait_seconds`` caps ``Retry-After``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
        requests_per_second: float | None = None,
        attempts: int = 6,
        longest_wait_seconds: float = 60.0,
    ) -> None:
        self._client = HttpClient(
            base_url,
            token=token,
            headers=headers or {},
            timeout_seconds=timeout_seconds,
            requests_per_second=requests_per_second,
            attempts=attempts,
            longest_wait_seconds=longest_wait_seconds,
        )

    def __repr__(self) -> str:
        return f"HttpSource({self._client.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def read(self, endpoint: Endpoint, since: datetime | None = None) -> Iterator[Chunk]:
        """The records changed since a moment (that moment included) as text, in chunks of about 5,000 rows.

        When the API forgets its cursor midway, the read begins again from ``since``, once: rows may then come
        twice, so merge by key. Raises :class:`TransientError` or :class:`PermanentError`.
        """
        try:
            yield from self._read_once(endpoint, since)
        except CursorInvalidatedError:
            try:
                yield from self._read_once(endpoint, since)
            except CursorInvalidatedError as again:
                raise TransientError(
                    f"the cursor became invalid midway, twice: {again.error.what}",
                    where=again.error.where,
                    remedy="try again later; a smaller range or fewer changes at the source help",
                ) from again.error

    def has_changes(self, endpoint: Endpoint, since: datetime | None) -> bool:
        """Whether anything changed after a moment (that moment excluded): one request for one record."""
        return bool(self._probe(endpoint, since, page_size=1)[0])

    def fingerprint(self, endpoint: Endpoint, since: datetime | None) -> str | None:
        """A text that tells what changed after a moment, as far as one page shows it; ``None`` for nothing.

        For sensors: records whose own time is unusable can stay "newer" than every watermark; asking again
        for the same text would be in vain.
        """
        records, total = self._probe(endpoint, since, page_size=endpoint.page_size)
        if not records:
            return None
        return hashlib.sha256(json_text.encode([total, *records]).encode("utf-8", "backslashreplace")).hexdigest()

    def _probe(self, endpoint: Endpoint, since: datetime | None, page_size: int) -> tuple[list[Any], Any]:
        def check(answer: Answer) -> None:
            records_of(self._client, endpoint, answer)

        answer = self._client.fetch(
            probe_request(endpoint, since, page_size),
            check=check,
            attempts=_PROBE_ATTEMPTS,
            longest_wait_seconds=_PROBE_WAIT_SECONDS,
        )
        return records_of(self._client, endpoint, answer), json_text.at_path(answer.value, "total")

    def _read_once(self, endpoint: Endpoint, since: datetime | None) -> Iterator[Chunk]:
        collected = _Collected(endpoint)
        for number, page in enumerate(pages(self._client, endpoint, since), start=1):
            collected.add(number, page.records, page.size_bytes)
            if collected.count >= _ROWS_A_CHUNK:
                yield collected.take()
        if collected.count or collected.size_bytes:
            yield collected.take()


class _Collected:
    """Records on their way into a chunk."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._clear()

    def _clear(self) -> None:
        self._rows: list[list[str | None]] = []
        self._rejected: list[tuple[str, str, str, str]] = []
        self.size_bytes = 0

    @property
    def count(self) -> int:
        return len(self._rows) + len(self._rejected)

    def add(self, page: int, records: list[Any], size_bytes: int) -> None:
        self.size_bytes += size_bytes
        for number, record in enumerate(records, start=1):
            position = f"{self._endpoint.path} page {page} item {number}"
            if not isinstance(record, Mapping):
                self._reject(position, record, "a record that is not an object")
                continue
            row = [json_text.as_text(json_text.at_path(record, path)) for path in self._endpoint.fields.values()]
            if json_text.has_lone_surrogate(row):
                self._reject(position, record, "bytes or escapes that are no Unicode text")
            else:
                self._rows.append([*row, position])

    def _reject(self, position: str, record: Any, detail: str) -> None:
        raw = json_text.printable(json_text.encode(record))
        self._rejected.append((position, raw, "line.malformed", detail))

    def take(self) -> Chunk:
        """The chunk of what was added since the last one."""
        endpoint = self._endpoint
        rows = json_text.text_frame([*endpoint.fields, POSITION], self._rows)
        rows = rows.with_columns(
            *(_iso_from_epoch(column) for column in endpoint.epoch_ms_columns),
            *(pl.lit(value).alias(column) for column, value in endpoint.constants.items()),
        )
        if endpoint.empty_is_null:
            rows = rows.with_columns(
                pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in rows.columns
            )
        rejected = pl.DataFrame(self._rejected, schema=REJECTED_SCHEMA, orient="row") if self._rejected else None
        chunk = Chunk(rows=rows.select(pl.exclude(POSITION), POSITION), bytes_read=self.size_bytes, rejected=rejected)
        self._clear()
        return chunk


def _iso_from_epoch(column: str) -> pl.Expr:
    """Milliseconds since 1970 as ISO 8601; text that is no such number stays."""
    return pl.col(column).map_elements(_iso_text, return_dtype=pl.String)


def _iso_text(text: str) -> str:
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        return text
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(text))
    except OverflowError:
        return text
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Asking an HTTP API for JSON: rate limit, retries of passing faults, and errors that name no secret.

What is asked for, and what the answers mean, is not here.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import stamina

from resources import json_text
from resources.errors import PermanentError, PlatformError, TransientError, safe_url

_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
_EXCERPT_CHARACTERS = 200
_WAIT_FIRST_SECONDS = 0.5
_WAIT_MOST_SECONDS = 30.0
_REMEDIES = {
    400: "compare the declared parameters with the API's reference",
    401: "the token is wrong or has expired: put a valid one into the settings",
    403: "give the token the scopes that this path needs",
    404: "check the base URL and the path",
    410: "the API has withdrawn this path: look for its successor",
}

Token = str | Callable[[], str]


class RefusedError(PermanentError):
    """The API refused the request; ``status`` is its HTTP status."""

    def __init__(self, what: str, *, where: str, remedy: str, status: int) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.status = status


class PassingFault(Exception):
    """A fault worth another attempt; ``error`` is what is raised when no attempt is left."""

    def __init__(self, error: PlatformError, wait_seconds: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Request:
    """What to ask: ``url`` is a path below the base URL or an absolute URL on the same host."""

    method: str
    url: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    cursor: str | None = None

    @property
    def place(self) -> str:
        """The path, for messages."""
        return safe_url(self.url).partition("?")[0]


@dataclass(frozen=True)
class Answer:
    """A JSON answer: its value, size, digest of its bytes and the ``Link`` to the next page."""

    value: Any
    size_bytes: int
    digest: bytes
    next_link: str | None


class HttpClient:
    """Requests to one API, one at a time and no faster than ``requests_per_second``.

    ``token`` is sent as ``Authorization: Bearer``; a function is asked for a new one, once, after a 401.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None,
        headers: Mapping[str, str],
        timeout_seconds: float,
        requests_per_second: float | None,
        attempts: int,
        longest_wait_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = _base_parts(base_url)
        self.base_url = str(parts.copy_with(userinfo=b"")).rstrip("/")
        self._token = token
        self._headers = dict(headers)
        self._bearer: str | None = None
        self._attempts = attempts
        self._longest_wait_seconds = longest_wait_seconds
        self._interval = 1 / requests_per_second if requests_per_second else 0.0
        self._sleep = sleep
        self._clock = clock
        self._next_start = 0.0
        self._lock = threading.Lock()
        self._http = httpx.Client(
            timeout=timeout_seconds,
            headers={"Accept": "application/json", **self._headers},
            auth=(parts.username, parts.password) if parts.username else None,
        )
        # Who reads a table once does not close the source; its connections must not outlive it.
        weakref.finalize(self, self._http.close)
        self._secrets = [secret for secret in (*self._headers.values(), parts.password) if len(secret) > 3]

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def fetch(
        self,
        request: Request,
        *,
        check: Callable[[Answer], None] | None = None,
        attempts: int | None = None,
        longest_wait_seconds: float | None = None,
    ) -> Answer:
        """The answer to a request.

        ``check`` may raise :class:`PassingFault` for an answer that is JSON but not what it should be. Raises
        :class:`TransientError` when a passing fault outlasts the attempts, :class:`PermanentError` otherwise.
        """
        longest_wait = self._longest_wait_seconds if longest_wait_seconds is None else longest_wait_seconds

        def wait_for(error: Exception) -> bool | float:
            if not isinstance(error, PassingFault):
                return False
            return True if error.wait_seconds is None else min(error.wait_seconds, longest_wait)

        try:
            for attempt in stamina.retry_context(
                on=wait_for,
                attempts=attempts or self._attempts,
                timeout=None,
                wait_initial=min(_WAIT_FIRST_SECONDS, longest_wait),
                wait_max=min(_WAIT_MOST_SECONDS, longest_wait),
            ):
                with attempt:
                    answer = self._ask(request)
                    if check is not None:
                        check(answer)
                    return answer
        except PassingFault as fault:
            raise fault.error from None
        raise AssertionError("an attempt either returns or raises")

    def _ask(self, request: Request) -> Answer:
        where = self.base_url + request.place if request.url.startswith("/") else request.place
        response = self._send(request, where)
        if response.status_code == 401 and callable(self._token):
            self._bearer = None
            response = self._send(request, where)
        return self._judged(response, where)

    def _send(self, request: Request, where: str) -> httpx.Response:
        url = self.base_url + request.url if request.url.startswith("/") else request.url
        self._wait_for_turn()
        try:
            return self._http.request(
                request.method,
                url,
                params=dict(request.query) or None,
                json=request.body,
                headers=self._authorization(),
            )
        except httpx.TimeoutException:
            raise PassingFault(
                TransientError("the API did not answer in time", where=where, remedy="try again later")
            ) from None
        except httpx.RequestError as error:
            what = f"the connection failed: {self._excerpt(str(error)) or type(error).__name__}"
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                remedy = "check the base URL and the certificate authorities of this machine"
                raise PermanentError(what, where=where, remedy=remedy) from None
            remedy = "check the base URL and the network if it goes on"
            raise PassingFault(TransientError(what, where=where, remedy=remedy)) from None

    def _authorization(self) -> dict[str, str]:
        if self._token is None:
            return {}
        if self._bearer is None:
            bearer = (self._token() if callable(self._token) else self._token).strip()
            if not bearer.isascii() or not bearer.isprintable():
                raise PermanentError(
                    "the token holds a character that cannot stand in a header",
                    where=self.base_url,
                    remedy="copy the token anew into the settings",
                )
            self._bearer = bearer
            self._secrets.append(bearer)
        return {"Authorization": f"Bearer {self._bearer}"}

    def _wait_for_turn(self) -> None:
        with self._lock:
            now = self._clock()
            start = max(now, self._next_start)
            self._next_start = start + self._interval
        if start > now:
            self._sleep(start - now)

    def _judged(self, response: httpx.Response, where: str) -> Answer:
        """The answer, or the fault that it is."""
        status = response.status_code
        text = response.content.decode("utf-8-sig", "surrogateescape")
        excerpt = self._excerpt(text)
        if status in _PASSING_STATUS:
            raise PassingFault(
                TransientError(
                    f"the API answered {status}: {excerpt}",
                    where=where,
                    remedy="try again later; lower requests_per_second if it is the rate limit",
                ),
                retry_after_seconds(response.headers),
            )
        if not 200 <= status < 300:
            remedy = _REMEDIES.get(status, "compare the request with the API's reference")
            if 300 <= status < 400:
                target = safe_url(response.headers.get("Location", "elsewhere"))
                excerpt = f"it sends to {self._excerpt(target)}"
                remedy = "put the address that it sends to into the settings as the base URL"
            raise RefusedError(f"the API answered {status}: {excerpt}", where=where, remedy=remedy, status=status)
        if "html" in response.headers.get("Content-Type", "") or text.lstrip()[:1] == "<":
            # A proxy's or a sign-in page; it passes where a gateway only restarts.
            raise PassingFault(
                PermanentError(
                    f"a web page came instead of JSON (status {status}): {excerpt}",
                    where=where,
                    remedy="check the base URL, and whether a proxy or a sign-in page stands before the API",
                )
            )
        try:
            value = json_text.parse(text)
        except json.JSONDecodeError as error:
            raise PassingFault(
                TransientError(
                    f"the answer is not complete JSON ({error.msg} at character {error.pos + 1}): {excerpt}",
                    where=where,
                    remedy="try again later",
                )
            ) from None
        return Answer(
            value=value,
            size_bytes=len(response.content),
            digest=hashlib.sha256(response.content).digest(),
            next_link=response.links.get("next", {}).get("url"),
        )

    def _excerpt(self, text: str) -> str:
        """The beginning of a text without the secrets, which servers like to echo."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = " ".join(json_text.printable(text).split())
        return text[:_EXCERPT_CHARACTERS] + ("…" if len(text) > _EXCERPT_CHARACTERS else "")


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, given as seconds or as a date; ``None`` without one.

    A date is compared with the server's own clock (the ``Date`` header) where it is told.
    """
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    until, now = _http_date(value), _http_date(headers.get("Date", "")) or datetime.now(UTC)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _base_parts(base_url: str) -> httpx.URL:
    try:
        parts = httpx.URL(base_url)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise PermanentError(
            "the base URL of the API is not an http:// or https:// URL",
            where=safe_url(base_url),
            remedy="write it as https://host/path",
        )
    return parts

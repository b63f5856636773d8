"""What both simulated services have in common: requests, answers, errors, and how faults are shown.

Belongs here: the guard around every endpoint. Does not belong here: endpoints.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL, Headers, QueryParams
from starlette.requests import Request
from starlette.responses import Response

from simulator.apis.faults import Fault, Faults, Verdict
from simulator.apis.store import ApiStore

RETRY_AFTER_SECONDS = 1
"""The rate limit counts the requests of one second."""

HTML_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n"
    "<body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>\n"
)


class ApiError(Exception):
    """A request that the service refuses: HTTP status, the kind in the service's own words, a message."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message


@dataclass(frozen=True)
class Call:
    """One request, read."""

    url: URL
    query: QueryParams
    headers: Headers
    path: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """What a service answers: JSON content, HTTP status, further headers."""

    content: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The content as sent."""
        return json.dumps(self.content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class Service(ABC):
    """A service: its endpoints (methods of subclasses that turn a call into an answer) and its wording."""

    def __init__(self, store: ApiStore) -> None:
        self.store = store

    @abstractmethod
    def refusal(self, error: ApiError) -> Answer:
        """How the service words an error."""

    @abstractmethod
    def invalid_request(self, message: str) -> ApiError:
        """The error for a request that cannot be understood."""

    @abstractmethod
    def trouble(self, fault: Fault | None) -> ApiError:
        """The error for a fault; none: the token is not the right one."""

    @abstractmethod
    def rate_headers(self, verdict: Verdict) -> dict[str, str]:
        """The headers that tell a client where it stands with the rate limit."""

    def limit(self, call: Call, name: str, *, default: int, most: int) -> int:
        """The page size that the call asks for."""
        text = call.query.get(name)
        return default if text is None else self.checked_limit(text, name, most=most)

    def checked_limit(self, value: object, name: str, *, most: int) -> int:
        """``value`` as a page size between 1 and ``most``, or an error."""
        if not str(value).isascii() or not str(value).isdecimal() or not 1 <= int(str(value)) <= most:
            raise self.invalid_request(f"{name} must be a whole number between 1 and {most}, not {value!r}.")
        return int(str(value))


def guarded(
    service: Service, handler: Callable[[Call], Answer], *, token: str, faults: Faults
) -> Callable[[Request], Any]:
    """An endpoint: checks the token, meets the fault whose turn it is, calls the handler."""

    async def endpoint(request: Request) -> Response:
        verdict = faults.judge()
        headers = service.rate_headers(verdict)
        expected = f"Bearer {token}"
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            return _response(service.refusal(service.trouble(None)), headers)
        if verdict.fault is Fault.RATE_LIMITED:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if verdict.fault in (Fault.RATE_LIMITED, Fault.EXPIRED_TOKEN, Fault.SERVER_ERROR):
            return _response(service.refusal(service.trouble(verdict.fault)), headers)
        if verdict.fault is Fault.HTML:
            return Response(HTML_PAGE, 200, headers, media_type="text/html")
        if verdict.fault is Fault.SLOW:
            await asyncio.sleep(faults.slow_seconds)
        raw = await request.body()
        answer = await run_in_threadpool(_answered, service, handler, request, raw)
        if verdict.fault is Fault.TRUNCATED_JSON:
            body = answer.encoded()
            return Response(body[: len(body) * 2 // 3], answer.status, headers, media_type="application/json")
        return _response(answer, headers)

    return endpoint


def _answered(service: Service, handler: Callable[[Call], Answer], request: Request, raw: bytes) -> Answer:
    try:
        try:
            body = json.loads(raw) if raw else None
        except ValueError as error:
            raise service.invalid_request(f"Invalid input JSON: {error}") from error
        path = {name: str(value) for name, value in request.path_params.items()}
        return handler(Call(request.url, request.query_params, request.headers, path, body))
    except ApiError as error:
        return service.refusal(error)


def _response(answer: Answer, headers: dict[str, str]) -> Response:
    body = b"" if answer.status == 304 else answer.encoded()
    return Response(body, answer.status, headers | answer.headers, media_type="application/json;charset=utf-8")

"""What keeps the page from being used by others: hosts, origins, tokens and headers.

The page listens on this machine only and asks for no password: whoever can open a connection to it may decide. What
is kept out are other sites in the same browser: their requests (by origin and token), and pages that bear another
name than this machine's (DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
TOKEN_COOKIE = "steward_token"
TOKEN_FIELD = "token"

_LARGEST_FORM_BYTES = 2_000_000
_MOST_FIELDS = 2_000

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none';"
    " base-uri 'none'"
)
# Reports carry their own styles. In a sandbox they are of no origin: whatever is in them cannot act on this page.
_REPORT_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline';"
    " img-src data:; font-src data:; frame-ancestors 'none'; base-uri 'none'"
)


class FormError(Exception):
    """A request that no form of this page makes; ``status`` is the answer's."""

    def __init__(self, what: str, status: int = 400) -> None:
        self.status = status
        super().__init__(what)


class SecurityMiddleware:
    """Answers only under this machine's names, and gives every answer its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = _REPORT_POLICY if scope["path"].startswith("/reports/") else _PAGE_POLICY

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["X-Frame-Options"] = "DENY"
                headers["Referrer-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if (urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname or "") not in HOSTS:
            answer: Response = PlainTextResponse("This page is only for this machine.", status_code=421)
            await answer(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def token_of(request: Request) -> str:
    """The token of this browser, which its forms must send back; a new one where it has none."""
    known = request.cookies.get(TOKEN_COOKIE, "")
    return known if len(known) >= 32 and known.isascii() else secrets.token_urlsafe(32)


def remember_token(response: Response, token: str) -> None:
    """Have the browser keep its token, for this page alone."""
    response.set_cookie(TOKEN_COOKIE, token, httponly=True, samesite="strict", path="/")


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form of this page. Raises :class:`FormError` for what another site, or nobody's form, sent."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    is_foreign = origin is not None and origin != own
    if is_foreign or request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise FormError("another site sent this form", 403)
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise FormError("this is no form", 415)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_FORM_BYTES:
            raise FormError("the form is too large", 413)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise FormError("the form cannot be read") from error
    fields = dict(pairs)
    sent, known = fields.pop(TOKEN_FIELD, ""), request.cookies.get(TOKEN_COOKIE, "")
    if not known or not hmac.compare_digest(sent.encode(), known.encode()):
        raise FormError("the form is out of date: go back, load the page again and repeat", 403)
    return fields

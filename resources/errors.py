"""Errors that a person can act on: what happened, where, and what to do about it.

A :class:`TransientError` may pass by itself and is worth a retry; a :class:`PermanentError` will not and
fails at once. Anything else that is raised is a defect of the platform.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_URL_PASSWORD = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*):\S*@", re.IGNORECASE)


class PlatformError(Exception):
    """An error with a cause a person can name.

    ``what`` happened, ``where`` (a system, file or table; never a secret), and the ``remedy``.
    """

    def __init__(self, what: str, *, where: str, remedy: str) -> None:
        self.what = redact(what)
        self.where = redact(where)
        self.remedy = remedy
        super().__init__(f"{self.what}\n  where: {self.where}\n  what to do: {remedy}")


class TransientError(PlatformError):
    """A fault that may pass: a connection that broke, a rate limit, a server that restarts."""


class PermanentError(PlatformError):
    """A fault that a retry does not mend: a wrong password, a missing column, a malformed file."""


class StructureError(PermanentError):
    """The columns of a source are not those that were asked for, or not those it had before."""


def redact(text: str) -> str:
    """``text`` without the passwords of the URLs in it."""
    return _URL_PASSWORD.sub(r"\g<head>:***@", text)


def safe_url(url: str) -> str:
    """``url`` without password and query, fit for messages and metadata."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    user = parts.username
    return urlunsplit((parts.scheme, f"{user}@{host}" if user else host, parts.path, "", ""))

"""HTTP APIs as sources: declared endpoints, paging, retries, rate limits."""

from __future__ import annotations

from resources.http_source.endpoint import (
    BodyCursor,
    Endpoint,
    HubSpotSearch,
    LinkHeader,
    Offset,
    Paging,
    Since,
    SinglePage,
)
from resources.http_source.source import HttpSource

__all__ = [
    "BodyCursor",
    "Endpoint",
    "HttpSource",
    "HubSpotSearch",
    "LinkHeader",
    "Offset",
    "Paging",
    "Since",
    "SinglePage",
]

"""The endpoints of the ratings and reviews service.

Belongs here: paths, parameters, fields and wording of that service. Does not belong here: faults
(``faults``), authentication (``service``), storage (``store``).
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Any

from simulator.apis.faults import Fault, Verdict
from simulator.apis.service import Answer, ApiError, Call, Service
from simulator.apis.store import REVIEWS
from simulator.apis.values import boolean, from_cursor, moment_ms, to_cursor, whole_number

CONVERSIONS = {
    "product_id": whole_number,
    "customer_id": whole_number,
    "rating": whole_number,
    "is_verified_purchase": boolean,
}

TROUBLE: dict[Fault | None, tuple[int, str, str]] = {
    None: (401, "unauthorized", "The bearer token is missing or wrong."),
    Fault.EXPIRED_TOKEN: (401, "unauthorized", "The bearer token has expired."),
    Fault.RATE_LIMITED: (429, "rate_limited", "Too many requests; see Retry-After."),
    Fault.SERVER_ERROR: (500, "internal", "Something went wrong on our side."),
}


class ReviewsService(Service):
    """The reviews service's API."""

    def refusal(self, error: ApiError) -> Answer:
        """The service's error body."""
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        return Answer({"error": {"code": error.kind, "message": error.message}}, error.status, headers)

    def invalid_request(self, message: str) -> ApiError:
        """400 invalid_request."""
        return ApiError(400, "invalid_request", message)

    def trouble(self, fault: Fault | None) -> ApiError:
        """401, 429 or 500 in the service's words."""
        return ApiError(*TROUBLE[fault])

    def rate_headers(self, verdict: Verdict) -> dict[str, str]:
        """Rate limit headers of the usual kind."""
        return {
            "RateLimit-Limit": str(verdict.limit),
            "RateLimit-Remaining": str(verdict.remaining),
            "RateLimit-Reset": "1",
        }

    def list_reviews(self, call: Call) -> Answer:
        """``GET /v1/reviews``: oldest change first, pages by keyset behind an opaque cursor."""
        size = self.limit(call, "page_size", default=100, most=500)
        conditions, values = ["1"], []
        if since := call.query.get("updated_since"):
            conditions.append("_changed_ms >= ?")
            values.append(self._moment(since))
        if cursor := call.query.get("cursor"):
            conditions.append("(_changed_ms, review_id) > (?, ?)")
            values += self._cursor(cursor)
        rows = self.store.rows(
            f"SELECT * FROM {REVIEWS.name} WHERE {' AND '.join(conditions)} ORDER BY _changed_ms, review_id LIMIT ?",
            (*values, size + 1),
        )
        content: dict[str, Any] = {"reviews": [review(row) for row in rows[:size]], "next_cursor": None}
        headers = {}
        if len(rows) > size:
            content["next_cursor"] = to_cursor(rows[size - 1]["_changed_ms"], rows[size - 1]["review_id"])
            following = call.url.include_query_params(cursor=content["next_cursor"])
            headers["Link"] = f'<{following}>; rel="next"'
        return _tagged(call, Answer(content, headers=headers))

    def get_review(self, call: Call) -> Answer:
        """``GET /v1/reviews/{review_id}``."""
        rows = self.store.rows(f"SELECT * FROM {REVIEWS.name} WHERE review_id = ?", (call.path["review_id"],))
        if not rows:
            raise ApiError(404, "not_found", f"There is no review {call.path['review_id']!r}.")
        return _tagged(call, Answer(review(rows[0])))

    def _moment(self, text: str) -> int:
        try:
            return moment_ms(text)
        except ValueError:
            raise self.invalid_request(f"updated_since must be an ISO 8601 moment, not {text!r}.") from None

    def _cursor(self, text: str) -> list[Any]:
        try:
            return from_cursor(text, int, str)
        except ValueError:
            raise self.invalid_request(f"cursor is not a value that an earlier page gave: {text!r}.") from None


def review(row: sqlite3.Row) -> dict[str, Any]:
    """A review as the service shows it."""
    return {column: CONVERSIONS.get(column, str_or_none)(row[column]) for column in REVIEWS.columns}


def str_or_none(text: str | None) -> str | None:
    """Text as it is."""
    return text


def _tagged(call: Call, answer: Answer) -> Answer:
    """The answer with its ETag, or 304 for a client that has it already."""
    tag = f'"{hashlib.sha256(answer.encoded()).hexdigest()[:32]}"'
    headers = answer.headers | {"ETag": tag}
    if call.headers.get("if-none-match") == tag:
        return Answer(None, 304, headers)
    return Answer(answer.content, answer.status, headers)

"""HubSpot's endpoints: contacts, marketing e-mails, e-mail events; such that its official client works.

Belongs here: paths, parameters, fields and wording of HubSpot's public API. Does not belong here: faults
(``faults``), authentication (``service``), storage (``store``).
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import QueryParams

from simulator.apis.faults import Fault, Verdict
from simulator.apis.service import Answer, ApiError, Call, Service
from simulator.apis.values import (
    boolean,
    from_cursor,
    iso_moment,
    milliseconds,
    moment_ms,
    to_cursor,
    whole_number,
)

SEARCH_CAP = 10_000
"""The search never shows more than this many results of one query."""

PORTAL_ID = 4_815_162
APP_ID = 113

# HubSpot's internal property names and the stored columns.
PROPERTIES = {
    "email": "email",
    "firstname": "first_name",
    "lastname": "last_name",
    "phone": "phone",
    "city": "city",
    "country": "country_code",
    "lifecyclestage": "lifecycle_stage",
    "createdate": "created_at",
    "lastmodifieddate": "updated_at",
    "hs_object_id": "contact_id",
}
DEFAULT_PROPERTIES = ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname")

# What filters and sorts compare: the service's own moments and numbers, otherwise the text.
SEARCHED = PROPERTIES | {
    "createdate": "_created_ms",
    "lastmodifieddate": "_changed_ms",
    "hs_object_id": "_number",
}
COMPARISONS = {"EQ": "=", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}

EMAIL_SORTS = {
    "id": "_number",
    "createdAt": "_created_ms",
    "updatedAt": "_changed_ms",
    "name": "COALESCE(name, '')",
    "subject": "COALESCE(subject, '')",
}
EMAIL_MOMENT_FILTERS = {
    "createdAt": "_created_ms = ?",
    "createdAfter": "_created_ms >= ?",
    "createdBefore": "_created_ms <= ?",
    "updatedAt": "_changed_ms = ?",
    "updatedAfter": "_changed_ms >= ?",
    "updatedBefore": "_changed_ms <= ?",
    "updated_after": "_changed_ms >= ?",
}

TROUBLE: dict[Fault | None, tuple[int, str, str]] = {
    None: (
        401,
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find"
        " more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
    ),
    Fault.EXPIRED_TOKEN: (
        401,
        "EXPIRED_AUTHENTICATION",
        "The OAuth token used to make this call has expired.",
    ),
    Fault.RATE_LIMITED: (429, "RATE_LIMITS", "You have reached your secondly limit."),
    Fault.SERVER_ERROR: (500, "INTERNAL_ERROR", "internal error"),
}


class HubSpot(Service):
    """HubSpot's public API, as far as the platform reads it."""

    def refusal(self, error: ApiError) -> Answer:
        """HubSpot's error body."""
        content = {
            "status": "error",
            "message": error.message,
            "correlationId": str(uuid.uuid4()),
            "category": error.kind,
        }
        if error.status == 429:
            content |= {"errorType": "RATE_LIMIT", "policyName": "SECONDLY"}
        return Answer(content, error.status)

    def invalid_request(self, message: str) -> ApiError:
        """400 VALIDATION_ERROR."""
        return ApiError(400, "VALIDATION_ERROR", message)

    def trouble(self, fault: Fault | None) -> ApiError:
        """401, 429 or 500 in HubSpot's words."""
        return ApiError(*TROUBLE[fault])

    def rate_headers(self, verdict: Verdict) -> dict[str, str]:
        """HubSpot's rate limit headers."""
        return {
            "X-HubSpot-RateLimit-Daily": "1000000",
            "X-HubSpot-RateLimit-Daily-Remaining": "999999",
            "X-HubSpot-RateLimit-Interval-Milliseconds": "1000",
            "X-HubSpot-RateLimit-Max": str(verdict.limit),
            "X-HubSpot-RateLimit-Remaining": str(verdict.remaining),
            "X-HubSpot-RateLimit-Secondly": str(verdict.limit),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(verdict.remaining),
        }

    # Contacts

    def list_contacts(self, call: Call) -> Answer:
        """``GET /crm/v3/objects/contacts``: pages in the order of the ids, cursor = last id."""
        limit = self.limit(call, "limit", default=10, most=100)
        after = self._number(call.query.get("after", "0"), "after")
        rows = self.store.rows(
            "SELECT * FROM hubspot__contacts WHERE _is_archived = ? AND _number > ? ORDER BY _number LIMIT ?",
            (self._flag(call, "archived") or False, after, limit + 1),
        )
        return self._page(
            call,
            rows,
            limit,
            show=lambda row: contact(row, _names(call.query, "properties")),
            cursor=lambda row: str(row["_number"]),
        )

    def get_contact(self, call: Call) -> Answer:
        """``GET /crm/v3/objects/contacts/{contactId}``, by id or by ``idProperty=email``."""
        column = self._id_column(call.query.get("idProperty"))
        rows = self.store.rows(
            f"SELECT * FROM hubspot__contacts WHERE {column} = ? {_collation(column)} AND _is_archived = ? LIMIT 1",
            (call.path["contact_id"], self._flag(call, "archived") or False),
        )
        if not rows:
            raise ApiError(404, "OBJECT_NOT_FOUND", f"Object not found.  objectId are usually numeric: {column}.")
        return Answer(contact(rows[0], _names(call.query, "properties")))

    def read_contacts(self, call: Call) -> Answer:
        """``POST /crm/v3/objects/contacts/batch/read``: up to 100 contacts by id or e-mail."""
        body = self._body(call)
        inputs = body.get("inputs")
        if not isinstance(inputs, list) or not all(isinstance(item, dict) and "id" in item for item in inputs):
            raise self.invalid_request("inputs must be a list of objects with an id.")
        if len(inputs) > 100:
            raise self.invalid_request("inputs may hold at most 100 objects.")
        column = self._id_column(body.get("idProperty"))
        wanted = list(dict.fromkeys(str(item["id"]) for item in inputs))
        places = ", ".join("?" * len(wanted))
        rows = self.store.rows(
            f"SELECT * FROM hubspot__contacts WHERE {column} {_collation(column)} IN ({places})"
            " AND _is_archived = 0 ORDER BY _number",
            wanted,
        )
        found = {str(row[column]).lower() for row in rows}
        missing = [text for text in wanted if text.lower() not in found]
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        content: dict[str, Any] = {
            "status": "COMPLETE",
            "results": [contact(row, body.get("properties") or ()) for row in rows],
            "startedAt": now,
            "completedAt": now,
        }
        if not missing:
            return Answer(content)
        content["numErrors"] = 1
        content["errors"] = [
            {
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": "Could not get some CONTACT objects, they may be deleted or not exist.",
                "context": {"ids": missing},
            }
        ]
        return Answer(content, 207)

    def search_contacts(self, call: Call) -> Answer:
        """``POST /crm/v3/objects/contacts/search``: filters, sorts, pages by offset up to the cap."""
        body = self._body(call)
        limit = self.checked_limit(body.get("limit") or 10, "limit", most=200)
        offset = self._number(str(body.get("after") or 0), "after")
        if offset + limit > SEARCH_CAP:
            raise self.invalid_request(
                f"Search results are capped at {SEARCH_CAP} per query: after + limit is {offset + limit}."
            )
        condition, values = self._condition(body)
        order = self._order(body.get("sorts") or [])
        with self.store.reading() as connection:
            [total] = connection.execute(f"SELECT COUNT(*) FROM hubspot__contacts WHERE {condition}", values).fetchone()
            rows = connection.execute(
                f"SELECT * FROM hubspot__contacts WHERE {condition} ORDER BY {order} LIMIT ? OFFSET ?",
                (*values, limit, offset),
            ).fetchall()
        content: dict[str, Any] = {
            "total": total,
            "results": [contact(row, body.get("properties") or ()) for row in rows],
        }
        if offset + limit < total:
            content["paging"] = {"next": {"after": str(offset + limit)}}
        return Answer(content)

    def _condition(self, body: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The search's filters as SQL, with the values of its places."""
        groups = body.get("filterGroups") or []
        if not isinstance(groups, list) or len(groups) > 5:
            raise self.invalid_request("filterGroups must be a list of at most 5 groups.")
        values: list[Any] = []
        alternatives: list[str] = []
        for group in groups:
            filters = group.get("filters") if isinstance(group, dict) else None
            if not isinstance(filters, list) or not 1 <= len(filters) <= 6:
                raise self.invalid_request("Every filter group needs 1 to 6 filters.")
            conditions = []
            for filter_ in filters:
                if not isinstance(filter_, dict):
                    raise self.invalid_request("A filter must be an object.")
                sql, more = self._filter(filter_)
                conditions.append(sql)
                values += more
            alternatives.append(" AND ".join(conditions))
        condition = "_is_archived = 0"
        if alternatives:
            condition += " AND (" + " OR ".join(f"({text})" for text in alternatives) + ")"
        if query := body.get("query"):
            searched = ("email", "first_name", "last_name", "phone")
            condition += " AND (" + " OR ".join(f"{column} LIKE ?" for column in searched) + ")"
            values += [f"%{query}%"] * len(searched)
        return condition, values

    def _filter(self, filter_: Mapping[str, Any]) -> tuple[str, list[Any]]:
        name, operator = filter_.get("propertyName"), filter_.get("operator")
        column = SEARCHED.get(str(name))
        if column is None:
            raise self.invalid_request(f"There was a problem with the request: Property {name} does not exist.")
        if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            return f"{column} IS {'NOT ' if operator == 'HAS_PROPERTY' else ''}NULL", []
        if operator in ("IN", "NOT_IN"):
            given = [self._comparable(column, value) for value in filter_.get("values") or []]
            if not given:
                raise self.invalid_request(f"Operator {operator} needs values.")
            places = ", ".join("?" * len(given))
            negation = "NOT " if operator == "NOT_IN" else ""
            return f"{column} {_collation(column)} {negation}IN ({places})", given
        value = self._comparable(column, filter_.get("value"))
        if operator == "BETWEEN":
            return f"{column} BETWEEN ? AND ?", [value, self._comparable(column, filter_.get("highValue"))]
        if operator == "NEQ":
            return f"({column} IS NULL OR {column} <> ? {_collation(column)})", [value]
        if operator not in COMPARISONS:
            raise self.invalid_request(f"Invalid operator {operator!r} for property {name}.")
        return f"{column} {COMPARISONS[operator]} ? {_collation(column)}", [value]

    def _comparable(self, column: str, value: Any) -> int | str:
        """A filter's value in the terms of the column that it is compared with."""
        if value is None:
            raise self.invalid_request("A filter needs a value.")
        text = str(value)
        if not column.startswith("_"):
            return text
        try:
            return int(text)
        except ValueError:
            if column == "_number":
                raise self.invalid_request(f"{text!r} is not a whole number.") from None
        return self._moment(text, "value")

    def _order(self, sorts: Iterable[Any]) -> str:
        terms = []
        for sort in sorts:
            if isinstance(sort, dict):
                name = str(sort.get("propertyName"))
                is_descending = str(sort.get("direction", "ASCENDING")).upper() == "DESCENDING"
            else:
                name = str(sort).removeprefix("-")
                is_descending = str(sort).startswith("-")
            if name not in SEARCHED:
                raise self.invalid_request(f"There was a problem with the request: cannot sort by {name}.")
            terms.append(f"{SEARCHED[name]} {'DESC' if is_descending else 'ASC'}")
        return ", ".join([*(terms or ["_created_ms"]), "_number"])

    # Marketing e-mails

    def list_emails(self, call: Call) -> Answer:
        """``GET /marketing/v3/emails``: pages by keyset in the order asked for."""
        limit = self.limit(call, "limit", default=100, most=100)
        condition, values = "_is_archived = ?", [int(self._flag(call, "archived") or False)]
        for name, sql in EMAIL_MOMENT_FILTERS.items():
            if (text := call.query.get(name)) is not None:
                condition += f" AND {sql}"
                values.append(self._moment(text, name))
        if (is_published := self._flag(call, "isPublished")) is not None:
            condition += f" AND COALESCE(status, '') {'=' if is_published else '<>'} 'PUBLISHED'"
        sort = call.query.get("sort", "id")
        if sort.removeprefix("-") not in EMAIL_SORTS:
            raise self.invalid_request(f"Cannot sort by {sort}; possible are {', '.join(EMAIL_SORTS)}.")
        column = EMAIL_SORTS[sort.removeprefix("-")]
        direction, beyond = ("DESC", "<") if sort.startswith("-") else ("ASC", ">")
        keyset, position = "", []
        if after := call.query.get("after"):
            keyset = f" AND ({column}, _number) {beyond} (?, ?)"
            kind = int if column.startswith("_") else str
            position = self._cursor(after, "after", kind, int)
        with self.store.reading() as connection:
            [total] = connection.execute(
                f"SELECT COUNT(*) FROM hubspot__campaigns WHERE {condition}", values
            ).fetchone()
            rows = connection.execute(
                f"SELECT *, {column} AS _sorted FROM hubspot__campaigns WHERE {condition}{keyset}"
                f" ORDER BY {column} {direction}, _number {direction} LIMIT ?",
                (*values, *position, limit + 1),
            ).fetchall()
        return self._page(
            call,
            rows,
            limit,
            show=marketing_email,
            cursor=lambda row: to_cursor(row["_sorted"], row["_number"]),
            more={"total": total},
        )

    def get_email(self, call: Call) -> Answer:
        """``GET /marketing/v3/emails/{emailId}``."""
        rows = self.store.rows("SELECT * FROM hubspot__campaigns WHERE campaign_id = ?", (call.path["email_id"],))
        if not rows:
            raise ApiError(404, "OBJECT_NOT_FOUND", f"No marketing email with id {call.path['email_id']}.")
        return Answer(marketing_email(rows[0]))

    # E-mail events

    def list_events(self, call: Call) -> Answer:
        """``GET /email/public/v1/events``: newest first, pages by keyset behind an opaque offset."""
        limit = self.limit(call, "limit", default=10, most=1000)
        conditions: list[str] = ["1"]
        values: list[int | str] = []
        for name, sql in (("startTimestamp", "_changed_ms >= ?"), ("endTimestamp", "_changed_ms <= ?")):
            if (text := call.query.get(name)) is not None:
                conditions.append(sql)
                values.append(self._number(text, name))
        for name, column in (
            ("eventType", "event_type"),
            ("campaignId", "campaign_id"),
            ("recipient", "recipient_email"),
        ):
            if (text := call.query.get(name)) is not None:
                conditions.append(f"{column} = ?")
                values.append(text)
        if offset := call.query.get("offset"):
            conditions.append("(_changed_ms, event_id) < (?, ?)")
            values += self._cursor(offset, "offset", int, str)
        rows = self.store.rows(
            f"SELECT * FROM hubspot__email_events WHERE {' AND '.join(conditions)}"
            " ORDER BY _changed_ms DESC, event_id DESC LIMIT ?",
            (*values, limit + 1),
        )
        shown = rows[:limit]
        return Answer(
            {
                "hasMore": len(rows) > limit,
                "offset": to_cursor(shown[-1]["_changed_ms"], shown[-1]["event_id"]) if shown else offset or "",
                "events": [email_event(row) for row in shown],
            }
        )

    # Parameters and pages

    def _page(
        self,
        call: Call,
        rows: list[sqlite3.Row],
        limit: int,
        *,
        show: Callable[[sqlite3.Row], dict[str, Any]],
        cursor: Callable[[sqlite3.Row], str],
        more: Mapping[str, Any] | None = None,
    ) -> Answer:
        """A page of at most ``limit`` of the rows; a row beyond them says that another page follows."""
        content: dict[str, Any] = {**(more or {}), "results": [show(row) for row in rows[:limit]]}
        if len(rows) > limit:
            after = cursor(rows[limit - 1])
            link = str(call.url.include_query_params(after=after))
            content["paging"] = {"next": {"after": after, "link": link}}
        return Answer(content)

    def _body(self, call: Call) -> Mapping[str, Any]:
        if not isinstance(call.body, dict):
            raise self.invalid_request("Invalid input JSON: an object is needed.")
        return call.body

    def _id_column(self, name: object) -> str:
        columns = {None: "contact_id", "": "contact_id", "hs_object_id": "contact_id", "email": "email"}
        if name not in columns:
            raise self.invalid_request(f"{name} is not a unique property; possible are hs_object_id and email.")
        return columns[name]  # type: ignore[index]

    def _number(self, text: str, name: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise self.invalid_request(f"{name} must be a whole number, not {text!r}.") from None

    def _moment(self, text: str, name: str) -> int:
        """Milliseconds since 1970 of an ISO 8601 moment or of digits that count them already."""
        try:
            return int(text) if text.isdecimal() else moment_ms(text)
        except ValueError:
            raise self.invalid_request(f"{name} must be an ISO 8601 moment, not {text!r}.") from None

    def _flag(self, call: Call, name: str) -> bool | None:
        text = call.query.get(name)
        if text is None:
            return None
        if text.lower() not in ("true", "false"):
            raise self.invalid_request(f"{name} must be true or false, not {text!r}.")
        return text.lower() == "true"

    def _cursor(self, text: str, name: str, *kinds: type) -> list[Any]:
        try:
            return from_cursor(text, *kinds)
        except ValueError:
            raise self.invalid_request(f"{name} is not a value that an earlier page gave: {text!r}.") from None


def _names(query: QueryParams, name: str) -> list[str]:
    """The names of a parameter that may be repeated and may hold several, separated by commas."""
    return [part for text in query.getlist(name) for part in text.split(",") if part]


def _collation(column: str) -> str:
    """HubSpot compares text without regard to case; ids and numbers need the indices as they are."""
    return "" if column.startswith("_") or column == "contact_id" else "COLLATE NOCASE"


def contact(row: sqlite3.Row, properties: Iterable[str]) -> dict[str, Any]:
    """A contact as HubSpot shows it: properties are text as it was entered, moments at the top its own."""
    names = dict.fromkeys(
        [*(tuple(properties) or DEFAULT_PROPERTIES), "hs_object_id", "createdate", "lastmodifieddate"]
    )
    shown = {
        "id": row["contact_id"],
        "properties": {name: row[PROPERTIES[name]] for name in sorted(names) if name in PROPERTIES},
        "createdAt": iso_moment(row["_created_ms"]),
        "updatedAt": iso_moment(row["_changed_ms"]),
        "archived": boolean(row["is_archived"]),
    }
    if row["_is_archived"]:
        shown["archivedAt"] = shown["updatedAt"]
    return shown


def marketing_email(row: sqlite3.Row) -> dict[str, Any]:
    """A marketing e-mail as HubSpot shows it. Archived is a flag there, next to the state before."""
    state = row["status"]
    if row["_is_archived"]:
        state = "PUBLISHED" if row["published_at"] else "DRAFT"
    return {
        "id": row["campaign_id"],
        "name": row["name"],
        "subject": row["subject"] or "",
        "campaignName": row["utm_campaign"],
        "state": state,
        "isPublished": state == "PUBLISHED",
        "publishDate": row["published_at"],
        "publishedAt": row["published_at"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "archived": bool(row["_is_archived"]),
        "type": "BATCH_EMAIL",
        "subcategory": "batch",
        "language": "en",
        "isTransactional": False,
        "sendOnPublish": True,
        "content": {"templatePath": "@hubspot/email/dnd/welcome.html"},
        "from": {"fromName": "ShopSphere", "replyTo": "hello@shopsphere.example"},
        "to": {"limitSendFrequency": False, "suppressGraymail": False},
    }


def email_event(row: sqlite3.Row) -> dict[str, Any]:
    """An e-mail event as the legacy API shows it."""
    shown = {
        "id": row["event_id"],
        "type": row["event_type"],
        "recipient": row["recipient_email"],
        "created": milliseconds(row["occurred_at"]),
        "emailCampaignId": whole_number(row["campaign_id"]),
        "portalId": PORTAL_ID,
        "appId": APP_ID,
        "appName": "Batch",
    }
    for name, column in (("url", "url"), ("userAgent", "user_agent")):
        if row[column] is not None:
            shown[name] = row[column]
    return shown

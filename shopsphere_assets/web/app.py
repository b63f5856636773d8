"""The steward's page: what is asked for under which address, and what is done with it.

Belongs here: routes, and turning requests into calls and their results into pages. Every page works without
JavaScript; there is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import quote, unquote, urlencode

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from resources.errors import PermanentError, PlatformError, TransientError
from shopsphere_assets.ingestion.ledger import utc_now
from shopsphere_assets.quarantine.decisions import ACTIONS, NEEDS_REASON, Order, Outcome, Wish, decide
from shopsphere_assets.quarantine.entries import (
    STATES,
    Detail,
    Filter,
    Quarantine,
    Reason,
    State,
    count_entries,
    count_rules,
    list_entries,
    read_detail,
)
from shopsphere_assets.web import cells, shown
from shopsphere_assets.web.reviewing import review_routes
from shopsphere_assets.web.security import (
    FormError,
    SecurityMiddleware,
    read_form,
    remember_token,
    token_of,
)

_HERE = Path(__file__).resolve().parent
_NAME_COOKIE = "steward_name"
_LONGEST_NAME = 100
_PER_PAGE = 50
_SECONDS_UNTIL_AGAIN = "5"
"""After which a page that found the warehouse busy asks again by itself."""

_MOST_AT_ONCE = 1000
_REPORTS = ("quality/latest.html", "index.html")
_AGES = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_FILTER_FIELDS = ("state", "table", "rule", "column", "text", "age", "suggestion")

Fields = Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """What every page needs. ``reports``: the folder of reports. ``default_name``: who decides unless told."""

    quarantine: Quarantine
    reports: Path
    default_name: str
    templates: jinja2.Environment

    def render(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        """A page from a template."""
        token = token_of(request)
        text = self.templates.get_template(template).render(
            token=token,
            name=self.name_of(request),
            path=request.url.path,
            report=next((page for page in _REPORTS if (self.reports / page).is_file()), None),
            **context,
        )
        response = HTMLResponse(text, status_code=status)
        remember_token(response, token)
        return response

    def name_of(self, request: Request) -> str:
        """Who decides here."""
        return unquote(request.cookies.get(_NAME_COOKIE, ""), errors="replace").strip() or self.default_name


def steward_app(quarantine: Quarantine, *, reports: Path, default_name: str) -> Starlette:
    """The application. ``reports``: the folder that is served at ``/reports/``, made where it is missing."""
    reports.mkdir(parents=True, exist_ok=True)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {
        "pieces": shown.pieces,
        "moment": shown.moment,
        "ago": lambda value: shown.ago(value, utc_now()),
        "query": query,
        "to_field": cells.to_field,
        "is_escaped": cells.is_escaped,
        "CELL": cells.CELL,
        "ESCAPED": cells.ESCAPED,
    }
    page = Page(quarantine, reports, default_name, templates)
    return Starlette(
        routes=[
            Route("/", partial(_list, page)),
            Route("/next", partial(_next, page)),
            Route("/entries/{quarantine_id}", partial(_entry, page)),
            Route("/entries/{quarantine_id}", posting(page, _decide_one), methods=["POST"]),
            Route("/bulk", posting(page, _bulk), methods=["POST"]),
            Route("/name", posting(page, _rename), methods=["POST"]),
            *review_routes(page, posting),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
            Mount("/reports", StaticFiles(directory=reports, html=True)),
        ],
        middleware=[Middleware(SecurityMiddleware)],
        exception_handlers={
            PlatformError: partial(_fault, page),
            FormError: partial(_form_fault, page),
            HTTPException: partial(_http_fault, page),
        },
    )


Answering = Callable[[Page, Request, dict[str, str]], Response]


def posting(page: Page, answer: Answering) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that reads a form of this page and answers it beside the event loop."""

    async def endpoint(request: Request) -> Response:
        form = await read_form(request)
        return await run_in_threadpool(answer, page, request, form)

    return endpoint


def query(fields: Fields, **changes: str | int | None) -> str:
    """The query string of ``fields`` with some of them changed; empty ones are left out."""
    return "?" + urlencode({name: str(value) for name, value in {**fields, **changes}.items() if value})


# -- the list -------------------------------------------------------------------------------------------------


def filter_of(fields: Fields) -> Filter:
    """The filter that a query string or a form describes; what makes no sense in it is passed over."""
    source, _, table = fields.get("table", "").partition("/")
    state = fields.get("state", "open")
    return Filter(
        state=cast(State, state) if state in STATES else "open",
        source=source or None,
        table=table or None,
        rule=fields.get("rule") or None,
        column=fields.get("column") or None,
        text=fields.get("text") or None,
        older_than=_AGES.get(fields.get("age", "")),
        has_suggestion=bool(fields.get("suggestion")),
    )


def _list(page: Page, request: Request) -> Response:
    fields = {name: request.query_params.get(name, "") for name in _FILTER_FIELDS}
    fields["state"] = filter_of(fields).state
    wanted = filter_of(fields)
    number = _number(request.query_params.get("page"), 1)
    total = count_entries(page.quarantine, wanted)
    return page.render(
        request,
        "list.html",
        fields=fields,
        states=STATES,
        ages=list(_AGES),
        tables=list(page.quarantine.tables),
        total=total,
        page=number,
        pages=max(1, -(-total // _PER_PAGE)),
        entries=list_entries(page.quarantine, wanted, limit=_PER_PAGE, offset=(number - 1) * _PER_PAGE),
        rules=count_rules(page.quarantine, wanted),
        most_at_once=_MOST_AT_ONCE,
        columns=_columns(page, fields),
    )


def _columns(page: Page, fields: Fields) -> list[str]:
    """The columns that can be set in all rows of the filter, which must be of one table."""
    table = page.quarantine.tables.get(fields.get("table", ""))
    return list(table.column_types) if table else []


def _number(text: str | None, otherwise: int) -> int:
    # Not isdigit, which takes superscripts for digits.
    return int(text) if text and text.isdecimal() and text.isascii() and 0 < int(text[:9]) == int(text) else otherwise


def _next(page: Page, request: Request) -> Response:
    """The open row that follows another in the list of the same table and rule, else the first, else the list."""
    fields = {name: request.query_params.get(name, "") for name in ("table", "rule")}
    found = [e.quarantine_id for e in list_entries(page.quarantine, filter_of(fields), limit=_MOST_AT_ONCE)]
    if found:
        before = request.query_params.get("after", "")
        following = (found.index(before) + 1) % len(found) if before in found else 0
        return RedirectResponse(f"/entries/{found[following]}", status_code=303)
    return RedirectResponse("/" + query({"table": fields["table"]}), status_code=303)


# -- one entry ------------------------------------------------------------------------------------------------


def _entry(page: Page, request: Request) -> Response:
    detail = read_detail(page.quarantine, request.path_params["quarantine_id"])
    return _show_entry(page, request, detail)


def _show_entry(
    page: Page,
    request: Request,
    detail: Detail,
    *,
    status: int = 200,
    problem: str | None = None,
    outcome: Outcome | None = None,
    form: Fields | None = None,
) -> Response:
    """The page of one entry; after an order that was refused with the reason, and what had been typed."""
    table = page.quarantine.tables.get(detail.entry.label)
    read_rules = _by_column(detail.entry.reasons)
    suggested = {suggestion.column: suggestion for suggestion in detail.suggested}
    columns = list(table.column_types) if table else list(detail.entry.payload)
    # First what says which row it is, then what has to be looked at.
    columns.sort(key=lambda name: (not (table and name in table.key), name not in read_rules and name not in suggested))
    return page.render(
        request,
        "entry.html",
        status,
        detail=detail,
        entry=detail.entry,
        table=table,
        columns=columns,
        others=[name for name in detail.entry.payload if name not in columns],
        broken=_by_column(outcome.broken) if outcome and outcome.broken else read_rules,
        read_rules=read_rules,
        suggested=suggested,
        problem=problem,
        typed=form or {},
    )


def _by_column(reasons: Sequence[Reason]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for reason in reasons:
        found.setdefault(reason.column, []).append(reason.rule)
    return found


def _decide_one(page: Page, request: Request, form: dict[str, str]) -> Response:
    i = request.path_params["quarantine_id"]
    detail = read_detail(page.quarantine, i)
    again = partial(_show_entry, page, request, detail, form=form)
    chosen = form.get("wish", "")
    wish = "readmit" if chosen == "suggestion" else chosen
    if wish not in get_args(Wish):
        raise FormError("it is not said what to do")
    table = page.quarantine.tables.get(detail.entry.label)
    changed: dict[str, str | None] = {}
    if table is not None and chosen in ("edit", "readmit", "accept"):
        try:
            changed = cells.changed_cells(list(table.column_types), detail.draft, form)
        except cells.CellError as error:
            return again(status=HTTPStatus.UNPROCESSABLE_ENTITY, problem=str(error))
    if wish in NEEDS_REASON and not form.get("reason", "").strip():
        return again(status=HTTPStatus.UNPROCESSABLE_ENTITY, problem=f"Say why the row is {ACTIONS[cast(Wish, wish)]}.")
    order = Order(
        cast(Wish, wish),
        by=page.name_of(request),
        reason=form.get("reason"),
        cells=changed,
        with_suggestions=chosen == "suggestion",
    )
    version = _number(form.get("version"), 0)
    [outcome] = decide(page.quarantine, [i], order, versions={i: version})
    if outcome.problem is not None:
        # What is there now, with what was typed.
        now = read_detail(page.quarantine, i)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if outcome.broken else HTTPStatus.CONFLICT
        text = outcome.problem[:1].upper() + outcome.problem[1:] + "."
        if order.with_suggestions:
            form |= {cells.CELL + s.column: cells.to_field(s.corrected) for s in now.suggested}
        return _show_entry(page, request, now, status=status, problem=text, outcome=outcome, form=form)
    return RedirectResponse(f"/entries/{i}", status_code=303)


# -- many at once ---------------------------------------------------------------------------------------------


def _bulk(page: Page, request: Request, form: dict[str, str]) -> Response:
    """What would become of many rows; when that is confirmed, what became of them."""
    chosen = form.get("wish", "")
    wish = "readmit" if chosen == "suggestion" else chosen
    if wish not in ("readmit", "accept", "exclude"):
        raise FormError("it is not said what to do")
    fields = {name: form.get(name, "") for name in _FILTER_FIELDS}
    changed: dict[str, str | None] = {}
    if form.get("set_column") and chosen == "readmit":
        changed[form["set_column"]] = form.get("set_value") or None
    order = Order(cast(Wish, wish), page.name_of(request), form.get("reason"), changed, chosen == "suggestion")
    is_confirmed = form.get("confirmed") == "yes"
    if is_confirmed:
        # Exactly what was shown, whatever the filter finds by now.
        ids = form.get("ids", "").split()[:_MOST_AT_ONCE]
    else:
        limit = min(_number(form.get("limit"), _MOST_AT_ONCE), _MOST_AT_ONCE)
        ids = [entry.quarantine_id for entry in list_entries(page.quarantine, filter_of(fields), limit=limit)]
    outcomes = decide(page.quarantine, ids, order, dry_run=not is_confirmed)
    return page.render(
        request,
        "bulk.html",
        fields=fields,
        form=form,
        order=order,
        action=ACTIONS[order.wish],
        is_confirmed=is_confirmed,
        good=[outcome for outcome in outcomes if outcome.is_done],
        refused=_by_problem(outcomes),
        total=count_entries(page.quarantine, filter_of(fields)),
    )


def _by_problem(outcomes: Sequence[Outcome]) -> list[tuple[str, list[Outcome]]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.problem is not None:
            found.setdefault(outcome.problem, []).append(outcome)
    return sorted(found.items(), key=lambda item: -len(item[1]))


# -- the rest -------------------------------------------------------------------------------------------------


def _rename(page: Page, request: Request, form: dict[str, str]) -> Response:
    back = form.get("back", "/")
    # Only to a page of this one: two slashes would lead to another host.
    response = RedirectResponse(back if back.startswith("/") and "//" not in back and "\\" not in back else "/", 303)
    response.set_cookie(_NAME_COOKIE, quote(form.get("name", "")[:_LONGEST_NAME]), httponly=True, samesite="strict")
    return response


def _fault(page: Page, request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)
    status = HTTPStatus.SERVICE_UNAVAILABLE if isinstance(error, TransientError) else HTTPStatus.BAD_REQUEST
    if isinstance(error, PermanentError) and error.what.startswith("there is no such"):
        status = HTTPStatus.NOT_FOUND
    response = page.render(request, "message.html", status, title=error.what, text=error.remedy, where=error.where)
    if isinstance(error, TransientError) and request.method == "GET":
        response.headers["Refresh"] = _SECONDS_UNTIL_AGAIN
    return response


def _form_fault(page: Page, request: Request, error: Exception) -> Response:
    assert isinstance(error, FormError)
    return page.render(request, "message.html", error.status, title="That was not done", text=str(error), where="")


def _http_fault(page: Page, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = "There is no such page"
    with suppress(ValueError):
        title = title if error.status_code == HTTPStatus.NOT_FOUND else HTTPStatus(error.status_code).phrase
    return page.render(request, "message.html", error.status_code, title=title, text="", where=request.url.path)

"""The pages of manual reviews: what was drawn, one drawn row with its verdict, and what the verdicts tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from shopsphere_assets.quarantine import reviews
from shopsphere_assets.quarantine.samples import CORRECTED, VALID, draw

if TYPE_CHECKING:
    from shopsphere_assets.web.app import Page
from shopsphere_assets.web.security import FormError

_MOST_PER_STRATUM = 200

_QUESTIONS = {
    VALID: "This row was loaded as it is. Is all of it right?",
    CORRECTED: "This row was loaded with corrected cells. Are the corrections right?",
}


def review_routes(page: Page, posting: Callable[..., Any]) -> list[Route]:
    """The routes below ``/reviews``."""
    return [
        Route("/reviews", partial(_results, page)),
        Route("/reviews/draw", posting(page, _draw), methods=["POST"]),
        Route("/reviews/next", partial(_next, page)),
        Route("/reviews/{sample_id}", partial(_sample, page)),
        Route("/reviews/{sample_id}", posting(page, _judge), methods=["POST"]),
    ]


def _results(page: Page, request: Request) -> Response:
    strata, agreements = reviews.results(page.quarantine)
    return page.render(
        request,
        "reviews.html",
        strata=strata,
        agreements=agreements,
        tables=list(page.quarantine.tables),
        is_left=reviews.next_sample(page.quarantine, page.name_of(request)) is not None,
    )


def _draw(page: Page, request: Request, form: dict[str, str]) -> Response:
    table, size, seed = form.get("table", ""), form.get("size", ""), form.get("seed", "0")
    if table not in page.quarantine.tables:
        raise FormError("there is no such table")
    if not (size.isdecimal() and seed.isdecimal() and 0 < int(size[:9]) <= _MOST_PER_STRATUM):
        raise FormError(f"size and seed are whole numbers, the size at most {_MOST_PER_STRATUM}")
    draw(page.quarantine, [table], size=int(size), seed=int(seed[:9]))
    return RedirectResponse("/reviews", status_code=303)


def _next(page: Page, request: Request) -> Response:
    given = tuple(request.query_params.get(name, "") for name in ("source", "table", "stratum"))
    stratum = (given[0], given[1], given[2]) if all(given) else None
    found = reviews.next_sample(page.quarantine, page.name_of(request), stratum=stratum)
    return RedirectResponse(f"/reviews/{found}" if found else "/reviews", status_code=303)


def _sample(page: Page, request: Request) -> Response:
    sample = reviews.read_sample(page.quarantine, request.path_params["sample_id"])
    name = page.name_of(request)
    own = next((review for review in sample.reviews if review.reviewer == name), None)
    table = page.quarantine.tables.get(sample.label)
    broken = []
    if sample.stratum not in (VALID, CORRECTED):
        broken = [column for column in sample.payload if sample.stratum.startswith(f"{column}.")]
    return page.render(
        request,
        "review.html",
        sample=sample,
        table=table,
        question=_QUESTIONS.get(sample.stratum, "This row was set aside by the rule below. Is it truly wrong?"),
        corrections={column: (original, rule) for column, original, _, rule in sample.corrections},
        broken=broken,
        own=own,
        # Another's verdict must not lead one's own.
        others=[review for review in sample.reviews if review.reviewer != name] if own else [],
    )


def _judge(page: Page, request: Request, form: dict[str, str]) -> Response:
    sample_id = request.path_params["sample_id"]
    sample = reviews.read_sample(page.quarantine, sample_id)
    name = page.name_of(request)
    reviews.record(page.quarantine, sample_id, name, form.get("verdict", ""), form.get("comment"))
    stratum = (sample.source, sample.table_name, sample.stratum)
    following = reviews.next_sample(page.quarantine, name, stratum=stratum) or reviews.next_sample(
        page.quarantine, name
    )
    return RedirectResponse(f"/reviews/{following}" if following else "/reviews", status_code=303)

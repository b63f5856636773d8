"""The steward's page: what people find and do on it in a browser, and what nobody else can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from resources.errors import TransientError
from shopsphere_assets.quarantine import reviews
from shopsphere_assets.quarantine.entries import read_detail
from shopsphere_assets.quarantine.samples import draw
from shopsphere_assets.web.app import steward_app
from tests.quarantined import THINGS, Place
from tests.serving import steward_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOST = "http://127.0.0.1"


@pytest.fixture
def client(place: Place, tmp_path: Path) -> Iterator[TestClient]:
    app = steward_app(place.quarantine, reports=tmp_path / "reports", default_name="ada")
    with TestClient(app, base_url=HOST, follow_redirects=False, raise_server_exceptions=True) as client:
        yield client


def token(client: TestClient) -> str:
    found = re.search(r'name="token" value="([^"]+)"', client.get("/").text)
    assert found
    return found[1]


@pytest.fixture
def bad_rows(place: Place) -> Place:
    """Three rows below zero, one that is no number, one good one."""
    for number in (1, 2, 3):
        place.put(number, -number, number)
    place.put(4, "many", 4, note="<b>much</b>")
    place.put(5, 5, 5)
    place.read()
    return place


def test_from_the_list_by_the_row_to_raw_in_a_browser(bad_rows: Place, tmp_path: Path, browser: Browser) -> None:
    with steward_page(bad_rows.quarantine, tmp_path / "reports") as url:
        page = browser.new_page(java_script_enabled=False)
        page.goto(url)
        assert page.locator("h1").inner_text().startswith("4 rows")
        page.get_by_role("link", name=re.compile("amount.minimum")).click()
        assert page.locator("h1").inner_text().startswith("3 rows")
        page.get_by_role("link", name="2", exact=True).click()
        late = browser.new_page(java_script_enabled=False)
        late.goto(page.url)
        page.fill("[name='cell.amount']", "-7")
        page.get_by_role("button", name="Re-admit", exact=True).click()
        assert page.get_by_role("alert").inner_text() == "The row still breaks amount.minimum."
        assert page.input_value("[name='cell.amount']") == "-7"
        page.fill("[name='cell.amount']", "2")
        page.fill("[name=reason]", "the sign was wrong")
        page.get_by_role("button", name="Re-admit", exact=True).click()
        assert "ada has re-admitted this row" in page.get_by_role("status").inner_text()
        assert "the sign was wrong" in page.locator(".history").inner_text()
        assert bad_rows.raw() == [(2, 2), (5, 5)]
        page.get_by_role("link", name="Next open row").click()
        assert page.locator("h1").inner_text().split() == ["1", "open"]
        # Somebody else had the row open.
        late.fill("[name='cell.amount']", "3")
        late.get_by_role("button", name="Re-admit", exact=True).click()
        assert "Meanwhile ada has readmitted it" in late.get_by_role("alert").inner_text()
        # The rest at once.
        page.goto(f"{url}/?table=shop/things&rule=amount.minimum")
        page.locator("details.bulk summary").click()
        page.get_by_role("radio", name="Exclude").check()
        page.fill("details.bulk [name=reason]", "test rows")
        page.get_by_role("button", name="See what would happen").click()
        assert page.locator("h1").inner_text() == "2 rows would be excluded"
        page.get_by_role("button", name="Yes, exclude 2 rows").click()
        assert page.locator("h1").inner_text() == "2 rows were excluded"
        assert {entry.settlement for entry in bad_rows.entries(rule="amount.minimum", state="all")} == {
            "readmitted",
            "excluded",
        }
        page.close()


def test_a_suggestion_stands_beside_the_original_and_is_applied_in_one_click(
    bad_rows: Place, tmp_path: Path, browser: Browser
) -> None:
    entry = bad_rows.entry("4")
    bad_rows.execute(
        "INSERT INTO quality.corrections (correction_id, quarantine_id, column_name, original, corrected, rule,"
        f" rule_version, is_applied) VALUES ('c', '{entry.quarantine_id}', 'amount', 'many', '12', 'dozen', '1', false)"
    )
    with steward_page(bad_rows.quarantine, tmp_path / "reports", name="grace") as url:
        page = browser.new_page(java_script_enabled=False)
        page.goto(f"{url}/?suggestion=1&text=many")
        page.locator("a.key").click()
        row = page.locator("tr.broken")
        assert [" ".join(text.split()) for text in row.locator("td").all_inner_texts()[:2]] == [
            "many type",
            "12 dozen 1",
        ]
        page.get_by_role("button", name="Apply the suggestion and re-admit").click()
        assert "grace has re-admitted" in page.get_by_role("status").inner_text()
        page.get_by_role("button", name="Take it back").click()
        assert page.locator("h1 .state").inner_text() == "open"
        page.close()
    assert bad_rows.raw() == [(5, 5)]


def test_samples_are_drawn_and_judged_and_tell_how_good_the_rules_are(
    bad_rows: Place, tmp_path: Path, browser: Browser
) -> None:
    with steward_page(bad_rows.quarantine, tmp_path / "reports") as url:
        page = browser.new_page(java_script_enabled=False)
        page.goto(f"{url}/reviews")
        page.get_by_role("button", name="Draw").click()
        for verdict in ("Yes, right", "Yes, right", "No, wrong"):
            page.goto(f"{url}/reviews/next?source=shop&table=things&stratum=amount.minimum")
            page.get_by_role("button", name=verdict).click()
        page.goto(f"{url}/reviews")
        line = page.get_by_role("row", name=re.compile("amount.minimum")).inner_text()
        assert "66.7 % 20.8 % to 93.9 %" in line
        page.close()
    drawn = bad_rows.query("SELECT stratum, stratum_rows, row_key FROM quality.samples ORDER BY stratum, row_key")
    assert [tuple(row.values()) for row in drawn] == [
        *(("amount.minimum", 3, str(n)) for n in (1, 2, 3)),
        ("amount.type", 1, "4"),
        ("valid", 1, "5"),
    ]


def test_the_same_seed_draws_the_same_rows_and_verdicts_of_two_are_compared(place: Place) -> None:
    for number in range(1, 13):
        place.put(number, number, 1)
    place.read()
    [first] = draw(place.quarantine, [THINGS.label], size=4, seed=3)
    [second] = draw(place.quarantine, [THINGS.label], size=4, seed=3)
    [third] = draw(place.quarantine, [THINGS.label], size=4, seed=4)
    assert (first.rows, first.drawn, first.new, second.new) == (12, 4, 4, 0)
    assert third.new > 0
    for reviewer in ("ada", "bob"):
        while (sample := reviews.next_sample(place.quarantine, reviewer)) is not None:
            reviews.record(place.quarantine, sample, reviewer, "right" if int(sample[0], 16) % 2 else "wrong", None)
    [stratum], [agreement] = reviews.results(place.quarantine)
    assert stratum.judged == stratum.drawn == agreement.samples
    assert (agreement.observed, agreement.kappa) == (1.0, 1.0)


def test_another_site_can_neither_post_nor_frame_nor_bear_another_name(bad_rows: Place, client: TestClient) -> None:
    i = bad_rows.entry("1").quarantine_id
    own = {"wish": "exclude", "reason": "x", "version": "0", "token": token(client)}
    for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        assert client.post(f"/entries/{i}", data=own, headers=headers).status_code == 403
    assert client.post(f"/entries/{i}", data={**own, "token": "guessed"}).status_code == 403
    assert client.post(f"/entries/{i}", json=own).status_code == 415
    assert client.post(f"/entries/{i}", data={**own, "reason": "x" * 3_000_000}).status_code == 413
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client.get("/", headers={"host": "127.0.0.1.evil.example:80"}).status_code == 421
    assert bad_rows.entry("1").settlement is None
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert "samesite=strict" in answer.headers["set-cookie"].lower()
    assert client.post(f"/entries/{i}", data=own, headers={"origin": HOST}).status_code == 303


def test_who_decides_is_who_said_so_and_a_return_leads_nowhere_else(bad_rows: Place, client: TestClient) -> None:
    answer = client.post("/name", data={"token": token(client), "name": "Zoë; =x", "back": "//evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    i = bad_rows.entry("1").quarantine_id
    form = {"token": token(client), "wish": "edit", "version": "0", "cell.amount": "8"}
    assert client.post(f"/entries/{i}", data=form).status_code == 303
    [past] = read_detail(bad_rows.quarantine, i).history
    assert past.decided_by == "Zoë; =x"


def test_faults_are_told_in_words(bad_rows: Place, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/nothing", f"/entries/{'0' * 32}", "/entries/%3Cb%3E", "/reviews/nothing", "/static/../app.py"):
        assert client.get(path).status_code in (400, 404), path
    i = bad_rows.entry("1").quarantine_id
    own = {"token": token(client), "version": "0"}
    assert client.post(f"/entries/{i}", data={**own, "wish": "drop"}).status_code == 400
    answer = client.post(f"/entries/{i}", data={**own, "wish": "exclude"})
    assert (answer.status_code, "Say why" in answer.text) == (422, True)
    assert client.get("/?page=-1&state=x&age=y&table=none").status_code == 200

    def busy(*_: object) -> None:
        raise TransientError("the warehouse is busy", where="it", remedy="try again in a minute")

    monkeypatch.setattr(type(bad_rows.warehouse), "query", busy)
    answer = client.get("/")
    assert (answer.status_code, "Try again in a minute" in answer.text) == (503, True)


def test_reports_are_served_in_a_sandbox(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/reports/").status_code == 404
    (tmp_path / "reports" / "index.html").write_text("<h1>good</h1>")
    (tmp_path / "secret.txt").write_text("secret")
    answer = client.get("/reports/")
    assert "good" in answer.text
    assert "sandbox" in answer.headers["content-security-policy"]
    assert client.get("/reports/%2e%2e/secret.txt").status_code == 404
    assert 'href="/reports/index.html"' in client.get("/").text


class _Page(HTMLParser):
    """The elements of a page, and the values of its fields."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.values: dict[str, str] = {}
        self.handlers: list[str] = []
        self._area: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.handlers += [name for name in given if name.startswith("on")]
        name = given.get("name") or ""
        if tag == "input":
            self.values[name] = given.get("value") or ""
        self._area = name if tag == "textarea" else self._area

    def handle_endtag(self, tag: str) -> None:
        self._area = None if tag == "textarea" else self._area

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            # A browser drops the line end that a text area begins with.
            self.values[self._area] = self.values.get(self._area, "") + data


_EXPECTED = {
    *("html", "head", "meta", "title", "link", "body", "header", "nav", "main", "aside", "section", "h1", "h2", "p"),
    *(
        "a",
        "span",
        "em",
        "div",
        "small",
        "strong",
        "code",
        "mark",
        "del",
        "ins",
        "q",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
    ),
    *("form", "input", "label", "button", "fieldset", "legend", "select", "option", "textarea", "details", "summary"),
    *("table", "thead", "tbody", "tr", "th", "td", "meter"),
}


def test_naughty_strings_are_only_ever_words(place: Place, client: TestClient, naughty: list[str]) -> None:
    place.put_all([(number, -1, 0, text.replace("\x00", "")) for number, text in enumerate(naughty)])
    place.read()
    entries = place.entries(column="amount")
    assert len(entries) == len(naughty)
    notes = {entry.payload["note"] or "" for entry in entries}
    shown = "".join(client.get(f"/?table=shop/things&page={page}").text for page in range(1, 13))
    page = _Page(shown)
    assert set(page.tags) <= _EXPECTED
    assert page.handlers == []
    hardest = [text for text in naughty if re.search("[<>\"'&\\\\{}%]|javascript|\x7f|\u2028", text)]
    sample = {entry.payload["note"]: entry for entry in entries}
    for text in hardest[:: max(1, len(hardest) // 12)]:
        entry = sample.get(text)
        if entry is None:
            continue
        page = _Page(client.get(f"/entries/{entry.quarantine_id}").text)
        assert set(page.tags) <= _EXPECTED
        assert page.handlers == []
        typed = client.get("/", params={"text": text, "rule": text, "column": text})
        assert typed.status_code == 200
        page = _Page(typed.text)
        assert set(page.tags) <= _EXPECTED
        assert page.handlers == []
        assert page.values["text"] == text
    # As a reason, of all of them at once, in a name, and in a cell.
    form = {
        "token": token(client),
        "wish": "edit",
        "version": "0",
        "cell.note": "\n".join(naughty),
        "reason": " ".join(naughty),
    }
    i = entries[0].quarantine_id
    assert client.post(f"/entries/{i}", data=form).status_code == 303
    detail = read_detail(place.quarantine, i)
    assert detail.history[0].reason == " ".join(naughty).replace("\x00", "\\0").strip()
    page = _Page(client.get(f"/entries/{i}").text)
    assert set(page.tags) <= _EXPECTED
    assert page.handlers == []
    assert notes

"""An HTTP API with every fault that real ones have, scripted on a real server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
import stamina
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.errors import PermanentError, TransientError
from resources.http_source import (
    BodyCursor,
    Endpoint,
    HttpSource,
    HubSpotSearch,
    LinkHeader,
    Offset,
    Since,
)

SECRET = "pat-eu1-very-secret"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)


@dataclass
class Asked:
    """A request as the server received it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class Reply:
    """An answer to send; ``json`` is turned into text, ``text`` is sent as it is."""

    status: int = 200
    json: Any = None
    text: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hangs: bool = False
    breaks_off: bool = False

    @property
    def content(self) -> bytes:
        return (json.dumps(self.json) if self.text is None else self.text).encode("utf-8", "surrogatepass")


class Api:
    """A server that answers by a function of the request, or by a script of replies in turn."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda _: Reply(500)
        self.released = threading.Event()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet: no wait for acknowledgements

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(
                    self.command,
                    parts.path,
                    parse_qs(parts.query),
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(body) if body else None,
                )
                api.asked.append(asked)
                reply = api.answer(asked)
                if reply.hangs:
                    api.released.wait(30)
                    self.close_connection = True
                    return
                content = reply.content
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content) + (100 if reply.breaks_off else 0)))
                self.end_headers()
                self.wfile.write(content)
                self.close_connection = reply.breaks_off

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def script(self, *replies: Reply) -> None:
        """Give these replies in turn, and the last one for ever."""
        left = list(replies)
        self.answer = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    """The scripted server."""
    server = Api()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=6, cap=True):
        yield


@pytest.fixture
def source(api: Api) -> Iterator[HttpSource]:
    """The source under test."""
    with HttpSource(api.url, token=SECRET, timeout_seconds=5) as http:
        yield http


FIELDS = {"id": "id", "name": "properties.name"}
CURSOR = Endpoint("/things", FIELDS, records="results", paging=BodyCursor())


def thing(number: int) -> dict[str, Any]:
    return {"id": number, "properties": {"name": f"n{number}"}}


def page(*numbers: int, after: str | None = None) -> Reply:
    paging = {"paging": {"next": {"after": after}}} if after else {}
    return Reply(json={"results": [thing(number) for number in numbers], **paging})


def read(source: HttpSource, endpoint: Endpoint, since: datetime | None = None) -> pl.DataFrame:
    """All rows."""
    return pl.concat([chunk.rows for chunk in source.read(endpoint, since)])


# Paging -------------------------------------------------------------------------------------------------------


def test_values_come_as_text_with_their_positions(api: Api, source: HttpSource) -> None:
    api.script(
        Reply(
            text='{"results":[{"id":1,"a":1.10,"b":true,"c":{"x":[1.0,null]},"t":1767225600000,"e":""},'
            '{"id":"garbage","a":12345678901234567890123,"t":"soon","c":"\\ud800"}, 7, {"id":2}]}'
        )
    )
    endpoint = Endpoint(
        "/things",
        {"id": "id", "a": "a", "b": "b", "c": "c", "t": "t", "e": "e"},
        records="results",
        constants={"status": "ARCHIVED"},
        epoch_ms_columns=("t",),
        empty_is_null=True,
    )
    [chunk] = source.read(endpoint)
    assert chunk.rows.rows() == [
        (
            "1",
            "1.10",
            "true",
            '{"x":[1.0,null]}',
            "2026-01-01T00:00:00.000Z",
            None,
            "ARCHIVED",
            "/things page 1 item 1",
        ),
        ("2", None, None, None, None, None, "ARCHIVED", "/things page 1 item 4"),
    ]
    assert chunk.rejected is not None
    assert chunk.rejected["_position"].to_list() == ["/things page 1 item 2", "/things page 1 item 3"]
    assert chunk.rejected["_raw"].to_list()[1] == "7"
    assert chunk.bytes_read > 100


def test_a_cursor_in_the_body_is_followed_to_the_end(api: Api, source: HttpSource) -> None:
    api.script(page(1, 2, after="x y"), page(3, after="z"), page(4))
    rows = read(source, CURSOR)
    assert rows["name"].to_list() == ["n1", "n2", "n3", "n4"]
    assert rows["_position"].to_list()[2] == "/things page 2 item 1"
    assert [asked.query.get("after") for asked in api.asked] == [None, ["x y"], ["z"]]
    assert api.asked[0].query["limit"] == ["100"]
    assert api.asked[0].headers["authorization"] == f"Bearer {SECRET}"


def test_legacy_events_end_when_there_are_no_more(api: Api, source: HttpSource) -> None:
    endpoint = Endpoint(
        "/events",
        {"id": "id"},
        records="events",
        paging=BodyCursor("offset", "offset", more_path="hasMore"),
        since=Since("startTimestamp", "epoch_ms"),
    )
    api.script(
        Reply(json={"hasMore": True, "offset": "o1", "events": [thing(1)]}),
        Reply(json={"hasMore": False, "offset": "o2", "events": [thing(2)]}),
    )
    assert read(source, endpoint, MOMENT)["id"].to_list() == ["1", "2"]
    assert [asked.query["startTimestamp"] for asked in api.asked] == [["1767323045678"]] * 2


def test_link_headers_are_followed_on_the_same_host_only(api: Api, source: HttpSource) -> None:
    endpoint = Endpoint("/things", {"id": "id"}, paging=LinkHeader(), since=Since("updated_since"))
    api.script(
        Reply(json=[thing(1)], headers={"Link": f'<{api.url}/things?cursor=abc>; rel="next"'}),
        Reply(json=[thing(2)], headers={"Link": '</things?cursor=def>; rel="next"'}),
        Reply(json=[thing(3)], headers={"Link": '<https://elsewhere.example/things>; rel="next"'}),
    )
    with pytest.raises(PermanentError, match=r"another host \(elsewhere\.example\)"):
        read(source, endpoint, MOMENT)
    assert [asked.query.get("cursor") for asked in api.asked] == [None, ["abc"], ["def"]]
    assert api.asked[0].query["updated_since"] == ["2026-01-02T03:04:05.678Z"]


@pytest.mark.parametrize("total_path", [None, "total"])
def test_offsets_go_on_though_the_server_caps_the_page_size(
    api: Api, source: HttpSource, total_path: str | None
) -> None:
    def answer(asked: Asked) -> Reply:
        start = int(asked.query.get("offset", ["0"])[0])
        return Reply(json={"total": 7, "results": [thing(number) for number in range(start, min(start + 3, 7))]})

    api.answer = answer
    rows = read(source, Endpoint("/things", FIELDS, records="results", paging=Offset(total_path=total_path)))
    assert rows["id"].to_list() == [str(number) for number in range(7)]


def test_chunks_stay_small_however_long_the_list_is(api: Api, source: HttpSource) -> None:
    pages = [page(*range(start, start + 1000), after=str(start)) for start in range(0, 12_000, 1000)]
    api.script(*pages, page())
    assert [chunk.rows.height for chunk in source.read(CURSOR)] == [5000, 5000, 2000]


# Faults -------------------------------------------------------------------------------------------------------

TRUNCATED = Reply(text='{"results":[{"id":1')
HTML = Reply(text="<!doctype html><title>Gateway</title>", headers={"Content-Type": "text/html"})


@pytest.mark.parametrize(
    "fault",
    [
        *(Reply(status, json={"message": "later"}) for status in (408, 429, 500, 502, 503, 504)),
        Reply(502, text="<html>bad gateway</html>", headers={"Content-Type": "text/html"}),
        TRUNCATED,
        HTML,
        Reply(json={"results": []}, breaks_off=True),
        Reply(json={"status": "error"}),
        page(1, after="a"),
    ],
    ids=lambda reply: f"{reply.status}-{reply.content[:20].decode()}",
)
def test_passing_faults_are_withstood_without_loss_or_double(api: Api, source: HttpSource, fault: Reply) -> None:
    # The last fault is the first page, repeated in place of the second.
    api.script(page(1, after="a"), fault, fault, page(2, after="b"), page(3))
    assert read(source, CURSOR)["id"].to_list() == ["1", "2", "3"]


def test_an_answer_that_never_comes_is_a_passing_fault(api: Api) -> None:
    api.script(Reply(hangs=True))
    with (
        HttpSource(api.url, timeout_seconds=0.05, attempts=2) as source,
        pytest.raises(TransientError, match="in time"),
    ):
        read(source, CURSOR)
    assert len(api.asked) == 2


def test_a_server_that_is_down_is_a_passing_fault(api: Api) -> None:
    api.close()
    with HttpSource(api.url, attempts=2) as source, pytest.raises(TransientError, match="connection failed"):
        read(source, CURSOR)


@pytest.mark.parametrize(
    ("reply", "kind", "what"),
    [
        (Reply(503, text="busy"), TransientError, "answered 503: busy"),
        (TRUNCATED, TransientError, "not complete JSON"),
        (HTML, PermanentError, "web page came instead of JSON"),
        (Reply(json={"status": "error"}), PermanentError, "no list at 'results'"),
    ],
)
def test_faults_that_stay_are_named(
    api: Api, source: HttpSource, reply: Reply, kind: type[Exception], what: str
) -> None:
    api.script(reply)
    with pytest.raises(kind, match=what):
        read(source, CURSOR)
    assert len(api.asked) == 6


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410])
def test_refusals_are_permanent_and_show_no_secret(api: Api, source: HttpSource, status: int) -> None:
    api.script(Reply(status, json={"message": f"no: {SECRET}"}, headers={"Location": "https://other.example/?k=v"}))
    endpoint = Endpoint("/things", FIELDS, records="results", parameters={"hapikey": "hidden"})
    with pytest.raises(PermanentError) as error:
        read(source, endpoint)
    message = str(error.value)
    assert len(api.asked) == 1
    assert f"{api.url}/things" in message
    assert str(status) in message
    assert SECRET not in message + repr(source)
    assert "hidden" not in message
    assert "k=v" not in message
    assert error.value.remedy


def test_retry_after_is_honoured_and_capped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    late = {"Retry-After": "Wed, 21 Oct 2026 07:28:09 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    api.script(
        Reply(429, headers={"Retry-After": "7"}),
        Reply(503, headers=late),
        Reply(429, headers={"Retry-After": "86400"}),
        Reply(429, headers={"Retry-After": "nonsense"}),
        page(1),
    )
    # The simple server sends a Date of its own, too; the first one counts.
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda *_: "Wed, 21 Oct 2026 07:28:00 GMT")
    with stamina.set_testing(False), HttpSource(api.url, longest_wait_seconds=20) as source:
        assert read(source, CURSOR)["id"].to_list() == ["1"]
    assert waits[:3] == [7.0, 9.0, 20.0]
    assert 0 < waits[3] <= 20


def test_an_expired_token_is_renewed_once_where_that_is_possible(api: Api) -> None:
    tokens = iter(["old", "new", "newer"])
    api.answer = lambda asked: page(1) if asked.headers["authorization"] == "Bearer new" else Reply(401)
    with HttpSource(api.url, token=lambda: next(tokens)) as source:
        assert read(source, CURSOR)["id"].to_list() == ["1"]
        assert read(source, CURSOR)["id"].to_list() == ["1"]
    assert len(api.asked) == 3


def test_a_cursor_that_comes_back_is_an_error_and_no_endless_loop(api: Api, source: HttpSource) -> None:
    numbers = iter(range(10_000))
    api.answer = lambda asked: page(next(numbers), after="b" if asked.query.get("after") == ["a"] else "a")
    with pytest.raises(TransientError, match="page again"):
        read(source, CURSOR)
    assert len(api.asked) < 20


@pytest.mark.parametrize("status", [400, 410])
def test_a_forgotten_cursor_starts_the_read_again_once(api: Api, source: HttpSource, status: int) -> None:
    gone = Reply(status, json={"message": "cursor expired"})
    api.script(page(1, after="a"), gone, page(1, after="c"), page(2))
    assert read(source, CURSOR)["id"].unique().sort().to_list() == ["1", "2"]
    api.script(page(1, after="a"), gone, page(1, after="c"), gone)
    with pytest.raises(TransientError, match="cursor became invalid"):
        read(source, CURSOR)


def test_a_base_url_or_token_that_cannot_be_used_is_named_without_secrets() -> None:
    with pytest.raises(PermanentError, match="not an http"):
        HttpSource("ftp://user:hidden@host/")
    with HttpSource("http://127.0.0.1:9", token=f"{SECRET}\nx") as source, pytest.raises(PermanentError) as error:
        read(source, CURSOR)
    assert SECRET not in str(error.value)
    assert "hidden" not in repr(HttpSource("http://user:hidden@host/"))


# Questions of sensors -----------------------------------------------------------------------------------------


def test_sensors_ask_one_bounded_question(api: Api, source: HttpSource) -> None:
    endpoint = Endpoint("/things", FIELDS, records="results", paging=BodyCursor(), since=Since("since"))
    api.script(page(1, after="more"))
    assert source.has_changes(endpoint, MOMENT)
    first = source.fingerprint(endpoint, MOMENT)
    assert first == source.fingerprint(endpoint, MOMENT)
    assert [asked.query["limit"] for asked in api.asked] == [["1"], ["100"], ["100"]]
    assert api.asked[0].query["since"] == ["2026-01-02T03:04:05.679Z"]  # what is there already is no change
    api.script(page(2))
    assert source.fingerprint(endpoint, MOMENT) != first
    api.script(page())
    assert not source.has_changes(endpoint, MOMENT)
    assert source.fingerprint(endpoint, MOMENT) is None


def test_a_question_that_fails_is_no_answer(api: Api, source: HttpSource) -> None:
    api.script(Reply(500))
    with pytest.raises(TransientError):
        source.has_changes(CURSOR, None)
    assert len(api.asked) == 2


# HubSpot's search ---------------------------------------------------------------------------------------------

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW, PAGE = 20, 5


class Crm:
    """HubSpot's search over some contacts: filters, one sort, pages by offset, no results beyond the window."""

    def __init__(self, minutes: list[int]) -> None:
        self.contacts = [
            {"id": str(number), "updatedAt": (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")}
            for number, minute in enumerate(minutes, start=1)
        ]
        self.moves: list[tuple[int, int]] = []

    @staticmethod
    def _value(contact: dict[str, str], name: str) -> int:
        if name == "hs_object_id":
            return int(contact["id"])
        return int(datetime.fromisoformat(contact["updatedAt"]).timestamp() * 1000)

    def answer(self, asked: Asked) -> Reply:
        body = asked.body
        found = self.contacts
        for group in body["filterGroups"]:
            for item in group["filters"]:
                holds = {"GTE": int.__ge__, "GT": int.__gt__, "EQ": int.__eq__}[item["operator"]]
                found = [c for c in found if holds(self._value(c, item["propertyName"]), int(item["value"]))]
        [sort] = body["sorts"]
        found = sorted(found, key=lambda contact: self._value(contact, sort["propertyName"]))
        start = int(body.get("after", 0))
        if start + body["limit"] > WINDOW:
            return Reply(400, json={"message": "the limit of results is reached"})
        end = start + body["limit"]
        paging = {"paging": {"next": {"after": str(end)}}} if end < len(found) else {}
        reply = Reply(json={"total": len(found), "results": [dict(contact) for contact in found[start:end]], **paging})
        for index, minute in self.moves[:1]:
            self.contacts[index]["updatedAt"] = (START + timedelta(minutes=minute)).isoformat()
        del self.moves[:1]
        return reply


SEARCH = Endpoint(
    "/search",
    {"id": "id", "updated_at": "updatedAt"},
    records="results",
    method="POST",
    page_size=PAGE,
    paging=HubSpotSearch(window=WINDOW, properties=("email",)),
)


@pytest.fixture(scope="module")
def crm_api() -> Iterator[Api]:
    """A server for all examples."""
    server = Api()
    yield server
    server.close()


@settings(max_examples=40)
@given(
    minutes=st.lists(st.integers(0, 12), max_size=60) | st.lists(st.just(3), min_size=15, max_size=60),
    since=st.none() | st.integers(0, 13),
)
def test_a_search_beyond_the_window_loses_and_doubles_nothing(
    crm_api: Api, minutes: list[int], since: int | None
) -> None:
    crm = Crm(minutes)
    crm_api.answer = crm.answer
    moment = START + timedelta(minutes=since) if since is not None else None
    with HttpSource(crm_api.url) as source:
        ids = [int(value) for chunk in source.read(SEARCH, moment) for value in chunk.rows["id"]]
    assert sorted(ids) == [n for n, minute in enumerate(minutes, 1) if since is None or minute >= since]
    assert crm_api.asked[-1].body["properties"] == ["email"]


@settings(max_examples=40)
@given(
    minutes=st.lists(st.integers(0, 12), min_size=10, max_size=40),
    moves=st.lists(st.tuples(st.integers(0, 9), st.integers(13, 20)), max_size=8),
)
def test_records_that_change_during_a_search_hide_no_other(
    crm_api: Api, minutes: list[int], moves: list[tuple[int, int]]
) -> None:
    crm = Crm(minutes)
    crm.moves = moves
    crm_api.answer = crm.answer
    with HttpSource(crm_api.url) as source:
        ids = {int(value) for chunk in source.read(SEARCH) for value in chunk.rows["id"]}
    assert ids == set(range(1, len(minutes) + 1))


def test_a_search_whose_records_show_no_time_goes_on_by_its_cursor_within_the_window(crm_api: Api) -> None:
    timeless = replace(SEARCH, paging=HubSpotSearch(window=WINDOW, time_path="nowhere"))
    with HttpSource(crm_api.url) as source:
        crm_api.answer = Crm(list(range(18))).answer
        assert read(source, timeless)["id"].to_list() == [str(number) for number in range(1, 19)]
        crm_api.answer = Crm(list(range(30))).answer
        with pytest.raises(PermanentError, match="no time of change at 'nowhere'"):
            read(source, timeless)


def test_a_search_asks_for_what_changed_after(crm_api: Api) -> None:
    crm_api.answer = Crm([0, 5]).answer
    with HttpSource(crm_api.url) as source:
        assert source.has_changes(SEARCH, START)
        assert not source.has_changes(SEARCH, START + timedelta(minutes=5))

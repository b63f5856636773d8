"""The simulated services keep their vendors' promises: the official HubSpot client works unmodified."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import hubspot
import polars as pl
import pytest
from hubspot.crm.contacts import ApiException
from urllib3.util.retry import Retry

from simulator.apis import ApiStore, Faults, RunningServer, running
from simulator.sinks import Day

FIRST_DAY = date(2026, 1, 1)
CONTACTS, CAMPAIGNS, EVENTS, REVIEWS = 450, 130, 2_500, 320


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at(minute: int, day: int = 0) -> str:
    return iso(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day, minutes=minute))


def contacts(numbers: range, *, day: int = 0, city: str = "Köln") -> pl.DataFrame:
    return pl.DataFrame(
        {
            "contact_id": [str(1000 + n) for n in numbers],
            "email": [f"Person{n}@shop.example" for n in numbers],
            "first_name": ["Zoë" for _ in numbers],
            "last_name": [f"Müller {n}" for n in numbers],
            "phone": [None if n % 3 == 0 else "+49 221 123" for n in numbers],
            "city": [city for _ in numbers],
            "country_code": ["DE" for _ in numbers],
            "lifecycle_stage": ["customer" for _ in numbers],
            "is_archived": ["true" if n % 50 == 49 else "false" for n in numbers],
            "created_at": [at(n) for n in numbers],
            "updated_at": [at(n, day) for n in numbers],
        },
        schema_overrides={"phone": pl.String},
    )


def campaigns() -> pl.DataFrame:
    numbers = range(CAMPAIGNS)
    return pl.DataFrame(
        {
            "campaign_id": [str(500 + n) for n in numbers],
            "name": [f"Campaign {n}" for n in numbers],
            "subject": [None if n == 0 else f"News {n}" for n in numbers],
            "utm_campaign": [f"news-{n}" for n in numbers],
            "status": ["ARCHIVED" if n % 13 == 12 else "PUBLISHED" for n in numbers],
            "published_at": [at(n) for n in numbers],
            "created_at": [at(n) for n in numbers],
            "updated_at": [at(n) for n in numbers],
        }
    )


def email_events() -> pl.DataFrame:
    numbers = range(EVENTS)
    return pl.DataFrame(
        {
            "event_id": [f"event-{n:05d}" for n in numbers],
            "campaign_id": [str(500 + n % CAMPAIGNS) for n in numbers],
            "event_type": ["OPEN" if n % 2 else "SENT" for n in numbers],
            "recipient_email": [f"person{n % 40}@shop.example" for n in numbers],
            "url": [None for _ in numbers],
            "user_agent": ["Mail/1.0" for _ in numbers],
            # Many events share a moment, so that pages must not be cut by the moment alone.
            "occurred_at": [at(n // 100) for n in numbers],
        },
        schema_overrides={"url": pl.String},
    )


def reviews() -> pl.DataFrame:
    numbers = range(REVIEWS)
    return pl.DataFrame(
        {
            "review_id": [f"r{n:04d}" for n in numbers],
            "product_id": [str(n) for n in numbers],
            "sku": [f"SKU-{n}" for n in numbers],
            "customer_id": [None if n % 2 else str(n) for n in numbers],
            "reviewer_name": ["Zoë" for _ in numbers],
            "reviewer_email": ["zoe@shop.example" for _ in numbers],
            "rating": ["five" if n == 3 else "5" for n in numbers],
            "title": ['Says "great"' for _ in numbers],
            "body": ["Line one\nline two" for _ in numbers],
            "language": ["de" for _ in numbers],
            "is_verified_purchase": ["yes" if n == 4 else "true" for n in numbers],
            "status": ["published" for _ in numbers],
            "created_at": [at(n // 10) for n in numbers],
            "updated_at": ["not a date" if n == 5 else at(n // 10) for n in numbers],
        }
    )


def first_day() -> Day:
    return Day(
        0,
        FIRST_DAY,
        {
            "hubspot/contacts": contacts(range(CONTACTS)),
            "hubspot/campaigns": campaigns(),
            "hubspot/email_events": email_events(),
            "reviews/reviews": reviews(),
        },
    )


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server for the tests that only read."""
    store = ApiStore(tmp_path_factory.mktemp("apis") / "apis.sqlite")
    store.write(first_day())
    with running(store) as server:
        yield server


@pytest.fixture
def server(shared_server: RunningServer) -> RunningServer:
    return shared_server


class OwnServer:
    """Tests that write or change faults have a server of their own."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> ApiStore:
        store = ApiStore(tmp_path / "apis.sqlite")
        store.write(first_day())
        return store

    @pytest.fixture
    def server(self, store: ApiStore) -> Iterator[RunningServer]:
        with running(store) as server:
            yield server


@pytest.fixture
def client(server: RunningServer) -> Any:
    return official_client(server)


def official_client(server: RunningServer, **more: Any) -> Any:
    return hubspot.Client.create(access_token=server.token, host=server.url, **more)


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=headers) as http:
        yield http


def search(client: Any, operator: str, value: Any, name: str = "lastmodifieddate", **more: Any) -> Any:
    filter_ = {"propertyName": name, "operator": operator, "value": value}
    if "high" in more:
        filter_["highValue"] = more.pop("high")
    request = {"filterGroups": [{"filters": [filter_]}], "limit": 200} | more
    return client.crm.contacts.search_api.do_search(public_object_search_request=request)


class TestContacts:
    def test_official_client_lists_every_contact_once(self, client: Any) -> None:
        current = client.crm.contacts.get_all(properties=["city", "phone"])
        archived = client.crm.contacts.get_all(archived=True)
        ids = [contact.id for contact in current] + [contact.id for contact in archived]
        assert sorted(ids) == [str(1000 + n) for n in range(CONTACTS)]
        assert {contact.archived for contact in archived} == {True}
        assert current[0].properties["city"] == "Köln"
        assert current[0].properties["phone"] is None
        assert current[0].created_at == datetime(2026, 1, 1, tzinfo=UTC)

    def test_default_properties_are_those_of_hubspot(self, client: Any) -> None:
        page = client.crm.contacts.basic_api.get_page(limit=1)
        names = {"createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"}
        assert set(page.results[0].properties) == names

    def test_contact_by_id_and_by_email(self, client: Any) -> None:
        api = client.crm.contacts.basic_api
        assert api.get_by_id("1007").properties["lastname"] == "Müller 7"
        assert api.get_by_id("person7@shop.example", id_property="email").id == "1007"
        with pytest.raises(hubspot.crm.contacts.exceptions.NotFoundException):
            api.get_by_id("99")

    def test_batch_read_says_which_are_missing(self, client: Any) -> None:
        read = client.crm.contacts.batch_api.read
        inputs = [{"id": "1001"}, {"id": "1002"}]
        found = read({"inputs": inputs, "properties": ["city"]})
        assert [contact.id for contact in found.results] == ["1001", "1002"]
        partly = read({"inputs": [*inputs, {"id": "1"}]})
        assert len(partly.results) == 2
        assert partly.errors[0].context == {"ids": ["1"]}

    @pytest.mark.parametrize(
        ("operator", "more", "expected"),
        [
            ("GTE", {}, range(100, CONTACTS)),
            ("GT", {}, range(101, CONTACTS)),
            ("LTE", {}, range(101)),
            ("LT", {}, range(100)),
            ("EQ", {}, range(100, 101)),
            ("BETWEEN", {"high": at(110)}, range(100, 111)),
        ],
    )
    def test_search_filters_by_the_moment_of_change(
        self, client: Any, operator: str, more: dict[str, Any], expected: range
    ) -> None:
        page = search(client, operator, at(100), sorts=["lastmodifieddate"], **more)
        wanted = [str(1000 + n) for n in expected if n % 50 != 49]
        assert page.total == len(wanted)
        assert [contact.id for contact in page.results] == wanted[:200]

    def test_search_pages_by_offset_and_takes_milliseconds(self, client: Any) -> None:
        milliseconds = str(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000))
        ids: list[str] = []
        after = None
        while True:
            sorts = [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]
            page = search(client, "GTE", milliseconds, sorts=sorts, after=after)
            ids += [contact.id for contact in page.results]
            if page.paging is None:
                break
            after = page.paging.next.after
        assert len(ids) == page.total == len(set(ids))
        assert ids == sorted(ids, reverse=True)

    def test_search_by_email_ignores_case(self, client: Any) -> None:
        assert search(client, "EQ", "PERSON8@shop.example", "email").results[0].id == "1008"

    def test_search_refuses_to_go_beyond_ten_thousand_results(self, client: Any) -> None:
        search(client, "GTE", at(0), after="9800")
        with pytest.raises(ApiException) as refused:
            search(client, "GTE", at(0), after="9801")
        assert refused.value.status == 400
        assert "10000" in refused.value.body


class TestStore(OwnServer):
    def test_rows_with_an_unreadable_or_old_moment_are_still_found_as_changed(
        self, store: ApiStore, client: Any
    ) -> None:
        frame = contacts(range(3), day=1).with_columns(
            updated_at=pl.Series(["32.13.2026", "1970-01-01T00:00:00.000Z", None]),
            is_archived=pl.Series(["false", "maybe", None]),
        )
        store.write(Day(1, FIRST_DAY + timedelta(days=1), {"hubspot/contacts": frame}))
        found = search(client, "GTE", at(0, day=1), properties=["lastmodifieddate"])
        shown = {contact.id: contact.properties["lastmodifieddate"] for contact in found.results}
        assert shown == {"1000": "32.13.2026", "1001": "1970-01-01T00:00:00.000Z", "1002": None}

    def test_writing_a_day_again_changes_nothing(self, store: ApiStore, client: Any) -> None:
        before = client.crm.contacts.get_all()
        store.write(first_day())
        assert client.crm.contacts.get_all() == before

    def test_a_later_day_replaces_rows_an_earlier_one_does_not(self, store: ApiStore, client: Any) -> None:
        later = {"hubspot/contacts": contacts(range(1), day=1, city="Bonn")}
        store.write(Day(1, FIRST_DAY + timedelta(days=1), later))
        store.write(first_day())
        kept = client.crm.contacts.basic_api.get_by_id("1000", properties=["city"])
        assert kept.properties["city"] == "Bonn"

    def test_readers_meet_no_error_while_days_arrive(self, store: ApiStore, server: RunningServer) -> None:
        def read(_: int) -> int:
            return len(official_client(server).crm.contacts.get_all())

        with ThreadPoolExecutor(3) as pool:
            counts = pool.map(read, range(6))
            for number in range(1, 6):
                frame = contacts(range(CONTACTS), day=number)
                store.write(Day(number, FIRST_DAY + timedelta(days=number), {"hubspot/contacts": frame}))
            assert set(counts) == {441}

    def test_a_key_that_is_no_number_is_refused_with_its_table(self, store: ApiStore) -> None:
        frame = contacts(range(1)).with_columns(contact_id=pl.lit("abc"))
        with pytest.raises(ValueError, match="hubspot__contacts, day 0: every contact_id"):
            store.write(Day(0, FIRST_DAY, {"hubspot/contacts": frame}))


class TestMarketing:
    def test_official_client_lists_marketing_emails(self, client: Any) -> None:
        api = client.marketing.emails.marketing_emails_api
        emails, after = [], None
        while True:
            page = api.get_page(limit=50, after=after, sort=["-updatedAt"])
            emails += page.results
            if page.paging is None:
                break
            after = page.paging.next.after
        archived = api.get_page(archived=True).results
        assert page.total == len(emails) == CAMPAIGNS - 10
        assert {email.id for email in emails} | {email.id for email in archived} == {
            str(500 + n) for n in range(CAMPAIGNS)
        }
        assert [email.updated_at for email in emails] == sorted((e.updated_at for e in emails), reverse=True)
        assert emails[-1].subject == ""
        assert emails[0].state == "PUBLISHED"
        assert emails[0].campaign_name == "news-128"

    def test_emails_changed_since(self, client: Any) -> None:
        page = client.marketing.emails.marketing_emails_api.get_page(updated_after=at(120))
        assert [email.id for email in page.results] == [str(500 + n) for n in range(120, 129)]

    def test_email_events_come_newest_first_and_each_once(self, server: RunningServer) -> None:
        # The official client has no model of the legacy events; this is its documented way to any path.
        client = official_client(server, base_url=server.url)
        events: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 1000}
        pages = 0
        while True:
            pages += 1
            page = client.api_request({"path": "/email/public/v1/events", "qs": query}).json()
            events += page["events"]
            if not page["hasMore"]:
                break
            query["offset"] = page["offset"]
        assert pages == 3
        assert len({event["id"] for event in events}) == len(events) == EVENTS
        assert [event["created"] for event in events] == sorted((e["created"] for e in events), reverse=True)
        assert events[0]["emailCampaignId"] == 500 + (EVENTS - 1) % CAMPAIGNS
        assert "url" not in events[0]

    def test_email_events_by_time_type_and_campaign(self, http: httpx.Client) -> None:
        start = int(datetime(2026, 1, 1, 0, 10, tzinfo=UTC).timestamp() * 1000)
        query: dict[str, str | int] = {
            "limit": 1000,
            "startTimestamp": start,
            "endTimestamp": start,
            "eventType": "OPEN",
        }
        events = http.get("/email/public/v1/events", params=query).json()["events"]
        assert len(events) == 50
        [event, *_] = http.get("/email/public/v1/events", params={"campaignId": 510}).json()["events"]
        assert event["emailCampaignId"] == 510


class TestReviews:
    def test_pages_follow_the_link_and_hold_every_review_once(self, http: httpx.Client) -> None:
        found: list[dict[str, Any]] = []
        url: str | None = "/v1/reviews?page_size=100"
        while url:
            answer = http.get(url)
            found += answer.json()["reviews"]
            url = answer.links["next"]["url"] if "next" in answer.links else None
            assert (url is None) == (answer.json()["next_cursor"] is None)
        assert len({review["review_id"] for review in found}) == len(found) == REVIEWS

    def test_values_that_do_not_parse_come_as_text(self, http: httpx.Client) -> None:
        found = http.get("/v1/reviews?page_size=500").json()["reviews"]
        shown = {review["review_id"]: review for review in found}
        assert [shown[key]["rating"] for key in ("r0002", "r0003")] == [5, "five"]
        assert [shown[key]["is_verified_purchase"] for key in ("r0002", "r0004")] == [True, "yes"]
        assert shown["r0005"]["updated_at"] == "not a date"
        assert shown["r0003"]["customer_id"] is None
        assert shown["r0002"]["title"] == 'Says "great"'

    def test_updated_since_leaves_out_what_is_older(self, http: httpx.Client) -> None:
        query: dict[str, str | int] = {"updated_since": at(30), "page_size": 500}
        found = {review["review_id"] for review in http.get("/v1/reviews", params=query).json()["reviews"]}
        assert found == {f"r{n:04d}" for n in range(300, REVIEWS)} | {"r0005"}

    def test_an_unchanged_page_is_not_sent_twice(self, http: httpx.Client) -> None:
        first = http.get("/v1/reviews")
        again = http.get("/v1/reviews", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("/crm/v3/objects/contacts?limit=101", "limit"),
            ("/crm/v3/objects/contacts?after=x", "after"),
            ("/crm/v3/objects/contacts?archived=perhaps", "archived"),
            ("/marketing/v3/emails?sort=colour", "colour"),
            ("/marketing/v3/emails?after=%25%25", "after"),
            ("/email/public/v1/events?limit=1001", "limit"),
            ("/email/public/v1/events?offset=nonsense", "offset"),
            ("/v1/reviews?page_size=0", "page_size"),
            ("/v1/reviews?updated_since=yesterday", "updated_since"),
            ("/v1/reviews?cursor=WzFd", "cursor"),
        ],
    )
    def test_a_wrong_parameter_is_named(self, http: httpx.Client, path: str, message: str) -> None:
        answer = http.get(path)
        assert answer.status_code == 400
        assert message in answer.text

    @pytest.mark.parametrize("body", ["{", "[]", '{"filterGroups":[{}]}', '{"sorts":["x"]}', '{"limit":201}'])
    def test_a_search_that_makes_no_sense_is_refused(self, http: httpx.Client, body: str) -> None:
        answer = http.post("/crm/v3/objects/contacts/search", content=body)
        assert answer.status_code == 400
        assert answer.json()["category"] == "VALIDATION_ERROR"

    def test_a_wrong_token_is_unauthorized(self, server: RunningServer) -> None:
        stranger = hubspot.Client.create(access_token="wrong", host=server.url)
        with pytest.raises(hubspot.crm.contacts.exceptions.UnauthorizedException) as refused:
            stranger.crm.contacts.basic_api.get_page()
        assert '"category":"INVALID_AUTHENTICATION"' in refused.value.body
        answer = httpx.get(f"{server.url}/v1/reviews", headers={"Authorization": "Bearer wrong"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")


class TestFaults(OwnServer):
    def test_the_official_client_gets_over_errors_and_rate_limits(self, server: RunningServer) -> None:
        # The retries of urllib3, as the client's documentation has them, only without the waits.
        retry = Retry(20, status_forcelist=(429, 500), backoff_factor=0, respect_retry_after_header=False)
        server.faults.p_500 = server.faults.p_429 = 0.3
        client = official_client(server, retry=retry)
        assert len(client.crm.contacts.get_all()) == 441
        assert server.faults.requests > 5

    def test_the_rate_limit_says_when_to_come_back(self, server: RunningServer, http: httpx.Client) -> None:
        server.faults.rate_limit_per_second = 2
        server.faults.clock = lambda: 100.0
        path = "/crm/v3/objects/contacts"
        answers = [http.get(path) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [a.headers["X-HubSpot-RateLimit-Remaining"] for a in answers] == ["1", "0", "0"]
        assert answers[2].headers["Retry-After"] == "1"
        assert answers[2].json()["policyName"] == "SECONDLY"
        server.faults.clock = lambda: 101.0
        assert http.get(path).status_code == 200

    def test_a_token_expires(self, server: RunningServer, http: httpx.Client) -> None:
        server.faults.expired_after = 1
        assert http.get("/crm/v3/objects/contacts").status_code == 200
        refused = http.get("/crm/v3/objects/contacts")
        assert (refused.status_code, refused.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")

    def test_broken_answers(self, server: RunningServer, http: httpx.Client) -> None:
        server.faults.p_truncated_json = 1.0
        answer = http.get("/v1/reviews")
        assert answer.status_code == 200
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            answer.json()
        server.faults.p_truncated_json, server.faults.p_html = 0.0, 1.0
        answer = http.get("/v1/reviews")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")

    def test_a_slow_answer_outlasts_impatience(self, server: RunningServer, http: httpx.Client) -> None:
        server.faults.p_slow, server.faults.slow_seconds = 1.0, 1.0
        with pytest.raises(httpx.ReadTimeout):
            http.get("/v1/reviews", timeout=0.2)

    def test_the_same_seed_gives_the_same_faults(self) -> None:
        def shown(seed: int) -> list[str]:
            faults = Faults(seed=seed, p_429=0.2, p_500=0.2, p_html=0.2)
            return [str(faults.judge().fault) for _ in range(200)]

        assert shown(1) == shown(1) != shown(2)
        assert len(set(shown(1))) == 4

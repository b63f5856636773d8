"""What the HTTP client decides without a server: waits, the pace of requests, moments as APIs want them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from resources.http_source import Since
from resources.http_source.client import HttpClient, retry_after_seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "12"}, 12.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:09 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 9.0),
        ({"Retry-After": "Wed, 21 Oct 2020 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(headers) == seconds


def test_requests_keep_their_distance() -> None:
    now = [100.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    client = HttpClient(
        "http://127.0.0.1:9",
        token=None,
        headers={},
        timeout_seconds=1,
        requests_per_second=4,
        attempts=1,
        longest_wait_seconds=1,
        sleep=sleep,
        clock=lambda: now[0],
    )
    for _ in range(3):
        client._wait_for_turn()
    now[0] += 10
    client._wait_for_turn()
    client.close()
    assert waits == [0.25, 0.25]


def test_a_moment_is_given_as_the_api_wants_it() -> None:
    moment = datetime(2026, 1, 1, 1, 0, 0, 1_999, tzinfo=timezone(timedelta(hours=1)))
    assert Since("s").text(moment) == "2026-01-01T00:00:00.001Z"
    assert Since("s", "epoch_ms").text(moment) == "1767225600001"
    assert Since("s", "epoch_s").text(moment) == "1767225600"
    with pytest.raises(ValueError, match="time zone"):
        Since("s", "epoch_ms").text(datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None))

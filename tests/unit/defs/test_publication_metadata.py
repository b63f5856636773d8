"""What the page of the publication says of the time that its news was under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from resources.warehouse import Publication
from resources.warehouse.base import Changes
from shopsphere_assets.defs.warehouse.publication import latency

PUBLISHED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _published(changes: Changes) -> Publication:
    return Publication(7, PUBLISHED_AT, "run", 20, 1000, "somewhere", changes)


def test_the_latency_is_a_number_that_can_be_plotted_and_says_whose_clock_it_is() -> None:
    newest, oldest = PUBLISHED_AT - timedelta(seconds=20), PUBLISHED_AT - timedelta(seconds=45)
    said = {name: entry.value for name, entry in latency(_published(Changes(newest, oldest, "source"))).items()}
    assert said == {
        "latency (s)": 20.0,
        "longest latency (s)": 45.0,
        "latency counts from": "the newest change, by the source's clock",
    }
    by_platform = latency(_published(Changes(newest, oldest, "platform")))
    assert by_platform["latency counts from"].value == "the read, as the source's clock tells nothing"


def test_a_publication_without_news_shows_none() -> None:
    assert latency(_published(Changes())) == {}

"""What a sensor decides on what it found, without Dagster's machinery and without a source."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.defs.raw import factory
from shopsphere_assets.defs.raw.shop_db import SHOP_DB
from shopsphere_assets.defs.warehouse.conditions import AUTOMATION_TAGS

TABLES = list(SHOP_DB.tables)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

news = st.dictionaries(st.sampled_from([t.name for t in TABLES]), st.text(min_size=1), min_size=0)


def _all(found: dict[str, str]) -> dict[str, str | None]:
    return {table.name: found.get(table.name) for table in TABLES}


@given(found=news)
def test_every_table_with_news_is_asked_for_at_first(found: dict[str, str]) -> None:
    decision = factory.decide(_all(found), {}, TABLES)
    assert {table.name for table in decision.tables} == set(found)
    assert decision.acted_upon == found


@given(found=news)
def test_the_same_news_is_not_acted_upon_twice(found: dict[str, str]) -> None:
    first = factory.decide(_all(found), {}, TABLES)
    second = factory.decide(_all(found), first.acted_upon, TABLES)
    assert second.tables == []
    assert second.acted_upon == first.acted_upon


@given(before=news, after=news)
def test_only_tables_whose_news_changed_are_asked_for(before: dict[str, str], after: dict[str, str]) -> None:
    decision = factory.decide(_all(after), before, TABLES)
    assert {table.name for table in decision.tables} == {n for n, text in after.items() if before.get(n) != text}


def _run(status: dg.DagsterRunStatus, ended: datetime | None) -> Any:
    """What the decision reads of a run; a real queued one cannot be made without a code location."""
    return SimpleNamespace(dagster_run=SimpleNamespace(status=status), end_time=ended.timestamp() if ended else None)


def test_a_source_that_was_never_read_or_read_well_need_not_wait() -> None:
    assert factory._reason_to_wait(None, NOW) is None
    assert factory._reason_to_wait(_run(dg.DagsterRunStatus.SUCCESS, NOW), NOW) is None


@pytest.mark.parametrize("status", ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_no_second_run_while_one_is_under_way(status: str) -> None:
    reason = factory._reason_to_wait(_run(dg.DagsterRunStatus(status), None), NOW)
    assert reason == "a run of this source is under way"


@pytest.mark.parametrize("status", ["FAILURE", "CANCELED"])
def test_after_a_failed_run_the_next_try_waits_and_says_until_when(status: str) -> None:
    ended = NOW - timedelta(minutes=1)
    assert factory._reason_to_wait(_run(dg.DagsterRunStatus(status), ended), NOW) == (
        "the last run failed; the next try is at 12:04:00 UTC"
    )
    assert factory._reason_to_wait(_run(dg.DagsterRunStatus(status), ended), NOW + timedelta(minutes=4)) is None


class _Runs:
    """Dagster's records, of which the decision asks for the latest build that was requested."""

    def __init__(self, requested: datetime | None) -> None:
        self._records = [SimpleNamespace(create_timestamp=requested)] if requested else []

    def get_run_records(self, filters: dg.RunsFilter, limit: int) -> list[Any]:
        assert filters.tags == AUTOMATION_TAGS
        return self._records


def _build_to_wait_for(read_ended: datetime | None, build_requested: datetime | None) -> str | None:
    runs: Any = _Runs(build_requested)
    return factory._build_to_wait_for(runs, _run(dg.DagsterRunStatus.SUCCESS, read_ended), NOW)


def test_after_a_read_the_next_one_leaves_the_build_a_gap_to_begin_in() -> None:
    read = NOW - timedelta(seconds=10)
    assert _build_to_wait_for(read, None) == "what was read last is yet to be built"
    assert _build_to_wait_for(read, read - timedelta(seconds=1)) == "what was read last is yet to be built"
    assert _build_to_wait_for(read, read + timedelta(seconds=1)) is None


def test_where_no_build_follows_reading_goes_on() -> None:
    assert _build_to_wait_for(NOW - timedelta(seconds=59), None) is not None
    assert _build_to_wait_for(NOW - timedelta(seconds=60), None) is None
    assert factory._build_to_wait_for(_Runs(None), None, NOW) is None  # type: ignore[arg-type]

"""Which days are alarmed, and which are not."""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl
import pytest

from shopsphere_assets.quality.drift import Alarm, judge
from tests.unit.quality.histories import Change, as_they_are, day, day_of, frame, quiet, usual_rows

DAYS = 42


@cache
def history() -> tuple[dict[str, Any], ...]:
    return tuple(quiet(DAYS))


def alarms_on(number: int, *later: list[dict[str, Any]], hour: int = 1) -> list[Alarm]:
    entries = [entry for entry in history() if entry["profiled_at"] < day_of(number)] if later else list(history())
    return judge(frame([*entries, *(entry for some in later for entry in some)]), day_of(number, hour))


def of_some(column: str, value: pl.Expr, share: float) -> Change:
    """A change of a share of the rows."""
    chosen = pl.int_range(pl.len()) % 100 < 100 * share

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        changed = pl.when(chosen).then(value).otherwise(pl.col(column))
        return rows.with_columns(changed.cast(rows.schema[column]).alias(column))

    return change


def test_quiet_days_raise_no_alarm() -> None:
    found = [alarm for number in range(30, DAYS, 2) for alarm in alarms_on(number, day(number, usual_rows(number)))]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "column", "rows", "change"),
    [
        ("volume", None, 0.5, as_they_are),
        ("volume", None, 2.0, as_they_are),
        ("nulls", "provider_reference", 1.0, of_some("provider_reference", pl.lit(None), 0.2)),
        ("values", "method", 1.0, of_some("method", pl.lit("pix"), 0.2)),
        ("values", "currency", 1.0, of_some("currency", pl.lit("EUR"), 0.5)),
        ("level", "amount", 1.0, of_some("amount", pl.col("amount") * 2, 1.0)),
        ("shape", "amount", 1.0, of_some("amount", pl.col("amount") * 20, 0.25)),
    ],
)
def test_drift_is_alarmed_within_two_batches(kind: str, column: str | None, rows: float, change: Change) -> None:
    first = day(DAYS, round(usual_rows(DAYS) * rows), change)
    second = day(DAYS + 1, round(usual_rows(DAYS + 1) * rows), change)
    found = [*alarms_on(DAYS, first), *alarms_on(DAYS + 1, first, second)]
    assert (kind, column) in {(alarm.kind, alarm.column_name) for alarm in found}


def test_an_alarm_says_what_is_likely_and_what_was_found() -> None:
    [alarm] = alarms_on(DAYS, day(DAYS, 100))
    assert (alarm.source, alarm.table_name, alarm.batch_id) == ("shop_db", "payments", "20260216T0100")
    assert alarm.observed == pytest.approx(100)
    assert 100 < alarm.expected_low < 400 < alarm.expected_high
    assert alarm.note.startswith("rows on 2026-02-16: 100; likely is ")
    [again] = alarms_on(DAYS, day(DAYS, 100), hour=5)
    assert again.alarm_id == alarm.alarm_id


def test_a_weekend_is_held_to_weekends() -> None:
    sunday = DAYS - 1
    assert alarms_on(sunday, day(sunday, 250)) == []
    assert [alarm.kind for alarm in alarms_on(sunday, day(sunday, 400))] == ["volume"]


def test_what_comes_every_month_is_no_alarm_the_second_time() -> None:
    def rows(number: int) -> int:
        return 2_000 if number == 12 else usual_rows(number)

    entries = quiet(40, rows)
    assert judge(frame([*entries, *day(40, 2_000)]), day_of(40, 1)) == []
    # Not a month after.
    assert [a.kind for a in judge(frame([*entries, *day(40, usual_rows(40)), *day(41, 2_000)]), day_of(41, 1))] == [
        "volume"
    ]


def test_a_campaign_every_four_days_is_learnt() -> None:
    entries = quiet(40, lambda number: 1_000 if number % 4 == 0 else 100)
    assert judge(frame([*entries, *day(40, 1_000)]), day_of(40, 1)) == []
    assert judge(frame([*entries, *day(40, 100)]), day_of(40, 1)) != []


def test_nothing_new_for_long_is_alarmed() -> None:
    assert alarms_on(DAYS - 1, hour=35) == []
    [alarm] = alarms_on(DAYS - 1, hour=37)
    assert (alarm.kind, alarm.column_name, alarm.expected_high) == ("freshness", None, 36)


def test_small_batches_are_judged_together() -> None:
    entries = quiet(30, lambda number: 300, batches=12)
    change = of_some("provider_reference", pl.lit(None), 0.3)
    found = judge(frame([*entries, *day(30, 300, change, batches=12)]), day_of(30, 1))
    assert [(alarm.kind, alarm.column_name) for alarm in found] == [("nulls", "provider_reference")]


def test_a_day_that_is_not_over_is_not_short_of_rows() -> None:
    entries = quiet(30, lambda number: 300, batches=12)
    begun = day(30, 300, batches=12)
    few = [entry for entry in begun if entry["profiled_at"] <= day_of(30).replace(minute=2)]
    assert judge(frame([*entries, *few]), day_of(30, 1)) == []
    # Once it is over, it is.
    [alarm] = judge(frame([*entries, *few]), day_of(31, 1))
    assert alarm.kind == "volume"


def test_nothing_is_judged_without_a_history() -> None:
    entries = quiet(8)
    assert judge(frame([*entries[:-9], *day(7, 5_000)]), day_of(7, 1)) == []
    assert judge(frame([]), day_of(7)) == []

"""The planted errors are what the truth says they are, judged by the contracts themselves."""

from __future__ import annotations

import polars as pl
import pytest

from simulator.error_plan import PLAN
from simulator.sinks import TRUTH_SCHEMA, Day
from simulator.world import KEYS, World
from tests.unit.simulator.contract_rules import broken_rules

SCALE = 0.04
DAYS = (0, 1, 30, 31)


@pytest.fixture(scope="module")
def dirty_days() -> list[Day]:
    """Some days with many errors."""
    world = World(11, SCALE, error_rate=0.4)
    return [world.day(number) for number in DAYS]


def _truth_of(day: Day, table: str) -> pl.DataFrame:
    source, name = table.split("/")
    return day.truth.filter((pl.col("source") == source) & (pl.col("table_name") == name))


@pytest.mark.parametrize("number", DAYS)
def test_no_clean_row_breaks_a_rule(number: int) -> None:
    day = World(11, SCALE, error_rate=0.0).day(number)
    assert day.truth.is_empty()
    for table, frame in day.tables.items():
        assert broken_rules(table, frame) == set(), table


def test_rows_break_exactly_the_rules_that_the_truth_names(dirty_days: list[Day]) -> None:
    for day in dirty_days:
        for table, frame in day.tables.items():
            keys = frame[KEYS[table]].cast(pl.String).to_list()
            found = {(keys[row], rule) for row, rule in broken_rules(table, frame)}
            visible = _truth_of(day, table).filter("is_row_visible").select("row_key", "rule")
            assert found == set(visible.rows()), (day.number, table)


def test_every_usual_error_is_planted_and_there_are_more_than_twenty_kinds(dirty_days: list[Day]) -> None:
    truth = pl.concat([day.truth for day in dirty_days])
    planted = set(truth.select(pl.format("{}/{}", "source", "table_name"), "kind", "column_name").rows())
    for table in (
        "shop_db/customers",
        "shop_db/orders",
        "shop_db/order_items",
        "web_logs/events",
        "crm_files/contacts",
    ):
        for planting in PLAN[table]:
            if planting.weight >= 1:
                assert (table, planting.kind, planting.column) in planted
    assert truth["kind"].n_unique() > 20


def test_the_share_of_dirty_rows_is_the_error_rate() -> None:
    world = World(4, 0.1)
    rows = dirty = 0
    for number in range(30, 36):
        day = world.day(number)
        rows += day.rows
        dirty += day.truth.select("source", "table_name", "row_key").unique().height
    assert dirty / rows == pytest.approx(0.05, abs=0.006)


def test_the_truth_knows_the_right_and_the_wrong_value(dirty_days: list[Day]) -> None:
    truth = pl.concat([day.truth for day in dirty_days])
    assert dict(truth.schema) == TRUTH_SCHEMA
    changed = truth.filter(pl.col("kind") != "duplicate_row")
    assert changed.filter(pl.col("correct_value").eq_missing(pl.col("wrong_value"))).is_empty()
    for day in dirty_days:
        rows = day.tables["shop_db/customers"].with_columns(pl.col("customer_id").cast(pl.String))
        emails = _truth_of(day, "shop_db/customers").filter(pl.col("column_name") == "email")
        joined = emails.join(rows, left_on="row_key", right_on="customer_id")
        assert joined.height == emails.height
        assert joined["wrong_value"].to_list() == joined["email"].to_list()


def test_errors_change_neither_keys_nor_the_number_of_rows_apart_from_doubles(dirty_days: list[Day]) -> None:
    clean_world = World(11, SCALE, error_rate=0.0)
    for day in dirty_days:
        clean = clean_world.day(day.number)
        for table, frame in day.tables.items():
            doubled = _truth_of(day, table).filter(pl.col("kind") == "duplicate_row").height
            assert frame.height == clean.tables[table].height + doubled
            assert set(frame[KEYS[table]]) == set(clean.tables[table][KEYS[table]])


def test_only_lines_of_files_are_doubled_and_a_double_equals_its_original(dirty_days: list[Day]) -> None:
    doubles = pl.concat([day.truth for day in dirty_days]).filter(pl.col("kind") == "duplicate_row")
    assert {"web_logs", "crm_files"} <= set(doubles["source"]) <= {"web_logs", "crm_files", "support"}
    for day in dirty_days:
        frame = day.tables["web_logs/events"]
        keys = _truth_of(day, "web_logs/events").filter(pl.col("kind") == "duplicate_row")["row_key"]
        for key in keys.head(20):
            pair = frame.filter(pl.col("event_id") == key)
            assert pair.height == 2
            assert pair.is_duplicated().all()

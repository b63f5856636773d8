"""``shopsphere sql``: what readers of the publication see, in every format."""

from __future__ import annotations

import csv
import io
import json

import pytest

from resources.settings import load_settings
from resources.warehouse import Warehouse, open_warehouse
from tests.unit.cli.conftest import Shopsphere

MART = """
create table build_sales.fct_orders as
select 1::bigint as order_id, 1234567890123456.70::decimal(18, 2) as amount, null::varchar as note,
    date '2026-03-01' as ordered_on, timestamptz '2026-03-01 10:00:00.5+00' as ordered_at, true as is_paid, 0.5 as share
union all
select 2, -0.10, '寿司 “quoted”, [red]and[/red] 🎉', null, null, false, null
"""


@pytest.fixture
def warehouse() -> Warehouse:
    """A warehouse of one mart, published twice."""
    warehouse = open_warehouse(load_settings().warehouse, lock_timeout=10)
    warehouse.prepare()
    for statement in ("create schema build_sales", MART):
        with warehouse.transaction() as transaction:
            transaction.execute(statement)
        warehouse.publish("test")
    return warehouse


pytestmark = pytest.mark.usefixtures("warehouse")

ALL = "select * from fct_orders order by order_id"


def test_csv_has_exact_decimals_iso_moments_and_nothing_for_null(shopsphere: Shopsphere) -> None:
    answer = shopsphere("sql", ALL, "--format", "csv")
    assert answer.status == 0
    assert list(csv.reader(io.StringIO(answer.output))) == [
        ["order_id", "amount", "note", "ordered_on", "ordered_at", "is_paid", "share"],
        ["1", "1234567890123456.70", "", "2026-03-01", "2026-03-01 10:00:00.500000+00:00", "True", "0.5"],
        ["2", "-0.10", "寿司 “quoted”, [red]and[/red] 🎉", "", "", "False", ""],
    ]
    assert "\r" not in answer.output


def test_json_has_exact_decimals_as_text_and_null(shopsphere: Shopsphere) -> None:
    answer = shopsphere("sql", ALL, "--format", "json")
    first, second = json.loads(answer.output)
    assert first == {
        "order_id": 1,
        "amount": "1234567890123456.70",
        "note": None,
        "ordered_on": "2026-03-01",
        "ordered_at": "2026-03-01 10:00:00.500000+00:00",
        "is_paid": True,
        "share": "0.5",
    }
    assert second["note"] == "寿司 “quoted”, [red]and[/red] 🎉"
    assert "寿司" in answer.output


def test_the_table_shows_every_character_and_its_columns_are_straight(shopsphere: Shopsphere) -> None:
    answer = shopsphere("sql", "select note, amount from fct_orders order by order_id")
    assert "寿司 “quoted”, [red]and[/red] 🎉" in answer.output
    assert "1234567890123456.70" in answer.output
    assert answer.output.endswith("2 rows\n") or "2 rows" in answer.output
    from rich.cells import cell_len

    lines = [line for line in answer.output.splitlines() if line.startswith(("│", "┃", "├", "└"))]
    assert len({cell_len(line.rstrip()) for line in lines}) == 1


@pytest.mark.parametrize(("form", "expected"), [("csv", "order_id\n"), ("json", "[]\n")])
def test_no_rows_are_an_empty_answer(shopsphere: Shopsphere, form: str, expected: str) -> None:
    answer = shopsphere("sql", "select order_id from fct_orders where false", "--format", form)
    assert (answer.status, answer.output) == (0, expected)


def test_no_rows_are_said_in_the_table(shopsphere: Shopsphere) -> None:
    assert "0 rows" in shopsphere("sql", "select order_id from fct_orders where false").output


def test_columns_of_one_name_are_all_shown(shopsphere: Shopsphere) -> None:
    for form in ("table", "csv"):
        answer = shopsphere("sql", "select 11 as a, 22 as a, 33 as b", "--format", form)
        assert answer.status == 0
        assert all(number in answer.output for number in ("11", "22", "33"))


def test_nested_values_and_numbers_that_json_lacks_are_valid_json(shopsphere: Shopsphere) -> None:
    query = "select [1.50, 2.00] as prices, {'a': date '2026-03-01'} as pair, 'nan'::double as n, 'inf'::double as i"
    [row] = json.loads(shopsphere("sql", query, "--format", "json").output, parse_constant=pytest.fail)
    assert row == {"prices": ["1.50", "2.00"], "pair": {"a": "2026-03-01"}, "n": "nan", "i": "inf"}
    assert shopsphere("sql", query, "--format", "csv").status == 0
    assert shopsphere("sql", query).status == 0


def test_tiny_and_huge_decimals_are_written_out(shopsphere: Shopsphere) -> None:
    query = "select 0.0000000001::decimal(20, 10) as tiny, 0::decimal(20, 10) as nothing"
    assert shopsphere("sql", query, "--format", "csv").output == "tiny,nothing\n0.0000000001,0.0000000000\n"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("selec 1", "the SQL cannot be read"),
        ("select nothing from fct_orders", "nothing"),
        ("select * from fct_nowhere", "fct_nowhere"),
        ("select 1 as a[/foo] [red]", "[/foo]"),
    ],
)
def test_an_error_in_the_sql_is_told_without_a_stack(shopsphere: Shopsphere, query: str, told: str) -> None:
    answer = shopsphere("sql", query)
    assert answer.status == 1
    assert answer.output == ""
    assert answer.errors.startswith("error:")
    assert told in answer.errors
    assert "what to do:" in answer.errors
    assert "Traceback" not in answer.errors


@pytest.mark.parametrize(
    "query",
    [
        "insert into sales.fct_orders (order_id) values (3)",
        "delete from fct_orders",
        "drop table fct_orders",
        "create table sales.mine as select 1 as a",
        "copy fct_orders to '/tmp/stolen.csv'",
        "attach '/tmp/other.duckdb'",
        "select 1; drop table fct_orders",
        "select * from read_csv('/etc/passwd')",
    ],
)
def test_whatever_would_change_or_leave_the_publication_is_refused(
    shopsphere: Shopsphere, warehouse: Warehouse, query: str
) -> None:
    answer = shopsphere("sql", query)
    assert answer.status == 1
    assert answer.errors.startswith("error:")
    assert warehouse.read_publication("select count(*) as n from fct_orders").to_pylist() == [{"n": 2}]


def test_an_earlier_version_can_be_asked(shopsphere: Shopsphere) -> None:
    query = "select version from publication.info"
    assert shopsphere("sql", query, "--format", "csv").output == "version\n2\n"
    assert shopsphere("sql", query, "--format", "csv", "--version", "1").output == "version\n1\n"
    answer = shopsphere("sql", query, "--version", "9")
    assert answer.status == 1
    assert "publication 9 does not exist or was dropped" in answer.errors


def test_it_answers_while_a_run_writes(shopsphere: Shopsphere, warehouse: Warehouse) -> None:
    with warehouse.transaction() as transaction:
        transaction.execute("delete from build_sales.fct_orders")
        assert shopsphere("sql", "select count(*) from fct_orders", "--format", "csv").output.endswith("\n2\n")


def test_before_the_first_publication_it_says_what_to_do(
    shopsphere: Shopsphere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPSPHERE_HOME", "another")
    answer = shopsphere("sql", "select 1")
    assert answer.status == 1
    assert "nothing is published yet" in answer.errors

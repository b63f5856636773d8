"""Every row of a chunk is either valid or in quarantine, with every rule that it broke."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import PermanentError
from resources.reading import POSITION, REJECTED_SCHEMA, Chunk
from shopsphere_assets.contracts import shop_db, web_logs
from shopsphere_assets.ingestion.raw_table import RawTable
from shopsphere_assets.ingestion.validate import QUARANTINE_SCHEMA, Divided, divide
from tests.raw_tables import ALL_TABLES, good_row, raw_table, text_chunk

ORDERS = raw_table(shop_db.Orders)
CUSTOMERS = raw_table(shop_db.Customers)
EVENTS = raw_table(web_logs.Events)

Row = dict[str, str | None]

# What breaks a rule of one column. The rules' names are the platform's vocabulary, not Pandera's.
BAD_VALUES: dict[str, tuple[str | None, ...]] = {
    "required": (None,),
    "type": ("no value of this kind",),
    "allowed_values": ("no such value",),
    "minimum": ("-1", "0", "-1.00", "0.00"),
    "maximum": ("10000000",),
    "format": ("§§§",),
    "length": ("", "x" * 1000),
    "email_format": ("not-an-address",),
    "plausible_time": ("1970-01-01", "2199-01-01"),
    "clean_text": ("Z\u00c3\u00bcrich", "a\x07b", "a\ufffdb"),
    "not_a_placeholder": ("N/A", " "),
}
RULE_OF_CHECK = {
    "isin": "allowed_values",
    "greater_than_or_equal_to": "minimum",
    "greater_than": "minimum",
    "less_than_or_equal_to": "maximum",
    "str_matches": "format",
    "str_startswith": "format",
    "str_length": "length",
}
# A negative price, a positive quantity and an amount that is not negative never add up.
ALSO = defaultdict(set, {"unit_price.minimum": {"line_amount_adds_up"}})


@dataclass(frozen=True)
class Rule:
    """One rule of one contract."""

    table: RawTable
    name: str
    column: str | None = None

    @property
    def id(self) -> str:
        return f"{self.column}.{self.name}" if self.column else self.name


def rules(table: RawTable) -> Iterator[Rule]:
    schema = table.contract.to_schema()
    for name, column in schema.columns.items():
        if not column.nullable:
            yield Rule(table, "required", name)
        if table.column_types[name] != pl.String:
            yield Rule(table, "type", name)
        for check in {RULE_OF_CHECK.get(str(c.name), str(c.name)) for c in column.checks}:
            yield Rule(table, check, name)
    for check in schema.checks:
        yield Rule(table, str(check.name))


def broken(divided: Divided) -> list[set[str]]:
    """The rules that each quarantined row broke."""
    return [{r["rule"] for r in json.loads(text)} for text in divided.quarantined.get_column("reasons")]


def rows_meant_to_break(rule: Rule) -> Iterator[Row]:
    """Rows of which at least one breaks ``rule`` and nothing else, if the rule works."""
    full = good_row(rule.table)
    bare = {name: value if name in rule.table.required_columns else None for name, value in full.items()}
    changes: list[Row]
    if rule.column is not None:
        changes = [{rule.column: value} for value in BAD_VALUES[rule.name]]
    elif rule.name == "line_amount_adds_up":
        changes = [{"line_amount": "99.99"}]
    else:
        moments = [name for name, dtype in rule.table.column_types.items() if isinstance(dtype, pl.Datetime)]
        changes = [
            {earlier: "2026-03-02T00:00:00Z", later: "2026-03-01T23:59:59Z"}
            for earlier, later in itertools.permutations(moments, 2)
        ]
    yield from (base | change for base, change in itertools.product((full, bare), changes))


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.label)
def test_a_good_row_is_valid_and_has_the_contracts_types(table: RawTable) -> None:
    divided = divide(table, text_chunk(table, good_row(table)))
    assert divided.quarantined.is_empty()
    assert divided.quarantined.schema == QUARANTINE_SCHEMA
    assert divided.valid.schema == {**table.column_types, POSITION: pl.String}
    assert divided.valid.get_column(POSITION).to_list() == ["line:1"]


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.label)
def test_optional_columns_may_be_null_or_missing(table: RawTable) -> None:
    bare = {name: value for name, value in good_row(table).items() if name in table.required_columns}
    chunk = text_chunk(table, bare)
    assert divide(table, chunk).valid.height == 1
    missing = Chunk(chunk.rows.select(*table.required_columns, POSITION), bytes_read=0)
    assert divide(table, missing).valid.equals(divide(table, chunk).valid)


@pytest.mark.parametrize("table", ALL_TABLES, ids=lambda t: t.label)
def test_each_rule_is_the_only_reason_of_a_row_that_breaks_only_it(table: RawTable) -> None:
    meant = [(rule, row) for rule in rules(table) for row in rows_meant_to_break(rule)]
    divided = divide(table, text_chunk(table, *(row for _, row in meant)))
    assert divided.valid.height + divided.quarantined.height == len(meant)
    found = dict(zip(divided.quarantined.get_column("position"), broken(divided), strict=True))
    proven = {rule.id for n, (rule, _) in enumerate(meant, 1) if found.get(f"line:{n}") == {rule.id, *ALSO[rule.id]}}
    assert proven == {rule.id for rule in rules(table)}


def test_a_rule_says_which_column_and_value() -> None:
    row = good_row(ORDERS) | {"status": "bogus", "placed_at": "2026-05-01T00:00:00Z"}
    (reasons,) = divide(ORDERS, text_chunk(ORDERS, row)).quarantined.get_column("reasons").to_list()
    assert json.loads(reasons) == [
        {"rule": "status.allowed_values", "column": "status", "value": "bogus"},
        {"rule": "updated_not_before_placed", "column": None, "value": None},
    ]


def test_every_rule_that_a_row_breaks_is_listed_once() -> None:
    row = good_row(ORDERS) | {
        "order_id": "1e3",
        "customer_id": None,
        "status": "bogus",
        "currency": "XXX",
        "shipping_amount": "-0.01",
        "tax_amount": "1.005",
        "placed_at": "2199-01-01T00:00:00Z",
        "updated_at": "1970-01-01T00:00:00Z",
    }
    assert broken(divide(ORDERS, text_chunk(ORDERS, row))) == [
        {
            "order_id.type",
            "customer_id.required",
            "status.allowed_values",
            "currency.allowed_values",
            "shipping_amount.minimum",
            "tax_amount.type",
            "placed_at.plausible_time",
            "updated_at.plausible_time",
            "updated_not_before_placed",
        }
    ]


def test_a_rule_with_two_bounds_on_one_side_is_one_reason() -> None:
    refunds = raw_table(shop_db.Refunds)
    divided = divide(refunds, text_chunk(refunds, good_row(refunds) | {"amount": "-5.00"}))
    (reasons,) = divided.quarantined.get_column("reasons").to_list()
    assert json.loads(reasons) == [{"rule": "amount.minimum", "column": "amount", "value": "-5.00"}]


@pytest.mark.parametrize("value", ["0000-00-00", "garbage", "2026-02-30"])
def test_a_cell_that_cannot_be_read_is_of_the_wrong_type_and_not_missing(value: str) -> None:
    rows = [good_row(ORDERS) | {"placed_at": value}, good_row(ORDERS) | {"placed_at": None}]
    divided = divide(ORDERS, text_chunk(ORDERS, *rows))
    assert broken(divided) == [{"placed_at.type"}, {"placed_at.required"}]


@pytest.mark.parametrize("column", [name for name, dtype in EVENTS.column_types.items() if dtype == pl.String])
def test_a_nul_is_taken_out_or_refused_in_every_column_because_postgresql_cannot_store_it(column: str) -> None:
    row = good_row(EVENTS)
    divided = divide(EVENTS, text_chunk(EVENTS, row | {column: f"{row[column]}\x00"}))
    if column in EVENTS.key:
        assert broken(divided) == [{f"{column}.clean_text"}]
    else:
        assert divided.valid.get_column(column).to_list() == [row[column]]
        assert divided.corrections.get_column("original").to_list() == [f"{row[column]}\\0"]
    for frame in (divided.valid, divided.quarantined, divided.corrections):
        assert "\x00" not in "".join(str(cell) for cells in frame.iter_rows() for cell in cells)


def test_the_line_amount_must_add_up_to_the_cent_whatever_the_quantity() -> None:
    items = raw_table(shop_db.OrderItems)
    huge = {"quantity": str(2**63 - 1), "unit_price": "9999999999999999.99", "line_amount": "1.00"}
    rows = [
        good_row(items) | {"quantity": "3", "unit_price": "3.33", "line_amount": "9.99"},
        good_row(items) | {"quantity": "3", "unit_price": "3.33", "line_amount": "10.00"},
        good_row(items) | {"quantity": "3", "unit_price": None, "line_amount": "10.00"},
        good_row(items) | huge,
    ]
    divided = divide(items, text_chunk(items, *rows))
    assert divided.valid.get_column(POSITION).to_list() == ["line:1", "line:3"]
    assert broken(divided) == [{"line_amount_adds_up"}, {"quantity.maximum", "line_amount_adds_up"}]


def test_the_row_is_kept_as_it_was_read() -> None:
    chunk = text_chunk(ORDERS, good_row(ORDERS) | {"order_id": " 7 ", "status": None, "tax_amount": "1.50000"})
    chunk = Chunk(chunk.rows.with_columns(extra=pl.lit("seen"), blob=pl.lit(b"\xff")), bytes_read=0)
    (entry,) = divide(ORDERS, chunk).quarantined.to_dicts()
    payload = json.loads(entry["payload"])
    assert list(payload) == [*ORDERS.column_types, "extra", "blob"]
    assert payload["order_id"] == " 7 "
    assert payload["tax_amount"] == "1.50000"
    assert payload["status"] is None
    assert payload["extra"] == "seen"
    assert payload["blob"] == "\\xff"
    assert entry["row_key"] == "7"
    assert entry["position"] == "line:1"


def test_values_that_no_text_can_hold_are_kept_readably() -> None:
    chunk = text_chunk(ORDERS, good_row(ORDERS) | {"status": "bogus"})
    odd = chunk.rows.with_columns(
        coupon_code=pl.lit(b"\xff\xfe"),
        tags=pl.Series([["a", "b"]]),
        waited=pl.lit(timedelta(hours=30)),
        placed_at=pl.lit(10**18).cast(pl.Datetime("us", "UTC")),
    )
    divided = divide(ORDERS, Chunk(odd, bytes_read=0))
    assert broken(divided) == [{"coupon_code.type", "placed_at.type", "status.allowed_values"}]
    payload = json.loads(divided.quarantined.item(0, "payload"))
    assert payload["coupon_code"] == "\\xfffe"
    assert payload["waited"] == "1 day, 6:00:00"


def naughty_strings(repository: Path) -> list[str]:
    path = repository.parent / "shared" / "data" / "edge_cases" / "naughty_strings.json"
    if not path.exists():
        pytest.skip("the collection of naughty strings is not on this machine")
    strings = json.loads(path.read_text(encoding="utf-8"))
    return [s for s in strings if s.encode("utf-8", "replace").decode() == s]


def test_no_text_whatever_breaks_the_quarantines_json(repository: Path) -> None:
    texts = naughty_strings(repository)
    rows = [good_row(CUSTOMERS) | {"country_code": t, "locale": t, "first_name": t, "email": t} for t in texts]
    divided = divide(CUSTOMERS, text_chunk(CUSTOMERS, *rows))
    assert divided.quarantined.height == len(texts)
    for text, entry in zip(texts, divided.quarantined.iter_rows(named=True), strict=True):
        assert json.loads(entry["payload"])["locale"] == text
        values = {reason["column"]: reason["value"] for reason in json.loads(entry["reasons"])}
        assert values["country_code"] == text[:200]


@given(st.lists(st.text(), min_size=1))
def test_no_generated_text_breaks_the_quarantines_json(texts: list[str]) -> None:
    rows = [good_row(CUSTOMERS) | {"country_code": "§", "locale": t, "first_name": t} for t in texts]
    divided = divide(CUSTOMERS, text_chunk(CUSTOMERS, *rows))
    assert [json.loads(p)["locale"] for p in divided.quarantined.get_column("payload")] == texts
    assert all(json.loads(reasons) for reasons in divided.quarantined.get_column("reasons"))


_cells = st.one_of(
    st.none(),
    st.sampled_from(["1", "2.50", "paid", "web", "EUR", "2026-03-01T10:00:00Z", "1970-01-01", "0000-00-00", "garbage"]),
)
_rows = st.lists(st.fixed_dictionaries(dict.fromkeys(good_row(ORDERS), _cells)))


@given(_rows, st.integers(0, 3), st.integers(0, 5))
def test_every_row_read_is_valid_or_quarantined_in_its_order(rows: list[Row], good: int, rejected: int) -> None:
    rows = [*rows, *[good_row(ORDERS)] * good]
    lines = pl.DataFrame(
        [(f"file:{n}", "raw", "line.malformed", "") for n in range(rejected)], schema=REJECTED_SCHEMA, orient="row"
    )
    chunk = text_chunk(ORDERS, *rows)
    divided = divide(ORDERS, Chunk(chunk.rows, bytes_read=0, rejected=lines))
    assert divided.valid.height + divided.quarantined.height == len(rows) + rejected
    valid = divided.valid.get_column(POSITION).to_list()
    quarantined = divided.quarantined.get_column("position").to_list()
    read = chunk.rows.get_column(POSITION).to_list()
    assert valid == [position for position in read if position in set(valid)]
    in_quarantine = [position for position in read if position in set(quarantined)]
    assert quarantined == in_quarantine + lines.get_column(POSITION).to_list()
    assert sorted([*valid, *in_quarantine]) == sorted(read)
    assert all(json.loads(reasons) for reasons in divided.quarantined.get_column("reasons"))


def test_an_empty_chunk_gives_nothing() -> None:
    for chunk in (text_chunk(ORDERS), Chunk(pl.DataFrame(), bytes_read=0)):
        divided = divide(ORDERS, chunk)
        assert divided.valid.schema == {**ORDERS.column_types, POSITION: pl.String}
        assert divided.valid.is_empty()
        assert divided.quarantined.schema == QUARANTINE_SCHEMA
        assert divided.quarantined.is_empty()
        assert divided.highest_cursor is None


def test_columns_that_the_contract_does_not_name_are_left_out() -> None:
    chunk = text_chunk(ORDERS, good_row(ORDERS))
    wide = chunk.rows.select(
        "updated_at", pl.lit("x").alias("_row"), pl.lit(1).alias("rule"), pl.all().exclude("updated_at")
    )
    assert divide(ORDERS, Chunk(wide, bytes_read=0)).valid.equals(divide(ORDERS, chunk).valid)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_required_column_that_is_missing_stops_the_batch(rows: int) -> None:
    chunk = text_chunk(ORDERS, *[good_row(ORDERS)] * rows)
    with pytest.raises(PermanentError, match=r"required columns customer_id, status") as caught:
        divide(ORDERS, Chunk(chunk.rows.drop("customer_id", "status"), bytes_read=0))
    assert caught.value.where == "shop_db/orders"
    with pytest.raises(PermanentError, match="required column customer_id"):
        divide(ORDERS, Chunk(chunk.rows.drop("customer_id"), bytes_read=0))


def test_lines_that_could_not_be_split_are_quarantined_as_they_stand() -> None:
    lines = pl.DataFrame(
        [
            ("a.csv:3", 'x,"y\n\x07\x00', "line.malformed", "4 fields instead of 14"),
            ("a.csv:9", "1,2", "line.truncated", None),
        ],
        schema=REJECTED_SCHEMA,
        orient="row",
    )
    first, second = divide(ORDERS, Chunk(pl.DataFrame(), bytes_read=0, rejected=lines)).quarantined.to_dicts()
    assert json.loads(first["payload"]) == {"line": 'x,"y\n\x07\x00'}
    assert json.loads(first["reasons"]) == [
        {"rule": "line.malformed", "column": None, "value": "4 fields instead of 14"}
    ]
    assert (first["row_key"], first["position"]) == ("", "a.csv:3")
    assert json.loads(second["reasons"]) == [{"rule": "line.truncated", "column": None, "value": None}]


def ids(*rows: Row, first_position: int = 1) -> list[str]:
    chunk = text_chunk(ORDERS, *rows)
    moved = chunk.rows.with_columns(pl.Series(POSITION, [f"line:{first_position + n}" for n in range(len(rows))]))
    return divide(ORDERS, Chunk(moved, bytes_read=0)).quarantined.get_column("quarantine_id").to_list()


def test_a_row_read_again_is_the_same_entry_wherever_it_stands() -> None:
    bad = good_row(ORDERS) | {"status": "bogus"}
    assert ids(bad) == ids(bad, first_position=77)
    assert ids(bad, bad | {"order_id": "2"})[0] == ids(bad | {"order_id": "3"}, bad)[1]


def test_different_rows_are_different_entries() -> None:
    bad = good_row(ORDERS) | {"status": "bogus"}
    variants = [bad, bad | {"order_id": "2"}, bad | {"tax_amount": "2.00"}, bad | {"coupon_code": None}]
    assert len(set(ids(*variants))) == 4
    # Without a key two equal rows are two rows.
    keyless = good_row(ORDERS) | {"order_id": None}
    assert len(set(ids(keyless, keyless))) == 2


def test_a_row_is_the_same_entry_whether_its_values_came_natively_or_as_text() -> None:
    row = good_row(ORDERS) | {"status": "bogus", "tax_amount": "12.50", "updated_at": "2026-03-01 10:00:00.5"}
    chunk = text_chunk(ORDERS, row)
    native = chunk.rows.with_columns(
        pl.col("order_id", "customer_id").cast(pl.Int32),
        pl.col("tax_amount").cast(pl.Decimal(38, 10)),
        pl.lit(datetime(2026, 3, 1, 10, 0, 0, 500_000, tzinfo=UTC)).dt.cast_time_unit("ms").alias("updated_at"),
    )
    (as_text,) = divide(ORDERS, chunk).quarantined.to_dicts()
    (as_values,) = divide(ORDERS, Chunk(native, bytes_read=0)).quarantined.to_dicts()
    assert as_text["quarantine_id"] == as_values["quarantine_id"]
    assert as_text["payload"] != as_values["payload"]


def cursors(*values: str | None) -> datetime | None:
    rows = [good_row(ORDERS) | {"updated_at": value} for value in values]
    return divide(ORDERS, text_chunk(ORDERS, *rows)).highest_cursor


def test_the_highest_cursor_is_the_highest_that_is_plausible() -> None:
    assert cursors("2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z") == datetime(2026, 3, 2, tzinfo=UTC)
    assert cursors("1970-01-01", None, "2026-03-01", "2199-01-01", "garbage") == datetime(2026, 3, 1, tzinfo=UTC)
    assert cursors("1970-01-01", None, "2199-01-01", "9999-12-31") is None
    # Of a row in quarantine too: it is kept as well and need not be read again.
    later = good_row(ORDERS) | {"updated_at": "2026-04-01T00:00:00Z", "status": "bogus"}
    assert divide(ORDERS, text_chunk(ORDERS, later)).highest_cursor == datetime(2026, 4, 1, tzinfo=UTC)


def orders(count: int, **columns: pl.Expr) -> pl.DataFrame:
    """Orders in a database's types; the first column numbers them."""
    row: dict[str, Any] = {
        name: pl.lit(value) for name, value in good_row(ORDERS).items() if ORDERS.column_types[name] == pl.String
    }
    row |= {name: pl.lit(1) for name, dtype in ORDERS.column_types.items() if dtype == pl.Int64}
    row |= {
        name: pl.lit(Decimal("1.00")) for name, dtype in ORDERS.column_types.items() if isinstance(dtype, pl.Decimal)
    }
    placed = pl.lit(datetime(2026, 3, 1, tzinfo=UTC))
    row |= {"placed_at": placed, "updated_at": placed + pl.duration(seconds=pl.col("order_id"))}
    frame = pl.select(order_id=pl.int_range(count)).with_columns(**{k: v for k, v in row.items() if k != "order_id"})
    return frame.with_columns(**columns).with_columns(pl.format("order_id={}", "order_id").alias(POSITION))


def test_a_batch_with_many_bad_rows_is_divided_as_one_with_few() -> None:
    every_twentieth = pl.col("order_id") % 20 == 0
    frame = orders(
        100_000,
        status=pl.when(every_twentieth).then(pl.lit("bogus")).otherwise(pl.lit("paid")),
        currency=pl.when(pl.col("order_id") % 40 == 0).then(pl.lit("XXX")).otherwise(pl.lit("EUR")),
    )
    divided = divide(ORDERS, Chunk(frame, bytes_read=0))
    assert (divided.valid.height, divided.quarantined.height) == (95_000, 5_000)
    assert divided.quarantined.get_column("quarantine_id").n_unique() == 5_000
    both = divided.quarantined.filter(pl.col("reasons").str.contains("currency.allowed_values"))
    assert both.height == 2_500
    backwards = orders(100_000, updated_at=pl.lit(datetime(2026, 2, 1, tzinfo=UTC)))
    divided = divide(ORDERS, Chunk(backwards, bytes_read=0))
    assert divided.quarantined.get_column("reasons").unique().to_list() == [
        '[{"rule":"updated_not_before_placed","column":null,"value":null}]'
    ]
    assert divided.quarantined.height == 100_000

"""The world keeps its promises: the same days every time, and figures that fit together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from simulator.sinks import Day
from simulator.world import KEYS, World

SCALE = 0.03


@pytest.fixture(scope="module")
def quarter() -> list[Day]:
    """Ninety days without errors."""
    return list(World(3, SCALE, error_rate=0.0).days(0, 89))


def _all(days: Iterable[Day], table: str) -> pl.DataFrame:
    """The table after the days: the last version of every row."""
    return pl.concat([day.tables[table] for day in days]).unique(KEYS[table], keep="last", maintain_order=True)


def assert_same(one: Day, other: Day) -> None:
    assert one.tables.keys() == other.tables.keys()
    for table, frame in one.tables.items():
        assert_frame_equal(frame, other.tables[table])
    assert_frame_equal(one.truth, other.truth)
    assert one.deleted.keys() == other.deleted.keys()
    for table, frame in one.deleted.items():
        assert_frame_equal(frame, other.deleted[table])


@pytest.mark.parametrize("number", [0, 1, 28, 29, 57])
def test_a_day_is_the_same_alone_and_after_the_days_before_it(number: int) -> None:
    in_order = World(5, SCALE)
    for earlier in range(number):
        in_order.day(earlier)
    assert_same(in_order.day(number), World(5, SCALE).day(number))


def test_a_day_asked_for_twice_is_the_same() -> None:
    world = World(5, SCALE)
    first = world.day(30)
    world.day(31)
    assert_same(first, world.day(30))


def test_another_seed_gives_another_shop() -> None:
    table = "shop_db/orders"
    assert not World(1, SCALE).day(3).tables[table].equals(World(2, SCALE).day(3).tables[table])


def test_every_table_has_the_columns_of_its_contract(quarter: list[Day]) -> None:
    from tests.unit.simulator.contract_rules import CONTRACTS

    assert set(KEYS) == set(CONTRACTS)
    for day in (quarter[0], quarter[50]):
        for table, frame in day.tables.items():
            assert frame.columns == list(CONTRACTS[table].to_schema().columns), table
            assert frame.columns[0] == KEYS[table]
            if not table.startswith(("shop_db/", "catalogue_db/")):
                assert set(frame.dtypes) == {pl.String}, table


def test_volumes_are_those_promised_for_the_scale(quarter: list[Day]) -> None:
    assert _all(quarter, "shop_db/customers").height == pytest.approx(20_000 * SCALE, rel=0.05)
    assert _all(quarter, "shop_db/orders").height == pytest.approx(60_000 * SCALE, rel=0.05)
    assert _all(quarter, "shop_db/order_items").height == pytest.approx(132_000 * SCALE, rel=0.08)
    assert sum(day.tables["web_logs/events"].height for day in quarter) == pytest.approx(500_000 * SCALE, rel=0.1)


def test_captured_payments_are_what_the_order_costs_to_the_cent(quarter: list[Day]) -> None:
    items = _all(quarter, "shop_db/order_items").group_by("order_id").agg(pl.col("line_amount").sum().alias("items"))
    captured = (
        _all(quarter, "shop_db/payments")
        .filter(pl.col("status") == "captured")
        .group_by("order_id")
        .agg(pl.col("amount").sum().alias("captured"))
    )
    done = _all(quarter, "shop_db/orders").filter(pl.col("status").is_in(["delivered", "returned"]))
    due = done.join(items, on="order_id").with_columns(
        due=pl.col("items") + pl.col("shipping_amount") + pl.col("tax_amount") - pl.col("discount_amount")
    )
    compared = due.join(captured, on="order_id", how="left")
    assert compared.height > 1_000
    assert compared.filter(pl.col("due").ne_missing(pl.col("captured"))).is_empty()


def test_refunds_are_of_captured_money_and_never_more_than_it(quarter: list[Day]) -> None:
    refunds = _all(quarter, "shop_db/refunds").group_by("order_id").agg(pl.col("amount").sum())
    captured = (
        _all(quarter, "shop_db/payments")
        .filter(pl.col("status") == "captured")
        .group_by("order_id")
        .agg(pl.col("amount").sum().alias("captured"))
    )
    joined = refunds.join(captured, on="order_id", how="left")
    assert joined.height > 50
    assert joined.filter(~(pl.col("amount") <= pl.col("captured")).fill_null(False)).is_empty()
    assert joined.filter(pl.col("amount") < pl.col("captured")).height > 10


def test_orders_move_through_their_life_and_never_back(quarter: list[Day]) -> None:
    rank = {"pending": 0, "paid": 1, "shipped": 2, "delivered": 3, "returned": 4, "cancelled": 4}
    rows = pl.concat([d.tables["shop_db/orders"].with_columns(day=pl.lit(d.number)) for d in quarter])
    rows = rows.with_columns(rank=pl.col("status").replace_strict(rank, return_dtype=pl.Int64)).sort("order_id", "day")
    steps = rows.with_columns(
        pl.col("rank").diff().over("order_id").alias("step"),
        pl.col("updated_at").diff().over("order_id").alias("later"),
    )
    assert steps.filter(pl.col("step") < 1).is_empty()
    assert steps.filter(pl.col("later") <= pl.duration(seconds=0)).is_empty()
    assert set(rows["status"]) == set(rank)


def test_every_reference_between_the_databases_tables_holds(quarter: list[Day]) -> None:
    for table, column, target in (
        ("shop_db/addresses", "customer_id", "shop_db/customers"),
        ("shop_db/orders", "customer_id", "shop_db/customers"),
        ("shop_db/orders", "shipping_address_id", "shop_db/addresses"),
        ("shop_db/orders", "billing_address_id", "shop_db/addresses"),
        ("shop_db/order_items", "order_id", "shop_db/orders"),
        ("shop_db/order_items", "product_id", "catalogue_db/products"),
        ("shop_db/refunds", "payment_id", "shop_db/payments"),
        ("catalogue_db/products", "category_id", "catalogue_db/categories"),
        ("catalogue_db/prices", "product_id", "catalogue_db/products"),
        ("catalogue_db/inventory", "product_id", "catalogue_db/products"),
    ):
        # Rows of the last day may still wait for a target that is committed late.
        rows, known = _all(quarter[:-1], table), _all(quarter, target).select(KEYS[target])
        assert rows.join(known, left_on=column, right_on=KEYS[target], how="anti").is_empty(), (table, column)


def test_deleted_addresses_existed_and_no_order_ever_used_them(quarter: list[Day]) -> None:
    deleted = pl.concat([day.deleted["shop_db/addresses"] for day in quarter if day.deleted])
    assert deleted.height > 3
    orders, addresses = _all(quarter, "shop_db/orders"), _all(quarter, "shop_db/addresses")
    assert set(deleted["address_id"]) <= set(addresses["address_id"])
    used = set(orders["shipping_address_id"]) | set(orders["billing_address_id"])
    assert not used & set(deleted["address_id"])


def test_unit_prices_are_the_list_prices_of_their_moment(quarter: list[Day]) -> None:
    orders = _all(quarter, "shop_db/orders").select("order_id", "currency", "placed_at")
    lines = _all(quarter, "shop_db/order_items").join(orders, on="order_id")
    prices = _all(quarter, "catalogue_db/prices")
    joined = lines.join(prices, on=["product_id", "currency"]).filter(
        (pl.col("valid_from") <= pl.col("placed_at"))
        & (pl.col("placed_at") < pl.col("valid_to").fill_null(pl.col("placed_at").max() + pl.duration(days=1)))
    )
    assert joined.height == lines.height
    assert joined.filter(pl.col("unit_price") != pl.col("amount")).is_empty()
    assert prices["valid_to"].null_count() < prices.height


def test_products_leave_the_shop_one_by_one_and_are_not_bought_afterwards(quarter: list[Day]) -> None:
    products = _all(quarter, "catalogue_db/products")
    gone = products.filter(pl.col("status") == "discontinued")
    assert 0 < gone.height < products.height * 0.2
    lines = _all(quarter, "shop_db/order_items").join(gone, on="product_id", suffix="_product")
    assert lines.filter(pl.col("created_at").dt.date() > pl.col("updated_at_product").dt.date()).is_empty()


def test_stock_follows_from_the_day_before_and_sometimes_runs_out(quarter: list[Day]) -> None:
    shelf = ["product_id", "warehouse_code"]
    rows = _all(quarter, "catalogue_db/inventory").sort(*shelf, "counted_on")
    before = pl.col("quantity_on_hand").shift(1).over(shelf).fill_null(0)
    wrong = rows.filter(pl.col("quantity_on_hand") != before + pl.col("quantity_received") - pl.col("quantity_sold"))
    assert wrong.is_empty()
    assert rows["quantity_on_hand"].min() == 0
    assert rows.select([*shelf, "counted_on"]).is_duplicated().sum() == 0


def test_purchases_on_the_web_are_the_real_orders(quarter: list[Day]) -> None:
    events = pl.concat([day.tables["web_logs/events"] for day in quarter])
    bought = events.filter(pl.col("event_type") == "purchase")
    orders = _all(quarter, "shop_db/orders").filter(pl.col("channel") == "web")
    pairs = orders.select(pl.col("order_id").cast(pl.String), pl.col("customer_id").cast(pl.String))
    assert bought.join(pairs, on=["order_id", "customer_id"], how="anti").is_empty()
    # An order of the last day may be committed on the next one.
    assert 0 <= bought.height - orders.height <= 2


def test_visits_from_e_mails_follow_a_click_in_that_campaign(quarter: list[Day]) -> None:
    landings = pl.concat([d.tables["web_logs/events"] for d in quarter]).filter(pl.col("utm_medium") == "email")
    clicks = pl.concat([d.tables["hubspot/email_events"] for d in quarter]).filter(pl.col("event_type") == "CLICK")
    campaigns = _all(quarter, "hubspot/campaigns")
    assert landings.height == clicks.height > 50
    by_campaign = clicks.join(campaigns, on="campaign_id")["utm_campaign"].sort().to_list()
    assert by_campaign == landings["utm_campaign"].sort().to_list()
    assert landings["visitor_id"].n_unique() > 10


def test_late_rows_say_the_day_before_and_come_with_every_table_of_the_shop(quarter: list[Day]) -> None:
    late = 0
    for day in quarter[1:]:
        rows = day.tables["shop_db/orders"]
        late += rows.filter(pl.col("updated_at") < day.begins_at).height
        assert rows["order_id"].is_unique().all()
    total = sum(day.tables["shop_db/orders"].height for day in quarter[1:])
    assert 0 < late < total * 0.006


def test_the_same_people_are_known_elsewhere_under_other_names(quarter: list[Day]) -> None:
    customers = _all(quarter, "shop_db/customers")
    hubspot, crm = _all(quarter, "hubspot/contacts"), _all(quarter, "crm_files/contacts")
    emails = set(customers["email"])
    assert customers["email"].n_unique() == customers.height
    assert len(emails & set(hubspot["email"])) / customers.height == pytest.approx(0.62, abs=0.06)
    assert 0.4 < len(emails & set(crm["email"].str.to_lowercase())) / customers.height < 0.6
    assert crm.filter(pl.col("last_name").str.to_uppercase() == pl.col("last_name")).height > 5
    assert customers.filter(pl.col("last_name").str.contains("[äöüßéçãñłåø]")).height > 20


def test_impossible_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        World(1, 0)
    with pytest.raises(ValueError, match="error_rate"):
        World(1, 1, 0.9)
    with pytest.raises(ValueError, match="from 0"):
        World(1, SCALE).day(-1)


def test_any_start_date_works_and_shifts_every_moment() -> None:
    day = World(1, SCALE, 0.0, start=date(2028, 2, 28)).day(1)
    assert day.moment == date(2028, 2, 29)
    assert day.tables["shop_db/orders"]["updated_at"].dt.date().max() == date(2028, 2, 29)

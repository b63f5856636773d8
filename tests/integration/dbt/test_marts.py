"""What the marts say of the hand-made rows; on DuckDB, since the engines agree (test_engines_agree.py)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.integration.dbt.hand_made_rows import ROWS
from tests.integration.dbt.warehouses import DuckDBWarehouse


def _by(warehouse: DuckDBWarehouse, table: str, key: str) -> dict[Any, dict[str, Any]]:
    return {record[key]: record for record in warehouse.records(table)}


def test_daily_sales_count_each_day_and_currency_to_the_cent(built_duckdb: DuckDBWarehouse) -> None:
    days = {
        (record["sales_date"], record["currency"]): (
            record["orders"],
            record["units"],
            record["gross_amount"],
            record["discount_amount"],
            record["refund_amount"],
            record["net_amount"],
        )
        for record in built_duckdb.records("build_sales.fct_daily_sales")
    }
    assert days == {
        # Order 1 was placed at one microsecond to midnight in UTC, which is 2 January in Berlin. Neither the
        # pending nor the cancelled order counts, nor do the refunds of the cancelled and the unknown order.
        (date(2026, 1, 2), "EUR"): (5, 8, "10000000109.99", "1.01", "40.00", "10000000068.98"),
        (date(2026, 1, 2), "USD"): (1, 1, "50.00", "0.00", "0.00", "50.00"),
        (date(2026, 1, 3), "JPY"): (1, 1, "700.00", "0.00", "0.00", "700.00"),
        (date(2026, 2, 10), "EUR"): (0, 0, "0.00", "0.00", "3.33", "-3.33"),
    }


def test_lines_and_payments_of_unknown_orders_are_kept_apart(built_duckdb: DuckDBWarehouse) -> None:
    line = _by(built_duckdb, "build_sales.fct_order_items", "order_item_id")[10]
    assert (line["order_id"], line["is_orphan"], line["is_sale"], line["sales_date"]) == (404, True, False, None)
    assert _by(built_duckdb, "build_sales.fct_payments", "payment_id")[9]["is_orphan"]
    assert _by(built_duckdb, "build_sales.fct_refunds", "refund_id")[4]["is_orphan"]


def test_an_order_whose_lines_are_in_quarantine_shows_a_residual(built_duckdb: DuckDBWarehouse) -> None:
    order = _by(built_duckdb, "build_sales.fct_orders", "order_id")[6]
    assert not order["has_items"]
    assert (order["due_amount"], order["residual_amount"]) == ("5.00", "-5.00")
    assert order["settlement_status"] == "items_missing"


def test_every_order_settles_or_says_why_not(built_duckdb: DuckDBWarehouse) -> None:
    statuses = {
        number: order["settlement_status"]
        for number, order in _by(built_duckdb, "build_sales.fct_orders", "order_id").items()
    }
    assert statuses == {
        1: "underpaid",
        2: "partially_refunded",
        3: "cancelled",
        4: "unpaid",
        5: "refunded",
        6: "items_missing",
        7: "other_currency",
        8: "items_missing",
        9: "unpaid",
    }


def test_customers_are_matched_only_by_an_address_that_nobody_shares(built_duckdb: DuckDBWarehouse) -> None:
    customers = _by(built_duckdb, "build_customers.dim_customers", "customer_id")
    assert sorted(customers) == [1, 2, 3, 4, 5, 6]
    assert customers[1]["hubspot_contact_id"] == "h1"
    assert (customers[1]["loyalty_tier"], customers[1]["has_unsubscribed"]) == ("gold", True)
    assert customers[2]["hubspot_contact_id"] is None
    assert customers[3]["hubspot_contact_id"] is None
    # HubSpot has this address twice, the relationship system once.
    assert (customers[6]["hubspot_contact_id"], customers[6]["crm_contact_id"]) == (None, "C000003")


def test_lifetime_amounts_are_in_the_customers_main_currency(built_duckdb: DuckDBWarehouse) -> None:
    customer = _by(built_duckdb, "build_customers.dim_customers", "customer_id")[4]
    assert (customer["orders"], customer["orders_in_main_currency"]) == (2, 1)
    assert (customer["main_currency"], customer["lifetime_net_amount"]) == ("EUR", "60.00")
    assert customer["country_code"] == "IT"


def test_rates_and_ratings_are_rounded_half_away_from_zero(built_duckdb: DuckDBWarehouse) -> None:
    campaign = _by(built_duckdb, "build_marketing.fct_campaign_performance", "campaign_id")["news"]
    assert (campaign["opened"], campaign["unique_opened"], campaign["unique_delivered"]) == (2, 1, 32)
    assert campaign["open_rate"] == "0.0313"
    assert campaign["delivery_rate"] == str((Decimal(32) / 33).quantize(Decimal("0.0001")))
    product = _by(built_duckdb, "build_catalogue.dim_products", "product_id")[1]
    assert (product["reviews"], product["average_rating"]) == (8, "4.13")


def test_an_order_belongs_to_one_session_however_often_it_is_reported(built_duckdb: DuckDBWarehouse) -> None:
    sessions = _by(built_duckdb, "build_web.fct_sessions", "session_id")
    assert (sessions["evt-a1"]["order_id"], sessions["evt-a1"]["is_converted"]) == (1, True)
    assert sessions["evt-a1"]["duration_seconds"] == 1920
    assert (sessions["evt-e5"]["order_id"], sessions["evt-e5"]["is_converted"]) == (None, False)
    revenue = _by(built_duckdb, "build_marketing.fct_campaign_revenue", "campaign_id")
    assert revenue["news"]["net_amount"] == "9999999998.98"
    # The order that is still pending is no sale.
    assert revenue["B-twin"]["orders"] == 1


def test_entry_pages_are_paths_without_host_query_and_fragment(built_duckdb: DuckDBWarehouse) -> None:
    sessions = _by(built_duckdb, "build_web.fct_sessions", "session_id")
    paths = {number: session["entry_path"] for number, session in sessions.items()}
    assert (paths["evt-a1"], paths["evt-g1"], paths["evt-h1"]) == ("/", "/p/1", "/cart")


def test_stock_is_carried_forward_for_a_year_at_most(built_duckdb: DuckDBWarehouse) -> None:
    days = built_duckdb.records("build_catalogue.fct_daily_inventory")
    old = [day for day in days if day["product_id"] == 3]
    assert len(old) == 367
    # One count is dated 2099; it does not stretch anything.
    assert max(day["inventory_date"] for day in days) == date(2026, 1, 6)


def test_a_circle_of_categories_does_not_lose_its_products(built_duckdb: DuckDBWarehouse) -> None:
    products = _by(built_duckdb, "build_catalogue.dim_products", "product_id")
    assert products[1]["category_path"] == "Home > Kitchen > Knives & Ünterlagen"
    assert products[3]["category_path"] == "Circle one"
    assert products[4]["category_path"] is None


def test_a_company_with_orders_and_lines_only_gets_its_daily_sales(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(tmp_path)
    lines = [{key: value for key, value in line.items() if key != "unit_price"} for line in ROWS["shop_db/order_items"]]
    warehouse.fill_raw({"shop_db/orders": ROWS["shop_db/orders"], "shop_db/order_items": lines})
    warehouse.dbt("build", "--exclude-resource-type", "unit_test")
    days = warehouse.records("build_sales.fct_daily_sales")
    assert [(day["sales_date"], day["currency"], day["net_amount"]) for day in days] == [
        (date(2026, 1, 1), "EUR", "9999999998.98"),
        (date(2026, 1, 2), "EUR", "110.00"),
        (date(2026, 1, 2), "USD", "50.00"),
        (date(2026, 1, 3), "JPY", "700.00"),
    ]
    orders = warehouse.records("build_sales.fct_orders")
    assert {order["settlement_status"] for order in orders} == {"unknown"}
    assert {order["residual_amount"] for order in orders} == {None}
    # What is not mapped is empty, not an error.
    assert warehouse.records("build_customers.dim_customers") == []
    assert warehouse.records("build_web.fct_sessions") == []

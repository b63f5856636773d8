"""Which row rules the rows of a generated table break, found with the contracts themselves.

Belongs here: applying the platform's contracts to the simulator's frames, for the tests of both. Does not
belong here: any test.
"""

from __future__ import annotations

import re

import pandera.errors
import polars as pl

from shopsphere_assets.contracts import catalogue_db, crm_files, hubspot, reviews, shop_db, support, web_logs
from shopsphere_assets.contracts.base import Contract

CONTRACTS: dict[str, type[Contract]] = {
    "shop_db/customers": shop_db.Customers,
    "shop_db/addresses": shop_db.Addresses,
    "shop_db/orders": shop_db.Orders,
    "shop_db/order_items": shop_db.OrderItems,
    "shop_db/payments": shop_db.Payments,
    "shop_db/refunds": shop_db.Refunds,
    "catalogue_db/categories": catalogue_db.Categories,
    "catalogue_db/products": catalogue_db.Products,
    "catalogue_db/prices": catalogue_db.Prices,
    "catalogue_db/inventory": catalogue_db.Inventory,
    "hubspot/contacts": hubspot.Contacts,
    "hubspot/campaigns": hubspot.Campaigns,
    "hubspot/email_events": hubspot.EmailEvents,
    "web_logs/events": web_logs.Events,
    "web_logs/access_log": web_logs.AccessLog,
    "reviews/reviews": reviews.Reviews,
    "crm_files/contacts": crm_files.Contacts,
    "crm_files/loyalty_accounts": crm_files.LoyaltyAccounts,
    "crm_files/interactions": crm_files.Interactions,
    "crm_files/suppliers": crm_files.Suppliers,
    "support/tickets": support.Tickets,
}

_RULES = {
    "not_nullable": "required",
    "isin": "allowed_values",
    "greater_than_or_equal_to": "minimum",
    "greater_than": "minimum",
    "less_than_or_equal_to": "maximum",
    "str_matches": "format",
    "str_startswith": "format",
    "str_length": "length",
}


def typed(table: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """The frame in the contract's types, and the cells that could not be read as (row, rule)."""
    schema = CONTRACTS[table].to_schema()
    broken: list[tuple[int, str]] = []
    columns = []
    for name, column in schema.columns.items():
        wanted, series = column.dtype.type, frame[name]
        if series.dtype != pl.String or wanted == pl.String:
            columns.append(series)
            continue
        if wanted == pl.Boolean:
            read = series.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
        elif isinstance(wanted, pl.Datetime):
            read = series.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
            read = read.dt.replace_time_zone("UTC")
        elif wanted == pl.Date:
            read = series.str.to_date("%Y-%m-%d", strict=False)
        else:
            read = series.cast(wanted, strict=False)
        broken += [(row, f"{name}.type") for row in (series.is_not_null() & read.is_null()).arg_true()]
        columns.append(read.alias(name))
    return pl.DataFrame(columns), broken


def broken_rules(table: str, frame: pl.DataFrame) -> set[tuple[int, str]]:
    """Every (row number, rule id) at which a row breaks its contract."""
    rows, unread = typed(table, frame)
    broken = set(unread)
    try:
        CONTRACTS[table].validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        for failure in error.failure_cases.iter_rows(named=True):
            assert failure["index"] is not None, failure
            name = re.split(r"\(", failure["check"])[0]
            is_row_rule = failure["schema_context"] == "DataFrameSchema"
            rule = name if is_row_rule else f"{failure['column']}.{_RULES.get(name, name)}"
            broken.add((failure["index"], rule))
    # A cell that could not be read is null after reading: that it is missing is no second finding.
    return {(row, rule) for row, rule in broken if not (
        rule.endswith(".required") and (row, rule.replace(".required", ".type")) in broken
    )}  # fmt: skip

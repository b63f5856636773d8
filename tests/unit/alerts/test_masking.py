"""What of a row may leave the platform."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.alerts.masking import shape, shown, shown_key
from shopsphere_assets.defs.raw.shop_db import SHOP_DB

CUSTOMERS = next(table for table in SHOP_DB.tables if table.name == "customers")


@given(st.text())
def test_a_shape_holds_no_letter_and_no_digit_of_the_value(value: str) -> None:
    masked = shape(value)
    assert len(masked) == len(value)
    assert {c for c in masked if c.isalnum()} <= {"x", "9"}


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("email", "ann.smith(at)example.com", "xxx.xxxxx(xx)xxxxxxx.xxx"),
        ("country_code", "ZZ", "ZZ" if not CUSTOMERS.column_metadata("country_code")["personal"] else "xx"),
        ("customer_id", "17\r\nBcc: eve", "17 Bcc: eve"),
        ("no_such_column", "ann", "xxx"),
        (None, "ann", "xxx"),
        ("email", None, "(empty)"),
        ("customer_id", "9" * 99, "9" * 59 + "…"),
    ],
)
def test_personal_values_are_shown_by_their_shape(column: str | None, value: str | None, expected: str) -> None:
    assert shown(CUSTOMERS, column, value) == expected


def test_a_row_is_named_by_its_key_or_its_place() -> None:
    assert shown_key(CUSTOMERS, "7", None) == "customer_id 7"
    assert shown_key(CUSTOMERS, "", "contacts.csv:12") == "at contacts.csv:12"
    assert shown_key(None, "ann@example.com", None) == "without a key"

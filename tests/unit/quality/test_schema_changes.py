"""What is said of two descriptions of a table."""

from __future__ import annotations

import pytest

from shopsphere_assets.contracts import shop_db
from shopsphere_assets.quality.schema_versions import SchemaChange, compare, policy_of
from tests.raw_tables import raw_table

BEFORE = {"id": "bigint", "mail": "text", "phone": "text", "placed_at": "timestamptz"}


def changes(**after: str) -> list[tuple[str, str, str | None]]:
    return [(found.change, found.column, found.to) for found in compare(BEFORE, after)]


def test_the_same_columns_in_any_order_are_no_change() -> None:
    assert compare(BEFORE, dict(reversed(BEFORE.items()))) == []


def test_columns_added_dropped_and_retyped_are_told() -> None:
    assert changes(id="bigint", mail="text", phone="bigint", colour="text", score="real", points="real") == [
        ("dropped", "placed_at", None),
        ("added", "colour", "text"),
        ("added", "score", "real"),
        ("added", "points", "real"),
        ("retyped", "phone", "bigint"),
    ]


def test_a_renamed_column_is_known_by_type_place_and_name() -> None:
    [found] = compare(BEFORE, {"id": "bigint", "email": "text", "phone": "text", "placed_at": "timestamptz"})
    assert (found.change, found.column, found.to) == ("renamed", "mail", "email")
    assert found.certainty is not None
    assert 0.8 < found.certainty < 1
    # Neither another type nor another place with another name.
    for after in ({"email": "bytea"}, {"colour": "text"}):
        columns = {"id": "bigint", "phone": "text", "placed_at": "timestamptz", **after}
        assert {change.change for change in compare(BEFORE, columns)} == {"dropped", "added"}


def test_changes_are_told_in_words() -> None:
    assert str(SchemaChange("renamed", "mail", "email", 0.9)) == "column mail was renamed to email (90% certain)"


def test_a_policy_that_there_is_not_is_refused() -> None:
    class Odd(shop_db.Refunds):
        class Config:
            metadata = {"on_schema_change": "panic"}  # noqa: RUF012

    with pytest.raises(ValueError, match="panic"):
        policy_of(raw_table(Odd))

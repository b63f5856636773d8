"""The search for duplicates in a warehouse, on both engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from resources.warehouse import Warehouse, open_warehouse
from resources.warehouse.system_tables import NEAR_DUPLICATES
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.quality.duplicate_tables import TABLES, search

RAW_TABLES = {table.label: table for system in source_systems() for table in system.tables}
TEXT = "The lamp is bright and sturdy and it came within two days so I would buy it again"


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A prepared warehouse of either engine with empty raw tables."""
    url = f"duckdb:///{tmp_path / 'warehouse.duckdb'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    warehouse = open_warehouse(url, lock_timeout=10)
    warehouse.prepare()
    warehouse.ensure_tables([each for table in RAW_TABLES.values() for each in table.definitions])
    return warehouse


def fill(warehouse: Warehouse, label: str, *rows: dict[str, Any]) -> None:
    definition = RAW_TABLES[label].definition
    whole = [{name: row.get(name) for name in definition.columns.names} for row in rows]
    with warehouse.transaction() as transaction:
        transaction.append("raw", definition.name, pa.Table.from_pylist(whole, schema=definition.columns))


def test_people_are_compared_across_systems_and_reviews_among_themselves(warehouse: Warehouse) -> None:
    fill(
        warehouse,
        "reviews/reviews",
        {"review_id": "r1", "title": "Good", "body": TEXT},
        {"review_id": "r2", "title": "Good!", "body": TEXT.upper()},
        {"review_id": "r3", "title": "Good", "body": TEXT.replace("two", "three")},
        {"review_id": "r4", "title": "Bad", "body": "Broke after a week of careful use in the garden"},
    )
    fill(
        warehouse,
        "shop_db/customers",
        {"customer_id": 1, "first_name": "Annette", "last_name": "Müller", "email": "annette.mueller@example.com"},
        {"customer_id": 2, "first_name": "Robert", "last_name": "Jones", "email": "rjones@example.com"},
    )
    fill(warehouse, "shop_db/addresses", {"address_id": 1, "customer_id": 1, "line1": "Lange Straße 5", "city": "Kiel"})
    fill(
        warehouse,
        "crm_files/contacts",
        {"crm_contact_id": "C0000001", "first_name": "Anette", "last_name": "Muller", "street": "Lange Straße 5",
         "city": "Kiel"},
    )  # fmt: skip
    fill(
        warehouse,
        "hubspot/contacts",
        {"contact_id": "7", "first_name": "Annette", "last_name": "Mueller", "email": "annette.mueller@work.example"},
    )
    for _ in range(2):
        reviews, people = search(warehouse, TABLES)
        assert (reviews.found.rows, people.found.rows) == (4, 4)
        found = warehouse.query(
            f"SELECT relation, left_key, right_key, is_exact FROM {NEAR_DUPLICATES} ORDER BY 1, 2, 3"
        ).to_pylist()
        assert [tuple(row.values()) for row in found] == [
            ("people", "crm_files/contacts:C0000001", "shop_db/customers:1", False),
            ("people", "hubspot/contacts:7", "shop_db/customers:1", False),
            ("reviews", "r1", "r2", True),
            ("reviews", "r1", "r3", False),
        ]


def test_tables_that_do_not_exist_here_are_left_out(warehouse: Warehouse) -> None:
    assert search(warehouse, ["shop_db/orders"]) == []
    assert [each.relation for each in search(warehouse, ["hubspot/contacts"])] == ["people"]

"""Which upstream columns a model's columns are made of, read off SQL as dbt compiles it, in both dialects."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from shopsphere_assets.transformation.column_lineage import ColumnLineage, ColumnSources

COLUMNS = {
    "source.shop.orders": ["order_id", "customer_id", "amount", "discount", "placed_at"],
    "source.shop.customers": ["customer_id", "email", "country"],
    "model.shop.stg_orders": ["order_id", "amount"],
}
RELATIONS = {
    "source.shop.orders": ("raw", "shop__orders"),
    "source.shop.customers": ("raw", "shop__customers"),
    "model.shop.stg_orders": ("staging", "stg_orders"),
}
ORDERS, CUSTOMERS, STAGED = COLUMNS


@pytest.fixture(params=["duckdb", "postgres"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Project:
    """A dbt project of one model, compiled by hand."""

    def __init__(self, folder: Path, dialect: str) -> None:
        self._folder, self._dialect = folder, dialect

    def lineage(self, sql: str, columns: dict[str, list[str]] | None = None) -> ColumnSources | None:
        """The lineage of a model of this SQL; ``{orders}`` names the relation as dbt writes it."""
        names = {i.rpartition(".")[2]: f'"warehouse"."{s}"."{t}"' for i, (s, t) in RELATIONS.items()}
        file = self._folder / "compiled" / "shop" / "models" / "m.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(sql.format(**names))
        lineage = ColumnLineage(self._manifest(), columns or COLUMNS, self._folder / "cache")
        return lineage.of("model.shop.m", self._folder / "compiled")

    def _manifest(self) -> dict[str, Any]:
        def node(unique_id: str) -> dict[str, Any]:
            schema, table = RELATIONS[unique_id]
            return {"schema": schema, "name": table, "alias": table, "identifier": table}

        model = {
            "name": "m",
            "package_name": "shop",
            "original_file_path": "models/m.sql",
            "depends_on": {"nodes": [ORDERS, CUSTOMERS, STAGED]},
        }
        return {
            "metadata": {"adapter_type": self._dialect},
            "sources": {i: node(i) for i in COLUMNS if i.startswith("source.")},
            "nodes": {"model.shop.m": model, STAGED: node(STAGED)},
        }


@pytest.fixture
def project(tmp_path: Path, dialect: str) -> Project:
    return Project(tmp_path, dialect)


def test_renamed_and_computed_columns_lead_to_what_they_are_made_of(project: Project) -> None:
    sql = "select order_id as id, amount - discount as net, upper(cast(amount as text)) as label from {orders}"
    assert project.lineage(sql) == {
        "id": [(ORDERS, "order_id")],
        "net": [(ORDERS, "amount"), (ORDERS, "discount")],
        "label": [(ORDERS, "amount")],
    }


def test_stars_and_ctes_are_followed(project: Project) -> None:
    sql = """
        with source as (select * from {orders}),
        renamed as (select order_id as id, amount, placed_at as at from source)
        select * from renamed
    """
    assert project.lineage(sql) == {
        "id": [(ORDERS, "order_id")],
        "amount": [(ORDERS, "amount")],
        "at": [(ORDERS, "placed_at")],
    }


def test_a_cte_may_have_the_name_of_a_table(project: Project) -> None:
    sql = "with shop__orders as (select customer_id as order_id from {orders}) select order_id from shop__orders"
    assert project.lineage(sql) == {"order_id": [(ORDERS, "customer_id")]}


def test_joins_tell_the_sides_apart(project: Project) -> None:
    sql = """
        select orders.order_id, customers.email, coalesce(customers.customer_id, orders.customer_id) as customer_id
        from {orders} as orders left join {customers} as customers on orders.customer_id = customers.customer_id
    """
    assert project.lineage(sql) == {
        "order_id": [(ORDERS, "order_id")],
        "email": [(CUSTOMERS, "email")],
        "customer_id": [(CUSTOMERS, "customer_id"), (ORDERS, "customer_id")],
    }


def test_columns_without_a_qualifier_are_found_in_the_table_that_has_them(project: Project) -> None:
    sql = "select email, amount from {orders} as o join {customers} as c on o.customer_id = c.customer_id"
    assert project.lineage(sql) == {"email": [(CUSTOMERS, "email")], "amount": [(ORDERS, "amount")]}


def test_a_union_has_the_columns_of_all_its_parts(project: Project) -> None:
    sql = """
        with both as (
            select order_id as id, amount from {orders}
            union all
            select customer_id as number, 0 as nothing from {customers}
            union all
            select order_id, amount from {stg_orders}
        )
        select id, sum(amount) as amount from both group by id
    """
    assert project.lineage(sql) == {
        "id": sorted([(ORDERS, "order_id"), (CUSTOMERS, "customer_id"), (STAGED, "order_id")]),
        "amount": sorted([(ORDERS, "amount"), (STAGED, "amount")]),
    }


def test_window_functions_are_made_of_what_they_order_and_part_by(project: Project) -> None:
    sql = """
        select
            row_number() over (partition by customer_id order by placed_at) as number,
            sum(amount) over (partition by customer_id) as total
        from {orders}
    """
    assert project.lineage(sql) == {
        "number": [(ORDERS, "customer_id"), (ORDERS, "placed_at")],
        "total": [(ORDERS, "amount"), (ORDERS, "customer_id")],
    }


def test_subqueries_are_followed(project: Project) -> None:
    sql = """
        select o.order_id, (select max(c.email) from {customers} as c where c.customer_id = o.customer_id) as email
        from (select * from {orders}) as o
    """
    found = project.lineage(sql)
    assert found is not None
    assert found["order_id"] == [(ORDERS, "order_id")]
    assert (CUSTOMERS, "email") in found["email"]


def test_counts_and_constants_are_made_of_no_column(project: Project) -> None:
    assert project.lineage("select count(*) as orders, 'EUR' as currency, current_date as today from {orders}") == {
        "orders": [],
        "currency": [],
        "today": [],
    }


def test_reserved_words_in_quotes_are_names(project: Project) -> None:
    columns = {**COLUMNS, ORDERS: ["order", "user"]}
    assert project.lineage('select "order" as "group", "user" from {orders}', columns) == {
        "group": [(ORDERS, "order")],
        "user": [(ORDERS, "user")],
    }


def test_what_was_read_off_is_kept_until_the_sql_or_the_columns_change(project: Project, tmp_path: Path) -> None:
    project.lineage("select order_id from {orders}")
    [kept] = (tmp_path / "cache").iterdir()
    kept.write_text('{"order_id": [["kept", "column"]]}')
    again = project.lineage("select order_id from {orders}")
    assert again is not None
    assert [list(origin) for origin in again["order_id"]] == [["kept", "column"]]
    assert project.lineage("select order_id as id from {orders}") == {"id": [(ORDERS, "order_id")]}
    columns = {**COLUMNS, ORDERS: ["order_id", "new"]}
    assert project.lineage("select order_id from {orders}", columns) == {"order_id": [(ORDERS, "order_id")]}


def test_sql_that_cannot_be_followed_is_logged_and_has_no_lineage(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert project.lineage("selec order_id frm {orders}") is None
    assert "no column lineage of m" in caplog.text


def test_a_model_that_was_not_compiled_has_no_lineage(tmp_path: Path, dialect: str) -> None:
    project = Project(tmp_path, dialect)
    lineage = ColumnLineage(project._manifest(), COLUMNS, tmp_path / "cache")
    assert lineage.of("model.shop.m", tmp_path / "nowhere") is None

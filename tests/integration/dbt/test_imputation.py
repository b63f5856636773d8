"""What stands in for a missing value is what its group's other rows have, on both engines alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import jinja2
import psycopg
import pytest

MACROS = ("macros/engines.sql", "macros/imputation.sql")

# Groups and values: the fifth group knows none, and one row has no group.
ROWS = [
    *[(1, v) for v in (1, 2, 2, 9, 9, 4, None)],
    *[(2, v) for v in (10, 11)],
    *[(3, v) for v in (None, None)],
    (None, 1000),
]
EXPECTED = {
    # The group and how many rows it knows, and what is typical for it.
    "mean": {(1, 6): 5, (2, 2): 11, (3, 0): None, (None, 9): 116},
    "median": {(1, 6): 2, (2, 2): 10, (3, 0): None, (None, 9): 9},
    "mode": {(1, 6): 2, (2, 2): 10, (None, 9): 2},
}


def statement(repository: Path, dialect: str, method: str) -> str:
    """The macro's SQL over :data:`ROWS`, as dbt renders it."""
    source = "\n".join((repository / "dbt_project" / name).read_text() for name in MACROS)
    call = "{{ typical_values('given', 'amount', method, 'grp') }}"
    template = jinja2.Environment(extensions=["jinja2.ext.do"]).from_string(source + call)
    sql = template.render(target={"type": dialect}, method=method, config={}).strip()
    values = ", ".join(f"({_literal(group)}, {_literal(value)})" for group, value in ROWS)
    return f"with given(grp, amount) as (values {values}) {sql}"


def _literal(value: int | None) -> str:
    return "cast(null as bigint)" if value is None else f"cast({value} as bigint)"


@pytest.mark.parametrize("method", EXPECTED)
def test_the_typical_value_of_each_group_and_of_all_rows(repository: Path, postgres_url: str, method: str) -> None:
    rows: dict[str, list[tuple[Any, ...]]] = {}
    rows["duckdb"] = duckdb.connect().execute(statement(repository, "duckdb", method)).fetchall()
    with psycopg.connect(postgres_url) as connection:
        rows["postgres"] = connection.execute(statement(repository, "postgres", method)).fetchall()
    for found in rows.values():
        assert {(group, known): value for group, known, value in found} == EXPECTED[method]

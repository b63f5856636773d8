"""Incremental builds: whatever happened to the raw rows, the tables are the same as if built in full."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, settings
from hypothesis import strategies as st

from resources.embedded import EmbeddedPostgres
from tests.integration.dbt.dbt_in_process import INCREMENTAL, Project
from tests.integration.dbt.hand_made_rows import ROWS
from tests.integration.dbt.histories import TABLES, Batch, RawTables, batches
from tests.integration.dbt.warehouses import PROJECT, DuckDBWarehouse, PostgresWarehouse

pytestmark = pytest.mark.timeout(600)

# What a build leaves out is made up for by the next one.
_selections = st.sampled_from(
    [
        INCREMENTAL,
        INCREMENTAL,
        INCREMENTAL,
        "int_events_sessionised fct_order_items",
        "fct_sessions fct_orders int_customer_sales_summed",
        f"{INCREMENTAL},intermediate.*",
    ]
)


@dataclass(frozen=True, repr=False)
class History:
    """Batches, and after some of them the models that are built."""

    steps: list[tuple[list[Batch], str]]

    def __repr__(self) -> str:
        # Written out it would fill pages; what failed is noted step by step.
        return f"<history of {len(self.steps)} builds>"


@st.composite
def _histories(draw: st.DrawFn) -> History:
    step = st.tuples(st.lists(batches, min_size=4, max_size=10), _selections)
    steps = draw(st.lists(step, min_size=6, max_size=7))
    assume(len({batch.table for loaded, _ in steps for batch in loaded}) == TABLES)
    return History(steps)


@pytest.fixture(scope="module")
def duckdb_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    warehouse = DuckDBWarehouse(tmp_path_factory.mktemp("incremental_duckdb"))
    warehouse.fill_raw({})
    return Project(warehouse)


@pytest.fixture(scope="module")
def postgres_project(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    name = "dbt_incremental"
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    warehouse = PostgresWarehouse(postgres_server.url(name), tmp_path_factory.mktemp("incremental_postgres"))
    warehouse.fill_raw({})
    yield Project(warehouse)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def _differences(project: Project, full_queries: dict[str, str]) -> list[str]:
    """The incremental tables that differ from their full queries on the tables above them."""
    checks = [
        f"(with full_build as materialized ({query}) select '{table}' as name where"
        f" exists (select * from {table} except all select * from full_build)"
        f" or exists (select * from full_build except all select * from {table}))"
        for table, query in full_queries.items()
    ]
    return [str(name) for (name,) in project.warehouse.query(" union all ".join(checks))]


def _hold(project: Project, history: History) -> None:
    raw = RawTables(project.warehouse)
    raw.clear()
    project.run("--full-refresh")
    full_queries = project.full_queries()
    for loaded, selection in history.steps:
        note(f"built: {selection}, after batches of {[batch.table for batch in loaded]}")
        raw.load(loaded)
        project.run("--select", *selection.split())
        if selection == INCREMENTAL:
            assert _differences(project, full_queries) == []
    project.run()
    incremental = project.contents()
    project.run("--full-refresh")
    full = project.contents()
    assert incremental.keys() == full.keys()
    for table, (columns, rows) in incremental.items():
        assert (columns, rows) == full[table], table


# Every example takes seconds, so that none is tried again in a shorter form.
_few_long = settings(
    max_examples=1, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False
)


@_few_long
@given(history=_histories())
def test_after_any_history_duckdb_has_what_a_full_build_makes(duckdb_project: Project, history: History) -> None:
    _hold(duckdb_project, history)


@_few_long
@given(history=_histories())
def test_after_any_history_postgresql_has_what_a_full_build_makes(postgres_project: Project, history: History) -> None:
    _hold(postgres_project, history)


@pytest.fixture
def edited(tmp_path: Path) -> Project:
    """A copy of the project that may be edited, on the hand-made rows."""
    shutil.copytree(PROJECT, tmp_path / "project", ignore=shutil.ignore_patterns("target", "logs"))
    warehouse = DuckDBWarehouse(tmp_path)
    warehouse.fill_raw(ROWS)
    return Project(warehouse, tmp_path / "project")


def _edit(project: Project, file: str, old: str, new: str) -> None:
    path = project.folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    project.parse()


def _generations(project: Project) -> dict[str, str]:
    return dict(project.warehouse.query("select relation, generation from ledger.model_states"))


def _rebuilt(project: Project, before: dict[str, str]) -> set[str]:
    return {relation.split(".")[1] for relation, now in _generations(project).items() if now != before[relation]}


def test_an_edit_rebuilds_what_it_changes_and_nothing_else(edited: Project) -> None:
    edited.run("--select", f"+{INCREMENTAL}")
    before = _generations(edited)
    edited.run("--select", INCREMENTAL)
    assert _rebuilt(edited, before) == set()

    # A model's own SQL, and what is made of the model.
    _edit(edited, "models/intermediate/web/int_events_sessionised.sql", "interval '30 minutes'", "interval '1 minute'")
    edited.run("--select", INCREMENTAL)
    web = {"int_events_sessionised", "int_session_orders", "fct_sessions", "fct_searches"}
    assert _rebuilt(edited, before) == web
    incremental = edited.contents()
    edited.run("--full-refresh", "--select", INCREMENTAL)
    assert edited.contents() == incremental

    # A macro, used by another macro or by a model; a staging view.
    before = _generations(edited)
    _edit(edited, "macros/sales.sql", "'pending', 'cancelled'", "'pending'")
    edited.run("--select", INCREMENTAL)
    sales = {"fct_order_items", "fct_refunds", "fct_orders", "int_customer_sales_summed"}
    assert _rebuilt(edited, before) == sales | {"int_order_items_summed", "int_order_refunds_summed"}
    before = _generations(edited)
    _edit(
        edited, "models/staging/hubspot/stg_hubspot__email_events.sql", "        url,\n", "        lower(url) as url,\n"
    )
    edited.run("--select", INCREMENTAL)
    assert _rebuilt(edited, before) == {"fct_email_events"}

    # The time zone in which days are counted.
    before = _generations(edited)
    edited.warehouse.environment["SHOPSPHERE_REPORTING_TIME_ZONE"] = "America/Sao_Paulo"
    edited.parse()
    edited.run("--select", INCREMENTAL)
    assert {"fct_daily_traffic", "fct_orders"} <= _rebuilt(edited, before)
    days = edited.warehouse.query("select min(traffic_date) from build_web.fct_daily_traffic")
    assert [str(day) for (day,) in days] == ["2026-01-09"]


def test_a_model_that_forgets_an_input_does_not_build(edited: Project) -> None:
    searches = "models/marts/web/fct_searches.sql"
    _edit(edited, searches, "searches as (", "orders as (select * from {{ ref('int_session_orders') }}), searches as (")
    with pytest.raises(AssertionError, match=r"changed\(ref\('int_session_orders'\)\)"):
        edited.run("--select", "fct_searches")
    _edit(edited, searches, "ref('int_session_orders')", "ref('fct_daily_funnel')")
    with pytest.raises(AssertionError, match="of which it is not known what changes"):
        edited.run("--select", "fct_searches")


def test_a_replay_rebuilds_what_is_made_of_the_table_and_nothing_else(edited: Project) -> None:
    edited.run("--select", f"+{INCREMENTAL}")
    before = _generations(edited)
    # Rows that no batch tells of: one that should not have been, one that was tampered with.
    edited.warehouse.execute(
        [
            (
                "delete from raw.shop_db__refunds where refund_id = (select min(refund_id) from raw.shop_db__refunds)",
                [()],
            ),
            ("update raw.shop_db__refunds set amount = amount + 1", [()]),
            (
                "insert into ledger.batches (batch_id, source, table_name, kind, sequence)"
                " values ('replay-1', 'shop_db', 'refunds', 'replay', 1)",
                [()],
            ),
        ]
    )
    edited.run("--select", f"+{INCREMENTAL}")
    rebuilt = _rebuilt(edited, before)
    assert {"fct_refunds", "int_order_refunds_summed", "fct_orders"} <= rebuilt
    assert not rebuilt & {"fct_order_items", "fct_payments", "fct_sessions", "fct_email_events"}
    incremental = edited.contents()
    before = _generations(edited)
    edited.run("--select", f"+{INCREMENTAL}")
    assert _rebuilt(edited, before) == set()
    edited.run("--full-refresh", "--select", f"+{INCREMENTAL}")
    assert edited.contents() == incremental

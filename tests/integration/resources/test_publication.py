"""What a publication promises on both engines: whole, switched at once, readable by anyone at any time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pytest

from resources.errors import PermanentError
from resources.warehouse import Warehouse, open_warehouse

REPOSITORY = Path(__file__).resolve().parents[3]

# Two marts of different areas, written with one stamp: a reader that meets two stamps met two versions.
STAMPS = "SELECT o.stamp AS orders_stamp, c.stamp AS customers_stamp FROM fct_orders AS o CROSS JOIN dim_customers AS c"


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        url = f"duckdb://{tmp_path}/warehouse/shop.duckdb"
    else:
        url = request.getfixturevalue("postgres_url")
    warehouse = open_warehouse(url)
    warehouse.prepare()
    return warehouse


def build(warehouse: Warehouse, stamp: int) -> None:
    """What dbt does, in small."""
    with warehouse.transaction() as transaction:
        for schema in ("build_sales", "build_customers"):
            transaction.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        transaction.execute("DROP TABLE IF EXISTS build_sales.fct_orders")
        transaction.execute("CREATE TABLE build_sales.fct_orders (stamp bigint NOT NULL, total_amount numeric(18,2))")
        transaction.execute(f"INSERT INTO build_sales.fct_orders VALUES ({stamp}, 12.34)")
        transaction.execute("COMMENT ON TABLE build_sales.fct_orders IS 'One row per order''s total.'")
        transaction.execute("COMMENT ON COLUMN build_sales.fct_orders.total_amount IS 'What''s paid.'")
        transaction.execute("DROP TABLE IF EXISTS build_customers.dim_customers")
        transaction.execute(f"CREATE TABLE build_customers.dim_customers AS SELECT {stamp} AS stamp")


def stamp_of(warehouse: Warehouse, version: int | None = None) -> int:
    [row] = warehouse.read_publication(STAMPS, version=version).to_pylist()
    assert row["orders_stamp"] == row["customers_stamp"]
    return int(row["orders_stamp"])


def recorded_versions(warehouse: Warehouse) -> list[int]:
    found = warehouse.query("SELECT version FROM ledger.publications ORDER BY version")
    return [int(version) for version in found["version"].to_pylist()]


def test_before_the_first_publication_there_is_nothing(warehouse: Warehouse) -> None:
    assert warehouse.current_publication() is None
    assert warehouse.publications() == []
    with pytest.raises(PermanentError, match="nothing is published yet"):
        warehouse.read_publication("SELECT 1 AS one")


def test_a_publication_says_what_it_holds_and_the_ledger_agrees(warehouse: Warehouse) -> None:
    before = datetime.now(UTC)
    build(warehouse, 1)
    published = warehouse.publish("run-1")
    assert (published.version, published.run_id, published.tables, published.rows) == (1, "run-1", 2, 2)
    assert before <= published.published_at <= datetime.now(UTC)
    assert warehouse.current_publication() == published
    assert warehouse.publications() == [published]
    info = warehouse.read_publication("SELECT version, run_id, tables, rows FROM publication.info").to_pylist()
    assert info == [{"version": 1, "run_id": "run-1", "tables": 2, "rows": 2}]
    ledger = warehouse.query("SELECT version, published_at, run_id, tables, rows, location FROM ledger.publications")
    assert ledger.to_pylist() == [{name: getattr(published, name) for name in ledger.column_names}]


def _batch(warehouse: Warehouse, table: str, started_at: datetime, watermark: datetime | None) -> None:
    """A batch that took a second, as ingestion enters it into the ledger."""
    row = {
        "batch_id": f"{table}-{started_at:%H%M%S}",
        "source": "shop_db",
        "table_name": table,
        "started_at": started_at,
        "finished_at": started_at + timedelta(seconds=1),
        "watermark": watermark.isoformat() if watermark else None,
    }
    moment = pa.timestamp("us", tz="UTC")
    types = {name: moment if name.endswith("_at") else pa.string() for name in row}
    with warehouse.transaction() as transaction:
        transaction.append("ledger", "batches", pa.Table.from_pylist([row], schema=pa.schema(list(types.items()))))


def _ago(seconds: int) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=seconds)


def test_a_publication_says_how_long_ago_the_changes_happened_that_are_new_in_it(warehouse: Warehouse) -> None:
    for table in ("orders", "customers"):
        _batch(warehouse, table, _ago(600), _ago(700))
    build(warehouse, 1)
    # A first load: what the rows are dated by says nothing of when they could have been read.
    first = warehouse.publish("run-1")
    assert first.changes.clock == "platform"
    assert 600 <= (first.latency_seconds or 0) < 660
    orders, customers = _ago(-30), _ago(-40)
    _batch(warehouse, "orders", _ago(-60), orders)
    _batch(warehouse, "customers", _ago(-60), customers)
    second = warehouse.publish("run-2")
    assert (second.changes.newest_at, second.changes.oldest_at) == (customers, orders)
    assert second.changes.clock == "source"
    assert second.latency_seconds == (second.published_at - customers).total_seconds()
    assert second.longest_latency_seconds == (second.published_at - orders).total_seconds()
    columns = "newest_change_at, oldest_change_at, change_clock"
    said = [{"newest_change_at": customers, "oldest_change_at": orders, "change_clock": "source"}]
    assert warehouse.read_publication(f"SELECT {columns} FROM publication.info").to_pylist() == said
    ledger = warehouse.query(f"SELECT {columns} FROM ledger.publications WHERE version = 2")
    assert ledger.to_pylist() == said
    assert warehouse.current_publication() == second


@pytest.mark.parametrize("seconds", [-86_400, 86_400 * 200], ids=["ahead of", "far behind"])
def test_a_source_whose_clock_is_not_ours_is_measured_from_the_read(warehouse: Warehouse, seconds: int) -> None:
    _batch(warehouse, "orders", _ago(600), _ago(600 + seconds + 60))
    read_at = _ago(500)
    _batch(warehouse, "orders", read_at, _ago(500 + seconds))
    build(warehouse, 1)
    published = warehouse.publish("run-1")
    assert (published.changes.newest_at, published.changes.clock) == (read_at, "platform")


def test_a_publication_without_news_claims_no_latency(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    published = warehouse.publish("run-1")
    assert (published.latency_seconds, published.longest_latency_seconds) == (None, None)


def test_a_publication_names_the_newest_batch_of_every_raw_table(warehouse: Warehouse) -> None:
    with warehouse.transaction() as transaction:
        transaction.append(
            "ledger",
            "batches",
            pa.table(
                {
                    "batch_id": ["b1", "b2", "b3"],
                    "source": ["shop_db", "shop_db", "reviews"],
                    "table_name": ["orders", "orders", "reviews"],
                    "finished_at": pa.array(
                        [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 1)], pa.timestamp("us", tz="UTC")
                    ),
                    "watermark": ["w1", "w2", "w3"],
                }
            ),
        )
    build(warehouse, 1)
    warehouse.publish("run-1")
    found = warehouse.read_publication(
        "SELECT source, table_name, batch_id, watermark FROM publication.sources ORDER BY source"
    )
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("reviews", "reviews", "b3", "w3"),
        ("shop_db", "orders", "b2", "w2"),
    ]


def test_types_requirements_and_descriptions_are_published_too(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    warehouse.publish("run-1")
    columns = warehouse.read_publication(
        "SELECT column_name, is_nullable, numeric_precision, numeric_scale FROM information_schema.columns"
        " WHERE table_schema = 'sales' AND table_name = 'fct_orders' ORDER BY ordinal_position"
    ).to_pylist()
    assert [(c["column_name"], c["is_nullable"]) for c in columns] == [("stamp", "NO"), ("total_amount", "YES")]
    assert (columns[1]["numeric_precision"], columns[1]["numeric_scale"]) == (18, 2)
    if warehouse.dialect == "duckdb":
        texts = "SELECT comment FROM duckdb_tables() WHERE table_name = 'fct_orders' UNION ALL" + (
            " SELECT comment FROM duckdb_columns() WHERE column_name = 'total_amount'"
        )
    else:
        texts = "SELECT obj_description('sales.fct_orders'::regclass) AS comment UNION ALL" + (
            " SELECT col_description('sales.fct_orders'::regclass, 2)"
        )
    assert warehouse.read_publication(texts)["comment"].to_pylist() == ["One row per order's total.", "What's paid."]


def test_readers_keep_the_old_version_until_the_next_is_published(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    warehouse.publish("run-1")
    build(warehouse, 2)
    assert stamp_of(warehouse) == 1
    warehouse.publish("run-2")
    assert stamp_of(warehouse) == 2
    assert stamp_of(warehouse, version=1) == 1
    assert stamp_of(warehouse, version=2) == 2


def test_a_view_is_published_as_its_rows_and_a_dropped_mart_is_gone(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    with warehouse.transaction() as transaction:
        transaction.execute("CREATE SCHEMA build_web")
        transaction.execute("CREATE VIEW build_web.fct_sessions AS SELECT 7 AS sessions")
    warehouse.publish("run-1")
    with warehouse.transaction() as transaction:
        transaction.execute("DROP VIEW build_web.fct_sessions")
        transaction.execute("DROP SCHEMA build_web")
    assert warehouse.read_publication("SELECT sessions FROM web.fct_sessions")["sessions"].to_pylist() == [7]
    warehouse.publish("run-2")
    with pytest.raises(PermanentError, match="fct_sessions"):
        warehouse.read_publication("SELECT sessions FROM web.fct_sessions")
    assert warehouse.read_publication("SELECT sessions FROM fct_sessions", version=1)["sessions"].to_pylist() == [7]


def test_old_versions_are_dropped_beyond_five_and_on_request(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    for number in range(1, 8):
        warehouse.publish(f"run-{number}")
    assert [publication.version for publication in warehouse.publications()] == [7, 6, 5, 4, 3]
    assert recorded_versions(warehouse) == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(PermanentError, match="publication 2 does not exist or was dropped"):
        warehouse.read_publication("SELECT 1 AS one", version=2)
    warehouse.drop_old_publications(keep=1)
    assert [publication.version for publication in warehouse.publications()] == [7]
    assert stamp_of(warehouse) == 1


def test_readers_cannot_write(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    warehouse.publish("run-1")
    for sql in ("DELETE FROM sales.fct_orders", "DROP TABLE sales.fct_orders", "CREATE TABLE sales.mine (a int)"):
        with pytest.raises(PermanentError, match="would change data"):
            warehouse.read_publication(sql)
    assert stamp_of(warehouse) == 1


def test_reading_never_waits_for_a_writer(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    warehouse.publish("run-1")
    reader = open_warehouse(warehouse.url, lock_timeout=0)
    with warehouse.transaction() as transaction:
        transaction.execute("DELETE FROM build_sales.fct_orders")
        assert stamp_of(reader) == 1
        assert reader.current_publication() == warehouse.current_publication()


READER = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from resources.warehouse import open_warehouse
warehouse = open_warehouse(sys.argv[2])
stop = Path(sys.argv[3])
stamps = []
print("ready", flush=True)
while True:
    last = stop.exists()
    stamps += [list(row.values()) for row in warehouse.read_publication(sys.argv[4]).to_pylist()]
    if last:
        break
print(json.dumps(stamps))
"""


def test_readers_in_threads_and_another_process_never_meet_an_error_or_two_versions(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    build(warehouse, 0)
    warehouse.publish("run-0")
    stop = tmp_path / "stop"
    other = subprocess.Popen(
        [sys.executable, "-c", READER, str(REPOSITORY), warehouse.url, str(stop), STAMPS],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    seen: list[list[list[int]]] = [[], []]
    errors: list[BaseException] = []

    def read(stamps: list[list[int]]) -> None:
        try:
            while True:
                last = stop.exists()
                stamps += [list(row.values()) for row in warehouse.read_publication(STAMPS).to_pylist()]
                if last:
                    return
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(stamps,)) for stamps in seen]
    for thread in threads:
        thread.start()
    for number in range(1, 11):
        build(warehouse, number)
        warehouse.publish(f"run-{number}")
    stop.touch()
    for thread in threads:
        thread.join()
    output, _ = other.communicate()
    assert errors == []
    assert other.returncode == 0
    seen.append(json.loads(output))
    for stamps in seen:
        assert all(orders == customers for orders, customers in stamps)
        assert [orders for orders, _ in stamps] == sorted(orders for orders, _ in stamps)
        assert stamps[-1] == [10, 10]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from resources.warehouse import duckdb_publication, open_warehouse, postgres_publication
owner, name = {point}

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, die)
open_warehouse(sys.argv[2]).publish("killed")
"""
KILL_POINTS = {
    "duckdb": {
        "while copying": ("duckdb_publication.PublicationFolder, '_describe'", False),
        "before the file is renamed": ("duckdb_publication, '_force_to_disk'", False),
        "before the switch": ("duckdb_publication.PublicationFolder, '_switch_to'", False),
        "before the record": ("duckdb_publication, '_record'", True),
    },
    "postgres": {
        "while copying": ("postgres_publication.PublicationSchemas, '_describe'", False),
        "before the switch": ("postgres_publication.PublicationSchemas, '_switch'", False),
        "before the commit": ("__import__('psycopg').Connection, 'commit'", False),
    },
}


def test_killed_at_any_step_it_leaves_the_old_or_the_new_and_the_next_run_heals(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    warehouse.publish("run-1")
    for name, (point, switched) in KILL_POINTS[warehouse.dialect].items():
        before = stamp_of(warehouse)
        current = warehouse.current_publication()
        assert current is not None
        build(warehouse, before + 1)
        script = textwrap.dedent(KILLED).format(point=point)
        if name == "before the record":
            # The first call is the healing of what was before; only the publication's own is meant.
            script = script.replace(
                "setattr(owner, name, die)",
                "setattr(owner, name, lambda connection, what: die() if what else None)",
            )
        killed = subprocess.run(
            [sys.executable, "-c", script, str(REPOSITORY), warehouse.url], capture_output=True, text=True
        )
        assert killed.returncode == -signal.SIGKILL, (name, killed.stderr)

        assert stamp_of(warehouse) == (before + 1 if switched else before), name
        warehouse.prepare()
        assert recorded_versions(warehouse)[-1] == current.version + (1 if switched else 0), name
        healed = warehouse.publish("after the kill")
        assert stamp_of(warehouse) == before + 1, name
        assert recorded_versions(warehouse) == list(range(1, healed.version + 1)), name
        if warehouse.dialect == "duckdb":
            left = {path.name for path in Path(healed.location).parent.iterdir()}
            versions = {f"v{publication.version:06d}.duckdb" for publication in warehouse.publications()}
            assert left == versions | {"current.duckdb"}, name


def test_two_publications_at_once_are_made_one_after_the_other(warehouse: Warehouse) -> None:
    build(warehouse, 1)
    versions: list[int] = []
    threads = [
        threading.Thread(target=lambda: versions.append(open_warehouse(warehouse.url).publish("run").version))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == [1, 2, 3]
    assert recorded_versions(warehouse) == [1, 2, 3]


def test_on_duckdb_a_dropped_version_stays_for_the_reader_who_has_it_open(tmp_path: Path) -> None:
    warehouse = open_warehouse(f"duckdb://{tmp_path}/shop.duckdb")
    warehouse.prepare()
    build(warehouse, 1)
    location = warehouse.publish("run-1").location
    with duckdb.connect(location, read_only=True) as reader:
        build(warehouse, 2)
        warehouse.publish("run-2")
        warehouse.drop_old_publications(keep=1)
        assert not Path(location).exists()
        assert reader.execute("SELECT stamp FROM sales.fct_orders").fetchall() == [(1,)]
    with duckdb.connect(str(Path(location).with_name("current.duckdb")), read_only=True) as reader:
        assert reader.execute("SELECT stamp FROM sales.fct_orders").fetchall() == [(2,)]


def test_on_duckdb_a_readers_sql_reaches_no_other_file(tmp_path: Path) -> None:
    warehouse = open_warehouse(f"duckdb://{tmp_path}/shop.duckdb")
    warehouse.prepare()
    build(warehouse, 1)
    warehouse.publish("run-1")
    (tmp_path / "secret.csv").write_text("secret\n")
    for sql in (
        f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
        f"COPY (SELECT 1) TO '{tmp_path}/written.csv'",
        f"ATTACH '{tmp_path}/shop.duckdb' AS working",
        "SET enable_external_access = true",
    ):
        with pytest.raises(PermanentError):
            warehouse.read_publication(sql)
    assert not (tmp_path / "written.csv").exists()


def test_on_postgresql_a_long_reader_blocks_neither_the_switch_nor_other_readers(postgres_url: str) -> None:
    warehouse = open_warehouse(postgres_url, lock_timeout=5)
    warehouse.prepare()
    build(warehouse, 1)
    warehouse.publish("run-1")
    with psycopg.connect(postgres_url) as analyst:
        # A tool that leaves its transaction open.
        assert analyst.execute("SELECT stamp FROM sales.fct_orders").fetchone() == (1,)
        for number in range(2, 9):
            build(warehouse, number)
            warehouse.publish(f"run-{number}")
            assert stamp_of(warehouse) == number
        # Version 1 is in use and stays; the rest is dropped as ever.
        assert [publication.version for publication in warehouse.publications()] == [8, 7, 6, 5, 4, 1]
    warehouse.drop_old_publications()
    assert [publication.version for publication in warehouse.publications()] == [8, 7, 6, 5, 4]


def test_on_postgresql_grants_outlive_the_switch_and_reach_new_marts(postgres_url: str) -> None:
    warehouse = open_warehouse(postgres_url)
    warehouse.prepare()
    build(warehouse, 1)
    warehouse.publish("run-1")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS analyst_of_marts")
        connection.execute("CREATE ROLE analyst_of_marts")
        connection.execute("GRANT USAGE ON SCHEMA sales TO analyst_of_marts")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA sales TO analyst_of_marts")
        try:
            build(warehouse, 2)
            with warehouse.transaction() as transaction:
                transaction.execute("CREATE TABLE build_sales.fct_refunds AS SELECT 1 AS refunds")
            warehouse.publish("run-2")
            connection.execute("SET ROLE analyst_of_marts")
            assert connection.execute("SELECT stamp FROM sales.fct_orders").fetchone() == (2,)
            assert connection.execute("SELECT refunds FROM sales.fct_refunds").fetchone() == (1,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("SELECT stamp FROM customers.dim_customers")
        finally:
            connection.execute("RESET ROLE")
            connection.execute("DROP OWNED BY analyst_of_marts")
            connection.execute("DROP ROLE analyst_of_marts")


def test_on_postgresql_an_analysts_view_keeps_its_version(postgres_url: str) -> None:
    warehouse = open_warehouse(postgres_url)
    warehouse.prepare()
    build(warehouse, 1)
    warehouse.publish("run-1")
    with warehouse.transaction() as transaction:
        transaction.execute("CREATE VIEW public.my_orders AS SELECT stamp FROM sales.fct_orders")
    for number in range(2, 8):
        warehouse.publish(f"run-{number}")
    assert [publication.version for publication in warehouse.publications()] == [7, 6, 5, 4, 3, 1]
    assert warehouse.query("SELECT stamp FROM public.my_orders")["stamp"].to_pylist() == [1]


def test_on_postgresql_a_schema_of_someone_else_is_not_touched(postgres_url: str) -> None:
    warehouse = open_warehouse(postgres_url)
    warehouse.prepare()
    build(warehouse, 1)
    with warehouse.transaction() as transaction:
        transaction.execute("CREATE SCHEMA sales")
    with pytest.raises(PermanentError, match="sales exists"):
        warehouse.publish("run-1")
    assert warehouse.current_publication() is None
    with warehouse.transaction() as transaction:
        transaction.execute("DROP SCHEMA sales")
    assert warehouse.publish("run-1").version == 1

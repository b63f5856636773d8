"""Raw tables kept up to date by a real change log equal the source, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from resources.change_log import ChangeLog
from resources.errors import PermanentError
from resources.sql_source import SqlSource
from resources.warehouse import Transaction, Warehouse, open_warehouse
from shopsphere_assets.contracts import shop_db
from shopsphere_assets.ingestion import changes as changes_module
from shopsphere_assets.ingestion.batch import load_chunks
from shopsphere_assets.ingestion.changes import logged_table
from shopsphere_assets.ingestion.lake import BatchWriter
from shopsphere_assets.ingestion.raw_table import DatabaseRead
from tests import servers
from tests.integration.ingestion.logged_shop import (
    CUSTOMERS,
    REFUNDS,
    TABLES,
    Follower,
    LoggedShop,
    at_work,
    polled,
    rows_in,
    set_aside_in,
)
from tests.raw_tables import raw_table


class KilledError(BaseException):
    """Stands for a process that is killed: nothing in the platform catches it."""


@pytest.fixture(params=["binlog", "wal"])
def shop(request: pytest.FixtureRequest) -> LoggedShop:
    """A shop on each kind of server."""
    return LoggedShop(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """An embedded warehouse."""
    return open_warehouse(f"duckdb:///{tmp_path / 'warehouse.duckdb'}")


@pytest.fixture
def follower(shop: LoggedShop, warehouse: Warehouse, tmp_path: Path) -> Follower:
    """A platform that follows the shop's log."""
    return Follower(shop, warehouse, tmp_path / "lake")


def assert_equals_the_source(follower: Follower, tmp_path: Path) -> None:
    """Raw's rows are, row by row, those that a poll of the source into an empty warehouse gives."""
    expected = polled(follower.shop, tmp_path)
    for table in TABLES:
        assert follower.rows(table) == rows_in(expected, table)


def test_the_first_run_reads_the_tables_and_later_ones_the_log(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1, "10.00", 2, 3)
    follower.follow()
    follower.shop.refund(4)
    follower.shop.execute(
        "UPDATE refunds SET amount = 99.5 WHERE refund_id = 2", "DELETE FROM refunds WHERE refund_id = 3"
    )
    follower.follow()
    assert [batch["kind"] for batch in follower.batches(REFUNDS)] == ["full", "reconciliation", "change_log"]
    assert [(row["refund_id"], str(row["amount"])) for row in follower.rows(REFUNDS)] == [
        (1, "10.00"),
        (2, "99.50"),
        (4, "10.00"),
    ]
    assert [row["refund_id"] for row in follower.rows(REFUNDS, deleted=True)] == [3]
    assert_equals_the_source(follower, tmp_path)


def test_writers_at_work_during_the_snapshot_leave_no_gap_and_no_double(follower: Follower, tmp_path: Path) -> None:
    follower.shop.execute(follower.shop.many_refunds(20_000))
    threads = at_work(follower.shop, writers=3, steps=60)
    follower.follow(changes_per_batch=50)
    while any(thread.is_alive() for thread in threads):
        follower.follow(changes_per_batch=50)
    follower.follow(changes_per_batch=50)
    assert_equals_the_source(follower, tmp_path)


@pytest.mark.parametrize(
    "point", ["landed", "merged", "committed", "snapshot read", "snapshot committed", "before confirming", "confirmed"]
)
def test_killed_at_any_point_the_next_run_continues(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, point: str
) -> None:
    follower.shop.execute(follower.shop.many_refunds(20))
    if not point.startswith("snapshot"):
        follower.follow()
    with monkeypatch.context() as patch:
        _kill_at(patch, point)
        if not point.startswith("snapshot"):
            for number in range(100, 113):
                follower.shop.refund(number)
                follower.shop.execute(f"DELETE FROM refunds WHERE refund_id = {number - 95}")
        with pytest.raises(KilledError):
            follower.follow(changes_per_batch=10)
    follower.shop.execute("UPDATE refunds SET amount = amount + 1 WHERE refund_id > 16")
    follower.follow(changes_per_batch=10)
    assert_equals_the_source(follower, tmp_path)
    [entries] = follower.destination.warehouse.query(
        "SELECT count(*) AS entries, count(DISTINCT batch_id) AS different FROM ledger.batches"
    ).to_pylist()
    assert entries["entries"] == entries["different"]


def _kill_at(patch: pytest.MonkeyPatch, point: str) -> None:
    def killing(original: Callable[..., Any], *, after: bool = True, at_call: int = 1) -> Callable[..., Any]:
        calls = 0

        def run(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls < at_call:
                return original(*arguments, **named)
            if after:
                original(*arguments, **named)
            raise KilledError

        return run

    match point:
        case "landed":
            patch.setattr(BatchWriter, "commit", killing(BatchWriter.commit))
        case "merged":
            for engine in Transaction.__subclasses__():
                patch.setattr(engine, "merge", killing(engine.merge))
        case "committed":
            patch.setattr(changes_module, "load_chunks", killing(load_chunks, at_call=3))
        case "snapshot read":
            patch.setattr(changes_module, "load_chunks", killing(load_chunks, after=False, at_call=2))
        case "snapshot committed":
            patch.setattr(changes_module, "load_chunks", killing(load_chunks, at_call=3))
        case "before confirming" | "confirmed":
            for log in ChangeLog.__subclasses__():
                patch.setattr(log, "confirm", killing(log.confirm, after=point == "confirmed"))


def test_a_burst_is_taken_in_batches_of_bounded_size(follower: Follower, tmp_path: Path) -> None:
    follower.follow()
    for first in range(1, 2001, 100):
        follower.shop.execute(follower.shop.many_refunds(100, first))
    follower.follow(changes_per_batch=300)
    sizes = [batch["rows_read"] for batch in follower.batches(REFUNDS) if batch["kind"] == "change_log"]
    assert sum(sizes) == 2000
    assert max(sizes) <= 600
    assert_equals_the_source(follower, tmp_path)


def test_a_transaction_larger_than_the_bound_is_taken_in_parts(
    follower: Follower, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    follower.follow()
    shop = follower.shop
    halves = [f"UPDATE refunds SET amount = amount + 1 WHERE refund_id <= {n}" for n in (5000, 2500)]
    shop.execute(shop.many_refunds(5000), *halves, "DELETE FROM refunds WHERE refund_id > 4000")
    with monkeypatch.context() as patch:
        patch.setattr(changes_module, "load_chunks", _dying_after(load_chunks, 7))
        with pytest.raises(KilledError):
            follower.follow(changes_per_batch=500)
    follower.follow(changes_per_batch=500)
    assert max(batch["rows_read"] for batch in follower.batches(REFUNDS)) < 3000
    assert_equals_the_source(follower, tmp_path)


def _dying_after(original: Callable[..., Any], calls: int) -> Callable[..., Any]:
    left = iter(range(calls))

    def run(*arguments: Any, **named: Any) -> Any:
        if next(left, None) is None:
            raise KilledError
        return original(*arguments, **named)

    return run


def test_only_the_last_state_of_a_key_is_loaded(follower: Follower) -> None:
    follower.follow()
    follower.shop.refund(1)
    for amount in range(20):
        follower.shop.execute(f"UPDATE refunds SET amount = {amount + 1} WHERE refund_id = 1")
    follower.shop.refund(2)
    follower.shop.execute("DELETE FROM refunds WHERE refund_id = 2")
    captured = follower.follow()
    report = captured["refunds"].report
    assert report is not None
    assert (report.rows_read, report.rows_loaded) == (1, 1)
    assert [str(row["amount"]) for row in follower.rows(REFUNDS)] == ["20.00"]


def test_a_change_of_the_key_is_a_deletion_and_a_new_row(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1, "10.00", 2, 3)
    follower.follow()
    follower.shop.execute(
        "UPDATE refunds SET refund_id = 10 WHERE refund_id = 1",
        "UPDATE refunds SET refund_id = 1 WHERE refund_id = 2",
        "UPDATE refunds SET refund_id = refund_id + 100 WHERE refund_id = 10",
    )
    follower.follow()
    assert [row["refund_id"] for row in follower.rows(REFUNDS)] == [1, 3, 110]
    assert [row["refund_id"] for row in follower.rows(REFUNDS, deleted=True)] == [2]
    assert_equals_the_source(follower, tmp_path)


def test_a_row_that_comes_back_is_no_longer_marked(follower: Follower) -> None:
    follower.shop.refund(1)
    follower.follow()
    follower.shop.execute("DELETE FROM refunds")
    follower.follow()
    assert follower.rows(REFUNDS) == []
    follower.shop.refund(1, "7.00")
    follower.follow()
    assert [str(row["amount"]) for row in follower.rows(REFUNDS)] == ["7.00"]


def test_an_emptied_table_marks_every_row(follower: Follower, tmp_path: Path) -> None:
    follower.shop.execute(follower.shop.many_refunds(50))
    follower.follow()
    follower.shop.refund(60)
    follower.shop.execute("TRUNCATE TABLE refunds")
    follower.shop.refund(7, "1.00", 70)
    follower.follow()
    assert [row["refund_id"] for row in follower.rows(REFUNDS)] == [7, 70]
    assert len(follower.rows(REFUNDS, deleted=True)) == 49
    assert_equals_the_source(follower, tmp_path)


def test_a_bad_version_goes_to_quarantine_and_the_good_one_stays(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1, "10.00", 2)
    follower.follow()
    follower.shop.execute("UPDATE refunds SET currency = 'XXX', updated_at = NULL WHERE refund_id = 1")
    follower.follow()
    assert [(row["refund_id"], row["currency"]) for row in follower.rows(REFUNDS)] == [(1, "EUR"), (2, "EUR")]
    [entry] = follower.set_aside(REFUNDS)
    assert entry["row_key"] == "1"
    assert follower.set_aside(REFUNDS) == set_aside_in(polled(follower.shop, tmp_path), REFUNDS)


def test_a_new_snapshot_does_not_take_a_row_in_quarantine_for_a_deleted_one(follower: Follower) -> None:
    follower.shop.refund(1, "10.00", 2, 3)
    follower.follow()
    follower.shop.execute(
        "DELETE FROM refunds WHERE refund_id = 3", "UPDATE refunds SET amount = -1 WHERE refund_id = 1"
    )
    _lose_the_log(follower)
    captured = follower.follow()
    assert "read anew" in captured["refunds"].notes[0]
    assert [row["refund_id"] for row in follower.rows(REFUNDS)] == [1, 2]
    assert [row["refund_id"] for row in follower.rows(REFUNDS, deleted=True)] == [3]


def _lose_the_log(follower: Follower) -> None:
    if follower.shop.source.dialect == "postgresql":
        with psycopg.connect(follower.shop.url, autocommit=True) as connection:
            connection.execute("SELECT pg_drop_replication_slot('shopsphere')")
        return
    connection = follower.shop.connect()
    cursor = connection.cursor()
    cursor.execute("FLUSH BINARY LOGS")
    cursor.execute("SHOW MASTER STATUS")
    current = cursor.fetchone()[0]
    files = [""]
    while files != [current]:
        # The server keeps a file as long as it has not noticed that its last reader is gone.
        cursor.execute(f"PURGE BINARY LOGS TO '{current}'")
        cursor.execute("SHOW BINARY LOGS")
        files = [row[0] for row in cursor.fetchall()]
    connection.close()


def test_a_log_that_was_purged_is_made_up_for_by_a_new_snapshot(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1, "10.00", 2)
    follower.follow()
    follower.shop.execute("DELETE FROM refunds WHERE refund_id = 1")
    follower.shop.refund(5)
    _lose_the_log(follower)
    assert set(follower.news().values()) != {None}
    captured = follower.follow()
    assert captured["refunds"].notes
    assert_equals_the_source(follower, tmp_path)


def test_a_slot_that_something_else_moved_is_noticed(wal_url: str, warehouse: Warehouse, tmp_path: Path) -> None:
    follower = Follower(LoggedShop(wal_url), warehouse, tmp_path / "lake")
    follower.follow()
    follower.shop.refund(1)
    with psycopg.connect(wal_url, autocommit=True) as connection:
        connection.execute("SELECT pg_replication_slot_advance('shopsphere', pg_current_wal_flush_lsn())")
    captured = follower.follow()
    assert "something else moved it" in captured["refunds"].notes[0]
    assert_equals_the_source(follower, tmp_path)


def test_a_log_begun_anew_is_noticed(tmp_path: Path, warehouse: Warehouse) -> None:
    with servers.running_mariadb(tmp_path / "mariadb", servers.BINLOG) as url:
        servers.mariadb_execute(url, "CREATE DATABASE shop CHARACTER SET utf8mb4")
        follower = Follower(LoggedShop(f"{url}/shop"), warehouse, tmp_path / "lake")
        follower.shop.refund(1)
        follower.follow()
        follower.shop.execute("DELETE FROM refunds")
        servers.mariadb_execute(url, "RESET MASTER")
        follower.shop.execute(follower.shop.many_refunds(2000, 10))
        captured = follower.follow()
        assert "read anew" in captured["refunds"].notes[0]
        assert_equals_the_source(follower, tmp_path)


def test_a_column_that_the_contract_does_not_know_does_not_disturb(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1)
    follower.follow()
    follower.shop.execute("ALTER TABLE refunds ADD COLUMN colour varchar(10) DEFAULT 'red'")
    follower.shop.execute("UPDATE refunds SET amount = 2, colour = 'blue'")
    follower.follow()
    follower.shop.execute("ALTER TABLE refunds DROP COLUMN colour")
    follower.shop.execute("UPDATE refunds SET amount = 3")
    follower.follow()
    assert "full" not in [batch["kind"] for batch in follower.batches(REFUNDS)][2:]
    assert_equals_the_source(follower, tmp_path)


def test_columns_that_change_places_are_never_mistaken_for_each_other(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1, "10.00", 2)
    follower.follow()
    shop = follower.shop
    shop.execute("UPDATE refunds SET amount = 5 WHERE refund_id = 1")
    if shop.source.dialect == "mysql":
        shop.execute("ALTER TABLE refunds MODIFY reason varchar(40) FIRST")
    else:
        shop.execute(
            "ALTER TABLE refunds RENAME COLUMN reason TO old_reason",
            "ALTER TABLE refunds ADD COLUMN reason varchar(40)",
            "UPDATE refunds SET reason = 'damaged'",
            "ALTER TABLE refunds DROP COLUMN old_reason",
        )
    shop.execute("UPDATE refunds SET amount = 6 WHERE refund_id = 2")
    follower.follow()
    assert_equals_the_source(follower, tmp_path)


def test_a_column_filled_by_its_definition_reaches_rows_that_the_log_does_not_name(
    follower: Follower, tmp_path: Path
) -> None:
    follower.shop.execute("ALTER TABLE refunds DROP COLUMN reason")
    follower.shop.execute(
        "INSERT INTO refunds VALUES (1, 1, 2, 'EUR', 1, '2026-03-01 12:00:00', '2026-03-01 12:00:00')"
    )
    follower.follow()
    assert follower.rows(REFUNDS)[0]["reason"] is None
    follower.shop.execute("ALTER TABLE refunds ADD COLUMN reason varchar(40) DEFAULT 'late'")
    captured = follower.follow()
    assert "its columns changed" in captured["refunds"].notes[0]
    assert follower.rows(REFUNDS)[0]["reason"] == "late"


def test_a_required_column_that_is_missing_stops_its_table_alone(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1)
    follower.follow()
    follower.shop.execute("ALTER TABLE refunds RENAME COLUMN currency TO currency_code")
    follower.shop.execute(
        "INSERT INTO customers (customer_id, email, registered_at, updated_at)"
        " VALUES (1, 'a@example.com', '2026-03-01', '2026-03-01')"
    )
    found = follower.try_to_follow()
    assert found["refunds"].error is not None
    assert "no column for currency" in found["refunds"].error.what
    assert found["customers"].error is None
    assert [row["customer_id"] for row in follower.rows(CUSTOMERS)] == [1]
    follower.shop.execute("UPDATE refunds SET amount = 3")
    follower.shop.execute("ALTER TABLE refunds RENAME COLUMN currency_code TO currency")
    follower.follow()
    assert_equals_the_source(follower, tmp_path)


def test_a_table_that_was_replaced_is_read_anew(follower: Follower, tmp_path: Path) -> None:
    follower.shop.refund(1, "10.00", 2)
    follower.follow()
    like = "CREATE TABLE fresh LIKE refunds"
    if follower.shop.source.dialect == "postgresql":
        like = "CREATE TABLE fresh (LIKE refunds INCLUDING ALL)"
    follower.shop.execute(like)
    follower.shop.execute("INSERT INTO fresh SELECT * FROM refunds WHERE refund_id = 2")
    follower.shop.execute("ALTER TABLE refunds RENAME TO gone", "ALTER TABLE fresh RENAME TO refunds")
    follower.shop.refund(9)
    captured = follower.follow()
    assert captured["refunds"].notes
    assert_equals_the_source(follower, tmp_path)


def test_a_statement_logged_instead_of_rows_is_noticed(binlog_url: str, warehouse: Warehouse, tmp_path: Path) -> None:
    follower = Follower(LoggedShop(binlog_url), warehouse, tmp_path / "lake")
    follower.shop.refund(1)
    follower.follow()
    follower.shop.execute("SET SESSION binlog_format = 'STATEMENT'", "UPDATE refunds SET amount = 77")
    captured = follower.follow()
    assert "a statement was logged instead of the rows" in captured["refunds"].notes[0]
    assert_equals_the_source(follower, tmp_path)


@pytest.mark.parametrize("image", ["MINIMAL", "NOBLOB"])
def test_rows_logged_in_part_are_read_from_the_table(
    binlog_url: str, warehouse: Warehouse, tmp_path: Path, image: str
) -> None:
    follower = Follower(LoggedShop(binlog_url), warehouse, tmp_path / "lake")
    follower.shop.refund(1, "10.00", 2, 3, 4)
    follower.follow()
    in_part = f"SET SESSION binlog_row_image = '{image}'"
    follower.shop.execute(in_part, "UPDATE refunds SET amount = 77 WHERE refund_id < 3")
    follower.shop.execute(in_part, "UPDATE refunds SET refund_id = 30, amount = 1 WHERE refund_id = 3")
    follower.shop.execute(in_part, "UPDATE refunds SET amount = 8 WHERE refund_id = 4")
    follower.shop.execute(in_part, "DELETE FROM refunds WHERE refund_id = 4")
    follower.follow()
    assert [row["refund_id"] for row in follower.rows(REFUNDS)] == [1, 2, 30]
    assert_equals_the_source(follower, tmp_path)


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_long_values_that_did_not_change_are_not_lost(
    wal_url: str, warehouse: Warehouse, tmp_path: Path, identity: str
) -> None:
    follower = Follower(LoggedShop(wal_url), warehouse, tmp_path / "lake")
    shop = follower.shop
    shop.execute(
        "ALTER TABLE customers ALTER COLUMN locale TYPE text",
        "ALTER TABLE customers ALTER COLUMN locale SET STORAGE EXTERNAL",
        f"ALTER TABLE customers REPLICA IDENTITY {identity}",
    )
    for number in (1, 2):
        shop.execute(
            f"INSERT INTO customers (customer_id, email, locale, registered_at, updated_at) VALUES ({number},"
            f" 'a@example.com', repeat('x{number}', 20000), '2026-03-01', '2026-03-01')"
        )
    follower.follow()
    shop.execute("UPDATE customers SET email = 'b@example.com'")
    shop.execute("UPDATE customers SET customer_id = 20 WHERE customer_id = 2")
    follower.follow()
    assert [len(row["locale"]) for row in follower.rows(CUSTOMERS)] == [40000, 40000]
    assert_equals_the_source(follower, tmp_path)


def test_news_are_the_tables_that_changed(follower: Follower) -> None:
    assert None not in follower.news().values()
    follower.follow()
    assert follower.news() == {"refunds": None, "customers": None}
    follower.shop.execute("CREATE TABLE unrelated (id int PRIMARY KEY)")
    follower.shop.execute("INSERT INTO unrelated VALUES (1)")
    assert follower.news() == {"refunds": None, "customers": None}
    follower.shop.refund(1)
    news = follower.news()
    assert news["refunds"] is not None
    assert news["customers"] is None
    follower.follow()
    assert follower.news() == {"refunds": None, "customers": None}


def test_a_table_left_out_of_a_run_keeps_what_it_still_needs_of_the_log(follower: Follower, tmp_path: Path) -> None:
    follower.follow()
    follower.shop.refund(1)
    follower.shop.execute(
        "INSERT INTO customers (customer_id, email, registered_at, updated_at)"
        " VALUES (1, 'a@example.com', '2026-03-01', '2026-03-01')"
    )
    changes_module.capture(
        follower.tables, follower.shop.source, follower.log, follower.destination, run_id="r", only={"refunds"}
    )
    assert len(follower.rows(REFUNDS)) == 1
    assert follower.rows(CUSTOMERS) == []
    captured = follower.follow()
    assert captured["customers"].notes == []
    assert_equals_the_source(follower, tmp_path)


def test_polling_and_the_log_agree_on_values_that_break_readers(follower: Follower, tmp_path: Path) -> None:
    follower.follow()
    shop = follower.shop
    extreme = {
        "mysql": ("SET SESSION sql_mode = ''", "'0000-00-00'", "'2024-00-10 01:02:03.5'"),
        "postgresql": ("SET TIME ZONE 'UTC'", "'4713-01-01 BC'", "'infinity'"),
    }[shop.source.dialect]
    columns = "customer_id, email, first_name, birth_date, is_marketing_opt_in, registered_at, updated_at"
    shop.execute(
        extreme[0],
        f"INSERT INTO customers ({columns}) VALUES (1, 'a@example.com', 'Zoë😀 O''Hara\\\\', {extreme[1]}, '1',"
        f" '2026-03-01 12:00:00.000001', '2026-03-01 12:00:00.5')",
        f"INSERT INTO customers ({columns}) VALUES (-2, 'b@example.com', NULL, '2000-02-29', '0', {extreme[2]}, NULL)",
        f"INSERT INTO customers ({columns}) VALUES (9223372036854775807, NULL, '', '1999-12-31', NULL,"
        " '2026-03-01 12:00:00', '2026-03-01 12:00:00')",
        f"INSERT INTO customers ({columns}) VALUES (4, 'd@example.com', 'Ann', NULL, '1', '2026-03-01', '2026-03-01')",
        "INSERT INTO refunds VALUES (1, 1, 1, 'late', 'EUR', 9999999999999999.99, '2026-03-01', '2026-03-01'),"
        " (2, 1, 1, 'late', 'EUR', -0.01, '2026-03-01', '2026-03-01'),"
        " (3, 1, 1, 'late', 'EUR', 0.01, '2026-03-01', '2026-03-01')",
    )
    follower.follow()
    expected = polled(shop, tmp_path)
    for table in TABLES:
        assert follower.rows(table) == rows_in(expected, table)
        assert follower.set_aside(table) == set_aside_in(expected, table)
    assert len(follower.set_aside(CUSTOMERS)) == 3


def test_a_postgresql_warehouse_follows_as_well(shop: LoggedShop, postgres_url: str, tmp_path: Path) -> None:
    follower = Follower(shop, open_warehouse(postgres_url), tmp_path / "lake")
    shop.execute(shop.many_refunds(100))
    follower.follow()
    threads = at_work(shop, writers=2, steps=20)
    for thread in threads:
        thread.join()
    shop.execute("UPDATE refunds SET refund_id = 5000 WHERE refund_id = 5", "DELETE FROM refunds WHERE refund_id = 6")
    follower.follow(changes_per_batch=20)
    assert_equals_the_source(follower, tmp_path)


def test_columns_mapped_by_name_are_followed(binlog_url: str, warehouse: Warehouse, tmp_path: Path) -> None:
    read = DatabaseRead("refunds", columns={"refund_id": "Refund_No", "amount": "`total amount`"})
    mapped = raw_table(shop_db.Refunds, read)
    shop = LoggedShop(binlog_url)
    shop.execute(
        "ALTER TABLE refunds CHANGE refund_id Refund_No bigint, CHANGE amount `total amount` decimal(18,2)",
    )
    follower = Follower(shop, warehouse, tmp_path / "lake", [mapped])
    shop.refund(1)
    follower.follow()
    shop.refund(2, "5.00")
    shop.execute("DELETE FROM refunds WHERE Refund_No = 1")
    follower.follow()
    assert [(row["refund_id"], str(row["amount"])) for row in follower.rows(mapped)] == [(2, "5.00")]
    assert follower.rows(mapped) == rows_in(polled(shop, tmp_path, [mapped]), mapped)


@pytest.mark.parametrize(
    ("read", "why"),
    [
        (DatabaseRead(query="SELECT 1"), "mapped to a query"),
        (DatabaseRead("refunds", columns={"currency": "'EUR'"}), "the expression 'EUR'"),
        (DatabaseRead("refunds", columns={"reason": "currency"}), "several of its columns are mapped to currency"),
    ],
)
def test_a_mapping_that_the_log_cannot_serve_is_refused(read: DatabaseRead, why: str) -> None:
    with pytest.raises(PermanentError, match=why):
        logged_table(raw_table(shop_db.Refunds, read), SqlSource("mysql://user@127.0.0.1/shop"))

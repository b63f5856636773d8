"""What every warehouse engine promises about tables, merges and transactions, on real DuckDB and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import PermanentError, TransientError
from resources.warehouse import ParquetRows, Rows, TableDefinition, Warehouse, open_warehouse
from resources.warehouse.system_tables import SYSTEM_TABLES

MOMENT = pa.timestamp("us", tz="UTC")
ORDERS = TableDefinition(
    schema="raw",
    name="shop_db__orders",
    columns=pa.schema([("order_id", pa.int64()), ("note", pa.string()), ("updated_at", MOMENT)]),
    key=("order_id",),
    comment="Orders, the shop's own",
    column_comments={"note": "What the customer wrote."},
)
EVERY_TYPE = TableDefinition(
    schema="raw",
    name="every_type",
    columns=pa.schema(
        [
            ("id", pa.int64()),
            ("text", pa.string()),
            ("amount", pa.decimal128(18, 2)),
            ("moment", MOMENT),
            ("local_time", pa.timestamp("us")),
            ("day", pa.date32()),
            ("flag", pa.bool_()),
            ("ratio", pa.float64()),
            ("small", pa.int32()),
            ("bytes", pa.binary()),
        ]
    ),
    key=("id",),
)

Row = tuple[int, str | None, int | None]


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        url = f"duckdb://{tmp_path}/warehouse/shop.duckdb"
    else:
        url = request.getfixturevalue("postgres_url")
    warehouse = open_warehouse(url)
    warehouse.prepare()
    return warehouse


def moment(day: int | None) -> datetime | None:
    return None if day is None else datetime(2026, 1, day, 12, 30, 15, 123456, tzinfo=UTC)


def orders(rows: Iterable[Row]) -> pa.Table:
    values = [(key, note, moment(day)) for key, note, day in rows]
    return pa.Table.from_pylist(
        [dict(zip(ORDERS.columns.names, row, strict=True)) for row in values], schema=ORDERS.columns
    )


_file_numbers = iter(range(1_000_000))


def landed(folder: Path, *batches: Sequence[Row]) -> list[Path]:
    """One Parquet file per batch of rows."""
    files = []
    for rows in batches:
        files.append(folder / f"{next(_file_numbers)}.parquet")
        pq.write_table(orders(rows), files[-1])
    return files


def merge(warehouse: Warehouse, folder: Path, *batches: Sequence[Row], order_by: str | None = "updated_at") -> int:
    with warehouse.transaction() as transaction:
        return transaction.merge(ORDERS, ParquetRows(landed(folder, *batches)), order_by=order_by)


def stored(warehouse: Warehouse) -> dict[int, tuple[str | None, int | None]]:
    rows = warehouse.query("SELECT order_id, note, updated_at FROM raw.shop_db__orders").to_pylist()
    assert len({row["order_id"] for row in rows}) == len(rows)
    return {row["order_id"]: (row["note"], row["updated_at"].day if row["updated_at"] else None) for row in rows}


@pytest.fixture
def with_orders(warehouse: Warehouse) -> Warehouse:
    warehouse.ensure_tables([ORDERS])
    return warehouse


def test_prepare_creates_the_platforms_own_tables_and_may_be_repeated(warehouse: Warehouse) -> None:
    warehouse.prepare()
    tables = warehouse.query(
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_schema IN ('ledger', 'quarantine', 'quality') ORDER BY 1, 2"
    ).to_pylist()
    assert [tuple(row.values()) for row in tables] == sorted((table.schema, table.name) for table in SYSTEM_TABLES)


def test_first_load_keeps_every_row(with_orders: Warehouse, tmp_path: Path) -> None:
    assert merge(with_orders, tmp_path, [(1, "a", 1), (2, None, None)], [(3, "c", 3)]) == 3
    assert stored(with_orders) == {1: ("a", 1), 2: (None, None), 3: ("c", 3)}


def test_first_load_of_repeated_keys_keeps_the_newest(with_orders: Warehouse, tmp_path: Path) -> None:
    assert merge(with_orders, tmp_path, [(1, "newest", 5), (2, "first", 2)], [(1, "older", 4), (2, "last", 2)]) == 2
    assert stored(with_orders) == {1: ("newest", 5), 2: ("last", 2)}


def test_a_newer_or_equal_row_replaces_and_an_older_one_does_not(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "old", 5), (2, "old", 5), (3, "old", 5), (4, "old", None), (5, "old", 5)])
    changed = [(1, "newer", 6), (2, "equal", 5), (3, "older", 4), (4, "null before", 1), (5, "null", None)]
    assert merge(with_orders, tmp_path, [*changed, (6, "new", 1)]) == 6
    assert stored(with_orders) == {
        1: ("newer", 6),
        2: ("equal", 5),
        3: ("old", 5),
        4: ("null before", 1),
        5: ("old", 5),
        6: ("new", 1),
    }


def test_without_an_order_the_last_row_read_wins(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "old", 9)], order_by=None)
    merge(with_orders, tmp_path, [(1, "first", 8)], [(1, "last", 1)], order_by=None)
    assert stored(with_orders) == {1: ("last", 1)}


def test_merging_the_same_files_again_changes_nothing(with_orders: Warehouse, tmp_path: Path) -> None:
    files = landed(tmp_path, [(1, "a", 1), (2, "b", 2)], [(1, "c", 3)])
    for _ in range(2):
        with with_orders.transaction() as transaction:
            assert transaction.merge(ORDERS, ParquetRows(files), order_by="updated_at") == 2
    assert stored(with_orders) == {1: ("c", 3), 2: ("b", 2)}


def test_empty_files_load_nothing(with_orders: Warehouse, tmp_path: Path) -> None:
    assert merge(with_orders, tmp_path, []) == 0
    merge(with_orders, tmp_path, [(1, "a", 1)])
    assert merge(with_orders, tmp_path, []) == 0
    assert stored(with_orders) == {1: ("a", 1)}


ROWS = st.lists(st.tuples(st.integers(1, 6), st.text("ab", max_size=2), st.none() | st.integers(1, 4)), max_size=8)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.lists(ROWS, min_size=1, max_size=3), min_size=1, max_size=3), ordered=st.booleans())
def test_any_history_of_merges_ends_as_the_rule_says(
    with_orders: Warehouse, tmp_path: Path, history: list[list[list[Row]]], ordered: bool
) -> None:
    with with_orders.transaction() as transaction:
        transaction.execute("DELETE FROM raw.shop_db__orders")
    expected: dict[int, tuple[str | None, int | None]] = {}
    for batch in history:
        # Nulls come first, and every row replaces what is not above it: the rule, row by row.
        newest: dict[int, tuple[str | None, int | None]] = {}
        for key, note, day in (row for rows in batch for row in rows):
            if not ordered or key not in newest or (day or 0) >= (newest[key][1] or 0):
                newest[key] = (note, day)
        for key, (note, day) in newest.items():
            if not ordered or key not in expected or (day or 0) >= (expected[key][1] or 0):
                expected[key] = (note, day)
        keys = merge(with_orders, tmp_path, *batch, order_by="updated_at" if ordered else None)
        assert keys == len(newest)
    assert stored(with_orders) == expected


def test_every_type_comes_back_as_it_went_in(warehouse: Warehouse, tmp_path: Path) -> None:
    rows = [
        (
            1,
            "größe 日本 🛒 \"quoted\", 'single' \\ tab\tline\n",
            Decimal("9999999999999999.99"),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 3, 29, 2, 30, 0, 1),  # noqa: DTZ001 - a local time has no zone
            date(1900, 2, 28),
            True,
            0.1,
            -(2**31),
            b"\x00\xff",
        ),
        (
            2**63 - 1,
            "",
            Decimal("-0.01"),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(1, 1, 1),  # noqa: DTZ001
            date(9999, 12, 31),
            False,
            -1e300,
            0,
            b"",
        ),
        (-(2**63), None, None, None, None, None, None, None, None, None),
        (
            4,
            "é",
            Decimal("0.00"),
            datetime(2000, 1, 1, tzinfo=UTC),
            None,
            date(2000, 1, 1),
            None,
            1.5,
            7,
            b"x",
        ),
    ]
    written = pa.Table.from_pylist(
        [dict(zip(EVERY_TYPE.columns.names, row, strict=True)) for row in rows], schema=EVERY_TYPE.columns
    )
    pq.write_table(written, tmp_path / "rows.parquet")
    warehouse.ensure_tables([EVERY_TYPE])
    with warehouse.transaction() as transaction:
        transaction.merge(EVERY_TYPE, ParquetRows([tmp_path / "rows.parquet"]))
    for _ in ("loaded", "merged again"):
        found = warehouse.query("SELECT * FROM raw.every_type ORDER BY id")
        assert found.schema.remove_metadata() == EVERY_TYPE.columns
        assert found.to_pylist() == written.sort_by("id").to_pylist()
        with warehouse.transaction() as transaction:
            transaction.merge(EVERY_TYPE, ParquetRows([tmp_path / "rows.parquet"]))


def test_a_file_with_smaller_types_fewer_and_further_columns_loads(with_orders: Warehouse, tmp_path: Path) -> None:
    table = pa.table(
        {"order_id": pa.array([1], pa.int32()), "else": ["x"], "note": pa.array(["n"]).cast("large_string")}
    )
    pq.write_table(table, tmp_path / "odd.parquet")
    with with_orders.transaction() as transaction:
        assert transaction.merge(ORDERS, ParquetRows([tmp_path / "odd.parquet"]), order_by="updated_at") == 1
    assert stored(with_orders) == {1: ("n", None)}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"order_id": [1.5]}, "column order_id holds double"),
        ({"order_id": [1], "updated_at": ["yesterday"]}, "column updated_at holds string"),
        ({"note": ["a"]}, "lack the key column order_id"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(
    with_orders: Warehouse, tmp_path: Path, columns: dict[str, list[Any]], message: str
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "wrong.parquet")
    with with_orders.transaction() as transaction, pytest.raises(PermanentError, match=message) as caught:
        transaction.merge(ORDERS, ParquetRows([tmp_path / "wrong.parquet"]), order_by="updated_at")
    assert "wrong.parquet" in caught.value.where
    assert stored(with_orders) == {}


def test_a_missing_or_damaged_file_is_named(with_orders: Warehouse, tmp_path: Path) -> None:
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 this is no Parquet")
    for name in ("missing.parquet", "damaged.parquet"):
        with pytest.raises(PermanentError) as caught, with_orders.transaction() as transaction:
            transaction.merge(ORDERS, ParquetRows([tmp_path / name]), order_by="updated_at")
        assert name in caught.value.where


class Interrupted(Exception):
    """What happens in the middle of a transaction."""


def load_and_fail(warehouse: Warehouse, files: list[Path]) -> None:
    with warehouse.transaction() as transaction:
        transaction.merge(ORDERS, ParquetRows(files), order_by="updated_at")
        transaction.append("ledger", "batches", pa.table({"batch_id": ["lost"]}))
        raise Interrupted


def test_an_error_inside_a_transaction_leaves_nothing(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "kept", 1)])
    with pytest.raises(Interrupted):
        load_and_fail(with_orders, landed(tmp_path, [(1, "lost", 2), (2, "lost", 2)]))
    assert stored(with_orders) == {1: ("kept", 1)}
    assert with_orders.query("SELECT * FROM ledger.batches").num_rows == 0


def test_a_failed_first_load_leaves_nothing_and_can_be_repeated(with_orders: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        load_and_fail(with_orders, landed(tmp_path, [(1, "lost", 2)]))
    assert stored(with_orders) == {}
    merge(with_orders, tmp_path, [(1, "kept", 1)])
    assert stored(with_orders) == {1: ("kept", 1)}


def test_a_transaction_sees_its_own_writes_and_others_do_not(with_orders: Warehouse, tmp_path: Path) -> None:
    count = "SELECT count(*) AS n FROM raw.shop_db__orders WHERE note = $1"
    merge(with_orders, tmp_path, [(1, "a", 1)])
    with with_orders.transaction() as transaction:
        transaction.merge(ORDERS, ParquetRows(landed(tmp_path, [(2, "a", 1)])), order_by="updated_at")
        assert transaction.query(count, ["a"]).to_pylist() == [{"n": 2}]
        assert with_orders.query(count, ["a"]).to_pylist() == [{"n": 1}]
    assert with_orders.query(count, ["a"]).to_pylist() == [{"n": 2}]


def test_append_matches_columns_by_name(warehouse: Warehouse) -> None:
    rows = pa.table({"finished_at": pa.array([moment(3)], MOMENT), "batch_id": ["b-1"], "rows_read": [7]})
    with warehouse.transaction() as transaction:
        transaction.append("ledger", "batches", rows)
        transaction.append("ledger", "batches", rows.slice(0, 0))
    found = warehouse.query("SELECT batch_id, source, rows_read, finished_at FROM ledger.batches").to_pylist()
    assert found == [{"batch_id": "b-1", "source": None, "rows_read": 7, "finished_at": moment(3)}]


def test_query_cannot_write(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "a", 1)])
    with pytest.raises(PermanentError, match="would change data"):
        with_orders.query("DELETE FROM raw.shop_db__orders")
    with with_orders.transaction(), pytest.raises(PermanentError, match="would change data"):
        with_orders.query("DELETE FROM raw.shop_db__orders")
    assert stored(with_orders) == {1: ("a", 1)}


def test_a_mistake_in_sql_is_told_with_its_words(warehouse: Warehouse) -> None:
    for sql in ("SELECT * FROM raw.no_such_table", "SELECT no_such_column FROM ledger.batches", "SELEKT 1"):
        with pytest.raises(PermanentError, match=r"no_such|SELEKT"):
            warehouse.query(sql)


def test_ensure_tables_adds_columns_and_keeps_rows(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "a", 1)])
    wider = TableDefinition(
        schema=ORDERS.schema,
        name=ORDERS.name,
        columns=ORDERS.columns.append(pa.field("total_amount", pa.decimal128(18, 2))),
        key=ORDERS.key,
        comment="It's the shop's",
        column_comments={"total_amount": "With tax."},
    )
    with_orders.ensure_tables([wider])
    with_orders.ensure_tables([wider])
    found = with_orders.query("SELECT order_id, total_amount FROM raw.shop_db__orders").to_pylist()
    assert found == [{"order_id": 1, "total_amount": None}]


def test_ensure_tables_writes_only_when_something_is_to_do(
    with_orders: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden() -> None:
        raise AssertionError("a transaction was opened")

    monkeypatch.setattr(with_orders, "transaction", forbidden)
    with_orders.ensure_tables([ORDERS])
    with_orders.prepare()


def test_a_column_of_another_type_is_not_converted_silently(with_orders: Warehouse) -> None:
    changed = TableDefinition("raw", "shop_db__orders", pa.schema([("order_id", pa.string())]), ("order_id",))
    with pytest.raises(PermanentError, match=r"column order_id is (?i:bigint)"):
        with_orders.ensure_tables([changed])


def test_writers_wait_for_each_other(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "0", 1)])

    def count_up() -> None:
        for _ in range(5):
            with with_orders.transaction() as transaction:
                value = transaction.query("SELECT note FROM raw.shop_db__orders")["note"][0].as_py()
                transaction.execute("UPDATE raw.shop_db__orders SET note = $1", [str(int(value) + 1)])

    threads = [threading.Thread(target=count_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(with_orders)[1][0] == "15"


def test_queries_go_on_while_writers_come_and_go(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "0", 1)])
    done, errors = threading.Event(), []

    def ask() -> None:
        try:
            while not done.is_set():
                with_orders.query("SELECT count(*), min(note) FROM raw.shop_db__orders")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        with with_orders.transaction() as transaction:
            transaction.execute("UPDATE raw.shop_db__orders SET note = $1", [str(number)])
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert stored(with_orders)[1][0] == "19"


def test_a_writer_that_waits_too_long_is_told_who_writes(with_orders: Warehouse) -> None:
    impatient = open_warehouse(with_orders.url, lock_timeout=0.1)
    caught: list[BaseException] = []

    def write() -> None:
        try:
            with impatient.transaction():
                pass
        except TransientError as error:
            caught.append(error)

    with with_orders.transaction():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert "still in use by another writer" in str(caught[0])
    write()
    assert len(caught) == 1


def test_the_holder_of_the_writer_lock_may_write_and_query(with_orders: Warehouse, tmp_path: Path) -> None:
    with with_orders.writer_lock(), with_orders.writer_lock():
        merge(with_orders, tmp_path, [(1, "a", 1)])
        assert stored(with_orders) == {1: ("a", 1)}
    with with_orders.transaction(), pytest.raises(RuntimeError, match="already has a transaction"):  # noqa: SIM117
        with with_orders.transaction():
            pass
    merge(with_orders, tmp_path, [(2, "b", 1)])


def test_only_rows_that_are_missing_are_added(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, "first", 1)])
    with with_orders.transaction() as transaction:
        files = landed(tmp_path, [(1, "other", 2), (2, "new", 2)], [(2, "new", 2)])
        added = transaction.add_missing(ORDERS, ParquetRows(files))
    assert added == 1
    assert stored(with_orders) == {1: ("first", 1), 2: ("new", 2)}
    with with_orders.transaction() as transaction:
        assert transaction.add_missing(ORDERS, ParquetRows(files)) == 0


def test_marking_sets_values_in_rows_that_are_there_and_not_marked_yet(with_orders: Warehouse, tmp_path: Path) -> None:
    merge(with_orders, tmp_path, [(1, None, 1), (2, "marked before", 1), (3, None, 1)])
    keys = tmp_path / "keys.parquet"
    pq.write_table(pa.table({"order_id": pa.array([1, 2, 99], pa.int64())}), keys)
    with with_orders.transaction() as transaction:
        values = {"note": "marked", "updated_at": moment(5)}
        assert transaction.mark(ORDERS, ParquetRows([keys]), values, unless="note") == 1
        assert transaction.mark(ORDERS, ParquetRows([keys]), values, unless="note") == 0
    assert stored(with_orders) == {1: ("marked", 5), 2: ("marked before", 1), 3: (None, 1)}


class Coming(Rows):
    """Rows that are still being made while they are loaded."""

    columns = ORDERS.columns
    name = "the rows"

    def __init__(self, *batches: Sequence[Row], failure: BaseException | None = None) -> None:
        self._batches = batches
        self._failure = failure
        self.passes = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        self.passes += 1
        for rows in self._batches:
            yield from orders(rows).to_batches()
        if self._failure:
            raise self._failure


@pytest.mark.parametrize("before", [[], [(7, "there", 1)]])
def test_rows_are_loaded_as_they_come_and_of_repeated_ones_the_last(
    with_orders: Warehouse, tmp_path: Path, before: list[Row]
) -> None:
    merge(with_orders, tmp_path, before)
    rows = Coming([(1, "old", 1), (2, "only", 1)], [(1, "new", 1)])
    with with_orders.transaction() as transaction:
        assert transaction.merge(ORDERS, rows, order_by="updated_at") == 2
    assert rows.passes == (1 if before else 2)
    assert stored(with_orders) == {1: ("new", 1), 2: ("only", 1), **{n: (t, d) for n, t, d in before}}


@pytest.mark.parametrize("before", [[], [(7, "there", 1)]])
def test_what_breaks_while_the_rows_come_is_raised_as_it_is_and_nothing_is_loaded(
    with_orders: Warehouse, tmp_path: Path, before: list[Row]
) -> None:
    merge(with_orders, tmp_path, before)
    failure = TransientError("the source went away", where="there", remedy="wait")
    with pytest.raises(TransientError) as caught, with_orders.transaction() as transaction:
        transaction.merge(ORDERS, Coming([(1, "lost", 1)], failure=failure), order_by="updated_at")
    assert caught.value is failure
    assert stored(with_orders) == {n: (t, d) for n, t, d in before}


def test_queries_within_a_reading_see_what_is_there_and_a_write_within_is_refused_at_once(
    with_orders: Warehouse, tmp_path: Path
) -> None:
    merge(with_orders, tmp_path, [(1, "a", 1)])
    count = f"SELECT count(*) FROM {ORDERS}"
    with with_orders.reading():
        assert with_orders.query(count).column(0)[0].as_py() == 1
        assert with_orders.query("SELECT 2 AS two").to_pylist() == [{"two": 2}]
    merge(with_orders, tmp_path, [(2, "b", 1)])
    with pytest.raises(PermanentError), with_orders.reading():
        with_orders.query("SELECT nothing FROM nowhere")
    with with_orders.reading():
        assert with_orders.query(count).column(0)[0].as_py() == 2
        with pytest.raises(RuntimeError, match="only reads"), with_orders.transaction():
            pass

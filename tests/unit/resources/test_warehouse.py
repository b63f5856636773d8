"""What the warehouse package decides without a database: URLs, fitting types, locks and texts of errors."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from resources.errors import PermanentError, TransientError
from resources.warehouse import TableDefinition, open_warehouse
from resources.warehouse.file_lock import file_lock
from resources.warehouse.rows import StrictlyRising, fits_without_loss


@pytest.mark.parametrize(
    "url",
    ["snowflake://account/db", "warehouse.duckdb", "", "duckdb://relative/path.duckdb", "duckdb:///a.duckdb?thread=2"],
)
def test_a_url_that_names_no_warehouse_is_refused(url: str) -> None:
    with pytest.raises(PermanentError) as caught:
        open_warehouse(url)
    assert "duckdb:///absolute/path.duckdb" in caught.value.remedy


def test_opening_a_warehouse_touches_nothing(tmp_path: Path) -> None:
    assert open_warehouse(f"duckdb://{tmp_path}/a/shop.duckdb?memory_limit=2GB&threads=1").dialect == "duckdb"
    assert open_warehouse("postgresql://user:secret@127.0.0.1:1/none").dialect == "postgres"
    assert list(tmp_path.iterdir()) == []


def test_a_definition_with_a_key_that_is_no_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"raw\.orders has no column id"):
        TableDefinition("raw", "orders", pa.schema([("order_id", pa.int64())]), ("id",))


UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (pa.null(), pa.int64()),
        (pa.int32(), pa.int64()),
        (pa.uint32(), pa.int64()),
        (pa.large_string(), pa.string()),
        (pa.dictionary(pa.int32(), pa.string()), pa.string()),
        (pa.decimal128(10, 2), pa.decimal128(18, 2)),
        (pa.decimal128(18, 1), pa.decimal128(19, 2)),
        (pa.timestamp("ms", tz="UTC"), UTC_MICROSECONDS),
        (pa.float32(), pa.float64()),
    ],
)
def test_types_that_fit(found: pa.DataType, wanted: pa.DataType) -> None:
    assert fits_without_loss(found, wanted)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (pa.uint64(), pa.int64()),
        (pa.int64(), pa.int32()),
        (pa.float64(), pa.decimal128(18, 2)),
        (pa.decimal128(18, 4), pa.decimal128(18, 2)),
        (pa.decimal128(18, 1), pa.decimal128(18, 2)),
        (pa.decimal128(38, 2), pa.decimal128(18, 2)),
        (pa.timestamp("us"), UTC_MICROSECONDS),
        (pa.timestamp("ns", tz="UTC"), UTC_MICROSECONDS),
        (pa.string(), pa.int64()),
        (pa.int64(), pa.string()),
    ],
)
def test_types_that_would_lose_something(found: pa.DataType, wanted: pa.DataType) -> None:
    assert not fits_without_loss(found, wanted)


def test_readers_share_the_lock_and_a_writer_excludes_them(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with file_lock(lock, exclusive=False, timeout=0), file_lock(lock, exclusive=False, timeout=0):  # noqa: SIM117
        with pytest.raises(TransientError), file_lock(lock, exclusive=True, timeout=0):
            pass
    with file_lock(lock, exclusive=True, timeout=0), pytest.raises(TransientError, match="process"):  # noqa: SIM117
        with file_lock(lock, exclusive=False, timeout=0):
            pass
    with file_lock(lock, exclusive=True, timeout=0):
        pass


def test_who_comes_later_does_not_overtake_a_waiting_writer(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    waits, events = threading.Event(), []

    def write() -> None:
        waits.set()
        with file_lock(lock, exclusive=True, timeout=60):
            events.append("writer")

    with file_lock(lock, exclusive=False, timeout=0):
        writer = threading.Thread(target=write)
        writer.start()
        waits.wait()
        # Once the writer stands in the queue a further reader, who could share the lock, has to wait too.
        while True:
            try:
                with file_lock(lock, exclusive=False, timeout=0):
                    assert events == []
            except TransientError:
                break
    with file_lock(lock, exclusive=False, timeout=60):
        events.append("reader")
    writer.join()
    assert events == ["writer", "reader"]


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        ([[1, 2, 5], [6], [7, 8]], True),
        ([[1], [], [2]], True),
        ([], True),
        ([[1, 2, 2]], False),
        ([[1, 3, 2]], False),
        ([[1, 2], [2, 3]], False),
        ([[1, 5], [4, 6]], False),
        ([[1, None, 3]], False),
        ([[None], [1]], False),
        ([["a", "b"], ["c"]], True),
        ([["a", "b"], ["b"]], False),
    ],
)
def test_a_key_that_rises_from_row_to_row_is_known_from_one_that_may_come_twice(
    batches: list[list[Any]], expected: bool
) -> None:
    rising = StrictlyRising(["key"])
    for values in batches:
        rising.see(pa.RecordBatch.from_pydict({"key": values}))
    assert bool(rising) is expected
    assert not StrictlyRising(["a", "b"])

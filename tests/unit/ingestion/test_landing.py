"""A batch is read, judged and landed beside its loading, and whatever happens to one is told to the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.errors import PermanentError
from resources.reading import Chunk
from shopsphere_assets.contracts import shop_db
from shopsphere_assets.ingestion import lake
from shopsphere_assets.ingestion.lake import BatchWriter
from shopsphere_assets.ingestion.landing import Landing, StartedAnew
from tests.raw_tables import good_row, raw_table, text_chunk

ORDERS = raw_table(shop_db.Orders)
RESTART = Chunk(rows=pl.DataFrame(), bytes_read=0, restart=True)


def chunk(*order_ids: int) -> Chunk:
    return text_chunk(ORDERS, *(good_row(ORDERS) | {"order_id": str(n)} for n in order_ids))


def orders_in(batches: Iterator[pa.RecordBatch]) -> list[int]:
    return [order_id for batch in batches for order_id in batch.column("order_id").to_pylist()]


@pytest.fixture(autouse=True)
def _parts_of_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "_ROWS_PER_PART", 2)
    # Every chunk goes on its way as it is.
    monkeypatch.setattr("shopsphere_assets.ingestion.landing.gathered", lambda chunks: chunks)


@pytest.fixture
def writer(tmp_path: Path) -> BatchWriter:
    return BatchWriter(tmp_path, ORDERS, "batch", datetime(2026, 3, 1, tzinfo=UTC))


def test_rows_can_be_loaded_before_the_next_are_read(writer: BatchWriter) -> None:
    is_loaded = [threading.Event(), threading.Event()]

    def chunks() -> Iterator[Chunk]:
        yield chunk(1, 2)
        assert is_loaded[0].wait(60), "the first rows were not handed over while the source still gave some"
        yield chunk(3)
        assert is_loaded[1].wait(60), "nor those that are in no complete file yet"
        yield chunk(4)

    with Landing(ORDERS, chunks(), writer, None) as landing:
        batches = landing.batches()
        assert orders_in(iter([next(batches)])) == [1, 2]
        is_loaded[0].set()
        assert orders_in(iter([next(batches)])) == [3]
        is_loaded[1].set()
        assert orders_in(batches) == [4]
        assert orders_in(landing.batches()) == [1, 2, 3, 4], "all may be asked for again"
        landed = writer.commit()
        assert landed.rows_valid == 4
        assert pq.read_table(landed.parts).column("order_id").to_pylist() == [1, 2, 3, 4]


def test_nobody_who_waits_for_the_warehouse_keeps_the_source_waiting(writer: BatchWriter) -> None:
    is_read = threading.Event()

    def chunks() -> Iterator[Chunk]:
        yield from (chunk(number) for number in range(1, 21))
        is_read.set()

    with Landing(ORDERS, chunks(), writer, None) as landing:
        assert is_read.wait(60)
        assert orders_in(landing.batches()) == list(range(1, 21))


def test_an_error_of_the_source_reaches_whoever_loads(writer: BatchWriter, tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk]:
        yield chunk(1, 2)
        raise PermanentError("the source broke", where="here", remedy="mend it")

    with Landing(ORDERS, chunks(), writer, None) as landing:
        batches = landing.batches()
        assert orders_in(iter([next(batches)])) == [1, 2]
        with pytest.raises(PermanentError, match="the source broke"):
            next(batches)
    assert list((tmp_path / "shop_db" / "orders").iterdir()) == []


def test_a_source_read_anew_is_loaded_anew(writer: BatchWriter) -> None:
    goes_on = threading.Event()

    def chunks() -> Iterator[Chunk]:
        yield chunk(1, 2)
        assert goes_on.wait(60)
        yield chunk(3)
        yield RESTART
        yield chunk(8, 9)

    with Landing(ORDERS, chunks(), writer, None) as landing:
        assert landing.has_rows()
        batches = landing.batches()
        assert orders_in(iter([next(batches)])) == [1, 2]
        goes_on.set()
        with pytest.raises(StartedAnew):
            list(batches)
        assert landing.has_rows()
        assert orders_in(landing.batches()) == [8, 9]
        assert writer.commit().rows_valid == 2


def test_a_restart_before_anything_was_handed_over_goes_unnoticed(writer: BatchWriter) -> None:
    with Landing(ORDERS, iter([chunk(1), RESTART, chunk(2)]), writer, None) as landing:
        assert landing.has_rows()
        assert orders_in(landing.batches()) == [2]


def test_loading_that_ends_early_ends_the_reading(writer: BatchWriter, tmp_path: Path) -> None:
    read = []

    def endless() -> Iterator[Chunk]:
        number = 0
        while True:
            number += 1
            read.append(number)
            yield chunk(number)

    with Landing(ORDERS, endless(), writer, None) as landing:
        assert landing.has_rows()
    count = len(read)
    assert list((tmp_path / "shop_db" / "orders").iterdir()) == []
    assert len(read) == count


def test_deleted_keys_are_landed_in_the_contracts_types(writer: BatchWriter) -> None:
    gone = Chunk(rows=pl.DataFrame(), bytes_read=0, deleted=pl.DataFrame({"order_id": ["7", "none", None]}))
    with Landing(ORDERS, iter([gone]), writer, None) as landing:
        assert not landing.has_rows()
        landed = writer.commit()
        assert landed.deleted is not None
        assert pq.read_table(landed.deleted).to_pylist() == [{"order_id": 7}]

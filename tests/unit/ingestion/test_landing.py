"""A batch is read, judged and landed beside its loading, and whatever happens to one is told to the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
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


def orders_in(files: Iterator[Path] | list[Path]) -> list[list[int]]:
    return [pq.read_table(file).column("order_id").to_pylist() for file in files]


@pytest.fixture(autouse=True)
def _parts_of_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake, "_ROWS_PER_PART", 2)
    # Every chunk goes on its way as it is.
    monkeypatch.setattr("shopsphere_assets.ingestion.landing.gathered", lambda chunks: chunks)


@pytest.fixture
def writer(tmp_path: Path) -> BatchWriter:
    return BatchWriter(tmp_path, ORDERS, "batch", datetime(2026, 3, 1, tzinfo=UTC))


def test_a_file_can_be_loaded_before_the_next_is_read(writer: BatchWriter) -> None:
    is_loaded = threading.Event()

    def chunks() -> Iterator[Chunk]:
        yield chunk(1, 2)
        assert is_loaded.wait(60), "the first file was not handed over while the source still gave rows"
        yield chunk(3)

    with Landing(ORDERS, chunks(), writer, None) as landing:
        parts = landing.parts()
        assert orders_in([next(parts)]) == [[1, 2]]
        is_loaded.set()
        assert orders_in(parts) == [[3]]
        assert list(landing.parts()) == []
        assert writer.commit().rows_valid == 3


def test_an_error_of_the_source_reaches_whoever_loads(writer: BatchWriter, tmp_path: Path) -> None:
    def chunks() -> Iterator[Chunk]:
        yield chunk(1, 2)
        raise PermanentError("the source broke", where="here", remedy="mend it")

    with Landing(ORDERS, chunks(), writer, None) as landing:
        parts = landing.parts()
        assert orders_in([next(parts)]) == [[1, 2]]
        with pytest.raises(PermanentError, match="the source broke"):
            next(parts)
    assert list((tmp_path / "shop_db" / "orders").iterdir()) == []


def test_a_source_read_anew_is_loaded_anew(writer: BatchWriter) -> None:
    goes_on = threading.Event()

    def chunks() -> Iterator[Chunk]:
        yield chunk(1, 2)
        assert goes_on.wait(60)
        yield RESTART
        yield chunk(8, 9)

    with Landing(ORDERS, chunks(), writer, None) as landing:
        assert landing.has_part()
        parts = landing.parts()
        first = next(parts)
        goes_on.set()
        with pytest.raises(StartedAnew):
            next(parts)
        # What is being loaded is not pulled away.
        assert orders_in([first]) == [[1, 2]]
        assert landing.has_part()
        assert orders_in(landing.parts()) == [[8, 9]]
        assert writer.commit().rows_valid == 2


def test_a_restart_before_anything_was_handed_over_goes_unnoticed(writer: BatchWriter) -> None:
    with Landing(ORDERS, iter([chunk(1), RESTART, chunk(2)]), writer, None) as landing:
        assert landing.has_part()
        assert orders_in(landing.parts()) == [[2]]


def test_loading_that_ends_early_ends_the_reading(writer: BatchWriter, tmp_path: Path) -> None:
    read = []

    def endless() -> Iterator[Chunk]:
        number = 0
        while True:
            number += 1
            read.append(number)
            yield chunk(number)

    with Landing(ORDERS, endless(), writer, None) as landing:
        assert landing.has_part()
    count = len(read)
    assert list((tmp_path / "shop_db" / "orders").iterdir()) == []
    assert len(read) == count


def test_deleted_keys_are_landed_in_the_contracts_types(writer: BatchWriter) -> None:
    gone = Chunk(rows=pl.DataFrame(), bytes_read=0, deleted=pl.DataFrame({"order_id": ["7", "none", None]}))
    with Landing(ORDERS, iter([gone]), writer, None) as landing:
        assert not landing.has_part()
        landed = writer.commit()
        assert landed.deleted is not None
        assert pq.read_table(landed.deleted).to_pylist() == [{"order_id": 7}]

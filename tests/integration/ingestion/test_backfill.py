"""Backfill: a range that is read again repairs what was tampered with, and nothing newer is lost by it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pymysql
import pytest

from resources.errors import PermanentError
from resources.file_source import Csv, FileSource
from resources.http_source import Endpoint, HttpSource, Since
from resources.reading import POSITION, Chunk
from resources.sql_source import SqlSource
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.contracts.base import Contract, Timestamp, column, moment
from shopsphere_assets.ingestion import backfill as backfill_module
from shopsphere_assets.ingestion.backfill import Backfill, Range, backfill, check_range
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.extract import Source
from shopsphere_assets.ingestion.ledger import TableState, read_state
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, HttpRead, RawTable
from shopsphere_assets.ingestion.replay import replay

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Things(Contract):
    """Things with a number."""

    thing_id: pl.Int64 = column("Number.")
    amount: pl.Int64 = column("Amount.", ge=0)
    updated_at: Timestamp = moment("When it changed.")


class Words(Contract):
    """Things with a name."""

    thing_id: str = column("Name.")
    amount: pl.Int64 = column("Amount.", ge=0)
    updated_at: Timestamp = moment("When it changed.")


THINGS = RawTable("shop", "things", Things, ("thing_id",), "updated_at", DatabaseRead("things"))
WORDS = RawTable("shop", "things", Words, ("thing_id",), "updated_at", DatabaseRead("things"))
FILES = RawTable("shop", "things", Things, ("thing_id",), "updated_at", FileRead("in/*.csv", Csv()))

_FIELDS = {"thing_id": "id", "amount": "amount", "updated_at": "at"}
RANGED = RawTable(
    "shop",
    "things",
    Things,
    ("thing_id",),
    "updated_at",
    HttpRead((Endpoint("/things", _FIELDS, since=Since("after")),)),
)
UNRANGED = RawTable("shop", "things", Things, ("thing_id",), "updated_at", HttpRead((Endpoint("/things", _FIELDS),)))


class Shop:
    """A database with one table, ``things``, whose key is a number or a text."""

    def __init__(self, url: str, key_type: str = "bigint") -> None:
        self.source = SqlSource(url)
        self._url = url
        at = {"mysql": "datetime(6)", "postgresql": "timestamptz", "sqlite": "TEXT"}[self.source.dialect]
        self.execute(f"CREATE TABLE things (thing_id {key_type} PRIMARY KEY, amount bigint, updated_at {at} NULL)")

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        parts = urlsplit(self._url)
        connection: Any
        match self.source.dialect:
            case "mysql":
                connection = pymysql.connect(
                    host="127.0.0.1",
                    port=parts.port or 3306,
                    user=parts.username,
                    password=parts.password or "",
                    database=parts.path[1:],
                )
            case "postgresql":
                connection = psycopg.connect(self._url)
            case "sqlite":
                connection = sqlite3.connect(parts.path)
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()

    def execute(self, statement: str, rows: Sequence[Sequence[Any]] = ((),)) -> None:
        if self.source.dialect == "sqlite":
            statement = statement.replace("%s", "?")
        with self._connection() as connection:
            cursor = connection.cursor()
            for row in rows:
                cursor.execute(statement, tuple(row))

    def put(self, *rows: tuple[Any, int, datetime]) -> None:
        texts = [(key, amount, at.isoformat(" ").removesuffix("+00:00")) for key, amount, at in rows]
        if self.source.dialect == "postgresql":
            texts = [(key, amount, f"{at}+00") for key, amount, at in texts]
        self.execute("INSERT INTO things VALUES (%s, %s, %s)", texts)


@dataclass
class Pipe:
    """A source, a warehouse, and a backfill from the one into the other."""

    source: Source
    destination: Destination
    table: RawTable = THINGS

    @property
    def warehouse(self) -> Warehouse:
        return self.destination.warehouse

    def state(self) -> TableState:
        return read_state(self.warehouse, [self.table])[self.table.name]

    def load(self) -> None:
        ingest(self.table, self.source, self.destination, state=self.state(), run_id="run", lookback=timedelta(0))

    def backfill(self, **wanted: Any) -> Backfill:
        return backfill(
            self.table, self.source, self.destination, Range(**wanted), state=self.state(), run_id="backfill"
        )

    def tamper(self, where: str = "true") -> None:
        with self.warehouse.transaction() as transaction:
            transaction.execute(f"UPDATE raw.shop__things SET amount = 999 WHERE {where}")

    def amounts(self) -> dict[Any, int]:
        rows = self.warehouse.query("SELECT thing_id, amount FROM raw.shop__things ORDER BY thing_id").to_pylist()
        return {row["thing_id"]: row["amount"] for row in rows}


def opened(url: str) -> Warehouse:
    warehouse = open_warehouse(url)
    warehouse.prepare()
    return warehouse


@pytest.fixture(params=["sqlite to duckdb", "mariadb to postgresql", "postgresql to duckdb"])
def shop_and_pipe(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Shop, Pipe]:
    source, _, target = request.param.split()
    if source == "sqlite":
        url = f"sqlite://{tmp_path}/shop.db"
    elif source == "mariadb":
        url = request.getfixturevalue("mariadb_url")
    else:
        url = request.getfixturevalue("postgres_url")
    store = f"duckdb://{tmp_path}/warehouse.duckdb"
    if target == "postgresql":
        store = request.getfixturevalue("postgres_url")
    shop = Shop(url)
    pipe = Pipe(shop.source, Destination(opened(store), tmp_path / "lake"))
    pipe.warehouse.ensure_tables(THINGS.definitions)
    return shop, pipe


def test_a_range_of_time_is_repaired_and_newer_rows_and_the_watermark_stay(shop_and_pipe: tuple[Shop, Pipe]) -> None:
    shop, pipe = shop_and_pipe
    shop.put(*((number, number, NOON + number * HOUR) for number in range(10)))
    pipe.load()
    pipe.tamper()
    with pipe.warehouse.transaction() as transaction:
        # A version that came by another way, newer than what the source is asked for.
        transaction.execute(
            "UPDATE raw.shop__things SET amount = 5000, updated_at = $1 WHERE thing_id = 5", [NOON + 99 * HOUR]
        )
    found = pipe.backfill(since=NOON + 3 * HOUR, until=NOON + 7 * HOUR)
    assert found.total("rows_read") == 4
    assert pipe.amounts() == {0: 999, 1: 999, 2: 999, 3: 3, 4: 4, 5: 5000, 6: 6, 7: 999, 8: 999, 9: 999}
    [batch] = found.batches
    assert (batch.kind, batch.watermark) == ("backfill", NOON + 9 * HOUR)
    assert pipe.state().watermark == NOON + 9 * HOUR


def test_a_range_of_keys_is_repaired(shop_and_pipe: tuple[Shop, Pipe]) -> None:
    shop, pipe = shop_and_pipe
    shop.put(*((number, number, NOON) for number in range(10)))
    pipe.load()
    pipe.tamper()
    pipe.backfill(key_from="2", key_to="3")
    pipe.backfill(key_from="9", since=NOON)
    repaired = {2, 3, 9}
    assert pipe.amounts() == {number: number if number in repaired else 999 for number in range(10)}


def test_without_a_range_all_is_read_in_several_batches(
    shop_and_pipe: tuple[Shop, Pipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, pipe = shop_and_pipe
    shop.put(*((number, number, NOON) for number in range(1000)))
    shop.put((2000, -1, NOON))
    pipe.load()
    pipe.tamper()
    monkeypatch.setattr(backfill_module, "_ROWS_A_BATCH", 300)
    monkeypatch.setattr("resources.sql_source.BATCH_ROWS", 200)
    found = pipe.backfill()
    assert pipe.amounts() == {number: number for number in range(1000)}
    assert (found.total("rows_read"), found.total("rows_quarantined")) == (1001, 1)
    assert len(found.batches) > 1
    # What the lake holds of it gives the same again.
    again = replay(THINGS, pipe.destination, run_id="replay")
    assert (again.rows_set_right, again.rows_removed) == (0, 0)


def test_a_range_of_text_keys_follows_the_sources_order(tmp_path: Path, mariadb_url: str) -> None:
    shop = Shop(mariadb_url, "varchar(20)")
    shop.put(*((name, 1, NOON) for name in ("a", "b'\\", "c", "d")))
    pipe = Pipe(shop.source, Destination(opened(f"duckdb://{tmp_path}/warehouse.duckdb"), tmp_path / "lake"), WORDS)
    pipe.warehouse.ensure_tables(WORDS.definitions)
    pipe.load()
    pipe.tamper()
    pipe.backfill(key_from="b'\\", key_to="c")
    assert pipe.amounts() == {"a": 999, "b'\\": 1, "c": 1, "d": 999}


def test_a_range_without_rows_leaves_no_batch(shop_and_pipe: tuple[Shop, Pipe]) -> None:
    shop, pipe = shop_and_pipe
    shop.put((1, 1, NOON))
    pipe.load()
    assert pipe.backfill(until=NOON).batches == []
    assert pipe.warehouse.query("SELECT 1 FROM ledger.batches").num_rows == 1


def test_other_tables_are_loaded_between_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(f"sqlite://{tmp_path}/shop.db")
    shop.put(*((number, number, NOON) for number in range(10)))
    pipe = Pipe(shop.source, Destination(opened(f"duckdb://{tmp_path}/warehouse.duckdb"), tmp_path / "lake"))
    other = RawTable("shop", "others", Things, ("thing_id",), "updated_at", DatabaseRead("things"))
    pipe.warehouse.ensure_tables([THINGS.definition, other.definition])
    monkeypatch.setattr(backfill_module, "_ROWS_A_BATCH", 1)
    monkeypatch.setattr("resources.sql_source.BATCH_ROWS", 5)
    loading = threading.Thread(
        target=lambda: ingest(other, shop.source, pipe.destination, state=TableState(), run_id="run")
    )
    chunks = backfill_module._of_database

    def slow(*arguments: Any) -> Iterator[Chunk]:
        for number, chunk in enumerate(chunks(*arguments)):
            if number == 1:
                loading.start()
                # Would wait for ever if the backfill held the warehouse while it reads.
                loading.join()
            yield chunk

    monkeypatch.setattr(backfill_module, "_of_database", slow)
    assert len(pipe.backfill().batches) == 2
    kinds = pipe.warehouse.query("SELECT kind FROM ledger.batches ORDER BY sequence").column(0).to_pylist()
    assert kinds == ["backfill", "full", "backfill"]


@pytest.fixture
def folder(tmp_path: Path) -> Pipe:
    """Three files, a day apart, that were read."""
    (tmp_path / "in").mkdir()
    for number in (1, 2, 3):
        path = tmp_path / "in" / f"things-{number}.csv"
        path.write_text(f"thing_id,amount,updated_at\n{number},{number},{NOON.isoformat()}\n")
        at = (NOON + number * 24 * HOUR).timestamp()
        os.utime(path, (at, at))
    destination = Destination(opened(f"duckdb://{tmp_path}/warehouse.duckdb"), tmp_path / "lake")
    pipe = Pipe(FileSource(tmp_path), destination, FILES)
    pipe.warehouse.ensure_tables(FILES.definitions)
    pipe.load()
    pipe.tamper()
    return pipe


def test_files_are_read_again_by_path_and_by_date(folder: Pipe) -> None:
    folder.backfill(files="in/things-2*")
    assert folder.amounts() == {1: 999, 2: 2, 3: 999}
    folder.backfill(since=NOON + 3 * 24 * HOUR)
    assert folder.amounts() == {1: 999, 2: 2, 3: 3}
    folder.backfill(until=NOON + 2 * 24 * HOUR)
    assert folder.amounts() == {1: 1, 2: 2, 3: 3}


def test_a_range_without_files_says_how_paths_are_written(folder: Pipe) -> None:
    with pytest.raises(PermanentError, match="none of the 3 files") as caught:
        folder.backfill(files="things-2*")
    assert "in/things-3.csv" in caught.value.remedy


def test_an_api_is_asked_since_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[datetime | None] = []

    def read(_self: HttpSource, _endpoint: Endpoint, since: datetime | None = None) -> Iterator[Chunk]:
        asked.append(since)
        row = {"thing_id": "1", "amount": "7", "updated_at": NOON.isoformat(), POSITION: "page 1 item 1"}
        yield Chunk(pl.DataFrame([row]), 1)

    monkeypatch.setattr(HttpSource, "read", read)
    destination = Destination(opened(f"duckdb://{tmp_path}/warehouse.duckdb"), tmp_path / "lake")
    pipe = Pipe(HttpSource("http://127.0.0.1:1"), destination, RANGED)
    pipe.warehouse.ensure_tables(RANGED.definitions)
    pipe.backfill(since=NOON - HOUR)
    assert asked == [NOON - HOUR]
    assert pipe.amounts() == {1: 7}


PAIRS = RawTable("shop", "things", Things, ("thing_id", "amount"), "updated_at", DatabaseRead("things"))


@pytest.mark.parametrize(
    ("table", "wanted", "what"),
    [
        (THINGS, Range(since=NOON, until=NOON), "ends before it begins"),
        (THINGS, Range(key_from="10", key_to="9"), "ends before it begins"),
        (THINGS, Range(key_from="ten"), "thing_id is a whole number"),
        (THINGS, Range(files="*.csv"), "cannot be read by --files: a database table has no files"),
        (PAIRS, Range(key_to="1"), "the key has several columns"),
        (FILES, Range(key_from="1", key_to="2"), "cannot be read by --key-from, --key-to: files are chosen"),
        (RANGED, Range(since=NOON, until=NOON + HOUR), "cannot be read by --to: its API gives all that changed since"),
        (UNRANGED, Range(since=NOON), "cannot be read by --from: its API cannot be asked for a part"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(table: RawTable, wanted: Range, what: str) -> None:
    with pytest.raises(PermanentError, match=what):
        check_range(table, wanted)

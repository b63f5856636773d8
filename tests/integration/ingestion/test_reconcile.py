"""Reconciliation on real databases: what is gone or set back at the source is found, and nothing else is touched."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import psycopg
import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.errors import TransientError
from resources.http_source import HttpSource
from resources.sql_source import SqlSource
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.contracts.base import Contract, Timestamp, column, moment
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.raw.reviews import REVIEWS
from shopsphere_assets.ingestion import checksums
from shopsphere_assets.ingestion import reconcile as reconcile_module
from shopsphere_assets.ingestion.batch import Destination, ingest
from shopsphere_assets.ingestion.ledger import TableState, read_state
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable
from shopsphere_assets.ingestion.reconcile import Reconciliation, reconcile
from tests.raw_tables import good_row

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOWEST, HIGHEST = -(2**63), 2**63 - 1


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


class Pairs(Contract):
    """Things with a number within a name."""

    owner: str = column("Name.")
    thing_id: pl.Int64 = column("Number.")
    amount: pl.Int64 = column("Amount.", ge=0)
    updated_at: Timestamp = moment("When it changed.")


KEY_TYPES = {
    "integer": {"mysql": "bigint", "postgresql": "bigint", "sqlite": "INTEGER"},
    "text": {"mysql": "varchar(40)", "postgresql": "text", "sqlite": "TEXT"},
    "digits": {"mysql": "varchar(40)", "postgresql": "text", "sqlite": "TEXT"},
}
MOMENT = {"mysql": "datetime(6)", "postgresql": "timestamptz", "sqlite": "TEXT"}

THINGS = RawTable("shop", "things", Things, ("thing_id",), "updated_at", DatabaseRead("things"))
WORDS = RawTable("shop", "things", Words, ("thing_id",), "updated_at", DatabaseRead("things"))
PAIRS = RawTable("shop", "things", Pairs, ("owner", "thing_id"), "updated_at", DatabaseRead("things"))


class Shop:
    """A database with one table, ``things``, that a test writes to."""

    def __init__(self, url: str, key_type: str = "integer", *, extra: str = "") -> None:
        self.source = SqlSource(url)
        self._url = url
        key, at = KEY_TYPES[key_type][self.source.dialect], MOMENT[self.source.dialect]
        self.execute(f"CREATE TABLE things ({extra} thing_id {key}, amount bigint, updated_at {at} NULL)")

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
                    charset="utf8mb4",
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
            if self.source.dialect == "mysql":
                cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
            if rows == ((),):
                cursor.execute(statement)
            else:
                cursor.executemany(statement, [tuple(row) for row in rows])

    def put(self, *rows: tuple[Any, int, datetime | str | None]) -> None:
        """Write rows of key, amount and time of change."""
        self.execute("INSERT INTO things VALUES (%s, %s, %s)", [(k, a, self._moment(at)) for k, a, at in rows])

    def change(self, key: Any, amount: int, at: datetime | None) -> None:
        self.execute(
            "UPDATE things SET amount = %s, updated_at = %s WHERE thing_id = %s", [(amount, self._moment(at), key)]
        )

    def delete(self, *keys: Any) -> None:
        exactly = "CAST(thing_id AS BINARY) = %s" if self.source.dialect == "mysql" else "thing_id = %s"
        values = [(str(key) if self.source.dialect == "mysql" else key,) for key in keys]
        self.execute(f"DELETE FROM things WHERE {exactly}", values)

    def _moment(self, value: datetime | str | None) -> str | None:
        if value is None or isinstance(value, str):
            return value
        text = value.isoformat(" ", timespec="microseconds")
        return text if self.source.dialect == "postgresql" else text.removesuffix("+00:00")

    def rows(self) -> list[tuple[Any, ...]]:
        return self.source.fetch("SELECT thing_id, amount FROM things")


@dataclass
class Pipe:
    """A shop, a warehouse with its lake, and both ways to load the one into the other."""

    shop: Shop
    destination: Destination
    table: RawTable = THINGS

    def state(self) -> TableState:
        return read_state(self.destination.warehouse, [self.table])[self.table.name]

    def load(self, lookback: timedelta = timedelta(0)) -> None:
        ingest(self.table, self.shop.source, self.destination, state=self.state(), run_id="run", lookback=lookback)

    def reconcile(self, *, may_be_empty: bool = False) -> Reconciliation:
        return reconcile(
            self.table,
            self.shop.source,
            self.destination,
            state=self.state(),
            run_id="run",
            may_be_empty=may_be_empty,
        )

    def query(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.destination.warehouse.query(sql).to_pylist()
        return rows

    def standing(self) -> dict[Any, int]:
        """Amounts by key of the raw rows that are not marked."""
        rows = self.query("SELECT thing_id, amount FROM raw.shop__things WHERE _deleted_at IS NULL")
        assert len({row["thing_id"] for row in rows}) == len(rows), "a key is there twice"
        return {row["thing_id"]: row["amount"] for row in rows}

    def deleted(self) -> list[Any]:
        rows = self.query("SELECT thing_id FROM raw.shop__things WHERE _deleted_at IS NOT NULL ORDER BY thing_id")
        return [row["thing_id"] for row in rows]

    def entries(self) -> list[tuple[str, str | None]]:
        """Keys in the quarantine with how they were settled."""
        rows = self.query("SELECT row_key, settlement FROM quarantine.rows ORDER BY row_key, settlement, quarantine_id")
        return [(row["row_key"], row["settlement"]) for row in rows]

    def batches(self) -> int:
        return len(self.query("SELECT batch_id FROM ledger.batches"))


def warehouse(url: str, table: RawTable) -> Warehouse:
    opened = open_warehouse(url)
    opened.prepare()
    opened.ensure_tables([table.definition])
    return opened


PATHS = [
    f"{source} to {target}" for source in ("sqlite", "mariadb", "postgresql") for target in ("duckdb", "postgresql")
]


class Places:
    """Gives tests new sources and warehouses by name."""

    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self._request, self._folder = request, folder

    def pipe(self, path: str, table: RawTable = THINGS, key_type: str = "integer", *, extra: str = "") -> Pipe:
        source, _, target = path.split()
        if source == "mariadb":
            url = self._request.getfixturevalue("mariadb_url")
        elif source == "postgresql":
            url = self._request.getfixturevalue("postgres_url")
        else:
            url = f"sqlite://{self._folder}/shop.db"
        store = f"duckdb://{self._folder}/warehouse.duckdb"
        if target == "postgresql":
            store = self._request.getfixturevalue("postgres_url")
        shop = Shop(url, key_type, extra=extra)
        return Pipe(shop, Destination(warehouse(store, table), self._folder / "lake"), table)


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    return Places(request, tmp_path)


@pytest.fixture(params=PATHS)
def pipe(request: pytest.FixtureRequest, places: Places) -> Pipe:
    return places.pipe(request.param)


@pytest.fixture
def quick(places: Places) -> Pipe:
    return places.pipe("sqlite to duckdb")


def counts(found: Reconciliation) -> tuple[int, int, int]:
    return found.rows_loaded, found.rows_quarantined, found.rows_deleted


def test_rows_that_are_gone_are_marked_and_stay(pipe: Pipe) -> None:
    pipe.shop.put(*((number, number, NOON) for number in range(1, 3001)))
    pipe.load()
    pipe.shop.delete(7, 1500, 2999, 3000)
    found = pipe.reconcile()
    assert counts(found) == (0, 0, 4)
    assert (found.rows_at_source, found.rows_standing) == (2996, 3000)
    assert pipe.deleted() == [7, 1500, 2999, 3000]
    assert len(pipe.standing()) == 2996
    [batch] = found.batches
    marked = pipe.query("SELECT _batch_id, _loaded_at, _deleted_at FROM raw.shop__things WHERE _deleted_at IS NOT NULL")
    assert {(row["_batch_id"], row["_loaded_at"]) for row in marked} == {(batch.batch_id, batch.started_at)}
    assert (batch.kind, batch.rows_deleted, batch.watermark) == ("reconciliation", 4, NOON)
    assert (pipe.destination.lake / batch.lake_path / "deleted.parquet").exists()
    # Once is enough.
    assert counts(pipe.reconcile()) == (0, 0, 0)
    assert pipe.batches() == 2


def test_edits_that_the_cursor_hides_are_found(pipe: Pipe) -> None:
    pipe.shop.put(*((number, number, NOON) for number in range(1, 1001)))
    pipe.load()
    pipe.shop.change(5, 55, NOON - 90 * 24 * HOUR)  # set back
    pipe.shop.change(6, 66, NOON - timedelta(microseconds=1))
    pipe.shop.put((2000, 1, NOON - 500 * HOUR))  # committed long after its time
    pipe.load()
    assert pipe.standing()[5] == 5
    assert counts(pipe.reconcile()) == (3, 0, 0)
    assert (pipe.standing()[5], pipe.standing()[6], pipe.standing()[2000]) == (55, 66, 1)
    assert pipe.state().watermark == NOON
    assert counts(pipe.reconcile()) == (0, 0, 0)


def test_a_row_that_comes_back_is_no_longer_marked(pipe: Pipe) -> None:
    pipe.shop.put((1, 1, NOON), (2, 2, NOON))
    pipe.load()
    pipe.shop.delete(1)
    pipe.reconcile()
    pipe.shop.put((1, 10, NOON))
    assert counts(pipe.reconcile()) == (1, 0, 0)
    assert (pipe.standing(), pipe.deleted()) == ({1: 10, 2: 2}, [])
    pipe.shop.delete(1)
    pipe.reconcile()
    pipe.shop.put((1, 11, NOON + HOUR))
    pipe.load()
    assert (pipe.standing(), pipe.deleted()) == ({1: 11, 2: 2}, [])


def test_an_unchanged_table_is_only_asked_for_its_checksums(
    places: Places, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("mariadb to duckdb", "postgresql to duckdb"):
        pipe = places.pipe(path)
        pipe.shop.put(*((number, -1 if number % 50 == 0 else 1, NOON) for number in range(20_000)))
        pipe.load()
        asked: list[str] = []
        fetch = SqlSource.fetch

        def noted(self: SqlSource, query: str, asked: list[str] = asked, fetch: Any = fetch) -> Any:
            asked.append(query)
            rows = fetch(self, query)
            assert len(rows) <= 1100
            return rows

        with monkeypatch.context() as patched:
            patched.setattr(SqlSource, "fetch", noted)
            patched.setattr(SqlSource, "read", lambda *_: pytest.fail("rows were read"))
            found = pipe.reconcile()
        assert (found.chunks_differing, counts(found)) == (0, (0, 0, 0))
        assert found.rows_at_source == found.rows_standing == 20_000
        assert found.chunks > 500
        assert len(asked) == 2
        assert pipe.batches() == 1
        (pipe.destination.warehouse.path).unlink()  # type: ignore[attr-defined]


def test_only_what_differs_is_read(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = places.pipe("mariadb to duckdb")
    pipe.shop.put(*((number * 1000, 1, NOON) for number in range(100_000)))
    pipe.load()
    pipe.shop.delete(5000, 50_000_000)
    read = 0
    original = SqlSource.read

    def counted(self: SqlSource, query: str, key: Sequence[str]) -> Iterator[Any]:
        nonlocal read
        for chunk in original(self, query, key):
            read += chunk.rows.height
            yield chunk

    monkeypatch.setattr(SqlSource, "read", counted)
    assert counts(pipe.reconcile()) == (0, 0, 2)
    assert read < 2000


def test_bad_rows_are_neither_marked_nor_loaded_again_and_again(pipe: Pipe) -> None:
    pipe.shop.put((1, 1, NOON), (2, 2, NOON), (3, -3, NOON), (4, 4, None), (5, 5, datetime(1970, 1, 1, tzinfo=UTC)))
    pipe.load()
    pipe.shop.change(2, -2, NOON + HOUR)  # the good version stays in raw
    pipe.load()
    assert pipe.entries() == [("2", None), ("3", None), ("4", None), ("5", None)]
    before = pipe.batches()
    assert counts(pipe.reconcile()) == (0, 0, 0)
    assert counts(pipe.reconcile()) == (0, 0, 0)
    assert (pipe.standing(), pipe.deleted(), pipe.batches()) == ({1: 1, 2: 2}, [], before)
    pipe.shop.delete(2, 3, 4)
    assert counts(pipe.reconcile()) == (0, 0, 1)
    gone = "deleted at the source"
    assert pipe.entries() == [("2", gone), ("3", gone), ("4", gone), ("5", None)]
    assert (pipe.standing(), pipe.deleted()) == ({1: 1}, [2])
    # Bad again in the very same way: the entry is open again.
    pipe.shop.put((3, -3, NOON))
    assert counts(pipe.reconcile()) == (0, 1, 0)
    assert pipe.entries() == [("2", gone), ("3", None), ("4", gone), ("5", None)]
    assert counts(pipe.reconcile()) == (0, 0, 0)


def test_an_entry_is_settled_when_its_row_comes_in_good_or_in_another_bad_version(pipe: Pipe) -> None:
    pipe.shop.put((1, -1, NOON), (2, -2, NOON), (3, -3, None))
    pipe.load()
    pipe.shop.change(1, 1, NOON + HOUR)
    pipe.shop.change(2, -20, NOON + HOUR)
    pipe.shop.change(3, 3, NOON + HOUR)
    pipe.load()
    assert pipe.entries() == [("1", "superseded"), ("2", None), ("2", "superseded"), ("3", "superseded")] or (
        pipe.entries() == [("1", "superseded"), ("2", "superseded"), ("2", None), ("3", "superseded")]
    )
    assert pipe.standing() == {1: 1, 3: 3}
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.change(2, 2, NOON - HOUR)  # corrected with its cursor set back
    assert counts(pipe.reconcile()) == (1, 0, 0)
    assert {settlement for _, settlement in pipe.entries()} == {"superseded"}


def test_rows_without_a_key_follow_the_source_too(pipe: Pipe) -> None:
    pipe.shop.put((1, 1, NOON), (None, 5, NOON))
    pipe.load()
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.put((None, 6, NOON - 900 * HOUR))
    assert counts(pipe.reconcile()) == (0, 2, 0)
    assert pipe.entries() == [("", None), ("", None)]
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.execute("DELETE FROM things WHERE amount = 5")
    assert counts(pipe.reconcile()) == (0, 0, 0)
    assert sorted(map(str, pipe.entries())) == ["('', 'deleted at the source')", "('', None)"]


EDGES = [LOWEST, LOWEST + 1, -(2**62), -5, -1, 0, 1, 1023, 1024, 2**62, HIGHEST - 1, HIGHEST]


def test_keys_at_the_ends_of_their_range_with_gaps_between(pipe: Pipe) -> None:
    pipe.shop.put(*((key, 1, NOON) for key in EDGES))
    pipe.load()
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.delete(LOWEST, -5, 0, HIGHEST)
    pipe.shop.change(HIGHEST - 1, 2, NOON - HOUR)
    assert counts(pipe.reconcile()) == (1, 0, 4)
    assert pipe.deleted() == [LOWEST, -5, 0, HIGHEST]
    assert pipe.standing()[HIGHEST - 1] == 2
    assert counts(pipe.reconcile()) == (0, 0, 0)


def test_unsigned_keys_that_the_contract_cannot_hold_are_kept_in_quarantine(places: Places) -> None:
    pipe = places.pipe("mariadb to duckdb")
    pipe.shop.execute("ALTER TABLE things MODIFY thing_id bigint unsigned")
    pipe.shop.put((1, 1, NOON), (HIGHEST, 2, NOON), (2**64 - 1, 3, NOON))
    pipe.load()
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.delete(1, 2**64 - 1)
    assert counts(pipe.reconcile()) == (0, 0, 1)
    assert pipe.entries() == [(str(2**64 - 1), "deleted at the source")]


NAMES = ["a", "A", "a ", " a", "ä", "Ä", "ß", "ss", "日本", "🎉", "o'neil", "x|y", "\\", "%", "é", "e\u0301", "-5"]


@pytest.mark.parametrize("path", PATHS)
def test_text_keys_are_told_apart_by_their_characters(places: Places, path: str) -> None:
    pipe = places.pipe(path, WORDS, "text")
    pipe.shop.put(*((name, 1, NOON) for name in NAMES))
    pipe.load()
    assert len(pipe.standing()) == len(NAMES)
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.delete("a", "Ä", "🎉", "x|y")
    pipe.shop.change("日本", 7, NOON - HOUR)
    assert counts(pipe.reconcile()) == (1, 0, 4)
    assert sorted(pipe.deleted()) == sorted(["a", "Ä", "🎉", "x|y"])
    assert pipe.standing()["日本"] == 7
    pipe.shop.put(("bad", -1, NOON))
    assert counts(pipe.reconcile()) == (0, 1, 0)
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.delete("bad")
    pipe.reconcile()
    assert pipe.entries() == [("bad", "deleted at the source")]


@pytest.mark.parametrize("path", PATHS)
def test_numbers_written_as_text_are_compared_as_the_contract_reads_them(places: Places, path: str) -> None:
    pipe = places.pipe(path, THINGS, "digits")
    pipe.shop.put(("1", 1, NOON), (" 2", 1, NOON), ("+3", 1, NOON), ("-4", 1, NOON), ("five", 1, NOON), ("6", -1, NOON))
    pipe.load()
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.delete(" 2", "five", "6")
    assert counts(pipe.reconcile()) == (0, 0, 1)
    assert pipe.deleted() == [2]
    assert pipe.entries() == [("6", "deleted at the source"), ("five", "deleted at the source")]


@pytest.mark.parametrize("path", PATHS)
def test_keys_of_several_columns(places: Places, path: str) -> None:
    extra = "owner varchar(20),"
    pipe = places.pipe(path, PAIRS, extra=extra)
    insert = "INSERT INTO things (owner, thing_id, amount, updated_at) VALUES (%s, %s, %s, '2026-03-01 12:00:00')"
    pipe.shop.execute(insert, [("a", 1, 1), ("A", 1, 2), ("a", 2, 3), ("b|c", 1, 4), ("d", 1, -5), (None, 1, 6)])
    pipe.load()
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.execute("DELETE FROM things WHERE amount IN (2, 4, -5, 6)")
    assert counts(pipe.reconcile()) == (0, 0, 2)
    rows = pipe.query("SELECT owner, thing_id FROM raw.shop__things WHERE _deleted_at IS NULL ORDER BY 1, 2")
    assert [(row["owner"], row["thing_id"]) for row in rows] == [("a", 1), ("a", 2)]
    assert {settlement for _, settlement in pipe.entries()} == {"deleted at the source"}
    assert counts(pipe.reconcile()) == (0, 0, 0)


@pytest.mark.parametrize("path", PATHS)
def test_a_mapped_query_with_expressions(places: Places, path: str) -> None:
    read = DatabaseRead(
        query="SELECT thing_id + 100 AS number, amount, updated_at AS changed FROM things WHERE amount <> 99 -- old",
        columns={"thing_id": "number", "updated_at": "changed"},
    )
    table = RawTable("shop", "things", Things, ("thing_id",), "updated_at", read)
    pipe = places.pipe(path, table)
    pipe.shop.put(*((number, 1, NOON) for number in range(5)))
    pipe.load()
    assert counts(pipe.reconcile()) == (0, 0, 0)
    pipe.shop.delete(3)
    pipe.shop.change(4, 99, NOON)
    assert counts(pipe.reconcile()) == (0, 0, 2)
    assert pipe.deleted() == [103, 104]


@pytest.mark.parametrize("target", ["duckdb", "postgresql"])
def test_days_that_there_are_not_do_not_differ_for_ever(places: Places, target: str) -> None:
    pipe = places.pipe(f"mariadb to {target}")
    pipe.shop.put((1, 1, NOON), (2, 2, "2026-02-30 10:00:00"), (3, 3, "0000-00-00 00:00:00"), (4, 4, "2026-00-10"))
    pipe.load()
    assert [key for key, _ in pipe.entries()] == ["2", "3", "4"]
    found = pipe.reconcile()
    assert (found.chunks_differing, counts(found)) == (0, (0, 0, 0))


def test_infinity_is_no_time_of_change(places: Places) -> None:
    pipe = places.pipe("postgresql to duckdb")
    pipe.shop.put((1, 1, NOON), (2, 2, "infinity"), (3, 3, "-infinity"))
    pipe.load()
    found = pipe.reconcile()
    assert (found.chunks_differing, counts(found)) == (0, (0, 0, 0))


def test_a_source_that_is_suddenly_empty_is_not_believed(pipe: Pipe) -> None:
    pipe.shop.put((1, 1, NOON), (2, -2, NOON))
    pipe.load()
    pipe.shop.delete(1, 2)
    found = pipe.reconcile()
    assert counts(found) == (0, 0, 0)
    assert found.note is not None
    assert "--may-be-empty" in found.note
    assert pipe.standing() == {1: 1}
    assert counts(pipe.reconcile(may_be_empty=True)) == (0, 0, 1)
    assert (pipe.standing(), pipe.deleted()) == ({}, [1])
    assert pipe.entries() == [("2", "deleted at the source")]


def test_a_table_that_was_never_read_is_left_to_the_first_read(quick: Pipe) -> None:
    quick.shop.put((1, 1, NOON))
    assert quick.reconcile().note == "not read yet"
    assert quick.batches() == 0


def test_keys_that_the_source_holds_twice_settle_on_the_newest_and_are_told(pipe: Pipe) -> None:
    pipe.shop.put((1, 1, NOON), (1, 2, NOON + HOUR), (2, 2, NOON))
    pipe.load()
    assert pipe.standing() == {1: 2, 2: 2}
    before = pipe.batches()
    for _ in range(2):
        found = pipe.reconcile()
        assert counts(found) == (0, 0, 0)
        assert found.note == "1 rows at the source have the key of another row; the newest holds"
    assert (pipe.standing(), pipe.batches()) == ({1: 2, 2: 2}, before)


class Meddler:
    """Lets a writer in right before the source is read for its rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, side: type, method: str, work: Any) -> None:
        original = getattr(side, method)
        left = [work]

        def meddled(*arguments: Any) -> Any:
            if left:
                left.pop()()
            return original(*arguments)

        monkeypatch.setattr(side, method, meddled)


@pytest.mark.parametrize("moment_of_writing", ["sums", "keys", "rows"])
def test_what_is_written_while_it_compares_is_not_marked_wrongly(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, moment_of_writing: str
) -> None:
    shop = pipe.shop
    shop.put(*((number, number, NOON) for number in range(1, 501)))
    pipe.load()
    shop.delete(100, 200)
    shop.change(50, 500, NOON - HOUR)

    def write() -> None:
        shop.put((100, 1000, NOON + HOUR))  # back again
        shop.put((501, 501, NOON + HOUR))
        shop.delete(300)
        shop.change(400, 4000, NOON + HOUR)

    side = checksums.StreamedSide if shop.source.dialect == "sqlite" else checksums.DatabaseSide
    Meddler(monkeypatch, side, moment_of_writing, write)
    pipe.reconcile()
    assert 100 not in pipe.deleted()
    assert set(pipe.deleted()) - {300} == {200}
    monkeypatch.undo()
    pipe.load()
    pipe.reconcile()
    assert pipe.standing() == dict(shop.rows())
    assert pipe.deleted() == [200, 300]


def test_a_read_that_fails_marks_nothing(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe.shop.put(*((number, number, NOON) for number in range(100)))
    pipe.load()
    pipe.shop.delete(1)
    pipe.shop.change(2, 20, NOON - HOUR)
    side = checksums.StreamedSide if pipe.shop.source.dialect == "sqlite" else checksums.DatabaseSide
    original = side.rows

    def broken(self: Any, intervals: Any) -> Iterator[Any]:
        yield from original(self, intervals)
        raise TransientError("the connection was cut", where="here", remedy="wait")

    monkeypatch.setattr(side, "rows", broken)
    with pytest.raises(TransientError):
        pipe.reconcile()
    assert (len(pipe.standing()), pipe.deleted(), pipe.batches()) == (100, [], 1)
    monkeypatch.undo()
    assert counts(pipe.reconcile()) == (1, 0, 1)


def test_large_differences_are_settled_in_portions(quick: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "_ROWS_AT_ONCE", 1000)
    quick.shop.put(*((number, number, NOON) for number in range(10_000)))
    quick.load()
    quick.shop.execute("DELETE FROM things WHERE thing_id >= 2000")
    quick.shop.execute("UPDATE things SET amount = 7, updated_at = '2026-01-01 00:00:00' WHERE thing_id < 1500")
    found = quick.reconcile()
    assert counts(found) == (1500, 0, 8000)
    assert len(found.batches) > 5
    assert quick.standing() == dict(quick.shop.rows())


KEYS = st.one_of(st.integers(-3, 40), st.sampled_from([*EDGES, None]))
MOMENTS = st.sampled_from([NOON, NOON + HOUR, NOON - 999 * HOUR, None, datetime(1970, 1, 1, tzinfo=UTC)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), KEYS, st.integers(-1, 3), MOMENTS),
        st.tuples(st.just("delete"), KEYS),
        st.tuples(st.just("load"), st.sampled_from([timedelta(0), 48 * HOUR])),
        st.tuples(st.just("reconcile")),
    ),
    max_size=12,
)


@pytest.mark.parametrize("path", ["sqlite to duckdb", "mariadb to postgresql"])
def test_after_any_history_raw_and_open_quarantine_are_the_source(
    places: Places, path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pipe = places.pipe(path)

    @settings(max_examples=20 if path.startswith("sqlite") else 12, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def check(steps: list[tuple[Any, ...]]) -> None:
        pipe.shop.execute("DELETE FROM things")
        with pipe.destination.warehouse.transaction() as transaction:
            for name in ("raw.shop__things", "quarantine.rows", "ledger.batches"):
                transaction.execute(f"DELETE FROM {name}")
        pipe.shop.put((7, 7, NOON))
        pipe.load()
        for step in steps:
            match step:
                case "write", key, amount, at:
                    if key is not None:
                        pipe.shop.execute(f"DELETE FROM things WHERE thing_id = {key}")
                    pipe.shop.put((key, amount, at))
                case "delete", key:
                    condition = "IS NULL" if key is None else f"= {key}"
                    pipe.shop.execute(f"DELETE FROM things WHERE thing_id {condition}")
                case "load", lookback:
                    pipe.load(lookback)
                case _:
                    pipe.reconcile(may_be_empty=True)
        pipe.reconcile(may_be_empty=True)
        open_entries = [key for key, settlement in pipe.entries() if settlement is None]
        there = {key: amount for key, amount in pipe.shop.rows() if key is not None}
        has_keyless = any(key is None for key, _ in pipe.shop.rows())
        bad = {int(key) for key in open_entries if key}
        good = pipe.standing()
        assert good.keys() | bad == there.keys()
        assert {key: good[key] for key in good.keys() - bad} == {key: there[key] for key in there.keys() - bad}
        assert ("" in open_entries) == has_keyless
        again = pipe.reconcile(may_be_empty=True)
        assert counts(again) == (0, 0, 0)

    check()


def test_files_have_nothing_to_reconcile() -> None:
    reasons = {table.label: reconcile_module.why_not(table) for system in source_systems() for table in system.tables}
    compared = {label for label, reason in reasons.items() if reason is None}
    assert {label.split("/")[0] for label in compared} == {"shop_db", "catalogue_db", "hubspot", "reviews"}
    assert "hubspot/email_events" not in compared


@pytest.fixture
def reviews_service() -> Iterator[tuple[str, dict[str, dict[str, str | None]]]]:
    """A service that lists reviews page by page, and the reviews, by number."""
    listed: dict[str, dict[str, str | None]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start = int(parse_qs(urlsplit(self.path).query).get("cursor", ["0"])[0])
            page = list(listed.values())[start : start + 2]
            following = str(start + 2) if start + 2 < len(listed) else None
            body = json.dumps({"reviews": page, "next_cursor": following}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", listed
        server.shutdown()


def test_records_that_a_service_no_longer_lists_are_marked(
    reviews_service: tuple[str, dict[str, dict[str, str | None]]], tmp_path: Path
) -> None:
    url, listed = reviews_service
    [table] = REVIEWS.tables
    destination = Destination(warehouse(f"duckdb://{tmp_path}/warehouse.duckdb", table), tmp_path / "lake")
    for number in range(7):
        rating = "9" if number == 6 else "5"
        listed[f"r{number}"] = {**good_row(table), "review_id": f"r{number}", "rating": rating}

    def state() -> TableState:
        return read_state(destination.warehouse, [table])["reviews"]

    with HttpSource(url) as source:
        ingest(table, source, destination, state=state(), run_id="run")
        assert counts(reconcile(table, source, destination, state=state(), run_id="run")) == (0, 0, 0)
        del listed["r1"], listed["r6"]
        listed["r2"]["updated_at"] = "2026-02-28T23:00:00.000Z"
        listed["r2"]["created_at"] = "2026-02-28T22:00:00.000Z"
        listed["r2"]["title"] = "Set back"
        assert counts(reconcile(table, source, destination, state=state(), run_id="run")) == (1, 0, 1)
        assert counts(reconcile(table, source, destination, state=state(), run_id="run")) == (0, 0, 0)
    rows = destination.warehouse.query("SELECT review_id, title FROM raw.reviews__reviews WHERE _deleted_at IS NULL")
    titles = {row["review_id"]: row["title"] for row in rows.to_pylist()}
    assert titles.keys() == {"r0", "r2", "r3", "r4", "r5"}
    assert titles["r2"] == "Set back"
    [entry] = destination.warehouse.query("SELECT row_key, settlement FROM quarantine.rows").to_pylist()
    assert entry == {"row_key": "r6", "settlement": "deleted at the source"}

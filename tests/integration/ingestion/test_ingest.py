"""From real databases into real warehouses: nothing lost, nothing twice, whatever happens in between."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from resources.errors import PermanentError, TransientError
from resources.sql_source import SqlSource
from resources.warehouse import TableDefinition, Transaction, Warehouse, open_warehouse
from shopsphere_assets.contracts import shop_db
from shopsphere_assets.ingestion import lake as lake_module
from shopsphere_assets.ingestion.batch import Destination, contract_version, ingest
from shopsphere_assets.ingestion.extract import news
from shopsphere_assets.ingestion.ledger import BatchReport, TableState, read_state, table_totals
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable
from tests.raw_tables import raw_table

REFUNDS = raw_table(shop_db.Refunds)
DAY = timedelta(days=1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

CREATE = {
    "mysql": "CREATE TABLE refunds (refund_id bigint, order_id bigint, payment_id bigint, reason varchar(40),"
    " currency varchar(3), amount decimal(38,4), refunded_at datetime(6) NULL, updated_at datetime(6) NULL)",
    "postgresql": "CREATE TABLE refunds (refund_id bigint, order_id bigint, payment_id bigint, reason text,"
    " currency text, amount numeric, refunded_at timestamptz, updated_at timestamptz)",
    "sqlite": "CREATE TABLE refunds (refund_id INTEGER, order_id INTEGER, payment_id INTEGER, reason TEXT,"
    " currency TEXT, amount TEXT, refunded_at TEXT, updated_at TEXT)",
}


class Shop:
    """A shop's database with one table, ``refunds``, that a test writes to."""

    def __init__(self, url: str) -> None:
        self.source = SqlSource(url)
        self._url = url
        self.execute(CREATE[self.source.dialect])

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
            if self.source.dialect == "mysql":
                cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
            for row in rows:
                cursor.execute(statement, tuple(row))

    def moment(self, value: datetime | str | None) -> str | None:
        """A moment in the database's own words; text stays as it is."""
        if value is None or isinstance(value, str):
            return value
        return (
            value.isoformat(" ") if self.source.dialect == "postgresql" else value.replace(tzinfo=None).isoformat(" ")
        )

    def put(
        self,
        refund_id: int | None,
        updated_at: datetime | str | None = NOON,
        *,
        amount: str = "10.00",
        currency: str = "EUR",
        refunded_at: datetime | str | None = NOON - 30 * DAY,
    ) -> None:
        """Write a refund; one with the same number is replaced."""
        if refund_id is not None:
            self.execute("DELETE FROM refunds WHERE refund_id = %s", [(refund_id,)])
        row = (refund_id, 1, None, "late", currency, amount, self.moment(refunded_at), self.moment(updated_at))
        self.execute("INSERT INTO refunds VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", [row])


@dataclass
class Pipe:
    """A shop, a warehouse with its lake, and one way to load the one into the other."""

    shop: Shop
    destination: Destination

    @property
    def warehouse(self) -> Warehouse:
        return self.destination.warehouse

    def state(self) -> TableState:
        return read_state(self.warehouse, [REFUNDS])["refunds"]

    def load(
        self, lookback: timedelta = 2 * DAY, *, destination: Destination | None = None, table: RawTable = REFUNDS
    ) -> BatchReport:
        """Load what is new; the ledger must close."""
        report = ingest(
            table,
            self.shop.source,
            destination or self.destination,
            state=self.state(),
            run_id="run",
            lookback=lookback,
        )
        assert report is not None
        assert report.rows_read == report.rows_loaded + report.rows_quarantined + report.rows_excluded
        return report

    def loaded(self) -> dict[int, Decimal]:
        """Amounts by number, as the warehouse has them."""
        rows = self.warehouse.query("SELECT refund_id, amount FROM raw.shop_db__refunds ORDER BY refund_id").to_pylist()
        amounts = {row["refund_id"]: row["amount"] for row in rows}
        assert len(amounts) == len(rows), "a key is there twice"
        return amounts

    def quarantined(self) -> list[tuple[str, list[str]]]:
        """Keys and broken rules, as the warehouse has them."""
        rows = self.warehouse.query("SELECT * FROM quarantine.rows ORDER BY row_key, reasons").to_pylist()
        return [(row["row_key"], [reason["rule"] for reason in json.loads(row["reasons"])]) for row in rows]

    def batches(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.warehouse.query(
            "SELECT * FROM ledger.batches ORDER BY finished_at"
        ).to_pylist()
        return rows

    def landed(self) -> list[str]:
        """What is in the table's folder of the lake."""
        folder = self.destination.lake / "shop_db" / "refunds"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def _warehouse(url: str) -> Warehouse:
    warehouse = open_warehouse(url)
    warehouse.prepare()
    warehouse.ensure_tables([REFUNDS.definition])
    return warehouse


@pytest.fixture
def pipe(tmp_path: Path) -> Pipe:
    """The quickest pair: SQLite into DuckDB."""
    warehouse = _warehouse(f"duckdb://{tmp_path}/warehouse.duckdb")
    return Pipe(Shop(f"sqlite://{tmp_path}/shop.db"), Destination(warehouse, tmp_path / "lake"))


@pytest.fixture(params=["sqlite to duckdb", "mariadb to postgresql", "postgresql to duckdb"])
def any_pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Pipe:
    source, _, warehouse = request.param.split()
    urls = {"sqlite": f"sqlite://{tmp_path}/shop.db", "duckdb": f"duckdb://{tmp_path}/warehouse.duckdb"}
    shop = Shop(urls.get(source) or request.getfixturevalue({"mariadb": "mariadb_url"}.get(source, "postgres_url")))
    return Pipe(
        shop, Destination(_warehouse(urls.get(warehouse) or request.getfixturevalue("postgres_url")), tmp_path / "lake")
    )


def amounts(**by_number: str) -> dict[int, Decimal]:
    return {int(number[1:]): Decimal(amount) for number, amount in by_number.items()}


def test_the_first_load_brings_every_row_and_the_next_what_changed(any_pipe: Pipe) -> None:
    shop = any_pipe.shop
    for number in (1, 2, 3):
        shop.put(number, NOON - (3 - number) * DAY, amount=f"{number}.50")
    first = any_pipe.load()
    assert (first.rows_read, first.rows_loaded, first.rows_quarantined, first.rows_excluded) == (3, 3, 0, 0)
    assert first.watermark == NOON
    assert any_pipe.state() == TableState(NOON, frozenset())
    assert any_pipe.loaded() == amounts(_1="1.50", _2="2.50", _3="3.50")
    assert news(REFUNDS, shop.source, any_pipe.state()) is None

    shop.put(4, NOON + DAY, amount="4.50")  # new
    shop.put(1, NOON + DAY, amount="9.99")  # edited
    shop.put(5, NOON - DAY, amount="5.50")  # committed late, within the look-back
    assert news(REFUNDS, shop.source, any_pipe.state()) is not None
    second = any_pipe.load(lookback=DAY)
    assert any_pipe.loaded() == amounts(_1="9.99", _2="2.50", _3="3.50", _4="4.50", _5="5.50")
    # Beyond what is new the look-back brought 2 and 3, which are what they were.
    assert (second.rows_read, second.rows_loaded) == (5, 5)
    assert any_pipe.state().watermark == NOON + DAY

    third = any_pipe.load(lookback=timedelta(0))
    assert third.rows_read == 2
    assert any_pipe.loaded() == amounts(_1="9.99", _2="2.50", _3="3.50", _4="4.50", _5="5.50")
    assert news(REFUNDS, shop.source, any_pipe.state()) is None
    assert [batch["rows_read"] for batch in any_pipe.batches()] == [3, 5, 2]
    totals = table_totals(any_pipe.warehouse)["shop_db", "refunds"]
    assert (totals["batches"], totals["rows_read"], totals["rows_loaded"]) == (3, 10, 10)


def test_rows_with_the_same_cursor_as_the_watermark_are_not_overlooked(any_pipe: Pipe) -> None:
    precise = NOON.replace(microsecond=123_456)
    any_pipe.shop.put(1, precise)
    any_pipe.load()
    any_pipe.shop.put(2, precise)
    any_pipe.load(lookback=timedelta(0))
    assert list(any_pipe.loaded()) == [1, 2]


def test_a_row_whose_cursor_is_no_use_is_kept_once_and_does_not_move_the_watermark(any_pipe: Pipe) -> None:
    shop = any_pipe.shop
    shop.put(1, NOON)
    shop.put(2, None)
    shop.put(3, datetime(1970, 1, 1, tzinfo=UTC), refunded_at=None)
    shop.put(4, datetime(2199, 1, 1, tzinfo=UTC))
    expected = [
        ("2", ["updated_at.required"]),
        ("3", ["refunded_at.required", "updated_at.plausible_time"]),
        ("4", ["updated_at.plausible_time"]),
    ]
    first = any_pipe.load()
    assert (first.rows_loaded, first.rows_quarantined, first.watermark) == (1, 3, NOON)
    assert any_pipe.quarantined() == expected
    # Read again every time, as no cursor would bring them up, and not entered again.
    second = any_pipe.load(lookback=timedelta(0))
    assert (second.rows_quarantined, second.watermark) == (3, NOON)
    assert any_pipe.quarantined() == expected
    assert list(any_pipe.loaded()) == [1]
    # Later ones of the kind, long after the watermark has passed, are not lost either.
    shop.put(5, NOON + 90 * DAY)
    any_pipe.load()
    shop.put(6, None)
    any_pipe.load(lookback=timedelta(0))
    assert any_pipe.quarantined() == [*expected, ("6", ["updated_at.required"])]


def test_a_row_dated_ahead_does_not_stop_what_comes_after(any_pipe: Pipe) -> None:
    shop = any_pipe.shop
    shop.put(1, NOON)
    shop.put(2, datetime(2091, 1, 1, tzinfo=UTC))  # a typing error that is still plausible
    any_pipe.load()
    before = news(REFUNDS, shop.source, any_pipe.state())
    now = datetime.now(UTC)
    shop.put(3, now)
    assert news(REFUNDS, shop.source, any_pipe.state()) != before
    any_pipe.load()
    assert list(any_pipe.loaded()) == [1, 2, 3]


def test_bad_rows_are_set_aside_with_their_reasons_and_come_in_when_repaired(any_pipe: Pipe) -> None:
    shop = any_pipe.shop
    shop.put(1)
    shop.put(2, amount="-5.00", currency="XXX")
    shop.put(3, refunded_at=NOON + DAY)
    shop.put(None)
    shop.put(5, amount="12.3456")
    report = any_pipe.load()
    assert (report.rows_read, report.rows_loaded, report.rows_quarantined) == (5, 1, 4)
    expected = [
        ("", ["refund_id.required"]),
        ("2", ["amount.minimum", "currency.allowed_values"]),
        ("3", ["updated_not_before_refunded"]),
        ("5", ["amount.type"]),
    ]
    assert any_pipe.quarantined() == expected
    (entry,) = any_pipe.warehouse.query("SELECT * FROM quarantine.rows WHERE row_key = '5'").to_pylist()
    assert json.loads(entry["payload"])["amount"] == "12.3456"
    assert (entry["source"], entry["table_name"], entry["position"]) == ("shop_db", "refunds", "refund_id=5")
    assert entry["batch_id"] == report.batch_id
    shop.put(2, NOON + DAY, amount="5.00")
    any_pipe.load()
    assert any_pipe.loaded() == amounts(_1="10.00", _2="5.00")
    assert any_pipe.quarantined() == expected


def test_of_repeated_rows_in_a_batch_the_latest_holds_and_the_others_are_excluded(pipe: Pipe) -> None:
    pipe.shop.put(1, NOON, amount="1.00")
    pipe.shop.execute("INSERT INTO refunds SELECT * FROM refunds")
    pipe.shop.execute(
        "INSERT INTO refunds SELECT refund_id, order_id, payment_id, reason, currency, '2.00',"
        " refunded_at, '2026-03-02 12:00:00' FROM refunds LIMIT 1"
    )
    report = pipe.load()
    assert (report.rows_read, report.rows_loaded, report.rows_excluded) == (3, 1, 2)
    assert pipe.loaded() == amounts(_1="2.00")
    # An older version that is read again does not undo the newer one.
    pipe.shop.put(1, NOON + timedelta(hours=1), amount="3.00")
    pipe.load()
    assert pipe.loaded() == amounts(_1="2.00")


def test_where_nothing_is_there_to_read_nothing_is_written(pipe: Pipe) -> None:
    state = pipe.state()
    assert ingest(REFUNDS, pipe.shop.source, pipe.destination, state=state, run_id="run") is None
    assert pipe.batches() == []
    assert pipe.landed() == []


def test_a_batch_of_bad_rows_only_is_a_batch(pipe: Pipe) -> None:
    pipe.shop.put(1, amount="-1.00")
    report = pipe.load()
    assert (report.rows_read, report.rows_loaded, report.rows_quarantined) == (1, 0, 1)
    assert report.watermark == NOON
    assert pipe.loaded() == {}


def test_a_batch_says_where_it_lies_and_what_judged_it(pipe: Pipe) -> None:
    pipe.shop.put(1)
    report = pipe.load()
    assert pipe.landed() == [report.batch_id]
    assert report.lake_path == f"shop_db/refunds/{report.batch_id}"
    (batch,) = pipe.batches()
    assert batch == {
        **{name: getattr(report, name) for name in BatchReport.__dataclass_fields__ if name != "notes"},
        "watermark": "2026-03-01T12:00:00.000000+00:00",
        "run_id": "run",
    }
    assert report.notes == ()
    (row,) = pipe.warehouse.query("SELECT _batch_id, _position, _loaded_at FROM raw.shop_db__refunds").to_pylist()
    assert row == {"_batch_id": report.batch_id, "_position": None, "_loaded_at": report.started_at}
    assert contract_version(REFUNDS) == report.contract_version
    assert contract_version(raw_table(shop_db.Payments)) != report.contract_version


class BreakingTransaction:
    """A transaction that breaks at one of its steps."""

    def __init__(self, real: Transaction, step: str) -> None:
        self._real, self._step = real, step

    def _break(self, step: str) -> None:
        if step == self._step:
            raise ConnectionError(f"broken at {step}")

    def merge(self, *arguments: Any, **options: Any) -> int:
        self._break("before the merge")
        keys = self._real.merge(*arguments, **options)
        self._break("after the merge")
        return keys

    def add_missing(self, table: TableDefinition, files: Any) -> None:
        self._real.add_missing(table, files)
        self._break(f"after {table}")

    def append(self, schema: str, table: str, rows: Any) -> None:
        self._real.append(schema, table, rows)
        self._break(f"after {schema}.{table}")

    def query(self, *arguments: Any) -> Any:
        return self._real.query(*arguments)


class BreakingWarehouse:
    """A warehouse whose transactions break."""

    def __init__(self, real: Warehouse, step: str) -> None:
        self._real, self._step = real, step

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self._real.query(sql, parameters)

    @contextmanager
    def transaction(self) -> Iterator[BreakingTransaction]:
        with self._real.transaction() as transaction:
            yield BreakingTransaction(transaction, self._step)


@pytest.mark.parametrize(
    ("step", "left"),
    [("before the merge", 0), ("after the merge", 0), ("after quarantine.rows", 2), ("after ledger.batches", 2)],
)
def test_a_crash_at_any_step_loses_and_doubles_nothing(any_pipe: Pipe, step: str, left: int) -> None:
    any_pipe.shop.put(1, NOON)
    any_pipe.load()
    any_pipe.shop.put(2, NOON + DAY)
    any_pipe.shop.put(3, NOON + DAY, amount="-1.00")
    breaking: Any = BreakingWarehouse(any_pipe.warehouse, step)
    for _ in range(2):
        with pytest.raises(ConnectionError, match=step):
            any_pipe.load(destination=Destination(breaking, any_pipe.destination.lake))
    assert list(any_pipe.loaded()) == [1]
    assert any_pipe.quarantined() == []
    assert any_pipe.state().watermark == NOON
    assert len(any_pipe.batches()) == 1
    report = any_pipe.load(lookback=timedelta(0))
    assert (report.rows_read, report.rows_loaded, report.rows_quarantined) == (3, 2, 1)
    assert list(any_pipe.loaded()) == [1, 2]
    assert any_pipe.quarantined() == [("3", ["amount.minimum"])]
    # What landed without an entry in the ledger is an orphan, for maintenance to remove.
    orphans = set(any_pipe.landed()) - {batch["batch_id"] for batch in any_pipe.batches()}
    assert len(orphans) == left
    loaded = {batch["lake_path"] for batch in any_pipe.batches()}
    lake_module.remove_orphans(any_pipe.destination.lake, loaded, older_than=datetime.now(UTC) + DAY)
    assert any_pipe.landed() == sorted(batch["batch_id"] for batch in any_pipe.batches())


def test_what_a_killed_run_left_half_landed_is_removed_by_the_next(pipe: Pipe) -> None:
    pipe.shop.put(1)
    half = pipe.destination.lake / "shop_db" / "refunds" / ".landing-killed"
    half.mkdir(parents=True)
    (half / "part-00000.parquet").write_bytes(b"half a file")
    report = pipe.load()
    assert pipe.landed() == [report.batch_id]


def test_a_source_that_fails_midway_leaves_nothing_and_the_next_run_brings_all(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe.shop.put(1)
    pipe.shop.put(2)
    read = pipe.shop.source.read

    def broken(query: str, key: Sequence[str], **options: Any) -> Iterator[Any]:
        yield from read(query, key, **options)
        raise TransientError("the server went away", where="shop", remedy="wait")

    with monkeypatch.context() as patched:
        patched.setattr(pipe.shop.source, "read", broken)
        with pytest.raises(TransientError, match="went away"):
            pipe.load()
    assert pipe.loaded() == {}
    assert pipe.batches() == []
    assert pipe.landed() == []
    pipe.load()
    assert list(pipe.loaded()) == [1, 2]


def test_a_lake_that_cannot_be_written_leaves_nothing_and_the_next_run_brings_all(pipe: Pipe, tmp_path: Path) -> None:
    pipe.shop.put(1)
    (tmp_path / "file").write_text("where the lake should be")
    with pytest.raises(PermanentError, match="the lake cannot be written"):
        pipe.load(destination=Destination(pipe.warehouse, tmp_path / "file"))
    assert pipe.loaded() == {}
    assert pipe.state() == TableState()
    pipe.load()
    assert list(pipe.loaded()) == [1]


def test_a_missing_column_stops_the_batch_and_is_named(pipe: Pipe) -> None:
    pipe.shop.put(1)
    pipe.shop.execute("ALTER TABLE refunds RENAME COLUMN currency TO cur")
    with pytest.raises(PermanentError, match="no column for currency; it has amount, cur,"):
        pipe.load()
    assert pipe.batches() == []
    mapped = raw_table(shop_db.Refunds, DatabaseRead("refunds", columns={"currency": "cur"}))
    pipe.load(table=mapped)
    assert list(pipe.loaded()) == [1]


def test_an_optional_column_that_is_missing_is_null(pipe: Pipe) -> None:
    pipe.shop.put(1)
    pipe.shop.execute("ALTER TABLE refunds DROP COLUMN reason")
    pipe.load()
    rows = pipe.warehouse.query("SELECT refund_id, reason FROM raw.shop_db__refunds").to_pylist()
    assert rows == [{"refund_id": 1, "reason": None}]


def test_another_companys_table_is_mapped_and_read_by_its_own_cursor(any_pipe: Pipe) -> None:
    if any_pipe.shop.source.dialect == "sqlite":
        type_of_moment, odd = "TEXT", '"Rückgabe ""2"""'
    elif any_pipe.shop.source.dialect == "mysql":
        type_of_moment, odd = "datetime(6)", '`Rückgabe "2"`'
    else:
        type_of_moment, odd = "timestamp", '"Rückgabe ""2"""'
    shop = any_pipe.shop
    shop.execute(f"CREATE TABLE {odd} (id int, {odd} decimal(10,2), changed {type_of_moment})")
    put = f"INSERT INTO {odd} VALUES (%s, %s, %s)"
    shop.execute(put, [(1, "1.50", "2026-03-01 12:00:00"), (2, "2.50", "2026-03-02 12:00:00")])
    columns = {
        "refund_id": "id",
        "order_id": "id + 100",
        "currency": "'EUR'",
        "amount": odd,
        "refunded_at": "changed",
        "updated_at": "changed",
    }
    by_table = raw_table(shop_db.Refunds, DatabaseRead('Rückgabe "2"', columns=columns))
    any_pipe.load(table=by_table)
    assert any_pipe.loaded() == amounts(_1="1.50", _2="2.50")
    shop.execute(put, [(3, "3.50", "2026-03-03 12:00:00")])
    by_query = raw_table(shop_db.Refunds, DatabaseRead(query=f"SELECT * FROM {odd} -- all;\n;", columns=columns))
    assert news(by_query, shop.source, any_pipe.state()) is not None
    report = any_pipe.load(timedelta(0), table=by_query)
    assert report.rows_read == 2
    assert any_pipe.loaded() == amounts(_1="1.50", _2="2.50", _3="3.50")


def test_a_table_that_is_read_in_full_sees_what_no_cursor_tells(pipe: Pipe) -> None:
    in_full = raw_table(shop_db.Refunds, DatabaseRead("refunds", is_incremental=False))
    pipe.shop.put(1, NOON)
    pipe.load(table=in_full)
    pipe.shop.put(2, NOON - 300 * DAY, refunded_at=NOON - 301 * DAY)
    pipe.load(table=in_full)
    assert list(pipe.loaded()) == [1, 2]


@pytest.fixture
def mariadb_pipe(mariadb_url: str, postgres_url: str, tmp_path: Path) -> Pipe:
    return Pipe(Shop(mariadb_url), Destination(_warehouse(postgres_url), tmp_path / "lake"))


def test_values_that_only_text_can_hold_are_quarantined_as_they_stand_and_the_rest_is_loaded(
    mariadb_pipe: Pipe,
) -> None:
    shop = mariadb_pipe.shop
    shop.put(1, NOON, amount="12.34")
    shop.put(2, "0000-00-00 00:00:00")
    shop.put(3, NOON, refunded_at="2026-02-30 00:00:00")
    shop.put(4, NOON, amount="1234567890123456789012345678901234.5")
    shop.put(5, NOON, currency="XXX")
    expected = [
        ("2", ["updated_at.type"]),
        ("3", ["refunded_at.type"]),
        ("4", ["amount.type"]),
        ("5", ["currency.allowed_values"]),
    ]
    report = mariadb_pipe.load()
    assert (report.rows_read, report.rows_loaded, report.rows_quarantined) == (5, 1, 4)
    assert report.watermark == NOON
    assert mariadb_pipe.quarantined() == expected
    rows = mariadb_pipe.warehouse.query("SELECT row_key, payload FROM quarantine.rows ORDER BY row_key").to_pylist()
    read = {row["row_key"]: json.loads(row["payload"]) for row in rows}
    assert read["2"]["updated_at"] == "0000-00-00 00:00:00.000000"
    assert read["3"]["refunded_at"].startswith("2026-02-30")
    assert read["4"]["amount"] == "1234567890123456789012345678901234.5000"
    # Without them the values come natively again, and the rows are the same entries.
    for number in (2, 3, 4):
        shop.execute("DELETE FROM refunds WHERE refund_id = %s", [(number,)])
    assert mariadb_pipe.load().rows_quarantined == 1
    assert mariadb_pipe.quarantined() == expected


def test_text_that_postgresql_cannot_store_is_quarantined_and_stops_nothing(mariadb_pipe: Pipe) -> None:
    mariadb_pipe.shop.put(1)
    mariadb_pipe.shop.put(2)
    mariadb_pipe.shop.execute("UPDATE refunds SET reason = CONCAT('why', CHAR(0)) WHERE refund_id = 2")
    mariadb_pipe.load()
    assert list(mariadb_pipe.loaded()) == [1]
    assert mariadb_pipe.quarantined() == [("2", ["reason.allowed_values", "reason.clean_text"])]


def test_emoji_and_other_scripts_arrive_unchanged(mariadb_pipe: Pipe) -> None:
    names = ["Zoë 😀", "李小龙", 'O\'Brien \\ "x"', "مرحبا", "line\nbreak\ttab"]
    shop, table = mariadb_pipe.shop, raw_table(shop_db.Customers)
    shop.execute(
        "CREATE TABLE customers (customer_id int, email varchar(99), first_name varchar(99), registered_at datetime,"
        " updated_at datetime) CHARACTER SET utf8mb4"
    )
    row = "INSERT INTO customers VALUES (%s, 'a@example.org', %s, '2026-01-01', '2026-01-01')"
    shop.execute(row, [(number, name) for number, name in enumerate(names)])
    mariadb_pipe.warehouse.ensure_tables([table.definition])
    state = TableState()
    report = ingest(table, shop.source, mariadb_pipe.destination, state=state, run_id="run")
    assert report is not None
    assert report.rows_loaded == len(names)
    rows = mariadb_pipe.warehouse.query(
        "SELECT first_name FROM raw.shop_db__customers ORDER BY customer_id"
    ).to_pylist()
    assert [row["first_name"] for row in rows] == names


def test_the_highest_watermark_counts_in_whatever_order_batches_ended(pipe: Pipe) -> None:
    moments = [
        NOON,
        NOON + timedelta(microseconds=1),
        NOON.astimezone(tz=datetime.strptime("+1400", "%z").tzinfo) - DAY,
    ]
    for number, moment in enumerate(moments):
        pipe.shop.put(number, moment.astimezone(UTC))
        pipe.load(lookback=300 * DAY)
    texts = [batch["watermark"] for batch in pipe.batches()]
    assert all(len(text) == len("2026-03-01T12:00:00.000000+00:00") and text.endswith("+00:00") for text in texts)
    # SQLite's own moments end at milliseconds; the watermark is of the value that was read.
    assert pipe.state().watermark == NOON + timedelta(microseconds=1)

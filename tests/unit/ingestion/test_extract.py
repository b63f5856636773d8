"""Which rows are asked for, in each database's own words."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.errors import PermanentError
from resources.http_source import HttpSource
from resources.sql_source import ColumnDescription, SqlSource
from shopsphere_assets.contracts import catalogue_db, shop_db
from shopsphere_assets.ingestion.extract import Extraction, cursor_expression, news, select
from shopsphere_assets.ingestion.ledger import TableState
from shopsphere_assets.ingestion.raw_table import DatabaseRead, RawTable
from tests.raw_tables import raw_table

CATEGORIES = raw_table(catalogue_db.Categories)
SINCE = datetime(2026, 3, 1, 10, 0, 0, 5, tzinfo=UTC)
ALL_COLUMNS = tuple(CATEGORIES.column_types)
URLS = {
    "mysql": "mysql://ada@db/shop",
    "postgresql": "postgresql://ada@db/shop",
    "sqlite": "sqlite:///shop.db",
}


def database(dialect: str, monkeypatch: pytest.MonkeyPatch, columns: tuple[str, ...] = ALL_COLUMNS) -> SqlSource:
    """A database that is never connected and says that its table has ``columns``."""
    source = SqlSource(URLS[dialect])
    monkeypatch.setattr(source, "describe", lambda _: [ColumnDescription(name, "text") for name in columns])
    return source


def reads(**options: object) -> DatabaseRead:
    return DatabaseRead(**{"relation": "categories", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (
            "mysql",
            "SELECT `category_id` AS `category_id`, `parent_category_id` AS `parent_category_id`, `name` AS `name`,"
            " `slug` AS `slug`, `updated_at` AS `updated_at` FROM `categories`"
            " WHERE `updated_at` >= TIMESTAMP'2026-03-01 10:00:00.000005' OR `updated_at` IS NULL"
            " OR `updated_at` < TIMESTAMP'1995-01-01 00:00:00.000000'",
        ),
        (
            "postgresql",
            'SELECT "category_id" AS "category_id", "parent_category_id" AS "parent_category_id", "name" AS "name",'
            ' "slug" AS "slug", "updated_at" AS "updated_at" FROM "categories"'
            ' WHERE "updated_at" >= TIMESTAMPTZ \'2026-03-01 10:00:00.000005+00\' OR "updated_at" IS NULL'
            " OR \"updated_at\" < TIMESTAMPTZ '1995-01-01 00:00:00.000000+00'",
        ),
        (
            "sqlite",
            'SELECT "category_id" AS "category_id", "parent_category_id" AS "parent_category_id", "name" AS "name",'
            ' "slug" AS "slug", "updated_at" AS "updated_at" FROM "categories"'
            " WHERE strftime('%Y-%m-%d %H:%M:%f', \"updated_at\") >= '2026-03-01 10:00:00.000'"
            " OR strftime('%Y-%m-%d %H:%M:%f', \"updated_at\") IS NULL"
            " OR strftime('%Y-%m-%d %H:%M:%f', \"updated_at\") < '1995-01-01 00:00:00.000'",
        ),
    ],
)
def test_the_rows_since_a_moment_and_those_that_no_moment_finds_are_asked_for(
    dialect: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert select(CATEGORIES, reads(), database(dialect, monkeypatch), SINCE) == expected


def test_the_first_read_and_a_full_one_ask_for_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    source = database("postgresql", monkeypatch)
    assert "WHERE" not in select(CATEGORIES, reads(), source, None)
    assert "WHERE" not in select(CATEGORIES, reads(is_incremental=False), source, SINCE)


def test_a_moment_in_another_zone_is_asked_for_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = SINCE.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo)
    source = database("mysql", monkeypatch)
    assert select(CATEGORIES, reads(), source, elsewhere) == select(CATEGORIES, reads(), source, SINCE)


def test_mapped_expressions_stand_for_columns_also_in_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"category_id": "id", "updated_at": "COALESCE(changed, created)", "name": "UPPER(title)"}
    source = database("postgresql", monkeypatch, ("id", "title", "changed", "created", "slug"))
    statement = select(CATEGORIES, reads(relation="sales.cats", columns=columns), source, SINCE)
    assert statement.startswith(
        'SELECT id AS "category_id", UPPER(title) AS "name", "slug" AS "slug",'
        ' COALESCE(changed, created) AS "updated_at" FROM "sales"."cats" WHERE COALESCE(changed, created) >= '
    )


def test_a_query_stands_in_the_place_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    source = database("mysql", monkeypatch)
    statement = select(CATEGORIES, reads(query="SELECT * FROM c WHERE x = ';' -- all of them ;\n; "), source, None)
    assert statement.endswith(" FROM (SELECT * FROM c WHERE x = ';' -- all of them ;\n\n) AS source_query")


def test_optional_columns_that_the_source_lacks_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    source = database("mysql", monkeypatch, ("CATEGORY_ID", "Name", "updated_at"))
    assert select(CATEGORIES, reads(), source, None) == (
        "SELECT `category_id` AS `category_id`, `name` AS `name`, `updated_at` AS `updated_at` FROM `categories`"
    )


def test_required_columns_that_the_source_lacks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # PostgreSQL tells columns apart by capitals.
    source = database("postgresql", monkeypatch, ("category_id", "Name", "title"))
    with pytest.raises(
        PermanentError, match="no column for name, updated_at; it has Name, category_id, title"
    ) as caught:
        select(CATEGORIES, reads(), source, None)
    assert caught.value.where == "catalogue_db/categories (categories in postgresql://ada@db/shop)"


@pytest.mark.parametrize(
    ("dialect", "quoted"),
    [
        ("mysql", '`odd``name"; DROP TABLE x`.`tab le`'),
        ("postgresql", '"odd`name""; DROP TABLE x"."tab le"'),
        ("sqlite", '"odd`name""; DROP TABLE x"."tab le"'),
    ],
)
def test_odd_names_are_quoted(dialect: str, quoted: str) -> None:
    assert SqlSource(URLS[dialect]).quote('odd`name"; DROP TABLE x.tab le') == quoted


def test_the_cursor_is_the_mapped_expression_or_the_column() -> None:
    source = SqlSource(URLS["mysql"])
    assert cursor_expression(CATEGORIES, reads(), source) == "`updated_at`"
    assert cursor_expression(CATEGORIES, reads(columns={"updated_at": "changed"}), source) == "changed"


def test_a_table_and_a_source_of_different_kinds_are_a_defect() -> None:
    api = HttpSource("https://example.org", token=None)
    with pytest.raises(TypeError, match="catalogue_db/categories cannot be read from a HttpSource"):
        list(Extraction(CATEGORIES, api, TableState(), timedelta()).chunks())
    with pytest.raises(TypeError, match="catalogue_db/categories cannot be read from a HttpSource"):
        news(CATEGORIES, api, TableState())


ORDERS = raw_table(shop_db.Orders, DatabaseRead("o"))


def shop(folder: Path, *cursors: str | int | None) -> SqlSource:
    """A SQLite shop with one order per cursor value."""
    path = folder / "shop.db"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        columns = ", ".join(name for name in ORDERS.column_types if name not in ("order_id", "updated_at"))
        connection.execute(f"CREATE TABLE o (order_id INTEGER, updated_at, {columns})")
        connection.executemany("INSERT INTO o (order_id, updated_at) VALUES (?, ?)", list(enumerate(cursors, 1)))
    connection.close()
    return SqlSource(f"sqlite://{path}")


def asked_for(source: SqlSource, watermark: datetime | None, lookback: timedelta = timedelta(0)) -> list[int]:
    extraction = Extraction(ORDERS, source, TableState(watermark), lookback)
    return [int(n) for chunk in extraction.chunks() for n in chunk.rows.get_column("order_id")]


def test_rows_at_the_edge_of_the_look_back_and_ties_are_asked_for_again(tmp_path: Path) -> None:
    source = shop(tmp_path, "2026-02-28 23:59:59", "2026-03-01 00:00:00", "2026-03-01 00:00:00", "2026-03-03T00:00:00Z")
    assert asked_for(source, None) == [1, 2, 3, 4]
    assert asked_for(source, datetime(2026, 3, 3, tzinfo=UTC), timedelta(hours=48)) == [2, 3, 4]
    assert asked_for(source, datetime(2026, 3, 3, tzinfo=UTC)) == [4]


def test_rows_that_no_watermark_finds_are_asked_for_every_time(tmp_path: Path) -> None:
    source = shop(tmp_path, None, "1970-01-01", "garbage", "0000-00-00", "2199-01-01", "2026-01-01")
    assert asked_for(source, datetime(2026, 3, 3, tzinfo=UTC)) == [1, 2, 3, 4, 5]


def test_a_row_dated_ahead_does_not_hide_what_comes_before_its_date(tmp_path: Path) -> None:
    ahead = datetime(2099, 1, 1, tzinfo=UTC)
    now = datetime.now(UTC).replace(microsecond=0)
    source = shop(tmp_path, "2099-01-01", (now + timedelta(hours=1)).isoformat(), "2026-01-01")
    assert asked_for(source, ahead) == [1, 2]


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S+00:00"])
def test_there_is_news_only_behind_the_watermark_however_moments_are_written(tmp_path: Path, form: str) -> None:
    newest = datetime(2026, 3, 3, 12, tzinfo=UTC)
    source = shop(tmp_path, newest.strftime(form), None, "1970-01-01", "2199-01-01", "garbage")
    assert news(ORDERS, source, TableState()) == "2026-03-03 12:00:00.000"
    assert news(ORDERS, source, TableState(newest - timedelta(seconds=1))) == "2026-03-03 12:00:00.000"
    assert news(ORDERS, source, TableState(newest)) is None
    assert news(ORDERS, shop(tmp_path), TableState()) is None


def test_there_is_still_news_after_a_row_dated_ahead(tmp_path: Path) -> None:
    state = TableState(datetime(2099, 1, 1, tzinfo=UTC))
    before = news(ORDERS, shop(tmp_path, "2099-01-01", "2026-01-01"), state)
    assert news(ORDERS, shop(tmp_path, "2099-01-01", "2026-01-01"), state) == before
    assert news(ORDERS, shop(tmp_path, "2099-01-01", "2026-01-01", "2026-01-02"), state) != before
    assert news(ORDERS, shop(tmp_path, "2099-01-01", "2026-01-01", "2099-01-02"), state) != before


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    missing = RawTable("shop_db", "orders", shop_db.Orders, ("order_id",), "updated_at", DatabaseRead("nope"))
    source = shop(tmp_path)
    with pytest.raises(PermanentError, match="no such table: nope"):
        news(missing, source, TableState())
    with pytest.raises(PermanentError, match="no such table: nope"):
        list(Extraction(missing, source, TableState(), timedelta()).chunks())

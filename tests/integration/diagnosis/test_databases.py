"""The doctor on databases: what does not fit the contracts is said table by table and column by column."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import yaml

from simulator.databases import MySqlSink, PostgresSink
from simulator.world import World
from tests import servers
from tests.integration.diagnosis.conftest import Doctor

PURCHASES = (
    "CREATE TABLE purchases"
    " (purchase_id INT PRIMARY KEY, buyer INT, bought_at {moment}, total DECIMAL(10, 2), note TEXT)"
)
COLUMNS = {
    "order_id": "purchase_id",
    "customer_id": "buyer",
    "status": "'delivered'",
    "currency": "'USD'",
    "placed_at": "bought_at",
    "updated_at": "bought_at",
}


def sources(columns: dict[str, str] | None = None, **entry: object) -> Path:
    """A sources file that maps the orders to the purchases."""
    path = Path("sources.yml").absolute()
    table = {"columns": {**COLUMNS, **(columns or {})}, **(entry or {"table": "purchases"})}
    path.write_text(yaml.safe_dump({"sources": {"shop_db": {"tables": {"orders": table}}}}))
    return path


def execute(url: str, statements: Sequence[str]) -> None:
    if url.startswith("mysql"):
        servers.mariadb_execute(url, f"USE {urlsplit(url).path.lstrip('/')}", *statements)
    elif url.startswith("sqlite"):
        with closing(sqlite3.connect(urlsplit(url).path)) as file, file:
            for statement in statements:
                file.execute(statement)
    else:
        with psycopg.connect(url) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@pytest.fixture(params=["mysql", "postgresql", "sqlite"])
def shop_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with a table of purchases, on each kind of server."""
    if request.param == "sqlite":
        url = f"sqlite://{tmp_path / 'shop.db'}"
    else:
        url = request.getfixturevalue("mariadb_url" if request.param == "mysql" else "postgres_url")
    create = PURCHASES.format(moment="TIMESTAMP NULL" if request.param == "mysql" else "TIMESTAMP")
    execute(url, [create, "INSERT INTO purchases VALUES (1, 7, '2026-01-02 03:04:05', 9.90, 'x')"])
    return url


def test_a_mapping_that_fits_is_fine(doctor: Doctor, shop_url: str) -> None:
    report = doctor(shop_db_url=shop_url, sources_file=sources())
    assert report.exit_code == 0, report.text
    assert "1 row sampled, all good" in report.words("shop_db/orders", "ok")


def test_a_query_that_fits_is_fine(doctor: Doctor, shop_url: str) -> None:
    mapping = sources(query="SELECT * FROM purchases WHERE total > 0")
    report = doctor(shop_db_url=shop_url, sources_file=mapping)
    assert report.exit_code == 0, report.text
    assert "the query: 6 columns fit" in report.words("shop_db/orders", "ok")


def test_a_wrong_expression_names_its_column_and_what_was_meant(doctor: Doctor, shop_url: str) -> None:
    mapping = sources({"customer_id": "coalesce(byer, 0)", "placed_at": "bought_at bought_at bought_at"})
    report = doctor(shop_db_url=shop_url, sources_file=mapping)
    assert report.exit_code == 1
    assert "byer" in report.words("shop_db/orders.customer_id")
    assert "did you mean buyer?" in report.words("shop_db/orders.customer_id")
    assert "bought_at bought_at" in report.words("shop_db/orders.placed_at")
    assert not report.statuses("shop_db/orders.updated_at")


def test_an_expression_of_two_columns_is_refused(doctor: Doctor, shop_url: str) -> None:
    report = doctor(shop_db_url=shop_url, sources_file=sources({"customer_id": "buyer, note"}))
    assert "gives 2 columns" in report.words("shop_db/orders.customer_id")


def test_a_missing_required_column_is_named_with_the_columns_there_are(doctor: Doctor, shop_url: str) -> None:
    mapping = sources()
    given = yaml.safe_load(mapping.read_text())
    for column in ("order_id", "customer_id"):
        del given["sources"]["shop_db"]["tables"]["orders"]["columns"][column]
    mapping.write_text(yaml.safe_dump(given))
    report = doctor(shop_db_url=shop_url, sources_file=mapping)
    assert report.exit_code == 1
    assert "buyer" in report.words("shop_db/orders.customer_id")
    assert "has no column order_id, which is required" in report.words("shop_db/orders.order_id")


def test_a_missing_table_is_named_with_the_one_that_was_meant(doctor: Doctor, shop_url: str) -> None:
    report = doctor(shop_db_url=shop_url, sources_file=sources(table="purchase"))
    assert "no table purchase" in report.words("shop_db/orders")
    assert "did you mean purchases?" in report.words("shop_db/orders")


def test_a_wrong_query_is_told_in_the_words_of_the_database(doctor: Doctor, shop_url: str) -> None:
    report = doctor(shop_db_url=shop_url, sources_file=sources(query="SELECT * FORM purchases"))
    assert "its query" in report.words("shop_db/orders")


def test_values_that_do_not_fit_are_counted_with_an_example(doctor: Doctor, shop_url: str) -> None:
    rows = [f"INSERT INTO purchases VALUES ({n}, 7, '2026-01-02 03:04:05', 9.90, 'x')" for n in range(2, 20)]
    execute(shop_url, [*rows, "INSERT INTO purchases VALUES (20, NULL, '2026-01-02 03:04:05', 1.00, 'EURO')"])
    currency = "CASE note WHEN 'EURO' THEN note ELSE 'USD' END"
    tax = "CASE note WHEN 'EURO' THEN 'ten' ELSE '1.50' END"
    mapping = sources({"currency": currency, "tax_amount": tax, "shipping_amount": "'free'"})
    report = doctor(shop_db_url=shop_url, sources_file=mapping)
    assert report.exit_code == 1
    assert "1 of 20 sampled values is missing" in report.words("shop_db/orders.customer_id", "warning")
    assert "rule allowed_values, e.g. 'EURO'" in report.words("shop_db/orders.currency", "warning")
    assert "does not parse as an amount" in report.words("shop_db/orders.tax_amount", "warning")
    assert "e.g. 'ten'" in report.words("shop_db/orders.tax_amount", "warning")
    # More than the share at which the readers of a table wait.
    assert "20 of 20 sampled values do not parse" in report.words("shop_db/orders.shipping_amount", "failed")


def test_a_key_that_repeats_is_pointed_out(doctor: Doctor, shop_url: str) -> None:
    execute(shop_url, ["INSERT INTO purchases VALUES (2, 7, '2026-01-02 03:04:05', 9.90, 'x')"])
    report = doctor(shop_db_url=shop_url, sources_file=sources({"order_id": "buyer"}))
    assert "1 of 2 sampled rows repeats the key" in report.words("shop_db/orders.order_id", "warning")


def test_the_type_of_an_empty_table_must_be_able_to_fit(doctor: Doctor, mariadb_url: str) -> None:
    execute(mariadb_url, [PURCHASES.format(moment="INT")])
    report = doctor(shop_db_url=mariadb_url, sources_file=sources({"customer_id": "curdate()"}))
    assert "cannot become a moment" in report.words("shop_db/orders.placed_at")
    assert "cannot become a whole number" in report.words("shop_db/orders.customer_id")


def test_a_zero_date_is_counted_not_fatal(doctor: Doctor, mariadb_url: str) -> None:
    rows = ["SET sql_mode = ''"] + [
        f"INSERT INTO purchases VALUES ({n}, 7, '{'0000-00-00' if n < 3 else '2026-01-02'}', 1, '')" for n in range(20)
    ]
    execute(mariadb_url, [PURCHASES.format(moment="DATETIME"), *rows])
    report = doctor(shop_db_url=mariadb_url, sources_file=sources())
    words = report.words("shop_db/orders.placed_at", "warning")
    assert "3 of 20 sampled values do not parse as a moment, e.g. '0000-00-00" in words


@pytest.mark.parametrize("engine", ["mysql", "postgresql"])
def test_a_big_table_whose_cursor_has_no_index_is_pointed_out(
    doctor: Doctor, engine: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("mariadb_url" if engine == "mysql" else "postgres_url")
    numbers = "seq FROM seq_1_to_120000" if engine == "mysql" else "seq FROM generate_series(1, 120000) AS seq"
    fill = f"INSERT INTO purchases SELECT seq, 7, '2026-01-02', 1.00, '' FROM (SELECT {numbers}) AS s"
    analyse = "ANALYZE TABLE purchases" if engine == "mysql" else "ANALYZE purchases"
    execute(url, [PURCHASES.format(moment="TIMESTAMP"), fill.replace("SELECT seq,", "SELECT s.seq,")])
    execute(url, [analyse])
    report = doctor(shop_db_url=url, sources_file=sources())
    assert "has no index" in report.words("shop_db/orders.updated_at", "warning")
    assert report.exit_code == 0
    execute(url, ["CREATE INDEX by_time ON purchases (bought_at)", analyse])
    assert not doctor().statuses("shop_db/orders.updated_at")


def test_a_login_without_select_is_told_what_to_grant(doctor: Doctor, mariadb_url: str) -> None:
    name = urlsplit(mariadb_url).path.lstrip("/")
    execute(
        mariadb_url,
        [
            PURCHASES.format(moment="DATETIME"),
            "CREATE TABLE other (id INT)",
            "CREATE OR REPLACE USER narrow@'127.0.0.1' IDENTIFIED BY 'narrow-secret'",
            f"GRANT SELECT ON {name}.other TO narrow@'127.0.0.1'",
        ],
    )
    parts = urlsplit(mariadb_url)
    url = urlunsplit(parts._replace(netloc=f"narrow:narrow-secret@{parts.hostname}:{parts.port}"))
    report = doctor(shop_db_url=url, sources_file=sources())
    assert "SELECT" in report.words("shop_db/orders")
    assert "grant this user SELECT on purchases" in report.words("shop_db/orders")
    assert "narrow-secret" not in report.text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://reader:top-secret@127.0.0.1:1/shop", "does not answer"),
        ("postgresql://reader:top-secret@127.0.0.1:1/shop", "does not answer"),
        ("postgresql://reader:top-secret@no-such-host.invalid/shop", "does not answer"),
        ("sqlite:///nowhere/shop.db", "unable to open"),
        ("oracle://reader:top-secret@127.0.0.1/shop", "mysql://"),
        ("shop.example.com", "mysql://"),
    ],
)
def test_a_database_that_cannot_be_used_fails_and_the_others_go_on(doctor: Doctor, url: str, words: str) -> None:
    report = doctor(shop_db_url=url, catalogue_db_url="postgresql://u@127.0.0.1:1/c")
    assert report.exit_code == 1
    assert words in report.words("shop_db")
    assert report.words("catalogue_db")
    assert report.statuses("web_logs") == {"embedded"}
    assert "top-secret" not in report.text


@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"])
def test_a_wrong_password_or_database_is_told(doctor: Doctor, server: str, request: pytest.FixtureRequest) -> None:
    parts = urlsplit(request.getfixturevalue(server))
    wrong = parts._replace(netloc=f"{parts.username}:not-the-one@{parts.hostname}:{parts.port}")
    report = doctor(shop_db_url=urlunsplit(wrong), catalogue_db_url=urlunsplit(parts._replace(path="/nowhere")))
    assert report.exit_code == 1
    assert "refuses" in report.words("shop_db")
    assert "nowhere" in report.words("catalogue_db")
    assert "not-the-one" not in report.text


def test_the_standard_tables_of_both_servers_fit(doctor: Doctor, mariadb_url: str, postgres_url: str) -> None:
    day = World(seed=3, scale=0.02, error_rate=0.0, start=date(2026, 1, 1)).day(0)
    MySqlSink(mariadb_url).write(day)
    PostgresSink(postgres_url, "catalogue_db").write(day)
    report = doctor(shop_db_url=mariadb_url, catalogue_db_url=postgres_url)
    assert report.exit_code == 0, report.text
    about = [f for f in report.findings if f["subject"].startswith(("shop_db/", "catalogue_db/"))]
    assert {f["status"] for f in about} == {"ok"}
    assert len(about) == 10


@pytest.mark.parametrize(
    ("text", "subject", "words"),
    [
        ("sources: [", "sources file", "line 1"),
        ("", "sources file", "does not fit"),
        ("sources: {shop_bd: {}}", "shop_bd", "did you mean shop_db?"),
        ("sources: {shop_db: {tables: {order: {}}}}", "shop_db/order", "did you mean orders"),
        ("sources: {shop_db: {tables: {orders: {columns: {orderid: id}}}}}", "shop_db/orders.orderid", "order_id"),
        ("sources: {shop_db: {tables: {orders: {colums: {}}}}}", "sources file", "colums"),
        ("sources: {web_logs: {tables: {events: {table: x}}}}", "web_logs/events", "takes no mapping"),
        ("sources: {shop_db: {tables: {orders: {table: purchases}}}}", "shop_db", "SHOPSPHERE_SHOP_DB_URL"),
    ],
)
def test_mistakes_in_the_sources_file_are_named(doctor: Doctor, text: str, subject: str, words: str) -> None:
    Path("sources.yml").write_text(text)
    report = doctor(sources_file="sources.yml")
    assert report.exit_code == 1
    assert words in report.words(subject)


def test_an_address_that_the_sources_file_leaves_unused_is_pointed_out(doctor: Doctor) -> None:
    Path("sources.yml").write_text("sources: {web_logs: {}}")
    report = doctor(sources_file="sources.yml", reviews_url="https://reviews.example")
    assert report.exit_code == 0
    assert "nothing is read" in report.words("reviews", "warning")


def test_a_log_that_cannot_be_followed_is_told_with_its_remedy(postgres_url: str, doctor: Doctor) -> None:
    execute(postgres_url, [PURCHASES.format(moment="timestamp")])
    report = doctor(shop_db_url=postgres_url, shop_db_capture="log")
    assert "wal_level is minimal" in report.words("shop_db change log")
    assert "wal_level = logical" in report.words("shop_db change log")
    assert report.exit_code == 1


def test_a_mapping_that_the_log_cannot_serve_is_told(wal_url: str, doctor: Doctor) -> None:
    execute(wal_url, [PURCHASES.format(moment="timestamp")])
    report = doctor(shop_db_url=wal_url, shop_db_capture="log", sources_file=sources())
    assert "mapped to the expression 'delivered'" in report.words("shop_db change log")

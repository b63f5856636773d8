"""What every database gives arrives as it stands there, and what it refuses is said plainly, without secrets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import polars as pl
import psycopg
import pymysql
import pytest
from psycopg import sql

from resources import sql_source
from resources.errors import PermanentError, TransientError
from resources.sql_source import SqlSource
from tests.servers import mariadb_execute

ODD_PASSWORD = "p@s:s/w%41#é ?&+'\"[x]"
ODD_USER = "o dd@us:er"


def rows(source: SqlSource, query: str, key: tuple[str, ...] = ("id",)) -> tuple[pl.DataFrame, int]:
    """The rows of a query, and how often the reader began anew."""
    frames: list[pl.DataFrame] = []
    restarts = 0
    for chunk in source.read(query, key):
        if chunk.restart:
            frames, restarts = [], restarts + 1
        else:
            frames.append(chunk.rows)
    return pl.concat(frames), restarts


def value(source: SqlSource, expression: str) -> Any:
    """What becomes of one SQL expression."""
    return rows(source, f"SELECT {expression} AS v, 1 AS id")[0].item(0, "v")


@contextmanager
def mysql(url: str) -> Iterator[Any]:
    parts = urlsplit(url)
    with (
        pymysql.connect(
            host="127.0.0.1",
            port=parts.port or 3306,
            user=parts.username,
            password=parts.password or "",
            database=parts.path[1:],
            charset="utf8mb4",
            autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def test_every_type_of_mariadb_arrives_as_it_stands(mariadb_url: str) -> None:
    with mysql(mariadb_url) as cursor:
        cursor.execute(
            "CREATE TABLE t (id int PRIMARY KEY, emoji varchar(20), huge bigint unsigned, wide decimal(38,4),"
            " fine decimal(20,15), money decimal(18,2), flag bit(1), bits bit(8), hours time, doc json,"
            " choice enum('a','b'), options set('x','y'), moment datetime(6), stamp timestamp(6) NULL, day date,"
            " yes tinyint(1), small tinyint, year year, ratio double, single float, raw blob,"
            " words text, fixed char(5), exact varchar(9) COLLATE utf8mb4_bin)"
        )
        cursor.execute(
            "INSERT INTO t VALUES (1, '😀 é', 18446744073709551615, '1234567890.1234', '0.123456789012345', '12.30',"
            " b'1', b'10101010', '30:11:12', '{\"a\": 1}', 'b', 'x,y', '2026-01-01 10:11:12.123456',"
            " '2026-01-01 10:11:12.123456', '2026-01-01', 1, -5, 2026, 0.1, 0.1, x'fffe',"
            " CONCAT('a', CHAR(0), 'b'), 'ab', 'É')"
        )
        cursor.execute("INSERT INTO t (id) VALUES (2)")
    frame, restarts = rows(SqlSource(mariadb_url), "SELECT * FROM t ORDER BY id")
    assert restarts == 0
    given, empty = frame.to_dicts()
    assert given == {
        "id": 1,
        "emoji": "😀 é",
        "huge": 2**64 - 1,
        # Possibly wider than the 38 digits that Arrow's decimals have.
        "wide": "1234567890.1234",
        "fine": Decimal("0.123456789012345"),
        "money": Decimal("12.30"),
        "flag": 1,
        "bits": 0b10101010,
        "hours": "30:11:12",
        "doc": '{"a": 1}',
        "choice": "b",
        "options": "x,y",
        "moment": datetime(2026, 1, 1, 10, 11, 12, 123456),  # noqa: DTZ001
        "stamp": datetime(2026, 1, 1, 10, 11, 12, 123456),  # noqa: DTZ001
        "day": date(2026, 1, 1),
        "yes": 1,
        "small": -5,
        "year": 2026,
        "ratio": 0.1,
        "single": pytest.approx(0.1),
        "raw": b"\xff\xfe",
        "words": "a\x00b",
        "fixed": "ab",
        "exact": "É",
    }
    assert set(empty.values()) == {2, None}


def test_every_type_of_postgresql_arrives_as_it_stands(postgres_url: str) -> None:
    source = SqlSource(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        connection.execute("CREATE DOMAIN price AS numeric(10, 2)")
    expected: dict[str, Any] = {
        "'😀 é'::text": "😀 é",
        "5::smallint": 5,
        "9223372036854775807::bigint": 2**63 - 1,
        "12.30::numeric(18,2)": Decimal("12.30"),
        "12.30::price": Decimal("12.30"),
        "12.34567890123::numeric": "12.34567890123",
        "0.123456789012345::numeric(20,15)": Decimal("0.123456789012345"),
        "12345678901234567890123456789012.1234::numeric(38,4)": Decimal("12345678901234567890123456789012.1234"),
        "1.5::numeric(40,2)": "1.50",
        "'NaN'::numeric": "NaN",
        "1.1::real": "1.1",
        "0.1::double precision": 0.1,
        "true": True,
        "'2026-01-01 10:00:00.123456+05:30'::timestamptz": datetime(2026, 1, 1, 4, 30, 0, 123456, tzinfo=UTC),
        "'2026-01-01'::date": date(2026, 1, 1),
        "'24:00'::time": "24:00:00",
        "'12:00+02'::timetz": "12:00:00+02",
        "'36 hours'::interval": "36:00:00",
        "'12.50'::money": "$12.50",
        "'{\"a\": 12345678901234567890.123}'::jsonb": '{"a": 12345678901234567890.123}',
        '\'{"a":1.10,  "a":2}\'::json': '{"a":1.10,  "a":2}',
        "'ab'::char(5)": "ab",
        "'glad'::mood": "glad",
        "'\\xfffe'::bytea": b"\xff\xfe",
        "ARRAY['a', 'b c']": '{a,"b c"}',
        "B'101'": "101",
        "'10.0.0.1'::inet": "10.0.0.1/32",
        "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "ROW(1, 'x')": "(1,x)",
        "NULL": None,
        "NULL::numeric": None,
    }
    assert {expression: value(source, expression) for expression in expected} == expected


def test_every_value_of_sqlite_arrives_as_it_stands_whatever_its_columns_type(tmp_path: Path) -> None:
    path = tmp_path / "odd %41 näme.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INTEGER, v INTEGER)")
        values = [None, 5, "text", 0.1 + 0.2, 2**63 - 1, "12.50", "😀", b"caf\xc3\xa9", "2026-01-01 10:00:00"]
        connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(values)))
    connection.close()
    source = SqlSource(f"sqlite://{quote(str(path))}")
    frame, _ = rows(source, "SELECT * FROM t ORDER BY id")
    assert frame.get_column("v").to_list() == [
        *(None, "5", "text", "0.30000000000000004", str(2**63 - 1), "12.5", "😀", "café"),
        "2026-01-01 10:00:00",
    ]
    assert value(source, "x'fffe'") == b"\xff\xfe"
    assert [column.name for column in source.describe("SELECT * FROM t")] == ["id", "v"]


def test_values_that_the_fast_reader_cannot_hold_arrive_as_text(mariadb_url: str) -> None:
    with mysql(mariadb_url) as cursor:
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute(
            "CREATE TABLE t (id int PRIMARY KEY, moment datetime, day date, wide decimal(38,4), raw blob, flag bit(1))"
        )
        cursor.execute(
            "INSERT INTO t VALUES (1, '2026-01-01 10:00:00', '2026-01-01', '1.5', x'fffe', b'1'),"
            " (2, '0000-00-00', '2026-02-30', '1234567890123456789012345678901234.5', NULL, b'0')"
        )
    frame, restarts = rows(SqlSource(mariadb_url), "SELECT * FROM t ORDER BY id")
    assert restarts == 1
    assert frame.rows() == [
        (1, "2026-01-01 10:00:00", "2026-01-01", "1.5000", b"\xff\xfe", 1),
        (2, "0000-00-00 00:00:00", "2026-02-30", "1234567890123456789012345678901234.5000", None, 0),
    ]


def test_a_moment_of_a_server_in_another_zone_arrives_in_utc(mariadb_url: str, postgres_url: str) -> None:
    with mysql(mariadb_url) as cursor:
        cursor.execute("SET time_zone = '+05:30'")
        cursor.execute("CREATE TABLE t (id int, v timestamp)")
        cursor.execute("INSERT INTO t VALUES (1, '2026-01-01 10:00:00')")
    frame, _ = rows(SqlSource(mariadb_url), "SELECT * FROM t")
    assert frame.item(0, "v") == datetime(2026, 1, 1, 4, 30)  # noqa: DTZ001
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET timezone = 'Asia/Kolkata'").format(
                sql.Identifier(urlsplit(postgres_url).path[1:])
            )
        )
    assert value(SqlSource(postgres_url), "'2026-01-01 10:00:00+05:30'::timestamptz::text") == "2026-01-01 04:30:00+00"


def test_an_empty_result_has_its_columns_or_no_chunk(mariadb_url: str, postgres_url: str) -> None:
    for url in (mariadb_url, postgres_url):
        chunks = list(SqlSource(url).read("SELECT 1 AS id, 'x' AS v FROM (SELECT 1 AS one) AS t WHERE 1 = 0", ["id"]))
        assert sum(chunk.rows.height for chunk in chunks) == 0


def test_a_large_table_comes_in_chunks_and_in_order(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 1_000)
    chunks = list(SqlSource(postgres_url).read("SELECT i AS id FROM generate_series(1, 2500) AS i", ["id"]))
    assert [chunk.rows.height for chunk in chunks] == [1_000, 1_000, 500]
    assert pl.concat([chunk.rows for chunk in chunks]).get_column("id").to_list() == list(range(1, 2501))
    assert all(chunk.bytes_read > 0 for chunk in chunks)


def test_the_position_is_made_of_the_key_whatever_it_is(postgres_url: str) -> None:
    query = "SELECT 1 AS a, NULL::text AS b, '\\xff'::bytea AS c"
    (chunk,) = SqlSource(postgres_url).read(query, ("a", "b", "c"))
    assert chunk.positions(chunk.rows).to_list() == ["a=1,b=null,c=ff"]


def test_columns_with_odd_names_are_read(mariadb_url: str, postgres_url: str) -> None:
    # The second column needs a cast, and with it the names are written out.
    for url, odd, cast in ((mariadb_url, '`odd "``name`', "TIME"), (postgres_url, '"odd ""`name"', "time")):
        frame, _ = rows(SqlSource(url), f"SELECT 1 AS id, 2 AS {odd}, CAST('10:00:00' AS {cast}) AS t")
        assert frame.columns == ["id", 'odd "`name', "t"]


def test_columns_are_described_with_their_types(mariadb_url: str, postgres_url: str) -> None:
    query = "SELECT CAST(1 AS decimal(10,2)) AS amount, CAST('2026-01-01' AS date) AS day"
    described = [(c.name, c.type_name, c.scale) for c in SqlSource(mariadb_url).describe(query)]
    assert described == [("amount", "newdecimal", 2), ("day", "date", 0)]
    described = [(c.name, c.type_name, c.scale) for c in SqlSource(postgres_url).describe(query)]
    assert described == [("amount", "numeric", 2), ("day", "date", None)]


@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"])
def test_a_connection_lost_midway_is_no_end_of_the_rows(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 1_000)
    url = request.getfixturevalue(server)
    source = SqlSource(url)
    count = 200_000
    series = f"seq_1_to_{count}" if source.dialect == "mysql" else f"generate_series(1, {count}) AS seq"
    killed, ids = False, list[int]()
    for chunk in source.read(f"SELECT seq AS id, repeat('x', 200) AS v FROM {series}", ["id"]):
        if chunk.restart:
            ids = []
            continue
        ids += chunk.rows.get_column("id").to_list()
        if not killed:
            killed = True
            assert _end_connections(url) == 1
    assert ids == list(range(1, count + 1))


def _end_connections(url: str) -> int:
    """End every connection to the database but this one; how many there were."""
    if url.startswith("mysql"):
        with mysql(url) as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            )
            found = cursor.fetchall()
            for (number,) in found:
                cursor.execute(f"KILL {number}")
            return len(found)
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).rowcount


def test_a_server_that_is_gone_midway_is_away(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_source, "BATCH_ROWS", 1_000)
    source = SqlSource(postgres_url)
    chunks = source.read("SELECT i AS id, repeat('x', 200) AS v FROM generate_series(1, 200000) AS i", ["id"])
    next(chunks)
    name = sql.Identifier(urlsplit(postgres_url).path[1:])
    # A server that takes no connections any more, as one that shuts down.
    server = postgres_url.rpartition("/")[0] + "/postgres"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [name.as_string().strip('"')],
            )
            with pytest.raises(TransientError, match="not currently accepting connections"):
                list(chunks)
        finally:
            connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"])
def test_a_query_that_fails_midway_is_refused(server: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(server)
    failing = {
        "mariadb_url": "SELECT seq AS id, (SELECT 1 UNION SELECT seq) AS v FROM seq_1_to_3",
        "postgres_url": "SELECT i AS id, 1 / (i - 3) AS v FROM generate_series(1, 5) AS i",
    }[server]
    with pytest.raises(PermanentError):
        list(SqlSource(url).read(failing, ["id"]))


Attempt = Callable[[SqlSource], object]
ATTEMPTS: dict[str, Attempt] = {
    "read": lambda source: list(source.read("SELECT 1 AS id", ["id"])),
    "ask": lambda source: source.ask("SELECT 1"),
    "describe": lambda source: source.describe("SELECT 1 AS id"),
}


@pytest.fixture(params=list(ATTEMPTS))
def attempt(request: pytest.FixtureRequest) -> Attempt:
    return ATTEMPTS[request.param]


def test_odd_users_and_passwords_work_in_mariadb(mariadb_url: str, mariadb_server: str, attempt: Attempt) -> None:
    account = f"`{ODD_USER}`@'127.0.0.1'"
    password = ODD_PASSWORD.replace("'", "''")
    mariadb_execute(
        mariadb_server,
        f"CREATE OR REPLACE USER {account} IDENTIFIED BY '{password}'",
        f"GRANT ALL ON {urlsplit(mariadb_url).path[1:]}.* TO {account}",
    )
    attempt(SqlSource(_with_user(mariadb_url, ODD_USER, ODD_PASSWORD)))
    _refused_without_secret(SqlSource(_with_user(mariadb_url, ODD_USER, "wr@ng/s3cret%")), attempt, "Access denied")


def test_odd_users_and_passwords_work_in_postgresql(postgres_url: str, attempt: Attempt) -> None:
    role = sql.Identifier(ODD_USER)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(ODD_PASSWORD)))
        try:
            attempt(SqlSource(_with_user(postgres_url, ODD_USER, ODD_PASSWORD)))
            wrong = SqlSource(_with_user(postgres_url, ODD_USER, "wr@ng/s3cret%"))
            _refused_without_secret(wrong, attempt, "authentication failed")
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


def _with_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{parts.port}{parts.path}"


def _refused_without_secret(source: SqlSource, attempt: Attempt, what: str) -> PermanentError:
    with pytest.raises(PermanentError, match=what) as caught:
        attempt(source)
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert "s3cret" not in shown
    assert caught.value.where == source.name
    return caught.value


def test_an_unknown_database_is_refused_at_once(mariadb_server: str, postgres_url: str, attempt: Attempt) -> None:
    _refused_without_secret(SqlSource(f"{mariadb_server}/nowhere"), attempt, "Unknown database 'nowhere'")
    _refused_without_secret(SqlSource(f"{postgres_url}_nowhere"), attempt, "does not exist")


def test_unknown_tables_and_columns_are_refused(mariadb_url: str, postgres_url: str) -> None:
    for url, no_table, no_column in (
        (mariadb_url, "nowhere' doesn't exist", "Unknown column 'nothing'"),
        (postgres_url, 'relation "nowhere" does not exist', 'column "nothing" does not exist'),
    ):
        for query, what in (("SELECT * FROM nowhere", no_table), ("SELECT nothing AS id", no_column)):
            for attempt in (lambda s, q=query: list(s.read(q, ["id"])), lambda s, q=query: s.ask(q)):
                _refused_without_secret(SqlSource(url), attempt, what)


def test_a_user_who_may_not_read_is_refused(mariadb_url: str, mariadb_server: str, postgres_url: str) -> None:
    database = urlsplit(mariadb_url).path[1:]
    mariadb_execute(
        mariadb_server,
        f"CREATE TABLE {database}.t (id int)",
        "CREATE OR REPLACE USER lim@'127.0.0.1' IDENTIFIED BY 'x'",
        f"GRANT INSERT ON {database}.t TO lim@'127.0.0.1'",
    )
    query = ("SELECT * FROM t", ["id"])
    limited = SqlSource(_with_user(mariadb_url, "lim", "x"))
    _refused_without_secret(limited, lambda s: list(s.read(*query)), "SELECT command denied")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int)")
        connection.execute("CREATE ROLE lim LOGIN PASSWORD 'x'")
        try:
            limited = SqlSource(_with_user(postgres_url, "lim", "x"))
            _refused_without_secret(limited, lambda s: list(s.read(*query)), "permission denied for table t")
        finally:
            connection.execute("DROP ROLE lim")


@pytest.mark.parametrize("scheme", ["mysql", "postgresql"])
@pytest.mark.parametrize("host", ["127.0.0.1:1", "nowhere.invalid:3306"])
def test_a_server_that_does_not_answer_is_away(scheme: str, host: str, attempt: Attempt) -> None:
    source = SqlSource(f"{scheme}://ada:s3cret%40x@{host}/shop")
    with pytest.raises(TransientError, match="does not answer") as caught:
        attempt(source)
    assert "s3cret" not in str(caught.value)
    assert caught.value.where == f"{scheme}://ada@{host}/shop"


def test_a_sqlite_file_that_is_missing_or_none_is_refused_and_not_created(tmp_path: Path, attempt: Attempt) -> None:
    missing = tmp_path / "missing.db"
    with pytest.raises(PermanentError, match="unable to open database file") as caught:
        attempt(SqlSource(f"sqlite://{missing}"))
    assert caught.value.where == f"sqlite://{missing}"
    assert not missing.exists()
    (tmp_path / "notes.db").write_text("no database " * 100)
    with pytest.raises(PermanentError, match="not a database"):
        list(SqlSource(f"sqlite://{tmp_path}/notes.db").read("SELECT * FROM t", ["id"]))


def test_a_locked_sqlite_file_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shop.db"
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.01}))
    writer = connect(path)
    writer.execute("CREATE TABLE t (id int)")
    writer.commit()
    writer.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(TransientError, match="locked"):
            list(SqlSource(f"sqlite://{path}").read("SELECT * FROM t", ["id"]))
    finally:
        writer.close()


def test_a_source_only_reads(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    sqlite3.connect(path).close()
    with pytest.raises(PermanentError, match="readonly"):
        SqlSource(f"sqlite://{path}").ask("CREATE TABLE t (id int)")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ada:s3cr@t@db/shop",
        "mysql://ada:wr@ng/s3cret%@db:3306/shop",
        "postgresql://ada:s3#cr@et@db/shop",
        "postgresql://ada:s3?cr@et@db/shop",
        "mysql://ada:s3/cret@db/shop",
        "mysql://ada:x@db:s3cret/shop",
        "mysql://ada:x@db:99999/shop",
        "mysql://ada:[s3cret@db/shop",
    ],
)
def test_a_url_that_could_mean_several_things_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(PermanentError, match="cannot be understood") as caught:
        SqlSource(url)
    for part in ("s3", "cr", "ng/", "99999", "et@"):
        assert part not in caught.value.what + caught.value.where
    assert "%40" in caught.value.remedy


@pytest.mark.parametrize("url", ["oracle://ada:s3cret@db/shop", "https://example.org", "shop.db", "", "s3cret"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(PermanentError, match=r"not a database|not a URL") as caught:
        SqlSource(url)
    assert "s3cret" not in str(caught.value)
    assert "mysql://, postgresql:// or sqlite://" in caught.value.remedy


@pytest.mark.parametrize("url", ["sqlite://shop.db", "sqlite://", "sqlite:///"])
def test_a_sqlite_url_without_an_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(PermanentError, match="absolute path"):
        SqlSource(url)


def test_the_usual_names_of_the_schemes_are_understood() -> None:
    dialects = {
        "mysql": ("mysql", "mariadb", "mysql+pymysql", "MySQL"),
        "postgresql": ("postgresql", "postgres", "postgresql+psycopg"),
    }
    for dialect, schemes in dialects.items():
        assert {SqlSource(f"{scheme}://db/shop").dialect for scheme in schemes} == {dialect}


def test_infinite_dates_arrive_as_they_stand_and_not_as_the_year_262142(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE t (id bigint, day date, moment timestamptz)")
        connection.execute("INSERT INTO t VALUES (1, 'infinity', '2026-01-01T00:00Z'), (2, '2026-01-01', '-infinity')")
    frame, restarts = rows(SqlSource(postgres_url), "SELECT * FROM t ORDER BY id")
    assert restarts == 1
    assert frame.select("day", "moment").rows() == [
        ("infinity", "2026-01-01 00:00:00+00"),
        ("2026-01-01", "-infinity"),
    ]


def test_a_column_that_may_be_empty_keeps_zero_dates_and_missing_ones_apart(mariadb_url: str) -> None:
    with mysql(mariadb_url) as cursor:
        cursor.execute("SET sql_mode = ''")
        cursor.execute("CREATE TABLE t (id int PRIMARY KEY, given date, required date NOT NULL)")
        cursor.execute("INSERT INTO t VALUES (1, NULL, '2026-01-01'), (2, '2026-01-02', '2026-01-02')")
        source = SqlSource(mariadb_url)
        frame, restarts = rows(source, "SELECT * FROM t ORDER BY id")
        assert restarts == 0
        assert frame.get_column("given").to_list() == [None, date(2026, 1, 2)]
        for column in ("given", "required"):
            cursor.execute(f"UPDATE t SET {column} = '0000-00-00' WHERE id = 2")
            frame, restarts = rows(source, f"SELECT id, {column} AS v FROM t ORDER BY id")
            assert restarts == 1
            assert frame.item(1, "v") == "0000-00-00"


@pytest.mark.parametrize("server", ["mariadb_url", "postgres_url"])
def test_who_stops_reading_midway_leaves_no_connection_behind(server: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(server)
    source = SqlSource(url)
    series = "seq_1_to_200000" if source.dialect == "mysql" else "generate_series(1, 200000) AS seq"
    chunks = source.read(f"SELECT seq AS id FROM {series}", ["id"])
    next(chunks)
    chunks.close()
    assert _end_connections(url) == 0

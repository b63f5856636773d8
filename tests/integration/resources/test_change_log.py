"""The change logs of real servers: what they must be set to, and that no value differs from a read of the table."""

from __future__ import annotations

from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest

from resources.change_log import ChangeLog, LoggedTable, TableChanges, open_change_log
from resources.embedded import EmbeddedPostgres
from resources.errors import PermanentError
from resources.sql_source import SqlSource
from tests.servers import mariadb_execute

MYSQL_COLUMNS = {
    "id": ("bigint unsigned PRIMARY KEY", "18446744073709551615"),
    "ti": ("tinyint", "-128"),
    "flag": ("tinyint(1)", "1"),
    "tu": ("tinyint unsigned", "255"),
    "sm": ("smallint", "-32768"),
    "me": ("mediumint", "-8388608"),
    "mu": ("mediumint unsigned", "16777215"),
    "iu": ("int unsigned", "4294967295"),
    "bi": ("bigint", "-9223372036854775808"),
    "fl": ("float", "1.1"),
    "db": ("double", "-1.7976931348623157e308"),
    "money": ("decimal(18,2)", "-12345678901.05"),
    "fine": ("decimal(30,20)", "-0.00000000000000000001"),
    "whole": ("decimal(20,0)", "123456789012"),
    "part": ("decimal(5,5)", "-0.00012"),
    "day": ("date", "'2024-02-29'"),
    "clock": ("time", "'-838:59:59'"),
    "clock6": ("time(6)", "'-00:00:00.000001'"),
    "clock3": ("time(3)", "'01:02:03.45'"),
    "moment": ("datetime", "'9999-12-31 23:59:59'"),
    "moment6": ("datetime(6)", "'1000-01-01 00:00:00.000001'"),
    "moment1": ("datetime(1)", "'2024-01-02 03:04:05.1'"),
    "stamp": ("timestamp NULL", "'1970-01-01 00:00:01'"),
    "stamp5": ("timestamp(5) NULL", "'2024-01-02 03:04:05.12345'"),
    "yr": ("year", "2155"),
    "fixed": ("char(5)", "'ab '"),
    "vary": ("varchar(300)", "'é😀\\\\'"),
    "long_text": ("longtext", "REPEAT('x', 70000)"),
    "latin": ("varchar(20) CHARACTER SET latin1", "'ü€'"),
    "wide": ("varchar(20) CHARACTER SET utf16", "'ü😀'"),
    "fixed_bytes": ("binary(4)", "X'61000000'"),
    "some_bytes": ("varbinary(10)", "X'0001ff'"),
    "blob_bytes": ("blob", "X'ff00'"),
    "choice": ("enum('a','ü','c')", "'ü'"),
    "choices": ("set('x','y','ß')", "'ß,x'"),
    "bit1": ("bit(1)", "1"),
    "bit64": ("bit(64)", "b'1000000000000000000000000000000000000000000000000000000000000001'"),
    "json_text": ("json", '\'{"a": [1, 2.50, "ü"]}\''),
}

POSTGRES_COLUMNS = {
    "id": ("bigint PRIMARY KEY", "-9223372036854775808"),
    "flag": ("boolean", "true"),
    "sm": ("smallint", "-32768"),
    "it": ("integer", "2147483647"),
    "fl": ("real", "1.1"),
    "db": ("double precision", "'-Infinity'"),
    "money": ("numeric(18,2)", "-1234567890123456.05"),
    "fine": ("numeric(30,20)", "-0.00000000000000000001"),
    "free": ("numeric", "'NaN'"),
    "day": ("date", "'2024-02-29'"),
    "clock": ("time(3)", "'23:59:59.999'"),
    "moment": ("timestamp", "'2024-01-02 03:04:05.000006'"),
    "zoned": ("timestamptz", "'2024-01-02 03:04:05.1+05:30'"),
    "span": ("interval", "'1 year 2 days 03:04:05.6'"),
    "fixed": ("char(5)", "'ab'"),
    "vary": ("varchar(300)", "E'é😀\\\\'"),
    "some_bytes": ("bytea", "'\\x0001ff'"),
    "json_text": ("json", '\'{"a": [1, 2.50, "ü"]}\''),
    "json_binary": ("jsonb", '\'{"a": [1, 2.50, "ü"]}\''),
    "identity": ("uuid", "'c784d2b6-e55b-11f1-ac08-02fc00000001'"),
    "numbers": ("integer[]", "'{1,NULL,3}'"),
    "address": ("inet", "'::1'"),
    "address4": ("inet", "'10.0.0.1'"),
    "network": ("inet", "'10.0.0.0/8'"),
    "bits": ("bit varying(10)", "B'101'"),
}


def follow(url: str, columns: dict[str, tuple[str, str]], *statements: str) -> tuple[TableChanges, pl.DataFrame]:
    """What the log gives of the table ``types`` after the statements, and what a read of the table gives."""
    source = SqlSource(url)
    created = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    _execute(source, url, f"CREATE TABLE types ({created})")
    log = open_change_log(url, [LoggedTable("types", ("id",), tuple(columns))], name="types")
    log.prepare()
    after = {"types": log.position()}
    _execute(source, url, *statements)
    [drain] = log.changes(after, limit=1000)
    chunks = [chunk for chunk in source.read("SELECT * FROM types", ["id"]) if chunk.rows.height]
    return drain.tables["types"], chunks[-1].rows.select(*columns)


def _execute(source: SqlSource, url: str, *statements: str) -> None:
    if source.dialect == "postgresql":
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
    else:
        mariadb_execute(url.rpartition("/")[0], f"USE {urlsplit(url).path[1:]}", *statements)


def _texts(frame: pl.DataFrame) -> dict[str, list[str]]:
    """The cells in a form in which a moment is the same as typed value and as text."""
    cells: dict[str, list[str]] = {}
    for column in frame.get_columns():
        texts = [str(cell) for cell in column.to_list()]
        cells[column.name] = [t.rstrip("0").rstrip(".") if ":" in t and "." in t else t for t in texts]
    return cells


@pytest.mark.parametrize("kind", ["binlog", "wal"])
def test_every_type_is_as_a_read_of_the_table_gives_it(kind: str, request: pytest.FixtureRequest) -> None:
    columns = MYSQL_COLUMNS if kind == "binlog" else POSTGRES_COLUMNS
    values = ", ".join(value for _, value in columns.values())
    nulls = "INSERT INTO types (id) VALUES (1)"
    changes, table = follow(
        request.getfixturevalue(f"{kind}_url"), columns, f"INSERT INTO types VALUES ({values})", nulls
    )
    [logged] = changes.rows
    assert changes.incomplete is None
    assert _texts(logged.sort("id")) == _texts(table.sort("id"))


def test_zero_dates_stay_what_they_are(binlog_url: str) -> None:
    columns = {name: MYSQL_COLUMNS[name] for name in ("id", "day", "moment", "moment6", "stamp", "stamp5")}
    changes, table = follow(
        binlog_url,
        columns,
        "SET SESSION sql_mode = ''",
        "INSERT INTO types VALUES (1, '0000-00-00', '0000-00-00', '2024-00-10 01:02:03.5', 0, 0)",
        "INSERT INTO types VALUES (2, '2024-01-00', '2024-01-02', '2024-01-02', '2024-01-02', '2024-01-02')",
    )
    [logged] = changes.rows
    assert _texts(logged) == _texts(table)
    assert logged.get_column("moment6")[0] == "2024-00-10 01:02:03.500000"


def test_types_that_the_log_gives_in_another_form_are_left_to_a_read_of_the_table(binlog_url: str) -> None:
    columns = {"id": ("int PRIMARY KEY", ""), "identity": ("uuid", ""), "address": ("inet6", "")}
    changes, _ = follow(
        binlog_url, columns, "INSERT INTO types VALUES (1, UUID(), '::1')", "INSERT INTO types (id) VALUES (2)"
    )
    assert changes.incomplete is not None
    assert changes.incomplete.get_column("id").to_list() == [1]
    assert [rows.get_column("id").to_list() for rows in changes.rows] == [[2]]


def _log(url: str, relation: str = "orders", name: str = "shopsphere") -> ChangeLog:
    return open_change_log(url, [LoggedTable(relation, ("id",), ("id", "note"))], name=name)


def _fatal(log: ChangeLog) -> list[str]:
    return [problem.what for problem in log.problems() if problem.is_fatal]


def test_a_server_without_a_binlog_is_told_apart(mariadb_url: str) -> None:
    assert _fatal(_log(mariadb_url)) == ["the server keeps no binlog"]
    with pytest.raises(PermanentError, match="keeps no binlog"):
        _log(mariadb_url).prepare()


def test_a_binlog_of_the_wrong_form_is_told_apart(binlog_server: str, binlog_url: str) -> None:
    mariadb_execute(binlog_server, "SET GLOBAL binlog_row_metadata = 'MINIMAL'", "SET GLOBAL binlog_format = 'MIXED'")
    try:
        assert _fatal(_log(binlog_url)) == ["binlog_format is MIXED", "binlog_row_metadata is MINIMAL"]
    finally:
        mariadb_execute(binlog_server, "SET GLOBAL binlog_row_metadata = 'FULL'", "SET GLOBAL binlog_format = 'ROW'")
    assert _fatal(_log(binlog_url)) == []


def test_missing_rights_on_the_binlog_are_named(binlog_server: str, binlog_url: str) -> None:
    parts = urlsplit(binlog_url)
    database = parts.path[1:]
    user = f"reader_{database[-6:]}"
    reader = f"mysql://{user}:secret@127.0.0.1:{parts.port}/{database}"
    grants = [
        ("may not ask where the log ends", f"GRANT BINLOG MONITOR ON *.* TO {user}@'127.0.0.1'"),
        ("may not read the log", f"GRANT REPLICATION SLAVE ON *.* TO {user}@'127.0.0.1'"),
    ]
    mariadb_execute(
        binlog_server,
        f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON {database}.* TO {user}@'127.0.0.1'",
    )
    try:
        for what, grant in grants:
            [found] = _fatal(_log(reader))
            assert what in found
            mariadb_execute(binlog_server, grant)
        assert _fatal(_log(reader)) == []
        assert _log(reader).position()
    finally:
        mariadb_execute(binlog_server, f"DROP USER {user}@'127.0.0.1'")


def test_a_compressed_column_is_refused(binlog_url: str) -> None:
    _execute(SqlSource(binlog_url), binlog_url, "CREATE TABLE orders (id int PRIMARY KEY, note text COMPRESSED)")
    [found] = _fatal(_log(binlog_url))
    assert "orders.note" in found


def test_a_view_is_refused(binlog_url: str) -> None:
    statements = ("CREATE TABLE basis (id int PRIMARY KEY, note text)", "CREATE VIEW orders AS SELECT * FROM basis")
    _execute(SqlSource(binlog_url), binlog_url, *statements)
    assert _fatal(_log(binlog_url)) == ["orders is a view, of which the log has no changes"]


def test_a_server_without_logical_decoding_is_told_apart(postgres_url: str) -> None:
    assert "wal_level is minimal" in _fatal(_log(postgres_url))


def test_a_table_without_a_key_in_the_log_is_refused_before_it_is_published(wal_url: str) -> None:
    source = SqlSource(wal_url)
    _execute(source, wal_url, "CREATE TABLE orders (id int, note text)", "INSERT INTO orders VALUES (1, 'a')")
    with pytest.raises(PermanentError, match="would not tell which rows are deleted"):
        _log(wal_url).prepare()
    # Once published, it would refuse its own shop's changes.
    _execute(source, wal_url, "UPDATE orders SET note = 'b'", "ALTER TABLE orders REPLICA IDENTITY FULL")
    _log(wal_url).prepare()


def test_missing_rights_on_the_wal_are_named(wal_server: EmbeddedPostgres, wal_url: str) -> None:
    _execute(SqlSource(wal_url), wal_url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    parts = urlsplit(wal_url)
    user = f"reader_{parts.path[-6:]}"
    with psycopg.connect(wal_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'secret'".encode())
        try:
            connection.execute(f"GRANT SELECT ON orders TO {user}".encode())
            reader = f"postgresql://{user}:secret@{parts.hostname}:{parts.port}{parts.path}"
            problems = [problem for problem in _log(reader).problems() if problem.is_fatal]
            assert problems[0].remedy == f"ALTER ROLE {user} REPLICATION"
            assert 'CREATE PUBLICATION "shopsphere" FOR TABLE "orders"' in problems[1].remedy
            connection.execute(problems[0].remedy.encode())
            connection.execute(problems[1].remedy.partition(": ")[2].encode())
            _log(reader).prepare()
            assert _fatal(_log(reader)) == []
        finally:
            connection.execute(f"DROP OWNED BY {user}".encode())
            connection.execute(f"DROP ROLE {user}".encode())


def test_a_publication_that_leaves_something_out_is_refused(wal_url: str) -> None:
    source = SqlSource(wal_url)
    _execute(
        source,
        wal_url,
        "CREATE TABLE orders (id int PRIMARY KEY, note text)",
        "CREATE PUBLICATION shopsphere FOR TABLE orders (id)",
    )
    [found] = _fatal(_log(wal_url))
    assert "leaves out columns" in found


def test_log_that_the_server_keeps_for_us_is_reported(wal_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _execute(SqlSource(wal_url), wal_url, "CREATE TABLE orders (id int PRIMARY KEY, note text)")
    log = _log(wal_url)
    log.prepare()
    monkeypatch.setattr("resources.change_log.postgres_wal._MUCH_RETAINED_BYTES", -1)
    [problem] = log.problems()
    assert not problem.is_fatal
    assert "pg_drop_replication_slot('shopsphere')" in problem.remedy


def test_sqlite_has_no_change_log() -> None:
    with pytest.raises(PermanentError, match="sqlite databases have no change log"):
        _log("sqlite:////shop.db")

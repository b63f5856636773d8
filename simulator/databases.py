"""The shop's and the catalogue's databases: MySQL (or MariaDB) and PostgreSQL.

Belongs here: the tables as an old shop keeps them, and the fastest way into each server. Does not belong
here: what the rows are. Columns are nullable and nothing refers to anything by a constraint, as in many
databases that have grown; so every planted error fits in.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl
import psycopg
import pymysql
from psycopg import sql

from simulator.sinks import Day, SimulatorError

_CURSOR = "updated_at"
_LONG_TEXTS = ("description",)
_ROWS_PER_INSERT = 500


def _tables_of(tables: Mapping[str, pl.DataFrame], source: str) -> list[tuple[str, pl.DataFrame]]:
    """The source's tables by their names in the database: ``shop_db/orders`` is ``orders``."""
    return [(name.removeprefix(f"{source}/"), frame) for name, frame in tables.items() if name.startswith(f"{source}/")]


def shop_sink(url: str) -> MySqlSink | PostgresSink:
    """The sink for the shop's tables, by the URL's scheme (``mysql``, ``mariadb`` or ``postgresql``)."""
    scheme = urlsplit(url).scheme.partition("+")[0]
    if scheme in ("mysql", "mariadb"):
        return MySqlSink(url)
    if scheme in ("postgresql", "postgres"):
        return PostgresSink(url, "shop_db")
    raise SimulatorError(
        f"the scheme {scheme!r} is neither mysql nor postgresql",
        where=_without_password(url),
        remedy="give a URL such as mysql://user:password@host:3306/shop or postgresql://user:password@host/shop",
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _check_key(table: str, frame: pl.DataFrame) -> str:
    """The primary key: the first column, as in every table of the two databases."""
    key = frame.columns[0]
    if not key.endswith("_id"):
        raise ValueError(f"the first column of {table} is {key}; its primary key was expected there")
    return key


class PostgresSink:
    """The tables of one source (``shop_db`` or ``catalogue_db``) in PostgreSQL; a day is one transaction."""

    def __init__(self, url: str, source: str = "shop_db") -> None:
        self._url = url.replace("postgres://", "postgresql://", 1).replace("+psycopg", "", 1)
        self._source = source

    def write(self, day: Day) -> None:
        """Take in the day's rows and deletions of this sink's source."""
        try:
            with psycopg.connect(self._url) as connection, connection.cursor() as cursor:
                cursor.execute("set time zone 'UTC'")
                cursor.execute("set client_encoding to 'UTF8'")
                for table, frame in _tables_of(day.tables, self._source):
                    self._upsert(cursor, table, frame)
                for table, keys in _tables_of(day.deleted, self._source):
                    self._delete(cursor, table, keys)
        except psycopg.Error as error:
            raise SimulatorError(
                f"PostgreSQL did not take in day {day.number}: {str(error).strip()}",
                where=_without_password(self._url),
                remedy="check that the server runs and that the user may create tables there; then advance again",
            ) from error

    def _upsert(self, cursor: psycopg.Cursor[Any], table: str, frame: pl.DataFrame) -> None:
        key, name = _check_key(table, frame), sql.Identifier(table)
        columns = sql.SQL(", ").join(map(sql.Identifier, frame.columns))
        cursor.execute("select to_regclass(%s) is not null", (f'"{table}"',))
        [exists] = cursor.fetchone() or (False,)
        if not exists:
            fields = [
                sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(_postgres_type(t))) for c, t in frame.schema.items()
            ]
            cursor.execute(sql.SQL("create table {} ({})").format(name, sql.SQL(", ").join(fields)))
            self._copy(cursor, name, columns, frame)
            # The key after the first rows: one sorted build instead of one insertion per row.
            cursor.execute(sql.SQL("alter table {} add primary key ({})").format(name, sql.Identifier(key)))
            index = sql.Identifier(f"{table}_{_CURSOR}")
            cursor.execute(sql.SQL("create index {} on {} ({})").format(index, name, sql.Identifier(_CURSOR)))
            return
        if frame.is_empty():
            return
        new = sql.Identifier(f"new_{table}")
        cursor.execute(
            sql.SQL("create temporary table {} on commit drop as select {} from {} limit 0").format(new, columns, name)
        )
        self._copy(cursor, new, columns, frame)
        updates = sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in frame.columns if column != key
        )
        cursor.execute(
            sql.SQL("insert into {} ({}) select {} from {} on conflict ({}) do update set {}").format(
                name, columns, columns, new, sql.Identifier(key), updates
            )
        )

    @staticmethod
    def _copy(cursor: psycopg.Cursor[Any], name: sql.Identifier, columns: sql.Composed, frame: pl.DataFrame) -> None:
        # Texts are quoted and nulls are not, so that COPY tells an empty text from none.
        data = frame.write_csv(include_header=False, quote_style="non_numeric").encode()
        with cursor.copy(sql.SQL("copy {} ({}) from stdin with (format csv)").format(name, columns)) as copy:
            copy.write(data)

    @staticmethod
    def _delete(cursor: psycopg.Cursor[Any], table: str, keys: pl.DataFrame) -> None:
        statement = sql.SQL("delete from {} where {} = any(%s)")
        column = keys.columns[0]
        cursor.execute(statement.format(sql.Identifier(table), sql.Identifier(column)), (keys[column].to_list(),))


def _postgres_type(dtype: pl.DataType) -> LiteralString:
    if dtype == pl.Int64:
        return "bigint"
    if isinstance(dtype, pl.Decimal):
        return "numeric(18,2)"
    if isinstance(dtype, pl.Datetime):
        return "timestamptz"
    return "date" if dtype == pl.Date else "boolean" if dtype == pl.Boolean else "text"


class MySqlSink:
    """The tables of one source in a MySQL or MariaDB database; a day is one transaction."""

    def __init__(self, url: str, source: str = "shop_db") -> None:
        self._url = url
        self._source = source

    def write(self, day: Day) -> None:
        """Take in the day's rows and deletions of this sink's source."""
        try:
            with self._connection() as connection, connection.cursor() as cursor:
                for table, frame in _tables_of(day.tables, self._source):
                    cursor.execute(_mysql_table(table, frame))
                cursor.execute("SELECT @@local_infile")
                [may_load] = cursor.fetchone() or (0,)
                # Creating tables commits by itself; the day's transaction begins here.
                connection.begin()
                fill = self._load if may_load else self._insert
                for table, frame in _tables_of(day.tables, self._source):
                    if frame.height:
                        fill(cursor, table, _mysql_values(frame))
                for table, keys in _tables_of(day.deleted, self._source):
                    self._delete(cursor, table, keys)
                connection.commit()
        except pymysql.MySQLError as error:
            raise SimulatorError(
                f"MySQL did not take in day {day.number}: {error}",
                where=_without_password(self._url),
                remedy="check that the server runs and that the user may create tables there; then advance again",
            ) from error

    @contextmanager
    def _connection(self) -> Iterator[pymysql.connections.Connection[pymysql.cursors.Cursor]]:
        parts = urlsplit(self._url)
        query = parse_qs(parts.query)
        connection = pymysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or "root"),
            password=unquote(parts.password or ""),
            database=parts.path.lstrip("/"),
            unix_socket=query["unix_socket"][0] if "unix_socket" in query else None,
            charset="utf8mb4",
            local_infile=True,
            init_command="SET time_zone = '+00:00'",
        )
        try:
            yield connection
        finally:
            connection.close()

    @staticmethod
    def _load(cursor: pymysql.cursors.Cursor, table: str, frame: pl.DataFrame) -> None:
        columns = ", ".join(f"`{column}`" for column in frame.columns)
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            # Without an escape character an unquoted NULL is no value, and a quoted one is a text.
            frame.write_csv(file.name, include_header=False, quote_style="non_numeric", null_value="NULL")
            path = file.name.replace("\\", "/")
            cursor.execute(
                f"LOAD DATA LOCAL INFILE '{path}' REPLACE INTO TABLE `{table}` CHARACTER SET utf8mb4 "
                "FIELDS TERMINATED BY ',' ENCLOSED BY '\"' ESCAPED BY '' LINES TERMINATED BY '\\n' "
                f"({columns})"
            )
        # LOAD DATA LOCAL makes warnings of what INSERT refuses.
        cursor.execute("SHOW WARNINGS")
        warnings = cursor.fetchall()
        if warnings:
            raise pymysql.DataError(f"{table}: {warnings[0]}")

    @staticmethod
    def _insert(cursor: pymysql.cursors.Cursor, table: str, frame: pl.DataFrame) -> None:
        columns = ", ".join(f"`{column}`" for column in frame.columns)
        updates = ", ".join(f"`{column}` = VALUES(`{column}`)" for column in frame.columns[1:])
        marks = ", ".join(["%s"] * frame.width)
        statement = f"INSERT INTO `{table}` ({columns}) VALUES ({marks}) ON DUPLICATE KEY UPDATE {updates}"
        for part in frame.iter_slices(_ROWS_PER_INSERT):
            cursor.executemany(statement, part.rows())

    @staticmethod
    def _delete(cursor: pymysql.cursors.Cursor, table: str, keys: pl.DataFrame) -> None:
        column = keys.columns[0]
        cursor.executemany(f"DELETE FROM `{table}` WHERE `{column}` = %s", keys.rows())


def _mysql_type(column: str, dtype: pl.DataType) -> str:
    if dtype == pl.Int64:
        return "BIGINT"
    if isinstance(dtype, pl.Decimal):
        return "DECIMAL(18,2)"
    if isinstance(dtype, pl.Datetime):
        return "DATETIME(6)"
    if dtype == pl.String:
        return "TEXT" if column in _LONG_TEXTS else "VARCHAR(255)"
    return "DATE" if dtype == pl.Date else "TINYINT(1)"


def _mysql_table(table: str, frame: pl.DataFrame) -> str:
    key = _check_key(table, frame)
    fields = [
        f"`{column}` {_mysql_type(column, dtype)} {'NOT NULL' if column == key else 'NULL'}"
        for column, dtype in frame.schema.items()
    ]
    return (
        f"CREATE TABLE IF NOT EXISTS `{table}` ({', '.join(fields)}, PRIMARY KEY (`{key}`), "
        f"KEY `{table}_{_CURSOR}` (`{_CURSOR}`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
    )


def _mysql_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as MySQL takes it: moments as text in UTC, booleans as 0 and 1."""
    moments = [column for column, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    flags = [column for column, dtype in frame.schema.items() if dtype == pl.Boolean]
    return frame.with_columns(
        *(pl.col(column).dt.strftime("%Y-%m-%d %H:%M:%S%.6f") for column in moments),
        *(pl.col(column).cast(pl.Int8) for column in flags),
    )

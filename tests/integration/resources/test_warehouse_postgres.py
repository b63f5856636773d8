"""What the PostgreSQL warehouse promises beyond the common interface: keys, texts and connection faults."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from resources.errors import PermanentError, TransientError
from resources.warehouse import ParquetRows, TableDefinition, open_warehouse

NOTES = TableDefinition("raw", "notes", pa.schema([("id", pa.int64()), ("note", pa.string())]), ("id",))


def with_parts(
    url: str, *, user: str | None = None, password: str = "", port: int | None = None, path: str = ""
) -> str:
    parts = urlsplit(url)
    login = f"{user or parts.username}:{password or parts.password}"
    return urlunsplit((parts.scheme, f"{login}@{parts.hostname}:{port or parts.port}", path or parts.path, "", ""))


def test_the_key_is_there_after_the_first_load(postgres_url: str, tmp_path: Path) -> None:
    warehouse = open_warehouse(postgres_url)
    warehouse.ensure_tables([NOTES])
    pq.write_table(pa.table({"id": [1, 1], "note": ["first", "last"]}), tmp_path / "notes.parquet")
    for _ in range(2):
        with warehouse.transaction() as transaction:
            transaction.merge(NOTES, ParquetRows([tmp_path / "notes.parquet"]))
    keys = warehouse.query("SELECT conname FROM pg_constraint WHERE conrelid = 'raw.notes'::regclass AND contype = 'p'")
    assert keys.num_rows == 1


def test_a_text_that_postgresql_cannot_store_is_named_and_not_altered(postgres_url: str, tmp_path: Path) -> None:
    warehouse = open_warehouse(postgres_url)
    warehouse.ensure_tables([NOTES])
    pq.write_table(pa.table({"id": [1, 2], "note": ["fine", "bad\x00text"]}), tmp_path / "notes.parquet")
    with (
        pytest.raises(PermanentError, match="cannot store") as caught,
        warehouse.transaction() as transaction,
    ):
        transaction.merge(NOTES, ParquetRows([tmp_path / "notes.parquet"]))
    assert "raw.notes" in caught.value.where
    assert "column note" in caught.value.where
    assert warehouse.query("SELECT * FROM raw.notes").num_rows == 0


def test_connection_faults_are_told_apart_and_never_show_the_password(postgres_url: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = with_parts(postgres_url, password="s3cret", port=unused.getsockname()[1])
        with pytest.raises(TransientError, match="cannot be reached") as caught:
            open_warehouse(refused).prepare()
        assert "s3cret" not in str(caught.value)
    for url in (
        with_parts(postgres_url, password="s3cret"),
        with_parts(postgres_url, user="nobody_here", password="s3cret"),
        with_parts(postgres_url, path="/no_such_database"),
    ):
        with pytest.raises(PermanentError) as permanent:
            open_warehouse(url).prepare()
        assert "s3cret" not in str(permanent.value)


def test_a_missing_permission_is_permanent(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader_only")
        connection.execute("CREATE ROLE reader_only LOGIN PASSWORD 'x'")
    try:
        with pytest.raises(PermanentError, match="lacks a permission"):
            open_warehouse(with_parts(postgres_url, user="reader_only", password="x")).prepare()
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP OWNED BY reader_only; DROP ROLE reader_only")


def test_a_connection_that_breaks_inside_a_transaction_is_passing(postgres_url: str) -> None:
    warehouse = open_warehouse(postgres_url)
    warehouse.prepare()

    def write_on_a_broken_connection() -> None:
        with warehouse.transaction() as transaction:
            [pid] = transaction.query("SELECT pg_backend_pid() AS pid")["pid"].to_pylist()
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [pid])
            transaction.execute("SELECT 1")

    with pytest.raises(TransientError):
        write_on_a_broken_connection()
    with warehouse.transaction():
        pass

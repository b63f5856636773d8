"""What the DuckDB warehouse promises beyond the common interface: one file among several processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from resources.errors import PermanentError, TransientError
from resources.warehouse import open_warehouse

HOLD_OPEN = """
import duckdb, sys
with duckdb.connect(sys.argv[1]) as connection:
    connection.execute("CREATE SCHEMA IF NOT EXISTS staging")
    print("open", flush=True)
    sys.stdin.readline()
"""


def hold_open(path: Path) -> subprocess.Popen[str]:
    """Another process, such as dbt or the duckdb program, that has the file open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def test_a_foreign_process_is_waited_for_and_else_named(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    warehouse = open_warehouse(f"duckdb://{path}", lock_timeout=0.1)
    warehouse.prepare()
    with hold_open(path) as other:
        with pytest.raises(TransientError, match=f"in use by process {other.pid}"), warehouse.transaction():
            pass
        with pytest.raises(TransientError, match=f"in use by process {other.pid}"):
            warehouse.query("SELECT 1")
        patient = open_warehouse(f"duckdb://{path}", lock_timeout=60)
        counts = []
        waiting = threading.Thread(
            target=lambda: counts.append(patient.query("SELECT count(*) FROM ledger.batches").num_rows)
        )
        waiting.start()
        other.communicate("\n")
        waiting.join()
    assert counts == [1]


def test_another_process_can_write_while_the_writer_lock_is_held(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    warehouse = open_warehouse(f"duckdb://{path}")
    warehouse.prepare()
    with warehouse.writer_lock():
        with hold_open(path) as dbt:
            dbt.communicate("\n")
        schemas = warehouse.query("SELECT schema_name FROM information_schema.schemata")
    assert "staging" in schemas["schema_name"].to_pylist()


def test_sessions_are_in_utc_whatever_the_machine_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    warehouse = open_warehouse(f"duckdb://{tmp_path}/shop.duckdb")
    warehouse.prepare()
    sql = "SELECT CAST(TIMESTAMPTZ '2026-01-01 00:30:00Z' AS DATE)::VARCHAR AS day"
    assert warehouse.query(sql).to_pylist() == [{"day": "2026-01-01"}]
    with warehouse.transaction() as transaction:
        assert transaction.query(sql).to_pylist() == [{"day": "2026-01-01"}]
        assert warehouse.query(sql).to_pylist() == [{"day": "2026-01-01"}]


def test_paths_that_cannot_hold_a_database_are_explained(tmp_path: Path) -> None:
    (tmp_path / "folder.duckdb").mkdir()
    (tmp_path / "text.duckdb").write_text("this is no database\n" * 500)
    (tmp_path / "file").write_text("")
    for name, message in (
        ("folder.duckdb", "folder"),
        ("text.duckdb", "not a DuckDB database"),
        ("file/shop.duckdb", r"Not a directory|File exists"),
    ):
        with pytest.raises(PermanentError, match=message) as caught:
            open_warehouse(f"duckdb://{tmp_path}/{name}").prepare()
        assert "what to do" in str(caught.value)


def test_a_file_of_a_newer_duckdb_or_a_damaged_one_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE numbers AS SELECT range FROM range(100000)")
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    content[8192:12288] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(PermanentError):
        open_warehouse(f"duckdb://{path}").prepare()


def test_asking_before_anything_was_loaded_says_so(tmp_path: Path) -> None:
    warehouse = open_warehouse(f"duckdb://{tmp_path}/none/shop.duckdb")
    assert warehouse.current_publication() is None
    assert warehouse.publications() == []
    with pytest.raises(PermanentError, match="nothing is published yet"):
        warehouse.read_publication("SELECT 1")
    with pytest.raises(PermanentError, match="not there"):
        warehouse.query("SELECT * FROM ledger.batches")
    assert not (tmp_path / "none").exists()

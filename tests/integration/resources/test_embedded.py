"""The embedded PostgreSQL server: it starts anywhere, is shared, survives kills, and says what is wrong."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import sqlalchemy

from resources.embedded import EmbeddedPostgres, explain
from resources.errors import PermanentError, TransientError
from resources.sql_source import SqlSource


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        yield server


def _pid(server: EmbeddedPostgres) -> int:
    return int((server.home / "data" / "postmaster.pid").read_text().splitlines()[0])


def _answer(server: EmbeddedPostgres, query: str, database: str = "shop") -> object:
    with psycopg.connect(server.url(database)) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_its_databases_are_there_and_every_client_understands_its_urls(server: EmbeddedPostgres) -> None:
    for database in ("shop", "catalogue", "dagster"):
        url = server.url(database)
        assert _answer(server, "select current_database()", database) == database
        (chunk,) = SqlSource(url).read("select current_database()::text as name", ["name"])
        assert chunk.rows.rows() == [(database,)]
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            assert connection.scalar(sqlalchemy.text("select current_database()")) == database
        engine.dispose()


def test_data_and_urls_outlive_a_restart(server: EmbeddedPostgres) -> None:
    url = server.url("shop")
    with psycopg.connect(url) as connection:
        connection.execute("create table kept (number int)")
        connection.execute("insert into kept values (7)")
    server.stop()
    assert not server.is_running()
    server.start()
    assert server.url("shop") == url
    assert _answer(server, "select number from kept") == 7


@pytest.mark.parametrize(
    "name",
    ["with spaces", "größe-日本", "quote'$HOME`x`", "long" * 40],
    ids=["spaces", "non-ascii", "shell", "longer-than-a-socket-path"],
)
def test_it_runs_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    with EmbeddedPostgres(tmp_path / name / "postgres") as server:
        assert _answer(server, "select 1") == 1


def test_starting_twice_changes_nothing(server: EmbeddedPostgres) -> None:
    pid = _pid(server)
    server.start()
    assert _pid(server) == pid


_USER = """
import sys
from pathlib import Path
from typing import Any
from resources.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print("started", flush=True)
sys.stdin.readline()
server.stop()
"""


def _other_process(server_home: Path, repository: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _USER, str(server_home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_processes_share_it_and_the_last_one_stops_it(tmp_path: Path, repository: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    with _other_process(server.home, repository) as other:
        server.start()
        pid = _pid(server)
        other.communicate("\n")
        assert other.returncode == 0
        assert server.is_running()
        assert _pid(server) == pid
    server.stop()
    assert not server.is_running()


def test_a_killed_user_does_not_keep_it_running(tmp_path: Path, repository: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    with _other_process(server.home, repository) as other:
        other.kill()
        other.wait()
        assert server.is_running()
        server.start()
        assert _answer(server, "select 1") == 1
        server.stop()
    assert not server.is_running()


def test_it_comes_back_after_a_kill(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.url("shop"), autocommit=True) as connection:
        connection.execute("set synchronous_commit = on")
        connection.execute("create table kept (number int)")
    os.kill(_pid(server), signal.SIGKILL)
    server.start()
    assert _answer(server, "select count(*) from kept") == 0


def test_a_stranger_with_the_process_id_of_a_killed_server_does_not_hinder_it(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    pid_file = server.home / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert not server.is_running()
    server.start()
    try:
        assert _pid(server) != os.getpid()
        assert _answer(server, "select 1") == 1
    finally:
        server.stop()


def test_an_interrupted_creation_is_begun_anew(tmp_path: Path) -> None:
    partial = tmp_path / "postgres" / "data.partial"
    partial.mkdir(parents=True)
    (partial / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path / "postgres") as server:
        assert _answer(server, "select 1") == 1


def test_it_moves_to_another_port_when_its_own_is_taken(server: EmbeddedPostgres) -> None:
    import socket

    port = urlsplit(server.url("shop")).port
    assert port is not None
    server.stop()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        server.start()
        assert urlsplit(server.url("shop")).port != port
        assert _answer(server, "select 1") == 1


def test_only_who_may_read_its_folder_gets_in(server: EmbeddedPostgres) -> None:
    assert stat.S_IMODE((server.home / "connection.json").stat().st_mode) == 0o600
    assert not (server.home / "initdb.password").exists()
    parts = urlsplit(server.url("shop"))
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://{parts.username}:wrong@127.0.0.1:{parts.port}/shop")


def test_it_does_not_listen_beyond_this_machine(server: EmbeddedPostgres) -> None:
    assert _answer(server, "show listen_addresses") == "127.0.0.1"


def test_a_url_before_the_first_start_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="never started") as caught:
        EmbeddedPostgres(tmp_path / "postgres").url("shop")
    assert "shopsphere demo" in caught.value.remedy


def test_a_file_in_the_place_of_its_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("not a folder")
    with pytest.raises(PermanentError) as caught:
        EmbeddedPostgres(tmp_path / "postgres").start()
    assert str(tmp_path / "postgres") in caught.value.where


def test_files_of_another_version_are_kept_and_named(server: EmbeddedPostgres) -> None:
    server.stop()
    version = server.home / "data" / "PG_VERSION"
    version.write_text("12\n")
    with pytest.raises(PermanentError, match="another version of PostgreSQL"):
        server.start()
    assert version.read_text() == "12\n"
    assert not server.is_running()


def test_a_lost_password_is_named(server: EmbeddedPostgres) -> None:
    server.stop()
    (server.home / "connection.json").unlink()
    with pytest.raises(PermanentError, match="password") as caught:
        server.start()
    assert "connection.json" in caught.value.where


@pytest.mark.parametrize(
    ("report", "kind", "what"),
    [
        ("initdb: error: could not write file: No space left on device", PermanentError, "No disk space"),
        ("FATAL:  could not create lock file: Permission denied", PermanentError, "cannot be written"),
        ("LOG:  something\nFATAL:  the database system is shutting down", TransientError, "shutting down"),
        ("", TransientError, "no reason"),
    ],
)
def test_what_postgresql_reports_becomes_a_cause_and_a_remedy(
    tmp_path: Path, report: str, kind: type[Exception], what: str
) -> None:
    error = explain(report, tmp_path)
    assert isinstance(error, kind)
    assert what in error.what
    assert error.remedy

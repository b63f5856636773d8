"""Publications of a DuckDB warehouse: a folder of read-only database files, one per version.

    v000011.duckdb  v000012.duckdb  current.duckdb -> v000012.duckdb

A version is written under a temporary name, forced to disk and renamed; then ``current.duckdb``, a symbolic
link that any tool can open, is replaced by another in one step. That step is the publication. Readers keep
the file that they opened, even after it was removed.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from resources.commit_points import CommitPoint, reached
from resources.errors import PermanentError
from resources.warehouse.base import BUILD_PREFIX, PUBLICATION_SCHEMA, Changes, Publication
from resources.warehouse.duckdb_files import connect, fetch, plain_errors, roll_back
from resources.warehouse.system_tables import LATEST_BATCHES_SQL, NEW_BATCHES_SQL

_CURRENT = "current.duckdb"
_FILE_NAME = re.compile(r"v(?P<version>\d{6,})\.duckdb")
_ATTACHED = "next_publication"
_CHANGES = ("newest_change_at", "oldest_change_at", "change_clock")

_TABLES_SQL = """
    SELECT schema_name, name, coalesce(comment, '')
    FROM (
        SELECT schema_name, table_name AS name, comment, database_name
        FROM duckdb_tables()
        WHERE NOT temporary
        UNION ALL
        SELECT schema_name, view_name, comment, database_name
        FROM duckdb_views()
        WHERE NOT internal
    )
    WHERE database_name = current_database() AND starts_with(schema_name, $1)
    ORDER BY ALL
"""
_COLUMNS_SQL = """
    SELECT column_name, data_type, is_nullable, coalesce(comment, '')
    FROM duckdb_columns()
    WHERE database_name = current_database() AND schema_name = $1 AND table_name = $2
    ORDER BY column_index
"""
_AREAS_SQL = """
    SELECT schema_name
    FROM duckdb_schemas()
    WHERE NOT internal AND database_name = current_database()
    ORDER BY schema_name = $1, schema_name
"""


class PublicationFolder:
    """The versions of one warehouse."""

    def __init__(self, folder: Path, config: dict[str, str]) -> None:
        self._folder = folder
        self._config = config
        self._guard = threading.Lock()
        self._kept: tuple[int, duckdb.DuckDBPyConnection] | None = None

    # Writing. The caller holds the writer lock.

    def publish(self, connection: duckdb.DuckDBPyConnection, run_id: str) -> Publication:
        """Write the next version from the warehouse's open ``connection``, switch to it and record it."""
        with plain_errors(str(self._folder)):
            self._folder.mkdir(parents=True, exist_ok=True)
        self.heal(connection)
        [(recorded,)] = fetch(connection, "SELECT coalesce(max(version), 0) FROM ledger.publications")
        version = 1 + max(recorded, self._current_version() or 0)
        file = self._file(version)
        unfinished = file.with_name(file.name + ".tmp")
        publication = self._write(connection, unfinished, file, version, run_id)
        with plain_errors(str(self._folder)):
            _force_to_disk(unfinished)
            unfinished.replace(file)
            reached(CommitPoint.PUBLICATION_WRITTEN)
            self._switch_to(file)
        reached(CommitPoint.PUBLICATION_SWITCHED)
        _record(connection, [publication])
        reached(CommitPoint.PUBLICATION_RECORDED)
        return publication

    def needs_healing(self, recorded: set[int]) -> bool:
        """Whether a publication was interrupted: a file without a record, or one that nobody switched to."""
        if not self._folder.is_dir():
            return False
        return not set(self._versions()) <= recorded or any(self._folder.glob("*.tmp*"))

    def heal(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Remove what an interrupted publication left behind and record the switch if it had happened."""
        if not self._folder.is_dir():
            return
        current = self._current_version() or 0
        with plain_errors(str(self._folder)):
            for leftover in self._folder.glob("*.tmp*"):
                leftover.unlink(missing_ok=True)
            for version in self._versions():
                if version > current:
                    self._file(version).unlink(missing_ok=True)
        recorded = {version for (version,) in fetch(connection, "SELECT version FROM ledger.publications")}
        _record(connection, [self._info(version) for version in self._versions() if version not in recorded])

    def drop_old(self, keep: int) -> None:
        """Remove all versions but the newest ``keep``; the current one stays."""
        current = self._current_version() or 0
        old = sorted((version for version in self._versions() if version <= current), reverse=True)
        with plain_errors(str(self._folder)):
            for version in old[max(keep, 1) :]:
                self._file(version).unlink(missing_ok=True)

    def _write(
        self, connection: duckdb.DuckDBPyConnection, unfinished: Path, final: Path, version: int, run_id: str
    ) -> Publication:
        connection.execute(f"ATTACH '{_escaped(str(unfinished))}' AS {_ATTACHED}")
        # Marts are published in the order in which they were built: it makes point queries cheap.
        connection.execute("SET preserve_insertion_order = true")
        connection.begin()
        try:
            counts = self._copy_marts(connection)
            publication = Publication(
                version=version,
                published_at=datetime.now(UTC),
                run_id=run_id,
                tables=len(counts),
                rows=sum(rows for _, _, rows in counts),
                location=str(final),
                changes=Changes.of(fetch(connection, NEW_BATCHES_SQL)),
            )
            self._describe(connection, publication, counts)
            connection.commit()
            connection.execute(f"CHECKPOINT {_ATTACHED}")
        except BaseException:
            roll_back(connection)
            raise
        finally:
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"DETACH {_ATTACHED}")
        return publication

    def _copy_marts(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
        counts = []
        for schema, name, comment in fetch(connection, _TABLES_SQL, [BUILD_PREFIX]):
            area = schema.removeprefix(BUILD_PREFIX)
            source = f"{_quoted(schema)}.{_quoted(name)}"
            target = f"{_ATTACHED}.{_quoted(area)}.{_quoted(name)}"
            columns = fetch(connection, _COLUMNS_SQL, [schema, name])
            definitions = ", ".join(
                f"{_quoted(column)} {dtype}{'' if nullable else ' NOT NULL'}" for column, dtype, nullable, _ in columns
            )
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_ATTACHED}.{_quoted(area)}")
            connection.execute(f"CREATE TABLE {target} ({definitions})")
            [(rows,)] = fetch(connection, f"INSERT INTO {target} FROM {source}")
            if comment:
                connection.execute(f"COMMENT ON TABLE {target} IS '{_escaped(comment)}'")
            for column, _, _, text in columns:
                if text:
                    connection.execute(f"COMMENT ON COLUMN {target}.{_quoted(column)} IS '{_escaped(text)}'")
            counts.append((area, name, int(rows)))
        return counts

    def _describe(
        self,
        connection: duckdb.DuckDBPyConnection,
        publication: Publication,
        counts: list[tuple[str, str, int]],
    ) -> None:
        schema = f"{_ATTACHED}.{PUBLICATION_SCHEMA}"
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(
            f"CREATE TABLE {schema}.info"
            " (version BIGINT, published_at TIMESTAMPTZ, run_id VARCHAR, tables BIGINT, rows BIGINT,"
            " newest_change_at TIMESTAMPTZ, oldest_change_at TIMESTAMPTZ, change_clock VARCHAR)"
        )
        connection.execute(
            f"INSERT INTO {schema}.info VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            [
                publication.version,
                publication.published_at,
                publication.run_id,
                publication.tables,
                publication.rows,
                publication.changes.newest_at,
                publication.changes.oldest_at,
                publication.changes.clock,
            ],
        )
        connection.execute(f"CREATE TABLE {schema}.tables (schema_name VARCHAR, table_name VARCHAR, rows BIGINT)")
        if counts:
            connection.executemany(f"INSERT INTO {schema}.tables VALUES ($1, $2, $3)", counts)
        connection.execute(f"CREATE TABLE {schema}.sources AS {LATEST_BATCHES_SQL}")

    def _switch_to(self, file: Path) -> None:
        link = self._folder / (_CURRENT + ".tmp")
        link.unlink(missing_ok=True)
        link.symlink_to(file.name)
        link.replace(self._folder / _CURRENT)
        _force_to_disk(self._folder)

    # Reading. Needs no lock: a version never changes.

    def current(self) -> Publication | None:
        """The version that readers get."""
        version = self._current_version()
        return None if version is None else self._info(version)

    def all(self) -> list[Publication]:
        """The versions on disk, newest first."""
        current = self._current_version() or 0
        versions = sorted((version for version in self._versions() if version <= current), reverse=True)
        return [self._info(version) for version in versions]

    def read(self, sql: str, parameters: Sequence[Any], version: int | None) -> pa.Table:
        """The result of one query on a version; nothing in it can be changed."""
        connection = self._opened_current() if version is None else self._opened(version)
        with closing(connection), plain_errors(f"publication {version or 'current'} in {self._folder}"):
            areas = fetch(connection, _AREAS_SQL, [PUBLICATION_SCHEMA])
            search_path = ",".join(_quoted(area) for (area,) in areas)
            connection.execute(f"SET search_path = '{_escaped(search_path)}'")
            return connection.execute(sql, list(parameters)).to_arrow_table()

    def _opened(self, version: int) -> duckdb.DuckDBPyConnection:
        if not self._file(version).is_file():
            raise PermanentError(
                f"publication {version} does not exist or was dropped",
                where=str(self._folder),
                remedy=f"choose one of: {', '.join(map(str, sorted(self._versions()))) or 'none'}",
            )
        connection = connect(self._file(version), read_only=True, config=self._config, timeout=5)
        # A reader's SQL may be anybody's: it gets the published file and nothing else of the machine.
        connection.execute("SET enable_external_access = false")
        return connection

    def _opened_current(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the current version, whose file stays open for the next reader."""
        while True:
            version = self._current_version()
            if version is None:
                raise PermanentError(
                    "nothing is published yet", where=str(self._folder), remedy="run the pipeline once"
                )
            with self._guard:
                try:
                    # Opening a file that is open costs next to nothing. Not a cursor of the kept connection:
                    # that would be closed together with it, in the middle of a query.
                    connection = self._opened(version)
                    if self._kept is None or self._kept[0] != version:
                        replaced, self._kept = self._kept, (version, self._opened(version))
                        if replaced is not None:
                            replaced[1].close()
                except PermanentError:
                    if self._current_version() != version:
                        continue  # it was replaced and dropped in between
                    raise
                return connection

    def _info(self, version: int) -> Publication:
        # Not by name: a version that was published by an earlier release knows less.
        row = self.read(f"SELECT * FROM {PUBLICATION_SCHEMA}.info", (), version).to_pylist()[0]
        changes = Changes(*(row.pop(name, None) for name in _CHANGES))
        return Publication(**row, location=str(self._file(version)), changes=changes)

    def _current_version(self) -> int | None:
        try:
            match = _FILE_NAME.fullmatch(str((self._folder / _CURRENT).readlink()))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PermanentError(
                f"the pointer to the current publication cannot be read: {error.strerror}",
                where=str(self._folder / _CURRENT),
                remedy="remove it and publish again",
            ) from error
        return int(match["version"]) if match else None

    def _versions(self) -> list[int]:
        try:
            names = [entry.name for entry in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return [int(match["version"]) for name in names if (match := _FILE_NAME.fullmatch(name))]

    def _file(self, version: int) -> Path:
        return self._folder / f"v{version:06d}.duckdb"


def _record(connection: duckdb.DuckDBPyConnection, publications: Iterable[Publication]) -> None:
    for publication in publications:
        connection.execute(
            "INSERT INTO ledger.publications BY NAME SELECT $1 AS version, $2 AS published_at, $3 AS run_id,"
            " $4 AS tables, $5 AS rows, $6 AS location,"
            " $7 AS newest_change_at, $8 AS oldest_change_at, $9 AS change_clock",
            [
                publication.version,
                publication.published_at,
                publication.run_id,
                publication.tables,
                publication.rows,
                publication.location,
                publication.changes.newest_at,
                publication.changes.oldest_at,
                publication.changes.clock,
            ],
        )


def _force_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(text: str) -> str:
    return text.replace("'", "''")

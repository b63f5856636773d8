"""Publications of a PostgreSQL warehouse: schemas renamed in one transaction.

    sales, customers, publication              the current version
    sales_v11, customers_v11, publication_v11  the one before

Tools name ``sales.fct_orders`` and always get the current version. The new version is filled, switched to
and recorded in one transaction, so there is nothing to heal after a crash. What a query of ours reads is
fixed when its names are looked up; for that moment it holds a shared lock which the switch takes alone, so
that no query finds one mart in the old version and the other in the new one.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pyarrow as pa

from resources.commit_points import CommitPoint, reached
from resources.errors import PermanentError, TransientError, safe_url
from resources.warehouse.base import BUILD_PREFIX, PUBLICATION_SCHEMA, Changes, Publication
from resources.warehouse.postgres_connections import (
    Connection,
    connect,
    fetch,
    fetch_table,
    literal,
    plain_errors,
    quoted,
    run,
)
from resources.warehouse.system_tables import LATEST_BATCHES_SQL, NEW_BATCHES_SQL

_log = logging.getLogger(__name__)

_NEXT_PREFIX = "next_"
_SWITCH_LOCK = 2
# Shorter than PostgreSQL's deadlock_timeout of 1 s, so that it is the switch that steps back, not a reader.
_SWITCH_LOCK_TIMEOUT = "500ms"
_QUERY_WORDS = ("select", "with", "values", "table")

_TABLES_SQL = """
    SELECT n.nspname, c.relname, obj_description(c.oid, 'pg_class')
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE starts_with(n.nspname, $1) AND c.relkind IN ('r', 'v', 'm', 'p')
    ORDER BY n.nspname, c.relname
"""
_SCHEMA_GRANTS_SQL = """
    SELECT g.privilege_type, CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END
    FROM pg_namespace AS n
    CROSS JOIN LATERAL aclexplode(n.nspacl) AS g
    LEFT JOIN pg_roles AS r ON r.oid = g.grantee
    WHERE n.nspname = $1 AND g.grantee <> n.nspowner
"""
# A mart that is new in this version gets what is granted on every table of its area.
_TABLE_GRANTS_SQL = """
    WITH granted AS (
        SELECT c.relname, g.privilege_type,
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL aclexplode(c.relacl) AS g
        LEFT JOIN pg_roles AS r ON r.oid = g.grantee
        WHERE n.nspname = $1 AND c.relkind = 'r' AND g.grantee <> c.relowner
    ),
    tables AS (
        SELECT c.relname
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relkind = 'r'
    )
    SELECT privilege_type, grantee FROM granted WHERE relname = $2
    UNION
    SELECT privilege_type, grantee FROM granted
    WHERE NOT EXISTS (SELECT FROM tables WHERE relname = $2)
    GROUP BY privilege_type, grantee
    HAVING count(DISTINCT relname) = (SELECT count(*) FROM tables)
"""


class PublicationSchemas:
    """The versions of one warehouse."""

    def __init__(self, url: str, lock_space: int, lock_timeout: float) -> None:
        self._url = url
        self._where = safe_url(url)
        self._lock_keys = f"{lock_space}, {_SWITCH_LOCK}"
        self._lock_timeout = lock_timeout

    # Writing. The caller holds the writer lock.

    def publish(self, run_id: str) -> Publication:
        """Fill the next version, switch to it and record it: one transaction."""
        with plain_errors(self._where), connect(self._url, read_only=False) as connection:
            # Every mart as of one moment, whatever writes meanwhile.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            current = self._current_version(connection)
            [(recorded,)] = fetch(connection, "SELECT coalesce(max(version), 0) FROM ledger.publications")
            counts = self._copy_marts(connection)
            areas = sorted({area for area, _, _ in counts} - {PUBLICATION_SCHEMA})
            publication = Publication(
                version=1 + max(recorded, current or 0),
                published_at=datetime.now(UTC),
                run_id=run_id,
                tables=len(counts),
                rows=sum(rows for _, _, rows in counts),
                location=f"schemas {', '.join(areas)}" if areas else "no schemas",
                changes=Changes.of(fetch(connection, NEW_BATCHES_SQL)),
            )
            self._describe(connection, publication, counts)
            old_areas = [] if current is None else [*_areas(connection, PUBLICATION_SCHEMA), PUBLICATION_SCHEMA]
            self._check_names(connection, areas, old_areas)
            for area in areas:
                if area in old_areas:
                    self._copy_grants(connection, area)
            self._copy_grants(connection, PUBLICATION_SCHEMA)
            renames = [(area, f"{area}_v{current}") for area in old_areas]
            renames += [(_NEXT_PREFIX + area, area) for area in [*areas, PUBLICATION_SCHEMA]]
            reached(CommitPoint.PUBLICATION_WRITTEN)
            self._switch(connection, renames)
            reached(CommitPoint.PUBLICATION_SWITCHED)
            return publication

    def drop_old(self, keep: int) -> None:
        """Drop all versions but the newest ``keep``; one that is in use is left for the next time."""
        with plain_errors(self._where), connect(self._url, read_only=False) as connection:
            versions = _old_versions(connection)
            connection.commit()
            for version in versions[max(keep, 1) - 1 :]:
                try:
                    with connection.transaction():
                        self._drop(connection, version)
                except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist) as error:
                    _log.warning("publication %d is still in use and stays for now: %s", version, error)

    def _drop(self, connection: Connection, version: int) -> None:
        schemas = [f"{area}_v{version}" for area in _areas(connection, f"{PUBLICATION_SCHEMA}_v{version}")]
        schemas.append(f"{PUBLICATION_SCHEMA}_v{version}")
        rows = fetch(connection, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1)", [schemas])
        tables = ", ".join(f"{quoted(schema)}.{quoted(table)}" for schema, table in rows)
        run(connection, f"SET LOCAL lock_timeout = '{_SWITCH_LOCK_TIMEOUT}'")
        run(connection, f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        run(connection, f"SELECT pg_advisory_xact_lock({self._lock_keys})")
        # Not CASCADE: a view that an analyst built on a table must not vanish with it.
        run(connection, f"DROP TABLE {tables}")
        for schema in schemas:
            run(connection, f"DROP SCHEMA {quoted(schema)}")

    def _copy_marts(self, connection: Connection) -> list[tuple[str, str, int]]:
        counts = []
        run(connection, f"CREATE SCHEMA {_NEXT_PREFIX}{PUBLICATION_SCHEMA}")
        areas = set()
        for schema, name, comment in fetch(connection, _TABLES_SQL, [BUILD_PREFIX]):
            area = schema.removeprefix(BUILD_PREFIX)
            source = f"{quoted(schema)}.{quoted(name)}"
            target = f"{quoted(_NEXT_PREFIX + area)}.{quoted(name)}"
            if area not in areas:
                areas.add(area)
                run(connection, f"CREATE SCHEMA {quoted(_NEXT_PREFIX + area)}")
            run(connection, f"CREATE TABLE {target} (LIKE {source} INCLUDING COMMENTS INCLUDING INDEXES)")
            rows = run(connection, f"INSERT INTO {target} SELECT * FROM {source}").rowcount
            if comment:
                run(connection, f"COMMENT ON TABLE {target} IS {literal(comment)}")
            # The server would gather its statistics only after readers met the table without any.
            run(connection, f"ANALYZE {target}")
            counts.append((area, name, rows))
        return counts

    def _describe(self, connection: Connection, publication: Publication, counts: list[tuple[str, str, int]]) -> None:
        schema = _NEXT_PREFIX + PUBLICATION_SCHEMA
        run(
            connection,
            f"CREATE TABLE {schema}.info (version bigint, published_at timestamptz, run_id text,"
            " tables bigint, rows bigint, location text, newest_change_at timestamptz,"
            " oldest_change_at timestamptz, change_clock text)",
        )
        values = [
            publication.version,
            publication.published_at,
            publication.run_id,
            publication.tables,
            publication.rows,
            publication.location,
            publication.changes.newest_at,
            publication.changes.oldest_at,
            publication.changes.clock,
        ]
        run(connection, f"INSERT INTO {schema}.info VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", values)
        run(
            connection,
            "INSERT INTO ledger.publications (version, published_at, run_id, tables, rows, location,"
            " newest_change_at, oldest_change_at, change_clock) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            values,
        )
        run(connection, f"CREATE TABLE {schema}.tables (schema_name text, table_name text, rows bigint)")
        for row in counts:
            run(connection, f"INSERT INTO {schema}.tables VALUES ($1, $2, $3)", row)
        run(connection, f"CREATE TABLE {schema}.sources AS {LATEST_BATCHES_SQL}")

    def _check_names(self, connection: Connection, areas: list[str], old_areas: list[str]) -> None:
        wanted = [area for area in [*areas, PUBLICATION_SCHEMA] if area not in old_areas]
        taken = fetch(connection, "SELECT nspname FROM pg_namespace WHERE nspname = ANY($1)", [wanted])
        if taken:
            names = ", ".join(name for (name,) in taken)
            raise PermanentError(
                f"the schema {names} exists and is not a publication's; it is left as it is",
                where=self._where,
                remedy="rename that schema, or give the warehouse a database of its own",
            )

    def _copy_grants(self, connection: Connection, area: str) -> None:
        following = _NEXT_PREFIX + area
        for privilege, grantee in fetch(connection, _SCHEMA_GRANTS_SQL, [area]):
            run(connection, f"GRANT {privilege} ON SCHEMA {quoted(following)} TO {grantee}")
        for (name,) in fetch(connection, "SELECT tablename FROM pg_tables WHERE schemaname = $1", [following]):
            for privilege, grantee in fetch(connection, _TABLE_GRANTS_SQL, [area, name]):
                run(connection, f"GRANT {privilege} ON {quoted(following)}.{quoted(name)} TO {grantee}")

    def _switch(self, connection: Connection, renames: list[tuple[str, str]]) -> None:
        deadline = time.monotonic() + self._lock_timeout
        while True:
            try:
                with connection.transaction():
                    run(connection, f"SET LOCAL lock_timeout = '{_SWITCH_LOCK_TIMEOUT}'")
                    run(connection, f"SELECT pg_advisory_xact_lock({self._lock_keys})")
                    for old, new in renames:
                        run(connection, f"ALTER SCHEMA {quoted(old)} RENAME TO {quoted(new)}")
                return
            except psycopg.errors.LockNotAvailable as error:
                if time.monotonic() >= deadline:
                    raise TransientError(
                        "the publication could not be switched: a reader holds its names",
                        where=self._where,
                        remedy="end that session, then publish again; readers keep the former version",
                    ) from error
                # Readers that queued behind the switch go first.
                time.sleep(0.1 + 0.4 * random.random())

    # Reading.

    def read(self, sql: str, parameters: Sequence[Any], version: int | None) -> pa.Table:
        """The result of one query on a version; nothing in it can be changed."""
        with (
            plain_errors(f"publication {version or 'current'} at {self._where}"),
            self._reader() as connection,
        ):
            suffix = "" if version in (None, self._current_version(connection)) else f"_v{version}"
            described = PUBLICATION_SCHEMA + suffix
            if fetch(connection, "SELECT to_regclass($1)", [f"{described}.info"]) == [(None,)]:
                raise PermanentError(
                    "nothing is published yet"
                    if version is None
                    else f"publication {version} does not exist or was dropped",
                    where=self._where,
                    remedy="run the pipeline once, or choose a version that is listed as a publication",
                )
            schemas = [area + suffix for area in _areas(connection, described)]
            run(connection, f"SET search_path = {', '.join(map(quoted, [*schemas, described]))}")
            text = sql.strip().rstrip(";")
            if not text.lower().startswith(_QUERY_WORDS):
                return fetch_table(run(connection, text, parameters))
            # Declaring the cursor looks the names up and locks what they mean.
            with psycopg.RawServerCursor(connection, "reader") as cursor:
                cursor.execute(text.encode(), list(parameters) or None)
                run(connection, f"SELECT pg_advisory_unlock_shared({self._lock_keys})")
                return fetch_table(cursor)

    def all(self, *, only_current: bool = False) -> list[Publication]:
        """The versions that can be read, newest first."""
        with plain_errors(self._where), self._reader() as connection:
            if self._current_version(connection) is None:
                return []
            schemas = [PUBLICATION_SCHEMA]
            if not only_current:
                schemas += [f"{PUBLICATION_SCHEMA}_v{version}" for version in _old_versions(connection)]
            found = [
                fetch(
                    connection,
                    # By way of JSON: a version that was published by an earlier release knows less.
                    "SELECT version, published_at, run_id, tables, rows, location,"
                    " CAST(to_jsonb(info) ->> 'newest_change_at' AS timestamptz),"
                    " CAST(to_jsonb(info) ->> 'oldest_change_at' AS timestamptz),"
                    f" to_jsonb(info) ->> 'change_clock' FROM {schema}.info AS info",
                )
                for schema in schemas
            ]
            return [_publication(row) for rows in found for row in rows]

    def _reader(self) -> Connection:
        """A read-only connection that holds the switch off until it lets go or is closed."""
        connection = connect(self._url, read_only=True)
        try:
            run(connection, f"SELECT pg_advisory_lock_shared({self._lock_keys})")
        except BaseException:
            connection.close()
            raise
        return connection

    def _current_version(self, connection: Connection) -> int | None:
        if fetch(connection, "SELECT to_regclass($1)", [f"{PUBLICATION_SCHEMA}.info"]) == [(None,)]:
            return None
        [(version,)] = fetch(connection, f"SELECT version FROM {PUBLICATION_SCHEMA}.info")
        return int(version)


def _publication(row: tuple[Any, ...]) -> Publication:
    version, published_at, run_id, tables, rows, location, *changes = row
    return Publication(version, published_at, run_id, tables, rows, location, Changes(*changes))


def _areas(connection: Connection, schema: str) -> list[str]:
    """The areas of the version that is described in ``schema``."""
    rows = fetch(connection, f"SELECT DISTINCT schema_name FROM {quoted(schema)}.tables ORDER BY schema_name")
    return [area for (area,) in rows]


def _old_versions(connection: Connection) -> list[int]:
    """The former versions that are still there, newest first."""
    rows = fetch(
        connection,
        "SELECT substring(nspname FROM '_v([0-9]+)$')::bigint AS version FROM pg_namespace"
        " WHERE nspname ~ $1 ORDER BY version DESC",
        [f"^{PUBLICATION_SCHEMA}_v[0-9]+$"],
    )
    return [int(version) for (version,) in rows]

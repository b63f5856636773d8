"""PostgreSQL's write-ahead log by logical decoding: a publication, a replication slot, the plugin ``pgoutput``.

The slot is read by SQL: peeked at, which moves nothing, and advanced once what was read is safe. A slot keeps
the server from removing its log, so a platform that is off for long fills the server's disk unless
``max_slot_wal_keep_size`` is set; then the slot may be lost and the tables are read anew.

A position is an address in the log, ``1/6B374D8``: all transactions that were committed before it are known.
Within a transaction too large for one stretch it is ``commit+applied``: of the transaction that was committed at
the one address, the changes before the other are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any, LiteralString

import polars as pl
import psycopg

from resources.change_log.base import (
    ChangeLog,
    Drain,
    LoggedTable,
    LogLostError,
    Order,
    Problem,
    Structure,
    TableChanges,
    fingerprint,
)
from resources.change_log.collecting import MISSING, Collector, Convert, Layout
from resources.change_log.pgoutput import (
    Begin,
    Commit,
    Message,
    Relation,
    RelationColumn,
    RowChange,
    Truncate,
    decode,
)
from resources.change_log.values import MOST_DECIMAL_DIGITS, decimals, parsed, raw_bytes, text_from_bytes
from resources.errors import PermanentError, TransientError
from resources.sql_source import CONNECT_TIMEOUT_SECONDS, SqlSource

_POSITION = re.compile(r"^([0-9A-F]+/[0-9A-F]+)(?:\+([0-9A-F]+/[0-9A-F]+))?$")
_FETCHED_ROWS = 10_000
_WAIT_FOR_TRANSACTIONS_SECONDS = 300
_LOOKED_AT_BYTES = 16 * 1024 * 1024
_LOOKED_AT_MESSAGES = 2_000
"""How much of the log the question for news looks at; beyond, every table may have changed."""
_MUCH_RETAINED_BYTES = 1024**3

# How values are written where the server leaves the choice to the session.
_SESSION = (
    "SET TIME ZONE 'UTC'",
    "SET datestyle = 'ISO'",
    "SET bytea_output = 'hex'",
    "SET intervalstyle = 'postgres'",
    "SET extra_float_digits = 1",
)
_PERMANENT = ("28", "3D", "42", "22", "0A")
_REFUSALS = ("authentication failed", "does not exist", "permission denied", "pg_hba.conf")


class PostgresWal(ChangeLog):
    """The log of the database at a ``postgresql://`` URL, by a publication and a slot called ``name``."""

    def __init__(self, source: SqlSource, url: str, tables: Sequence[LoggedTable], *, name: str) -> None:
        self._url = "postgresql" + url[url.index(":") :]
        self._source = source
        self._slot = name
        self.name = source.name
        self.tables = tuple(tables)

    # -- the server -------------------------------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        """See :meth:`ChangeLog.problems`."""
        with self._connection() as connection:
            found = list(self._wrong_settings(connection))
            for table in self.tables:
                found += self._wrong_identity(connection, table)
                found += self._unpublished_columns(connection, table)
            found += self._wrong_slot(connection)
        return found

    def _wrong_settings(self, connection: psycopg.Connection[Any]) -> Iterator[Problem]:
        level = _one(connection, "SELECT current_setting('wal_level')")
        if level != "logical":
            yield Problem(
                f"wal_level is {level}",
                "set wal_level = logical in the server's configuration and restart it (managed servers have a "
                "switch for it, such as rds.logical_replication)",
            )
        if _one(connection, "SELECT pg_is_in_recovery()"):
            yield Problem("the server is a standby", "give the URL of the primary server")
        # Managed servers give the right by a role of their own.
        may_read = (
            "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE (rolname = current_user AND (rolreplication OR rolsuper))"
            " OR (rolname = 'rds_replication' AND pg_has_role(current_user, oid, 'member')))"
        )
        if not _one(connection, may_read):
            user = _one(connection, "SELECT current_user")
            yield Problem(f"user {user} may not read the log", f"ALTER ROLE {user} REPLICATION")
        missing = self._unpublished(connection)
        if missing and not self._may_publish(connection):
            yield Problem(
                f"there is no publication {self._slot} of {', '.join(t.relation for t in missing)}, and this user "
                "may not make it",
                f"let the tables' owner run: {self._publish_statement(connection, missing)}",
            )

    def _wrong_identity(self, connection: psycopg.Connection[Any], table: LoggedTable) -> Iterator[Problem]:
        """A table of which the log does not tell the key of a deleted row."""
        identity = self._identity(connection, table)
        if identity is not None and not set(table.key) <= identity:
            yield Problem(
                f"{table.relation}: the log would not tell which rows are deleted or changed, as its replica "
                f"identity is {', '.join(sorted(identity)) or 'nothing'} and not {', '.join(table.key)}",
                f"let the table's owner give it {', '.join(table.key)} as primary key, or run "
                f"ALTER TABLE {self._source.quote(table.relation)} REPLICA IDENTITY FULL",
            )

    def _unpublished_columns(self, connection: psycopg.Connection[Any], table: LoggedTable) -> Iterator[Problem]:
        """Columns, rows and kinds of changes that the publication would leave out in silence."""
        oid = self._oid(connection, table.relation)
        generated = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s AND attgenerated <> '' AND attname = ANY (%s)",
            [oid, list(table.columns)],
        )
        for (column,) in generated:
            yield Problem(
                f"{table.relation}.{column} is a generated column, which the log does not hold",
                "map the column to another one, or set SHOPSPHERE_SHOP_DB_CAPTURE=poll",
            )
        partial = _one(
            connection,
            "SELECT 1 FROM pg_publication p LEFT JOIN pg_publication_rel r ON p.oid = r.prpubid AND r.prrelid = %s"
            " WHERE p.pubname = %s AND (r.prattrs IS NOT NULL OR r.prqual IS NOT NULL"
            " OR NOT (pubinsert AND pubupdate AND pubdelete AND pubtruncate))",
            [oid, self._slot],
        )
        if partial:
            yield Problem(
                f"the publication {self._slot} leaves out columns, rows or kinds of changes of {table.relation}",
                "publish the whole table with every kind of change",
            )

    def _wrong_slot(self, connection: psycopg.Connection[Any]) -> Iterator[Problem]:
        slot = self._slot_state(connection)
        if slot is None:
            return
        if slot["wal_status"] == "lost":
            yield Problem(
                f"the replication slot {self._slot} is lost: the server removed the log that it kept",
                "nothing: the next run makes another and reads the tables anew; to avoid it, run the platform more "
                "often or raise max_slot_wal_keep_size",
                is_fatal=False,
            )
        elif slot["retained"] > _MUCH_RETAINED_BYTES:
            yield Problem(
                f"the replication slot {self._slot} keeps {slot['retained'] / 1024**3:.1f} GB of log on the server",
                "run the platform; if it is given up, or polls now, free the log with "
                f"SELECT pg_drop_replication_slot('{self._slot}')",
                is_fatal=False,
            )

    def prepare(self) -> None:
        """See :meth:`ChangeLog.prepare`: the publication and the slot."""
        for problem in self.problems():
            if problem.is_fatal:
                raise PermanentError(problem.what, where=self.name, remedy=problem.remedy)
        with self._connection() as connection:
            missing = self._unpublished(connection)
            slot = self._slot_state(connection)
            is_new = not _one(connection, "SELECT 1 FROM pg_publication WHERE pubname = %s", [self._slot])
            if missing:
                connection.execute(self._publish_statement(connection, missing).encode())
            if slot is not None and (slot["wal_status"] == "lost" or is_new):
                # It cannot be read any more, or only by the publication that there was before.
                connection.execute("SELECT pg_drop_replication_slot(%s)", [self._slot])
                slot = None
            if slot is None:
                # Waits for the transactions that are under way.
                connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [self._slot])

    def _unpublished(self, connection: psycopg.Connection[Any]) -> list[LoggedTable]:
        published = {
            oid
            for (oid,) in connection.execute(
                "SELECT r.prrelid::bigint FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid"
                " WHERE p.pubname = %s",
                [self._slot],
            )
        }
        if _one(connection, "SELECT puballtables FROM pg_publication WHERE pubname = %s", [self._slot]):
            return []
        return [t for t in self.tables if self._oid(connection, t.relation) not in (None, *published)]

    def _oid(self, connection: psycopg.Connection[Any], relation: str) -> int | None:
        oid = _one(connection, "SELECT to_regclass(%s)::oid::bigint", [self._source.quote(relation)])
        return None if oid is None else int(oid)

    def _may_publish(self, connection: psycopg.Connection[Any]) -> bool:
        owns = all(
            _one(
                connection,
                "SELECT pg_has_role(relowner, 'usage') FROM pg_class WHERE oid = to_regclass(%s)",
                [self._source.quote(table.relation)],
            )
            in (True, None)
            for table in self.tables
        )
        owner = _one(
            connection,
            "SELECT pg_has_role(pubowner, 'usage') FROM pg_publication WHERE pubname = %s",
            [self._slot],
        )
        may_create = _one(connection, "SELECT has_database_privilege(current_database(), 'CREATE')")
        return bool(owns and (may_create if owner is None else owner))

    def _publish_statement(self, connection: psycopg.Connection[Any], missing: list[LoggedTable]) -> str:
        tables = ", ".join(self._source.quote(table.relation) for table in missing)
        name = self._source.quote_name(self._slot)
        if _one(connection, "SELECT 1 FROM pg_publication WHERE pubname = %s", [self._slot]):
            return f"ALTER PUBLICATION {name} ADD TABLE {tables}"
        return f"CREATE PUBLICATION {name} FOR TABLE {tables} WITH (publish_via_partition_root = true)"

    def _identity(self, connection: psycopg.Connection[Any], table: LoggedTable) -> set[str] | None:
        """The columns that the log gives of a deleted row; None where there is no such table."""
        oid = self._oid(connection, table.relation)
        if oid is None:
            return None
        rows = connection.execute(
            "SELECT a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
            " AND NOT a.attisdropped WHERE c.oid = %(oid)s AND (c.relreplident = 'f' OR EXISTS ("
            "SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])"
            " AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END))",
            {"oid": oid},
        )
        return {name for (name,) in rows}

    def _slot_state(self, connection: psycopg.Connection[Any]) -> dict[str, Any] | None:
        row = connection.execute(
            "SELECT wal_status, confirmed_flush_lsn - '0/0', pg_current_wal_lsn() - restart_lsn, database,"
            " current_database() FROM pg_replication_slots WHERE slot_name = %s",
            [self._slot],
        ).fetchone()
        if row is None:
            return None
        status, confirmed, retained, database, here = row
        if database != here:
            raise PermanentError(
                f"the replication slot {self._slot} belongs to the database {database}",
                where=self.name,
                remedy="give this platform another name with SHOPSPHERE_CHANGE_LOG_NAME",
            )
        return {"wal_status": status, "confirmed": int(confirmed or 0), "retained": int(retained or 0)}

    def structure(self, relation: str) -> Structure:
        """See :meth:`ChangeLog.structure`."""
        [table] = [table for table in self.tables if table.relation == relation]
        with self._connection() as connection:
            oid = self._oid(connection, relation)
            if oid is None:
                raise PermanentError(
                    f"the database has no table {relation}", where=self.name, remedy="restore it, or leave it out"
                )
            columns = connection.execute(
                "SELECT attname, attnum, atttypid::int8, atttypmod FROM pg_attribute"
                " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [oid],
            ).fetchall()
            published = _one(
                connection,
                "SELECT r.oid::bigint FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid"
                " WHERE p.pubname = %s AND r.prrelid = %s",
                [self._slot, oid],
            )
        wanted = [column for column in columns if column[0] in table.columns]
        return Structure(
            # What was changed while the table was not published is not in the log.
            fingerprint=fingerprint([(oid, published), *wanted]),
            unknown=tuple(name for name, *_ in columns if name not in table.columns),
        )

    # -- positions --------------------------------------------------------------------------------------------

    def position(self) -> str:
        """See :meth:`ChangeLog.position`.

        A commit is in the log before other sessions see it, so this waits until all transactions that had begun
        when the log ended there are over.
        """
        with self._connection() as connection:
            position = str(_one(connection, "SELECT pg_current_wal_flush_lsn()"))
            begun = _one(connection, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            deadline = monotonic() + _WAIT_FOR_TRANSACTIONS_SECONDS
            while _one(connection, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint") < begun:
                if monotonic() > deadline:
                    raise TransientError(
                        f"a transaction has been open for more than {_WAIT_FOR_TRANSACTIONS_SECONDS} seconds",
                        where=self.name,
                        remedy="end it (pg_stat_activity tells which); the tables are read after that",
                    )
                sleep(0.05)
        return position

    def order(self, position: str) -> Order:
        """See :meth:`ChangeLog.order`."""
        found = _POSITION.match(position)
        if not found:
            raise self._lost(f"{position} is no position in PostgreSQL's log")
        return _address(found[1]), _address(found[2]) if found[2] else 0

    def _lost(self, what: str) -> LogLostError:
        return LogLostError(
            what, where=self.name, remedy="nothing: the tables are read anew, and then the log from there"
        )

    def check(self, position: str) -> None:
        """See :meth:`ChangeLog.check`."""
        with self._connection() as connection:
            self._check(connection, self.order(position))

    def _check(self, connection: psycopg.Connection[Any], order: Order) -> None:
        slot = self._slot_state(connection)
        if slot is None or slot["wal_status"] == "lost":
            raise self._lost(f"the replication slot {self._slot} is gone")
        if slot["confirmed"] > order[0]:
            raise self._lost(
                f"the replication slot {self._slot} stands at {_text(slot['confirmed'])}, beyond {_text(order[0])}: "
                "it was made anew, or something else moved it"
            )

    # -- the log ----------------------------------------------------------------------------------------------

    def changes(self, after: Mapping[str, str], *, limit: int) -> Iterator[Drain]:
        """See :meth:`ChangeLog.changes`. The slot has to be moved on with :meth:`confirm` between two stretches."""
        with self._connection() as connection:
            lowest = min(self.order(position) for position in after.values())
            self._check(connection, lowest)
            end = int(_one(connection, "SELECT pg_current_wal_flush_lsn() - '0/0'"))
            reading = _Reading(self._relations(connection), {r: self.order(p) for r, p in after.items()})
            position = lowest[0]
            while True:
                messages = 0
                for commit, address, message in self._messages(connection, end, limit):
                    messages += 1
                    reading.take(commit, address, message)
                    if isinstance(message, Commit):
                        position = max(position, message.end)
                    elif reading.count >= 2 * limit:
                        yield Drain(f"{_text(commit)}+{_text(address)}", reading.collected(), is_last=False)
                # The server gives whole transactions until the limit is reached, so fewer are all there are.
                if messages < limit:
                    yield Drain(_text(max(position, end)), reading.collected(), is_last=True)
                    return
                yield Drain(_text(position), reading.collected(), is_last=False)

    def _messages(
        self, connection: psycopg.Connection[Any], end: int, limit: int
    ) -> Iterator[tuple[int, int, Message | None]]:
        """What the slot holds: where its transaction was committed, where it stands, and the message itself."""
        commit = 0
        parameters = {"slot": self._slot, "end": _text(end), "limit": limit}
        with _plain_errors(self.name), connection.transaction(), connection.cursor("log", binary=True) as cursor:
            cursor.itersize = _FETCHED_ROWS
            cursor.execute(
                "SELECT (lsn - '0/0')::bigint, data FROM pg_logical_slot_peek_binary_changes("
                "%(slot)s::name, %(end)s::pg_lsn, %(limit)s,"
                " 'proto_version', '1', 'publication_names', %(slot)s::text)",
                parameters,
            )
            for address, data in cursor:
                message = decode(data)
                if isinstance(message, Begin):
                    commit = message.commit
                yield commit, address, message

    def _relations(self, connection: psycopg.Connection[Any]) -> dict[tuple[str, str], LoggedTable]:
        """The tables by the names that the log gives them."""
        found = {}
        for table in self.tables:
            row = connection.execute(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE c.oid = to_regclass(%s)",
                [self._source.quote(table.relation)],
            ).fetchone()
            if row is not None:
                found[row[0], row[1]] = table
        return found

    def news(self, after: Mapping[str, str]) -> dict[str, str]:
        """See :meth:`ChangeLog.news`."""
        lowest = min(self.order(position) for position in after.values())
        with self._connection() as connection:
            try:
                self._check(connection, lowest)
            except LogLostError as error:
                return dict.fromkeys(after, error.what)
            end = int(_one(connection, "SELECT pg_current_wal_flush_lsn() - '0/0'"))
            if end > lowest[0] + _LOOKED_AT_BYTES:
                return dict.fromkeys(after, _text(end))
            reading = _Reading(self._relations(connection), {r: self.order(p) for r, p in after.items()})
            changed: set[str] = set()
            messages = 0
            for commit, address, message in self._messages(connection, end, _LOOKED_AT_MESSAGES):
                messages += 1
                changed |= reading.concerned(commit, address, message)
        return dict.fromkeys(after if messages >= _LOOKED_AT_MESSAGES else changed, _text(end))

    def confirm(self, position: str) -> None:
        """See :meth:`ChangeLog.confirm`. Within a transaction nothing is confirmed: it is read again as a whole."""
        if self.order(position)[1]:
            return
        with self._connection() as connection:
            slot = self._slot_state(connection)
            if slot is not None and slot["confirmed"] < self.order(position)[0]:
                connection.execute("SELECT pg_replication_slot_advance(%s, %s)", [self._slot, position])

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        with (
            _plain_errors(self.name),
            psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection,
        ):
            for statement in _SESSION:
                connection.execute(statement)
            yield connection


class _Reading:
    """One read of the log: from messages to the changes of each table.

    ``count``: changes since :meth:`collected` was called.
    """

    def __init__(self, tables: Mapping[tuple[str, str], LoggedTable], done: Mapping[str, Order]) -> None:
        self._tables = {name: table for name, table in tables.items() if table.relation in done}
        self._done = done
        self._described: dict[int, _Described] = {}
        self._collectors: dict[str, Collector] = {}
        self.count = 0

    def collected(self) -> dict[str, TableChanges]:
        """The changes taken since the last call."""
        found = {relation: collector.result() for relation, collector in self._collectors.items()}
        self._collectors, self.count = {}, 0
        return found

    def take(self, commit: int, address: int, message: Message | None) -> None:
        """Take in a message of the transaction that was committed at ``commit``."""
        match message:
            case Relation():
                self._describe(message)
            case RowChange():
                described = self._described.get(message.relation_id)
                if described is not None and self._is_new(described.table, commit, address):
                    self._take_row(described, message)
            case Truncate():
                for relation_id in message.relation_ids:
                    described = self._described.get(relation_id)
                    if described is not None and self._is_new(described.table, commit, address):
                        self._collector(described.table).empty()

    def concerned(self, commit: int, address: int, message: Message | None) -> set[str]:
        """The relations for which the message is news."""
        touched: Sequence[int] = ()
        match message:
            case Relation():
                self._describe(message)
            case RowChange():
                touched = (message.relation_id,)
            case Truncate():
                touched = message.relation_ids
        tables = [self._described[relation_id].table for relation_id in touched if relation_id in self._described]
        return {table.relation for table in tables if self._is_new(table, commit, address)}

    def _is_new(self, table: LoggedTable, commit: int, address: int) -> bool:
        # Several changes may stand at one address; those that are known are taken again, which does no harm.
        return (commit, address) >= self._done[table.relation]

    def _collector(self, table: LoggedTable) -> Collector:
        self.count += 1
        return self._collectors.setdefault(table.relation, Collector(table))

    def _describe(self, relation: Relation) -> None:
        table = self._tables.get((relation.schema, relation.name))
        if table is None:
            self._described.pop(relation.relation_id, None)
            return
        known = self._described.get(relation.relation_id)
        if known is None or known.relation != relation:
            self._described[relation.relation_id] = _Described(table, relation)

    def _take_row(self, described: _Described, change: RowChange) -> None:
        collector, layout = self._collector(described.table), described.layout
        if described.problem:
            collector.spoil(described.problem)
            return
        old = None if change.old is None else described.wanted(change.old)
        before = None if old is None else tuple([old[n] for n in layout.key])
        if change.new is None:
            assert before is not None
            collector.delete(layout, before)
            return
        new = described.wanted(change.new)
        if old is not None and change.is_old_whole:
            new = [was if value is MISSING else value for was, value in zip(old, new, strict=True)]
        key = tuple([new[n] for n in layout.key])
        if MISSING in key:
            collector.spoil("the log does not give the key of a row")
            return
        collector.put(layout, key, new, before=before)
        collector.bytes_read += sum(len(value) for value in new if isinstance(value, bytes))


class _Described:
    """A table's columns as the log describes them, ready to take its rows."""

    def __init__(self, table: LoggedTable, relation: Relation) -> None:
        self.table = table
        self.relation = relation
        names = [column.name for column in relation.columns]
        present = [name for name in table.columns if name in names]
        self._places = [names.index(name) for name in present]
        missing = [name for name in table.key if name not in present]
        self.problem = f"the table has no column {', '.join(missing)}" if missing else ""
        key = () if missing else tuple(present.index(name) for name in table.key)
        self.layout = Layout(tuple(present), tuple(_converter(relation.columns[n]) for n in self._places), key)

    def wanted(self, values: Sequence[Any]) -> list[Any]:
        """The wanted columns' values."""
        return [values[place] for place in self._places]


def _converter(column: RelationColumn) -> Convert:
    """How a column's texts become what a read of the table gives."""
    match _TYPES.get(column.type_id):
        case "bool":
            return lambda values: pl.Series([None if v is None else v == b"t" for v in values], dtype=pl.Boolean)
        case "int":
            return parsed(lambda texts: texts.cast(pl.Int64, strict=False))
        case "float":
            return parsed(lambda texts: texts.cast(pl.Float64, strict=False))
        case "bytes":
            return lambda values: raw_bytes([None if v is None else bytes.fromhex(v[2:].decode()) for v in values])
        case "padded":
            return lambda values: text_from_bytes([None if v is None else v.rstrip(b" ") for v in values])
        case "address":
            return lambda values: text_from_bytes([None if v is None else _with_mask(v) for v in values])
        case "date":
            return parsed(lambda texts: texts.str.to_date("%Y-%m-%d", strict=False))
        case "moment":
            return parsed(lambda texts: texts.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False))
        case "zoned moment":
            form = "%Y-%m-%d %H:%M:%S%.f%#z"
            return parsed(lambda texts: texts.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False))
        case "decimal" if column.modifier >= 4:
            # The lower eleven bits are the places, with a sign.
            scale = ((column.modifier - 4 & 0x7FF) ^ 1024) - 1024
            if 0 <= scale <= MOST_DECIMAL_DIGITS:
                return parsed(decimals(scale))
    return text_from_bytes


def _with_mask(address: bytes) -> bytes:
    """An internet address as a cast to text writes it."""
    return address if b"/" in address else address + (b"/128" if b":" in address else b"/32")


_TYPES = {
    16: "bool",
    20: "int",
    21: "int",
    23: "int",
    701: "float",
    17: "bytes",
    1042: "padded",
    1700: "decimal",
    1082: "date",
    1114: "moment",
    1184: "zoned moment",
    869: "address",
}
"""Ids of PostgreSQL's types that do not come as text when tables are read."""


def _one(connection: psycopg.Connection[Any], query: LiteralString, parameters: Sequence[Any] = ()) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return row[0] if row else None


def _address(text: str) -> int:
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def _text(address: int) -> str:
    return f"{address >> 32:X}/{address & 0xFFFFFFFF:X}"


@contextmanager
def _plain_errors(where: str) -> Iterator[None]:
    """Turn the driver's errors into the platform's."""
    try:
        yield
    except psycopg.Error as error:
        message = (error.diag.message_primary or str(error)).strip()
        state = error.sqlstate or ""
        refused = "FATAL:" in message and any(symptom in message for symptom in _REFUSALS)
        if refused or state.startswith(_PERMANENT):
            raise PermanentError(
                f"the database refuses: {message}",
                where=where,
                remedy="check user and password and the user's rights: REPLICATION, and to be the tables' owner or "
                "have the publication made for it; `shopsphere doctor` tests each of them",
            ) from error
        raise TransientError(
            f"the database does not answer: {message}",
            where=where,
            remedy="check that the server runs, that host and port are right and that it has a replication slot free "
            "(max_replication_slots)",
        ) from error

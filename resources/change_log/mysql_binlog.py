"""The row binlog of MySQL and MariaDB, read with mysql-replication (pymysqlreplication).

A position is ``file:offset@history``. The offset is where a transaction begins; the history tells this log from
another server's, or from one begun anew, that has files of the same names: the server's identity and when the
file was created. Within a transaction too large for one stretch it is ``file:offset+applied@history``: reading
starts at the transaction and passes over what ends at or before the offset ``applied``.

The stream is asked for without blocking: it ends where the log ends now.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import (
    FormatDescriptionEvent,
    GtidEvent,
    MariadbGtidEvent,
    QueryEvent,
    RotateEvent,
    XidEvent,
)
from pymysqlreplication.row_event import (
    DeleteRowsEvent,
    PartialUpdateRowsEvent,
    RowsEvent,
    UpdateRowsEvent,
    WriteRowsEvent,
)

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
from resources.change_log.collecting import MISSING, Collector
from resources.change_log.mysql_rows import MySqlLayout
from resources.change_log.statements import meaning, named_tables
from resources.errors import PermanentError, TransientError
from resources.sql_source import CONNECT_TIMEOUT_SECONDS, SqlSource

# Messages of its own about every connection; what is wrong is raised as an error.
logging.getLogger("pymysqlreplication").setLevel(logging.ERROR)

_EVENTS = [
    *(FormatDescriptionEvent, GtidEvent, MariadbGtidEvent, QueryEvent, XidEvent, RotateEvent),
    *(WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent, PartialUpdateRowsEvent),
]
# Flags of MariaDB's GTID events: one statement without a commit; prepared by XA; the end of one so prepared.
_STANDALONE, _PREPARED, _COMPLETED = 1, 64, 128

_POSITION = re.compile(r"^(?P<file>[^:@]+\.\d+):(?P<offset>\d+)(\+(?P<applied>\d+))?@(?P<history>.*)$")
_READ_TIMEOUT_SECONDS = 120
_LOCK_WAIT_SECONDS = 10
_LOOKED_AT_EVENTS = 2_000
"""How many events the question for news looks at; beyond, every table may have changed."""

_FATAL_ERROR_READING_BINLOG = 1236
_ACCESS_DENIED = {1044, 1045, 1142, 1227, 1698}
_REQUIRED = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_metadata": "FULL"}
_DECODED_TYPES = {
    *("tinyint", "smallint", "mediumint", "int", "bigint", "float", "double", "decimal", "bit", "year"),
    *("date", "time", "datetime", "timestamp", "enum", "set", "json", "uuid", "inet4", "inet6"),
    *("char", "varchar", "tinytext", "text", "mediumtext", "longtext"),
    *("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"),
    *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
    *("geometrycollection", "geomcollection"),
}

TableName = tuple[str, str]


@dataclass(frozen=True)
class Place:
    """Where a transaction stands in the log. ``end``: where the event at hand ends; ``applied``: see the module."""

    file: str
    offset: int
    history: str
    applied: int = 0
    end: int = 0

    def __str__(self) -> str:
        applied = f"+{self.applied}" if self.applied else ""
        return f"{self.file}:{self.offset}{applied}@{self.history}"

    @property
    def number(self) -> int:
        """The number of the file."""
        return int(self.file.rpartition(".")[2])

    @property
    def order(self) -> Order:
        """See :meth:`ChangeLog.order`."""
        return self.number, self.applied or self.offset


class MySqlBinlog(ChangeLog):
    """The binlog of the server at a ``mysql://`` URL, for tables of its database."""

    def __init__(self, source: SqlSource, url: str, tables: Sequence[LoggedTable]) -> None:
        parts = urlsplit(url)
        self._source = source
        self._database = unquote(parts.path.lstrip("/"))
        self._login: dict[str, Any] = {
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or "").encode(),
        }
        self.name = source.name
        self.tables = tuple(tables)
        self._by_name: dict[TableName, LoggedTable] = {self._qualified(t.relation): t for t in tables}

    def _qualified(self, relation: str) -> TableName:
        schema, _, name = relation.rpartition(".")
        return schema or self._database, name

    # -- the server -------------------------------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        """See :meth:`ChangeLog.problems`."""
        with self._cursor() as cursor:
            found = list(self._wrong_settings(cursor))
            if not found:
                found += self._missing_rights(cursor)
            found += self._other_tables(cursor)
            found += self._undecoded_columns(cursor)
        return found

    def _wrong_settings(self, cursor: Any) -> Iterator[Problem]:
        variables = _variables(cursor)
        if variables.get("log_bin") != "ON":
            yield Problem(
                "the server keeps no binlog",
                "start it with log_bin, binlog_format=ROW and binlog_row_metadata=FULL in its configuration",
            )
            return
        for name, wanted in _REQUIRED.items():
            found = variables.get(name)
            if found is None:
                yield Problem(
                    f"the server does not know {name}",
                    "use MariaDB 10.5 or MySQL 8.0 at least, or set SHOPSPHERE_SHOP_DB_CAPTURE=poll",
                )
            elif found.upper() != wanted:
                yield Problem(
                    f"{name} is {found}",
                    f"SET GLOBAL {name} = '{wanted}', and the same in the server's configuration; sessions that are "
                    "open keep what they had until they connect again",
                )
        if variables.get("binlog_row_image", "FULL").upper() != "FULL":
            yield Problem(
                f"binlog_row_image is {variables['binlog_row_image']}: every changed row is read from its table again",
                "SET GLOBAL binlog_row_image = 'FULL', and the same in the server's configuration",
                is_fatal=False,
            )
        expires = variables.get("binlog_expire_logs_seconds") or "0"
        if 0 < float(expires) < 3 * 86_400:
            yield Problem(
                f"the binlog is kept for {float(expires) / 3600:.0f} hours: if the platform is off for longer, all "
                "tables are read anew",
                "SET GLOBAL binlog_expire_logs_seconds = 604800, and the same in the server's configuration",
                is_fatal=False,
            )

    def _missing_rights(self, cursor: Any) -> Iterator[Problem]:
        """What the user may not do; tried out, as the names of rights differ between servers."""
        user = self._login["user"]
        try:
            file, offset = _log_end(cursor)
        except pymysql.MySQLError as error:
            right = "BINLOG MONITOR" if _is_mariadb(cursor) else "REPLICATION CLIENT"
            yield Problem(
                f"user {user} may not ask where the log ends: {error.args[1]}", f"GRANT {right} ON *.* TO {user}"
            )
            return
        try:
            stream = self._stream(file, offset)
            try:
                stream.fetchone()
            finally:
                stream.close()
        except pymysql.MySQLError as error:
            yield Problem(
                f"user {user} may not read the log: {error.args[1]}", f"GRANT REPLICATION SLAVE ON *.* TO {user}"
            )

    def _other_tables(self, cursor: Any) -> Iterator[Problem]:
        """Views and the like, and tables that the log calls by another name: their changes would be overlooked."""
        for (schema, name), table in self._by_name.items():
            cursor.execute(
                "SELECT table_schema, table_name, table_type FROM information_schema.tables"
                " WHERE table_schema = %s AND table_name = %s",
                (schema, name),
            )
            row = cursor.fetchone()
            if row is None:
                continue
            *written, kind = (str(part) for part in row)
            if kind != "BASE TABLE":
                yield Problem(
                    f"{table.relation} is a {kind.lower()}, of which the log has no changes",
                    "map a plain table, or set SHOPSPHERE_SHOP_DB_CAPTURE=poll",
                )
            elif written != [schema, name]:
                what = f"the table {table.relation} is written {'.'.join(written)} in the log"
                yield Problem(what, "write it so in the sources file, and the database in the URL")

    def _undecoded_columns(self, cursor: Any) -> Iterator[Problem]:
        for (schema, name), table in self._by_name.items():
            for column, data_type, column_type in _columns(cursor, schema, name):
                if data_type not in _DECODED_TYPES or "compressed" in column_type.lower():
                    yield Problem(
                        f"{table.relation}.{column} is of type {column_type}, which cannot be read from the log",
                        "change the column's type, or set SHOPSPHERE_SHOP_DB_CAPTURE=poll",
                    )

    def prepare(self) -> None:
        """See :meth:`ChangeLog.prepare`: nothing is set up, but everything is looked at."""
        for problem in self.problems():
            if problem.is_fatal:
                raise PermanentError(problem.what, where=self.name, remedy=problem.remedy)

    def structure(self, relation: str) -> Structure:
        """See :meth:`ChangeLog.structure`."""
        schema, name = self._qualified(relation)
        with self._cursor() as cursor:
            columns = _columns(cursor, schema, name)
        if not columns:
            raise PermanentError(
                f"the database has no table {relation}", where=self.name, remedy="restore it, or leave it out"
            )
        wanted = {column.lower() for column in self._by_name[schema, name].columns}
        return Structure(
            fingerprint=fingerprint(c for c in columns if c[0].lower() in wanted),
            unknown=tuple(column for column, *_ in columns if column.lower() not in wanted),
        )

    # -- positions --------------------------------------------------------------------------------------------

    def position(self) -> str:
        """See :meth:`ChangeLog.position`.

        The log is written before the storage engine commits, so its end may run ahead of what a new read sees.
        MariaDB tells the position that belongs to a snapshot; with MySQL the tables are locked for an instant,
        which waits for the transactions that changed them.
        """
        with self._cursor() as cursor:
            if _is_mariadb(cursor):
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT")
                cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
                status = {str(name).lower(): value for name, value in cursor.fetchall()}
                file, offset = str(status["binlog_snapshot_file"]), int(status["binlog_snapshot_position"])
            else:
                file, offset = self._locked_end(cursor)
            server = _server(cursor)
        stream = self._stream(file, offset, only=[FormatDescriptionEvent])
        try:
            with _plain_errors(self.name):
                created = stream.fetchone().timestamp
        finally:
            stream.close()
        return str(Place(file, offset, f"{server}/{created}"))

    def _locked_end(self, cursor: Any) -> tuple[str, int]:
        cursor.execute(f"SET SESSION lock_wait_timeout = {_LOCK_WAIT_SECONDS}")
        locks = (f"{self._source.quote(table.relation)} READ" for table in self.tables)
        cursor.execute(f"LOCK TABLES {', '.join(locks)}")
        try:
            return _log_end(cursor)
        finally:
            cursor.execute("UNLOCK TABLES")

    def order(self, position: str) -> Order:
        """See :meth:`ChangeLog.order`."""
        return self._place(position).order

    def _place(self, position: str) -> Place:
        found = _POSITION.match(position)
        if not found:
            raise _lost(f"{position} is no position in a binlog", self.name)
        return Place(found["file"], int(found["offset"]), found["history"], int(found["applied"] or 0))

    def check(self, position: str) -> None:
        """See :meth:`ChangeLog.check`."""
        for _ in self._events(self._place(position)):
            return

    # -- the log ----------------------------------------------------------------------------------------------

    def changes(self, after: Mapping[str, str], *, limit: int) -> Iterator[Drain]:
        """See :meth:`ChangeLog.changes`."""
        reading = _Reading(self._by_name, {r: self.order(p) for r, p in after.items()}, self._types())
        start = self._place(min(after.values(), key=self.order))
        with self._cursor() as cursor:
            end = Place(*_log_end(cursor), "").order
        position = start
        for place, event in self._events(start):
            reading.take(place, event)
            is_whole = not reading.is_inside
            if is_whole:
                position = replace(place, offset=place.end)
                if position.order >= end:
                    # Writers may be at work: what comes from now on is for the next time.
                    break
            if reading.count >= limit and (is_whole or reading.count >= 2 * limit):
                partial = replace(place, applied=place.end)
                yield Drain(str(position if is_whole else partial), reading.collected(), is_last=False)
        yield Drain(str(position), reading.collected(), is_last=True)

    def news(self, after: Mapping[str, str]) -> dict[str, str]:
        """See :meth:`ChangeLog.news`."""
        start = self._place(min(after.values(), key=self.order))
        with self._cursor() as cursor:
            file, offset = _log_end(cursor)
        end = f"{file}:{offset}"
        if Place(file, offset, "").order <= start.order:
            return {}
        reading = _Reading(self._by_name, {r: self.order(p) for r, p in after.items()}, {})
        changed: set[str] = set()
        try:
            for number, (place, event) in enumerate(self._events(start)):
                if number >= _LOOKED_AT_EVENTS:
                    return dict.fromkeys(after, end)
                changed |= reading.concerned(place, event)
        except LogLostError as error:
            return dict.fromkeys(after, error.what)
        return dict.fromkeys(changed, end)

    def confirm(self, position: str) -> None:
        """See :meth:`ChangeLog.confirm`: the server keeps its log by age, whoever reads it."""

    def _types(self) -> dict[TableName, dict[str, str]]:
        """Types by the catalogue; the log calls texts what some of them are kept in."""
        with self._cursor() as cursor:
            return {name: {column: of for column, of, _ in _columns(cursor, *name)} for name in self._by_name}

    def _events(self, start: Place) -> Iterator[tuple[Place, Any]]:
        """The events from ``start`` on, each with the place of its transaction and its own end.

        Raises :class:`LogLostError` where the server's log is not the one in which the position was taken.
        """
        with self._cursor() as cursor:
            server = _server(cursor)
            cursor.execute("SHOW BINARY LOGS")
            sizes = {str(row[0]): int(row[1]) for row in cursor.fetchall()}
        if sizes.get(start.file, -1) < start.offset:
            raise _lost(f"the server's logs do not reach back to {start.file}:{start.offset}", self.name)
        stream = self._stream(start.file, start.offset)
        place, is_first = start, True
        try:
            with _plain_errors(self.name):
                while (event := stream.fetchone()) is not None:
                    match event:
                        case RotateEvent():
                            place = Place(event.next_binlog, event.position, place.history)
                        case FormatDescriptionEvent():
                            place = replace(place, history=f"{server}/{event.timestamp}")
                            if is_first and place.history != start.history:
                                what = f"{start.file} is another log: {place.history} instead of {start.history}"
                                raise _lost(what, self.name)
                            is_first = False
                        case _:
                            end = event.packet.log_pos
                            if isinstance(event, MariadbGtidEvent | GtidEvent):
                                place = replace(place, offset=end - event.packet.event_size)
                            place = replace(place, end=end)
                            yield place, event
                            if _is_commit(event):
                                place = replace(place, offset=end)
        finally:
            stream.close()

    def _stream(self, file: str, offset: int, *, only: list[type] | None = None) -> BinLogStreamReader:
        opened = 0

        def connect(**settings: Any) -> Any:
            nonlocal opened
            opened += 1
            if opened > 2:
                # The library would connect again in the middle of a transaction.
                raise pymysql.OperationalError(2013, "the connection broke while the log was read")
            # The library's name for it is deprecated.
            return pymysql.connect(database=settings.pop("db", None), **settings)

        return BinLogStreamReader(
            connection_settings={
                **self._login,
                "charset": "utf8mb4",
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
                "read_timeout": _READ_TIMEOUT_SECONDS,
            },
            # Each stream its own: the server ends the stream of an earlier one of the same number.
            server_id=secrets.randbelow(2**30) + 2**30,
            blocking=False,
            resume_stream=True,
            log_file=file,
            log_pos=offset,
            only_schemas=sorted({schema for schema, _ in self._by_name}),
            only_tables=sorted({name for _, name in self._by_name}),
            only_events=only or _EVENTS,
            enable_logging=False,
            pymysql_wrapper=connect,
        )

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        connection: Any = None
        with _plain_errors(self.name):
            try:
                connection = pymysql.connect(
                    **self._login,
                    database=self._database or None,
                    charset="utf8mb4",
                    connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    read_timeout=_READ_TIMEOUT_SECONDS,
                )
                yield connection.cursor()
            finally:
                if connection is not None:
                    connection.close()


class _Reading:
    """One read of the log: from events to the changes of each table.

    ``is_inside``: whether a transaction is under way. ``count``: changes since :meth:`collected` was called.
    """

    def __init__(
        self,
        tables: Mapping[TableName, LoggedTable],
        done: Mapping[str, Order],
        types: Mapping[TableName, dict[str, str]],
    ) -> None:
        self._tables = {name: table for name, table in tables.items() if table.relation in done}
        self._done = done
        self._types = types
        self._layouts: dict[int, tuple[Any, MySqlLayout]] = {}
        self._collectors: dict[str, Collector] = {}
        self._is_prepared_only = False
        self.is_inside = False
        self.count = 0

    def collected(self) -> dict[str, TableChanges]:
        """The changes taken since the last call."""
        found = {relation: collector.result() for relation, collector in self._collectors.items()}
        self._collectors, self.count = {}, 0
        return found

    def take(self, place: Place, event: Any) -> None:
        """Take in an event."""
        match event:
            case MariadbGtidEvent():
                self.is_inside = not event.flags & _STANDALONE
                self._is_prepared_only = bool(event.flags & _PREPARED)
                if event.flags & _COMPLETED:
                    self._spoil_all(place, "a transaction prepared by XA was ended")
            case RowsEvent():
                self._take_rows(place, event)
            case QueryEvent():
                self._take_statement(place, event)
            case XidEvent():
                self.is_inside = False

    def concerned(self, place: Place, event: Any) -> set[str]:
        """The relations for which the event is news."""
        match event:
            case RowsEvent():
                table = self._tables.get((event.schema, event.table))
                return {table.relation} if table is not None and self._is_new(table, place) else set()
            case QueryEvent() if meaning(event.query) is not None:
                return {table.relation for table in self._named(place, event)}
            case MariadbGtidEvent() if event.flags & _COMPLETED:
                return set(self._done)
        return set()

    def _is_new(self, table: LoggedTable, place: Place) -> bool:
        return (place.number, place.end) > self._done[table.relation]

    def _collector(self, table: LoggedTable) -> Collector:
        self.count += 1
        return self._collectors.setdefault(table.relation, Collector(table))

    def _spoil_all(self, place: Place, reason: str) -> None:
        for table in self._tables.values():
            if self._is_new(table, place):
                self._collector(table).spoil(reason)

    def _take_rows(self, place: Place, event: RowsEvent) -> None:
        table = self._tables.get((event.schema, event.table))
        if table is None or not self._is_new(table, place):
            return
        collector = self._collector(table)
        if self._is_prepared_only:
            collector.spoil("a transaction was prepared by XA")
            return
        layout = self._layout(table, event)
        if layout.problem or isinstance(event, PartialUpdateRowsEvent):
            collector.spoil(layout.problem or "the log holds parts of JSON values")
            return
        data = event.packet.read(event.event_size - event.packet.read_bytes)
        changed = isinstance(event, UpdateRowsEvent)
        after = event.columns_present_bitmap2 if changed else None
        before_count = collector.changes
        key_of = layout.layout.key
        for before, values in layout.rows(data, event.columns_present_bitmap, after):
            key = tuple([before[n] for n in key_of])
            if MISSING in key:
                collector.spoil("the log does not give the key of a row")
            elif isinstance(event, DeleteRowsEvent):
                collector.delete(layout.layout, key)
            elif changed:
                # Of a row logged in part, the key is only given where it changed.
                new = tuple([o if (v := values[n]) is MISSING else v for n, o in zip(key_of, key, strict=True)])
                collector.put(layout.layout, new, values, before=key)
            else:
                collector.put(layout.layout, key, values)
        collector.bytes_read += len(data)
        self.count += collector.changes - before_count

    def _layout(self, table: LoggedTable, event: RowsEvent) -> MySqlLayout:
        """The layout of the event's rows; an object of its own for each version of the table's columns."""
        described = event.table_map[event.table_id]
        known = self._layouts.get(event.table_id)
        if known is not None and (known[0] is described or _same_columns(known[0], described)):
            return known[1]
        layout = MySqlLayout(table, described.columns, self._types.get((event.schema, event.table), {}))
        self._layouts[event.table_id] = described, layout
        return layout

    def _named(self, place: Place, event: QueryEvent) -> Iterator[LoggedTable]:
        schema = event.schema.decode(errors="replace")
        for name in named_tables(event.query, schema, self._tables):
            if self._is_new(self._tables[name], place):
                yield self._tables[name]

    def _take_statement(self, place: Place, event: QueryEvent) -> None:
        statement = event.query.strip()
        word = statement[:20].upper()
        if word.startswith(("BEGIN", "START TRANSACTION", "XA START", "XA BEGIN")):
            self.is_inside, self._is_prepared_only = True, word.startswith("XA")
            return
        if word.startswith(("COMMIT", "ROLLBACK")) and not word.startswith("ROLLBACK TO"):
            self.is_inside = False
            return
        if word.startswith("XA "):
            if word.startswith("XA COMMIT"):
                self._spoil_all(place, "a transaction prepared by XA was ended")
            self.is_inside = False
            return
        found = meaning(statement)
        if found is None:
            return
        for table in self._named(place, event):
            collector = self._collector(table)
            short = " ".join(statement.split())[:200]
            match found:
                case "emptied":
                    collector.empty()
                case "altered":
                    collector.note(f"the table's structure was changed: {short}")
                    if any(named_tables(statement, "", [("", column)]) for column in table.columns):
                        collector.spoil(f"columns may have changed: {short}")
                case "replaced":
                    collector.spoil(f"the table was replaced: {short}")
                case "unlogged":
                    collector.spoil(f"a statement was logged instead of the rows that it changed: {short}")


def _is_commit(event: Any) -> bool:
    return isinstance(event, XidEvent) or (isinstance(event, QueryEvent) and event.query.upper().startswith("COMMIT"))


def _same_columns(one: Any, other: Any) -> bool:
    return [c.data for c in one.columns] == [c.data for c in other.columns]


def _server(cursor: Any) -> str:
    """The identity of the server."""
    cursor.execute(f"SELECT {'@@server_id' if _is_mariadb(cursor) else '@@server_uuid'}")
    return str(cursor.fetchone()[0])


def _is_mariadb(cursor: Any) -> bool:
    return "mariadb" in cursor.connection.get_server_info().lower()


def _log_end(cursor: Any) -> tuple[str, int]:
    """Where the log ends. MySQL 8.4 knows the statement by its new name only."""
    try:
        cursor.execute("SHOW MASTER STATUS")
    except pymysql.ProgrammingError:
        cursor.execute("SHOW BINARY LOG STATUS")
    row = cursor.fetchone()
    return str(row[0]), int(row[1])


def _variables(cursor: Any) -> dict[str, str]:
    cursor.execute("SHOW GLOBAL VARIABLES WHERE Variable_name LIKE 'binlog\\_%' OR Variable_name = 'log_bin'")
    return {str(name).lower(): str(value) for name, value in cursor.fetchall()}


def _columns(cursor: Any, schema: str, name: str) -> list[tuple[str, str, str]]:
    """Name, type and full type of a table's columns."""
    cursor.execute(
        "SELECT column_name, LOWER(data_type), column_type FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (schema, name),
    )
    return [(str(column), str(of), str(full)) for column, of, full in cursor.fetchall()]


def _lost(what: str, where: str) -> LogLostError:
    return LogLostError(what, where=where, remedy="nothing: the tables are read anew, and then the log from there")


@contextmanager
def _plain_errors(where: str) -> Iterator[None]:
    """Turn the driver's errors into the platform's."""
    try:
        yield
    except pymysql.MySQLError as error:
        number = error.args[0] if error.args else 0
        message = str(error.args[1]) if len(error.args) > 1 else str(error)
        if number == _FATAL_ERROR_READING_BINLOG:
            raise _lost(message, where) from error
        if number in _ACCESS_DENIED:
            raise PermanentError(
                f"the database refuses: {message}",
                where=where,
                remedy="check user and password, and grant the user REPLICATION SLAVE and, to ask where the log ends, "
                "BINLOG MONITOR (MariaDB) or REPLICATION CLIENT (MySQL); `shopsphere doctor` tests each of them",
            ) from error
        raise TransientError(
            f"the database does not answer: {message}",
            where=where,
            remedy="check that the server runs and that host and port are right",
        ) from error
    except NotImplementedError as error:
        raise PermanentError(
            f"the log cannot be decoded: {error}", where=where, remedy="set SHOPSPHERE_SHOP_DB_CAPTURE=poll"
        ) from error
